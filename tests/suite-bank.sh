#!/usr/bin/env bash
# Transfers from many sessions at each isolation level, disturbed at random (tests/stress/bank.py).
# DURATION is in seconds for each level.

# shellcheck source=tests/report.sh
. "$(dirname "$0")/report.sh"

psql -X -q -d postgres -c 'DROP DATABASE IF EXISTS bank' -c 'CREATE DATABASE bank' 2>/dev/null
export PGOPTIONS="-c default_table_access_method=$AM"
for level in 'READ COMMITTED' 'REPEATABLE READ' SERIALIZABLE; do
  name=bank/${level// /_}
  if wanted "$name"; then
    SHOW=last run_test "$name" timeout $((${DURATION:-10} * 3 + 120)) \
      python3 "$root/tests/stress/bank.py" bank "$level" "${DURATION:-10}"
  fi
done
