-- UPDATE … FROM, DELETE … USING, MERGE, and CTEs that change data.
CREATE TABLE t (id int, v int, s text);
INSERT INTO t SELECT i, i * 10, 's' || i FROM generate_series(1, 10) i;
CREATE TABLE u (id int, delta int);
INSERT INTO u VALUES (1, 100), (2, 200), (2, 200), (11, 1), (NULL, 0);
UPDATE t SET v = v + delta FROM u WHERE u.id = t.id RETURNING t.id, v, delta;
SELECT * FROM t WHERE id < 4 ORDER BY id;
UPDATE t SET (v, s) = (SELECT max(delta), 'sub' FROM u WHERE u.id = t.id) WHERE id IN (1, 5) RETURNING *;
UPDATE t SET v = o.v FROM t o WHERE o.id = t.id + 1 AND t.id BETWEEN 3 AND 5;
SELECT id, v FROM t ORDER BY id;
DELETE FROM t USING u WHERE u.id = t.id RETURNING t.id, u.delta;
DELETE FROM t WHERE id IN (SELECT id + 1 FROM t WHERE v > 80) RETURNING id;
SELECT id, v, s FROM t ORDER BY id;
UPDATE t SET id = id WHERE false;
UPDATE t SET v = NULL, s = DEFAULT WHERE id = 6 RETURNING *;
UPDATE t SET v = v + 1;
UPDATE t SET v = v + 1;
SELECT sum(v), count(*) FROM t;
DELETE FROM t WHERE v IS NULL;
-- A row is changed once by a statement, and by every statement of a transaction.
BEGIN;
UPDATE t SET v = 0 WHERE id = 3;
UPDATE t SET v = v + 1 WHERE id = 3;
UPDATE t SET v = v + 1 WHERE id = 3;
DELETE FROM t WHERE id = 3 RETURNING v;
INSERT INTO t VALUES (3, -3, 'again');
UPDATE t SET s = 'and again' WHERE id = 3;
SELECT * FROM t WHERE id = 3;
COMMIT;
SELECT * FROM t ORDER BY id;
-- MERGE.
CREATE TABLE target (id int, balance int, note text);
CREATE TABLE source (id int, amount int);
INSERT INTO target VALUES (1, 10), (2, 20), (3, 30);
INSERT INTO source VALUES (2, 5), (3, -30), (4, 40), (5, NULL);
MERGE INTO target t USING source s ON t.id = s.id
WHEN MATCHED AND t.balance + s.amount = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET balance = t.balance + s.amount, note = 'merged'
WHEN NOT MATCHED AND s.amount IS NULL THEN DO NOTHING
WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.amount, 'new');
SELECT * FROM target ORDER BY id;
INSERT INTO source VALUES (2, 1);
MERGE INTO target t USING source s ON t.id = s.id WHEN MATCHED THEN UPDATE SET balance = 0;
MERGE INTO target t USING source s ON t.id = s.id WHEN MATCHED THEN DELETE;
SELECT * FROM target ORDER BY id;
MERGE INTO target t USING (SELECT DISTINCT id FROM source) s ON t.id = s.id
WHEN MATCHED AND s.id = 4 THEN DO NOTHING
WHEN MATCHED THEN DELETE;
SELECT * FROM target ORDER BY id;
-- CTEs that change data see the state before the statement, and each other's RETURNING.
WITH moved AS (DELETE FROM t WHERE id > 7 RETURNING *)
INSERT INTO u SELECT id, v FROM moved RETURNING *;
WITH ins AS (INSERT INTO t VALUES (50, 50, 'cte') RETURNING id)
SELECT (SELECT count(*) FROM t WHERE id = 50) AS before, (SELECT id FROM ins) AS inserted;
WITH upd AS (UPDATE t SET v = 51 WHERE id = 50 RETURNING v) SELECT (SELECT v FROM t WHERE id = 50) AS old, v AS new FROM upd;
WITH del AS (DELETE FROM t WHERE id = 50 RETURNING *), ins AS (INSERT INTO t SELECT id + 1, v, s FROM del RETURNING *)
SELECT * FROM ins;
WITH a AS (UPDATE t SET s = 'a' WHERE id = 51), b AS (DELETE FROM u) SELECT count(*) FROM u;
SELECT * FROM t ORDER BY id;
SELECT count(*) FROM u;
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5), i AS (INSERT INTO u SELECT n, n FROM r RETURNING id)
SELECT sum(id) FROM i;
SELECT id FROM u ORDER BY id;
-- Joins, sets, windows and subqueries over what is stored.
SELECT t.id, u.delta FROM t FULL JOIN u USING (id) ORDER BY 1, 2;
SELECT id, sum(v) OVER (ORDER BY id), lag(s) OVER (ORDER BY id) FROM t ORDER BY id;
SELECT id FROM t WHERE EXISTS (SELECT FROM u WHERE u.id = t.id) ORDER BY id;
SELECT id FROM t INTERSECT SELECT id FROM u ORDER BY id;
SELECT v, grouping(v), count(*) FROM t GROUP BY ROLLUP (v) ORDER BY v;
SELECT a.id, b.v FROM u a, LATERAL (SELECT v FROM t WHERE t.id >= a.id ORDER BY t.id LIMIT 1) b ORDER BY 1;
