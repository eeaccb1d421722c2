#!/usr/bin/env bash
# What takes long (tests/stress/long.py): DURATION seconds, 600 for a transaction of ten minutes. A store
# that is a server of ours stands still for a while.

# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/../scripts/cluster.sh"
# shellcheck source=tests/report.sh
. "$root/tests/report.sh"

seconds=${DURATION:-30}
# Less is no longer than what a store allows.
[ "$seconds" -ge 20 ] || seconds=20
pause=("$root/scripts/cluster.sh" "test-pg$PG")
case $STORE in
  embedded) pause=() ;;
  fdb) fdb_is_private || pause=() ;;
esac
[ "$AM" = fakegres ] || pause=()

if wanted long; then
  psql -X -q -d postgres -c 'DROP DATABASE IF EXISTS long' -c 'CREATE DATABASE long' 2>/dev/null
  PGOPTIONS="-c default_table_access_method=$AM" SHOW=last run_test long timeout $((seconds * 2 + 180)) \
    python3 "$root/tests/stress/long.py" long "$seconds" "${pause[@]}"
fi
