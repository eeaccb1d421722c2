-- SAVEPOINT, ROLLBACK TO, RELEASE, nested; PL/pgSQL EXCEPTION blocks; errors and chains.
CREATE TABLE t (id int, v int);
BEGIN;
INSERT INTO t VALUES (1, 1);
SAVEPOINT a;
INSERT INTO t VALUES (2, 2);
SAVEPOINT b;
UPDATE t SET v = v + 10;
SELECT * FROM t ORDER BY id;
SAVEPOINT c;
DELETE FROM t WHERE id = 1;
SELECT * FROM t ORDER BY id;
ROLLBACK TO c;
SELECT * FROM t ORDER BY id;
RELEASE b;
SELECT * FROM t ORDER BY id;
ROLLBACK TO a;
SELECT * FROM t ORDER BY id;
INSERT INTO t VALUES (3, 3);
RELEASE a;
COMMIT;
SELECT * FROM t ORDER BY id;
-- The same row through several savepoints.
BEGIN;
UPDATE t SET v = 100 WHERE id = 1;
SAVEPOINT a;
UPDATE t SET v = 101 WHERE id = 1;
SAVEPOINT b;
UPDATE t SET v = 102 WHERE id = 1;
RELEASE b;
SELECT v FROM t WHERE id = 1;
ROLLBACK TO a;
SELECT v FROM t WHERE id = 1;
DELETE FROM t WHERE id = 1;
ROLLBACK TO a;
UPDATE t SET v = v + 1 WHERE id = 1;
SELECT v FROM t WHERE id = 1;
COMMIT;
SELECT * FROM t ORDER BY id;
-- An insert that is rolled back and done again; the same name twice.
BEGIN;
SAVEPOINT x;
INSERT INTO t VALUES (10, 1);
SAVEPOINT x;
INSERT INTO t VALUES (10, 2);
ROLLBACK TO x;
ROLLBACK TO x;
SELECT * FROM t WHERE id = 10;
RELEASE x;
SELECT * FROM t WHERE id = 10;
ROLLBACK TO x;
SELECT * FROM t WHERE id = 10;
INSERT INTO t VALUES (10, 3);
COMMIT;
SELECT * FROM t WHERE id = 10;
-- An error ends the statement, the savepoint brings the transaction back.
BEGIN;
SAVEPOINT a;
INSERT INTO t SELECT i, 1 / (i - 25) FROM generate_series(20, 30) i;
SELECT count(*) FROM t;
ROLLBACK TO a;
SELECT count(*) FROM t;
UPDATE t SET v = v / (id - 3);
ROLLBACK TO a;
SELECT * FROM t ORDER BY id;
COMMIT;
-- EXCEPTION blocks.
CREATE FUNCTION careful(bad boolean) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO t VALUES (40, 1);
  BEGIN
    INSERT INTO t VALUES (41, 1);
    UPDATE t SET v = v + 1 WHERE id >= 40;
    IF bad THEN PERFORM 1 / 0; END IF;
  EXCEPTION WHEN division_by_zero THEN
    INSERT INTO t VALUES (42, (SELECT count(*) FROM t WHERE id >= 40));
    RETURN 'caught';
  END;
  RETURN 'fine';
END $$;
SELECT careful(true);
SELECT * FROM t WHERE id >= 40 ORDER BY id;
DELETE FROM t WHERE id >= 40;
SELECT careful(false);
SELECT * FROM t WHERE id >= 40 ORDER BY id;
DO $$
DECLARE i int;
BEGIN
  FOR i IN 1..300 LOOP
    BEGIN
      INSERT INTO t VALUES (1000 + i, i);
      UPDATE t SET v = v * 2 WHERE id = 1000 + i;
      IF i % 3 = 0 THEN RAISE EXCEPTION 'no %', i; END IF;
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
  END LOOP;
END $$;
SELECT count(*), sum(v) FROM t WHERE id > 1000;
-- Deep nesting: more subtransactions than PostgreSQL caches.
CREATE FUNCTION nest(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO t VALUES (2000 + n, n);
  IF n > 0 THEN PERFORM nest(n - 1); END IF;
  IF n % 10 = 5 THEN RAISE EXCEPTION 'five'; END IF;
  RETURN n;
EXCEPTION WHEN raise_exception THEN RETURN -n;
END $$;
SELECT nest(100);
SELECT count(*), min(v), max(v) FROM t WHERE id >= 2000;
-- Whole transactions: rollback, chain, a failed one, and an empty one.
BEGIN;
DELETE FROM t;
SELECT count(*) FROM t;
ROLLBACK AND CHAIN;
SELECT count(*) FROM t;
INSERT INTO t VALUES (5000, 0);
COMMIT AND CHAIN;
UPDATE t SET v = 1 WHERE id = 5000;
ROLLBACK;
SELECT * FROM t WHERE id = 5000;
BEGIN;
INSERT INTO t VALUES (5001, 0);
SELECT nonsense;
INSERT INTO t VALUES (5002, 0);
COMMIT;
SELECT count(*) FROM t WHERE id > 5000;
BEGIN READ ONLY;
SELECT count(*) FROM t WHERE id = 5000;
INSERT INTO t VALUES (5003, 0);
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM t WHERE id = 5000;
INSERT INTO t VALUES (5004, 0);
SELECT count(*) FROM t WHERE id = 5004;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE t SET v = (SELECT count(*) FROM t WHERE id >= 5000) WHERE id = 5004 RETURNING v;
COMMIT;
SELECT * FROM t WHERE id >= 5000 ORDER BY id;
