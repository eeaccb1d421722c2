"""A store without room: 53100, nothing acknowledged is lost, nothing is left behind, and with room
it goes on."""

import os
import subprocess

from harness import Cluster, Skip, equal, give_to_server, limit_file_size, main, refused

MB = 1 << 20


def without_room(cluster, fill, make_room):
    """`fill` takes the room away, which leaves a few megabytes, and `make_room` gives it back."""
    with cluster.session() as session:
        # Values that are stored as they are fill a store sooner.
        session.run("CREATE TABLE kept (i int, v text); ALTER TABLE kept ALTER v SET STORAGE EXTERNAL")
        session.run("INSERT INTO kept SELECT i, repeat('k', 100) FROM generate_series(1, 1000) i")
        session.run("CREATE TABLE heap_rows (i int) USING heap")
        fill()
        grown = grow_until_refused(session)
        refused("53100", lambda: session.run(bulk("loaded")), "full|space", "[Rr]oom")
        refused("53100", lambda: copy_into_new_table(session), "full|space", "[Rr]oom")
        session.run("ROLLBACK")
        refused("42P01", lambda: session.run("SELECT * FROM loaded"))
        check_rows(session, grown)
        session.run("INSERT INTO heap_rows SELECT generate_series(1, 1000)")
        check_rows(cluster.session(), grown)
        make_room()
        session.run("INSERT INTO kept SELECT 1000 + i, '' FROM generate_series(1, 10) i")
        equal(session.value("SELECT count(*) FROM kept WHERE i > 1000"), "10", "rows written with room again")
        session.run(bulk("loaded"))
        equal(session.value("SELECT count(*) FROM loaded"), "1000000", "the load with room again")
        session.value("SELECT fakegres.sweep()")
        equal(session.value("SELECT fakegres.sweep()"), "0", "orphans after a sweep")
        check_rows(session, grown)


def bulk(table):
    return f"CREATE TABLE {table} AS SELECT i, repeat('x', 100) AS v FROM generate_series(1, 1000000) i"


def copy_into_new_table(session):
    session.run("BEGIN")
    session.run("CREATE TABLE loaded (i int, v text)")
    session.run("COPY loaded FROM PROGRAM 'seq 1000000 | sed s/$/,xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx/' (FORMAT csv)")
    session.run("COMMIT")


def grow_until_refused(session):
    """Ordinary transactions until one is refused; returns how many were acknowledged."""
    for done in range(500):
        statement = f"INSERT INTO kept SELECT -{done} - 1, repeat('g', 10000) FROM generate_series(1, 30)"
        try:
            session.run(statement)
        except Exception:
            refused("53100", lambda: session.run(statement), "full|space", "[Rr]oom")
            return done
    raise AssertionError("the store was never full")


def check_rows(session, grown):
    equal(session.value("SELECT count(*) FROM kept WHERE i BETWEEN 1 AND 1000"), "1000", "rows of before")
    acknowledged = [str(-1 - i) for i in range(grown)]
    rows = session.run("SELECT i FROM kept WHERE i < 0 GROUP BY i HAVING count(*) = 30 AND min(length(v)) = 10000 ORDER BY i DESC")
    equal(rows, acknowledged, "rows acknowledged while it became full")
    equal(session.value("SELECT count(DISTINCT i) FROM kept WHERE i < 0"), str(grown), "transactions that are there")


def file_limit():
    """The writer's files may not grow, and then may: without a restart, and with one."""
    with Cluster("limit") as cluster:
        cluster.start()
        cluster.install()
        writer = cluster.writer()
        store = f"{cluster.data}/fakegres/data.mdb"
        without_room(
            cluster,
            lambda: limit_file_size(writer, os.path.getsize(store) + 8 * MB),
            lambda: limit_file_size(writer, None),
        )
        equal(cluster.writer(), writer, "the writer's process after all this")
        limit_file_size(writer, os.path.getsize(store) + 1 * MB)
        refused("53100", lambda: cluster.run(bulk("more").replace("1000000", "2000000")))
        cluster.restart()
        cluster.value("SELECT fakegres.sweep()")
        cluster.run(bulk("more"))
        equal(cluster.value("SELECT fakegres.sweep()"), "0", "orphans after a restart and a load")


def file_system():
    """A file system of its own that really is full."""
    with Cluster("tmpfs") as cluster:
        store = f"{cluster.dir}/store"
        os.mkdir(store)
        mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "fakegres-test", store]
        if os.getuid() != 0 or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
            raise Skip("a file system cannot be mounted here")
        try:
            give_to_server(store)
            cluster.configure(f"fakegres.storage = 'embedded://{store}'")
            cluster.start()
            cluster.install()
            room = ["mount", "-o", "remount,size=1g", store]
            without_room(cluster, lambda: None, lambda: subprocess.run(room, check=True))
        finally:
            cluster.stop()
            subprocess.run(["umount", "--lazy", store], check=True)


main(file_limit, file_system)
