-- The TID of a version that a transaction made names nothing in a later one: at most the row it was
-- of, and never another row.
CREATE TABLE t (id int, v int);
INSERT INTO t SELECT i, 0 FROM generate_series(1, 10) i;
CREATE TABLE other (id int, v int);
INSERT INTO other SELECT i, 0 FROM generate_series(1, 10) i;
-- In its own transaction it names the row.
BEGIN;
UPDATE t SET v = 1 WHERE id = 1 RETURNING ctid AS old \gset
UPDATE t SET v = v + 1 WHERE ctid = :'old' RETURNING id, v;
COMMIT;
-- Later transactions make versions of their own, of other rows.
BEGIN;
UPDATE t SET v = 2 WHERE id = 2;
UPDATE t SET v = 2 WHERE id = 3;
WITH d AS (DELETE FROM t WHERE ctid = :'old' RETURNING id) SELECT count(*) FROM d WHERE id <> 1;
UPDATE t SET v = 2 WHERE id = 4;
WITH u AS (UPDATE t SET v = 99 WHERE ctid = :'old' RETURNING id) SELECT count(*) FROM u WHERE id <> 1;
SELECT count(*) FROM t WHERE ctid = :'old' AND id <> 1;
SELECT count(*) FROM (SELECT id FROM t WHERE ctid = :'old' FOR UPDATE) x WHERE id <> 1;
COMMIT;
SELECT count(*) FROM t WHERE id > 1;
-- Many TIDs, from several transactions, tried in a transaction that changes every row.
CREATE TABLE tids (id int, tid tid) USING heap;
WITH u AS (UPDATE t SET v = 3 RETURNING id, ctid) INSERT INTO tids SELECT * FROM u;
BEGIN;
WITH u AS (UPDATE t SET v = 4 WHERE id < 6 RETURNING id, ctid) INSERT INTO tids SELECT * FROM u;
SAVEPOINT s;
WITH u AS (UPDATE t SET v = 5 RETURNING id, ctid) INSERT INTO tids SELECT * FROM u;
ROLLBACK TO s;
COMMIT;
BEGIN;
UPDATE t SET v = 6 WHERE id <> 5;
UPDATE t SET v = 7 WHERE id <> 5;
UPDATE other SET v = 7;
SELECT count(*) FROM t JOIN tids ON t.ctid = tids.tid WHERE t.id <> tids.id;
SELECT count(*) FROM other JOIN tids ON other.ctid = tids.tid;
DO $$
DECLARE k record; hit int; wrong int = 0;
BEGIN
  FOR k IN SELECT * FROM tids LOOP
    UPDATE t SET v = v + 1 WHERE ctid = k.tid RETURNING id INTO hit;
    wrong = wrong + (hit IS DISTINCT FROM k.id AND hit IS NOT NULL)::int;
    DELETE FROM other WHERE ctid = k.tid RETURNING id INTO hit;
    wrong = wrong + (hit IS NOT NULL)::int;
  END LOOP;
  RAISE NOTICE '% of % named another row', wrong, (SELECT count(*) FROM tids);
END $$;
COMMIT;
-- Also after an abort.
BEGIN;
UPDATE t SET v = 1 WHERE id = 6 RETURNING ctid AS old \gset
ROLLBACK;
BEGIN;
UPDATE t SET v = 1 WHERE id = 7;
WITH d AS (DELETE FROM t WHERE ctid = :'old' RETURNING id) SELECT count(*) FROM d WHERE id <> 6;
COMMIT;
-- A savepoint's versions go with it, and their TIDs name no version that came after.
BEGIN;
SAVEPOINT s;
UPDATE t SET v = 1 WHERE id = 8 RETURNING ctid AS old \gset
ROLLBACK TO s;
UPDATE t SET v = 1 WHERE id = 9;
WITH d AS (DELETE FROM t WHERE ctid = :'old' RETURNING id) SELECT count(*) FROM d WHERE id <> 8;
COMMIT;
-- In another table of the same transaction a TID of a version names nothing.
BEGIN;
UPDATE t SET v = 1 WHERE id = 9 RETURNING ctid AS old \gset
UPDATE other SET v = 1 WHERE id = 1;
SELECT count(*) FROM other WHERE ctid = :'old';
DELETE FROM other WHERE ctid = :'old';
COMMIT;
SELECT count(*) FROM t WHERE id > 1;
SELECT count(*) FROM other;
