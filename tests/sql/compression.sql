-- Long values are compressed when and as heap does it: by the storage and compression of their columns
-- and the table's toast_tuple_target.
CREATE TABLE c (id int PRIMARY KEY, p text COMPRESSION pglz, l text COMPRESSION lz4, d text);
INSERT INTO c VALUES (1, repeat('short', 20), repeat('short', 20), repeat('short', 20));
INSERT INTO c VALUES (2, repeat('0123456789', 1000), NULL, NULL), (3, NULL, repeat('0123456789', 1000), NULL), (4, NULL, NULL, repeat('0123456789', 1000));
INSERT INTO c VALUES (5, repeat('0123456789', 1000), repeat('0123456789', 999), repeat('0123456789', 998));
INSERT INTO c VALUES (6, repeat('a', 600), repeat('b', 700), repeat('c', 800));
INSERT INTO c VALUES (7, repeat('a', 500), repeat('b', 500), repeat('c', 500));
SET default_toast_compression = lz4;
INSERT INTO c VALUES (8, NULL, NULL, repeat('0123456789', 1000));
SELECT id, pg_column_compression(p) AS p, pg_column_compression(l) AS l, pg_column_compression(d) AS d, length(p), length(l), length(d) FROM c ORDER BY id;
SELECT id, pg_column_size(p) AS p, pg_column_size(l) AS l, pg_column_size(d) AS d FROM c ORDER BY id;
SELECT id, md5(p), md5(l), md5(d) FROM c ORDER BY id;
-- A changed column counts for new values; values that are copied stay as they are.
ALTER TABLE c ALTER p SET COMPRESSION lz4;
INSERT INTO c VALUES (9, repeat('0123456789', 1000));
UPDATE c SET l = 'x' WHERE id = 2;
UPDATE c SET p = p || 'y' WHERE id = 5;
CREATE TABLE copied (id int, p text COMPRESSION pglz);
INSERT INTO copied SELECT id, p FROM c;
CREATE TABLE made AS SELECT id, p, l FROM c;
INSERT INTO c SELECT id + 100, p, l, d FROM c WHERE id < 4;
SELECT id, pg_column_compression(p) AS p, pg_column_compression(l) AS l, pg_column_compression(d) AS d FROM c ORDER BY id;
SELECT id, pg_column_compression(p) FROM copied ORDER BY id;
SELECT id, pg_column_compression(p), pg_column_compression(l) FROM made ORDER BY id;
VACUUM FULL copied;
SELECT id, pg_column_compression(p) FROM copied ORDER BY id;
RESET default_toast_compression;
-- Storage: not compressed, only if need be, never.
CREATE TABLE s (id int, x text, m text, e text, q text);
ALTER TABLE s ALTER m SET STORAGE main, ALTER e SET STORAGE external, ALTER q SET STORAGE plain;
INSERT INTO s VALUES (1, repeat('x', 3000)), (2, repeat('x', 1500));
INSERT INTO s (id, m) VALUES (3, repeat('m', 3000)), (4, repeat('m', 1500));
INSERT INTO s (id, e) VALUES (5, repeat('e', 3000));
INSERT INTO s (id, q) VALUES (6, repeat('q', 3000));
INSERT INTO s VALUES (7, repeat('x', 3000), repeat('m', 1000), NULL, NULL), (8, repeat('x', 1000), repeat('m', 1500), NULL, NULL);
INSERT INTO s VALUES (9, NULL, repeat('m', 3000), repeat('e', 3000), repeat('q', 1000));
SELECT id, pg_column_compression(x) AS x, pg_column_compression(m) AS m, pg_column_compression(e) AS e, pg_column_compression(q) AS q FROM s ORDER BY id;
SELECT id, md5(x), md5(m), md5(e), md5(q) FROM s ORDER BY id;
CREATE TABLE target (v text) WITH (toast_tuple_target = 4080);
INSERT INTO target VALUES (repeat('1234567890', 300)), (repeat('1234567890', 410));
ALTER TABLE target SET (toast_tuple_target = 128);
INSERT INTO target VALUES (repeat('1234567890', 150)), (repeat('1234567890', 300));
SELECT length(v), pg_column_compression(v) FROM target ORDER BY length(v), 2;
-- What cannot be compressed, arrays, jsonb, bytea.
CREATE TABLE other (id int, b bytea, a int[], j jsonb, t text);
INSERT INTO other SELECT 1, string_agg(sha256(i::text::bytea), '' ORDER BY i) FROM generate_series(1, 200) i;
INSERT INTO other (id, a) SELECT 2, array_agg(i % 3) FROM generate_series(1, 2000) i;
INSERT INTO other (id, j) SELECT 3, jsonb_agg(jsonb_build_object('key', i)) FROM generate_series(1, 500) i;
INSERT INTO other (id, t) SELECT 4, string_agg(md5(i::text), '') FROM generate_series(1, 100) i;
COPY other FROM stdin;
5	\N	\N	[1, 2, 3]	short
\.
SELECT id, pg_column_compression(b) AS b, pg_column_compression(a) AS a, pg_column_compression(j) AS j, pg_column_compression(t) AS t FROM other ORDER BY id;
SELECT id, md5(b), a[1:4], jsonb_array_length(j), md5(t) FROM other ORDER BY id;
-- Compressed values are found, joined, updated and read by parts as others are.
CREATE TABLE keyed (k text COMPRESSION lz4 PRIMARY KEY, v text, w text COMPRESSION pglz);
INSERT INTO keyed SELECT repeat(i::text, 500), repeat('v', i), repeat('w' || i, 2000) FROM generate_series(10, 40) i;
INSERT INTO keyed VALUES (repeat('11', 500));
INSERT INTO keyed VALUES (repeat('10', 500)) ON CONFLICT (k) DO UPDATE SET v = 'conflict', w = keyed.w;
SET enable_seqscan = off;
SELECT v FROM keyed WHERE k = repeat('12', 500);
SELECT v, length(w) FROM keyed WHERE k = repeat('10', 500);
SELECT count(*) FROM keyed a JOIN keyed b ON a.k = b.k AND a.w = b.w;
SELECT substr(w, 1999, 4), left(k, 3) FROM keyed WHERE k > repeat('38', 500) ORDER BY k;
UPDATE keyed SET k = k || 'z' WHERE k < repeat('12', 500);
DELETE FROM keyed WHERE w = repeat('w30', 2000);
SELECT left(k, 2), length(k), length(w) FROM keyed WHERE k < repeat('13', 500) OR k BETWEEN repeat('29', 500) AND repeat('32', 500) ORDER BY k;
