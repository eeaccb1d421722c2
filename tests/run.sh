#!/usr/bin/env bash
# Everything that is tested, in one run, against one PostgreSQL and one store.
#
#   tests/run.sh [SUITE…]      suites: cargo lint sql isolation fakegres dump bank long crash trouble
#
# PG=15|17|18 or PG_CONFIG choose the server, T=… the tests whose name contains it, AM=heap tries
# the SQL suites themselves against plain tables. STORE=redis takes a private redis-server for what
# the suites named below for it; STORE=fdb takes a FoundationDB cluster, STORE=fdb-standin the tests' own
# stand-in for one. A run with neither STORE nor suites ends with some suites on Redis, on the stand-in, and
# on FoundationDB if there is one. The last line counts; the exit status is 0 only when nothing failed. INSTALLED=1 takes the extension as it is installed and builds nothing.

# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/../scripts/cluster.sh"
# shellcheck source=scripts/extension.sh
. "$root/scripts/extension.sh"
# shellcheck source=tests/report.sh
. "$root/tests/report.sh"

check_store
suites=("$@") also_on_redis=() also_on_fdb=()
if [ "${#suites[@]}" -eq 0 ]; then
  case $STORE in
    redis) suites=(sql isolation fakegres bank long crash) ;;
    fdb) suites=(sql isolation fakegres bank long crash trouble) ;;
    fdb-standin) suites=(sql bank long trouble) ;;
    *) suites=(cargo lint sql isolation fakegres dump bank long crash trouble) also_on_redis=(sql isolation bank crash) also_on_fdb=(sql bank long trouble) ;;
  esac
fi
[ "$AM" = fakegres ] || also_on_redis=() also_on_fdb=()
pick_postgres

server=test-pg$PG
run_dir=$(run_dir)
exec 8> "$run_dir/$server.lock"
flock --nonblock 8 || die "another test run with PostgreSQL $PG is under way in $run_dir; FAKEGRES_RUN_DIR=/elsewhere runs beside it"

RESULTS=$(mktemp)
export AM STORE RESULTS run_dir PARALLEL DURATION LOOPS
trap 'cluster_destroy "$server" 2>/dev/null || true; rm -f "$RESULTS"' EXIT

# Waiting for disks proves nothing here: no test pulls the machine's plug. Autovacuum comes often,
# so that its work is part of every test. Prepared transactions are on, so that a refusal is ours.
settings="
fsync = off
autovacuum_naptime = 1s
max_connections = 100
max_prepared_transactions = 5
log_min_messages = warning
log_line_prefix = '%m [%p] %d '
"

start_server() {
  need_packages python3
  cluster_destroy "$server"
  cluster_create "$server" "$settings"
  cluster_start "$server"
  cluster_use "$server"
  [ "$AM" != fakegres ] || psql -X -q -d template1 -c 'CREATE EXTENSION fakegres_am'
}

# A crash of the server that no test asked for is a failure, whatever the answers were.
check_server_log() {
  local log
  log=$(cluster_dir "$server")/server.log
  [ -e "$log" ] || return 0
  if grep -E 'was terminated by signal|PANIC:|TRAP:' "$log" | grep -v 'signal 9' > "$RESULTS.log"; then
    failed 'the server does not crash'
    cat "$RESULTS.log"
    cp "$log" "$(run_dir)/crashed-pg$PG.log"
  else
    passed 'the server does not crash'
  fi
  rm -f "$RESULTS.log"
}

run_suite() {
  local before
  before=$(wc -l < "$RESULTS")
  say "suite $1 (PostgreSQL $PG, store $STORE)"
  if ! "$root/tests/suite-$1.sh"; then failed "suite $1 ran to its end"; fi
  [ "$(wc -l < "$RESULTS")" -gt "$before" ] || [ -n "${T:-}" ] || failed "suite $1 tested anything"
}

needs_server() { case $1 in cargo | lint) false ;; *) true ;; esac; }

run_suites() {
  local suite started=no
  for suite; do
    if needs_server "$suite" && [ $started = no ]; then
      if [ "$AM" = fakegres ] && [ "${INSTALLED:-0}" != 1 ]; then
        build_extension
        install_extension
      fi
      start_server
      started=yes
    fi
    run_suite "$suite"
  done
  check_server_log
}

# also_on STORE: the suites that are also played on FoundationDB, or on its stand-in.
also_on() {
  cluster_destroy "$server"
  STORE=$1 INSTALLED=1 DURATION=${DURATION:-5} LOOPS=${LOOPS:-3}
  run_suites "${also_on_fdb[@]}"
}

main() {
  local missing
  run_suites "${suites[@]}"
  if [ "${#also_on_redis[@]}" -gt 0 ]; then
    cluster_destroy "$server"
    # The second round is about the store: it need not last as long as the first.
    STORE=redis INSTALLED=1 DURATION=${DURATION:-5} LOOPS=${LOOPS:-3}
    run_suites "${also_on_redis[@]}"
  fi
  if [ "${#also_on_fdb[@]}" -gt 0 ]; then
    also_on fdb-standin
    missing=$(fdb_missing)
    if [ -z "$missing" ]; then
      also_on fdb
    else
      STORE=embedded skipped fdb "FoundationDB itself was not tested. Missing: ${missing//$'\n'/; }"
    fi
  fi
  [ "$(count failed)" = 0 ] || { echo 'failed:'; sed -n 's/^failed\t/  /p' "$RESULTS"; }
  echo "$(count passed) passed, $(count failed) failed, $(count skipped) skipped"
  [ "$(count failed)" = 0 ]
}

main
