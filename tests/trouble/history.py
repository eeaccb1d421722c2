"""History that is gone: 72000, never wrong rows."""

import time

from harness import Cluster, Refused, equal, main, refused

ROWS = 2000


def started(cluster):
    cluster.configure("fakegres.history_retention = '1s'")
    cluster.start()
    cluster.install()
    cluster.run(f"CREATE TABLE t AS SELECT i AS id, 0 AS n FROM generate_series(1, {ROWS}) i")


def old_snapshot():
    """A REPEATABLE READ transaction sees its own moment or an error, while every row is changed and
    VACUUM comes."""
    with Cluster("old-snapshot") as cluster:
        started(cluster)
        reader, cursor = cluster.session(), cluster.session()
        reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        equal(reader.value("SELECT sum(n) FROM t"), "0", "its moment")
        cursor.run("BEGIN")
        cursor.run("DECLARE c CURSOR FOR SELECT n FROM t")
        seen = cursor.run("FETCH 10 FROM c")
        cluster.run("UPDATE t SET n = 1")
        # Within the retention the old rows are there.
        equal(reader.value("SELECT sum(n) FROM t"), "0", "its moment after an UPDATE")
        for round in range(2, 5):
            time.sleep(0.7)
            cluster.run(f"UPDATE t SET n = {round} WHERE id % 2 = 0")
            cluster.run(f"DELETE FROM t WHERE id = {round}")
            cluster.run("VACUUM t")
        refused("72000", lambda: reader.run("SELECT sum(n) FROM t"), "older than the history", "history_retention")
        reader.run("ROLLBACK")
        equal(reader.value("SELECT count(*) FROM t"), str(ROWS - 3), "the same session afterwards")
        try:
            while rows := cursor.run("FETCH 100 FROM c"):
                seen += rows
            equal(len(seen), ROWS, "rows of the cursor")
        except Refused as error:
            equal(error.sqlstate, "72000", error.text)
        equal(set(seen), {"0"}, "what the cursor saw")


def as_of():
    """Beyond the retention and before it; a writer's own rows are no matter."""
    with Cluster("as-of") as cluster:
        started(cluster)
        moment = cluster.value("SELECT clock_timestamp()")
        with cluster.session() as session:
            session.run("UPDATE t SET n = 1")
            session.run(f"SET fakegres.as_of = '{moment}'")
            equal(session.value("SELECT sum(n) FROM t"), "0", "a moment ago")
            time.sleep(1.2)
            refused("72000", lambda: session.run("SELECT sum(n) FROM t"), "older", "history_retention")
            session.run("SET fakegres.as_of = '2999-01-01'")
            refused("72000 22023 22008", lambda: session.run("SELECT sum(n) FROM t"), "in the future")
            session.run("SET fakegres.as_of = 'gibberish'")
            refused("22007", lambda: session.run("SELECT sum(n) FROM t"), "gibberish")
            session.run("RESET fakegres.as_of")
            equal(session.value("SELECT sum(n) FROM t"), str(ROWS), "now")


main(old_snapshot, as_of)
