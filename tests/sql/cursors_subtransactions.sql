-- A cursor belongs to the transaction that opened it: fetching from it inside a savepoint that is
-- rolled back, or inside a PL/pgSQL block that fails, does not take its scan away.
CREATE TABLE t (id int, v int);
INSERT INTO t SELECT i, i * 10 FROM generate_series(1, 5000) i;
-- Which row comes first is the store's business; how many have come is not.
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id;
DECLARE p CURSOR FOR SELECT id FROM t;
SAVEPOINT s;
FETCH 1 FROM c;
MOVE 1 IN p;
ROLLBACK TO s;
SELECT count(*) FROM t a JOIN t b USING (id);
FETCH 2 FROM c;
MOVE 2 IN p;
CLOSE c;
MOVE ALL IN p;
COMMIT;
BEGIN;
DECLARE p CURSOR FOR SELECT id FROM t;
SAVEPOINT s;
MOVE 1000 IN p;
ROLLBACK TO s;
SELECT count(*), sum(a.v) FROM t a JOIN t b USING (id) WHERE a.id <> b.id + 1;
MOVE 1000 IN p;
SAVEPOINT s2;
MOVE 1000 IN p;
RELEASE s2;
SAVEPOINT s3;
SAVEPOINT s4;
MOVE 1000 IN p;
RELEASE s4;
ROLLBACK TO s3;
MOVE ALL IN p;
CLOSE p;
COMMIT;
-- One that was opened inside goes with the savepoint.
BEGIN;
DECLARE outside CURSOR FOR SELECT id FROM t;
SAVEPOINT s;
DECLARE inside CURSOR FOR SELECT id FROM t;
MOVE 3 IN inside;
MOVE 3 IN outside;
SELECT 1 / 0;
ROLLBACK TO s;
MOVE ALL IN outside;
SAVEPOINT s;
MOVE 3 IN inside;
ROLLBACK TO s;
COMMIT;
-- A scan that failed in the middle, below a savepoint, and others that go on.
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t;
MOVE 10 IN c;
SAVEPOINT s;
SELECT sum(1 / (id - 2500)) FROM t;
ROLLBACK TO s;
MOVE 10 IN c;
SAVEPOINT s;
SELECT sum(1 / (a.id - 2500)) FROM t a JOIN t b USING (id);
ROLLBACK TO s;
MOVE ALL IN c;
COMMIT;
-- PL/pgSQL: every block with EXCEPTION is a subtransaction.
DO $$
DECLARE
  c CURSOR FOR SELECT id FROM t;
  got int;
  seen int[] = '{}';
BEGIN
  OPEN c;
  FOR i IN 1 .. 5 LOOP
    BEGIN
      FETCH c INTO got;
      seen = seen || got;
      RAISE EXCEPTION 'undone';
    EXCEPTION WHEN raise_exception THEN
      PERFORM count(*) FROM t a JOIN t b USING (id);
    END;
    FETCH c INTO got;
    seen = seen || got;
  END LOOP;
  CLOSE c;
  RAISE NOTICE '% rows, % different', cardinality(seen), (SELECT count(DISTINCT s) FROM unnest(seen) s);
END $$;
DO $$
DECLARE r record; n int = 0;
BEGIN
  FOR r IN SELECT id, v FROM t LOOP
    BEGIN
      n = n + 1;
      IF r.id % 1000 = 0 THEN
        UPDATE t SET v = 0 WHERE id = r.id;
        RAISE EXCEPTION 'undone';
      END IF;
    EXCEPTION WHEN raise_exception THEN
      PERFORM count(*) FROM t WHERE v = 0;
    END;
  END LOOP;
  RAISE NOTICE '% rows', n;
END $$;
SELECT count(*), sum(v) FROM t;
-- A cursor that outlives its transaction, first read below a savepoint.
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id;
SAVEPOINT s;
FETCH 1 FROM h;
ROLLBACK TO s;
COMMIT;
FETCH 2 FROM h;
CLOSE h;
