-- Code that runs around tables: functions, prepared statements, LISTEN, two tables of both kinds in
-- one transaction, ON CONFLICT on heap beside, savepoints across both.
CREATE TABLE a (id int, v int);
CREATE TABLE h (id int PRIMARY KEY, v int) USING heap;
BEGIN;
INSERT INTO a VALUES (1, 1);
INSERT INTO h VALUES (1, 1);
SAVEPOINT s;
INSERT INTO a SELECT id + 1, v FROM h;
INSERT INTO h SELECT id + 1, v FROM a WHERE id = 1;
SELECT count(*) FROM a JOIN h USING (id);
ROLLBACK TO s;
SELECT count(*) FROM a JOIN h USING (id);
COMMIT;
BEGIN;
INSERT INTO a VALUES (5, 5);
INSERT INTO h VALUES (1, 1);
COMMIT;
SELECT * FROM a ORDER BY id;
INSERT INTO h SELECT id, v + 10 FROM a ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING *;
-- Prepared statements and plans that are cached across changes of the table.
PREPARE ins (int, int) AS INSERT INTO a VALUES ($1, $2) RETURNING *;
PREPARE sel (int) AS SELECT * FROM a WHERE id = $1;
PREPARE upd (int) AS UPDATE a SET v = v + 1 WHERE id = $1 RETURNING *;
EXECUTE ins(2, 20);
EXECUTE ins(3, 30);
DO $$ BEGIN FOR i IN 1..7 LOOP EXECUTE 'UPDATE a SET v = v + 1 WHERE id = 2'; END LOOP; END $$;
EXECUTE upd(2);
EXECUTE sel(2);
EXECUTE sel(2);
EXECUTE sel(2);
EXECUTE sel(2);
EXECUTE sel(2);
EXECUTE sel(2);
EXECUTE upd(2);
EXECUTE sel(2);
ALTER TABLE a ADD COLUMN w int DEFAULT 1;
EXECUTE upd(3);
DEALLOCATE sel;
PREPARE sel (int) AS SELECT * FROM a WHERE id = $1;
EXECUTE sel(3);
TRUNCATE a;
EXECUTE sel(3);
EXECUTE ins(4, 40);
-- SQL, PL/pgSQL and set-returning functions that read and write.
CREATE FUNCTION add_two(n int) RETURNS SETOF a LANGUAGE sql AS $$ INSERT INTO a VALUES (n, 0), (n + 1, 0) RETURNING * $$;
SELECT * FROM add_two(10);
SELECT add_two(20);
CREATE FUNCTION total() RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT sum(id) FROM a); END $$;
CREATE FUNCTION total_now() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN (SELECT sum(id) FROM a); END $$;
SELECT id, total(), total_now() FROM a ORDER BY id;
CREATE FUNCTION bump(n int) RETURNS int LANGUAGE sql AS $$ UPDATE a SET v = v + 1 WHERE id = n RETURNING v $$;
SELECT bump(10), bump(10), bump(10);
SELECT id, v FROM a WHERE id = 10;
CREATE FUNCTION row_of(a) RETURNS text LANGUAGE sql AS $$ SELECT $1.id || '/' || $1.v $$;
SELECT row_of(a), a.row_of FROM a ORDER BY id;
CREATE PROCEDURE in_parts() LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO a VALUES (100, 1); COMMIT;
  INSERT INTO a VALUES (101, 1); ROLLBACK;
  INSERT INTO a VALUES (102, 1);
  BEGIN INSERT INTO a VALUES (103, 1); RAISE EXCEPTION 'x'; EXCEPTION WHEN OTHERS THEN NULL; END;
  COMMIT;
END $$;
CALL in_parts();
SELECT id FROM a WHERE id >= 100 ORDER BY id;
-- Notifications go with the commit.
LISTEN news;
BEGIN;
INSERT INTO a VALUES (200, 0);
NOTIFY news, 'rolled back';
ROLLBACK;
SELECT count(*) FROM a WHERE id = 200;
-- Large objects, sequences and advisory locks beside.
CREATE SEQUENCE s;
BEGIN;
INSERT INTO a SELECT nextval('s'), 0 FROM generate_series(1, 3);
ROLLBACK;
INSERT INTO a VALUES (300 + nextval('s'), 0) RETURNING id;
SELECT pg_try_advisory_xact_lock(1), count(*) > 0 FROM a;
-- Exported and imported snapshots.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM a;
SELECT pg_export_snapshot() IS NOT NULL;
COMMIT;
-- Statement timeouts and cancelled scans leave things usable.
SET statement_timeout = '50ms';
SELECT count(*) FROM a, pg_sleep(1);
RESET statement_timeout;
SELECT count(*) FROM a;
BEGIN;
INSERT INTO a VALUES (400, 0);
SAVEPOINT s;
SET LOCAL statement_timeout = '50ms';
UPDATE a SET v = (SELECT 1 FROM pg_sleep(1)) WHERE id = 400;
ROLLBACK TO s;
SELECT v FROM a WHERE id = 400;
COMMIT;
SELECT v FROM a WHERE id = 400;
DROP TABLE a CASCADE;
