-- A dropped database leaves its rows and definitions in the store; the sweep of any other clears them.
SELECT fakegres.sweep() >= 0;
SELECT current_database() AS here \gset
CREATE DATABASE only_dropped;
\c only_dropped
CREATE TABLE t (id int, v text);
INSERT INTO t SELECT i, 'v' FROM generate_series(1, 100) i;
CREATE TABLE u AS SELECT * FROM t;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM t;
SELECT space AS gone FROM fakegres.tables WHERE name = 't' \gset
\c :here
CREATE TABLE kept (id int);
INSERT INTO kept VALUES (1);
SELECT count(*) FROM fakegres.definitions() WHERE database = 'only_dropped';
-- While the database exists, nobody else touches what is its own.
SELECT fakegres.sweep();
SELECT rows FROM fakegres.space_statistics(:gone);
DROP DATABASE only_dropped;
SELECT fakegres.catalog_version() AS version \gset
SELECT count(*) FROM fakegres.definitions() WHERE database = 'only_dropped';
SELECT fakegres.sweep();
SELECT fakegres.catalog_version() > :version AS grown;
SELECT fakegres.sweep();
SELECT count(*) FROM fakegres.definitions() WHERE database = 'only_dropped';
SELECT coalesce(rows, 0) AS rows, coalesce(bytes, 0) AS bytes FROM fakegres.space_statistics(:gone);
SELECT * FROM kept;
SELECT name FROM fakegres.definitions() WHERE database = current_database();
