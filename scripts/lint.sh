#!/usr/bin/env bash
# The rules that tools can check.
#
#   scripts/lint.sh            every rule whose tool is there; says which are not
#   scripts/lint.sh RULE       one rule
#   scripts/lint.sh list       the rules' names
#   scripts/lint.sh missing RULE   succeeds, and says why, if the rule cannot be checked here

# shellcheck source=scripts/extension.sh
. "$(dirname "$0")/extension.sh"

cd "$root"
rules=(format clippy clippy-core clippy-extension dependencies scripts layers)
need_rust

lint_format() { cargo fmt --all --check; }

lint_clippy() { cargo clippy --quiet --all-targets -- --deny warnings; }

# The libraries of the plain crates, with rules that their tests and the extension need not keep.
lint_clippy-core() {
  CLIPPY_CONF_DIR=$root/.config/clippy-core cargo clippy --quiet --lib -- --deny warnings
}

# The extension is linted as it is built and tested: against one PostgreSQL.
lint_clippy-extension() {
  pick_postgres
  PGRX_PG_CONFIG_PATH=$PG_CONFIG cargo clippy --quiet --package fakegres_am \
    --no-default-features --features "pg$PG" -- --deny warnings
}

# Not the advisories: they change with the world and need its network; `cargo deny check advisories`.
lint_dependencies() { cargo deny --workspace check bans licenses sources; }

lint_scripts() {
  git ls-files -z --cached --others --exclude-standard -- '*.sh' .ci/run | xargs -0 shellcheck
}

# Which crate may use which, as the design draws it: only the extension knows pgrx, only kv-X knows
# its client, and arrows point downwards. cargo deny says the same of crates from elsewhere.
lint_layers() {
  local crate allowed used bad=0
  while read -r crate allowed; do
    [ -e "crates/$crate/Cargo.toml" ] || continue
    for used in $(cargo tree --quiet --edges normal --depth 1 --prefix none --package "$crate" |
      grep "($root" | awk 'NR > 1 { print $1 }'); do
      case " $allowed " in *" $used "*) ;; *) echo "crates/$crate must not use $used"; bad=1 ;; esac
    done
    if cargo tree --quiet --edges normal --prefix none --package "$crate" | grep -q '^pgrx'; then
      echo "crates/$crate must not know pgrx"
      bad=1
    fi
  done <<< "kv
kv-lmdb kv
kv-redis kv
kv-fdb kv fdb-loader
mvcc kv
relation kv mvcc"
  return $bad
}

missing() {
  case $1 in
    scripts) command -v shellcheck >/dev/null || { echo 'shellcheck is not installed (apt install shellcheck)'; return; } ;;
    dependencies) command -v cargo-deny >/dev/null || { echo 'cargo-deny is not installed (cargo install --locked cargo-deny takes some minutes)'; return; } ;;
  esac
  return 1
}

all() {
  local rule reason bad=0
  for rule in "${rules[@]}"; do
    if reason=$(missing "$rule"); then warn "$rule is not checked: $reason"; continue; fi
    say "$rule"
    "$0" "$rule" || bad=1
  done
  return $bad
}

case ${1:-all} in
  all) all ;;
  list) printf '%s\n' "${rules[@]}" ;;
  missing) missing "$2" ;;
  *) "lint_$1" ;;
esac
