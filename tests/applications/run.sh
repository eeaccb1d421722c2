#!/usr/bin/env bash
# The test suites of other people's applications, on heap and on fakegres: nothing in them knows that
# fakegres exists. It is default_table_access_method that makes their tables fakegres tables.
#
#   tests/applications/run.sh [django|sqlalchemy|alembic…]
#
# It takes the extension as it is installed (make install). PG=15|17|18 or PG_CONFIG choose the server;
# LABELS="queries schema" other parts of the suite than the usual ones. The suites come from PyPI, into
# the cache. For each application the last lines count, and name every test that fakegres answers in
# another way than heap. The exit status is 0 if all of these are in the application's .expected file.

# Applications' settings and functions are found by their names.
# shellcheck disable=SC2034,SC2317
# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/../../scripts/cluster.sh"

here=$root/tests/applications
applications=("$@")
[ "${#applications[@]}" -gt 0 ] || applications=(django sqlalchemy alembic)

django_version=4.2.16
sqlalchemy_version=2.0.36
alembic_version=1.13.3

# What is recorded in doc/README must be repeatable, so everything that runs is pinned.
drivers=(psycopg2-binary==2.9.9 'psycopg[binary]==3.2.3')
django_needs=(asgiref==3.8.1 sqlparse==0.5.1 tblib==3.0.0 Pillow==10.4.0)
pytest_needs=(pytest==8.3.3 typing_extensions==4.12.2 greenlet==3.1.1 Mako==1.3.5 "SQLAlchemy==$sqlalchemy_version")

# The parts that make tables and constraints and write to them.
django_labels=(
  aggregation aggregation_regress annotations backends basic bulk_create composite_fk
  constraints custom_columns custom_pk datetimes db_functions dates db_typecasts db_utils
  defer delete delete_regress expressions expressions_case expressions_window
  extra_regress fixtures fixtures_model_package force_insert_update foreign_object from_db_value
  generic_relations get_or_create indexes inspectdb introspection known_related_objects
  lookup m2m_intermediary m2m_multiple m2m_recursive m2m_regress m2m_signals m2m_through
  many_to_many many_to_one migrate_signals migration_test_data_persistence migrations
  migrations2 model_enums model_fields model_inheritance model_inheritance_regress
  multiple_database null_fk null_queries one_to_one or_lookups ordering postgres_tests
  prefetch_related queries queryset_pickle raw_query schema select_for_update select_related
  select_related_onetoone serializers sessions_tests string_lookup timezones transaction_hooks
  transactions unmanaged_models update update_only_fields validation
)
sqlalchemy_labels=(test/dialect/postgresql test/dialect/test_suite.py test/sql test/engine test/orm test/ext)
alembic_labels=(tests)

settings="
fsync = off
max_connections = 60
max_prepared_transactions = 10
log_line_prefix = '%m [%p] %d '
"

python() { "$cache/venv/bin/python" "$@"; }

make_venv() {
  local stamp
  stamp="${drivers[*]} ${django_needs[*]} ${pytest_needs[*]}"
  [ "$(cat "$cache/venv/stamp" 2>/dev/null)" != "$stamp" ] || return 0
  say "Installing what the suites need from PyPI"
  need_packages python3 python3-venv
  rm -rf "$cache/venv"
  python3 -m venv "$cache/venv"
  python -m pip install --quiet "${drivers[@]}" "${django_needs[@]}" "${pytest_needs[@]}"
  printf %s "$stamp" > "$cache/venv/stamp"
}

