"""Values as large as PostgreSQL makes them."""

import re

from harness import Cluster, Skip, equal, main, refused

MB = 1 << 20
# What a value takes while it is on its way: in the backend as value, row and batch, in the writer as
# request and pages, and in the cache of the file.
COPIES = 8


def need_memory(size):
    with open("/proc/meminfo") as info:
        available = int(re.search(r"^MemAvailable:\s+(\d+) kB", info.read(), re.MULTILINE).group(1)) << 10
    if available < size * COPIES:
        raise Skip(f"{size * COPIES // MB} MB of memory are needed and {available // MB} are available")


def in_and_out(size, changed=False):
    need_memory(size)
    with Cluster("large") as cluster:
        cluster.start()
        cluster.install()
        cluster.run("CREATE TABLE t (id int, v text)")
        value = f"repeat('0123456789abcdef', {size // 16})"
        with cluster.session() as session:
            session.run(f"INSERT INTO t SELECT 1, {value}")
            session.run("INSERT INTO t VALUES (2, 'small')")
        with cluster.session() as session:
            equal(session.run(f"SELECT id, octet_length(v), v = {value} FROM t ORDER BY id"), [f"1|{size}|t", "2|5|f"], "values")
            if changed:
                session.run("UPDATE t SET v = 'now small' WHERE id = 1")
                equal(session.value("SELECT sum(length(v)) FROM t"), "14", "after an UPDATE")


def of_100_megabytes():
    in_and_out(100 * MB, changed=True)


def of_900_megabytes():
    in_and_out(900 * MB)


def row_over_the_limit():
    """Two values that PostgreSQL can hold and one row that nobody can."""
    need_memory(1200 * MB)
    with Cluster("over") as cluster:
        cluster.start()
        cluster.install()
        cluster.run("CREATE TABLE t (a text, b text)")
        with cluster.session() as session:
            half = f"repeat('x', {600 * MB})"
            # PostgreSQL itself may refuse to form the row, with the words that it has for heap.
            insert = f"INSERT INTO t VALUES ({half}, {half})"
            refused("54000 XX000", lambda: session.run(insert), "too big|larger|invalid memory alloc request")
            session.run("INSERT INTO t VALUES ('small', 'too')")
            equal(session.run("SELECT * FROM t"), ["small|too"], "afterwards")


main(of_100_megabytes, of_900_megabytes, row_over_the_limit)
