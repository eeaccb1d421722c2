-- INSERT … SELECT from itself, RETURNING, VALUES, and what a statement sees of its own work.
CREATE TABLE t (id serial, v int, s text DEFAULT 'd');
INSERT INTO t (v) VALUES (1), (2), (3) RETURNING id, v, s;
INSERT INTO t (v, s) SELECT v * 10, s || id FROM t RETURNING *;
SELECT count(*), sum(v) FROM t;
INSERT INTO t (v) SELECT v FROM t;
INSERT INTO t (v) SELECT v FROM t;
INSERT INTO t (v) SELECT v FROM t CROSS JOIN generate_series(1, 100);
SELECT count(*), sum(v) FROM t;
INSERT INTO t (v, s) SELECT count(*), 'counted' FROM t RETURNING v;
BEGIN;
INSERT INTO t (v) SELECT a.v FROM t a WHERE a.v = 30;
INSERT INTO t (v) SELECT a.v FROM t a WHERE a.v = 30;
SELECT count(*) FROM t WHERE v = 30;
ROLLBACK;
SELECT count(*) FROM t WHERE v = 30;
-- Expressions, system columns and whole rows in RETURNING.
INSERT INTO t (v) VALUES (77) RETURNING tableoid::regclass, ctid IS NOT NULL AS has_ctid, v + 1, t.*;
INSERT INTO t VALUES (DEFAULT, 5, DEFAULT), (900, DEFAULT, NULL) RETURNING t;
INSERT INTO t DEFAULT VALUES RETURNING v IS NULL, s;
INSERT INTO t (v) SELECT 1 WHERE false RETURNING *;
INSERT INTO t (nope) VALUES (1);
INSERT INTO t (v) VALUES ('x');
INSERT INTO t (v) SELECT 1 / (3 - i) FROM generate_series(1, 5) i;
SELECT count(*) FROM t;
-- ON CONFLICT without an arbiter has nothing to conflict with.
INSERT INTO t (id, v) VALUES (1, 1) ON CONFLICT DO NOTHING RETURNING id;
INSERT INTO t (id, v) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET v = 0;
-- A volatile function that reads the table being written sees what is committed to its snapshot.
CREATE TABLE small (i int, now_ bigint, then_ bigint);
CREATE FUNCTION rows_now() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT count(*) FROM small';
CREATE FUNCTION rows_then() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM small';
INSERT INTO small SELECT i, rows_now(), rows_then() FROM generate_series(1, 5) i;
SELECT * FROM small ORDER BY i;
INSERT INTO small SELECT i, rows_now(), rows_then() FROM generate_series(6, 8) i;
SELECT * FROM small ORDER BY i;
UPDATE small SET now_ = rows_now(), then_ = rows_then();
SELECT now_, then_, count(*) FROM small GROUP BY 1, 2 ORDER BY 1, 2;
CREATE FUNCTION sum_now() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT sum(i) FROM small';
UPDATE small SET i = 100, now_ = sum_now() WHERE i = 8;
UPDATE small SET i = 100, now_ = sum_now() WHERE i = 7 RETURNING now_;
DELETE FROM small WHERE sum_now() > 0;
SELECT count(*) FROM small;
-- Rules and views.
CREATE VIEW v AS SELECT id, v FROM t WHERE v > 50 WITH CHECK OPTION;
INSERT INTO v (v) VALUES (60) RETURNING v;
INSERT INTO v (v) VALUES (40);
UPDATE v SET v = v + 1 WHERE v = 60 RETURNING v;
DELETE FROM v WHERE v = 61 RETURNING v;
CREATE RULE twice AS ON INSERT TO small DO ALSO INSERT INTO t (v, s) VALUES (NEW.i, 'rule');
INSERT INTO small (i) VALUES (1234);
SELECT v, s FROM t WHERE s = 'rule';
-- System columns of what was just written: inserted rows and those that ON CONFLICT updated differ in xmax, and
-- xmin is what it will be for readers.
CREATE TABLE upserted (id int PRIMARY KEY, v text);
INSERT INTO upserted VALUES (1, 'one') RETURNING xmax = 0 AS inserted, cmin;
INSERT INTO upserted VALUES (1, 'again'), (2, 'two') ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v RETURNING id, v, xmax = 0 AS inserted;
INSERT INTO upserted VALUES (2, 'again'), (3, 'three'), (4, 'four') ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v RETURNING id, v, xmax = 0 AS inserted;
UPDATE upserted SET v = v || '!' WHERE id = 3 RETURNING id, v, xmax = 0 AS unlocked;
BEGIN;
SELECT id FROM upserted WHERE id = 3 FOR UPDATE;
UPDATE upserted SET v = v || '!' WHERE id = 3 RETURNING id, v, xmax = 0 AS unlocked;
UPDATE upserted SET v = v || '!' WHERE id = 4 RETURNING id, v, xmax = 0 AS unlocked;
COMMIT;
INSERT INTO upserted VALUES (5, 'five') RETURNING xmin::text AS written \gset
SELECT xmin::text = :'written' AS same, xmax = 0 AS unlocked FROM upserted WHERE id = 5;
UPDATE upserted SET v = 'FIVE' WHERE id = 5 RETURNING xmin::text AS written \gset
SELECT xmin::text = :'written' AS same FROM upserted WHERE id = 5;
INSERT INTO upserted SELECT id + 100, v FROM upserted RETURNING id, xmax = 0 AS inserted;
SELECT * FROM upserted ORDER BY id;
