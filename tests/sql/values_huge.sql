-- 100 MB, twice: one that compresses to nothing and one that does not compress.
CREATE TABLE huge (id int, t text);
INSERT INTO huge VALUES (1, repeat('0123456789', 10485760));
INSERT INTO huge SELECT 2, string_agg(md5(i::text), '' ORDER BY i) FROM generate_series(1, 3276800) i;
SELECT id, length(t), md5(t) FROM huge ORDER BY id;
SELECT id, substr(t, 104857000, 20) FROM huge ORDER BY id;
UPDATE huge SET id = id + 10;
SELECT id, length(t), md5(t) FROM huge ORDER BY id;
BEGIN;
UPDATE huge SET t = 'gone' WHERE id = 12;
SELECT id, length(t) FROM huge ORDER BY id;
ROLLBACK;
SELECT id, length(t) FROM huge ORDER BY id;
DELETE FROM huge WHERE id = 11;
SELECT id, length(t) FROM huge;
