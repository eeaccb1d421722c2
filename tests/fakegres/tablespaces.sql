-- ALTER DATABASE SET TABLESPACE moves files; fakegres tables have none, and stay readable.
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE only_moved_to LOCATION '';
CREATE TABLESPACE only_named LOCATION '';
CREATE TABLE t (id int, v text);
INSERT INTO t SELECT i, 'v' FROM generate_series(1, 100) i;
CREATE TABLE named (id int) TABLESPACE only_named;
INSERT INTO named VALUES (1), (2);
SELECT current_database() AS here \gset
\c template1
ALTER DATABASE :here SET TABLESPACE only_moved_to;
\c :here
SELECT count(*), sum(id) FROM t;
SELECT * FROM named ORDER BY id;
SELECT name, rows FROM fakegres.tables ORDER BY name;
INSERT INTO t VALUES (101, 'after');
UPDATE t SET v = 'changed' WHERE id = 1;
SELECT count(*), count(DISTINCT v) FROM t;
-- New tables, and those that are in the new tablespace by name, which is the database's own.
CREATE TABLE younger AS SELECT * FROM t;
CREATE TABLE explicit (id int) TABLESPACE only_moved_to;
INSERT INTO explicit VALUES (1);
ALTER TABLE named SET TABLESPACE only_moved_to;
INSERT INTO named VALUES (3);
ALTER TABLE t ALTER id TYPE bigint;
-- What the map claims is not swept away.
SELECT fakegres.sweep() >= 0;
\c template1
ALTER DATABASE :here SET TABLESPACE pg_default;
\c :here
SELECT count(*), sum(id) FROM t;
SELECT count(*), sum(id) FROM younger;
SELECT * FROM explicit;
SELECT * FROM named ORDER BY id;
SELECT name, rows FROM fakegres.tables ORDER BY name;
ALTER TABLE named SET TABLESPACE only_named;
SELECT * FROM named ORDER BY id;
-- Dropped tables free their spaces wherever they have been.
TRUNCATE younger;
DROP TABLE t, younger, explicit, named;
SELECT count(*) FROM fakegres.spaces;
CREATE TABLE last (id int);
SELECT fakegres.sweep();
DROP TABLESPACE only_moved_to;
DROP TABLESPACE only_named;
