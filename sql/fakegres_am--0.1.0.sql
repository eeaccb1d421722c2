-- Installs fakegres_am 0.1.0. A released script is never edited.
\echo Use "CREATE EXTENSION fakegres_am" to load this file. \quit

CREATE FUNCTION fakegres.table_handler(internal) RETURNS table_am_handler
    LANGUAGE c AS 'MODULE_PATHNAME', 'fakegres_table_handler';

CREATE ACCESS METHOD fakegres TYPE TABLE HANDLER fakegres.table_handler;
CREATE FUNCTION fakegres.index_handler(internal) RETURNS index_am_handler
    LANGUAGE c AS 'MODULE_PATHNAME', 'fakegres_index_handler';
CREATE ACCESS METHOD fakegres_index TYPE INDEX HANDLER fakegres.index_handler;
COMMENT ON ACCESS METHOD fakegres_index IS 'indexes of fakegres tables; made by CREATE INDEX without USING';

-- Where PostgreSQL makes an index by the name of its access method, it looks for operator classes of
-- that access method. These stand for those of btree, of the same names, which the index then gets;
-- until then, they say that they are of the families of btree.
CREATE OPERATOR FAMILY fakegres.btree_families USING fakegres_index;
DO $$
DECLARE
    class record;
BEGIN
    FOR class IN SELECT c.opcname, n.nspname, c.opcdefault, c.opcintype::regtype AS type
                 FROM pg_catalog.pg_opclass c
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.opcnamespace
                 JOIN pg_catalog.pg_am a ON a.oid = c.opcmethod
                 WHERE a.amname = 'btree' LOOP
        EXECUTE format(
            'CREATE OPERATOR CLASS %I.%I %s FOR TYPE %s USING fakegres_index FAMILY fakegres.btree_families AS STORAGE %s',
            class.nspname, class.opcname, CASE WHEN class.opcdefault THEN 'DEFAULT' ELSE '' END,
            class.type, class.type);
    END LOOP;
    UPDATE pg_catalog.pg_opclass ours SET opcfamily = theirs.opcfamily
    FROM pg_catalog.pg_opclass theirs, pg_catalog.pg_am btree, pg_catalog.pg_am fakegres
    WHERE btree.amname = 'btree' AND theirs.opcmethod = btree.oid
      AND fakegres.amname = 'fakegres_index' AND ours.opcmethod = fakegres.oid
      AND ours.opcname = theirs.opcname AND ours.opcnamespace = theirs.opcnamespace;
END $$;
COMMENT ON ACCESS METHOD fakegres IS 'rows in a key-value store';

-- Which space of which store each relation file stands for. Written by the access method.
CREATE TABLE fakegres.spaces (
    tablespace oid NOT NULL,
    relfilenode oid NOT NULL,
    relation oid NOT NULL,
    space bigint NOT NULL,
    store bigint NOT NULL,
    database oid NOT NULL,
    PRIMARY KEY (tablespace, relfilenode)
) USING heap;
CREATE INDEX spaces_relation ON fakegres.spaces (relation);
COMMENT ON TABLE fakegres.spaces IS 'where the rows of fakegres tables are; never change it by hand';

CREATE FUNCTION fakegres.status(
    OUT store text, OUT server_version text, OUT reachable boolean, OUT latency_ms double precision,
    OUT durability text, OUT namespace text, OUT bytes bigint, OUT details text)
    RETURNS SETOF record LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'status_wrapper';
COMMENT ON FUNCTION fakegres.status() IS 'the store: reachable, latency, what an acknowledged commit survives';

CREATE FUNCTION fakegres.space_statistics(space bigint, OUT rows bigint, OUT bytes bigint)
    RETURNS SETOF record LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'space_statistics_wrapper';

CREATE FUNCTION fakegres.store_name() RETURNS bigint LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'store_name_wrapper';
COMMENT ON FUNCTION fakegres.store_name() IS 'the random name of the namespace in use, as fakegres.spaces.store has it';

CREATE FUNCTION fakegres.sweep() RETURNS bigint LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'sweep_wrapper';
COMMENT ON FUNCTION fakegres.sweep() IS 'clears what crashes left in the store for this database; returns how many spaces';

CREATE FUNCTION fakegres.definitions(
    OUT database text, OUT schema text, OUT name text, OUT definition jsonb)
    RETURNS SETOF record LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'definitions_wrapper';
