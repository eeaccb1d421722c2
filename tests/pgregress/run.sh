#!/usr/bin/env bash
# PostgreSQL 15's own regression suite on heap and on fakegres, as count.py counts: `make pgregress`.
#
#   PGREGRESS=…   the folder of prepare.sh, run.sh and compare.py; ../shared/pgregress beside the checkout
#   SCRATCH=…     where the suite and its outputs go, outside of the checkout; in the cache. The run on heap
#                 is kept there
#   STORE=redis|fdb   on a store of its own, as for make test
#   ACCEPT=1      writes the statements that differ into expected.tsv
#
# It takes the extension as it is installed (make install), and wants root: the server runs as postgres.

# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/../../scripts/cluster.sh"

PG=15
check_store
pick_postgres
need_packages python3 gcc
is_root || die "run this as root: the suite's server runs as the user postgres"
tools=${PGREGRESS:-$root/../shared/pgregress}
[ -x "$tools/run.sh" ] || die "there is no $tools/run.sh; PGREGRESS=/path says where the suite's tools are"
scratch=${SCRATCH:-$(cache_dir)/pgregress}
mkdir -p "$scratch"
[ -e "$scratch/regress/regress.so" ] || "$tools/prepare.sh" "$scratch" >&2

label=fakegres-$STORE
conf="shared_preload_libraries='fakegres_am'"
# Only the store's part of a cluster is wanted.
cluster_destroy "$label"
trap 'cluster_destroy "$label"' EXIT
cluster_start_store "$label"
case $STORE in
  redis) conf+=$'\n'"fakegres.storage='$(redis_url "$label")'" ;;
  fdb | fdb-standin) conf+=$'\n'$(fdb_settings "$label") ;;
esac

if [ ! -e "$scratch/out-heap2/complete" ]; then
  say "The suite on heap"
  "$tools/run.sh" "$scratch" heap2 heap2 >&2
  touch "$scratch/out-heap2/complete"
fi
say "The suite on fakegres (store $STORE)"
"$tools/run.sh" "$scratch" "$label" fakegres 'CREATE EXTENSION fakegres_am' "$conf"
python3 "$root/tests/pgregress/count.py" "$tools/compare.py" "$scratch" heap2 "$label" ${ACCEPT:+--accept}
