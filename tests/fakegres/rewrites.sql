-- Who reads an earlier moment than that of a rewrite gets 72000, not a table that looks empty.
\setenv PGDATABASE :DBNAME
\set VERBOSITY sqlstate
CREATE TABLE t (id int, v text);
INSERT INTO t SELECT i, 'v' FROM generate_series(1, 100) i;
CREATE TABLE other (id int);
INSERT INTO other VALUES (1);
-- VACUUM FULL in another session, while a transaction has its snapshot and no lock on the table.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM other;
\! psql -X -q -c 'VACUUM FULL t'
SAVEPOINT s;
SELECT count(*) FROM t;
ROLLBACK TO s;
SELECT * FROM t WHERE ctid = '(0,2)';
ROLLBACK TO s;
SELECT count(*) FROM t TABLESAMPLE SYSTEM (100);
ROLLBACK TO s;
UPDATE t SET v = 'changed' WHERE id = 1;
ROLLBACK TO s;
SELECT count(*) FROM other;
COMMIT;
SELECT count(*), sum(id) FROM t;
-- The same in SERIALIZABLE, and for a snapshot that a heap table took.
CREATE TABLE plain (id int) USING heap;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM plain;
\! psql -X -q -c 'VACUUM FULL t'
SELECT count(*) FROM t;
ROLLBACK;
-- A snapshot that is younger than the rewrite sees the rows, also when it is the first to look.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM t;
COMMIT;
-- VACUUM FULL of an empty table, and of one that was emptied before.
DELETE FROM other;
VACUUM FULL other;
SELECT count(*) FROM other;
INSERT INTO other VALUES (2);
-- As of a moment before TRUNCATE, a rewrite, VACUUM FULL or CREATE.
CREATE TABLE truncated AS SELECT * FROM t;
CREATE TABLE rewritten AS SELECT * FROM t;
CREATE TABLE vacuumed AS SELECT * FROM t;
SELECT pg_sleep(0.01);
SELECT clock_timestamp() AS before \gset
SELECT pg_sleep(0.01);
TRUNCATE truncated;
ALTER TABLE rewritten ALTER id TYPE bigint;
VACUUM FULL vacuumed;
CREATE TABLE created (id int);
SELECT pg_sleep(0.01);
SELECT clock_timestamp() AS after \gset
SELECT pg_sleep(0.01);
INSERT INTO truncated VALUES (1, 'later');
DELETE FROM rewritten;
DELETE FROM vacuumed;
INSERT INTO created VALUES (1);
SET fakegres.as_of = :'before';
SELECT count(*) FROM t;
SELECT count(*) FROM truncated;
SELECT count(*) FROM rewritten;
SELECT count(*) FROM vacuumed;
SELECT count(*) FROM created;
SET fakegres.as_of = :'after';
SELECT count(*) FROM truncated;
SELECT count(*) FROM rewritten;
SELECT count(*) FROM vacuumed;
SELECT count(*) FROM created;
RESET fakegres.as_of;
SELECT count(*) FROM truncated;
SELECT count(*) FROM rewritten;
SELECT count(*) FROM vacuumed;
SELECT count(*) FROM created;
