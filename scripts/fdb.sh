# shellcheck shell=bash
# FoundationDB for a cluster: sourced by cluster.sh.
#
# STORE=fdb takes the FoundationDB cluster that FDB_CLUSTER_FILE (or the usual place) names, and in it
# a namespace that no other run uses. If there is none but an fdbserver (FDB_SERVER) and an fdbcli
# (FDBCLI), each PostgreSQL cluster gets a FoundationDB of one process of its own, which tests may kill.
# STORE=fdb-standin takes the tests' own stand-in (crates/fdb-standin), a server in memory beside the
# PostgreSQL cluster: it proves the engine's code, not FoundationDB.
#
# FDB_DELAYED=1 starts either of them, if it is ours, behind scripts/delay.py: every reply is late by as many
# milliseconds as fdb_delay_file says, at first none. Whoever knows the delay can count round trips.

fdb_dir() { echo "$(cluster_dir "$1")/fdb"; }
fdb_socket() { echo "$(socket_dir "$1")/fdb"; }
fdb_pid() { cat "$(fdb_dir "$1")/pid" 2>/dev/null; }
fdb_delay_file() { echo "$(fdb_dir "$1")/delay"; }
fdb_is_delayed() { [ -e "$(fdb_delay_file "$1")" ]; }

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

fdb_running() { fdb_runs "$1" pid; }

# fdb_runs NAME FILE: whether the process whose number is in a file of fdb_dir runs, and from there.
fdb_runs() {
  local pid
  pid=$(cat "$(fdb_dir "$1")/$2" 2>/dev/null) && [ "/proc/$pid/cwd" -ef "$(fdb_dir "$1")" ]
}

# fdb_delay NAME HERE THERE: passes on what comes to one address to another, and holds replies back.
fdb_delay() {
  local dir
  dir=$(fdb_dir "$1")
  ! fdb_runs "$1" delay.pid || return 0
  # The server's user need not be able to read the checkout.
  # shellcheck disable=SC2154 # postgres.sh, which cluster.sh sources before, says where the root is
  install -m 644 "$root/scripts/delay.py" "$dir/"
  # shellcheck disable=SC2016 # expanded by the inner shell
  as_server sh -c 'cd "$1" && echo $$ > delay.pid && exec python3 delay.py "$2" "$3" delay' \
    delay "$dir" "$2" "$3" >"$dir/delay.log" 2>&1 </dev/null 8>&- 9>&- &
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
  # One that died by itself left who holds its replies back.
  fdb_end "$1"
  mkdir -p "$dir" "$(socket_dir "$1")"
  fdb_standin_build "$dir"
  ! is_root || chown postgres "$dir" "$(socket_dir "$1")"
  rm -f "$dir/pid" "$(fdb_socket "$1")" "$(fdb_socket "$1").late"
  # shellcheck disable=SC2016 # expanded by the inner shell
  as_server sh -c 'cd "$1" && echo $$ > pid && exec ./fdb-standin serve "$2" "$1/fdb.cluster"' \
    standin "$dir" "$(fdb_socket "$1")" >"$dir/log" 2>&1 </dev/null 8>&- 9>&- &
  fdb_wait_for_socket "$1" "$(fdb_socket "$1")"
  if fdb_is_delayed "$1"; then
    fdb_delay "$1" "$(fdb_socket "$1").late" "$(fdb_socket "$1")"
    fdb_wait_for_socket "$1" "$(fdb_socket "$1").late"
    sed -i 's/$/.late/' "$dir/fdb.cluster"
  fi
}

fdb_wait_for_socket() {
  for _ in {1..400}; do
    [ ! -S "$2" ] || return 0
    sleep 0.05
  done
  die "the stand-in of cluster $1 did not start; its logs are in $(fdb_dir "$1")"
}

# A FoundationDB of one process, which keeps what it acknowledged on disk.
fdb_private_start() {
  local dir public behind
  dir=$(fdb_dir "$1")
  mkdir -p "$dir/data" "$dir/log"
  if [ ! -s "$dir/fdb.cluster" ]; then
    read -r public behind <<< "$(fdb_free_ports)"
    echo "fakegres:private@127.0.0.1:$public" > "$dir/fdb.cluster"
    # Where it listens itself, if others reach it late.
    echo "$behind" > "$dir/behind"
  fi
  ! is_root || chown -R postgres "$dir"
  public=127.0.0.1:$(sed 's/.*://' "$dir/fdb.cluster") behind=public
  if fdb_is_delayed "$1"; then
    behind=127.0.0.1:$(cat "$dir/behind")
    fdb_delay "$1" "$public" "$behind"
  fi
  if ! fdb_running "$1"; then
    rm -f "$dir/pid"
    # shellcheck disable=SC2016 # expanded by the inner shell
    as_server sh -c 'cd "$1" && echo $$ > pid && exec "$2" -p "$3" -l "$4" -C fdb.cluster -d data -L log --memory 4GiB --cache-memory 512MiB' \
      fdb "$dir" "$(fdb_server)" "$public" "$behind" >"$dir/out" 2>&1 </dev/null 8>&- 9>&- &
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

fdb_free_ports() {
  python3 -c 'import socket
ends = [socket.socket() for _ in range(2)]
for end in ends: end.bind(("127.0.0.1", 0))
print(*(end.getsockname()[1] for end in ends))'
}

fdb_private_cli() { "$(fdb_cli)" -C "$(fdb_dir "$1")/fdb.cluster" --timeout 5 --exec "$2" 2>&1 || true; }

fdb_start() {
  if [ "${FDB_DELAYED:-0}" = 1 ] && ! fdb_is_delayed "$1"; then
    mkdir -p "$(fdb_dir "$1")"
    echo 0 > "$(fdb_delay_file "$1")"
  fi
  case $STORE in
    fdb)
      need_fdb
      ! fdb_is_private || fdb_private_start "$1"
      ;;
    fdb-standin) fdb_standin_start "$1" ;;
  esac
}

# Ends the stand-in or the private FoundationDB, and who holds its replies back, by the process ids that they
# wrote themselves.
fdb_end() {
  local file
  for file in pid delay.pid; do
    fdb_runs "$1" "$file" || continue
    kill -KILL "$(cat "$(fdb_dir "$1")/$file")"
    while fdb_runs "$1" "$file"; do sleep 0.02; done
  done
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
