"""What a crash leaves behind is cleared once, and by whom it should be."""

import os
import signal

from harness import Cluster, equal, main, refused_or_lost, wait_for


def create_table_as():
    """kill -9 in the middle of CREATE TABLE AS leaves one orphan."""
    with Cluster("leftover") as cluster:
        cluster.start()
        cluster.install()
        cluster.run("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS i")
        session = cluster.session()
        session.send(
            "CREATE TABLE lost AS SELECT i, repeat('x', 100) AS v, CASE i WHEN 200000 THEN pg_sleep(600) END IS NULL AS s"
            " FROM generate_series(1, 300000) i"
        )
        asleep = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {session.backend} AND wait_event = 'PgSleep'"
        wait_for("the load is half done", lambda: cluster.value(asleep) == "1")
        # Its maker is alive: not an orphan.
        equal(cluster.value("SELECT fakegres.sweep()"), "0", "a sweep while the table is made")
        os.kill(session.backend, signal.SIGKILL)
        refused_or_lost(session.answer)
        session.close()
        cluster.wait_until_up()
        equal(cluster.value("SELECT to_regclass('lost') IS NULL"), "t", "the table is not there")
        equal(cluster.value("SELECT fakegres.sweep()"), "1", "the first sweep")
        equal(cluster.value("SELECT fakegres.sweep()"), "0", "the second sweep")
        equal(cluster.value("SELECT count(*), sum(i) FROM kept"), "1000|500500", "the table beside")


def vacuum_sweeps():
    """VACUUM of any table clears it too, so that nobody needs to know of sweep()."""
    with Cluster("vacuum") as cluster:
        cluster.start()
        cluster.install()
        cluster.run("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS i")
        session = cluster.session()
        session.send("CREATE TABLE lost AS SELECT pg_sleep(600) IS NULL AS s")
        asleep = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {session.backend} AND wait_event = 'PgSleep'"
        wait_for("the load has begun", lambda: cluster.value(asleep) == "1")
        os.kill(session.backend, signal.SIGKILL)
        cluster.wait_until_up()
        cluster.run("VACUUM kept")
        equal(cluster.value("SELECT fakegres.sweep()"), "0", "a sweep after VACUUM")
        session.close()


main(create_table_as, vacuum_sweeps)
