"""Standbys and copies of a running server: a store that the primary writes is read or refused, and a copy that
misses commits is never taken for the store."""

import os
import shutil
import subprocess

from harness import Cluster, as_server, equal, give_to_server, main, refused, wait_for
from redis_server import DURABLE, Redis, started


def base_backup(of, copy, *options):
    """Puts a base backup of a running server in the place of another's data."""
    shutil.rmtree(copy.data)
    command = ["pg_basebackup", "-h", of.socket, "-U", "postgres", "-D", copy.data, "-X", "stream", "-c", "fast", *options]
    subprocess.run(command, check=True, **as_server())
    copy.configure(f"unix_socket_directories = '{copy.socket}'")


def put_back(source, target):
    """Copies a directory over one that may be there; files that are there are removed first."""
    for path, _, files in os.walk(source):
        to = target + path.removeprefix(source)
        os.makedirs(to, mode=0o700, exist_ok=True)
        give_to_server(to)
        for name in files:
            file = os.path.join(to, name)
            if os.path.exists(file):
                os.remove(file)
            shutil.copy(os.path.join(path, name), file)
            give_to_server(file)


def replayed(standby, primary):
    """Waits until the standby is where the primary is."""
    end = primary.value("SELECT pg_current_wal_lsn()")
    wait_for("the standby is there", lambda: standby.value(f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == "t")


def remote():
    """A standby reads what the primary writes to Redis, and says so when it has not heard yet what is gone."""
    with Cluster("primary") as primary, Cluster("standby") as standby, Redis(primary, *DURABLE) as redis:
        started(primary, redis)
        tables = ("truncated", "dropped", "rewritten", "retyped", "unindexed")
        for table in tables:
            primary.run(f"CREATE TABLE {table} AS SELECT i, i::text AS v FROM generate_series(1, 1000) i")
            primary.run(f"CREATE INDEX ON {table} (i)")
        primary.run("SELECT fakegres.kv_put('a', 'b')")
        primary.run("CREATE TABLE kept AS SELECT i FROM generate_series(1, 1000) i")
        base_backup(primary, standby, "-R")
        standby.start()
        replayed(standby, primary)
        count, lookup = "SELECT count(*) FROM {}", "SELECT v FROM {} WHERE i = 7"
        with standby.session() as session, standby.session() as other:
            session.run("SET enable_seqscan = off")
            for table in tables:
                equal(session.value(count.format(table)), "1000", table)
                equal(session.value(lookup.format(table)), "7", table)
            refused("25006", lambda: session.run("INSERT INTO kept VALUES (0)"))
            session.run("BEGIN; DECLARE c CURSOR FOR SELECT i FROM kept")
            session.run("FETCH 1 FROM c")
            other.run("BEGIN; DECLARE d CURSOR FOR SELECT i FROM truncated")
            other.run("FETCH 1 FROM d")
            primary.run("INSERT INTO kept VALUES (1001)")
            standby.run("SELECT pg_wal_replay_pause()")
            wait_for("replay is paused", lambda: standby.value("SELECT pg_get_wal_replay_pause_state()") == "paused")
            primary.run("TRUNCATE truncated")
            primary.run("DROP TABLE dropped")
            primary.run("VACUUM FULL rewritten")
            primary.run("ALTER TABLE retyped ALTER v TYPE int USING v::int")
            primary.run("DROP INDEX unindexed_i_idx; INSERT INTO unindexed VALUES (7, 'another')")
            equal(len(session.run("FETCH ALL FROM c")), 999, "the rest of a cursor at its moment")
            refused("40001", lambda: other.run("FETCH ALL FROM d"), "conflict with recovery", "replayed")
            session.run("COMMIT")
            equal(session.value("SELECT count(*) FROM kept"), "1001", "what was inserted")
            # What this session has read before, and what a new one reads.
            for who in (session.run, standby.run):
                for table in tables[:4]:
                    refused("40001", lambda: who(count.format(table)), "conflict with recovery", "replayed")
                    refused("40001", lambda: who(f"COPY {table} TO STDOUT"), "conflict with recovery", "replayed")
            refused("40001", lambda: session.run(lookup.format("unindexed")), "conflict with recovery")
            # Who plans now knows that the index is gone.
            equal(sorted(standby.run(lookup.format("unindexed"))), ["7", "another"], "a table that lost its index")
            # A savepoint can be left, and what was read is still gone.
            other.run("ROLLBACK; BEGIN; SAVEPOINT s")
            refused("40001", lambda: other.run(count.format("truncated")), "conflict with recovery")
            other.run("ROLLBACK TO s")
            refused("40001", lambda: other.run(count.format("kept")), "conflict with recovery")
            other.run("ROLLBACK")
            for statement in ("fakegres.sweep()", "fakegres.kv_put('a', 'b')", "fakegres.kv_delete('a')"):
                refused("25006", lambda: other.run(f"SELECT {statement}"), "during recovery")
            standby.run("SELECT pg_wal_replay_resume()")
            replayed(standby, primary)
            for table, rows in (("truncated", "0"), ("rewritten", "1000"), ("retyped", "1000"), ("unindexed", "1001")):
                equal(session.value(count.format(table)), rows, table)
            primary.stop()
            session.run("SELECT pg_promote()")
            session.run("INSERT INTO truncated VALUES (1, 'promoted')")
            session.run("CREATE TABLE made AS SELECT 1 AS i")
            equal(session.value("SELECT v FROM truncated"), "promoted", "a row of the promoted server")
            equal(session.run("SELECT * FROM fakegres.check('rewritten')"), [], "check")


def embedded():
    """The embedded store is not replicated: a standby does not read it, nor does who was promoted."""
    with Cluster("primary") as primary, Cluster("standby") as standby:
        primary.start()
        primary.install()
        primary.run("CREATE TABLE t AS SELECT 1 AS i")
        primary.run("CREATE TABLE heap USING heap AS SELECT 1 AS i")
        base_backup(primary, standby, "-R")
        standby.start()
        primary.run("INSERT INTO t VALUES (2); INSERT INTO heap VALUES (2)")
        replayed(standby, primary)
        equal(standby.run("SELECT i FROM heap"), ["1", "2"], "heap tables of a standby")
        with standby.session() as session:
            refused("0A000", lambda: session.run("SELECT i FROM t"), "cannot be read on a standby", "not replicated")
            refused("0A000", lambda: session.run("SELECT fakegres.catalog_version()"), "standby")
            session.run("SELECT pg_promote()")
            refused("XX001", lambda: session.run("SELECT i FROM t"), "may miss commits.*replayed")
            refused("XX001", lambda: session.run("INSERT INTO t VALUES (3)"), "may miss commits.*replayed")
            equal(session.run("SELECT i FROM heap"), ["1", "2"], "heap tables")
        told = "fakegres cannot serve its embedded store: the embedded store may miss commits"
        wait_for("the writer has said it, too", lambda: told in standby.log())
        os.remove(f"{standby.data}/fakegres/home")
        standby.restart()
        equal(standby.run("SELECT i FROM t"), ["1"], "what the copy has, on somebody's word")
        primary.run("INSERT INTO t VALUES (3)")
        equal(primary.run("SELECT i FROM t"), ["1", "2", "3"], "the primary")


def copies():
    """A base backup is refused, a copy of a server that was stopped is not, and a crash is no copy."""
    with Cluster("origin") as origin, Cluster("hot") as hot, Cluster("cold") as cold:
        origin.start()
        origin.install()
        origin.run("CREATE TABLE t AS SELECT 1 AS i")
        base_backup(origin, hot)
        hot.start()
        refused("XX001", lambda: hot.run("SELECT i FROM t"), "may miss commits.*copied while it was in use")
        origin.crash()
        origin.run("INSERT INTO t VALUES (2)")
        origin.script("stop", "immediate")
        origin.start()
        origin.run("INSERT INTO t VALUES (3)")
        origin.stop()
        shutil.rmtree(cold.data)
        put_back(origin.data, cold.data)
        cold.configure(f"unix_socket_directories = '{cold.socket}'")
        cold.start()
        equal(cold.run("SELECT i FROM t"), ["1", "2", "3"], "a copy of what was stopped")
        cold.run("INSERT INTO t VALUES (4)")
        cold.restart()
        equal(cold.run("SELECT i FROM t"), ["1", "2", "3", "4"], "the copy")
        # A backup that is put in the place of what it was taken of, as tar does it and as cp does.
        origin.start()
        hot.stop()
        base_backup(origin, hot)
        origin.stop()
        for remove in (False, True):
            if remove:
                shutil.rmtree(origin.data)
            put_back(hot.data, origin.data)
            origin.configure(f"unix_socket_directories = '{origin.socket}'")
            origin.start()
            refused("XX001", lambda: origin.run("SELECT i FROM t"), "may miss commits.*copied while it was in use")
            origin.stop()
        # A standby for a while, and then none, without a promotion.
        cold.stop()
        signal = f"{cold.data}/standby.signal"
        with open(signal, "w"):
            give_to_server(signal)
        cold.restart()
        refused("0A000", lambda: cold.run("SELECT i FROM t"), "cannot be read on a standby")
        cold.stop()
        os.remove(signal)
        cold.start()
        refused("XX001", lambda: cold.run("SELECT i FROM t"), "may miss commits.*replayed")


main(remote, embedded, copies)
