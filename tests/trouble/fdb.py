"""FoundationDB, or its stand-in, as $STORE says: who waits for a cluster that is stopped, gone or was never there can be made to stop, and
goes on when it is back; and statements wait for no more round trips than is promised."""

import os
import signal
import sys
import time

from harness import ROOT, Cluster, Skip, canceled, equal, give_to_server, go_on, main, refused, soon, wait_for

sys.path.append(f"{ROOT}/bench")
import round_trips as trips

IS_STANDIN = os.environ["STORE"] == "fdb-standin"
IMPATIENT = "fakegres.connect_timeout = 300ms\n"
# What the client library and a machine that does other things may add to a round trip, and to a statement.
SLACK_EACH, SLACK = 0.08, 0.3
# How often a statement may be late for another reason.
ATTEMPTS = 4


class Store:
    """The cluster's FoundationDB."""

    def __init__(self, cluster):
        self.cluster, self.dir = cluster, os.path.join(cluster.dir, "fdb")
        if not os.path.exists(f"{self.dir}/pid"):
            raise Skip("this FoundationDB is not ours to stop")

    def signal(self, number):
        with open(f"{self.dir}/pid") as file:
            os.kill(int(file.read()), number)

    def kill(self):
        self.cluster.script("kill_store")

    def start(self):
        self.cluster.script("start_store")


def started(name, settings=IMPATIENT):
    cluster = Cluster(f"fdb-{name}", settings)
    cluster.start()
    cluster.install()
    cluster.run("CREATE TABLE t AS SELECT 1 AS id")
    cluster.run("CREATE TABLE h (id int) USING heap")
    return cluster


def newcomer(cluster):
    """A session that has not reached the store yet can be stopped as well."""
    with cluster.session() as session:
        session.run("SET fakegres.connect_timeout = '1min'")
        session.run("SET statement_timeout = '300ms'")
        soon(lambda: refused("57014", lambda: session.run("SELECT * FROM t")), 0.25)
        session.run("SET statement_timeout = 0")
        canceled(cluster, session, "SELECT * FROM t", "57014")


def gone(stop, start):
    """While a cluster is away, and when it is back."""
    with started("gone") as cluster:
        store = Store(cluster)
        sessions = [cluster.session() for _ in range(4)]
        for session in sessions:
            session.run("SET fakegres.connect_timeout = '1min'")
            session.run("SELECT * FROM t")
        reader, writer, committer, patient = sessions
        committer.run("BEGIN")
        committer.run("INSERT INTO t VALUES (2)")
        stop(store)
        try:
            reader.run("SET statement_timeout = '300ms'")
            soon(lambda: refused("57014", lambda: reader.run("SELECT * FROM t")), 0.25)
            equal(reader.run("SELECT count(*) FROM h"), ["0"], "heap tables")
            writer.run("SET statement_timeout = '300ms'")
            soon(lambda: refused("57014 08007", lambda: writer.run("INSERT INTO t VALUES (3)")), 0.25)
            canceled(cluster, committer, "COMMIT", "57014 08007")
            soon(lambda: refused("08006", lambda: cluster.run("SELECT * FROM t"), "does not answer"), 0.25)
            newcomer(cluster)
            patient.send("INSERT INTO t VALUES (100)")
            time.sleep(0.5)
        finally:
            start(store)
        equal(patient.answer(), [], "the answer of the one who waited")
        go_on(cluster, sessions, waited=1)


def stopped():
    """The cluster's process stands still."""
    gone(lambda store: store.signal(signal.SIGSTOP), lambda store: store.signal(signal.SIGCONT))


def killed():
    """The cluster's process is dead, and started again."""
    if IS_STANDIN:
        raise Skip("the stand-in keeps nothing on disk")
    gone(Store.kill, Store.start)


def never_there():
    """A cluster file of a cluster that nobody has ever seen."""
    with started("never-there") as cluster:
        path = f"{cluster.data}/nowhere.cluster"
        with open(path, "w") as file:
            file.write("standin:standin@unix:/nowhere\n" if IS_STANDIN else "nobody:nowhere@127.0.0.1:1\n")
        give_to_server(path)
        with cluster.session() as session:
            session.run(f"SET fakegres.storage = 'fdb://{path}'")
            soon(lambda: refused("08006", lambda: session.run("SELECT * FROM t"), "does not answer"), 0.25)
            soon(lambda: refused("08006", lambda: session.run("CREATE TABLE u (id int)"), "does not answer"), 0.25)
            session.run("SET fakegres.connect_timeout = '1min'")
            session.run("SET statement_timeout = '300ms'")
            soon(lambda: refused("57014", lambda: session.run("SELECT * FROM t")), 0.25)
            session.run("SET statement_timeout = 0")
            canceled(cluster, session, "SELECT * FROM t", "57014")
            equal(session.run("SELECT count(*) FROM h"), ["0"], "heap tables")
        equal(cluster.run("SELECT * FROM t"), ["1"], "where it was")


def counted(store, name, statement, most, numbers):
    """A machine that does other things makes a statement late now and then, and one round trip more each time."""
    for _ in range(ATTEMPTS):
        _, count = store.count(statement, numbers, times=8)
        # None at all would mean that nothing was late.
        assert count > 2 - SLACK, f"{name}: {count:.2f} round trips"
        if count < most * (1 + SLACK_EACH) + SLACK:
            return
    raise AssertionError(f"{name}: {count:.2f} round trips, not {most}")


def round_trips():
    """What a lookup, an UPDATE and an index page wait for, counted by how late replies make them."""
    os.environ["FDB_DELAYED"] = "1"
    try:
        with started("round-trips", "") as cluster, cluster.session() as session:
            Store(cluster)
            file = f"{cluster.dir}/fdb/delay"
            wait_for("replies can be held back", lambda: os.path.exists(file))
            store = trips.Store(session.run, file)
            # The stand-in has shards that end in the middle of the smallest tables, where a reply ends, too.
            statements = [each for each in trips.STATEMENTS if not IS_STANDIN or each[1] != trips.TPC_B]
            for name, statement, most in statements:
                counted(store, name, statement, most, trips.warm(session.run, name, statement))
    finally:
        del os.environ["FDB_DELAYED"]


main(stopped, killed, never_there, round_trips)
