-- Indexes as only fakegres has them: which access methods a statement may name, what becomes of them,
-- fakegres.check after everything that changes rows and entries, sizes, and reading the past by index.
\set VERBOSITY terse
-- The access methods.
CREATE TABLE t (id int, k int, v text);
INSERT INTO t SELECT i, i % 10, 'v' || i FROM generate_series(1, 1000) i;
CREATE UNIQUE INDEX t_id ON t USING btree (id);
CREATE INDEX t_k ON t USING hash (k);
CREATE INDEX t_v ON t USING fakegres_index (v text_ops DESC, id);
CREATE INDEX t_plain ON t (k, id) INCLUDE (v);
SELECT relname, amname, opcname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam JOIN pg_opclass o ON o.oid = i.indclass[0] WHERE indrelid = 't'::regclass ORDER BY 1;
\d t
SELECT indexdef FROM pg_indexes WHERE tablename = 't' ORDER BY indexname;
\set VERBOSITY default
CREATE INDEX ON t USING gin (to_tsvector('simple', v));
CREATE INDEX ON t USING gist (int4range(id, id + 1));
CREATE INDEX ON t USING spgist (v);
CREATE INDEX ON t USING brin (id);
ALTER TABLE t ADD EXCLUDE USING gist (int4range(id, id + 1) WITH &&);
CREATE TABLE heap_table (id int) USING heap;
CREATE INDEX ON heap_table USING fakegres_index (id);
CREATE INDEX t_columns ON t (id) WITH (fillfactor = 50);
SELECT reloptions FROM pg_class WHERE relname = 't_columns';
DROP INDEX IF EXISTS t_columns;
CREATE INDEX ON t (no_such_column);
CREATE INDEX ON t ((NULL::point));
CREATE INDEX ON t ((NULL::json));
\set VERBOSITY terse
-- fakegres.check: nothing is wrong, whatever was done.
SELECT * FROM fakegres.check('t');
UPDATE t SET v = v || '!' WHERE id % 3 = 0;
UPDATE t SET k = k + 1, id = -id WHERE id % 5 = 0;
UPDATE t SET v = v;
DELETE FROM t WHERE id % 7 = 0;
INSERT INTO t SELECT 2000 + i, i, NULL FROM generate_series(1, 10) i;
SELECT * FROM fakegres.check('t');
BEGIN;
INSERT INTO t VALUES (3000, 1, 'a'), (3001, 1, 'b');
UPDATE t SET id = 3002 WHERE id = 3000;
SAVEPOINT s;
DELETE FROM t WHERE id > 2000;
UPDATE t SET k = -1;
ROLLBACK TO s;
UPDATE t SET k = 5 WHERE id = 3001;
SELECT * FROM fakegres.check('t');
COMMIT;
SELECT * FROM fakegres.check('t');
DO $$ BEGIN
  FOR i IN 1 .. 20 LOOP
    BEGIN
      UPDATE t SET k = i WHERE id = 1;
      INSERT INTO t VALUES (CASE WHEN i % 2 = 0 THEN 1 ELSE 5000 + i END, 0, 'loop');
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
  END LOOP;
