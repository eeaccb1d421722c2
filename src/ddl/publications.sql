-- Publications and the fakegres tables in them. $1: the table access method; $2: one publication, or null
-- for all; $3: the tables asked about, or null for all. With each pair, whether the publication names the
-- table or one that it is a partition of.
SELECT p.pubname::text, format('%I.%I', n.nspname, c.relname), of.named
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN pg_publication p
CROSS JOIN LATERAL (
    SELECT array_agg(t.oid) || c.oid AS tables, array_agg(t.relnamespace) || c.relnamespace AS schemas
    FROM pg_partition_ancestors(c.oid) a JOIN pg_class t ON t.oid = a.relid) AS above
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = ANY (above.tables)),
        p.puballtables OR EXISTS (
            SELECT FROM pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = ANY (above.schemas))
    ) AS of (named, implied)
WHERE c.relam = $1 AND c.relkind = 'r' AND c.relpersistence = 'p'
    AND ($2 IS NULL OR p.oid = $2) AND ($3 IS NULL OR c.oid = ANY ($3)) AND (of.named OR of.implied)
ORDER BY p.pubname, of.named DESC, n.nspname, c.relname
