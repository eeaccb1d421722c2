-- Indexes on every kind of column. For each type a table with edge values, random values and NULLs is
-- searched through an index: in order and backward, by ranges, equality and NULL, by operands of other
-- types. An answer is how many rows came, and a digest of their ids in the order in which they came.
\ir setup/plan_has.sql
SET timezone = 'America/New_York';
SET lc_monetary = 'C';
-- A plan that is forced looks expensive, and compiling it would be most of the time.
SET jit = off;
SET enable_seqscan = off;
SET enable_sort = off;
SET enable_incremental_sort = off;
SET enable_bitmapscan = off;
SET max_parallel_workers_per_gather = 0;

-- A number that looks random and is the same in every run.
CREATE FUNCTION noise(n int, salt text DEFAULT '') RETURNS int LANGUAGE sql IMMUTABLE AS
  $$ SELECT ('x' || substr(md5(n || salt), 1, 8))::bit(32)::int $$;

-- A short word whose letters differ in case, accents and in whether a collation looks at them.
CREATE FUNCTION word(n int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(string_agg(substr('aAbB zZäÄéß-_''.0129,ñœ𝄞日', 1 + (abs(noise(n, 'w' || i)::bigint) % 24)::int, 1), '' ORDER BY i), '')
  FROM generate_series(1, (abs(noise(n, 'length')::bigint) % 7)::int) i $$;

CREATE FUNCTION answer(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
  EXECUTE 'SELECT count(*) || '' '' || coalesce(md5(string_agg(id::text, '','')), ''-'') FROM (' || query || ') rows'
    INTO result;
  RETURN result;
EXCEPTION WHEN OTHERS THEN
  RETURN sqlstate || ' ' || sqlerrm;
END $$;

-- What the rows of table "name" answer; "operands" are expressions to compare its column with.
CREATE FUNCTION ask(name text, operands text[]) RETURNS TABLE (question text, answer text) LANGUAGE plpgsql AS $$
DECLARE
  operand text;
  condition text;
  direction text;
BEGIN
  FOREACH direction IN ARRAY '{"v, id","v DESC, id DESC","v DESC NULLS LAST, id","v NULLS FIRST, id DESC"}'::text[] LOOP
    question := 'order by ' || direction;
    answer := answer(format('SELECT id FROM %I ORDER BY %s', name, direction));
    RETURN NEXT;
  END LOOP;
  FOREACH condition IN ARRAY '{v IS NULL,v IS NOT NULL,v IS NULL AND id < 2003}'::text[] LOOP
    question := condition;
    answer := answer(format('SELECT id FROM %I WHERE %s ORDER BY v, id', name, condition));
    RETURN NEXT;
  END LOOP;
  FOREACH operand IN ARRAY operands LOOP
    FOREACH condition IN ARRAY '{v < $1,v <= $1,v = $1,v >= $1,v > $1,v = $1 AND id > 100}'::text[] LOOP
      question := replace(condition, '$1', operand);
      answer := answer(format('SELECT id FROM %I WHERE %s ORDER BY v, id', name, question));
      RETURN NEXT;
    END LOOP;
    question := format('(v, id) > (%s, 1100)', operand);
    answer := answer(format('SELECT id FROM %I WHERE %s ORDER BY v, id', name, question));
    RETURN NEXT;
  END LOOP;
  IF cardinality(operands) > 1 THEN
    question := format('v BETWEEN %s AND %s', operands[1], operands[2]);
    answer := answer(format('SELECT id FROM %I WHERE %s ORDER BY v DESC, id DESC', name, question));
    RETURN NEXT;
  END IF;
END $$;

-- Fills a table of the type: edges from 1 on, random values of an expression of g from 1001 on, NULLs
-- from 2001 on.
CREATE PROCEDURE fill(name text, type text, edges text[], expression text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (id int, v %s)', name, type);
  EXECUTE format('INSERT INTO %I SELECT i, edge::%s FROM unnest($1) WITH ORDINALITY e (edge, i)', name, type) USING edges;
  EXECUTE format('INSERT INTO %I SELECT 1000 + g, (%s)::%s FROM generate_series(1, 300) g', name, expression, type);
  EXECUTE format('INSERT INTO %I SELECT 2000 + g, NULL FROM generate_series(1, 5) g', name);
END $$;

-- A type, through an ascending index and then through one that begins with the greatest value. Every edge
-- is an operand too.
CREATE FUNCTION try(name text, type text, edges text[], expression text, class text DEFAULT '', operands text[] DEFAULT '{}')
RETURNS TABLE (index text, question text, answer text) LANGUAGE plpgsql AS $$
DECLARE all_operands text[];
BEGIN
  CALL fill(name, type, edges, expression);
  -- A collation belongs to the column, not to the literals.
  SELECT array_agg(format('%L::%s', edge, regexp_replace(type, ' COLLATE .*', ''))) || operands INTO all_operands FROM unnest(edges) edge;
  EXECUTE format('CREATE INDEX %I ON %I (v %s, id)', name || '_up', name, class);
  RETURN QUERY SELECT 'up', * FROM ask(name, all_operands);
  EXECUTE format('DROP INDEX %I', name || '_up');
  EXECUTE format('CREATE INDEX %I ON %I (v %s DESC NULLS FIRST, id DESC)', name || '_down', name, class);
  RETURN QUERY SELECT 'down', * FROM ask(name, all_operands);
  EXECUTE format('INSERT INTO %I SELECT id + 5000, v FROM %I WHERE id %% 3 = 0', name, name);
  EXECUTE format('UPDATE %I SET v = (SELECT v FROM %I WHERE id = 1) WHERE id %% 7 = 0', name, name);
  EXECUTE format('DELETE FROM %I WHERE id %% 5 = 0', name);
  RETURN QUERY SELECT 'down, changed', * FROM ask(name, all_operands[1:3]);
END $$;

-- That an index is met at all.
CREATE TABLE met (id int, v text COLLATE "C");
CREATE INDEX ON met (v, id);
INSERT INTO met SELECT g, g FROM generate_series(1, 100) g;
SELECT plan_has('SELECT id FROM met WHERE v < ''5'' ORDER BY v, id', 'Index'),
       plan_has('SELECT id FROM met WHERE v < ''5'' ORDER BY v, id', 'Sort');

-- Numbers.
SELECT * FROM try('t_bool', 'boolean', '{f,t}', 'noise(g) > 0');
SELECT * FROM try('t_char', '"char"', '{a,z,"",\\200,\\377,~}', 'chr(33 + abs(noise(g) % 90))');
SELECT * FROM try('t_int2', 'smallint', '{-32768,-257,-256,-1,0,1,255,256,32767}', 'noise(g) % 32767', '',
  '{-32769::int,32768::int,9223372036854775807::bigint,-1::bigint,255::int}');
SELECT * FROM try('t_int4', 'integer', '{-2147483648,-65537,-1,0,1,65536,2147483647}', 'noise(g) >> (g % 32)', '',
  '{2147483648::bigint,''-9223372036854775808''::bigint,1::smallint,''-32768''::smallint,65536::bigint}');
SELECT * FROM try('t_int8', 'bigint', '{-9223372036854775808,-4294967297,-1,0,1,4294967296,9223372036854775807}',
  '(noise(g)::bigint * noise(g, ''b'')) >> (g % 64)', '', '{1::smallint,''-2147483648''::int,0::int}');
SELECT * FROM try('t_oid', 'oid', '{0,1,2147483648,4294967295}', '(noise(g)::bigint + 2147483648) >> (g % 32)');
SELECT * FROM try('t_regtype', 'regtype', '{0,int4,text}', 'abs(noise(g) % 3000)::oid', '', '{23::oid}');
SELECT * FROM try('t_float4', 'real', '{-Infinity,-3.4e38,-1.5,-1e-45,-0,0,1e-45,1.5,3.4e38,Infinity,NaN}', 'noise(g) / 1e7 ^ (g % 5)', '',
  '{1.5::float8,0.1::float8,-1e300::float8,1e300::float8,"''NaN''::float8"}');
SELECT * FROM try('t_float8', 'double precision', '{-Infinity,-1e308,-1.5,-5e-324,-0,0,5e-324,1.5,1e308,Infinity,NaN}', 'noise(g) / 1e7 ^ (g % 5)', '',
  '{1.5::real,0.1::real,"''-Infinity''::real"}');
SELECT * FROM try('t_numeric', 'numeric', '{-Infinity,-1e200,-10000.0001,-1,-0.00,0,0.000,1e-200,0.0001,0.00010,1,1.0,1.00,9999,10000,10000.0,99999999.99999999,1e200,Infinity,NaN}',
  'noise(g)::numeric * 10::numeric ^ (g % 40 - 20)');
SELECT * FROM try('t_numeric_scale', 'numeric(20,4)', '{-1,0,1,NaN,1234567890123456.7891}', 'noise(g) / 1000.0');
SELECT * FROM try('t_money', 'money', '{-92233720368547758.08,-0.01,0,0.01,92233720368547758.07}', 'noise(g) / 100.0');

-- Text.
SELECT * FROM try('t_text_c', 'text COLLATE "C"', '{"",a,A,ab,"a b",ä,"a ",日本,𝄞}', 'word(g)', '', '{''ab''::name}');
SELECT * FROM try('t_text', 'text', '{"",a,A,ab,"a b",ä,"a ",日本,𝄞}', 'word(g)');
SELECT * FROM try('t_text_default', 'text COLLATE "default"', '{"",a,-a,"a-",á}', 'word(g)');
SELECT * FROM try('t_text_icu', 'text COLLATE "en-x-icu"', '{"",a,A,ab,"a b",a-b,ä,"a ",日本,𝄞}', 'word(g)');
SELECT * FROM try('t_text_long', 'text COLLATE "C"', '{"",a}', 'repeat(word(g % 5), 300) || word(g)');
CREATE COLLATION ignores_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT * FROM try('t_text_equal', 'text COLLATE ignores_case', '{"",a,A,ab,AB,ä,Ä}', 'word(g)');
CREATE COLLATION swedish (provider = icu, locale = 'sv');
SELECT * FROM try('t_text_swedish', 'text COLLATE swedish', '{"",z,ä,ö,o,w,v}', 'word(g)');
SELECT * FROM try('t_varchar', 'varchar(20)', '{"",a,A,"a "}', 'word(g)');
SELECT * FROM try('t_bpchar', 'char(12)', '{"",a,"a ",A,"a b"}', 'word(g)');
SELECT * FROM try('t_bpchar_icu', 'char(12) COLLATE "en-x-icu"', '{"",a,"a ",A,"a b"}', 'word(g)');
SELECT * FROM try('t_name', 'name', '{"",a,A,ab}', 'word(g)', '', ARRAY['''ab''::text COLLATE "C"']);
SELECT * FROM try('t_text_pattern', 'text', '{"",a,A,ä}', 'word(g)', 'text_pattern_ops');
SELECT answer('SELECT id FROM t_text_pattern WHERE v LIKE ''a%'' ORDER BY v USING ~<~, id');
SELECT answer('SELECT id FROM t_text_pattern WHERE v ~<~ ''b'' AND v ~>=~ ''B'' ORDER BY v USING ~<~, id');
SELECT * FROM try('t_bpchar_pattern', 'char(8)', '{"",a,"a ",A}', 'word(g)', 'bpchar_pattern_ops');
SELECT answer('SELECT id FROM t_bpchar_pattern WHERE v ~<=~ ''b'' ORDER BY v USING ~>~, id');
SELECT * FROM try('t_bytea', 'bytea', '{"","\\\\x00","\\\\x0000","\\\\x00ff","\\\\x01","\\\\xff","\\\\xff00"}', 'decode(substr(md5(g::text), 1, 2 * (g % 9)), ''hex'')');

-- Times.
SELECT * FROM try('t_date', 'date', '{-infinity,4713-01-01 BC,0001-12-31 BC,1999-12-31,2000-01-01,2024-03-10,5874897-12-31,infinity}', 'date ''2000-01-01'' + noise(g) % 100000', '',
  '{"timestamp ''1999-12-31 00:00:00.000001''","timestamp ''infinity''","timestamp ''2024-03-10''","timestamptz ''2024-03-10 12:00+00''","timestamptz ''2000-01-01 05:00+00''"}');
SELECT * FROM try('t_time', 'time', '{00:00,12:34:56.789,23:59:59.999999,24:00}', 'time ''00:00'' + noise(g) * interval ''1 ms''');
SELECT * FROM try('t_timetz', 'timetz', '{00:00+15:59,12:00+00,13:00+01,11:00-01,24:00-15:59}', 'timetz ''00:00+00'' + noise(g) % 1000 * interval ''1 minute''');
SELECT * FROM try('t_timestamp', 'timestamp', '{-infinity,4713-01-01 00:00:00 BC,1999-12-31 23:59:59.999999,2000-01-01,2024-03-10 02:30,294276-12-31 23:59:59.999999,infinity}',
  'timestamp ''2000-01-01'' + noise(g) * interval ''1 second''', '',
  '{"date ''2000-01-01''","date ''infinity''","date ''-infinity''","date ''5874897-12-31''","date ''4713-01-01 BC''","timestamptz ''2024-03-10 07:00+00''","timestamptz ''2000-01-01 05:00+00''"}');
SELECT * FROM try('t_timestamptz', 'timestamptz', '{-infinity,4713-01-02 00:00:00+00 BC,1999-12-31 23:59:59.999999+00,2000-01-01 05:00+00,2024-03-10 07:00+00,294276-12-31 12:00+00,infinity}',
  'timestamptz ''2000-01-01 00:00+00'' + noise(g) * interval ''1 second''', '',
  '{"date ''2000-01-01''","date ''2024-03-10''","date ''infinity''","date ''-infinity''","date ''5874897-12-31''","date ''4713-01-01 BC''","timestamp ''2024-03-10 02:30''","timestamp ''2024-11-03 01:30''","timestamp ''infinity''","timestamp ''294276-12-31 23:59:59''"}');
SELECT * FROM try('t_interval', 'interval', '{-178000000 years,-1 month,-30 days,-1 day,-00:00:00.000001,0,24:00,1 day,30 days,1 month,1 month -30 days,1 year,360 days,178000000 years}',
  'make_interval(months => noise(g) % 50, days => noise(g, ''d'') % 1000, secs => noise(g, ''s'') % 100000)');
SELECT plan_has('SELECT id FROM t_timestamptz WHERE v < date ''2000-01-01'' ORDER BY v DESC, id DESC', 'Sort');

-- Addresses, bits and identifiers.
SELECT * FROM try('t_uuid', 'uuid', '{00000000-0000-0000-0000-000000000000,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,ffffffff-ffff-ffff-ffff-ffffffffffff}', 'md5(g::text)');
SELECT * FROM try('t_inet', 'inet', '{0.0.0.0/0,0.0.0.0,10.0.0.0/8,10.0.0.0/9,10.0.0.1/8,10.0.0.1,10.128.0.0/9,255.255.255.255,::,::/0,::1,2001:db8::/32,2001:db8::1/32,ffff::/16}',
  'CASE WHEN g % 3 = 0 THEN ''2001:db8::'' || to_hex(abs(noise(g) % 65536)) || ''/'' || g % 129
     ELSE set_masklen(inet ''10.0.0.0'' + abs(noise(g) % 16000000), abs(noise(g, ''m'') % 33))::text END');
SELECT answer('SELECT id FROM t_inet WHERE v << inet ''10.0.0.0/9'' ORDER BY v, id');
SELECT * FROM try('t_cidr', 'cidr', '{0.0.0.0/0,10.0.0.0/8,10.0.0.0/9,10.128.0.0/9,::/0,2001:db8::/32}', 'network(set_masklen(inet ''10.0.0.0'' + abs(noise(g) % 16000000), abs(noise(g, ''m'') % 33)))', '', '{inet ''10.1.2.3/8''}');
SELECT * FROM try('t_macaddr', 'macaddr', '{00:00:00:00:00:00,08:00:2b:01:02:03,7f:ff:ff:ff:ff:ff,80:00:00:00:00:00,ff:ff:ff:ff:ff:ff}', 'substr(md5(g::text), 1, 12)');
SELECT * FROM try('t_macaddr8', 'macaddr8', '{00:00:00:00:00:00:00:00,08:00:2b:01:02:03:04:05,ff:ff:ff:ff:ff:ff:ff:ff}', 'substr(md5(g::text), 1, 16)');
SELECT * FROM try('t_bit', 'bit(9)', '{000000000,000000001,011111111,100000000,111111111}', '(noise(g) & 511)::bit(9)');
SELECT * FROM try('t_varbit', 'varbit', '{"",0,1,00,01,0000000,00000000,000000000,10,11111111,111111110,111111111}', 'substr(noise(g)::bit(32)::text, 1, g % 33)');
SELECT * FROM try('t_tid', 'tid', '{"(0,0)","(0,1)","(1,0)","(255,65535)","(65536,1)","(4294967295,65535)"}', 'format(''(%s,%s)'', abs(noise(g) % 100000), g % 300)');
SELECT * FROM try('t_pg_lsn', 'pg_lsn', '{0/0,0/1,1/0,7FFFFFFF/FFFFFFFF,80000000/0,FFFFFFFF/FFFFFFFF}', 'to_hex(noise(g)) || ''/'' || to_hex(noise(g, ''b''))');
SELECT * FROM try('t_xid8', 'xid8', '{0,1,4294967296,9223372036854775808,18446744073709551615}', '(abs(noise(g)::bigint) * 4096)::text');
SELECT * FROM try('t_oidvector', 'oidvector', '{"",0,1,4294967295,1 0,0 1}', 'concat_ws('' '', abs(noise(g) % 9), CASE WHEN g % 2 = 0 THEN abs(noise(g, ''b'') % 9) END, CASE WHEN g % 3 = 0 THEN 7 END)');

-- Enums, whose labels are not in the order in which they were made.
CREATE TYPE mood AS ENUM ('sad', 'happy');
ALTER TYPE mood ADD VALUE 'ok' BEFORE 'happy';
ALTER TYPE mood ADD VALUE 'awful' BEFORE 'sad';
SELECT * FROM try('t_enum', 'mood', '{awful,sad,ok,happy}', '(''{happy,awful,ok,sad}''::text[])[1 + abs(noise(g) % 4)]');

-- Values made of values.
CREATE TYPE point3 AS (x int, label text COLLATE "C", dropped int, n numeric);
ALTER TYPE point3 DROP ATTRIBUTE dropped;
CREATE TYPE named AS (label text COLLATE "en-x-icu", spans int4range[]);
CREATE TYPE text_range AS RANGE (subtype = text, collation = "C", multirange_type_name = text_spans);
CREATE TYPE icu_range AS RANGE (subtype = text, collation = "en-x-icu", multirange_type_name = icu_spans);
CREATE DOMAIN evens AS int[] CHECK (cardinality(VALUE) % 2 = 0);
CREATE DOMAIN small AS numeric CHECK (VALUE < 1e6);
SELECT * FROM try('t_int_array', 'int[]', ARRAY['{}', '{NULL}', '{1,NULL}', '{1}', '{-1}', '{1,2}', '{{1},{2}}', '{{1,2}}', '[0:1]={1,2}', '[2:3]={1,2}', '{{{1}}}'],
  'ARRAY(SELECT nullif(noise(g, ''e'' || i) % 4, 3) FROM generate_series(1, g % 4) i)');
SELECT * FROM try('t_text_array', 'text[]', ARRAY['{}', '{NULL}', '{""}', '{"",""}', '{a}', '{a,b}', '{ab}'], 'ARRAY[word(g), word(g + 1)]');
SELECT * FROM try('t_icu_array', 'text[] COLLATE "en-x-icu"', ARRAY['{}', '{a}', '{A}', '{a,b}'], 'ARRAY[word(g), word(g + 1)]');
SELECT * FROM try('t_numeric_array', 'numeric[]', ARRAY['{}', '{1}', '{1.0}', '{NaN}', '{-Infinity}'], 'ARRAY[noise(g) % 3, noise(g, ''b'') / 7.0]');
SELECT * FROM try('t_enum_array', 'mood[]', ARRAY['{}', '{ok}', '{ok,sad}', '{happy}'], '(''{"{ok}","{sad,ok}","{happy,awful}"}''::text[])[1 + abs(noise(g) % 3)]');
SELECT * FROM try('t_composite', 'point3', '{"(,,)","(1,,)","(1,a,)","(1,a,1.0)","(1,a,1)","(1,A,1)","(-1,z,NaN)"}', '(noise(g) % 5, word(g % 20), nullif(g % 7, 3))', '',
  ARRAY['ROW(1, ''a'', 1)::point3']);
SELECT * FROM try('t_composite_array', 'point3[]', ARRAY['{}', '{"(1,a,1)"}', '{NULL,"(1,a,1)"}'], 'ARRAY[(g % 3, word(g % 5), NULL)::point3, NULL]');
SELECT * FROM try('t_composite_nested', 'named', '{"(,)","(a,{})","(A,\"{\"\"[1,3)\"\",empty}\")"}', '(word(g % 40), ARRAY[int4range(g % 3, g % 3 + g % 5)])');
SELECT * FROM try('t_int4range', 'int4range', '{empty,"(,)","[1,3)","[1,2]","(0,3)","(,3)","[1,)","[2,3)"}', 'int4range(noise(g) % 5, noise(g) % 5 + g % 4)');
SELECT answer('SELECT id FROM t_int4range WHERE v @> 2 ORDER BY v, id');
SELECT * FROM try('t_numrange', 'numrange', '{empty,"(,)","[1,3)","[1.0,3.00)","[1,3]","(1,3)","(1,3]","[1,)","(1,)"}', 'numrange(g % 7, g % 7 + g % 4, (''{[],[),(],()}''::text[])[1 + g % 4])');
SELECT * FROM try('t_tstzrange', 'tstzrange', '{empty,"[-infinity,infinity]","[2024-01-01,2024-02-01)","(2024-01-01,)"}', 'tstzrange(timestamptz ''2024-01-01'' + g % 9 * interval ''1 day'', NULL)');
SELECT * FROM try('t_text_range', 'text_range', '{empty,"[a,b)","[A,b)","(,Z]"}', 'text_range(least(word(g) COLLATE "C", word(g + 1)), greatest(word(g) COLLATE "C", word(g + 1)))');
SELECT * FROM try('t_icu_range', 'icu_range', '{empty,"[a,b)","[A,b)","(,z]"}', 'icu_range(least(word(g) COLLATE "en-x-icu", word(g + 1)), greatest(word(g) COLLATE "en-x-icu", word(g + 1)))');
SELECT * FROM try('t_multirange', 'nummultirange', ARRAY['{}', '{[1,2)}', '{[1,2),[3,4)}', '{[1,2),(3,4)}', '{(,)}'], 'nummultirange(numrange(g % 5, g % 5 + 1), numrange(g % 5 + 2, g % 5 + 2 + g % 3))');
SELECT * FROM try('t_domain_array', 'evens', ARRAY['{}', '{1,2}', '{2,1}'], 'ARRAY[noise(g) % 4, g % 4]');
SELECT * FROM try('t_domain', 'small', '{-1,0,0.0,1}', 'noise(g) / 1e6');
SELECT * FROM try('t_domain_inside', 'small[]', ARRAY['{}', '{1}', '{1.0}'], 'ARRAY[noise(g) / 1e6]');

-- What has no order in the store: the same answers, by other ways.
SELECT * FROM try('t_jsonb', 'jsonb', ARRAY['null', '1', '1.0', '"a"', 'true', '[]', '[1]', '[[]]', '{}', '{"a": 1}', '{"a": 1.0}', '{"a": null}'], 'jsonb_build_object(''k'', g % 5, word(g % 30), g % 3)');
SELECT * FROM try('t_jsonb_array', 'jsonb[]', ARRAY['{}', '{1}', '{1.0}'], 'ARRAY[to_jsonb(g % 5)]');
SELECT * FROM try('t_tsvector', 'tsvector', '{"",a,"a b","a:1"}', 'to_tsvector(''simple'', word(g))');
SELECT * FROM try('t_tsquery', 'tsquery', '{"",a,"a & b","a | b"}', 'plainto_tsquery(''simple'', word(g))');
SELECT * FROM try('t_image', 'point3', '{"(1,a,1)","(1,a,1.0)"}', '(g % 5, word(g % 20), 1)', 'record_image_ops');
SELECT answer('SELECT id FROM t_image WHERE v *= ''(1,a,1.0)''::point3 ORDER BY v USING *<, id');
SELECT answer('SELECT id FROM t_image WHERE v *< ''(3,a,1.0)''::point3 ORDER BY v USING *<, id');

-- An operator class of a user: integers by how far they are from zero.
CREATE FUNCTION far_lt(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT abs($1) < abs($2)';
CREATE FUNCTION far_le(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT abs($1) <= abs($2)';
CREATE FUNCTION far_eq(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT abs($1) = abs($2)';
CREATE FUNCTION far_ge(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT abs($1) >= abs($2)';
CREATE FUNCTION far_gt(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT abs($1) > abs($2)';
CREATE FUNCTION far_cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT sign(abs($1) - abs($2))::int';
CREATE OPERATOR |<| (FUNCTION = far_lt, LEFTARG = int, RIGHTARG = int, COMMUTATOR = |>|);
CREATE OPERATOR |<=| (FUNCTION = far_le, LEFTARG = int, RIGHTARG = int, COMMUTATOR = |>=|);
CREATE OPERATOR |=| (FUNCTION = far_eq, LEFTARG = int, RIGHTARG = int, COMMUTATOR = |=|);
CREATE OPERATOR |>=| (FUNCTION = far_ge, LEFTARG = int, RIGHTARG = int, COMMUTATOR = |<=|);
CREATE OPERATOR |>| (FUNCTION = far_gt, LEFTARG = int, RIGHTARG = int, COMMUTATOR = |<|);
CREATE OPERATOR CLASS far_ops FOR TYPE int USING btree AS
  OPERATOR 1 |<|, OPERATOR 2 |<=|, OPERATOR 3 |=|, OPERATOR 4 |>=|, OPERATOR 5 |>|, FUNCTION 1 far_cmp(int, int);
SELECT * FROM try('t_far', 'int', '{-5,0,5}', 'noise(g) % 20', 'far_ops');
SELECT answer('SELECT id FROM t_far WHERE v |=| 5 ORDER BY id');
SELECT answer('SELECT id FROM t_far WHERE v |<| 5 ORDER BY id');
SELECT answer('SELECT id FROM t_far WHERE v |>=| 5 AND v < 0 ORDER BY id');

-- Lists of operands, and several columns in several directions.
CREATE TABLE many (a int, b text COLLATE "C", c timestamptz, d numeric, id int);
CREATE INDEX many_index ON many (a DESC, b NULLS FIRST, c DESC NULLS LAST, d);
INSERT INTO many SELECT nullif(noise(g) % 4, 3), nullif(word(g % 9), ''), timestamptz '2024-01-01 00:00+00' + g % 5 * interval '1 hour', g % 3 / 2.0, g
FROM generate_series(1, 400) g;
SELECT count(*), md5(string_agg(concat_ws(',', a, b, c, d), ';')) FROM (SELECT * FROM many ORDER BY a DESC, b NULLS FIRST, c DESC NULLS LAST, d) rows;
SELECT count(*), md5(string_agg(concat_ws(',', a, b, c, d), ';')) FROM (SELECT * FROM many ORDER BY a NULLS LAST, b DESC NULLS LAST, c NULLS FIRST, d DESC) rows;
SELECT count(*), sum(id) FROM many WHERE a = ANY ('{1,2,NULL,-2}') AND b = ANY ('{.a,9,"",Z}');
SELECT count(*), sum(id) FROM many WHERE a = ANY ('{1,2,-2}'::bigint[]) AND b >= '.' AND b < 'a';
SELECT count(*), sum(id) FROM many WHERE a = 1::smallint AND b IS NULL AND c < date '2024-01-01';
SELECT count(*), sum(id) FROM many WHERE a IS NULL AND b IS NOT NULL;
SELECT count(*), sum(id) FROM many WHERE (a, b) <= (1, '9');
SELECT count(*), sum(id) FROM many WHERE a = 0 AND (b, c) > ('', timestamp '2023-12-31 20:00');
SELECT count(*), sum(id) FROM many WHERE a > -2 AND c = timestamp '2023-12-31 20:00' AND d = 0.50;
SELECT count(*), sum(id) FROM many WHERE a < 2.5 AND a > -1.5;
