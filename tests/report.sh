# shellcheck shell=bash
# How a suite says what came out: sourced by run.sh and by the suites, which append to $RESULTS one
# line per test. A suite that ends without a line for a test, or dies, counts as failed in run.sh.

# shellcheck source=scripts/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/environment.sh"

# What another store than the usual one did has its name in front.
report() {
  local name=$2
  [ "$STORE" = embedded ] || name=$STORE/$name
  printf '%s\t%s\n' "$1" "$name" >> "$RESULTS"
}

passed() { report passed "$1"; printf 'ok       %s\n' "$1"; }
failed() { report failed "$1"; printf 'FAILED   %s\n' "$1"; }
skipped() { report skipped "$1: $2"; printf 'SKIPPED: %s: %s\n' "$1" "$2"; }

count() { grep -c "^$1"$'\t' "$RESULTS" || true; }

# run_test NAME COMMAND...: passes if the command does. What it prints is shown if it fails; if it
# passes, the last line with SHOW=last.
run_test() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    passed "$name"
    [ "${SHOW:-}" != last ] || printf '         %s\n' "$(tail -n 1 <<< "$output")"
  else
    failed "$name"
    printf '%s\n' "$output" | tail -n "${TAIL:-80}" | sed 's/^/    /'
  fi
}

# Whether T=… asks for this test; without T every test is asked for.
wanted() { [ -z "${T:-}" ] || [[ $1 == *"$T"* ]]; }
