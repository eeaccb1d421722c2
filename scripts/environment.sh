# shellcheck shell=bash
# What every script of the project needs to know about the machine: sourced, never run.
#
# Settings come in as environment variables (the Makefile passes them on): PG, PG_CONFIG, STORE, AM,
# FAKEGRES_CACHE, FAKEGRES_RUN_DIR.

set -euo pipefail

# shellcheck disable=SC2034 # used by those who source this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PG=${PG:-15}
STORE=${STORE:-embedded}
AM=${AM:-fakegres}

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

is_root() { [ "$(id -u)" = 0 ]; }

# Runs a command with the rights to install things.
privileged() {
  if is_root; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    die "this needs root rights and there is no sudo: $*"
  fi
}

# The names among the arguments that dpkg does not know as installed.
missing_packages() {
  local package
  for package; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

# Installs Debian packages that are not there yet. The package lists are brought up to date only
# when apt cannot find a package in those that the machine has.
need_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "please install the equivalents of: ${missing[*]}"
  say "Installing from apt: ${missing[*]}"
  apt-get install --simulate -qq "${missing[@]}" >/dev/null 2>&1 || privileged apt-get update -qq
  privileged env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# PostgreSQL versions that are built from source stay here, outside of the checkout.
cache_dir() {
  if [ -n "${FAKEGRES_CACHE:-}" ]; then echo "$FAKEGRES_CACHE"
  elif is_root; then echo /var/cache/fakegres
  else echo "${XDG_CACHE_HOME:-$HOME/.cache}/fakegres"; fi
}
