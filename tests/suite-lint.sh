#!/usr/bin/env bash
# The rules that tools can check, each as one test.

# shellcheck source=tests/report.sh
. "$(dirname "$0")/report.sh"

cd "$root"
for rule in $("$root/scripts/lint.sh" list); do
  if wanted "lint/$rule"; then
    if reason=$("$root/scripts/lint.sh" missing "$rule"); then
      skipped "lint/$rule" "$reason"
    else
      run_test "lint/$rule" "$root/scripts/lint.sh" "$rule"
    fi
  fi
done
