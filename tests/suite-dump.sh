#!/usr/bin/env bash
# pg_dump and restore, in every format: what comes back is what was there, in the access method that
# it had, and stays so through a second round.

# shellcheck source=tests/report.sh
. "$(dirname "$0")/report.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# make_database NAME TEMPLATE
make_database() {
  psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)" -c "CREATE DATABASE $1 TEMPLATE $2" 2>/dev/null
}

# Everything that a dump should carry, as text: rows, columns, kinds of tables and their methods.
fingerprint() {
  psql -X -A -t -d "$1" -v ON_ERROR_STOP=1 <<'SQL'
SELECT c.relname, c.relkind, c.relpersistence, a.amname FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam
WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1;
SELECT attrelid::regclass, attname, atttypid::regtype, attnotnull, atthasdef FROM pg_attribute
WHERE attrelid IN ('plain'::regclass, 'parts_1'::regclass, 'summary'::regclass, 'kinds'::regclass) AND attnum > 0 AND NOT attisdropped
ORDER BY attrelid::regclass::text, attname;
SELECT md5(string_agg(p::text, E'\n' ORDER BY id)) FROM plain p;
SELECT md5(string_agg(p::text, E'\n' ORDER BY k)) FROM parts p;
SELECT * FROM summary ORDER BY 1;
SELECT * FROM kinds ORDER BY id;
SELECT count(*) FROM unlogged;
SELECT nextval(pg_get_serial_sequence('kinds', 'id'));
SQL
}

fill() {
  psql -X -q -d "$1" -v ON_ERROR_STOP=1 <<SQL
SET default_table_access_method = '$AM';
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE plain (id int, gone int, t text DEFAULT 'none', b bytea, n numeric CHECK (n >= 0), twice int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE plain DROP COLUMN gone;
INSERT INTO plain (id, t, b, n) SELECT i, CASE WHEN i % 7 <> 0 THEN repeat(md5(i::text), i % 50) END, decode(md5(i::text), 'hex'), i / 7.0 FROM generate_series(1, 5000) i;
ALTER TABLE plain ADD COLUMN late text NOT NULL DEFAULT 'late';
INSERT INTO plain (id, t) VALUES (0, ''), (-1, E'tab\\tnew\\nline\\\\.');
CREATE TABLE parts (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_2 PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT i, 'v' || i FROM generate_series(1, 200) i;
CREATE TABLE kinds (id int GENERATED ALWAYS AS IDENTITY, m mood, ms mood[], r int4range, j jsonb);
INSERT INTO kinds (m, ms, r, j) VALUES ('sad', '{happy,sad}', '[1,5)', '{"a":1}'), (NULL, '{}', 'empty', 'null');
CREATE MATERIALIZED VIEW summary AS SELECT k / 100 AS hundred, count(*) FROM parts GROUP BY 1;
CREATE UNLOGGED TABLE unlogged AS SELECT generate_series(1, 10) i;
CREATE TABLE beside (id int PRIMARY KEY) USING heap;
INSERT INTO beside VALUES (1);
SQL
}

# restored FORMAT: dumps the database `dumped`, restores it as `restored` and compares.
restored() {
  local file=$scratch/$1
  make_database restored template0
  case $1 in
    plain) pg_dump -d dumped -f "$file" && psql -X -q -d restored -v ON_ERROR_STOP=1 -f "$file" >/dev/null ;;
    inserts) pg_dump --column-inserts -d dumped -f "$file" && psql -X -q -d restored -v ON_ERROR_STOP=1 -f "$file" >/dev/null ;;
    custom) pg_dump -Fc -d dumped -f "$file" && pg_restore --exit-on-error -d restored "$file" ;;
    directory) pg_dump -Fd -d dumped -f "$file" && pg_restore --exit-on-error -j 2 -d restored "$file" ;;
  esac || return 1
  diff -u "$scratch/before" <(fingerprint restored)
}

make_database dumped template1
fill dumped || failed 'dump/fill'
fingerprint dumped > "$scratch/before" || failed 'dump/fingerprint'
# The fingerprint takes a number from the sequence; a dump made now continues from there.
sed -i '$d' "$scratch/before" && echo 4 >> "$scratch/before"
for format in plain inserts custom directory; do
  if wanted "dump/$format"; then run_test "dump/$format" restored $format; fi
done
# The workers of a parallel dump import the leader's snapshot, which fakegres tables cannot take up:
# that must be an error, never a dump of another moment.
refuses_parallel_dump() {
  ! pg_dump -Fd -j 2 -d dumped -f "$scratch/parallel" 2> "$scratch/said" && grep -q 'imported snapshot' "$scratch/said"
}
if [ "$AM" = fakegres ] && wanted dump/parallel; then run_test dump/parallel refuses_parallel_dump; fi
psql -X -q -d postgres -c 'DROP DATABASE dumped' -c 'DROP DATABASE IF EXISTS restored'
