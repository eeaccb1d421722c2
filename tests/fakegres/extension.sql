-- DROP EXTENSION CASCADE takes the tables along, and a new CREATE EXTENSION begins with nothing.
SELECT fakegres.sweep() >= 0;
CREATE TABLE t (id int, v text);
INSERT INTO t SELECT i, 'v' FROM generate_series(1, 100) i;
CREATE TABLE parent (id int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parent FOR VALUES FROM (1) TO (10);
INSERT INTO parent VALUES (1);
CREATE MATERIALIZED VIEW mv AS SELECT * FROM t;
CREATE TABLE plain (id int) USING heap;
INSERT INTO plain VALUES (1);
SELECT count(*) FROM fakegres.spaces;
SELECT fakegres.sweep();
\set VERBOSITY sqlstate
SET client_min_messages = warning;
DROP EXTENSION fakegres_am;
-- An abort brings everything back.
BEGIN;
DROP EXTENSION fakegres_am CASCADE;
ROLLBACK;
SELECT count(*) FROM t;
SELECT count(*) FROM mv;
SELECT name, rows FROM fakegres.tables ORDER BY name;
DROP EXTENSION fakegres_am CASCADE;
SELECT relname FROM pg_class WHERE relname IN ('t', 'part', 'mv', 'plain');
SELECT * FROM plain;
CREATE TABLE t (id int);
-- Again, in the session that dropped it.
CREATE EXTENSION fakegres_am;
SELECT count(*) FROM fakegres.definitions() WHERE database = current_database();
CREATE TABLE t (id int);
INSERT INTO t VALUES (1), (2);
-- What was dropped is cleared, at the latest with the next commit.
SELECT fakegres.sweep();
SELECT * FROM t ORDER BY id;
SELECT name, rows FROM fakegres.tables;
-- Dropped together with a table that the same transaction made and filled, and made again.
BEGIN;
CREATE TABLE own AS SELECT * FROM t;
INSERT INTO t VALUES (3);
DROP EXTENSION fakegres_am CASCADE;
CREATE EXTENSION fakegres_am;
CREATE TABLE again (id int);
INSERT INTO again VALUES (4);
COMMIT;
SELECT relname FROM pg_class WHERE relname IN ('t', 'own', 'again');
SELECT * FROM again;
INSERT INTO again VALUES (5);
SELECT fakegres.sweep();
-- And in a new session.
\c
SELECT * FROM again ORDER BY id;
SET client_min_messages = warning;
DROP EXTENSION fakegres_am CASCADE;
\setenv PGOPTIONS ''
\c -reuse-previous=off "dbname=only_extension"
CREATE EXTENSION fakegres_am;
CREATE TABLE t (id int) USING fakegres;
INSERT INTO t VALUES (6);
SELECT * FROM t;
SELECT fakegres.sweep();
