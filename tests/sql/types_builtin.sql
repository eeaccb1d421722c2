-- Every built-in data type: a value, a NULL, an array with a NULL in it, and an update to NULL and
-- back, in a table of its own and all together in a wide one.
SET timezone = 'UTC';
SET lc_monetary = 'C';
CREATE TABLE samples (number int, type text, literal text);
COPY samples FROM STDIN;
1	boolean	true
2	boolean	false
3	smallint	-32768
4	integer	2147483647
5	bigint	-9223372036854775808
6	real	1.5e-37
7	real	NaN
8	double precision	-Infinity
9	double precision	2.2250738585072014e-308
10	numeric	0
11	numeric	NaN
12	numeric	-Infinity
13	numeric	123456789012345678901234567890.123456789012345678901234567890
14	numeric(10,2)	-12345678.90
15	money	-1234.56
16	"char"	x
17	"char"	
18	char(10)	pad
19	char(10)	
20	varchar(20)	ünïcödé
21	text	
22	text	tab\tnewline\nquote'"\\
23	name	a_name
24	bytea	\\x
25	bytea	\\x00ff00deadbeef
26	date	infinity
27	date	0044-03-15 BC
28	time	23:59:59.999999
29	time	24:00:00
30	timetz	04:05:06.789-08
31	timestamp	-infinity
32	timestamp	294276-12-31 23:59:59.999999
33	timestamptz	2024-02-29 12:34:56.789012+02
34	interval	-178000000 years
35	interval	1 mon -3 days 04:05:06.000001
36	interval(0)	1 day 00:00:01.6
37	uuid	a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11
38	inet	192.168.1.5/24
39	inet	2001:db8::1
40	cidr	10.0.0.0/8
41	macaddr	08:00:2b:01:02:03
42	macaddr8	08:00:2b:01:02:03:04:05
43	bit(5)	10110
44	varbit	
45	varbit	1
46	bit varying(70)	1011001110101100111010110011101011001110101100111010110011101011001110
47	point	(1.5,-2)
48	line	{1,-1,0}
49	lseg	[(0,0),(1,1)]
50	box	(2,2),(1,1)
51	path	[(0,0),(1,1),(2,0)]
52	path	((0,0),(1,1),(2,0))
53	polygon	((0,0),(0,1),(1,1))
54	circle	<(1,2),3>
55	json	{"a": [1, 2.0, null], "b": "x", "a": 2}
56	jsonb	{"a": [1, 2.0, null], "b": {"c": "\\u00e9"}}
57	jsonb	null
58	jsonpath	$."a"[*]?(@ > 1)
59	xml	<a>b</a>
60	tsvector	'cat':3A 'fat':2B,4C 'rat'
61	tsquery	'fat' & ( 'rat' | !'cat':AB )
62	int4range	[1,10)
63	int4range	empty
64	int8range	(,5]
65	numrange	[1.1,2.2)
66	tsrange	[2024-01-01 00:00,infinity)
67	tstzrange	["2024-01-01 00:00+00","2024-06-01 00:00+00"]
68	daterange	[2024-01-01,2024-02-01)
69	int4multirange	{[1,3),[5,7)}
70	int8multirange	{}
71	nummultirange	{[1.5,2.5],(10,)}
72	tsmultirange	{["2024-01-01 00:00","2024-01-02 00:00")}
73	tstzmultirange	{["2024-01-01 00:00+00","2024-01-02 00:00+00")}
74	datemultirange	{[2024-01-01,2024-01-05)}
75	oid	4294967295
76	xid	4294967295
77	xid8	18446744073709551615
78	cid	7
79	tid	(4294967295,65535)
80	pg_lsn	16/B374D848
81	pg_snapshot	10:20:10,14,15
82	txid_snapshot	10:20:10,14,15
83	regclass	pg_class
84	regproc	now
85	regprocedure	lower(text)
86	regoper	||/
87	regoperator	+(integer,integer)
88	regtype	integer
89	regrole	postgres
90	regnamespace	pg_catalog
91	regconfig	english
92	regdictionary	simple
93	regcollation	"C"
94	int2vector	1 2 3
95	oidvector	4 5 6
96	aclitem	postgres=r*w/postgres
97	refcursor	a_cursor
98	gtsvector	refused
99	pg_node_tree	refused
\.
CREATE FUNCTION try_type(type text, literal text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE a text; b text; c text; d text;
BEGIN
  EXECUTE format('CREATE TABLE one (id int, v %s, tail text)', type);
  EXECUTE format('INSERT INTO one VALUES (1, %L, ''end''), (2, NULL, ''end''), (3, %L, NULL)', literal, literal);
  SELECT string_agg(id || ':' || coalesce(v::text, '<null>') || ':' || coalesce(tail, '<null>'), ' ' ORDER BY id) INTO a FROM one;
  EXECUTE format('UPDATE one SET v = CASE id WHEN 2 THEN %L::%s END', literal, type);
  SELECT string_agg(id || ':' || coalesce(v::text, '<null>'), ' ' ORDER BY id) INTO b FROM one;
  EXECUTE format('SELECT count(*)::text FROM one x JOIN one y ON x.v::text = y.v::text WHERE x.v IS NOT NULL') INTO c;
  BEGIN
    EXECUTE format('CREATE TABLE many (id int, v %s[])', type);
    EXECUTE format('INSERT INTO many VALUES (1, ARRAY[%L, NULL, %L]::%s[]), (2, ''{}''), (3, NULL), (4, ARRAY[[%L,%L],[%L,NULL]]::%s[])',
                   literal, literal, type, literal, literal, literal, type);
    SELECT string_agg(id || ':' || coalesce(v::text, '<null>') || ':' || coalesce(array_dims(v), '-'), ' ' ORDER BY id) INTO d FROM many;
    DROP TABLE many;
  EXCEPTION WHEN OTHERS THEN d := 'array ' || SQLSTATE || ' ' || SQLERRM;
  END;
  DROP TABLE one;
  RETURN concat_ws(' / ', a, b, c, d);
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT number, type, try_type(type, literal) FROM samples ORDER BY number;
-- No built-in type is forgotten (what remains are types that no table can or should have).
SELECT typname FROM pg_type t
WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A'
  AND NOT EXISTS (SELECT FROM samples WHERE to_regtype(regexp_replace(type, '\(.*\)', '')) = t.oid)
ORDER BY 1;
-- All of them side by side, with every combination of alignment, and with each left out in turn.
DO $$
DECLARE columns text; vals text; picked record;
BEGIN
  SELECT string_agg(format('c%s %s', number, type), ', ' ORDER BY number),
         string_agg(quote_literal(literal), ', ' ORDER BY number) INTO columns, vals
  FROM samples WHERE type NOT IN ('gtsvector', 'pg_node_tree', 'xml') AND number NOT IN (45, 46);
  EXECUTE format('CREATE TABLE wide (id int, %s)', columns);
  EXECUTE format('INSERT INTO wide VALUES (0, %s)', vals);
  FOR picked IN SELECT attname, attnum FROM pg_attribute WHERE attrelid = 'wide'::regclass AND attnum > 1 ORDER BY attnum LOOP
    EXECUTE format('INSERT INTO wide VALUES (%s, %s)', picked.attnum, vals);
    EXECUTE format('UPDATE wide SET %I = NULL WHERE id = %s', picked.attname, picked.attnum);
  END LOOP;
END $$;
SELECT id, md5(wide::text), length(wide::text) FROM wide ORDER BY id;
SELECT * FROM wide WHERE id = 0;
SELECT c4, c56, c94, c97 FROM wide WHERE id IN (0, 5, 60) ORDER BY id;
-- Comparisons and aggregates on what came back.
SELECT count(*), count(c10), count(DISTINCT c13), max(c33), min(c28), sum(c4::bigint), bool_and(c1) FROM wide;
