#!/usr/bin/env bash
# Builds a PostgreSQL that this Debian does not package, once, from the source package of a newer
# Debian, into the cache. Prints the path of its pg_config. The machine's apt sources stay as they
# are: the source package is found through package lists of our own, signed by Debian's keyring.
#
#   scripts/build-postgres.sh 17|18
#
# CASSERT=1 builds one with assertions on, beside the plain one: slower, and far stricter with an
# extension's mistakes.

# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"

version=${1:?usage: build-postgres.sh 17|18}
case $version in
  17) suite=trixie ;;
  18) suite=forky ;;
  *) die "PostgreSQL $version is in no Debian that is still updated; give PG_CONFIG=/path/to/its/pg_config" ;;
esac
options=(--with-icu --with-lz4)
name=pg$version
if [ "${CASSERT:-0}" = 1 ]; then options+=(--enable-cassert); name+=-cassert; fi
cache=$(cache_dir)
prefix=$cache/$name
work=$cache/src/$name
jobs=${JOBS:-$(nproc)}

mirror() {
  local deb822=/etc/apt/sources.list.d/debian.sources
  { [ ! -e $deb822 ] || awk '$1 == "URIs:" { print $2 }' $deb822
    [ ! -e /etc/apt/sources.list ] || awk '$1 == "deb" { print $2 }' /etc/apt/sources.list
  } | grep -m1 '/debian/\?$' || die "found no Debian mirror in /etc/apt"
}

download() {
  local apt=$work/apt options
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $suite main" > "$apt/sources.list"
  options=(-o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- -qq
    -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User="$(id -un)")
  cd "$work" || exit
  apt-get "${options[@]}" update
  # Debian's own part is not needed, and is replaced under a mirror's feet more often.
  apt-get "${options[@]}" source --download-only --tar-only "postgresql-$version" ||
    die "the mirror does not have the source package of PostgreSQL $version that it lists; try later, or give PG_CONFIG=/path/to/its/pg_config"
}

compile() {
  # PostgreSQL's makefiles generate headers only if they are not called by another make.
  unset MAKELEVEL MAKEFLAGS MFLAGS
  cd "$work" || exit
  tar xf postgresql-"$version"_*.orig.tar.*
  cd postgresql-"$version"*/ || exit
  ./configure --quiet --prefix "$prefix" "${options[@]}" CFLAGS='-O2 -g1'
  make -s -j "$jobs" world-bin
  make -s install-world-bin
}

main() {
  [ ! -e "$prefix/.complete" ] || return 0
  mkdir -p "$cache"
  exec 9> "$cache/$name.lock"
  flock 9
  [ ! -e "$prefix/.complete" ] || return 0
  say "Building PostgreSQL $version from Debian $suite's source package into $prefix (about five minutes of CPU)"
  need_packages gcc make perl bison flex pkg-config libicu-dev libreadline-dev zlib1g-dev liblz4-dev xz-utils bzip2
  rm -rf "$work" "$prefix"
  mkdir -p "$work"
  (download; compile) >&2
  touch "$prefix/.complete"
  rm -rf "$work"
}

main
echo "$prefix/bin/pg_config"
