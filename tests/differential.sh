# shellcheck shell=bash
# Running the same thing on heap and on fakegres and holding the answers against each other: sourced
# by the suites that do it. A suite defines `play AM FILE DATABASE`, which prints what it saw.

# shellcheck source=tests/report.sh
. "$(dirname "${BASH_SOURCE[0]}")/report.sh"

# What may differ: the name of the access method, and nothing else. Files are written so that
# everything else is the same: rows ordered, TIDs, transaction ids and plans kept out.
fold() { sed -E 's/\b(fakegres|heap)\b/AM/g; s/\bdiff_(AM|fakegres|heap)_[a-z0-9_]+\b/DATABASE/g; s/\bpg_temp_[0-9]+\b/pg_temp/g'; }

fresh_database() {
  psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1" 2>&1
}

# play_on AM FILE OUTPUT
play_on() {
  local database
  database=diff_$1_$(basename "${2%.*}" | tr '.-' '__')
  { fresh_database "$database"
    PGOPTIONS="-c default_table_access_method=$1" play "$1" "$2" "$database" 2>&1
  } | fold > "$3"
  psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" 2>/dev/null || true
}

# One file on both; heap's answer is the right one. What is printed on a difference is the
# answers' diff, with heap's lines marked - and the other's +.
compare_file() {
  local name here
  name=$(basename "${1%.*}")
  here=$scratch/$name
  play_on heap "$1" "$here.expected"
  play_on "$AM" "$1" "$here.actual"
  if diff -u --label "heap" --label "$AM" -U 6 "$here.expected" "$here.actual" > "$here.diff"; then
    passed "$kind/$name"
  else
    failed "$kind/$name"
    { head -n "${DIFF_LINES:-60}" "$here.diff"
      [ "$(wc -l < "$here.diff")" -le "${DIFF_LINES:-60}" ] || echo "… the rest is in $here.diff"
    } | sed 's/^/    /'
  fi
}

# compare_all KIND FILE…: two at a time, one line each as they end.
compare_all() {
  local file slots=${PARALLEL:-2}
  kind=$1
  shift
  scratch=${run_dir:?set by run.sh}/out-$kind-pg$PG
  rm -rf "$scratch"
  mkdir -p "$scratch"
  for file; do
    wanted "$kind/$(basename "${file%.*}")" || continue
    while [ "$(jobs -rp | wc -l)" -ge "$slots" ]; do wait -n; done
    compare_file "$file" > "$scratch/$(basename "${file%.*}").report" && cat "$scratch/$(basename "${file%.*}").report" &
  done
  wait
}
