-- NULL, '' and values from one byte to some megabytes, compressible and not, in every storage mode.
CREATE TABLE edges (id int, t text, b bytea, n numeric, a int[]);
INSERT INTO edges VALUES (1, '', '', 0, '{}'), (2, NULL, NULL, NULL, NULL), (3, 'x', '\x00', 1, '{NULL}');
SELECT id, t IS NULL AS tn, t = '' AS te, b IS NULL AS bn, length(b), n, a, array_length(a, 1) FROM edges ORDER BY id;
CREATE FUNCTION noise(n int) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT left(string_agg(md5(i::text), '' ORDER BY i), n) FROM generate_series(1, n / 32 + 1) i $$;
-- Sizes around every limit that a store, a page or a TOAST chunk could have.
CREATE TABLE sizes (n int, t text, b bytea);
INSERT INTO sizes SELECT n, repeat('a', n), noise(n)::bytea
FROM unnest('{0,1,126,127,128,255,256,1990,2000,2040,8100,8192,10000,32767,65535,65536,99990,100000,100001,262144,1048576,3000000}'::int[]) n;
SELECT n, length(t), md5(t), length(b), md5(b) FROM sizes ORDER BY n;
SELECT n FROM sizes WHERE length(t) <> n OR length(b) <> n OR convert_from(b, 'UTF8') <> noise(n);
UPDATE sizes SET t = t || t WHERE n > 1000;
UPDATE sizes SET b = b || b WHERE n <= 1000;
SELECT n, length(t), md5(t), length(b), md5(b) FROM sizes ORDER BY n;
-- Large beside small: columns that are not asked for, and a row that is moved by a small update.
ALTER TABLE sizes ADD COLUMN small int;
UPDATE sizes SET small = n % 7;
SELECT small, count(*), sum(length(t)) FROM sizes GROUP BY small ORDER BY small;
SELECT n, substr(t, 100000, 5), substr(b, 99999, 3) FROM sizes WHERE n > 99000 ORDER BY n;
DELETE FROM sizes WHERE n > 100000;
SELECT count(*), sum(length(t)) FROM sizes;
-- Storage modes and compression.
CREATE TABLE modes (id int, p text, m text, e text, x text);
ALTER TABLE modes ALTER p SET STORAGE PLAIN, ALTER m SET STORAGE MAIN, ALTER e SET STORAGE EXTERNAL, ALTER x SET STORAGE EXTENDED, ALTER x SET COMPRESSION pglz;
INSERT INTO modes SELECT i, repeat('p', i * 100), noise(i * 1000), noise(i * 3000), repeat('x', i * 100000) FROM generate_series(1, 20) i;
SELECT id, length(p), md5(m), md5(e), length(x) FROM modes ORDER BY id;
INSERT INTO modes SELECT id + 100, 'plain', e, m, p FROM modes WHERE id < 5;
SELECT id, length(p), md5(m), md5(e), length(x) FROM modes WHERE id > 100 ORDER BY id;
-- A table that others' large values are copied into, then the source goes.
CREATE TABLE copies AS SELECT id, e, x FROM modes WHERE id <= 20;
DROP TABLE modes;
SELECT count(*), sum(length(e)), sum(length(x)), md5(string_agg(md5(e || x), '' ORDER BY id)) FROM copies;
-- Many columns: 1,600, most of them NULL.
DO $$ BEGIN EXECUTE 'CREATE TABLE columns (' || (SELECT string_agg(format('c%s int', i), ', ') FROM generate_series(1, 1600) i) || ')'; END $$;
INSERT INTO columns (c1, c800, c1600) VALUES (1, 2, 3), (NULL, NULL, 4);
SELECT c1, c2, c800, c1599, c1600 FROM columns ORDER BY c1;
-- No columns at all.
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
INSERT INTO nothing SELECT FROM generate_series(1, 9);
SELECT count(*) FROM nothing;
SELECT FROM nothing LIMIT 2;
DELETE FROM nothing;
SELECT count(*) FROM nothing;
