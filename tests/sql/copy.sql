-- COPY in and out: text, csv, binary, with columns, filters, triggers and errors halfway.
CREATE TABLE t (id int, s text, n numeric, b bytea, d date DEFAULT '2024-01-01');
COPY t FROM STDIN;
1	plain	1.50	\\x00ff	2024-02-03
2	\N	\N	\N	\N
3		0	\\x	2024-02-05
4	tab\tnew\nline back\\slash	-1	\\x61	infinity
\.
COPY t (id, s) FROM STDIN WITH (FORMAT csv, HEADER, NULL 'nil');
id,s
5,"quoted, ""yes"""
6,nil
7,""
8,"nil"
\.
SELECT * FROM t ORDER BY id;
COPY (SELECT * FROM t ORDER BY id) TO STDOUT;
COPY (SELECT id, s, d FROM t ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER, FORCE_QUOTE (s), NULL '-');
COPY t (s, id) FROM STDIN WITH (DELIMITER ';') WHERE id % 2 = 1;
nine;9
ten;10
eleven;11
\.
SELECT id, s, d FROM t WHERE id > 8 ORDER BY id;
-- An error in the middle leaves nothing.
COPY t FROM STDIN;
100	ok	1	\\x	2024-01-01
bad	row	1	\\x	2024-01-01
\.
COPY t (id, s) FROM STDIN;
101	too	many
\.
SELECT count(*) FROM t;
-- Many rows: multi-insert buffers, then out and in again through a file of each format.
CREATE TABLE big (id int, v text, x float8, w text DEFAULT 'w');
INSERT INTO big SELECT i, md5(i::text), i / 3.0, CASE WHEN i % 10 = 0 THEN repeat('z', i) END FROM generate_series(1, 20000) i;
SELECT 'copy_' || current_database() AS file \gset
\set text_file '/tmp/fakegres_' :am '_' :file '.text'
\set copy_out '\\copy big TO ' :text_file
:copy_out
CREATE TABLE back (LIKE big INCLUDING ALL);
\set copy_in '\\copy back FROM ' :text_file
:copy_in
SELECT count(*), sum(id), md5(string_agg(b::text, '' ORDER BY id)) FROM back b;
\set copy_out '\\copy big TO ' :text_file ' (FORMAT binary)'
:copy_out
\set copy_in '\\copy back FROM ' :text_file ' (FORMAT binary)'
:copy_in
SELECT count(*), sum(id), md5(string_agg(b::text, '' ORDER BY id)) FROM back b;
\set copy_out '\\copy big (x, id) TO ' :text_file ' CSV HEADER'
:copy_out
\set copy_in '\\copy back (x, id) FROM ' :text_file ' CSV HEADER'
:copy_in
SELECT count(*), count(v), count(w), sum(id) FROM back;
\set remove '\\! rm -f ' :text_file
:remove
SELECT count(*) FROM big EXCEPT ALL SELECT count(*) FROM (TABLE big INTERSECT ALL TABLE back) shared;
-- FREEZE and the same transaction.
BEGIN;
CREATE TABLE fresh (id int);
COPY fresh FROM STDIN WITH (FREEZE);
1
2
\.
SELECT sum(id) FROM fresh;
SAVEPOINT a;
COPY fresh FROM STDIN;
3
\.
SELECT sum(id) FROM fresh;
ROLLBACK TO a;
SELECT sum(id) FROM fresh;
COMMIT;
SELECT sum(id) FROM fresh;
-- Triggers see every row; a BEFORE trigger may drop one.
CREATE FUNCTION skip_even() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id % 2 = 0 THEN RETURN NULL; END IF; NEW.id := NEW.id * 10; RETURN NEW; END $$;
CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% rows, sum %', (SELECT count(*) FROM added), (SELECT sum(id) FROM added); RETURN NULL; END $$;
CREATE TRIGGER skip BEFORE INSERT ON fresh FOR EACH ROW EXECUTE FUNCTION skip_even();
CREATE TRIGGER counted AFTER INSERT ON fresh REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
COPY fresh FROM STDIN;
3
4
5
\.
SELECT id FROM fresh ORDER BY id;
-- Into partitions.
CREATE TABLE parts (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
COPY parts FROM STDIN CSV;
1,a
11,b
2,c
19,d
\.
COPY parts FROM STDIN CSV;
3,e
20,out of range
\.
SELECT tableoid::regclass, * FROM parts ORDER BY k;
COPY parts TO STDOUT;
COPY parts_2 (v) TO STDOUT;
