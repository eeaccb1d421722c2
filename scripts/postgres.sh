# shellcheck shell=bash
# Which PostgreSQL to use: sourced. pick_postgres makes sure that it is there, with what is needed
# to build an extension for it, and sets PG, PG_CONFIG and bindir.

# shellcheck source=scripts/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

# Debian's package would create and start a cluster of its own; nobody asked us for one.
without_a_system_cluster() {
  local conf=/etc/postgresql-common/createcluster.d/fakegres-install.conf
  privileged mkdir -p "$(dirname "$conf")"
  echo 'create_main_cluster = false' | privileged tee "$conf" >/dev/null
  "$@"
  privileged rm -f "$conf"
}

packaged() {
  [ -d "/usr/lib/postgresql/$PG" ] || [ "$PG" = 15 ] ||
    apt-cache show "postgresql-server-dev-$PG" >/dev/null 2>&1
}

pick_postgres() {
  if [ -z "${PG_CONFIG:-}" ] && [ "${CASSERT:-0}" != 1 ] && packaged; then
    PG_CONFIG=/usr/lib/postgresql/$PG/bin/pg_config
    if [ ! -x "/usr/lib/postgresql/$PG/bin/postgres" ]; then
      without_a_system_cluster need_packages "postgresql-$PG" "postgresql-server-dev-$PG"
    else
      need_packages "postgresql-server-dev-$PG"
    fi
  elif [ -z "${PG_CONFIG:-}" ]; then
    PG_CONFIG=$("$root/scripts/build-postgres.sh" "$PG")
  fi
  [ -x "$PG_CONFIG" ] || die "PG_CONFIG=$PG_CONFIG is not a program"
  PG=$("$PG_CONFIG" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
  case $PG in 15 | 16 | 17 | 18) ;; *) die "fakegres needs PostgreSQL 15 to 18, and $PG_CONFIG is of $PG" ;; esac
  bindir=$("$PG_CONFIG" --bindir)
  export PG PG_CONFIG bindir
}

# Which stores this version has. The others are named in its documents, so asking for one gets an answer.
check_store() {
  case $STORE in
    embedded | redis) ;;
    fdb) need_fdb ;;
    fdb-standin) warn "STORE=fdb-standin: a stand-in in memory, for tests; it is not FoundationDB and keeps nothing" ;;
    *) die "STORE=$STORE: there is no such store; use STORE=embedded, STORE=redis or STORE=fdb" ;;
  esac
}
