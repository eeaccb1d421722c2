"""The writer process stopped, and killed: readers and heap tables go on, who waits can be made to
stop, and every commit is what it was said to be."""

import os
import signal
import threading
import time

from harness import Cluster, Lost, Refused, Timed, equal, main, refused, wait_for


class Stopped:
    """The writer stands still while a block runs."""

    def __init__(self, cluster):
        self.writer = cluster.writer()

    def __enter__(self):
        os.kill(self.writer, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.writer, signal.SIGCONT)


def started(cluster):
    cluster.start()
    cluster.install()
    cluster.run("CREATE TABLE t (id int, v text)")
    cluster.run("CREATE TABLE h (id int) USING heap")
    cluster.run("INSERT INTO t VALUES (0, 'before')")


def ready(cluster, number):
    """A session that has everything that it needs from the writer but its commit."""
    session = cluster.session()
    session.run(f"INSERT INTO t VALUES ({-number}, 'ready')")
    return session


def soon(work, least=0.0, most=2.5):
    """Runs work and checks when it ended. 1.7 s is what a cancel promises; the rest is for a machine
    that does other things."""
    with Timed() as timed:
        result = work()
    assert least <= timed.seconds <= most, f"it took {timed.seconds:.2f} s"
    return result


def stopped():
    with Cluster("stopped") as cluster:
        started(cluster)
        reader, timeout, block, canceled, patient = (ready(cluster, i) for i in range(1, 6))
        timeout.run("SET statement_timeout = '500ms'")
        block.run("SET statement_timeout = '500ms'")
        with Stopped(cluster):
            equal(reader.value("SELECT count(*) FROM t WHERE id = 0"), "1", "a SELECT meanwhile")
            heap_goes_on(cluster, reader)
            patient.send("INSERT INTO t VALUES (100, 'patient')")
            soon(lambda: refused("57014 08007", lambda: timeout.run("INSERT INTO t VALUES (1, 'timeout')")), 0.4)
            soon(lambda: commit_of_block(block), 0.4)
            soon(lambda: cancel(cluster, canceled), 0.4)
            equal(reader.value("SELECT count(*) FROM t WHERE id > 0"), "0", "nothing is committed yet")
            soon(lambda: terminate(cluster), 0.3)
        equal(patient.answer(), [], "the answer of the one who waited")
        goes_on(cluster, (reader, timeout, block, canceled, patient))


def heap_goes_on(cluster, reader):
    """Heap tables do not wait for the store, also in a session that has not used it yet. Only the
    first REPEATABLE READ query of such a session waits once, for fakegres.connect_timeout."""
    for level in ("READ COMMITTED", "REPEATABLE READ"):
        soon(lambda: heap_transaction(reader, level), most=1.0)
    newcomer = cluster.session()
    newcomer.run("SET fakegres.connect_timeout = '1s'")
    soon(lambda: heap_transaction(newcomer, "READ COMMITTED"), most=0.9)
    soon(lambda: heap_transaction(newcomer, "REPEATABLE READ"))
    soon(lambda: heap_transaction(newcomer, "REPEATABLE READ"), most=0.9)
    newcomer.close()


def heap_transaction(session, level):
    session.run(f"BEGIN ISOLATION LEVEL {level}")
    session.run("INSERT INTO h VALUES (1)")
    session.run("SELECT count(*) FROM h")
    session.run("COMMIT")


def commit_of_block(session):
    """BEGIN, a change, COMMIT: the wait is in COMMIT, which ends as a cancel ends it."""
    session.run("BEGIN")
    session.run("INSERT INTO t VALUES (2, 'block')")
    refused("57014 08007", lambda: session.run("COMMIT"))


def cancel(cluster, session):
    session.send("INSERT INTO t VALUES (3, 'canceled')")
    time.sleep(0.5)
    cluster.run(f"SELECT pg_cancel_backend({session.backend})")
    error = refused("57014 08007", session.answer)
    assert error.sqlstate == "57014" or error.hint, f"08007 needs a hint: {error.text}"


