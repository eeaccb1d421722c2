-- Entries of statements that change many rows: over a network, what was in their place is looked at
-- together.

CREATE TABLE t (id int PRIMARY KEY, code text COLLATE "C" UNIQUE, r int, v numeric, w int);
CREATE INDEX t_r ON t (r);
CREATE INDEX t_v ON t (v) INCLUDE (w);
CREATE INDEX t_part ON t (w, r) WHERE w > 0;
CREATE INDEX t_computed ON t ((r % 7), lower(code));
INSERT INTO t SELECT i, 'C' || i, i * 7919 % 3001, i * 31 % 977, i % 5 FROM generate_series(1, 3000) i;

-- Whether rows and entries agree, where the table is one of ours.
CREATE FUNCTION agrees(name regclass) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE problems int := 0;
BEGIN
  IF (SELECT amname FROM pg_am a JOIN pg_class c ON c.relam = a.oid WHERE c.oid = name) = 'fakegres' THEN
    EXECUTE 'SELECT count(*) FROM fakegres.check($1)' INTO problems USING name;
  END IF;
  RETURN problems = 0;
END $$;
CREATE FUNCTION by_index() RETURNS TABLE (what text, n bigint, s bigint) LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
  RETURN QUERY SELECT 'id', count(*), sum(id) FROM t WHERE id > -1000000
    UNION ALL SELECT 'code', count(*), sum(id) FROM t WHERE code > ''
    UNION ALL SELECT 'r', count(*), sum(id) FROM t WHERE r > -1000000
    UNION ALL SELECT 'v', count(*), sum(id) FROM t WHERE v > -1000000
    UNION ALL SELECT 'w', count(*), sum(id) FROM t WHERE w > 0
    UNION ALL SELECT 'computed', count(*), sum(id) FROM t WHERE r % 7 >= 0
    ORDER BY 1;
END $$;
SELECT agrees('t');

-- Some, each of its own, and all of a key.
DELETE FROM t WHERE id % 3 = 0;
SELECT * FROM by_index();
SELECT agrees('t');
UPDATE t SET r = r + 1, code = code || 'x' WHERE id % 2 = 0;
UPDATE t SET v = v + 1 WHERE id % 5 = 0;
UPDATE t SET w = w + 1;
SELECT * FROM by_index();
SELECT agrees('t');

-- Values that are equal, with other digits; a column that lies beside the key.
UPDATE t SET v = v * 1.0 WHERE id % 2 = 1;
UPDATE t SET w = 9 WHERE id < 100;
UPDATE t SET v = round(v), w = 10 WHERE id < 50;
SELECT * FROM by_index();
SELECT agrees('t');

-- Keys that move over each other.
UPDATE t SET id = id - 5000;
UPDATE t SET id = id + 1 WHERE id = (SELECT max(id) FROM t);
\set VERBOSITY terse
UPDATE t SET id = id + 1 WHERE id <= (SELECT max(id) FROM t);
\set VERBOSITY default
UPDATE t SET id = -id, code = 'd' || id;
SELECT * FROM by_index();
SELECT agrees('t');

-- The same rows again in one transaction, and their keys again.
BEGIN;
DELETE FROM t WHERE id > 3000;
INSERT INTO t SELECT i, 'e' || i, i % 10, i, 1 FROM generate_series(3001, 3700) i;
UPDATE t SET r = r + 1, v = v - 1;
UPDATE t SET r = r - 1, v = v + 1;
DELETE FROM t WHERE id > 3600;
SELECT * FROM by_index();
COMMIT;
SELECT * FROM by_index();
SELECT agrees('t');
WITH gone AS (DELETE FROM t WHERE id % 4 = 0 RETURNING *)
  INSERT INTO t SELECT id, 'f' || id, r, v, w FROM gone;
WITH changed AS (UPDATE t SET r = r + 10 WHERE id % 4 = 1 RETURNING id)
  DELETE FROM t USING (SELECT id + 1 AS id FROM changed) c WHERE t.id = c.id;
SELECT * FROM by_index();
SELECT agrees('t');

