-- What this version does not do is refused with its SQLSTATE, and nothing is left behind.
\set VERBOSITY sqlstate
CREATE TABLE t (id int, v text);
INSERT INTO t VALUES (1, 'a'), (1, 'b');
-- Indexes of every kind, and the constraints that need one.
CREATE INDEX ON t (id);
CREATE UNIQUE INDEX ON t (id);
CREATE INDEX CONCURRENTLY ON t (id);
CREATE INDEX ON t USING hash (id);
CREATE INDEX ON t USING gin (to_tsvector('english', v));
CREATE INDEX ON t USING brin (id);
ALTER TABLE t ADD PRIMARY KEY (id);
ALTER TABLE t ADD UNIQUE (v);
ALTER TABLE t ADD EXCLUDE USING gist (v WITH =);
CREATE TABLE p (id int PRIMARY KEY);
CREATE TABLE u (id int UNIQUE);
CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (2);
CREATE TABLE heap_with_index (id int PRIMARY KEY) USING heap;
ALTER TABLE heap_with_index SET ACCESS METHOD fakegres;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM t;
CREATE UNIQUE INDEX ON mv (id);
SELECT count(*) FROM pg_index WHERE indrelid IN ('t'::regclass, 'mv'::regclass);
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
