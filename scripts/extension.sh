# shellcheck shell=bash
# Building and installing the extension: sourced, after pick_postgres.

# shellcheck source=scripts/postgres.sh
. "$(dirname "${BASH_SOURCE[0]}")/postgres.sh"

need_rust() {
  command -v cargo >/dev/null || PATH=$HOME/.cargo/bin:$PATH
  local want have
  want=$(sed -nE 's/^rust-version = "([0-9.]+)"/\1/p' "$root/Cargo.toml" | head -1)
  command -v cargo >/dev/null || die "there is no cargo. Install Rust $want or newer with rustup
       (https://rustup.rs says how; one command, no root rights), then run this again."
  have=$(cd "$root" && rustc --version | awk '{ print $2 }')
  [ "$(printf '%s\n%s\n' "$want" "${have%%-*}" | sort -V | head -1)" = "$want" ] ||
    die "rustc is $have, and fakegres needs $want or newer. With rustup: rustup update stable"
}

# Prints nothing but what cargo says. Each PostgreSQL has a target directory of its own: a library
# built for one version does not load into another, and two runs may be under way.
build_extension() {
  need_rust
  need_packages gcc make pkg-config clang libclang-dev
  say "Building the extension for PostgreSQL $PG (the first time takes some minutes)"
  (cd "$root" && PGRX_PG_CONFIG_PATH=$PG_CONFIG \
    cargo build --package fakegres_am --release --no-default-features --features "pg$PG" \
      --target-dir "$(target_dir)/pg$PG")
}

# The files go where this PostgreSQL looks for extensions. Versions 15 to 17 look in one place only.
install_extension() {
  local lib share as=()
  lib=$("$PG_CONFIG" --pkglibdir)
  share=$("$PG_CONFIG" --sharedir)/extension
  [ -w "$lib" ] && [ -w "$share" ] || as=(privileged)
  say "Installing the extension into $lib and $share"
  "${as[@]}" install -m 755 "$(target_dir)/pg$PG/release/libfakegres_am.so" "$lib/fakegres_am.so"
  "${as[@]}" install -m 644 "$root/fakegres_am.control" "$root"/sql/fakegres_am--*.sql "$share/"
}

target_dir() {
  (cd "$root" && cargo metadata --format-version 1 --no-deps) |
    sed -E 's/.*"target_directory":"([^"]*)".*/\1/'
}
