-- Values in the order in which a real PostgreSQL's btree comparison puts them, for
-- tests/suite/postgresql.rs. Each line: type, rank (equal values have one), binary output.
--
--   psql -XqAt -F ' ' -f tests/postgresql.sql > tests/suite/postgresql.golden
--
-- The database's collation must be C. PostgreSQL 15.20 printed what is there.

CREATE TYPE pg_temp.pair AS (number numeric, words text[]);

CREATE FUNCTION pg_temp.ranked(type text, send regproc, literals text[])
RETURNS TABLE (name text, rank bigint, binary_output text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT DISTINCT %L, dense_rank() OVER (ORDER BY v), encode(%s(v), ''hex'')
         FROM (SELECT literal::%s AS v FROM unnest($1) literal) literals ORDER BY 2, 3',
        split_part(type, '.', -1), send, type) USING literals;
END $$;

SELECT * FROM pg_temp.ranked('bool', 'boolsend', '{t,f}');
SELECT * FROM pg_temp.ranked('"char"', 'charsend', ARRAY['', 'a', 'z', 'é', '€']);
SELECT * FROM pg_temp.ranked('int2', 'int2send', '{-32768,-257,-256,-1,0,1,255,256,32767}');
SELECT * FROM pg_temp.ranked('int4', 'int4send', '{-2147483648,-65537,-65536,-1,0,1,65535,65536,2147483647}');
SELECT * FROM pg_temp.ranked('int8', 'int8send',
    '{-9223372036854775808,-4294967297,-257,-256,-255,-1,0,1,255,256,4294967296,9223372036854775807}');
SELECT * FROM pg_temp.ranked('oid', 'oidsend', '{0,1,255,256,2147483647,2147483648,4294967295}');
SELECT * FROM pg_temp.ranked('xid8', 'xid8send', '{0,1,256,9223372036854775808,18446744073709551615}');
SELECT * FROM pg_temp.ranked('pg_lsn', 'pg_lsn_send', '{0/0,0/FF,1/0,7FFFFFFF/FFFFFFFF,80000000/0,FFFFFFFF/FFFFFFFF}');
SELECT * FROM pg_temp.ranked('money', 'cash_send', '{-92233720368547758.08,-1,-0.01,0,0.01,1,92233720368547758.07}');
SELECT * FROM pg_temp.ranked('date', 'date_send', '{-infinity,4713-01-01 BC,1999-12-31,2000-01-01,2000-01-02,5874897-12-31,infinity}');
SELECT * FROM pg_temp.ranked('time', 'time_send', '{00:00,00:00:00.000001,12:00,23:59:59.999999,24:00}');
SELECT * FROM pg_temp.ranked('timestamp', 'timestamp_send', '{-infinity,4713-01-01 BC,1999-12-31 23:59:59.999999,2000-01-01,294276-12-31,infinity}');
SELECT * FROM pg_temp.ranked('timestamptz', 'timestamptz_send', '{-infinity,2000-01-01 00:00+00,2000-01-01 00:00+01,2000-01-01 01:00+01,infinity}');
SELECT * FROM pg_temp.ranked('float4', 'float4send',
    '{-infinity,-3.4e38,-1.5,-1e-40,-0,0,1e-45,0.1,1,1.5,3.4e38,infinity,NaN}');
SELECT * FROM pg_temp.ranked('float8', 'float8send',
    '{-infinity,-1.7e308,-1.5,-5e-324,-0,0,5e-324,0.1,0.10000000149011612,1,1.5,1.7e308,infinity,NaN}');
SELECT * FROM pg_temp.ranked('numeric', 'numeric_send',
    '{-infinity,-1e131071,-1e1000,-10000.0001,-10000,-9999.9999,-9999,-1.10,-1.1,-1.01,-1.00,-1,-0.9999,
      -0.00010001,-0.0001,-1e-16383,0,0.00,-0,1e-16383,1e-16382,0.00001,0.0001,0.00010,0.00010001,0.1,0.9999,
      1,1.0,1.00,1.0001,1.01,1.1,1.10,2,9999,9999.9999,10000,10000.0,10000.0001,10001,99999999,100000000,
      1e1000,1e131071,9e131071,infinity,NaN}');
SELECT * FROM pg_temp.ranked('bytea', 'byteasend',
    ARRAY['', '\x00', '\x0000', '\x0001', '\x00ff', '\x01', '\x0100', '\x6100', '\x61', '\xff', '\xff00', '\xffff']);
SELECT * FROM pg_temp.ranked('text', 'textsend', ARRAY['', ' ', 'a', 'a ', 'A', 'ab', E'a\x01', 'é', 'z', '€']);
SELECT * FROM pg_temp.ranked('bpchar', 'bpcharsend', ARRAY['', ' ', 'a', 'a ', 'a  ', E'a\x01', ' a', 'a b', 'é']);
SELECT * FROM pg_temp.ranked('uuid', 'uuid_send', '{00000000-0000-0000-0000-000000000000,00000000-0000-0000-0000-000000000001,
    7fffffff-ffff-ffff-ffff-ffffffffffff,80000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff}');
