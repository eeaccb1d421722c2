# shellcheck shell=bash
# The private redis-server that a cluster has beside it when STORE=redis: sourced by cluster.sh.
#
# It lives in the cluster's directory, belongs to the same user, and listens on a Unix socket only. It
# is as durable as Redis can be: every commit is synced before it is acknowledged, nothing is evicted.

# Debian's package would start a server of its own on the usual port; nobody asked us for one.
without_a_system_service() {
  local policy=/usr/sbin/policy-rc.d
  if [ -e "$policy" ]; then "$@"; return; fi
  printf '#!/bin/sh\nexit 101\n' | privileged tee "$policy" >/dev/null
  privileged chmod 755 "$policy"
  # Whatever comes of it, later installations must start their services again.
  "$@" || { privileged rm -f "$policy"; return 1; }
  privileged rm -f "$policy"
}

# Any Redis or Valkey that calls itself redis-server will do.
need_redis() {
  { command -v redis-server && command -v redis-cli; } >/dev/null ||
    without_a_system_service need_packages redis-server
}

redis_dir() { echo "$(cluster_dir "$1")/redis"; }
redis_socket() { echo "$(socket_dir "$1")/redis"; }
redis_url() { echo "redis+unix://$(redis_socket "$1")"; }
redis_pid() { cat "$(redis_dir "$1")/pid" 2>/dev/null; }

# A killed server whose parent has not noticed yet is a zombie, which is nowhere. After a restart of the
# machine the process may be anybody's.
redis_running() {
  local pid
  pid=$(redis_pid "$1") && [ "/proc/$pid/cwd" -ef "$(redis_dir "$1")" ]
}

redis_answers() { [ "$(as_server redis-cli -s "$(redis_socket "$1")" PING 2>/dev/null)" = PONG ]; }

# The descriptors of the callers' locks must not stay open in a server that outlives them.
redis_launch() {
  local dir=$1 socket=$2
  as_server redis-server --port 0 --unixsocket "$socket" --unixsocketperm 700 --daemonize yes \
    --dir "$dir" --logfile "$dir/log" --pidfile "$dir/pid" --save '' \
    --appendonly yes --appendfsync always --maxmemory-policy noeviction >/dev/null 8>&- 9>&-
}

redis_start() {
  local dir
  dir=$(redis_dir "$1")
  ! redis_running "$1" || return 0
  mkdir -p "$dir" "$(socket_dir "$1")"
  ! is_root || chown postgres "$dir" "$(socket_dir "$1")"
  rm -f "$dir/pid" "$(redis_socket "$1")"
  redis_launch "$dir" "$(redis_socket "$1")"
  for _ in {1..1200}; do
    ! redis_answers "$1" || return 0
    sleep 0.05
  done
  tail -n 20 "$dir/log" >&2
  die "the redis-server of cluster $1 did not start; its log is $dir/log"
}

# redis_end NAME SIGNAL: by the process id that it wrote itself.
redis_end() {
  redis_running "$1" || return 0
  kill "-$2" "$(redis_pid "$1")"
  while redis_running "$1"; do sleep 0.02; done
}
