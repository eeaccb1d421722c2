"""Memory: what a backend needs does not grow with the table, and a transaction that needs more than
it may is refused before it has taken much more."""

from harness import Cluster, Memory, equal, main, private_memory, refused

ROWS = 2_000_000
# In kB, over an idle backend.
ALLOWED = 64 << 10
SELECT_ROWS = f"SELECT i AS id, 'row number ' || i AS v FROM generate_series(1, {ROWS}) i"


def bounded(cluster, what, *statements):
    """Runs statements in a backend of its own and checks the most that it ever took."""
    with cluster.session() as session:
        session.run("SET max_parallel_workers_per_gather = 0")
        idle = private_memory(session.backend)
        with Memory(session.backend) as memory:
            answers = [session.run(statement) for statement in statements]
        grown = memory.highest - idle
        assert grown <= ALLOWED, f"{what}: {grown >> 10} MB more than an idle backend"
    return answers


def large_tables():
    with Cluster("memory") as cluster:
        cluster.start()
        cluster.install()
        bounded(cluster, "CREATE TABLE AS", f"CREATE TABLE t AS {SELECT_ROWS}")
        bounded(
            cluster,
            "COPY into a new table",
            "BEGIN",
            "CREATE TABLE copied (id int)",
            f"COPY copied FROM PROGRAM 'seq {ROWS}'",
            "COMMIT",
        )
        (answer,) = bounded(cluster, "a scan", "SELECT count(*), sum(length(v)) FROM t")
        equal(answer[0].split("|")[0], str(ROWS), "rows")
        bounded(cluster, "a cursor", "BEGIN", "DECLARE c CURSOR FOR SELECT * FROM t", "MOVE ALL c", "COMMIT")
        bounded(cluster, "ANALYZE", "ANALYZE t")
        # Deleted in parts, each within the memory of a transaction: their tombstones are read after.
        with cluster.session() as session:
            session.run("DELETE FROM copied WHERE id % 4 = 0")
        (answer,) = bounded(cluster, "a scan over deleted rows", "SELECT count(*) FROM copied")
        equal(answer, [str(ROWS * 3 // 4)], "rows that are left")
        cluster.run("ALTER SYSTEM SET fakegres.history_retention = 0")
        cluster.run("SELECT pg_reload_conf()")
        bounded(cluster, "VACUUM", "VACUUM copied")
        bounded(cluster, "VACUUM ANALYZE", "VACUUM ANALYZE t")


def buffered_changes():
    """The limit is an error with advice, and not much more than the limit was taken before it."""
    limit = 64 << 10
    with Cluster("buffer") as cluster:
        cluster.start()
        cluster.install()
        cluster.run("CREATE TABLE t (id int, v text)")
        cluster.run("CREATE TABLE h (id int) USING heap")
        with cluster.session() as session:
            session.run(f"SET fakegres.max_transaction_memory = '{limit}kB'")
            idle = private_memory(session.backend)
            for statement in (
                f"INSERT INTO t {SELECT_ROWS}",
                f"COPY t (id) FROM PROGRAM 'seq {ROWS}'",
            ):
                with Memory(session.backend) as memory:
                    refused("54000", lambda: session.run(statement), "transaction", "max_transaction_memory")
                grown = memory.highest - idle
                assert grown <= 3 * limit, f"{statement}: {grown >> 10} MB were taken"
            equal(session.value("SELECT count(*) FROM t"), "0", "rows of refused transactions")
            session.run("INSERT INTO t SELECT 1, 'small'")
            session.run("INSERT INTO h VALUES (1)")
            # As the hint says.
            session.run(f"CREATE TABLE loaded AS {SELECT_ROWS}")
            equal(session.value("SELECT count(*) FROM t, h"), "1", "afterwards")


main(large_tables, buffered_changes)
