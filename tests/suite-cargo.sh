#!/usr/bin/env bash
# The plain crates' own tests, which need no PostgreSQL. Those of kv-redis start servers of their own,
# and those of kv-fdb build and start FoundationDB's stand-in.

# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/../scripts/cluster.sh"
# shellcheck source=tests/report.sh
. "$root/tests/report.sh"

cd "$root"
for crate in crates/*/; do
  name=cargo/$(basename "$crate")
  wanted "$name" || continue
  [ "$name" != cargo/kv-redis ] || need_redis
  run_test "$name" cargo test --quiet --package "$(basename "$crate")"
done
