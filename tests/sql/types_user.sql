-- Composites, domains, enums, ranges over user types, arrays of all of them, and user base types.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE address AS (street text, city text, zip int);
CREATE TYPE person AS (name text, home address, moods mood[]);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN short_text AS varchar(5) NOT NULL DEFAULT 'none';
CREATE DOMAIN positives AS positive[] CHECK (array_length(VALUE, 1) < 4);
CREATE TYPE moodrange AS RANGE (subtype = mood);
CREATE TYPE floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TABLE people (
  id int, m mood, ms mood[], a address, aa address[], p person, pos positive, s short_text, ps positives,
  mr moodrange, fr floatrange, mmr moodmultirange
);
INSERT INTO people VALUES
  (1, 'happy', '{sad,ok}', ('Main St', 'Ulm', 89073), ARRAY[('A', 'B', 1)::address, NULL],
   ('Ann', ('x', 'y', 2), '{happy,NULL}'), 5, 'abc', '{1,2,3}', '[sad,happy)', '[1.5,2.5]', '{[sad,ok)}'),
  (2, NULL, NULL, NULL, NULL, NULL, NULL, DEFAULT, NULL, NULL, NULL, NULL),
  (3, 'sad', '{}', (NULL, NULL, NULL), '{}', (NULL, NULL, NULL), 1, '', '{}', 'empty', '(,)', '{}'),
  (4, 'ok', '{{sad,ok},{happy,sad}}', ('', '', 0), ARRAY[(NULL, '', NULL)::address], ('', ('', '', NULL), '{}'), 2147483647, 'x', '{7}', '(,ok]', 'empty', '{(,)}');
SELECT * FROM people ORDER BY id;
SELECT id, a IS NULL AS null_row, a IS DISTINCT FROM NULL AS some_row, (a).city, (p).home, ((p).home).zip, (aa[1]).street, ms[1], ms[2][1] FROM people ORDER BY id;
SELECT id, m FROM people ORDER BY m NULLS FIRST, id;
SELECT m, count(*) FROM people GROUP BY m ORDER BY m;
SELECT id FROM people WHERE m > 'sad' AND mr @> 'ok'::mood ORDER BY id;
-- Parts of composites and arrays can be assigned.
UPDATE people SET a.city = 'Köln', aa[3].zip = 9, ms[2] = 'happy', p.home.street = 'z' WHERE id IN (1, 2, 3);
SELECT id, a, aa, ms, p FROM people ORDER BY id;
-- Rules of domains hold.
INSERT INTO people (id, s, pos) VALUES (5, 'a', 0);
INSERT INTO people (id, s) VALUES (5, NULL);
INSERT INTO people (id, s) VALUES (5, 'too long');
INSERT INTO people (id, ps) VALUES (5, '{1,-1}');
UPDATE people SET ps = '{1,2,3,4}' WHERE id = 1;
ALTER DOMAIN positive ADD CONSTRAINT small CHECK (VALUE < 100);
ALTER DOMAIN positive ADD CONSTRAINT large CHECK (VALUE < 2147483648) NOT VALID;
-- Enums change under stored rows.
ALTER TYPE mood ADD VALUE 'meh' BEFORE 'ok';
ALTER TYPE mood RENAME VALUE 'ok' TO 'fine';
SELECT id, m, ms, mr FROM people ORDER BY m, id;
INSERT INTO people (id, m, ms) VALUES (6, 'meh', '{meh,fine}');
SELECT id, m, ms FROM people WHERE m BETWEEN 'meh' AND 'fine' ORDER BY id;
-- A type that a table uses changes only where PostgreSQL can follow.
ALTER TYPE address ADD ATTRIBUTE country text;
ALTER TYPE address RENAME ATTRIBUTE city TO town;
DROP TYPE mood;
CREATE TABLE typed OF person;
INSERT INTO typed VALUES ('Bob', ('s', 't', 1, 'de'), '{sad}');
SELECT * FROM typed;
ALTER TYPE person ADD ATTRIBUTE age int CASCADE;
SELECT * FROM typed;
UPDATE typed SET age = 44;
SELECT name, age, home FROM typed;
-- A row type of a table as a column of another.
CREATE TABLE holder (id int, t typed, ts typed[]);
INSERT INTO holder SELECT 1, t, ARRAY[t, t] FROM typed t;
SELECT id, (t).name, (ts[2]).age FROM holder;
ALTER TABLE typed NOT OF;
ALTER TABLE typed DROP COLUMN age;
-- A base type of the user's own, stored like text and like int8.
CREATE TYPE mytext;
CREATE FUNCTION mytext_in(cstring) RETURNS mytext LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION mytext_out(mytext) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE mytext (INPUT = mytext_in, OUTPUT = mytext_out, LIKE = text);
CREATE TYPE mylong;
CREATE FUNCTION mylong_in(cstring) RETURNS mylong LANGUAGE internal IMMUTABLE STRICT AS 'int8in';
CREATE FUNCTION mylong_out(mylong) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int8out';
CREATE TYPE mylong (INPUT = mylong_in, OUTPUT = mylong_out, LIKE = bigint);
CREATE TABLE own (id int, t mytext, l mylong, ts mytext[]);
INSERT INTO own VALUES (1, 'hello', '-9', '{a,NULL,""}'), (2, '', NULL, NULL), (3, NULL, '0', '{}');
SELECT * FROM own ORDER BY id;
-- Collations and case.
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE words (w text COLLATE ignore_case, c text COLLATE "C");
INSERT INTO words VALUES ('Abc', 'b'), ('aBC', 'B'), ('abd', 'a');
SELECT count(*) FROM words WHERE w = 'abc';
SELECT c FROM words ORDER BY c;
SELECT count(DISTINCT w) FROM words;
