-- What newer PostgreSQL versions added. Each part runs where the server has it.
SELECT :SERVER_VERSION_NUM >= 160000 AS has_16, :SERVER_VERSION_NUM >= 170000 AS has_17, :SERVER_VERSION_NUM >= 180000 AS has_18 \gset
CREATE TABLE t (id int, v int);
INSERT INTO t VALUES (1, 1), (2, 2), (3, 3);
\if :has_16
CREATE TABLE stored (id int, s text STORAGE EXTERNAL);
INSERT INTO stored VALUES (1, repeat('s', 10000));
SELECT length(s) FROM stored;
COPY stored (id, s) FROM STDIN WITH (DEFAULT '\D');
2	\D
\.
SELECT id, length(s) FROM stored ORDER BY id;
\endif
\if :has_17
MERGE INTO t USING (VALUES (2, 20), (4, 40)) s(id, v) ON t.id = s.id
WHEN MATCHED THEN UPDATE SET v = s.v
WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v)
WHEN NOT MATCHED BY SOURCE AND t.id = 1 THEN DELETE
WHEN NOT MATCHED BY SOURCE THEN UPDATE SET v = -t.v
RETURNING merge_action(), t.*;
SELECT * FROM t ORDER BY id;
CREATE TABLE parts (k int, v text) PARTITION BY RANGE (k) USING :am;
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
SELECT amname = :'am' AS chosen FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = 'parts_1'::regclass;
ALTER TABLE parts SET ACCESS METHOD DEFAULT;
INSERT INTO parts VALUES (1, 'a');
ALTER TABLE parts_1 SET ACCESS METHOD heap;
ALTER TABLE parts_1 SET ACCESS METHOD DEFAULT;
SELECT * FROM parts;
COPY t FROM STDIN WITH (ON_ERROR ignore);
7	70
bad	row
8	80
\.
SELECT * FROM t ORDER BY id;
\endif
\if :has_18
UPDATE t SET v = v + 1 WHERE id = 2 RETURNING old.v AS before, new.v AS after;
DELETE FROM t WHERE id = 3 RETURNING old.*, new.*;
INSERT INTO t VALUES (9, 9) RETURNING old.id AS before, new.id AS after;
MERGE INTO t USING (VALUES (9)) s(id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = 10 RETURNING merge_action(), old.v, new.v;
CREATE TABLE virtual (a int, b int GENERATED ALWAYS AS (a * 2));
INSERT INTO virtual VALUES (1), (NULL), (5);
SELECT * FROM virtual ORDER BY a;
UPDATE virtual SET a = 7 WHERE b = 10 RETURNING *;
ALTER TABLE virtual ADD COLUMN c int GENERATED ALWAYS AS (a + 1) VIRTUAL NOT NULL;
DELETE FROM virtual WHERE a IS NULL;
ALTER TABLE virtual ADD COLUMN c int GENERATED ALWAYS AS (a + 1) VIRTUAL NOT NULL;
SELECT * FROM virtual ORDER BY a;
CREATE TABLE named (a int CONSTRAINT a_there NOT NULL);
INSERT INTO named VALUES (NULL);
ALTER TABLE named ADD CONSTRAINT positive CHECK (a > 0) NOT ENFORCED;
INSERT INTO named VALUES (-1);
SELECT * FROM named;
\endif
SELECT count(*) > 0 FROM t;
