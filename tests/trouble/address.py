"""Stores that are not there, are somebody else's or may not be written, and libraries that are not
preloaded."""

import os
import shutil

from harness import Cluster, Timed, equal, give_to_server, main, refused, wait_for

SECRET = "hunter2"


def wrong_addresses():
    """A wrong address says what is wrong and never what may be a password; nothing breaks."""
    with Cluster("address") as cluster:
        cluster.start()
        cluster.install()
        cluster.run("CREATE TABLE t AS SELECT 1 AS id")
        cluster.run("CREATE ROLE alice LOGIN")
        cluster.run("GRANT SELECT ON t TO alice")
        for url, message in (
            ("nonsense://x", "no kind of store"),
            (f"redis://user:{SECRET}@host:port", "makes no sense"),
            (f"fdb://{SECRET}", "FoundationDB"),
            (f"embedded://{SECRET}", "no kind of store"),
            ("", "no kind of store"),
        ):
            with cluster.session() as session:
                session.run(f"SET fakegres.storage = '{url}'")
                error = refused("22023", lambda: session.run("SELECT * FROM t"), message, "embedded:///")
                assert SECRET not in error.text, error.text
                status = session.value("SELECT s::text FROM fakegres.status() s")
                assert SECRET not in status and message in status.replace('""', '"'), status
                session.run("SET fakegres.storage = 'embedded'")
                equal(session.value("SELECT * FROM t"), "1", "after the address is right again")
        no_client_library(cluster)
        hidden_from_users(cluster)
        bad_namespaces(cluster)
        equal(cluster.value("SELECT * FROM t"), "1", "the server lives on")


def no_client_library(cluster):
    """A machine without FoundationDB's client library can use every other store."""
    with cluster.session() as session:
        session.run("SET fakegres.fdb_client_library = '/nowhere/libfdb_c.so'")
        session.run("SET fakegres.storage = 'fdb:///nowhere/fdb.cluster'")
        refused("58P01", lambda: session.run("SELECT * FROM t"), "/nowhere/libfdb_c.so", "fdb_client_library")
        session.run("SET fakegres.storage = 'embedded'")
        equal(session.value("SELECT * FROM t"), "1", "the embedded store needs no library")


def hidden_from_users(cluster):
    cluster.run(f"ALTER ROLE alice SET fakegres.storage = 'redis://user:{SECRET}@host/x'")
    with cluster.session(user="alice") as session:
        refused("42501", lambda: session.run("SHOW fakegres.storage"))
        refused("42501", lambda: session.run("SELECT current_setting('fakegres.storage')"))
        refused("42501", lambda: session.run("SET fakegres.storage = 'embedded'"))
        refused("42501", lambda: session.run("SET fakegres.namespace = 'mine'"))
        refused("42501", lambda: session.run("SELECT * FROM fakegres.status()"))
        equal(session.run("SELECT setting FROM pg_settings WHERE name = 'fakegres.storage'"), [], "pg_settings")
        error = refused("22023", lambda: session.run("SELECT * FROM t"))
        assert SECRET not in error.text, error.text
    equal([line for line in cluster.log().splitlines() if SECRET in line], [], "lines of the log with the password")


def bad_namespaces(cluster):
    for name in ("", "a/b", "a b", "ü", "n" * 64):
        with cluster.session() as session:
            session.run(f"SET fakegres.namespace = '{name}'")
            error = refused("22023", lambda: session.run("SELECT * FROM t"), "fakegres.namespace must be")
            assert "fakegres.storage is" not in error.hint, f"the hint is about another setting: {error.text}"
    with cluster.session() as session:
        session.run("SET fakegres.namespace = 'other.name-1'")
        refused("55000", lambda: session.run("SELECT * FROM t"), "", "fakegres.namespace")


