-- Keys of statements that insert many rows: over a network they are looked at together.

CREATE TABLE t (id int PRIMARY KEY, code text COLLATE "C" UNIQUE, v int) USING :am;

INSERT INTO t SELECT i, 'c' || i, 0 FROM generate_series(1, 3000) i;
SELECT count(*), min(id), max(id), count(DISTINCT code) FROM t;

-- In order, backwards, at random, with gaps; the first, a middle and the last key taken.
INSERT INTO t SELECT i, 'd' || i, 0 FROM generate_series(3000, 4000) i;
INSERT INTO t SELECT i, 'd' || i, 0 FROM generate_series(4000, 3000, -1) i;
INSERT INTO t SELECT i * 7919 % 10007 + 2990, 'e' || i, 0 FROM generate_series(1, 2000) i;
INSERT INTO t SELECT i, 'd' || i, 0 FROM generate_series(2500, 3500, 500) i;
INSERT INTO t SELECT i, 'd' || i, 0 FROM generate_series(5000, 7000) i UNION ALL SELECT 77, 'x', 0;
INSERT INTO t SELECT i, 'c' || i % 4000 + 2990, 0 FROM generate_series(5000, 6000) i;
INSERT INTO t VALUES (9001, 'y1', 0), (9002, 'y2', 0), (9001, 'y3', 0);
INSERT INTO t VALUES (9001, 'y1', 0), (9002, 'y2', 0), (9003, 'y1', 0);
INSERT INTO t VALUES (9001, 'y1', 0), (9002, 'c5', 0), (5, 'y3', 0);
SELECT count(*) FROM t;

-- What is deleted is free.
DELETE FROM t WHERE id BETWEEN 1001 AND 2000;
INSERT INTO t SELECT i, 'f' || i, 1 FROM generate_series(1001, 2000) i;
BEGIN;
DELETE FROM t WHERE id BETWEEN 1001 AND 1500;
INSERT INTO t SELECT i, 'g' || i, 2 FROM generate_series(1001, 1501) i;
ROLLBACK;
BEGIN;
DELETE FROM t WHERE id BETWEEN 1001 AND 1500;
INSERT INTO t SELECT i, 'g' || i, 2 FROM generate_series(1001, 1500) i;
COMMIT;
SELECT v, count(*), min(code), max(code) FROM t GROUP BY v ORDER BY v;
WITH gone AS (DELETE FROM t WHERE id <= 10 RETURNING id) INSERT INTO t SELECT id + 20000, 'h' || id, 3 FROM gone;
WITH gone AS (DELETE FROM t WHERE id BETWEEN 11 AND 20 RETURNING id) INSERT INTO t SELECT i, 'i' || i, 3 FROM generate_series(11, 20) i;
SELECT count(*) FROM t WHERE v = 3;

-- Savepoints and blocks that catch the error.
BEGIN;
INSERT INTO t SELECT i, 'j' || i, 4 FROM generate_series(30001, 30100) i;
SAVEPOINT a;
INSERT INTO t SELECT i, 'k' || i, 4 FROM generate_series(30050, 30200) i;
ROLLBACK TO a;
INSERT INTO t SELECT i, 'k' || i, 4 FROM generate_series(30101, 30200) i;
RELEASE a;
INSERT INTO t SELECT i, 'l' || i, 4 FROM generate_series(30200, 30300) i;
ROLLBACK;
DO $$
BEGIN
  INSERT INTO t SELECT i, 'm' || i, 5 FROM generate_series(30001, 30100) i;
  BEGIN
    INSERT INTO t SELECT i, 'n' || i, 5 FROM generate_series(30101, 30200) i UNION ALL SELECT 30100, 'n', 5;
  EXCEPTION WHEN unique_violation THEN RAISE NOTICE 'caught: %', SQLERRM;
  END;
  INSERT INTO t SELECT i, 'o' || i, 5 FROM generate_series(30101, 30110) i;
END $$;
SELECT count(*), max(id) FROM t WHERE v = 5;

