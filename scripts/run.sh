#!/usr/bin/env bash
# From a bare machine to a running server with fakegres tables in it: `make run`.

# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/cluster.sh"
# shellcheck source=scripts/extension.sh
. "$root/scripts/extension.sh"

check_store
need_rust
pick_postgres
name=pg$PG
[ "$STORE" = embedded ] || name+=-$STORE

demonstrate() {
  psql -X -q -v ON_ERROR_STOP=1 -P pager=off -P linestyle=unicode -P border=2 "$@"
}

# The demonstration's data stays, so a second run finds it and is quick.
play_demo() {
  if [ "$(psql -X -At -c "SELECT to_regclass('measurements') IS NOT NULL")" = f ]; then
    say 'Loading 10,000 customers, 120,000 orders and 200,000 measurements into fakegres tables'
    demonstrate -f "$root/scripts/demo-load.sql"
  fi
  demonstrate -f "$root/scripts/demo.sql"
  say 'Restarting the server: is it all still there?'
  cluster_stop "$name"
  cluster_start "$name"
  demonstrate -c 'SELECT (SELECT count(*) FROM customers) AS customers, (SELECT count(*) FROM orders) AS orders,
    (SELECT count(*) FROM measurements) AS measurements'
}

build_extension
# What a running server has loaded is the old library; it restarts with the new one.
cluster_stop "$name" 2>/dev/null || true
install_extension
cluster_create "$name"
cluster_start "$name"
cluster_use "$name"
psql -X -q -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION IF NOT EXISTS fakegres_am'
if [ "${DEMO:-1}" = 1 ]; then play_demo; fi

line="$bindir/psql -h $PGHOST -p $PGPORT -U postgres"
if [ -t 0 ] && [ -t 1 ]; then
  say "psql opens now; to come back later: $line"
  exec psql -X
fi
echo "The server is running. This opens it:"
echo "    $line"
echo "make clean-run stops it and removes its data."