-- Savepoints and blocks that catch errors.
BEGIN;
UPDATE t SET r = r + 100 WHERE id % 2 = 0;
SAVEPOINT a;
DELETE FROM t WHERE id % 2 = 0;
SELECT * FROM by_index();
ROLLBACK TO a;
SELECT * FROM by_index();
UPDATE t SET r = r + 100, code = code || 'z' WHERE id % 2 = 1;
RELEASE a;
UPDATE t SET r = r + id / (id - (SELECT max(id) FROM t));
ROLLBACK;
SELECT * FROM by_index();
BEGIN;
UPDATE t SET r = r + 100 WHERE id % 2 = 0;
SAVEPOINT a;
UPDATE t SET r = r + 100;
SAVEPOINT b;
UPDATE t SET r = r + 100, v = 1 WHERE id % 3 = 0;
ROLLBACK TO b;
UPDATE t SET w = w + 1, v = 2 WHERE id % 3 = 1;
RELEASE a;
COMMIT;
SELECT * FROM by_index();
SELECT agrees('t');

-- Functions and triggers that look and write while rows are changed, within blocks of their own.
CREATE FUNCTION before_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    UPDATE t SET v = v + 1 WHERE id = OLD.id + 10000;
    IF OLD.id % 3 = 0 THEN RAISE division_by_zero; END IF;
  EXCEPTION WHEN division_by_zero THEN NULL;
  END;
  IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
  RETURN NEW;
END $$;
INSERT INTO t SELECT i, 'g' || i, i % 10, i, 1 FROM generate_series(13000, 13700) i;
CREATE TRIGGER before_change BEFORE UPDATE OR DELETE ON t FOR EACH ROW WHEN (OLD.id < 10000)
  EXECUTE FUNCTION before_change();
UPDATE t SET r = r + 1, w = w + 1 WHERE id BETWEEN 3000 AND 3040;
DELETE FROM t WHERE id BETWEEN 3020 AND 3050;
SELECT * FROM by_index();
SELECT id, v FROM t WHERE id BETWEEN 13000 AND 13060 AND v <> id ORDER BY id;
SELECT agrees('t');
DROP TRIGGER before_change ON t;
CREATE FUNCTION count_r(int) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT count(*) FROM t WHERE r = $1';
UPDATE t SET r = -1, w = count_r(-1) WHERE id BETWEEN 3051 AND 3060;
SELECT id, r FROM t WHERE r = -1 ORDER BY id;
SELECT w FROM t WHERE r = -1 ORDER BY w;
SELECT agrees('t');

-- Rows that refer to others, changed with them.
CREATE TABLE parent (id int PRIMARY KEY, n int);
CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, x int);
CREATE INDEX ON child (p);
CREATE INDEX ON child (x);
INSERT INTO parent SELECT i, i FROM generate_series(1, 100) i;
INSERT INTO child SELECT i, i % 100 + 1, i % 7 FROM generate_series(1, 1000) i;
DELETE FROM parent WHERE id % 3 = 0;
UPDATE parent SET id = id + 1000 WHERE id % 3 = 1;
SELECT count(*), sum(p), sum(id) FROM child;
SELECT agrees('parent'), agrees('child');

-- An index that not all rows have been seen by yet, exclusion and deferred constraints.
CREATE TABLE d (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, x int, EXCLUDE (x WITH =));
INSERT INTO d SELECT i, i * 7 % 1009 FROM generate_series(1, 1000) i;
UPDATE d SET id = id + 1, x = x + 2000;
UPDATE d SET x = 1009 - x + 4000 WHERE id > 500;
UPDATE d SET x = (SELECT min(x) FROM d) WHERE id IN (500, 501);
DELETE FROM d WHERE id % 2 = 0;
SELECT count(*), sum(id), sum(x) FROM d;
SELECT agrees('d');
BEGIN;
CREATE INDEX d_new ON d (x, id);
UPDATE d SET x = x + 1 WHERE id < 100;
DELETE FROM d WHERE id < 50;
COMMIT;
SELECT agrees('d');