-- Functions that look, write or fail while rows are inserted.
CREATE FUNCTION count_t() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT count(*)::int FROM t WHERE id > 40000';
INSERT INTO t SELECT i, 'p' || i, count_t() FROM generate_series(40001, 40005) i;
SELECT id, v FROM t WHERE id > 40000 ORDER BY id;
CREATE FUNCTION caught(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1 / (i % 3); EXCEPTION WHEN division_by_zero THEN RETURN -1; END $$;
INSERT INTO t SELECT i, 'q' || i, caught(i) FROM generate_series(40011, 40020) i;
INSERT INTO t SELECT i, 'r' || i, caught(i) FROM generate_series(40019, 40030) i;
SELECT v, count(*) FROM t WHERE id > 40010 GROUP BY v ORDER BY v;

-- A block inside of the statement does not catch the statement's error, and what it rolls back is its own.
CREATE FUNCTION looks(i int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  IF i % 4 = 0 THEN
    INSERT INTO t VALUES (i + 500000, 'looks' || i, 0), (i + 500001, 'looks' || i, 0);
  END IF;
  RETURN (SELECT count(*) FROM t WHERE id = -i);
EXCEPTION WHEN unique_violation OR division_by_zero THEN RETURN -1;
END $$;
INSERT INTO t SELECT i, 'lo' || i, looks(i) FROM generate_series(40101, 40120) i;
INSERT INTO t SELECT i, 'lp' || i, looks(i) FROM generate_series(40111, 40130) i;
INSERT INTO t SELECT i, 'lq' || i, looks(i) FROM generate_series(40121, 40140) i UNION ALL SELECT 40110, 'lr', looks(1) UNION ALL SELECT 40141, 'ls', looks(3);
SELECT v, count(*) FROM t WHERE id BETWEEN 40100 AND 40200 OR id > 500000 GROUP BY v ORDER BY v;
SET enable_seqscan = off;
SELECT count(*) FROM t WHERE id BETWEEN 40100 AND 40200;
RESET enable_seqscan;

-- Triggers see what is there.
CREATE FUNCTION after_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.id % 50 = 0 THEN
    RAISE NOTICE '%: % rows', NEW.id, (SELECT count(*) FROM t WHERE id BETWEEN 50001 AND 50200);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER after_row AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION after_row();
INSERT INTO t SELECT i, 's' || i, 6 FROM generate_series(50001, 50200) i;
INSERT INTO t SELECT i, 't' || i, 6 FROM generate_series(50190, 50300) i;
DROP TRIGGER after_row ON t;
CREATE FUNCTION other_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.id % 10 = 0 THEN
    INSERT INTO t VALUES (NEW.id + 100000, 'u' || NEW.id, 7), (NEW.id + 200000, 'v' || NEW.id, 7) ON CONFLICT DO NOTHING;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER other_row BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.v = 8) EXECUTE FUNCTION other_row();
INSERT INTO t SELECT i, 'w' || i, 8 FROM generate_series(60001, 60100) i;
INSERT INTO t SELECT i, 'x' || i, 8 FROM generate_series(60101, 60120) i UNION ALL SELECT 160110, 'y', 8;
INSERT INTO t SELECT i, 'z' || i, 8 FROM generate_series(160000, 160020) i;
SELECT v, count(*), sum(id) FROM t WHERE v >= 7 GROUP BY v ORDER BY v;
DROP TRIGGER other_row ON t;

-- RETURNING, loops over it, ON CONFLICT, data-changing CTEs.
SELECT count(*) FROM (SELECT 1) x;
WITH added AS (INSERT INTO t SELECT i, 'aa' || i, 9 FROM generate_series(70001, 70100) i RETURNING id) SELECT count(*), sum(id) FROM added;
DO $$
DECLARE n int := 0; r record;
BEGIN
  FOR r IN INSERT INTO t SELECT i, 'ab' || i, 9 FROM generate_series(70101, 70200) i RETURNING id LOOP
    n := n + (SELECT count(*) FROM t WHERE id = r.id);
  END LOOP;
  RAISE NOTICE 'n = %', n;
END $$;
INSERT INTO t SELECT i, 'ac' || i, 10 FROM generate_series(70150, 70250) i ON CONFLICT (id) DO UPDATE SET v = t.v + 1;
INSERT INTO t SELECT i, 'ab' || i, 10 FROM generate_series(70150, 70260) i ON CONFLICT DO NOTHING;
SELECT v, count(*) FROM t WHERE id BETWEEN 70001 AND 70300 GROUP BY v ORDER BY v;
WITH one AS (INSERT INTO t SELECT i, 'ad' || i, 11 FROM generate_series(71001, 71020) i),
     two AS (INSERT INTO t SELECT i, 'ae' || i, 11 FROM generate_series(71020, 71030) i)
SELECT 1;
WITH one AS (INSERT INTO t SELECT i, 'ad' || i, 11 FROM generate_series(71001, 71020) i),
     two AS (INSERT INTO t SELECT i, 'ae' || i, 11 FROM generate_series(71021, 71030) i)
SELECT 1;
SELECT count(*) FROM t WHERE v = 11;

-- A COPY names the line.
COPY t FROM stdin;
80001	ba1	12
80002	ba2	12
70001	ba3	12
80004	ba4	12
\.
COPY t FROM stdin;
80001	ba1	12
80002	ba2	12
80003	ba1	12
\.
COPY t FROM stdin;
80001	ba1	12
80002	ba2	12
80003	\N	12
80004	\N	12
\.
CREATE FUNCTION same_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER same_row BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION same_row();
COPY t FROM stdin;
80005	ba5	12
80006	ba6	12
80002	ba7	12
80008	ba8	12
\.
SELECT id, code FROM t WHERE v = 12 ORDER BY id;

-- Updates and deletes of many rows by a key that changes.
UPDATE t SET id = id + 1 WHERE id BETWEEN 70001 AND 70050;
UPDATE t SET id = id + 1000000 WHERE id BETWEEN 2001 AND 2999;
UPDATE t SET code = 'new' || id WHERE id > 1000000;
UPDATE t SET code = 'same' WHERE id > 1002990;
SELECT count(*), min(id), max(id), min(code), max(code) FROM t WHERE id > 1000000;
DELETE FROM t WHERE id % 2 = 0;
INSERT INTO t SELECT i, 'even' || i, 13 FROM generate_series(2, 8000, 2) i;
SELECT count(*), sum(id), count(DISTINCT code), sum(v) FROM t;

-- Partitions, NULLS NOT DISTINCT, DEFERRABLE, several columns.
CREATE TABLE p (a int, b int, v int) PARTITION BY LIST (a);
CREATE TABLE p0 PARTITION OF p FOR VALUES IN (0) USING :am;
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1) USING :am;
CREATE UNIQUE INDEX ON p0 (b);
CREATE UNIQUE INDEX ON p1 (b) NULLS NOT DISTINCT;
INSERT INTO p SELECT i % 2, i / 2, 0 FROM generate_series(0, 999) i;
INSERT INTO p SELECT i % 2, i / 2, 0 FROM generate_series(999, 1500) i;
INSERT INTO p SELECT i % 2, i / 2, 0 FROM generate_series(1000, 1500) i;
INSERT INTO p VALUES (0, NULL, 1), (1, NULL, 1), (0, NULL, 1);
INSERT INTO p VALUES (0, NULL, 1), (0, NULL, 1), (1, NULL, 1);
SELECT a, count(*), count(b) FROM p GROUP BY a ORDER BY a;
CREATE TABLE d (a int, b int, UNIQUE (a, b), UNIQUE (b) DEFERRABLE INITIALLY DEFERRED) USING :am;
INSERT INTO d SELECT i / 10, i FROM generate_series(1, 200) i;
INSERT INTO d SELECT i / 10, i FROM generate_series(200, 300) i;
BEGIN;
INSERT INTO d SELECT i / 10 + 100, i FROM generate_series(200, 300) i;
DELETE FROM d WHERE a < 100 AND b = 200;
COMMIT;
SELECT count(*), sum(a), sum(b) FROM d;
DROP TABLE t, p, d;
DROP FUNCTION count_t, caught, looks, after_row, other_row, same_row;