COMMENT ON FUNCTION fakegres.definitions() IS 'the table definitions that the store holds';

CREATE FUNCTION fakegres.catalog_version() RETURNS bigint LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'catalog_version_wrapper';
COMMENT ON FUNCTION fakegres.catalog_version() IS 'grows with every change of a definition that the store holds';

CREATE FUNCTION fakegres.kv_put(key bytea, value bytea) RETURNS void LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'kv_put_wrapper';
CREATE FUNCTION fakegres.kv_get(key bytea) RETURNS bytea LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'kv_get_wrapper';
CREATE FUNCTION fakegres.kv_delete(key bytea) RETURNS boolean LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'kv_delete_wrapper';
CREATE FUNCTION fakegres.kv_scan(
    first bytea, before bytea DEFAULT NULL, most bigint DEFAULT NULL,
    OUT key bytea, OUT value bytea)
    RETURNS SETOF record LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'kv_scan_wrapper';
COMMENT ON FUNCTION fakegres.kv_put(bytea, bytea) IS 'sets a key of your own, in this transaction';
COMMENT ON FUNCTION fakegres.kv_get(bytea) IS 'the value of a key of your own, or null';
COMMENT ON FUNCTION fakegres.kv_delete(bytea) IS 'removes a key of your own; true if it was there';
COMMENT ON FUNCTION fakegres.kv_scan(bytea, bytea, bigint) IS 'keys of your own from first up to before, in order';

-- These answer for fakegres tables where pg_relation_size and its like would count empty files.
CREATE FUNCTION fakegres.relation_size(regclass) RETURNS bigint LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'relation_size_wrapper';
CREATE FUNCTION fakegres.relation_size(regclass, text) RETURNS bigint LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'relation_size_of_fork_wrapper';
CREATE FUNCTION fakegres.table_size(regclass) RETURNS bigint LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'table_size_wrapper';
CREATE FUNCTION fakegres.indexes_size(regclass) RETURNS bigint LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'indexes_size_wrapper';
CREATE FUNCTION fakegres.total_relation_size(regclass) RETURNS bigint LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'total_relation_size_wrapper';

CREATE FUNCTION fakegres.check(
    relation regclass, OUT index text, OUT "row" tid, OUT problem text)
    RETURNS SETOF record LANGUAGE c VOLATILE STRICT
    AS 'MODULE_PATHNAME', 'check_wrapper';
COMMENT ON FUNCTION fakegres.check(regclass) IS 'compares the rows of a table with the entries of its indexes and with its counters; no rows: all is well';

CREATE VIEW fakegres.tables AS
    SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind,
           st.rows, st.bytes, s.space,
           CASE WHEN s.store = fakegres.store_name()
                THEN pg_catalog.split_part(pg_catalog.current_setting('fakegres.storage'), ':', 1)
                ELSE 'another store' END AS store
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN fakegres.spaces s ON s.relfilenode = c.relfilenode AND s.tablespace = c.reltablespace
    LEFT JOIN LATERAL fakegres.space_statistics(s.space) st ON s.store = fakegres.store_name()
    WHERE c.relkind <> 'i';
CREATE VIEW fakegres.indexes AS
    SELECT n.nspname AS schema, c.relname AS name, i.indrelid::regclass AS "table",
           st.rows AS entries, st.bytes, s.space
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN fakegres.spaces s ON s.relation = c.oid
    LEFT JOIN LATERAL fakegres.space_statistics(s.space) st ON s.store = fakegres.store_name()
    WHERE c.relkind = 'i';
COMMENT ON VIEW fakegres.indexes IS 'indexes of fakegres tables of this database: entries, bytes, space';

COMMENT ON VIEW fakegres.tables IS 'fakegres tables of this database: rows, bytes, space, store';

REVOKE ALL ON ALL TABLES IN SCHEMA fakegres FROM PUBLIC;
REVOKE ALL ON FUNCTION
    fakegres.status(), fakegres.space_statistics(bigint), fakegres.store_name(), fakegres.sweep(),
    fakegres.definitions(), fakegres.catalog_version(), fakegres.check(regclass), fakegres.kv_put(bytea, bytea), fakegres.kv_get(bytea),
    fakegres.kv_delete(bytea), fakegres.kv_scan(bytea, bytea, bigint)
    FROM PUBLIC;
GRANT USAGE ON SCHEMA fakegres TO PUBLIC;
