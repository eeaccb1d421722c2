#!/usr/bin/env bash
# What only fakegres does, so that heap cannot say the right answer: every .sql of tests/fakegres
# against the .out beside it. ACCEPT=1 writes the .out anew, for a diff to be reviewed.

# shellcheck source=tests/report.sh
. "$(dirname "$0")/report.sh"

if [ "$AM" != fakegres ]; then
  skipped fakegres "AM=$AM: these tests are about fakegres tables only"
  exit 0
fi

play() {
  psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $2 WITH (FORCE)" -c "CREATE DATABASE $2" 2>/dev/null
  PGOPTIONS='-c default_table_access_method=fakegres' psql -X -a -q -d "$2" -P null='<null>' -f "$1" 2>&1 |
    sed -E 's/^psql:[^ ]*: //'
  psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $2 WITH (FORCE)"
}

matches() { diff -u --label expected "${1%.sql}.out" --label now <(play "$1" "only_$(basename "${1%.sql}")"); }

for file in "$root"/tests/fakegres/*.sql; do
  name=fakegres/$(basename "${file%.sql}")
  wanted "$name" || continue
  # Each version words its plans in its own way.
  if [ "$name" = fakegres/plans ] && [ "$PG" != 15 ]; then
    skipped "$name" "written down for PostgreSQL 15"
    continue
  fi
  [ "${ACCEPT:-0}" != 1 ] || play "$file" "only_$(basename "${file%.sql}")" > "${file%.sql}.out"
  run_test "$name" matches "$file"
done
