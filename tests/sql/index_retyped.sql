-- Indexed values whose type changes: attributes of composites come and go, labels of enums are put between
-- others until PostgreSQL moves them.
SET enable_seqscan = off;
CREATE TYPE pair AS (a int, b text);
CREATE TABLE composites (id int PRIMARY KEY, p pair, ps pair[]);
CREATE UNIQUE INDEX composites_p ON composites (p);
CREATE INDEX composites_ps ON composites (ps);
INSERT INTO composites SELECT i, ROW(i % 7, 'b' || i)::pair, ARRAY[ROW(i % 5, 'x')::pair] FROM generate_series(1, 100) i;
ALTER TYPE pair ADD ATTRIBUTE c numeric;
SELECT id FROM composites WHERE p = ROW(3, 'b10', NULL)::pair;
SELECT id FROM composites WHERE p > ROW(6, 'b9', NULL)::pair ORDER BY p;
SELECT count(*) FROM composites WHERE ps = ARRAY[ROW(2, 'x', NULL)::pair];
INSERT INTO composites VALUES (101, ROW(3, 'b10', 1.5), '{}'), (102, ROW(3, 'b10', 0.5), '{}');
INSERT INTO composites VALUES (103, ROW(3, 'b10', 1.50), '{}');
SELECT id, p FROM composites WHERE p >= ROW(3, 'b10', 0)::pair AND p < ROW(3, 'b11', 0)::pair ORDER BY p;
UPDATE composites SET p.c = id WHERE id < 10;
DELETE FROM composites WHERE id IN (10, 20);
SELECT id FROM composites WHERE p = ROW(3, 'b10', NULL)::pair;
SELECT count(*) FROM composites WHERE p > ROW(0, '', NULL)::pair;
UPDATE composites SET p.c = NULL;
DELETE FROM composites WHERE id > 100;
ALTER TYPE pair DROP ATTRIBUTE c;
SELECT id FROM composites WHERE p = ROW(2, 'b9')::pair;
SELECT id FROM composites WHERE p > ROW(6, 'b6')::pair ORDER BY p;
INSERT INTO composites VALUES (201, ROW(2, 'b9'));
INSERT INTO composites VALUES (202, ROW(2, 'b99'));
SELECT id FROM composites WHERE p BETWEEN ROW(2, 'b9')::pair AND ROW(2, 'bb')::pair ORDER BY p;
-- Changes that are undone: tests/fakegres/retyped_undone.sql.
INSERT INTO composites VALUES (303, ROW(9, 'new'));
SELECT id FROM composites WHERE p >= ROW(7, '')::pair ORDER BY id;
-- The row type of a table, a domain over a composite, and a composite in a composite.
CREATE TABLE base (a int, b int);
CREATE DOMAIN checked AS pair CHECK ((VALUE).a > 0);
CREATE TYPE outer_pair AS (p pair, n int);
CREATE TABLE users (id int, r base, d checked, o outer_pair);
CREATE INDEX users_r ON users (r);
CREATE INDEX users_d ON users (d);
CREATE INDEX users_o ON users (o, id);
INSERT INTO users SELECT i, ROW(i, -i)::base, ROW(i, 'd')::pair, ROW(ROW(i, 'o')::pair, i)::outer_pair FROM generate_series(1, 50) i;
ALTER TABLE base ADD COLUMN c int, DROP COLUMN b;
ALTER TYPE pair ADD ATTRIBUTE e int;
SELECT id FROM users WHERE r = ROW(7, NULL)::base;
SELECT id FROM users WHERE d = ROW(8, 'd', NULL)::pair;
SELECT id FROM users WHERE o = ROW(ROW(9, 'o', NULL), 9)::outer_pair;
SELECT id FROM users WHERE o > ROW(ROW(47, 'o', NULL), 0)::outer_pair ORDER BY o;
-- Labels: halfway between two others there is soon no room.
CREATE TYPE label AS ENUM ('first', 'last');
CREATE TABLE enums (id serial, e label, es label[]);
CREATE INDEX enums_e ON enums (e);
CREATE UNIQUE INDEX enums_unique ON enums (e, id);
CREATE INDEX enums_es ON enums (es DESC);
INSERT INTO enums (e, es) VALUES ('first', '{first}'), ('last', '{last,first}'), (NULL, NULL);
DO $$ BEGIN
  FOR i IN 1 .. 60 LOOP
    EXECUTE format('ALTER TYPE label ADD VALUE %L BEFORE %L', 'l' || i, CASE WHEN i = 1 THEN 'last' ELSE 'l' || i - 1 END);
  END LOOP;
END $$;
SELECT count(*) FILTER (WHERE enumsortorder = trunc(enumsortorder)) > 2 AS moved FROM pg_enum WHERE enumtypid = 'label'::regtype;
INSERT INTO enums (e, es) SELECT ('l' || i)::label, ARRAY['l' || i]::label[] FROM generate_series(1, 60) i;
SELECT id, e FROM enums WHERE e < 'l50' ORDER BY e;
SELECT id FROM enums WHERE e = 'last' OR e = 'first' OR e = 'l60' ORDER BY id;
SELECT id FROM enums WHERE es >= '{last}' ORDER BY es;
ALTER TYPE label ADD VALUE IF NOT EXISTS 'l1' AFTER 'first';
DO $$ BEGIN
  FOR i IN 61 .. 120 LOOP
    EXECUTE format('ALTER TYPE label ADD VALUE %L AFTER %L', 'l' || i, CASE WHEN i = 61 THEN 'first' ELSE 'l' || i - 1 END);
  END LOOP;
END $$;
INSERT INTO enums (e) VALUES ('l61'), ('l120');
SELECT id, e FROM enums WHERE e > 'l5' ORDER BY e;
SELECT id, e FROM enums WHERE e < 'l58' ORDER BY e;
SELECT e FROM enums WHERE e IN ('l61', 'l120', 'l1', 'last') ORDER BY e DESC;
ALTER TYPE label RENAME VALUE 'l1' TO 'one';
SELECT id FROM enums WHERE e = 'one';
