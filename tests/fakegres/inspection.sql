-- Looking inside: fakegres.tables, status, sweep, settings, and who may.
CREATE TABLE t (id int, v text);
INSERT INTO t SELECT i, 'v' FROM generate_series(1, 100) i;
CREATE TABLE dropped AS SELECT * FROM t;
DROP TABLE dropped;
CREATE TABLE plain (id int) USING heap;
DELETE FROM t WHERE id > 60;
SELECT schema, name, kind, rows, bytes > 0 AS bytes, current_setting('fakegres.storage') LIKE store || '%' AS store FROM fakegres.tables ORDER BY name;
BEGIN;
INSERT INTO t VALUES (1000, 'x');
TRUNCATE t;
ROLLBACK;
SELECT name, rows FROM fakegres.tables;
SELECT current_setting('fakegres.storage') LIKE store || '%' AS store, reachable, latency_ms >= 0 AS latency, durability <> '' AS durability, namespace <> '' AS namespace FROM fakegres.status();
SELECT fakegres.sweep() >= 0;
SELECT fakegres.sweep();
SELECT count(*), sum(id) FROM t;
SELECT current_setting('fakegres.storage') <> '' AS shown;
SELECT name FROM pg_settings WHERE name LIKE 'fakegres.%' ORDER BY name;
-- Other users can use tables and cannot look inside.
CREATE ROLE fk_guest;
GRANT SELECT, INSERT ON t TO fk_guest;
SET ROLE fk_guest;
INSERT INTO t VALUES (2000, 'guest');
SELECT count(*) FROM t;
\set VERBOSITY sqlstate
SHOW fakegres.storage;
SET fakegres.storage = 'embedded';
SELECT * FROM fakegres.status();
SELECT * FROM fakegres.tables;
SELECT * FROM fakegres.spaces;
SELECT fakegres.sweep();
SELECT * FROM fakegres.kv_scan('');
SELECT count(*) FROM pg_settings WHERE name = 'fakegres.storage';
RESET ROLE;
DROP OWNED BY fk_guest;
DROP ROLE fk_guest;
