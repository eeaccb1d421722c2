-- Conditions that are many ranges of an index which is not unique: most with a few rows, some with none,
-- some with thousands. A store that is far away is asked for many of them at once.
\set VERBOSITY terse
\ir setup/every_way.sql
SET jit = off;
CREATE TABLE r (id int, k int, v text);
INSERT INTO r SELECT i, i % 400 * 2, 'v' || i FROM generate_series(1, 2000) i;
INSERT INTO r SELECT 2000 + i, 100, 'many' FROM generate_series(1, 3000) i;
INSERT INTO r SELECT 5000 + i, 301, 'some' FROM generate_series(1, 40) i;
CREATE INDEX r_k ON r (k);
CREATE INDEX r_kid ON r (k DESC, id) INCLUDE (v);
ANALYZE r;
CREATE FUNCTION keys(first int, last int, step int) RETURNS int[] LANGUAGE sql IMMUTABLE AS
  'SELECT array_agg(g) FROM generate_series(first, last, step) g';
-- As many as the store is asked for at once, and more; none of them there; every other one.
SELECT every_way('SELECT k FROM r WHERE k = ANY (keys(0, 6, 2)) ORDER BY k');
SELECT every_way('SELECT k FROM r WHERE k = ANY (keys(0, 6, 2)) ORDER BY k DESC');
SELECT every_way('SELECT k FROM r WHERE k = ANY (keys(1, 299, 2)) ORDER BY k');
SELECT every_way('SELECT count(*), sum(k), sum(id) FROM r WHERE k = ANY (keys(0, 127, 1))');
SELECT every_way('SELECT count(*), sum(k), sum(id) FROM r WHERE k = ANY (keys(0, 800, 1))');
SELECT every_way('SELECT k FROM r WHERE k = ANY (keys(0, 800, 1)) ORDER BY k');
SELECT every_way('SELECT k FROM r WHERE k = ANY (keys(0, 800, 1)) ORDER BY k DESC');
SELECT every_way('SELECT k, id, v FROM r WHERE k = ANY (keys(90, 310, 3)) ORDER BY k DESC, id');
SELECT every_way('SELECT k, id, v FROM r WHERE k = ANY (keys(90, 310, 3)) ORDER BY k, id DESC');
SELECT every_way('SELECT k, id FROM r WHERE k = ANY (keys(-10, 20, 5)) AND id > 1000 ORDER BY k DESC, id');
SELECT every_way('SELECT k, id FROM r WHERE k = ANY (keys(80, 120, 10)) AND id BETWEEN 500 AND 4000 ORDER BY k DESC, id');
SELECT every_way('SELECT k, id, v FROM r WHERE k = ANY (keys(0, 800, 1)) AND v <> ''many'' ORDER BY k DESC, id');
-- Only the beginning is wanted.
SELECT every_way('SELECT k FROM r WHERE k = ANY (keys(1, 799, 1)) ORDER BY k LIMIT 1');
SELECT every_way('SELECT k FROM r WHERE k = ANY (keys(1, 799, 1)) ORDER BY k DESC LIMIT 7');
SELECT every_way('SELECT k FROM r WHERE k = ANY (keys(1, 799, 1)) ORDER BY k OFFSET 3020 LIMIT 15');
-- A range for each row of another table.
SELECT every_way('SELECT count(*), sum(r.id) FROM generate_series(1, 30) g JOIN r ON r.k = ANY (ARRAY[g * 2, g * 2 + 1, g * 2 + 2, 301])');
-- Forwards and backwards, from the middle.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT k, id FROM r WHERE k = ANY (keys(0, 320, 1)) ORDER BY k DESC, id;
FETCH 3 FROM c;
MOVE 50 FROM c;
FETCH 2 FROM c;
FETCH BACKWARD 3 FROM c;
MOVE 500 FROM c;
FETCH 3 FROM c;
MOVE BACKWARD 490 FROM c;
FETCH BACKWARD 2 FROM c;
MOVE ALL FROM c;
FETCH BACKWARD 2 FROM c;
MOVE BACKWARD ALL FROM c;
FETCH 2 FROM c;
FETCH RELATIVE 300 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH LAST FROM c;
FETCH FIRST FROM c;
COMMIT;
-- What the transaction itself has changed, before the scan and while it goes on.
BEGIN;
UPDATE r SET k = k + 1 WHERE id <= 300;
DELETE FROM r WHERE id % 7 = 0;
INSERT INTO r SELECT 6000 + i, i * 3, 'new' FROM generate_series(1, 100) i;
SELECT every_way('SELECT k, id, v FROM r WHERE k = ANY (keys(0, 400, 1)) ORDER BY k DESC, id');
SELECT every_way('SELECT k, id FROM r WHERE k = ANY (keys(3, 9, 1)) ORDER BY k DESC, id');
DO $$
DECLARE
  row record;
  seen int := 0;
BEGIN
  FOR row IN SELECT k, id FROM r WHERE k = ANY (keys(0, 60, 1)) ORDER BY k DESC, id LOOP
    seen := seen + 1;
    UPDATE r SET k = row.k - 1, v = 'moved' WHERE id = row.id;
    INSERT INTO r VALUES (7000 + seen, row.k - 2, 'while reading');
  END LOOP;
  RAISE NOTICE '% rows', seen;
END $$;
SELECT every_way('SELECT count(*), sum(k), sum(id) FROM r WHERE k = ANY (keys(-2, 60, 1))');
SAVEPOINT s;
DELETE FROM r WHERE k = ANY (keys(0, 99, 1));
SELECT every_way('SELECT k FROM r WHERE k = ANY (keys(0, 105, 1)) AND id < 2000 ORDER BY k');
ROLLBACK TO s;
SELECT every_way('SELECT count(*), sum(k), sum(id) FROM r WHERE k = ANY (keys(-2, 60, 1))');
ROLLBACK;
SELECT every_way('SELECT count(*), sum(k), sum(id) FROM r WHERE k = ANY (keys(0, 800, 1))');
-- A table that the same transaction filled.
BEGIN;
CREATE TABLE filled (id int, k int);
INSERT INTO filled SELECT i, i % 50 FROM generate_series(1, 500) i;
CREATE INDEX ON filled (k);
SELECT every_way('SELECT count(*), sum(k), sum(id) FROM filled WHERE k = ANY (keys(10, 80, 1))');
INSERT INTO filled SELECT i, i % 60 FROM generate_series(501, 900) i;
SELECT every_way('SELECT count(*), sum(k), sum(id) FROM filled WHERE k = ANY (keys(10, 80, 1))');
COMMIT;
SELECT every_way('SELECT count(*), sum(k), sum(id) FROM filled WHERE k = ANY (keys(10, 80, 1))');
-- Keys too long to be whole in an index, in ranges of their own.
CREATE TABLE long (id int, k text);
INSERT INTO long SELECT i, repeat(chr(97 + i % 3), 1500) || i % 40 FROM generate_series(1, 200) i;
CREATE INDEX ON long (k);
SELECT every_way('SELECT count(*), sum(id), min(k) < max(k) FROM long WHERE k = ANY (ARRAY(SELECT k FROM long WHERE id % 3 = 1 UNION ALL SELECT k || ''x'' FROM long))');
SELECT every_way('SELECT right(k, 2) FROM long WHERE k = ANY (ARRAY(SELECT k FROM long WHERE id % 9 = 1)) ORDER BY k DESC');
