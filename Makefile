# fakegres: what one runs. The logic is in scripts/ and tests/; `make help` says what there is.
#
#   PG=15|17|18          which PostgreSQL (15 from Debian; 17 and 18 are built once, into a cache)
#   PG_CONFIG=/path      or exactly this one
#   STORE=embedded|redis|fdb   which store; redis is a redis-server of its own, fdb the FoundationDB
#                        cluster of FDB_CLUSTER_FILE with the library FDB_CLIENT_LIBRARY or those that are
#                        installed, or an FDB_SERVER of its own; fdb-standin is the tests' stand-in for FoundationDB
#   T=text               only the tests whose name contains it
#   SUITE="sql bank"     only these suites: cargo lint sql isolation fakegres dump bank long crash trouble

export FDB_CLUSTER_FILE FDB_CLIENT_LIBRARY FDB_SERVER FDBCLI
export PG PG_CONFIG STORE AM T CASSERT DURATION LOOPS ACCEPT INSTALLED FAKEGRES_CACHE FAKEGRES_RUN_DIR
PG ?= 15
STORE ?= embedded
AM ?= fakegres

.PHONY: help run test pgregress applications bench install lint clean-run

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile
	@echo 'Targets: run test pgregress applications bench install lint clean-run'

# A server of its own with the extension, a demonstration, and psql.
run:
	@scripts/run.sh

# Everything that is tested. The last line counts.
test:
	@tests/run.sh $(SUITE)

# PostgreSQL 15's own regression suite on heap and on fakegres, with the extension that is installed:
# how many statements answer alike, and why not the others.
pgregress:
	@tests/pgregress/run.sh

# The test suites of Django, SQLAlchemy and Alembic on heap and on fakegres, with the extension that
# is installed; APPS=django runs one of them.
applications:
	@tests/applications/run.sh $(APPS)

# fakegres beside heap, in one run.
bench:
	@bench/run.sh

# Builds the extension and copies it to where PG_CONFIG's server looks for extensions.
install:
	@scripts/install.sh

lint:
	@scripts/lint.sh

# Stops the servers that `make run` started and removes their data.
clean-run:
	@scripts/clean-run.sh