def terminate(cluster):
    """A backend that waits for the writer can also be ended."""
    session = cluster.session()
    session.send("INSERT INTO t VALUES (4, 'terminated')")
    time.sleep(0.3)
    cluster.run(f"SELECT pg_terminate_backend({session.backend})")
    try:
        session.answer()
    except (Refused, Lost):
        gone = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {session.backend}"
        wait_for("the backend is gone", lambda: cluster.value(gone) == "0", 3)
        return
    raise AssertionError("a terminated INSERT was acknowledged by a writer that stands still")


def goes_on(cluster, sessions):
    """Every session works, and each uncertain row is there once or not at all."""
    for number, session in enumerate(sessions, start=10):
        session.run("SET statement_timeout = 0")
        session.run(f"INSERT INTO t VALUES ({number}, 'after')")
    rows = cluster.run("SELECT id, count(*) FROM t WHERE id >= 0 GROUP BY id HAVING count(*) > 1")
    equal(rows, [], "rows that are there twice")
    equal(cluster.value("SELECT count(*) FROM t WHERE id IN (0, 10, 11, 12, 13, 14, 100)"), "7", "acknowledged rows")
    equal(cluster.value("SELECT count(*) FROM t WHERE id < 0"), "5", "rows of before")
    cluster.run("UPDATE t SET v = 'all'")
    equal(cluster.run("SELECT DISTINCT v FROM t"), ["all"], "an UPDATE of everything")


def new_sessions():
    """A session that first needs the store while its writer stands still is told so in time."""
    with Cluster("new-session") as cluster:
        started(cluster)
        cluster.run("ALTER SYSTEM SET fakegres.connect_timeout = '1s'")
        cluster.run("SELECT pg_reload_conf()")
        with Stopped(cluster):
            error = soon(lambda: refused("08006", lambda: cluster.run("SELECT * FROM t")), 0.9)
            assert error.hint, error.text
            session = cluster.session()
            session.run("SET fakegres.connect_timeout = '1min'")
            session.run("SET statement_timeout = '500ms'")
            soon(lambda: refused("57014", lambda: session.run("SELECT * FROM t")), 0.4)
        equal(session.value("SELECT v FROM t"), "before", "afterwards")


def killed():
    """PostgreSQL restarts; what was acknowledged is there once, what was refused is not."""
    with Cluster("killed") as cluster:
        started(cluster)
        acknowledged, unknown, refusals = [], [], []
        workers = [threading.Thread(target=write, args=(cluster, w, acknowledged, unknown, refusals)) for w in range(4)]
        for worker in workers:
            worker.start()
        wait_for("some rows are written", lambda: len(acknowledged) > 200)
        os.kill(cluster.writer(), signal.SIGKILL)
        for worker in workers:
            worker.join()
        cluster.wait_until_up()
        there = [int(row) for row in cluster.run("SELECT id FROM t WHERE id > 0")]
        equal(len(there), len(set(there)), "a row is there twice")
        equal(sorted(set(acknowledged) - set(there)), [], "acknowledged rows that are lost")
        equal(sorted(set(there) & set(refusals)), [], "refused rows that are there")
        equal(sorted(set(there) - set(acknowledged) - set(unknown)), [], "rows that nobody wrote")
        cluster.run("INSERT INTO t VALUES (-1, 'after')")
        equal(cluster.value("SELECT fakegres.sweep()"), "0", "orphans")


def write(cluster, worker, acknowledged, unknown, refusals):
    """Writes rows until the connection breaks."""
    with cluster.session() as session:
        for number in range(1, 100000):
            row = number * 10 + worker
            try:
                session.run(f"INSERT INTO t VALUES ({row}, 'x')")
                acknowledged.append(row)
            except Refused as error:
                (unknown if error.sqlstate in ("08007", "?????") else refusals).append(row)
                return
            except Lost:
                unknown.append(row)
                return


def ended():
    """A writer that was ended on its own comes back, without a restart of the server."""
    with Cluster("ended") as cluster:
        started(cluster)
        session = ready(cluster, 1)
        before, postmaster = cluster.writer(), cluster.postmaster()
        os.kill(before, signal.SIGTERM)
        wait_for("the writer is gone", lambda: not os.path.exists(f"/proc/{before}"))
        session.run("INSERT INTO t VALUES (1, 'the next writer')")
        equal(session.value("SELECT count(*) FROM t"), "3", "rows")
        equal(cluster.postmaster(), postmaster, "the server")
        assert cluster.writer() != before


main(stopped, new_sessions, killed, ended)
