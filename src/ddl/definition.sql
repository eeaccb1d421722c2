-- A table as JSON, with the names of relation::definition::TableDef. $1 is its oid.
WITH RECURSIVE used(oid) AS (
    SELECT atttypid FROM pg_catalog.pg_attribute
    WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
  UNION
    SELECT below.oid
    FROM used
    JOIN pg_catalog.pg_type t ON t.oid = used.oid
    LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid OR r.rngmultitypid = t.oid
    LEFT JOIN pg_catalog.pg_attribute a
        ON a.attrelid = t.typrelid AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN LATERAL (VALUES (t.typelem), (t.typbasetype), (r.rngsubtype), (a.atttypid)) AS below(oid)
    WHERE below.oid <> 0
)
SELECT pg_catalog.json_build_object(
    'database', pg_catalog.current_database(),
    'schema', n.nspname,
    'name', c.relname,
    'kind', c.relkind,
    'persistence', c.relpersistence,
    'owner', pg_catalog.pg_get_userbyid(c.relowner),
    'partition_bound', pg_catalog.pg_get_expr(c.relpartbound, c.oid),
    'columns', coalesce((
        SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', a.attname,
            'type_name', pg_catalog.format_type(a.atttypid, a.atttypmod),
            'collation', (SELECT cn.nspname || '.' || co.collname
                          FROM pg_catalog.pg_collation co
                          JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
                          WHERE co.oid = a.attcollation),
            'not_null', a.attnotnull,
            'default', (SELECT pg_catalog.pg_get_expr(ad.adbin, ad.adrelid)
                        FROM pg_catalog.pg_attrdef ad
                        WHERE ad.adrelid = a.attrelid AND ad.adnum = a.attnum),
            'identity', nullif(a.attidentity, ''),
            'generated', nullif(a.attgenerated, ''),
            'dropped', a.attisdropped) ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0), '[]'),
    'constraints', coalesce((
        SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', co.conname,
            'definition', pg_catalog.pg_get_constraintdef(co.oid)) ORDER BY co.conname)
        FROM pg_catalog.pg_constraint co WHERE co.conrelid = c.oid), '[]'),
    'parents', coalesce((
        SELECT pg_catalog.json_agg(pn.nspname || '.' || p.relname ORDER BY i.inhseqno)
        FROM pg_catalog.pg_inherits i
        JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
        JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
        WHERE i.inhrelid = c.oid), '[]'),
    'indexes', coalesce((
        SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', ic.relname,
            'definition', pg_catalog.pg_get_indexdef(i.indexrelid),
            -- Its oid; the caller, who may read the map of spaces, puts its space there.
            'space', i.indexrelid::bigint) ORDER BY ic.relname)
        FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
        WHERE i.indrelid = c.oid), '[]'),
    'types', coalesce((
        SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
            'oid', t.oid::bigint,
            'name', tn.nspname || '.' || t.typname,
            'kind', t.typtype,
            'labels', coalesce((
                SELECT pg_catalog.json_agg(pg_catalog.json_build_array(e.oid::bigint, e.enumlabel)
                                           ORDER BY e.enumsortorder)
                FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), '[]'),
            'attributes', coalesce((
                SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                           a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
                FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = t.typrelid AND t.typtype = 'c'
                  AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
            'base', CASE WHEN t.typbasetype <> 0 THEN pg_catalog.format_type(t.typbasetype, t.typtypmod)
                         WHEN t.typelem <> 0 THEN pg_catalog.format_type(t.typelem, NULL)
                         WHEN r.rngsubtype IS NOT NULL THEN pg_catalog.format_type(r.rngsubtype, NULL) END)
            ORDER BY t.oid)
        FROM (SELECT DISTINCT oid FROM used) u
        JOIN pg_catalog.pg_type t ON t.oid = u.oid
        JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
        LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
        WHERE t.oid >= 16384), '[]'))::text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1