# fetch NAME VERSION DIRECTORY: a source distribution, which unlike a wheel has the tests in it.
fetch() {
  local target=$cache/$1 archive
  [ ! -e "$target/$2" ] || return 0
  say "Fetching the sources of $1 $2 from PyPI"
  rm -rf "$target"
  mkdir -p "$target/download"
  python -m pip download --quiet --no-deps --no-binary "$1" --dest "$target/download" "$1==$2"
  archive=("$target/download"/*.tar.gz)
  tar -xzf "${archive[0]}" -C "$target" --strip-components=1
  touch "$target/$2"
}

# start ACCESS_METHOD APPLICATION: a cluster whose every new table is of that access method.
start() {
  local cluster=$2-$1-pg$PG
  cluster_destroy "$cluster"
  AM=$1 cluster_create "$cluster" "$settings"
  cluster_start "$cluster"
  [ "$1" = fakegres ] || return 0
  # New databases are copies of template1. CREATE DATABASE must find no table there.
  cluster_psql "$cluster" -q -d template1 -c 'CREATE EXTENSION fakegres_am'
  cluster_psql "$cluster" -q -c 'CREATE EXTENSION fakegres_am' \
    -c "ALTER SYSTEM SET default_table_access_method = fakegres" -c 'SELECT pg_reload_conf()' >/dev/null
}

# labels NAME: what the user asked for, or the usual parts; never one that this version has not.
labels() {
  local -n usual=${1}_labels
  local label
  for label in ${LABELS:-"${usual[@]}"}; do
    [ ! -e "$2/${label%%[.:]*}" ] && [ ! -e "$2/$label" ] || echo "$label"
  done
}

run_django() {
  local chosen
  mapfile -t chosen < <(labels django "$1/tests")
  cd "$1/tests"
  PYTHONPATH=$here:$1 python runtests.py --settings=django_settings --parallel=1 --noinput \
    "${chosen[@]}"
}

prepare_sqlalchemy() {
  psql -X -q -c 'CREATE DATABASE test'
  psql -X -q -d test -c 'CREATE SCHEMA test_schema' -c 'CREATE SCHEMA test_schema_2' \
    -c 'CREATE EXTENSION hstore' -c 'CREATE EXTENSION citext'
}

# run_pytest NAME SOURCES: for suites that use SQLAlchemy's test library. --backend-only leaves out what
# asks no database. A password is only there because some tests look for it in the address.
run_pytest() {
  local chosen
  mapfile -t chosen < <(labels "$1" "$2")
  prepare_sqlalchemy
  cd "$2"
  PYTHONPATH=$here:$2 python -m pytest -p pytest_record -p no:cacheprovider -q --tb=native \
    --backend-only --maxfail=1000000 --dburi "postgresql+psycopg2://postgres:none@/test?host=$PGHOST" \
    "${chosen[@]}"
}

run_sqlalchemy() { run_pytest sqlalchemy "$1"; }
run_alembic() { run_pytest alembic "$1"; }

# One application on one access method. A suite's own exit status says nothing here: the comparison does.
play() {
  local out=$run/$1-$2 cluster=$1-$2-pg$PG
  start "$2" "$1"
  cluster_use "$cluster"
  rm -f "$out.outcomes"
  # Suites write files beside themselves: two runs at once need a copy of the sources each.
  rm -rf "$out.sources"
  cp -a "$cache/$1" "$out.sources"
  (export RECORD=$out.outcomes; "run_$1" "$out.sources") > "$out.log" 2>&1 < /dev/null || true
  rm -rf "$out.sources"
  cp "$(cluster_dir "$cluster")/server.log" "$out.server.log"
  cluster_destroy "$cluster"
}

mkdir -p "$(cache_dir)/applications"
cache=$(cd "$(cache_dir)/applications" && pwd)
pick_postgres
run=$(run_dir)
make_venv
trap 'for name in "${applications[@]}"; do
        cluster_destroy "$name-heap-pg$PG" 2>/dev/null || true
        cluster_destroy "$name-fakegres-pg$PG" 2>/dev/null || true
      done' EXIT
renice -n 10 $$ >/dev/null

bad=0
for application in "${applications[@]}"; do
  version=${application}_version
  [ -n "${!version:-}" ] || die "there is no application $application here; there are django, sqlalchemy and alembic"
  fetch "$application" "${!version}"
  say "$application ${!version} on heap and on fakegres (PostgreSQL $PG); logs are $run/$application-*"
  play "$application" heap &
  play "$application" fakegres &
  wait
  python "$here/compare.py" "$application ${!version}" "$run/$application-heap" "$run/$application-fakegres" \
    "$here/$application.expected" || bad=1
done
exit $bad