END $$;
INSERT INTO t SELECT i, 0, 'conflict' FROM generate_series(1, 20) i ON CONFLICT (id) DO UPDATE SET k = -excluded.k - 1, id = t.id + 10000;
INSERT INTO t SELECT i, 0, 'nothing' FROM generate_series(1, 20) i ON CONFLICT DO NOTHING;
SELECT * FROM fakegres.check('t');
ALTER TABLE t ADD COLUMN extra numeric DEFAULT 1.50;
CREATE INDEX t_extra ON t (extra, (k % 3)) WHERE k >= 0;
ALTER TABLE t ALTER k TYPE bigint;
UPDATE t SET extra = 1.5 WHERE k = 1;
UPDATE t SET k = -k WHERE k BETWEEN 1 AND 3;
SELECT * FROM fakegres.check('t');
REINDEX TABLE t;
REINDEX TABLE CONCURRENTLY t;
VACUUM FULL t;
CLUSTER t USING t_id;
SELECT * FROM fakegres.check('t');
CREATE INDEX CONCURRENTLY t_late ON t (v COLLATE "en-x-icu", extra);
UPDATE t SET v = upper(v) WHERE id % 2 = 0;
SELECT * FROM fakegres.check('t');
BEGIN;
TRUNCATE t;
INSERT INTO t VALUES (1, 1, 'x');
SELECT * FROM fakegres.check('t');
ROLLBACK;
SELECT * FROM fakegres.check('t');
VACUUM (ANALYZE) t;
SELECT * FROM fakegres.check('t');
DROP INDEX CONCURRENTLY t_late;
-- From heap and back, partitions, keys of every length, types with equal values that look different.
CREATE TABLE moved (id int PRIMARY KEY, v text, EXCLUDE (v WITH =) DEFERRABLE INITIALLY DEFERRED) USING heap;
INSERT INTO moved SELECT i, 'v' || i FROM generate_series(1, 500) i;
ALTER TABLE moved SET ACCESS METHOD fakegres;
SELECT * FROM fakegres.check('moved');
BEGIN;
UPDATE moved SET v = 'v1' WHERE id = 2;
UPDATE moved SET v = 'v2' WHERE id = 1;
COMMIT;
SELECT * FROM fakegres.check('moved');
CREATE TABLE part (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (100);
CREATE TABLE part_2 (id int NOT NULL, v int);
INSERT INTO part SELECT i, i FROM generate_series(1, 99) i;
INSERT INTO part_2 SELECT i, i FROM generate_series(100, 199) i;
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (100) TO (200);
CREATE INDEX ON part (v);
DELETE FROM part WHERE id IN (5, 6, 7, 194, 195);
UPDATE part SET id = 299 - id WHERE id IN (104, 105);
UPDATE part SET id = 200 - id WHERE id = 193;
SELECT * FROM fakegres.check('part_1');
SELECT * FROM fakegres.check('part_2');
SELECT * FROM fakegres.check('part');
SELECT * FROM fakegres.check('heap_table');
CREATE TABLE values_ (n numeric, f float8, i interval, c char(9), b bytea, x text);
CREATE INDEX ON values_ (n);
CREATE INDEX ON values_ (f DESC);
CREATE INDEX ON values_ (i, n);
CREATE INDEX ON values_ (c);
CREATE INDEX ON values_ (b);
CREATE INDEX ON values_ (x, n);
INSERT INTO values_ VALUES (1.0, '-0', '1 day', 'a', '\x00', 'x'), (1.00, 0, '24:00', 'a  ', '\x0000', repeat('long ', 300)), ('NaN', 'NaN', '-1 mon', '', '', '');
INSERT INTO values_ SELECT i, i, make_interval(mins => i), i, convert_to(repeat(i::text, 300), 'UTF8'), repeat('prefix', 200) || i FROM generate_series(1, 300) i;
SELECT * FROM fakegres.check('values_');
UPDATE values_ SET n = 1.000, f = 0, i = '24 hours', c = 'a' WHERE n = 1;
UPDATE values_ SET x = x || 'x', b = b || '\x00';
DELETE FROM values_ WHERE n > 250;
SELECT * FROM fakegres.check('values_');
CREATE TABLE own AS SELECT i AS id FROM generate_series(1, 100) i;
BEGIN;
CREATE TABLE fresh (id int PRIMARY KEY, v int UNIQUE DEFERRABLE);
INSERT INTO fresh SELECT i, i FROM generate_series(1, 3000) i;
UPDATE fresh SET v = 3001 - v;
DELETE FROM fresh WHERE id % 2 = 0;
SELECT * FROM fakegres.check('fresh');
SAVEPOINT s;
UPDATE fresh SET id = id + 1;
CREATE INDEX ON fresh (v, id);
SELECT * FROM fakegres.check('fresh');
ROLLBACK TO s;
SELECT * FROM fakegres.check('fresh');
COMMIT;
SELECT * FROM fakegres.check('fresh');
CREATE TEMP TABLE temporary (id int PRIMARY KEY, v int) ON COMMIT DELETE ROWS;
CREATE INDEX ON temporary (v);
INSERT INTO temporary VALUES (1, 1);
SELECT count(*) FROM temporary;
BEGIN;
INSERT INTO temporary VALUES (1, 1), (2, 2);
SELECT * FROM fakegres.check('temporary');
COMMIT;
SELECT * FROM fakegres.check('temporary');
CREATE MATERIALIZED VIEW mv AS SELECT k, count(*) AS n FROM t GROUP BY k;
CREATE UNIQUE INDEX ON mv (k);
UPDATE t SET k = 100 WHERE k = 5;
REFRESH MATERIALIZED VIEW CONCURRENTLY mv;
SELECT * FROM fakegres.check('mv');
COPY own FROM stdin;
101
102
\.
ALTER TABLE own ADD PRIMARY KEY (id);
SELECT * FROM fakegres.check('own');
-- Two rows with one key are found even if each has its entry: here while the catalog said that the index
-- is not unique.
CREATE TABLE twice (id int CONSTRAINT twice_id UNIQUE DEFERRABLE, j jsonb, n int);
CREATE UNIQUE INDEX twice_j ON twice (j);
CREATE UNIQUE INDEX twice_n ON twice (n) INCLUDE (id);
INSERT INTO twice SELECT i, jsonb_build_object('k', i), i FROM generate_series(1, 5) i;
INSERT INTO twice VALUES (NULL, NULL, NULL), (NULL, NULL, NULL);
UPDATE pg_index SET indisunique = false WHERE indrelid = 'twice'::regclass;
\c
\set VERBOSITY terse
INSERT INTO twice VALUES (2, '{"k": 3}', 4), (NULL, NULL, NULL);
UPDATE pg_index SET indisunique = true WHERE indrelid = 'twice'::regclass;
\c
\set VERBOSITY terse
SELECT * FROM fakegres.check('twice');
REINDEX INDEX twice_j;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
DELETE FROM twice WHERE n = 4 AND id = 2;
RESET enable_indexscan;
RESET enable_bitmapscan;
SELECT * FROM fakegres.check('twice');
REINDEX TABLE twice;
SELECT * FROM fakegres.check('twice');
-- A value compressed by another method is the same value.
CREATE TABLE compressed (id int, v text COMPRESSION lz4);
CREATE INDEX ON compressed (v);
INSERT INTO compressed VALUES (1, repeat('0123456789', 1000));
SET default_toast_compression = lz4;
INSERT INTO compressed VALUES (2, repeat('9876543210', 1000));
RESET default_toast_compression;
SELECT * FROM fakegres.check('compressed');
UPDATE compressed SET id = id + 1;
DELETE FROM compressed WHERE v = repeat('0123456789', 1000);
SELECT * FROM fakegres.check('compressed');
DROP TABLE twice, compressed;
-- An update that changes no indexed column writes no entry; sizes; an index counts as its table's.
SELECT pg_relation_size('t_id') > 0 AS index, pg_indexes_size('t') >= pg_relation_size('t_id') + pg_relation_size('t_v') AS indexes, pg_total_relation_size('t') = pg_table_size('t') + pg_indexes_size('t') AS total;
SELECT pg_indexes_size('fresh') AS indexes \gset
ALTER TABLE fresh ADD COLUMN note text;
UPDATE fresh SET note = 'x';
SELECT pg_indexes_size('fresh') <= :indexes AS unchanged;
SELECT name, kind, rows FROM fakegres.tables WHERE name IN ('fresh', 't', 'mv', 'moved', 'part_1') ORDER BY name;
SELECT count(*) FROM fakegres.tables WHERE rows IS NULL OR rows < 0;
-- Reading the past by an index that was there, and by one that was not.
CREATE TABLE past (id int PRIMARY KEY, v text);
CREATE INDEX past_v ON past (v);
INSERT INTO past VALUES (1, 'one'), (2, 'two'), (3, 'three');
SELECT pg_sleep(0.01);
SELECT clock_timestamp() AS first \gset
SELECT pg_sleep(0.01);
UPDATE past SET id = id + 10, v = v || '!' WHERE id < 3;
DELETE FROM past WHERE id = 3;
CREATE INDEX past_younger ON past (v DESC, id);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT * FROM past ORDER BY id;
SET fakegres.as_of = :'first';
SELECT * FROM past ORDER BY id;
SELECT id FROM past WHERE id = 1;
SELECT id FROM past WHERE id = 11;
SELECT v FROM past WHERE v >= 'o' ORDER BY v;
SELECT v, id FROM past WHERE v > 'one' ORDER BY v DESC, id;
SELECT id, v FROM past WHERE v = 'three';
SELECT max(id), min(v) FROM past;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = on;
SELECT id FROM past WHERE v = 'two' OR id = 3 ORDER BY id;
RESET fakegres.as_of;
SELECT id FROM past WHERE v = 'two!' OR id = 3 ORDER BY id;
RESET ALL;
-- What is dropped leaves nothing.
SELECT count(*) AS spaces FROM fakegres.spaces \gset
CREATE TABLE gone (id int PRIMARY KEY, v text UNIQUE);
INSERT INTO gone SELECT i, i FROM generate_series(1, 100) i;
CREATE INDEX gone_i ON gone (v, id);
DROP INDEX gone_i;
ALTER TABLE gone DROP CONSTRAINT gone_v_key;
DROP TABLE gone;
BEGIN;
CREATE TABLE gone (id int PRIMARY KEY, v text UNIQUE);
INSERT INTO gone VALUES (1, 'x');
ROLLBACK;
SELECT count(*) = :spaces AS as_before FROM fakegres.spaces;
SELECT fakegres.sweep();
