-- The definitions in the store follow the catalog, change by change, and not what was rolled back.
-- A dropped database of the same name leaves definitions until a sweep.
SELECT fakegres.sweep() >= 0;
CREATE FUNCTION def(wanted text) RETURNS jsonb LANGUAGE sql AS
  'SELECT definition FROM fakegres.definitions() d WHERE d.database = current_database() AND d.name = wanted';
CREATE FUNCTION names() RETURNS text LANGUAGE sql AS
  'SELECT string_agg(d.schema || ''.'' || d.name, '' '' ORDER BY d.schema, d.name) FROM fakegres.definitions() d WHERE d.database = current_database()';
CREATE FUNCTION constraints(wanted text) RETURNS TABLE (name text, definition text) LANGUAGE sql AS
  'SELECT c->>''name'', c->>''definition'' FROM jsonb_array_elements(def(wanted)->''constraints'') c';
CREATE FUNCTION columns(wanted text) RETURNS TABLE (name text, type text, "default" text, not_null boolean, dropped boolean) LANGUAGE sql AS
  'SELECT c->>''name'', c->>''type_name'', c->>''default'', (c->>''not_null'')::boolean, (c->>''dropped'')::boolean FROM jsonb_array_elements(def(wanted)->''columns'') c';
CREATE FUNCTION labels(wanted text) RETURNS jsonb LANGUAGE sql AS
  'SELECT jsonb_path_query_array(def(wanted), ''$.types[*].labels[*][1]'')';
CREATE FUNCTION attributes(wanted text) RETURNS jsonb LANGUAGE sql AS
  'SELECT jsonb_path_query_array(def(wanted), ''$.types[*].attributes[*]'')';
