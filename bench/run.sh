#!/usr/bin/env bash
# fakegres beside heap on one server, in one run: `make bench`. See bench/measure.py and
# bench/indexes.py for what is measured and how, and bench/redis.py, bench/fdb.py and bench/round_trips.py for
# what STORE=redis and STORE=fdb add; BENCH_ROWS, BENCH_REPEAT, BENCH_SECONDS and BENCH_CLIENTS make it larger.

# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/../scripts/cluster.sh"
# shellcheck source=scripts/extension.sh
. "$root/scripts/extension.sh"

check_store
# A load into a table that others see is one transaction, and Redis takes 64 MB at once.
[ "$STORE" != redis ] || export BENCH_ROWS=${BENCH_ROWS:-300000}
# FoundationDB takes 10 MB, and counts more than the rows.
[ "$STORE" != fdb ] || export BENCH_ROWS=${BENCH_ROWS:-300000} BENCH_FULL_ROWS=${BENCH_FULL_ROWS:-20000}
pick_postgres
need_packages python3
name=bench-pg$PG
trap 'cluster_destroy "$name" 2>/dev/null || true' EXIT

if [ "$AM" = fakegres ] && [ "${INSTALLED:-0}" != 1 ]; then
  build_extension
  install_extension
fi
# A server of ordinary size, as durable as it comes. Autovacuum would only blur the figures.
cluster_destroy "$name"
cluster_create "$name" "
shared_buffers = 512MB
max_wal_size = 4GB
autovacuum = off
log_min_messages = error
"
cluster_start "$name"
cluster_use "$name"
[ "$AM" != fakegres ] || psql -X -q -c 'CREATE EXTENSION fakegres_am'
python3 "$root/bench/measure.py" heap "$AM"
python3 "$root/bench/indexes.py" heap "$AM"
if [ "$STORE" = redis ] && [ "$AM" = fakegres ]; then python3 "$root/bench/redis.py" "$(redis_socket "$name")"; fi
if [ "$STORE" = fdb ] && [ "$AM" = fakegres ]; then
  (cd "$root" && cargo build --quiet --release --package kv-fdb --example raw)
  fdbcli=$(fdb_cli)
  python3 "$root/bench/fdb.py" "$(target_dir)/release/examples/raw" "$(fdb_library)" "$(fdb_cluster_file "$name")" \
    "$(fdb_namespace "$name")" ${fdbcli:+"$fdbcli"}
  if fdb_is_private; then
    cluster_destroy "$name"
    FDB_DELAYED=1
    cluster_create "$name" "autovacuum = off"
    cluster_start "$name"
    psql -X -q -c 'CREATE EXTENSION fakegres_am'
    python3 "$root/bench/round_trips.py" "$(fdb_delay_file "$name")"
  else
    warn "round trips are not counted: nothing can be put between here and a FoundationDB that is not ours"
  fi
fi
