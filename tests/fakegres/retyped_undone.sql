-- A type that was changed and put back, in an index. Heap tables cannot be the measure: some minor releases
-- of PostgreSQL (17.12) fail afterwards with "using outdated tuple descriptor when deforming row type".
SET enable_seqscan = off;
CREATE TYPE put_back AS (a int, b text);
CREATE TABLE put_backs (id int PRIMARY KEY, p put_back UNIQUE);
INSERT INTO put_backs SELECT i, ROW(i % 7, 'b' || i)::put_back FROM generate_series(1, 10) i;
BEGIN;
INSERT INTO put_backs VALUES (21, ROW(8, 'new'));
ALTER TYPE put_back ADD ATTRIBUTE d int;
INSERT INTO put_backs VALUES (22, ROW(8, 'new', 1));
SELECT id FROM put_backs WHERE p >= ROW(8, 'new', NULL)::put_back ORDER BY id;
ROLLBACK;
SELECT id FROM put_backs WHERE p >= ROW(6, '')::put_back ORDER BY id;
BEGIN;
SAVEPOINT s;
ALTER TYPE put_back ADD ATTRIBUTE d int;
INSERT INTO put_backs VALUES (11, ROW(9, 'undone', 1));
ROLLBACK TO s;
INSERT INTO put_backs VALUES (12, ROW(9, 'new'));
COMMIT;
INSERT INTO put_backs VALUES (13, ROW(9, 'new'));
SELECT id, p FROM put_backs WHERE p >= ROW(6, '')::put_back ORDER BY p;
UPDATE put_backs SET p.b = 'newer' WHERE p = ROW(9, 'new')::put_back;
SELECT id, p FROM put_backs WHERE p >= ROW(6, '')::put_back ORDER BY p DESC;
SELECT * FROM fakegres.check('put_backs');
DROP TABLE put_backs;
DROP TYPE put_back;
