-- A thousand random changes, the same on both sides, some undone by savepoints or by violations; after
-- every few of them all ways of reading must say the same.
\ir setup/every_way.sql
CREATE TABLE r (id int PRIMARY KEY, k int, t text, n numeric, d int UNIQUE DEFERRABLE);
CREATE INDEX r_kt ON r (k DESC, t NULLS FIRST);
CREATE INDEX r_n ON r (n) INCLUDE (k) WHERE k > 3;
CREATE INDEX r_expression ON r ((k + coalesce(length(t), 0)), id DESC);
CREATE UNIQUE INDEX r_t ON r (t, (id % 50)) WHERE t IS NOT NULL;
CREATE FUNCTION below(most int) RETURNS int LANGUAGE sql VOLATILE AS $$ SELECT floor(random() * most)::int $$;
CREATE FUNCTION word() RETURNS text LANGUAGE sql VOLATILE AS
  $$ SELECT CASE below(6) WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN repeat('long', 200) || below(30) ELSE 'w' || below(40) END $$;
CREATE TABLE tally (what text PRIMARY KEY, times int);
CREATE FUNCTION change() RETURNS void LANGUAGE plpgsql AS $$
DECLARE kind int := below(11); a int := below(300); b int := below(300); c int := below(12); w text := word(); said text := 'done';
BEGIN
  BEGIN
    CASE kind
      WHEN 0, 1 THEN INSERT INTO r VALUES (a, c, w, c / 4.0, b);
      WHEN 2 THEN INSERT INTO r VALUES (a, c, w, c, b) ON CONFLICT (id) DO UPDATE SET k = excluded.k, t = excluded.t;
      WHEN 3 THEN INSERT INTO r VALUES (a, c, w, c, NULL) ON CONFLICT (id) DO NOTHING;
      WHEN 4 THEN DELETE FROM r WHERE id = a;
      WHEN 5 THEN UPDATE r SET id = b WHERE id = a;
      WHEN 6 THEN UPDATE r SET t = w WHERE id = a;
      WHEN 7 THEN UPDATE r SET k = (r.k + c) % 12, n = NULLIF(n + 1.00, 5) WHERE id BETWEEN a AND a + 20;
      WHEN 8 THEN UPDATE r SET d = d + 1 WHERE id < 60;
      WHEN 9 THEN DELETE FROM r WHERE k = c AND id > 200;
      WHEN 10 THEN UPDATE r SET n = n * 1.0 WHERE k = c;
    END CASE;
    IF below(8) = 0 THEN RAISE EXCEPTION 'undone'; END IF;
  EXCEPTION WHEN unique_violation OR raise_exception THEN said := SQLSTATE;
  END;
  INSERT INTO tally VALUES (kind || ' ' || said, 1) ON CONFLICT (what) DO UPDATE SET times = tally.times + 1;
END $$;
CREATE FUNCTION answers() RETURNS SETOF text LANGUAGE sql AS $$
  SELECT every_way('SELECT id, k, t, n, d FROM r WHERE id >= 0 ORDER BY id')
  UNION ALL SELECT every_way('SELECT k, t FROM r ORDER BY k DESC, t NULLS FIRST')
  UNION ALL SELECT every_way('SELECT n, k FROM r WHERE k > 3 ORDER BY n, k, n::text')
  UNION ALL SELECT every_way('SELECT id FROM r WHERE k + coalesce(length(t), 0) BETWEEN 3 AND 9 ORDER BY k + coalesce(length(t), 0), id DESC')
  UNION ALL SELECT every_way('SELECT t, id FROM r WHERE t > ''w'' ORDER BY t, id % 50')
  UNION ALL SELECT every_way('SELECT d, id FROM r WHERE d IS NOT NULL ORDER BY d DESC')
  UNION ALL SELECT every_way('SELECT count(*), sum(id) FROM r WHERE k = ANY (ARRAY[3, 7, 3]) AND (t IS NULL OR t < ''w2'')')
$$;
SELECT setseed(0.4);
INSERT INTO r SELECT i, i % 12, 'start' || i, i % 7, i FROM generate_series(1, 150) i;
SELECT answers();
-- One transaction of many savepoints.
BEGIN;
SELECT count(change()) FROM generate_series(1, 250);
SELECT answers();
SAVEPOINT s;
SELECT count(change()) FROM generate_series(1, 100);
SELECT answers();
ROLLBACK TO s;
SELECT answers();
SELECT count(change()) FROM generate_series(1, 100);
COMMIT;
SELECT answers();
-- Many transactions.
DO $$ BEGIN FOR i IN 1 .. 300 LOOP PERFORM change(); IF i % 7 = 0 THEN ROLLBACK; ELSIF i % 2 = 0 THEN COMMIT; END IF; END LOOP; END $$;
SELECT answers();
BEGIN;
SELECT count(change()) FROM generate_series(1, 100);
REINDEX TABLE r;
SELECT count(change()) FROM generate_series(1, 100);
SELECT answers();
ROLLBACK;
SELECT answers();
SELECT count(change()) FROM generate_series(1, 200);
SELECT answers();
SELECT * FROM tally ORDER BY what;
