-- What this version does not do is refused with its SQLSTATE, and nothing is left behind.
\set VERBOSITY sqlstate
CREATE TABLE t (id int, v text);
INSERT INTO t VALUES (1, 'a'), (1, 'b');
-- Indexes of kinds that order cannot serve.
CREATE INDEX ON t USING gin (to_tsvector('english', v));
CREATE INDEX ON t USING gist (int4range(id, id + 1));
CREATE INDEX ON t USING spgist (v);
CREATE INDEX ON t USING brin (id);
ALTER TABLE t ADD EXCLUDE USING gist (int4range(id, id + 1) WITH &&);
CREATE TABLE ranges (r int4range, EXCLUDE USING gist (r WITH &&));
CREATE TABLE heap_with_index (v text) USING heap;
CREATE INDEX heap_hash ON heap_with_index USING hash (v);
ALTER TABLE heap_with_index SET ACCESS METHOD fakegres;
DROP INDEX heap_hash;
CREATE INDEX ON heap_with_index USING gin (to_tsvector('english', v));
ALTER TABLE heap_with_index SET ACCESS METHOD fakegres;
CREATE INDEX ON heap_with_index USING fakegres_index (v);
CREATE MATERIALIZED VIEW mv AS SELECT * FROM t;
CREATE INDEX ON mv USING brin (id);
CREATE TABLE part (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (10);
CREATE INDEX ON part USING brin (id);
CREATE INDEX ON part USING gin (to_tsvector('english', v));
SELECT count(*) FROM pg_index WHERE indrelid IN ('t'::regclass, 'mv'::regclass, 'part'::regclass, 'part_1'::regclass);
SELECT amname FROM pg_am a JOIN pg_class c ON c.relam = a.oid WHERE c.oid = 'heap_with_index'::regclass;
-- Two-phase commit of writes; of reads it is right.
BEGIN;
INSERT INTO t VALUES (2, 'c');
PREPARE TRANSACTION 'writes';
BEGIN;
SELECT count(*) FROM t;
PREPARE TRANSACTION 'reads';
COMMIT PREPARED 'reads';
SELECT count(*) FROM pg_prepared_xacts;
SELECT count(*) FROM t;
-- A copy of a database with fakegres tables would share their rows.
SELECT current_database() AS here \gset
\c template1
CREATE DATABASE copied TEMPLATE :here;
SELECT count(*) FROM pg_database WHERE datname = 'copied';
\c :here
SELECT count(*) FROM t;
