#!/usr/bin/env bash
# Stops every server that runs from this checkout and removes its data.

# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/cluster.sh"

pick_postgres
dir=$(run_dir)
for cluster in "$dir"/*/data/; do
  [ -e "$cluster" ] || continue
  name=$(basename "$(dirname "$cluster")")
  say "Stopping and removing $name"
  cluster_destroy "$name"
done
rm -rf "$dir"