def copied_store():
    """A copy of another cluster's store is refused, and so is its live directory; the owner does
    not notice."""
    with Cluster("owner") as owner, Cluster("thief") as thief:
        owner.start()
        owner.install()
        owner.run("CREATE TABLE t AS SELECT 7 AS id")
        live = f"{owner.data}/fakegres"
        owner.stop()
        copy = f"{thief.dir}/copy"
        shutil.copytree(live, copy, ignore=shutil.ignore_patterns("*.sock"))
        for path in (copy, *(os.path.join(copy, name) for name in os.listdir(copy))):
            give_to_server(path)
        owner.start()
        use_copy(thief, copy)
        use_live(thief, live)
        equal(owner.value("SELECT id FROM t"), "7", "the owner's table")
        owner.run("INSERT INTO t VALUES (8)")


def use_copy(thief, copy):
    thief.configure(f"fakegres.storage = 'embedded://{copy}'")
    thief.start()
    thief.install()
    refused("55000", lambda: thief.run("CREATE TABLE t (id int)"), "another PostgreSQL cluster", "fakegres.namespace")
    thief.run("CREATE TABLE h (id int) USING heap")
    # The hint works: another namespace of the same files is ours.
    thief.configure("fakegres.namespace = 'mine'")
    thief.restart()
    thief.run("CREATE TABLE mine AS SELECT 1 AS id")
    equal(thief.value("SELECT id FROM mine"), "1", "a namespace of its own")


def use_live(thief, live):
    thief.configure(f"fakegres.storage = 'embedded://{live}'")
    thief.restart()
    refused("55000", lambda: thief.run("CREATE TABLE u (id int)"), "in use by the server")
    wait_for("the log says who has the store", lambda: "is in use by process" in thief.log())
    thief.run("INSERT INTO h VALUES (1)")
    equal(thief.value("SELECT id FROM h"), "1", "heap tables")


def read_only_directory():
    """The statement fails in time, the log says why, and no restart is needed afterwards."""
    with Cluster("read-only") as cluster:
        store = f"{cluster.dir}/store"
        os.mkdir(store)
        os.chmod(store, 0o555)
        cluster.configure(f"fakegres.storage = 'embedded://{store}'\nfakegres.connect_timeout = 1s")
        cluster.start()
        cluster.install()
        with Timed() as timed:
            refused("08006 42501", lambda: cluster.run("CREATE TABLE t (id int)"), "writer", "server log")
        assert timed.seconds < 3, f"fakegres.connect_timeout is 1 s, and it took {timed.seconds:.1f} s"
        assert "Permission denied" in cluster.log(), cluster.log()
        cluster.run("CREATE TABLE h USING heap AS SELECT 1 AS id")
        os.chmod(store, 0o777)
        cluster.writer()
        wait_for("the writer has opened the store", lambda: os.path.exists(f"{store}/writer.sock"))
        cluster.run("CREATE TABLE t AS SELECT 2 AS id")
        equal(cluster.value("SELECT t.id + h.id FROM t, h"), "3", "after the directory can be written")


def not_preloaded():
    """Without shared_preload_libraries there is no writer: that is said, and heap works."""
    with Cluster("preload") as cluster:
        cluster.start()
        cluster.install()
        cluster.run("CREATE TABLE t AS SELECT 1 AS id")
        cluster.run("CREATE TABLE h USING heap AS SELECT 2 AS id")
        cluster.configure("shared_preload_libraries = ''")
        cluster.restart()
        for statement in (
            "SELECT * FROM t",
            "INSERT INTO t VALUES (2)",
            "CREATE TABLE u (id int) USING fakegres",
            "SELECT fakegres.sweep()",
        ):
            refused("55000", lambda: cluster.run(statement), "when the server starts", "shared_preload_libraries")
        cluster.run("UPDATE h SET id = 3")
        equal(cluster.value("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT id FROM h; COMMIT"), "3", "heap")
        cluster.run("CREATE DATABASE other TEMPLATE template0")
        refused("55000", lambda: cluster.run("CREATE EXTENSION fakegres_am", database="other"), "", "shared_preload_libraries")
        cluster.configure("shared_preload_libraries = 'fakegres_am'")
        cluster.restart()
        equal(cluster.value("SELECT id FROM t"), "1", "after the library is preloaded again")


main(wrong_addresses, copied_store, read_only_directory, not_preloaded)
