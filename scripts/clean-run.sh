#!/usr/bin/env bash
# Stops every server that runs from this checkout and removes its data.

# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/cluster.sh"

pick_postgres
dir=$(run_dir)
# Not under the feet of tests that are under way.
for lock in "$dir"/*.lock; do
  [ ! -e "$lock" ] || flock --nonblock "$lock" true || die "$(basename "$lock" .lock) is under way in $dir; end it first"
done
for cluster in "$dir"/*/data/; do
  [ -e "$cluster" ] || continue
  name=$(basename "$(dirname "$cluster")")
  say "Stopping and removing $name"
  cluster_destroy "$name"
done
rm -rf "$dir"
