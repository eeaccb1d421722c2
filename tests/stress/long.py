#!/usr/bin/env python3
"""What takes long: while sessions change a table, a transaction reads its own snapshot until the end, a
cursor goes on from where it was, and scans last longer than any limit of a store. In the middle of it
the store's server, where there is one, stands still.

long.py DATABASE SECONDS SCRIPT CLUSTER

SCRIPT pauses the store of CLUSTER (scripts/cluster.sh); without one nothing stands still. Nothing may be
lost or there twice, and every session goes on when the store does.
"""

import random
import subprocess
import sys
import threading
import time

from session import Lost, Refused, Session, query
from tally import Tally
from threads import run_all, verdict

WORKERS, ROWS, EACH = 4, 10_000, 100
TOTAL = f"{ROWS * EACH}|{ROWS}"
PAUSE = 10
# FoundationDB knows a version for five seconds; a scan must take longer, whatever the length of the test.
SCAN = 7
# A store that stands still may make statements fail so, and nothing else may.
EXPECTED = {"08000", "08006", "08007", "40001", "40P01", "57P03"}

SCHEMA = f"""
DROP TABLE IF EXISTS held, journal;
CREATE TABLE held (id int PRIMARY KEY, v int, filler text);
CREATE INDEX ON held (v);
CREATE TABLE journal (transfer bigint PRIMARY KEY, worker int);
INSERT INTO held SELECT i, {EACH}, repeat('x', i % 100) FROM generate_series(1, {ROWS}) i
"""
WAITS = f"""
CREATE OR REPLACE FUNCTION waits(id int) RETURNS bool LANGUAGE plpgsql AS
  'BEGIN IF id % 100 = 0 THEN PERFORM pg_sleep({SCAN * 100 / ROWS}); END IF; RETURN true; END'
"""
DIGEST = "SELECT md5(string_agg(id || ':' || v || filler, ',' ORDER BY id)) FROM held"
SLOW = "SELECT sum(v), count(*) FROM held WHERE waits(id)"
NOW = "SELECT sum(v), count(*) FROM held"


class Test:
    def __init__(self, database, seconds):
        self.database, self.end = database, time.monotonic() + seconds
        self.tally, self.complaints, self.answers = Tally(), [], 0
        self.numbers, self.lock = iter(range(1, 1 << 40)), threading.Lock()
        # When each worker committed last.
        self.committed = [0.0] * WORKERS

    def open(self):
        return time.monotonic() < self.end

    def number(self):
        with self.lock:
            return next(self.numbers)

    def expect(self, what, answer, right):
        self.answers += 1
        if answer != right:
            self.complaints.append(f"{what}: {answer}, not {right}")


def steps(rng):
    """The statements of a transaction that leaves the sum and the number of rows as they are."""
    if rng.random() < 0.1:
        row = rng.randint(1, ROWS)
        return [f"WITH gone AS (DELETE FROM held WHERE id = {row} RETURNING *) INSERT INTO held SELECT id, v, 'again' FROM gone"]
    first, second = sorted(rng.sample(range(1, ROWS + 1), 2))
    amount = rng.randint(-20, 20)
    return [f"UPDATE held SET v = v + {amount} WHERE id = {first}", f"UPDATE held SET v = v - {amount} WHERE id = {second}"]


def work(test, worker):
    rng = random.Random(worker)
    session = Session(test.database)
    while test.open():
        transfer, stage = test.number(), "refused"
        try:
            # READ COMMITTED would pass over a row that another one has just put in anew.
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
            for step in [*steps(rng), f"INSERT INTO journal VALUES ({transfer}, {worker})"]:
                session.run(step)
            stage = "unknown"
            session.run("COMMIT")
            test.tally.add("done", transfer)
            test.committed[worker] = time.monotonic()
        except Refused as refused:
            test.tally.add("unknown" if refused.sqlstate == "08007" else "refused", transfer)
            if refused.sqlstate not in EXPECTED:
                test.complaints.append(f"a transfer failed with {refused.sqlstate}")
            session.run("ROLLBACK")
        except Lost:
            test.tally.add(stage, transfer)
            session.close()
            session = Session(test.database)
    session.close()


def patiently(session, statement):
    """A read that only reads may be asked for again while the store stands still."""
    while True:
        try:
            return session.run(statement)
        except Refused as refused:
            if refused.sqlstate not in EXPECTED:
                raise
            time.sleep(0.5)


def outlasting(test):
    """A session whose reads wait for a store that stands still, where the others' give up."""
    session = Session(test.database)
    session.run("SET fakegres.connect_timeout = '60s'")
    return session


def read_past(test):
    """One snapshot, from beginning to end."""
    session = outlasting(test)
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    first = session.run(DIGEST)
    while test.open():
        time.sleep(min(5, max(0, test.end - time.monotonic())))
        for settings in ("enable_indexscan = on", "enable_seqscan = off"):
            session.run(f"SET LOCAL {settings}")
            test.expect("the snapshot of an open transaction changed", session.run(DIGEST), first)
    session.run("COMMIT")
    if query(test.database, DIGEST) == first:
        test.complaints.append("nothing was changed under the snapshot")
    session.close()


def fetch(test):
    """A cursor, which shows the moment at which it was declared."""
    session = outlasting(test)
    session.run("BEGIN")
    session.run("DECLARE c CURSOR FOR SELECT v FROM held")
    part, length, values = ROWS // 20, (test.end - time.monotonic()) / 22, []
    while rows := session.run(f"FETCH {part} FROM c"):
        values += map(int, rows)
        time.sleep(length)
    test.expect("a cursor", f"{sum(values)}|{len(values)}", TOTAL)
    session.close()


def scan(test):
    """Statements that last, one after the other."""
    session = Session(test.database)
    while test.open():
        test.expect("a long scan", patiently(session, SLOW), [TOTAL])
    session.close()


def stand_still(test, script, cluster):
    length = min(PAUSE, (test.end - time.monotonic()) / 3)
    time.sleep(length)
    subprocess.run([script, "pause_store", cluster], check=True)
    time.sleep(length)
    subprocess.run([script, "continue_store", cluster], check=True)
    since = time.monotonic()
    while test.open():
        time.sleep(0.1)
    # It was not so long that they would have given up.
    late = [worker for worker in range(WORKERS) if test.committed[worker] < since]
    if late:
        test.complaints.append(f"sessions {late} have committed nothing since the store goes on")


def settle(test):
    test.expect("at the end", query(test.database, NOW), [TOTAL])
    present = [int(row) for row in query(test.database, "SELECT transfer FROM journal")]
    if len(present) != len(set(present)):
        test.complaints.append("a transfer is there twice")
    test.complaints += test.tally.complaints(set(present))
    if query(test.database, "SELECT count(*) FROM pg_extension WHERE extname = 'fakegres_am'") == ["1"]:
        for table in ("held", "journal"):
            test.expect(f"fakegres.check('{table}')", query(test.database, f"SELECT * FROM fakegres.check('{table}')"), [])
    if len(test.tally.done) < 50:
        test.complaints.append("too little happened to prove anything")


def main(database, seconds, script=None, cluster=None):
    for statement in [*SCHEMA.split(";"), WAITS]:
        query(database, statement)
    test = Test(database, float(seconds))
    jobs = [(work, test, worker) for worker in range(WORKERS)] + [(what, test) for what in (read_past, fetch, scan)]
    if script:
        jobs.append((stand_still, test, script, cluster))
    run_all(test.complaints, jobs)
    settle(test)
    print(f"{seconds} s: {test.tally.counts()}, {test.answers} answers held against what they must be")
    return verdict(test.complaints)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
