#!/usr/bin/env bash
# Every file of tests/sql on heap and on fakegres, answers compared.

# shellcheck source=tests/differential.sh
. "$(dirname "$0")/differential.sh"

# The SQL's own lines are echoed, so that a difference is seen beside the statement that made it.
play() {
  psql -X -a -d "$3" -v am="$1" -P pager=off -P null='<null>' -f "$2" 2>&1 |
    python3 "$root/tests/fold.py"
}

files=("$root"/tests/sql/*.sql)
if [ "$STORE" = redis ]; then
  skipped sql/values_huge 'a value in Redis has at most 32 MB'
  mapfile -t files < <(printf '%s\n' "${files[@]}" | grep -v '/values_huge\.sql$')
fi
case $STORE in fdb | fdb-standin)
  for name in values_huge values_large; do skipped sql/$name 'a value in FoundationDB has at most 4 MiB'; done
  skipped sql/copy 'it changes 22 MB in one transaction; in FoundationDB that may be 10 MB'
  skipped sql/statistics 'it deletes 50,000 rows in one transaction, which FoundationDB counts as 18 MB of its 10'
  mapfile -t files < <(printf '%s\n' "${files[@]}" | grep -Ev '/(values_huge|values_large|copy|statistics)\.sql$')
  ;;
esac
compare_all sql "${files[@]}"