CREATE TABLE t (id int, v text);
SELECT names();
SELECT * FROM columns('t');
-- Constraints and defaults.
ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0);
ALTER TABLE t ADD CONSTRAINT short CHECK (length(v) < 10) NOT VALID;
SELECT * FROM constraints('t');
ALTER TABLE t VALIDATE CONSTRAINT short;
ALTER TABLE t RENAME CONSTRAINT positive TO above_zero;
SELECT * FROM constraints('t');
ALTER TABLE t DROP CONSTRAINT above_zero;
SELECT * FROM constraints('t');
ALTER TABLE t ALTER id SET DEFAULT 7, ALTER v SET DEFAULT 'seven', ALTER v SET NOT NULL;
SELECT * FROM columns('t');
ALTER TABLE t ALTER id DROP DEFAULT, ALTER v DROP NOT NULL;
SELECT * FROM columns('t');
ALTER TABLE t ALTER id SET DEFAULT 8;
SELECT * FROM columns('t');
ALTER TABLE t ALTER id DROP DEFAULT;
SELECT * FROM columns('t');
-- Several in one transaction, some of them undone, and all undone.
BEGIN;
CREATE TABLE several (id int);
ALTER TABLE several ADD CONSTRAINT kept CHECK (id > 0);
ALTER TABLE several ALTER id SET DEFAULT 1;
SAVEPOINT s;
ALTER TABLE several ADD CONSTRAINT undone CHECK (id > 1);
ALTER TABLE several ALTER id SET DEFAULT 2;
ROLLBACK TO s;
ALTER TABLE several ADD CONSTRAINT later CHECK (id < 100);
COMMIT;
SELECT * FROM constraints('several');
SELECT * FROM columns('several');
BEGIN;
ALTER TABLE several DROP CONSTRAINT kept;
ALTER TABLE several ALTER id DROP DEFAULT;
ALTER TABLE several RENAME TO other_name;
ALTER TABLE several_never_was RENAME TO x;
ROLLBACK;
BEGIN;
ALTER TABLE several ADD COLUMN added int;
DROP TABLE t;
ROLLBACK;
SELECT * FROM constraints('several');
SELECT * FROM columns('several');
SELECT names();
-- Partitions.
CREATE TABLE parent (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE part (id int, v text);
ALTER TABLE parent ATTACH PARTITION part FOR VALUES FROM (1) TO (10);
SELECT def('part')->'parents', def('part')->'partition_bound';
BEGIN;
ALTER TABLE parent DETACH PARTITION part;
ROLLBACK;
SELECT def('part')->'parents', def('part')->'partition_bound';
ALTER TABLE parent ADD CONSTRAINT inherited CHECK (id <> 5);
SELECT * FROM constraints('part');
ALTER TABLE parent RENAME v TO w;
SELECT * FROM columns('part');
ALTER TABLE parent DETACH PARTITION part;
SELECT def('part')->'parents', def('part')->'partition_bound';
BEGIN;
ALTER TABLE parent ATTACH PARTITION part FOR VALUES FROM (1) TO (10);
ALTER TABLE parent DETACH PARTITION part;
ALTER TABLE parent ATTACH PARTITION part FOR VALUES FROM (20) TO (30);
COMMIT;
SELECT def('part')->'parents', def('part')->'partition_bound';
-- Types: the table that uses them is defined anew.
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE TABLE typed (m mood, ms mood[], p pair);
SELECT labels('typed'), attributes('typed');
ALTER TYPE mood ADD VALUE 'ok' BEFORE 'happy';
ALTER TYPE mood RENAME VALUE 'sad' TO 'unhappy';
SELECT labels('typed');
BEGIN;
ALTER TYPE mood ADD VALUE 'never';
ALTER TYPE mood RENAME VALUE 'ok' TO 'fine';
ROLLBACK;
SELECT labels('typed');
CREATE TABLE typed_2 (m mood, p mood[]);
CREATE TYPE nested AS (a int);
CREATE TYPE outer_type AS (n nested, m mood);
CREATE TABLE typed_3 (o outer_type[]);
ALTER TYPE mood ADD VALUE 'glad';
SELECT labels('typed'), labels('typed_2'), labels('typed_3');
BEGIN;
CREATE TYPE fresh AS (a int);
ALTER TYPE fresh ADD ATTRIBUTE b text;
CREATE TABLE typed_4 (f fresh);
COMMIT;
SELECT attributes('typed_4');
\set VERBOSITY sqlstate
ALTER TYPE pair ADD ATTRIBUTE c date;
ALTER TYPE pair RENAME ATTRIBUTE b TO bb;
\set VERBOSITY default
SELECT attributes('typed');
ALTER TYPE mood RENAME TO feeling;
SELECT * FROM columns('typed');
-- Names.
ALTER TABLE t RENAME COLUMN v TO renamed;
SELECT * FROM columns('t');
ALTER TABLE t RENAME TO tt;
SELECT names();
CREATE SCHEMA one;
ALTER TABLE tt SET SCHEMA one;
SELECT names();
ALTER SCHEMA one RENAME TO two;
SELECT names();
BEGIN;
ALTER SCHEMA two RENAME TO three;
ROLLBACK;
SELECT names();
BEGIN;
ALTER SCHEMA two RENAME TO three;
ALTER TABLE three.tt RENAME TO ttt;
ALTER TABLE three.ttt ADD COLUMN late int;
COMMIT;
SELECT names();
SELECT * FROM columns('ttt');
-- Gone.
DROP TABLE several;
SELECT names();
BEGIN;
DROP TABLE part;
SAVEPOINT s;
DROP TABLE typed;
ROLLBACK TO s;
CREATE TABLE brief (id int);
DROP TABLE brief;
COMMIT;
SELECT names();
DROP SCHEMA three CASCADE;
SELECT names();
SET client_min_messages = warning;
DROP TYPE feeling CASCADE;
SELECT names();
SELECT * FROM columns('typed');
-- The catalog version grows with every change of a definition, and with nothing else.
RESET client_min_messages;
CREATE TABLE versioned (id int PRIMARY KEY, v text);
SELECT fakegres.catalog_version() AS version \gset
INSERT INTO versioned VALUES (1, 'one');
ANALYZE versioned;
BEGIN;
ALTER TABLE versioned ADD COLUMN never int;
ROLLBACK;
SELECT fakegres.catalog_version() = :version AS same;
ALTER TABLE versioned ADD COLUMN w int;
SELECT fakegres.catalog_version() > :version AS grown, fakegres.catalog_version() AS version \gset
SELECT :'grown' AS grown;
CREATE INDEX ON versioned (w);
SELECT fakegres.catalog_version() > :version AS grown, fakegres.catalog_version() AS version \gset
SELECT :'grown' AS grown;
REINDEX INDEX versioned_w_idx;
SELECT fakegres.catalog_version() > :version AS grown, fakegres.catalog_version() AS version \gset
SELECT :'grown' AS grown;
SELECT count(*) AS indexes, bool_and((i->>'space')::bigint IN (SELECT space FROM fakegres.indexes WHERE "table" = 'versioned'::regclass)) AS theirs
  FROM jsonb_array_elements(def('versioned')->'indexes') i;
TRUNCATE versioned;
SELECT fakegres.catalog_version() > :version AS grown, fakegres.catalog_version() AS version \gset
SELECT :'grown' AS grown;
BEGIN;
SELECT fakegres.catalog_version() = :version AS same;
DROP TABLE versioned;
SELECT fakegres.catalog_version() = :version AS not_yet;
COMMIT;
SELECT fakegres.catalog_version() > :version AS grown;
