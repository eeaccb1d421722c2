#!/usr/bin/env bash
# kill -9 of backends, of the whole server, and of a store that is a server, under load
# (tests/stress/crash.py), on a cluster of its own, with the settings of a real one: LOOPS crashes each.

# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/../scripts/cluster.sh"
# shellcheck source=tests/report.sh
. "$root/tests/report.sh"

pick_postgres
name=crash-pg$PG
loops=${LOOPS:-5}
trap 'cluster_destroy "$name" 2>/dev/null || true' EXIT

victims=(backend server)
[ "$STORE" = embedded ] || [ "$AM" != fakegres ] || { [ "$STORE" = fdb ] && ! fdb_is_private; } || victims+=(store)

for what in "${victims[@]}"; do
  wanted "crash/$what" || continue
  cluster_destroy "$name"
  cluster_create "$name" "max_connections = 50"
  cluster_start "$name"
  cluster_use "$name"
  [ "$AM" != fakegres ] || psql -X -q -c 'CREATE EXTENSION fakegres_am'
  psql -X -q -c "ALTER DATABASE postgres SET default_table_access_method = '$AM'"
  SHOW=last run_test "crash/$what" timeout $((loops * 60 + 120)) \
    python3 "$root/tests/stress/crash.py" postgres "$(cluster_dir "$name")/data" "$what" "$loops" \
    "$root/scripts/cluster.sh" "$name"
  if grep -E 'PANIC:|TRAP:' "$(cluster_dir "$name")/server.log"; then failed "crash/$what recovers without a panic"; fi
done
