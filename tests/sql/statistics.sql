-- ANALYZE, VACUUM, autovacuum, sizes and the views that count.
CREATE TABLE t (id int, k int, s text, n text);
INSERT INTO t SELECT i, i % 5, CASE WHEN i % 4 = 0 THEN NULL ELSE 's' || i % 3 END, NULL FROM generate_series(1, 10000) i;
ANALYZE t;
SELECT reltuples FROM pg_class WHERE oid = 't'::regclass;
SELECT relpages > 0 AS has_pages FROM pg_class WHERE oid = 't'::regclass;
SELECT attname, null_frac, avg_width, n_distinct, (most_common_vals IS NOT NULL) AS mcv, array_length(most_common_freqs, 1) AS mcf
FROM pg_stats WHERE tablename = 't' ORDER BY attname;
SELECT most_common_vals, most_common_freqs FROM pg_stats WHERE tablename = 't' AND attname = 'k' AND most_common_vals::text = '';
SELECT array_length(histogram_bounds, 1) FROM pg_stats WHERE tablename = 't' AND attname = 'id';
-- More rows than the sample: every part of the table is in it.
CREATE TABLE big AS SELECT i AS id, i % 1000 AS k FROM generate_series(1, 100000) i;
SET default_statistics_target = 10;
ANALYZE big;
SELECT reltuples BETWEEN 90000 AND 110000 AS close FROM pg_class WHERE oid = 'big'::regclass;
SELECT n_distinct BETWEEN 500 AND 1500 OR n_distinct BETWEEN -0.02 AND -0.004 AS close FROM pg_stats WHERE tablename = 'big' AND attname = 'k';
SELECT (histogram_bounds::text::int[])[1] < 5000 AS low, (histogram_bounds::text::int[])[11] > 95000 AS high,
       (histogram_bounds::text::int[])[6] BETWEEN 35000 AND 65000 AS middle
