-- Bitmap scans of many blocks: exact and lossy ones, combined, begun anew, ended early, over a table that
-- the transaction itself has changed. How many rows an index scan asks for at once is in the plan: LIMIT,
-- EXISTS, cursors and joins stop in the middle of a batch, or ask for more than expected.
\set VERBOSITY terse
\ir setup/plan_has.sql
-- More blocks of 256 rows than fit into the smallest work_mem.
CREATE TABLE t AS SELECT i, i % 1000 AS k, i % 7 AS s, CASE WHEN i % 900 = 0 THEN repeat('long', 600) ELSE 'x' || i END AS v FROM generate_series(1, 290000) i;
CREATE INDEX t_k ON t (k);
CREATE INDEX t_s ON t (s);
CREATE INDEX t_i ON t (i);
VACUUM ANALYZE t;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SET enable_seqscan = off;
SET enable_indexscan = off;
SELECT plan_has('SELECT sum(i) FROM t WHERE k = 7', 'Bitmap Heap Scan');
SELECT count(*), sum(i), sum(length(v)) FROM t WHERE k = 7;
SELECT count(*), sum(i), sum(length(v)) FROM t WHERE k < 40;
SELECT count(*), sum(i), sum(length(v)) FROM t WHERE k = 7 OR i BETWEEN 5000 AND 9000;
SELECT count(*), sum(i), sum(length(v)) FROM t WHERE k < 300 AND s = 3;
SELECT count(*), sum(i), sum(length(v)) FROM t WHERE k = ANY ('{1,2,3,500,999,1000}') AND i > 100000;
SELECT i, k, length(v) FROM t WHERE k = 0 AND i % 900 = 0 ORDER BY i LIMIT 5;
SELECT count(*) FROM t WHERE k = -1;
-- With little memory, most blocks are lossy: every row of them is looked at again.
SET work_mem = '64kB';
SELECT count(*), sum(i), sum(length(v)) FROM t WHERE k < 40;
SELECT count(*), sum(i), sum(length(v)) FROM t WHERE k < 300 AND s = 3;
SELECT count(*), sum(i), sum(length(v)) FROM t WHERE k = 7 OR i BETWEEN 5000 AND 9000;
SELECT count(*) FROM (SELECT FROM t WHERE k < 500 LIMIT 2000) x;
RESET work_mem;
-- Begun anew for each row of a join, and given up in the middle.
SELECT count(*), sum(t.i) FROM (VALUES (1), (5), (-1), (999), (5)) x (k), LATERAL (SELECT * FROM t WHERE t.k = x.k OFFSET 0) t;
SELECT x.k, y.n FROM (VALUES (1), (5), (-1)) x (k) LEFT JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM t WHERE t.k = x.k AND t.i > 1000 LIMIT 150) l) y ON true;
SELECT k FROM (VALUES (1), (-1), (999)) x (k) WHERE EXISTS (SELECT FROM t WHERE t.k = x.k);
BEGIN;
DECLARE c CURSOR FOR SELECT i FROM t WHERE k = 3 OR k = 4;
FETCH 3 FROM c;
MOVE 200 FROM c;
FETCH 2 FROM c;
-- The cursor sees its own moment, later statements the changes.
UPDATE t SET s = 100, v = 'changed' WHERE k = 3;
DELETE FROM t WHERE k = 4 AND i > 100000;
INSERT INTO t SELECT -i, 3, 101, 'new' FROM generate_series(1, 300) i;
FETCH 2 FROM c;
MOVE FORWARD ALL FROM c;
CLOSE c;
SELECT s, count(*), sum(i), min(v) FROM t WHERE k = 3 GROUP BY s ORDER BY s;
SELECT count(*), sum(i) FROM t WHERE k = 3 OR k = 4;
SAVEPOINT a;
DELETE FROM t WHERE k < 10;
SELECT count(*), sum(i) FROM t WHERE k < 12;
ROLLBACK TO a;
SELECT count(*), sum(i) FROM t WHERE k < 12;
-- An error between two queries that are under way.
CREATE FUNCTION fails(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE r record; total int := 0;
BEGIN
  FOR r IN SELECT i FROM t WHERE k = n LOOP
    BEGIN
      total := total + (SELECT count(*) FROM t WHERE k = r.i % 1000 AND 1 / (r.i % 2) > 0);
    EXCEPTION WHEN division_by_zero THEN
      total := total + (SELECT count(*) FROM t WHERE k = 11);
    END;
    EXIT WHEN total > 1000;
  END LOOP;
  RETURN total;
END $$;
SELECT fails(6), fails(7);
SELECT sum(fails(k)) FROM (SELECT k FROM t WHERE i BETWEEN 5 AND 8) x;
ROLLBACK;
-- Index scans that end where a LIMIT, a cursor or a join says so, and go on where it does not.
RESET enable_indexscan;
SET enable_bitmapscan = off;
SELECT plan_has('SELECT i FROM t WHERE i > 100 ORDER BY i LIMIT 5', 'Index Scan');
SELECT array_agg(i) FROM (SELECT i FROM t WHERE i > 100 ORDER BY i LIMIT 5) x;
SELECT array_agg(i) FROM (SELECT i FROM t WHERE i > 100 AND s = 2 ORDER BY i DESC OFFSET 3 LIMIT 5) x;
SELECT count(*), sum(i) FROM (SELECT i, v FROM t WHERE i > 100 ORDER BY i LIMIT 7000) x;
SELECT count(*), sum(i) FROM (SELECT i, v FROM t WHERE i > 100 AND s = 5 ORDER BY i LIMIT 300) x;
SELECT count(*), sum(i) FROM (SELECT i, v FROM t WHERE i > 289990 ORDER BY i LIMIT 300) x;
SELECT count(*), sum(i) FROM (SELECT i, v FROM t WHERE i > 100 ORDER BY i LIMIT ALL) x;
SELECT count(v), sum(i) FROM t WHERE i BETWEEN 100 AND 2000;
PREPARE few (int, int) AS SELECT count(v), sum(i) FROM (SELECT * FROM t WHERE i >= $1 ORDER BY i LIMIT $2) x;
SET plan_cache_mode = force_generic_plan;
EXECUTE few (1000, 1);
EXECUTE few (1000, 1000);
EXECUTE few (289000, 5000);
EXECUTE few (1000, NULL);
EXECUTE few (1000, 0);
RESET plan_cache_mode;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT count(b.v), sum(b.i) FROM t a JOIN t b ON b.k = a.i WHERE a.i BETWEEN 990 AND 1010;
SELECT count(*) FROM t a WHERE i < 2000 AND EXISTS (SELECT FROM t b WHERE b.k = a.i AND b.s = 1);
SELECT count(*) FROM t a WHERE i < 2000 AND NOT EXISTS (SELECT FROM t b WHERE b.k = a.i AND b.s = 1);
SELECT min(i), max(i) FROM t WHERE i > 500;
SELECT i, (SELECT v FROM t b WHERE b.i > a.i AND b.k <> 3 ORDER BY b.i LIMIT 1) FROM t a WHERE i IN (1, 2, 3) ORDER BY i;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT i FROM t WHERE i > 0 ORDER BY i;
FETCH 2 FROM c;
FETCH FORWARD 1 FROM c;
MOVE 500 FROM c;
FETCH 1 FROM c;
FETCH BACKWARD 2 FROM c;
MOVE BACKWARD 400 FROM c;
FETCH 1 FROM c;
FETCH LAST FROM c;
FETCH BACKWARD 1 FROM c;
COMMIT;
DROP TABLE t;
