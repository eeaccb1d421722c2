# shellcheck shell=bash
# FoundationDB for a cluster: sourced by cluster.sh.
#
# STORE=fdb takes the FoundationDB cluster that FDB_CLUSTER_FILE (or the usual place) names, and in it
# a namespace that no other run uses. If there is none but an fdbserver (FDB_SERVER) and an fdbcli
# (FDBCLI), each PostgreSQL cluster gets a FoundationDB of one process of its own, which tests may kill.
# STORE=fdb-standin takes the tests' own stand-in (crates/fdb-standin), a server in memory beside the
# PostgreSQL cluster: it proves the engine's code, not FoundationDB.

fdb_dir() { echo "$(cluster_dir "$1")/fdb"; }
fdb_socket() { echo "$(socket_dir "$1")/fdb"; }
fdb_pid() { cat "$(fdb_dir "$1")/pid" 2>/dev/null; }

fdb_given_file() { echo "${FDB_CLUSTER_FILE:-/etc/foundationdb/fdb.cluster}"; }

fdb_server() { command -v "${FDB_SERVER:-fdbserver}" || command -v /usr/sbin/fdbserver || true; }

# Whether STORE=fdb means a FoundationDB of our own.
fdb_is_private() {
  [ "$STORE" = fdb ] && [ -z "${FDB_CLUSTER_FILE:-}" ] && [ ! -r "$(fdb_given_file)" ] &&
    [ -n "$(fdb_server)" ] && [ -n "$(fdb_cli)" ]
}

# fdb_cluster_file NAME: the cluster file that a PostgreSQL cluster uses.
fdb_cluster_file() {
  if fdb_is_private; then echo "$(fdb_dir "$1")/fdb.cluster"; else fdb_given_file; fi
}

fdb_library() {
  local place
  for place in "${FDB_CLIENT_LIBRARY:-}" /usr/lib/libfdb_c.so /usr/lib64/libfdb_c.so \
    /usr/local/lib/libfdb_c.so "$(ldconfig -p 2>/dev/null | sed -n 's/.*libfdb_c\.so .*=> //p' | head -1)"; do
    if [ -n "$place" ] && [ -e "$place" ]; then echo "$place"; return; fi
  done
  return 1
}

# FoundationDB's command line client, if there is one.
fdb_cli() { command -v "${FDBCLI:-fdbcli}" || true; }

# Prints, by name, what STORE=fdb lacks here; nothing if it lacks nothing.
fdb_missing() {
  [ -r "$(fdb_given_file)" ] || fdb_is_private ||
    echo "the cluster file $(fdb_given_file) (FDB_CLUSTER_FILE names another), or an fdbserver and an fdbcli to start a cluster with (FDB_SERVER, FDBCLI)"
  fdb_library >/dev/null || echo "the client library libfdb_c.so (FDB_CLIENT_LIBRARY names it; package foundationdb-clients)"
}

need_fdb() {
  local missing
  missing=$(fdb_missing)
  [ -z "$missing" ] || die "STORE=fdb: there is no FoundationDB here. Missing: ${missing//$'\n'/; }"
}

# A namespace belongs to one PostgreSQL cluster for ever, so each gets a new one.
fdb_namespace() {
  local file
  file=$(fdb_dir "$1")/namespace
  if [ ! -e "$file" ]; then
    mkdir -p "$(fdb_dir "$1")"
    echo "make-$(date +%s)-$$-$RANDOM" > "$file"
  fi
  cat "$file"
}

# What a cluster's postgresql.conf says.
fdb_settings() {
  if [ "$STORE" = fdb ]; then
    echo "fakegres.storage = 'fdb://$(fdb_cluster_file "$1")?namespace=$(fdb_namespace "$1")'"
    echo "fakegres.fdb_client_library = '$(fdb_library)'"
  else
    echo "fakegres.storage = 'fdb://$(fdb_dir "$1")/fdb.cluster'"
    echo "fakegres.fdb_client_library = '$(fdb_dir "$1")/libfdb_standin.so'"
  fi
}

fdb_running() {
  local pid
  pid=$(fdb_pid "$1") && [ "/proc/$pid/cwd" -ef "$(fdb_dir "$1")" ]
}