FROM pg_stats WHERE tablename = 'big' AND attname = 'id';
RESET default_statistics_target;
ANALYZE big (id);
ANALYZE;
-- A table that nobody has analyzed is expected to grow: its rows are few, and the planner does not count on that.
CREATE TABLE young (id int PRIMARY KEY, k int, v text);
INSERT INTO young SELECT i, i, 'v' FROM generate_series(1, 3) i;
CREATE FUNCTION expected(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan; RETURN (plan->0->'Plan'->>'Plan Rows')::int; END $$;
SELECT expected('SELECT * FROM young'), expected('SELECT * FROM young WHERE k = 1');
CREATE TABLE parent (a int, b numeric, c varchar(20));
SELECT expected('SELECT * FROM parent');
CREATE TABLE child () INHERITS (parent);
SELECT expected('SELECT * FROM child'), expected('SELECT * FROM ONLY parent');
CREATE TEMP TABLE young_temp (a int);
SELECT expected('SELECT * FROM young_temp');
SELECT expected('SELECT * FROM young y JOIN young z USING (k)');
ANALYZE young;
SELECT expected('SELECT * FROM young');
TRUNCATE young;
INSERT INTO young SELECT i, i, 'v' FROM generate_series(1, 5) i;
VACUUM young;
SELECT expected('SELECT * FROM young');
-- VACUUM in its forms, and the same answers after it.
DELETE FROM big WHERE id % 2 = 0;
UPDATE big SET k = 0 WHERE id < 1000;
VACUUM big;
VACUUM (ANALYZE) big;
VACUUM (FREEZE, DISABLE_PAGE_SKIPPING, INDEX_CLEANUP off, TRUNCATE off, PARALLEL 0) big;
SELECT count(*), sum(id), sum(k) FROM big;
SELECT reltuples BETWEEN 45000 AND 55000 AS close FROM pg_class WHERE oid = 'big'::regclass;
VACUUM (PARALLEL 1) young_temp;
CREATE INDEX ON young_temp (a);
CREATE INDEX ON young_temp ((a + 1));
VACUUM (PARALLEL 1) young_temp;
VACUUM (PARALLEL 1, INDEX_CLEANUP off) young_temp;
VACUUM (PARALLEL 1, ANALYZE) young;
VACUUM FULL big;
SELECT count(*), sum(id), sum(k) FROM big;
BEGIN;
VACUUM big;
ROLLBACK;
-- Sizes.
SELECT pg_relation_size('big') > 0 AS relation, pg_table_size('big') > 0 AS table_, pg_total_relation_size('big') >= pg_table_size('big') AS total, pg_indexes_size('big') AS indexes;
SELECT pg_relation_size('big', 'main') > 0 AS main, pg_relation_size('big', 'vm') >= 0 AS vm, pg_relation_size('big', 'fsm') >= 0 AS fsm;
SELECT pg_relation_size('big') AS before \gset
INSERT INTO big SELECT i, i FROM generate_series(1, 50000) i;
VACUUM big;
SELECT pg_relation_size('big') > :before AS grows;
TRUNCATE big;
SELECT pg_relation_size('big') < :before AS shrinks;
CREATE TABLE nil (v int);
SELECT pg_relation_size('nil') < 100000 AS small, pg_total_relation_size('nil') < 100000 AS also;
SELECT pg_database_size(current_database()) > 0;
SELECT pg_relation_filenode('t') IS NOT NULL, pg_relation_filepath('t') IS NOT NULL;
-- Counters.
CREATE TABLE counted (id int, v int);
INSERT INTO counted SELECT i, 0 FROM generate_series(1, 100) i;
UPDATE counted SET v = 1 WHERE id <= 30;
DELETE FROM counted WHERE id > 90;
SELECT count(*) FROM counted;
BEGIN;
INSERT INTO counted VALUES (1000, 1);
DELETE FROM counted WHERE id <= 5;
ROLLBACK;
SELECT pg_stat_force_next_flush();
SELECT pg_stat_clear_snapshot();
SELECT n_tup_ins, n_tup_upd, n_tup_del, n_live_tup, seq_scan, seq_tup_read FROM pg_stat_user_tables WHERE relname = 'counted';
SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_xact_user_tables WHERE relname = 'counted';
BEGIN;
UPDATE counted SET v = 2 WHERE id <= 10;
SELECT n_tup_upd FROM pg_stat_xact_user_tables WHERE relname = 'counted';
COMMIT;
SELECT heap_blks_read >= 0, heap_blks_hit >= 0 FROM pg_statio_user_tables WHERE relname = 'counted';
-- Autovacuum and autoanalyze come by themselves.
CREATE TABLE auto (id int, v int) WITH (autovacuum_vacuum_threshold = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_analyze_threshold = 10, autovacuum_analyze_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10, autovacuum_vacuum_insert_scale_factor = 0);
INSERT INTO auto SELECT i, 0 FROM generate_series(1, 1000) i;
UPDATE auto SET v = 1;
DELETE FROM auto WHERE id > 500;
SELECT pg_stat_force_next_flush();
CREATE PROCEDURE wait_for(what text) LANGUAGE plpgsql AS $$
DECLARE came boolean;
BEGIN
  FOR i IN 1..300 LOOP
    PERFORM pg_stat_clear_snapshot();
    EXECUTE format('SELECT %s FROM pg_stat_user_tables WHERE relname = ''auto''', what) INTO came;
    EXIT WHEN came;
    COMMIT;
    PERFORM pg_sleep(0.1);
  END LOOP;
  RAISE NOTICE '%: %', what, came;
END $$;
CALL wait_for('last_autoanalyze IS NOT NULL');
CALL wait_for('last_autovacuum IS NOT NULL');
SELECT count(*), sum(v) FROM auto;
SELECT count(*) FROM pg_stats WHERE tablename = 'auto';
