#!/usr/bin/env bash
# Sessions against each other: every spec of tests/isolation through PostgreSQL's own isolation
# tester, on heap and on fakegres, answers compared.

# shellcheck source=tests/differential.sh
. "$(dirname "$0")/differential.sh"

tester=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/isolation/isolationtester

# Heap and fakegres say 40001 in different words; a user's program looks at the SQLSTATE. A spec that the
# tester cannot run is no answer that both may give: the last line has the table's kind in a word that is
# not folded.
play() {
  PGISOLATIONTIMEOUT=${SPEC_TIMEOUT:-60} PG_TEST_TIMEOUT_DEFAULT=${SPEC_TIMEOUT:-60} timeout 300 "$tester" "dbname=$3" < "$2" |
    sed -E 's/(could not serialize access due to .*|another transaction committed a conflicting change)$/40001/'
  local status=${PIPESTATUS[0]}
  [ "$status" -eq 0 ] || echo "isolationtester_failed_on_${1}_with_$status"
}

[ -x "$tester" ] || { failed "isolationtester is at $tester"; exit 1; }
compare_all isolation "$root"/tests/isolation/*.spec