# Builds the stand-in, and copies it to where the server's user can read it.
fdb_standin_build() {
  local target
  command -v cargo >/dev/null || PATH=$HOME/.cargo/bin:$PATH
  # shellcheck disable=SC2154 # postgres.sh, which cluster.sh sources before, says where the root is
  (cd "$root" && cargo build --quiet --release --package fdb-standin)
  target=$(cd "$root" && cargo metadata --format-version 1 --no-deps |
    sed -E 's/.*"target_directory":"([^"]*)".*/\1/')/release
  install -m 755 "$target/fdb-standin" "$target/libfdb_standin.so" "$1/"
}

fdb_standin_start() {
  local dir
  dir=$(fdb_dir "$1")
  ! fdb_running "$1" || return 0
  mkdir -p "$dir" "$(socket_dir "$1")"
  fdb_standin_build "$dir"
  ! is_root || chown postgres "$dir" "$(socket_dir "$1")"
  rm -f "$dir/pid" "$(fdb_socket "$1")"
  # shellcheck disable=SC2016 # expanded by the inner shell
  as_server sh -c 'cd "$1" && echo $$ > pid && exec ./fdb-standin serve "$2" "$1/fdb.cluster"' \
    standin "$dir" "$(fdb_socket "$1")" >"$dir/log" 2>&1 </dev/null 8>&- 9>&- &
  for _ in {1..400}; do
    [ ! -S "$(fdb_socket "$1")" ] || return 0
    sleep 0.05
  done
  die "the stand-in of cluster $1 did not start; its log is $dir/log"
}

# A FoundationDB of one process, which keeps what it acknowledged on disk.
fdb_private_start() {
  local dir port
  dir=$(fdb_dir "$1")
  mkdir -p "$dir/data" "$dir/log"
  if [ ! -s "$dir/fdb.cluster" ]; then
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    echo "fakegres:private@127.0.0.1:$port" > "$dir/fdb.cluster"
  fi
  ! is_root || chown -R postgres "$dir"
  if ! fdb_running "$1"; then
    port=$(sed 's/.*://' "$dir/fdb.cluster")
    rm -f "$dir/pid"
    # shellcheck disable=SC2016 # expanded by the inner shell
    as_server sh -c 'cd "$1" && echo $$ > pid && exec "$2" -p "127.0.0.1:$3" -C fdb.cluster -d data -L log --memory 4GiB --cache-memory 512MiB' \
      fdb "$dir" "$(fdb_server)" "$port" >"$dir/out" 2>&1 </dev/null 8>&- 9>&- &
  fi
  for _ in {1..100}; do
    if [ ! -e "$dir/configured" ] && fdb_private_cli "$1" 'configure new single ssd' | grep -Eq 'Database created|already exists'; then
      touch "$dir/configured"
    fi
    ! fdb_private_cli "$1" 'status minimal' | grep -q 'is available' || return 0
    sleep 0.2
  done
  die "the FoundationDB of cluster $1 did not start; its output is $dir/out"
}

fdb_private_cli() { "$(fdb_cli)" -C "$(fdb_dir "$1")/fdb.cluster" --timeout 5 --exec "$2" 2>&1 || true; }

fdb_start() {
  case $STORE in
    fdb)
      need_fdb
      ! fdb_is_private || fdb_private_start "$1"
      ;;
    fdb-standin) fdb_standin_start "$1" ;;
  esac
}

# Ends the stand-in or the private FoundationDB, by the process id that it wrote itself.
fdb_end() {
  fdb_running "$1" || return 0
  kill -KILL "$(fdb_pid "$1")"
  while fdb_running "$1"; do sleep 0.02; done
}

# Removes what a cluster left in FoundationDB, if there is somebody to ask.
fdb_forget() {
  local file name cli
  file=$(fdb_dir "$1")/namespace
  cli=$(fdb_cli)
  [ -e "$file" ] && [ -n "$cli" ] && [ ! -e "$(fdb_dir "$1")/configured" ] || return 0
  name=$(cat "$file")
  "$cli" -C "$(fdb_given_file)" --timeout 20 --exec \
    "writemode on; clearrange \"fakegres\\x00$name\\x00\" \"fakegres\\x00$name\\x01\"" >/dev/null ||
    warn "the namespace $name is still in FoundationDB"
}
