-- Limits that settings set: memory of a transaction, row locks before a table's rows are locked as one.
SET fakegres.max_transaction_memory = '64kB';
CREATE TABLE t (id int, v text);
-- A table of another transaction: rows are buffered until commit, and 64 kB do not hold them.
\set VERBOSITY sqlstate
INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 10000) i;
SELECT count(*) FROM t;
BEGIN;
INSERT INTO t VALUES (1, 'kept');
SAVEPOINT s;
INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 10000) i;
ROLLBACK TO s;
COMMIT;
SELECT * FROM t;
-- A table of this transaction has no such limit.
CREATE TABLE fresh AS SELECT i, repeat('x', 100) AS v FROM generate_series(1, 10000) i;
SELECT count(*), sum(i), sum(length(v)) FROM fresh;
RESET fakegres.max_transaction_memory;
INSERT INTO t SELECT i, 'v' FROM generate_series(2, 5000) i;
-- More rows than locks.
SET fakegres.max_row_locks = 10;
BEGIN;
SELECT count(*) FROM (SELECT id FROM t FOR UPDATE) x;
UPDATE t SET v = 'changed' WHERE id % 2 = 0;
SELECT count(*) < 200 AS few FROM pg_locks WHERE pid = pg_backend_pid();
COMMIT;
SELECT v, count(*) FROM t GROUP BY v ORDER BY v;
