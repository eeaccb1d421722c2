#!/usr/bin/env bash
# Bad input and trouble: wrong stores, damage, full disks, a stopped or killed writer or Redis, too
# little memory. Each file of tests/trouble is a group of cases on clusters of their own. With
# STORE=fdb and STORE=fdb-standin: FoundationDB stopped, killed, late or never there.

# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/../scripts/cluster.sh"
# shellcheck source=tests/report.sh
. "$root/tests/report.sh"

case $STORE in
  fdb | fdb-standin) groups=(fdb) ;;
  redis)
    skipped trouble "STORE=$STORE: these tests choose their stores themselves"
    exit 0
    ;;
  *) groups=(address redis redis_network damage full writer memory large leftover history log replication standby) ;;
esac
if [ "$AM" != fakegres ]; then
  skipped trouble "AM=$AM: these tests are about fakegres tables only"
  exit 0
fi

pick_postgres
TROUBLE_RUN_DIR=$(run_dir)
export TROUBLE_RUN_DIR PATH="$bindir:$PATH"

[ "$STORE" != embedded ] || need_redis
for group in "${groups[@]}"; do
  timeout 300 python3 "$root/tests/trouble/$group.py" || failed "trouble/$group ran to its end"
done
