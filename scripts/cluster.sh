#!/usr/bin/env bash
# Private PostgreSQL clusters, each a directory with a name: sourced, or run as
#
#   scripts/cluster.sh start|stop|destroy|psql|start_store|kill_store NAME
#
# With STORE=redis each has a redis-server of its own, which is started before it and destroyed with it;
# with STORE=fdb-standin the same of FoundationDB's stand-in; with STORE=fdb a namespace in a cluster, or
# a FoundationDB of its own.
#
# They listen on a Unix socket of their own and on no port, so they can collide with nothing.
# PostgreSQL refuses to run as root: for root the server runs as the user postgres.

# shellcheck source=scripts/postgres.sh
. "$(dirname "${BASH_SOURCE[0]}")/postgres.sh"
# shellcheck source=scripts/redis.sh
. "$(dirname "${BASH_SOURCE[0]}")/redis.sh"
# shellcheck source=scripts/fdb.sh
. "$(dirname "${BASH_SOURCE[0]}")/fdb.sh"

# Runs a command as the user who owns the clusters, with a clean environment: a server must not
# inherit RUST_BACKTRACE (a panic would then take seconds) or the locale of whoever started it.
as_server() {
  local clean=(env -i HOME=/ PATH="$bindir:/usr/bin:/bin" LANG=C.UTF-8 TZ=UTC)
  if is_root; then
    id postgres >/dev/null 2>&1 || useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin postgres
    setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups "${clean[@]}" "$@"
  else
    "${clean[@]}" "$@"
  fi
}

path_digest() { printf %s "$1" | cksum | cut -d' ' -f1; }

# Where clusters live: .run in the checkout, or the cache if the server's user cannot get there.
run_dir() {
  local dir=${FAKEGRES_RUN_DIR:-$root/.run}
  mkdir -p "$dir"
  as_server test -x "$dir" || { dir=$(cache_dir)/run-$(path_digest "$root"); mkdir -p "$dir"; }
  echo "$dir"
}

cluster_dir() { echo "$(run_dir)/$1"; }

# A socket's path has at most 107 bytes; a deep checkout gets its socket in /tmp.
socket_dir() {
  local dir
  dir=$(cluster_dir "$1")/socket
  [ "${#dir}" -le 90 ] || dir=/tmp/fakegres-$(id -u)-$(path_digest "$dir")
  echo "$dir"
}

# cluster_create NAME [LINES FOR postgresql.conf]
cluster_create() {
  local dir socket
  dir=$(cluster_dir "$1")
  socket=$(socket_dir "$1")
  [ ! -e "$dir/data/PG_VERSION" ] || return 0
  mkdir -p "$dir" "$socket"
  ! is_root || chown postgres "$dir" "$socket"
  as_server initdb -D "$dir/data" -U postgres --no-locale --encoding UTF8 --auth trust >/dev/null
  { echo "listen_addresses = ''"
    echo "unix_socket_directories = '$socket'"
    echo "port = 5432"
    [ "$AM" != fakegres ] || echo "shared_preload_libraries = 'fakegres_am'"
    [ "$STORE" != redis ] || echo "fakegres.storage = '$(redis_url "$1")'"
    case $STORE in fdb | fdb-standin) fdb_settings "$1" ;; esac
    echo "${2:-}"
  } | as_server tee -a "$dir/data/postgresql.conf" >/dev/null
}

# A killed postmaster whose parent has not noticed yet is a zombie, which pg_ctl and PostgreSQL take
# for a running server. Some containers' first process is slow to notice.
forget_zombie() {
  local file
  file=$(cluster_dir "$1")/data/postmaster.pid
  [ -e "$file" ] || return 0
  ! grep -q '^State:.Z' "/proc/$(head -1 "$file")/status" 2>/dev/null ||
    rm -f "$file" "$(socket_dir "$1")/.s.PGSQL.5432.lock"
}

cluster_start_store() {
  case $STORE in
    redis) need_redis; redis_start "$1" ;;
    fdb | fdb-standin) fdb_start "$1" ;;
  esac
}
cluster_kill_store() {
  case $STORE in
    redis) redis_end "$1" KILL ;;
    fdb-standin) fdb_end "$1" ;;
    fdb)
      fdb_is_private || die "a FoundationDB cluster is not ours to kill"
      fdb_end "$1"
      ;;
  esac
}

# The store's own server stands still, and goes on, under clients that wait.
cluster_pause_store() { cluster_signal_store "$1" STOP; }
cluster_continue_store() { cluster_signal_store "$1" CONT; }
cluster_signal_store() {
  case $STORE in
    redis) kill "-$2" "$(redis_pid "$1")" ;;
    fdb | fdb-standin) kill "-$2" "$(fdb_pid "$1")" ;;
    *) die "the store $STORE is no server" ;;
  esac
}

cluster_running() { as_server pg_ctl -D "$(cluster_dir "$1")/data" status >/dev/null 2>&1; }

cluster_start() {
  local dir
  dir=$(cluster_dir "$1")
  cluster_start_store "$1"
  forget_zombie "$1"
  cluster_running "$1" || as_server pg_ctl -D "$dir/data" -l "$dir/server.log" -w -t 120 start >/dev/null 8>&- 9>&- ||
    { tail -n 20 "$dir/server.log" >&2; die "the server of cluster $1 did not start; its log is $dir/server.log"; }
}

# cluster_stop NAME [fast|immediate]
cluster_stop() {
  ! cluster_running "$1" || as_server pg_ctl -D "$(cluster_dir "$1")/data" -m "${2:-fast}" -w stop >/dev/null
}

cluster_destroy() {
  local dir
  dir=$(cluster_dir "$1")
  cluster_stop "$1" immediate
  # Whatever STORE is now: the cluster may be one of another run.
  redis_end "$1" KILL
  fdb_end "$1"
  fdb_forget "$1"
  rm -rf "$dir" "$(socket_dir "$1")"
}

# Points libpq's programs at a cluster.
cluster_use() {
  PGHOST=$(socket_dir "$1")
  export PGHOST PGPORT=5432 PGUSER=postgres PGDATABASE=postgres PATH="$bindir:$PATH"
}

cluster_psql() {
  local name=$1
  shift
  cluster_use "$name"
  psql -X "$@"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  verb=${1:?usage: cluster.sh start|stop|destroy|psql|start_store|kill_store|pause_store|continue_store NAME}
  shift
  pick_postgres
  "cluster_$verb" "$@"
fi