SELECT * FROM pg_temp.ranked('macaddr', 'macaddr_send', '{00:00:00:00:00:00,00:00:00:80:00:00,00:00:01:00:00:00,80:00:00:00:00:00,ff:ff:ff:ff:ff:ff}');
SELECT * FROM pg_temp.ranked('macaddr8', 'macaddr8_send', '{00:00:00:00:00:00:00:00,00:00:00:00:80:00:00:00,7f:ff:ff:ff:00:00:00:00,
    80:00:00:00:00:00:00:00,ff:ff:ff:ff:ff:ff:ff:ff}');
SELECT * FROM pg_temp.ranked('inet', 'inet_send', ARRAY(
    SELECT address || '/' || bits
    FROM unnest('{0.0.0.0,10.0.0.0,10.0.0.1,10.128.0.0,10.1.0.1,255.255.255.255}'::text[]) address,
         unnest('{0,1,7,8,9,16,31,32}'::int[]) bits
    UNION ALL SELECT address || '/' || bits
    FROM unnest('{::,::1,8000::,fe80::1,fe80:0:0:1::1}'::text[]) address,
         unnest('{0,1,16,63,64,65,127,128}'::int[]) bits));
SELECT * FROM pg_temp.ranked('cidr', 'cidr_send', '{0.0.0.0/0,10.0.0.0/8,10.0.0.0/9,10.0.0.0/32,10.0.0.1/32,10.128.0.0/9,::/0,fe80::/10}');
SELECT * FROM pg_temp.ranked('varbit', 'varbit_send', ARRAY['', '0', '1', '00', '01', '10', '0000000', '00000000', '000000000',
    '00000001', '1000000', '10000000', '100000000', '1000000000000000', '10000000000000001', '11111111', '111111111']);
SELECT * FROM pg_temp.ranked('tid', 'tidsend', '{"(0,0)","(0,1)","(0,65535)","(1,0)","(4294967295,0)","(4294967295,65535)"}');
SELECT * FROM pg_temp.ranked('oidvector', 'oidvectorsend', ARRAY['', '0', '4294967295', '0 0', '0 1', '1 0', '1 1 0']);
SELECT * FROM pg_temp.ranked('timetz', 'timetz_send', ARRAY(
    SELECT hour || ':00' || zone FROM unnest('{00,01,02,12,23,24}'::text[]) hour, unnest('{-15:59,-01,-00:00:01,+00,+01,+02,+15:59}'::text[]) zone));
SELECT * FROM pg_temp.ranked('interval', 'interval_send',
    ARRAY['0', '1 month', '30 days', '720 hours', '1 month -30 days', '29 days 24:00', '29 days 23:59:59.999999', '1 year', '360 days',
          '-1 month', '-30 days', '1 day', '24 hours', '-1 day 25 hours', '178000000 years', '-178000000 years',
          '178000000 years 2147483647 days', '2000000000 days', '-2000000000 days -100 hours', '0.000001 s', '-0.000001 s']);
SELECT * FROM pg_temp.ranked('int4[]', 'array_send',
    '{"{}","{1}","{NULL}","{1,NULL}","{1,2}","{1,2,3}","[0:1]={1,2}","[2:3]={1,2}","{{1,2}}","{{1},{2}}","{2}","{NULL,1}",
      "{-1}","{{{1,2}}}","[0:0][1:2]={{1,2}}","[1:1][0:1]={{1,2}}","{1,2,NULL}","{{1,2},{3,4}}","{1,2,3,4}","{{1,2,3,4}}"}');
SELECT * FROM pg_temp.ranked('text[]', 'array_send', ARRAY['{}', '{""}', '{"",""}', '{a}', '{a,""}', '{ab}', '{a,b}', '{NULL}', '{a,NULL}']);
SELECT * FROM pg_temp.ranked('numrange', 'range_send',
    ARRAY['empty', '(,)', '(,1)', '(,1]', '(,1.0]', '[1,)', '(1,)', '[1,1]', '[1,2)', '[1,2]', '(1,2)', '(1.0,2.00]', '[-1,1]', '(-1,1)',
          '[0,infinity)', '[0,infinity]', '[0,)', '[-infinity,0]', '(-infinity,0]', '(,0]', '[NaN,NaN]']);
SELECT * FROM pg_temp.ranked('nummultirange', 'multirange_send',
    '{"{}","{(,)}","{[1,2)}","{[1,2]}","{[1,2),[3,4)}","{[1,2),[3,)}","{[1,2),(3,4)}","{(,0),[1,2)}","{[1,3)}","{(1,2)}"}');
SELECT * FROM pg_temp.ranked('pg_temp.pair', 'record_send',
    ARRAY['(,)', '(1,)', '(1.0,{})', '(1,{})', '(1,{a})', '(1,"{a,NULL}")', '(,{})', '(NaN,{})', '(-1,)', '(-1,{z})', '(2,{})']);
SELECT * FROM pg_temp.ranked('jsonb', 'jsonb_send', ARRAY['null', '""', '"a"', '"ab"', '"b"', '1', '1.0', '-1', '2', '9999', 'true', 'false', '[]', '{}',
    '[null]', '["a"]', '[1]', '[true]', '[[]]', '[{}]', '[1,2]', '[1,1]', '[2,1]', '[[1]]', '[[],1]', '[1,[]]', '{"a":1}', '{"a":2}', '{"b":1}',
    '{"ab":1}', '{"a":null}', '{"a":1,"b":1}', '{"b":0,"a":2}', '{"b":1,"aa":1}', '{"a":[]}', '{"a":{}}', '{"a":{"a":1}}', '[{"a":1},null]']);
