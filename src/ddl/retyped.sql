WITH RECURSIVE made_of (type) AS (
  SELECT $1
  UNION
  SELECT larger.type
  FROM made_of, LATERAL (
    SELECT oid FROM pg_type WHERE typbasetype = made_of.type
    UNION ALL
    SELECT typarray FROM pg_type WHERE oid = made_of.type AND typarray <> 0
    UNION ALL
    SELECT unnest(ARRAY[rngtypid, rngmultitypid]) FROM pg_range WHERE rngsubtype = made_of.type
    UNION ALL
    SELECT c.reltype
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.atttypid = made_of.type AND NOT a.attisdropped AND c.reltype <> 0
  ) AS larger (type)
)
SELECT DISTINCT c.oid
FROM made_of
  JOIN pg_attribute a ON a.atttypid = made_of.type
  JOIN pg_index i ON i.indexrelid = a.attrelid AND a.attnum <= i.indnkeyatts AND i.indisready
  JOIN pg_class c ON c.oid = i.indexrelid AND c.relam = $2 AND c.relkind = 'i'
ORDER BY 1
