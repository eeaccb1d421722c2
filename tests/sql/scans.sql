-- Ways to read: TABLESAMPLE, ctid, TID ranges, bitmaps, parallel scans, system columns.
\ir setup/plan_has.sql
CREATE TABLE t (id int, v int, pad text);
INSERT INTO t SELECT i, i % 100, repeat('p', 50) FROM generate_series(1, 20000) i;
ANALYZE t;
SELECT count(*), sum(id), min(v), max(v) FROM t;
SELECT count(*) FROM t WHERE v = 7 AND id > 1000;
SELECT count(*) FROM (SELECT id FROM t LIMIT 17) x;
SELECT count(*) FROM t a JOIN t b ON a.id = b.id + 1;
SELECT count(*) FROM t TABLESAMPLE SYSTEM (100);
SELECT count(*) FROM t TABLESAMPLE BERNOULLI (100);
SELECT count(*) FROM t TABLESAMPLE SYSTEM (0);
SELECT count(*) BETWEEN 8000 AND 12000 AS about_half FROM t TABLESAMPLE BERNOULLI (50) REPEATABLE (1);
SELECT count(*) BETWEEN 2000 AND 18000 AS about_half FROM t TABLESAMPLE SYSTEM (50) REPEATABLE (1);
SELECT (SELECT count(*) FROM t TABLESAMPLE BERNOULLI (10) REPEATABLE (3)) = (SELECT count(*) FROM t TABLESAMPLE BERNOULLI (10) REPEATABLE (3)) AS repeatable;
SELECT count(*) = count(DISTINCT id) AS once FROM t TABLESAMPLE SYSTEM (30);
-- TIDs name rows.
SELECT count(DISTINCT ctid), bool_and(ctid > '(0,0)'), bool_and(tableoid = 't'::regclass) FROM t;
SELECT plan_has('SELECT * FROM t WHERE ctid = ''(0,1)''', 'Tid Scan');
SELECT id FROM t WHERE ctid = (SELECT ctid FROM t WHERE id = 777);
SELECT count(*), sum(id) FROM t WHERE ctid = ANY (ARRAY(SELECT ctid FROM t WHERE id <= 100));
SELECT count(*) FROM t WHERE ctid = '(4000000000,1)';
SELECT count(*) FROM t WHERE ctid = '(0,0)';
SELECT count(*) FROM t WHERE ctid IN (SELECT ctid FROM t WHERE v = 3);
SELECT plan_has('SELECT * FROM t WHERE ctid > ''(0,1)'' AND ctid < ''(10,1)''', 'Tid Range Scan');
SELECT count(*) FROM t WHERE ctid >= '(0,0)';
SELECT count(*) FROM t WHERE ctid > '(4000000000,1)';
SELECT min(ctid) AS first, max(ctid) AS last FROM t \gset
SELECT count(*) FROM t WHERE ctid >= :'first' AND ctid <= :'last';
SELECT count(*) FROM t WHERE ctid > :'first' AND ctid < :'last';
SELECT count(*) FROM t WHERE ctid <= :'first';
SELECT count(*) FROM t WHERE ctid < :'first';
SELECT ctid AS middle FROM t WHERE id = 10000 \gset
SELECT (SELECT count(*) FROM t WHERE ctid < :'middle') + (SELECT count(*) FROM t WHERE ctid >= :'middle') AS all_rows;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM t WHERE ctid < :'middle';
MOVE 5 IN c;
MOVE BACKWARD ALL IN c;
COMMIT;
UPDATE t SET v = -1 WHERE ctid = (SELECT ctid FROM t WHERE id = 5) RETURNING id, v;
DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE id BETWEEN 11 AND 20);
SELECT count(*) FROM t;
SELECT ctid AS one FROM t WHERE id = 30 \gset
DELETE FROM t WHERE id = 30;
SELECT count(*) FROM t WHERE ctid = :'one';
SELECT currtid2('t', :'middle') IS NOT NULL AS knows_latest;
-- System columns.
SELECT xmin::text AS before FROM t WHERE id = 40 \gset
UPDATE t SET v = v WHERE id = 40;
SELECT xmin::text <> :'before' AS changed FROM t WHERE id = 40;
SELECT xmin::text AS again FROM t WHERE id = 40 \gset
SELECT xmin::text = :'again' AS unchanged FROM t WHERE id = 40;
SELECT tableoid::regclass, cmin IS NOT NULL AS cmin, cmax IS NOT NULL AS cmax, xmax IS NOT NULL AS xmax FROM t WHERE id = 41;
SELECT count(*) FROM t WHERE xmin IS NULL OR tableoid IS NULL;
-- Parallel sequential scans, and a transaction's own rows in them.
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT plan_has('SELECT count(*), sum(id) FROM t', 'Parallel Seq Scan');
SELECT count(*), sum(id) FROM t;
SELECT v, count(*) FROM t WHERE id > 19000 GROUP BY v ORDER BY v LIMIT 5;
SELECT count(*) FROM t a JOIN t b USING (id) WHERE a.v = b.v;
SET parallel_leader_participation = off;
SELECT count(*), sum(id), sum(v) FROM t;
RESET parallel_leader_participation;
BEGIN;
UPDATE t SET v = v + 1 WHERE id <= 1000;
INSERT INTO t SELECT i, 0 FROM generate_series(30001, 31000) i;
DELETE FROM t WHERE id BETWEEN 2001 AND 2500;
SELECT count(*), sum(id), sum(v) FROM t;
SELECT count(*) FROM t a JOIN t b USING (id);
SAVEPOINT a;
DELETE FROM t;
SELECT count(*) FROM t;
ROLLBACK TO a;
SELECT count(*), sum(id), sum(v) FROM t;
ROLLBACK;
SELECT count(*), sum(id), sum(v) FROM t;
BEGIN;
CREATE TABLE own AS SELECT * FROM t;
SELECT count(*), sum(id) FROM own;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM t;
SELECT count(*) FROM own;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM t;
COMMIT;
CREATE TABLE par AS SELECT * FROM t WHERE v < 50;
SELECT count(*), sum(id) FROM par;
SET debug_parallel_query = on;
SET force_parallel_mode = on;
SELECT count(*), sum(id) FROM t WHERE v > 5;
RESET ALL;
-- EXPLAIN ANALYZE runs and counts.
CREATE FUNCTION actual_rows(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE j json;
BEGIN EXECUTE 'EXPLAIN (ANALYZE, FORMAT json, BUFFERS, WAL) ' || query INTO j; RETURN (j -> 0 -> 'Plan' ->> 'Actual Rows')::numeric::int; END $$;
SELECT actual_rows('SELECT * FROM t WHERE id <= 50');
SELECT actual_rows('SELECT * FROM t WHERE false');
BEGIN;
SELECT actual_rows('DELETE FROM t WHERE id <= 50 RETURNING *');
SELECT actual_rows('UPDATE t SET v = 0 WHERE id BETWEEN 51 AND 60 RETURNING *');
SELECT actual_rows('INSERT INTO t VALUES (-1, -1) RETURNING *');
SELECT count(*) FROM t WHERE id <= 60;
ROLLBACK;
-- The planner knows roughly how many rows there are.
CREATE FUNCTION estimated_rows(query text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE j json;
BEGIN EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO j; RETURN (j -> 0 -> 'Plan' ->> 'Plan Rows')::numeric; END $$;
SELECT estimated_rows('SELECT * FROM t') BETWEEN 15000 AND 25000;
SELECT estimated_rows('SELECT * FROM t WHERE v = 7') BETWEEN 100 AND 400;
-- Wide and narrow reads, and rereading in nested loops.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT count(*) FROM generate_series(1, 5) g LEFT JOIN t ON t.id = g;
SELECT g, (SELECT count(*) FROM t WHERE v = g) FROM generate_series(90, 92) g;
RESET ALL;
-- JIT reads the same.
SET jit = on;
SET jit_above_cost = 0;
SET jit_inline_above_cost = 0;
SET jit_optimize_above_cost = 0;
SELECT count(*), sum(id), sum(v), max(pad) FROM t WHERE id % 3 = 0 AND pad LIKE 'p%';
RESET ALL;
-- A reader holds locks on what it reads, and on nothing of the extension's.
CREATE TABLE read (id int PRIMARY KEY, v text);
INSERT INTO read VALUES (1, 'a');
CREATE FUNCTION locked() RETURNS TABLE (name text, mode text) LANGUAGE sql AS $$
  SELECT relname::text, mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
  WHERE pid = pg_backend_pid() AND locktype = 'relation' AND c.relnamespace <> 'pg_catalog'::regnamespace ORDER BY 1, 2 $$;
\c
BEGIN;
SELECT v FROM read;
SELECT * FROM locked();
UPDATE read SET v = 'b' WHERE id = 1;
SELECT * FROM locked();
ROLLBACK;
-- Blocks that are sampled, many of them empty: those of a row's own, one after another, and few.
CREATE TABLE holes AS SELECT i AS id, i % 10 AS v, CASE WHEN i % 100 = 7 THEN 'rare' ELSE 'often' END AS w FROM generate_series(1, 20000) i;
DELETE FROM holes WHERE id BETWEEN 300 AND 5000 OR id BETWEEN 6000 AND 6100 OR id BETWEEN 9000 AND 19000;
SELECT count(*), sum(id) FROM holes TABLESAMPLE SYSTEM (100);
SELECT count(*), sum(id) FROM holes TABLESAMPLE BERNOULLI (100);
SELECT g, (SELECT count(*) FROM holes TABLESAMPLE SYSTEM (100) WHERE id > g) AS more FROM generate_series(0, 20000, 4000) g;
SELECT count(*) = count(DISTINCT id) AND bool_and(id IN (SELECT id FROM holes)) AS theirs FROM holes TABLESAMPLE BERNOULLI (5) REPEATABLE (7);
SELECT count(*) = count(DISTINCT id) AND count(*) BETWEEN 1 AND 4000 AS some FROM holes TABLESAMPLE SYSTEM (20) REPEATABLE (9);
SELECT (SELECT sum(id) FROM holes TABLESAMPLE SYSTEM (20) REPEATABLE (9)) = (SELECT sum(id) FROM holes TABLESAMPLE SYSTEM (20) REPEATABLE (9)) AS repeatable;
ANALYZE holes;
SELECT reltuples FROM pg_class WHERE oid = 'holes'::regclass;
SELECT attname, n_distinct, round(correlation::numeric, 2) AS correlation FROM pg_stats WHERE tablename = 'holes' ORDER BY attname;
SELECT most_common_vals, round(most_common_freqs[1]::numeric, 2) AS first FROM pg_stats WHERE tablename = 'holes' AND attname = 'w';
BEGIN;
DELETE FROM holes WHERE id < 7000;
INSERT INTO holes SELECT i, i % 10, 'new' FROM generate_series(30001, 30600) i;
UPDATE holes SET w = 'newer' WHERE id % 50 = 0;
SELECT count(*), sum(id), count(DISTINCT w) FROM holes TABLESAMPLE SYSTEM (100);
SELECT count(*), sum(id), count(DISTINCT w) FROM holes TABLESAMPLE BERNOULLI (100);
ROLLBACK;
SELECT count(*), sum(id), count(DISTINCT w) FROM holes TABLESAMPLE SYSTEM (100);
TRUNCATE holes;
SELECT count(*) FROM holes TABLESAMPLE SYSTEM (100);
ANALYZE holes;
