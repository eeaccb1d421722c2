#!/usr/bin/env bash
# Builds the extension for one PostgreSQL and installs it there.

# shellcheck source=scripts/extension.sh
. "$(dirname "$0")/extension.sh"

pick_postgres
build_extension
install_extension
cat <<END
To use it, put this line into that server's postgresql.conf and restart it:
    shared_preload_libraries = 'fakegres_am'
then, in a database:
    CREATE EXTENSION fakegres_am;
END
