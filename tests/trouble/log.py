"""PostgreSQL's log and the store after a crash: what is in the one does not miss its part in the other,
also where no commit of PostgreSQL's waits for the disk."""

from harness import Cluster, equal, main

# Nothing gets to the disk but what somebody waits for.
LAZY = "wal_writer_delay = 10s\nbgwriter_delay = 10s\n"


def both_halves():
    """Who writes heap and fakegres tables in one transaction loses both or none with synchronous_commit = off."""
    with Cluster("halves", LAZY + "synchronous_commit = off\n") as cluster:
        cluster.start()
        cluster.install()
        session = cluster.session()
        session.run("CREATE TABLE ours (i int); CREATE TABLE heap (i int) USING heap")
        for i in range(100):
            session.run(f"BEGIN; INSERT INTO ours VALUES ({i}); INSERT INTO heap VALUES ({i}); COMMIT")
        cluster.crash()
        counts = "SELECT (SELECT count(*) FROM ours), (SELECT count(*) FROM heap)"
        equal(cluster.value(counts), "100|100", "rows of ours and of heap")


def sequence():
    """A value of a sequence that is in a committed row is not given out again. The log's record of it is another
    transaction's, which never ends."""
    with Cluster("sequence", LAZY) as cluster:
        cluster.start()
        cluster.install()
        session = cluster.session()
        session.run("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, v text)")
        session.run("CHECKPOINT")
        other = cluster.session()
        other.run("BEGIN; INSERT INTO t (v) VALUES ('never')")
        for _ in range(20):
            session.run("INSERT INTO t (v) VALUES ('kept')")
        cluster.crash()
        other.close()
        kept = int(cluster.value("SELECT max(id) FROM t WHERE v = 'kept'"))
        equal(cluster.value("SELECT count(*) FROM t"), "20", "committed rows")
        new = int(cluster.value("INSERT INTO t (v) VALUES ('new') RETURNING id"))
        assert new > kept, f"{new} was given out after {kept}"


def enum_label():
    """A row with a new label of an enum does not survive the label."""
    with Cluster("label", LAZY) as cluster:
        cluster.start()
        cluster.install()
        session = cluster.session()
        session.run("CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE t (m mood)")
        session.run("SET synchronous_commit = off")
        session.run("ALTER TYPE mood ADD VALUE 'happy'")
        cluster.run("INSERT INTO t VALUES ('happy')")
        cluster.crash()
        equal(cluster.run("SELECT m FROM t"), ["happy"], "the row and its label")


def pages():
    """A commit waits for a log whose last record ends with its page."""
    with Cluster("pages", LAZY) as cluster:
        cluster.start()
        cluster.install()
        with cluster.session() as session:
            session.run("CREATE TABLE t (i int)")
            emit = "SELECT pg_logical_emit_message(false, 'x', repeat('x', {})) - pg_current_wal_insert_lsn()"
            place = "SELECT (pg_current_wal_insert_lsn() - '0/0') % 8192"
            session.run(emit.format(300))
            before = int(session.value(place))
            session.run(emit.format(1000))
            # What a record is longer than its text; both are rounded to 8.
            head = int(session.value(place)) - before - 1000
            if head < 0:
                head += 8192 - 24
            filled = 0
            for i in range(20):
                left = 8192 - int(session.value(place)) - head
                if left < 300:
                    session.run(emit.format(1000))
                    continue
                session.run(emit.format(left))
                filled += session.value(place) == "24"
                session.run(f"INSERT INTO t VALUES ({i})")
                session.run(emit.format(300))
            assert filled > 5, f"{filled} records ended with their pages"


main(both_halves, sequence, enum_label, pages)
