-- Reading as of an earlier moment.
CREATE TABLE t (id int, v text);
INSERT INTO t VALUES (1, 'old'), (2, 'old'), (3, 'old');
SELECT pg_sleep(0.1);
SELECT clock_timestamp() AS first \gset
SELECT pg_sleep(0.1);
UPDATE t SET v = 'new' WHERE id = 1;
DELETE FROM t WHERE id = 2;
INSERT INTO t VALUES (4, 'new');
SELECT pg_sleep(0.1);
SELECT clock_timestamp() AS second \gset
SELECT pg_sleep(0.1);
UPDATE t SET v = 'newest';
SELECT * FROM t ORDER BY id;
SET fakegres.as_of = :'first';
SELECT * FROM t ORDER BY id;
SELECT count(*) FROM t WHERE v = 'old';
SET fakegres.as_of = :'second';
SELECT * FROM t ORDER BY id;
-- Nothing can be changed in the past, and locked neither.
\set VERBOSITY sqlstate
INSERT INTO t VALUES (9, 'no');
UPDATE t SET v = 'no';
DELETE FROM t;
SELECT * FROM t FOR UPDATE;
SELECT * FROM t FOR KEY SHARE;
RESET fakegres.as_of;
SELECT * FROM t ORDER BY id;
-- The future and the time before the history's reach are errors, not empty tables.
SET fakegres.as_of = '2999-01-01';
SELECT * FROM t;
SET fakegres.as_of = '2000-01-01';
SELECT * FROM t;
SET fakegres.as_of = 'nonsense';
SELECT * FROM t;
RESET fakegres.as_of;
-- VACUUM keeps what the retention promises.
VACUUM t;
SET fakegres.as_of = :'first';
SELECT * FROM t ORDER BY id;
