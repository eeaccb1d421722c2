#!/usr/bin/env python3
"""Crashes: processes are killed with -9 under load; then every acknowledged commit is there, whole,
and no other.

crash.py DATABASE DATA_DIRECTORY backend|server|store LOOPS CLUSTER_SCRIPT CLUSTER

`backend` kills one process of the server, mostly a backend that is just committing, and lets the
server recover by itself. `server` kills every process of the server at once and starts it again by the
script. `store` does the same to the store's own server, under backends that live on. Every transaction writes one row into each of two tables and one counter, so half a commit
would show. Beside them a session creates, fills, truncates, rewrites and drops tables, so that
there is something to clear away.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time

from session import Lost, Refused, Session, query
from tally import Tally
from threads import verdict, watched

WORKERS, KEPT = 6, 500

SCHEMA = f"""
DROP TABLE IF EXISTS first, second, counters, kept;
CREATE TABLE first (id bigint, worker int, filler text);
CREATE TABLE second (id bigint, worker int);
CREATE TABLE counters (worker int, n bigint);
CREATE TABLE kept (round bigint, i int);
INSERT INTO counters SELECT i, 0 FROM generate_series(0, {WORKERS - 1}) i
"""


class Load:
    """Sessions that write until they are told to stop or lose their connection for good."""

    def __init__(self, database, tally, rounds):
        self.database, self.tally, self.rounds = database, tally, rounds
        self.stop, self.committing = threading.Event(), threading.Event()
        self.sessions, self.surprises = {}, []
        self.threads = [watched(self.surprises, self.write, worker) for worker in range(WORKERS)]
        self.threads.append(watched(self.surprises, self.churn, WORKERS))
        for thread in self.threads:
            thread.start()

    def connect(self, worker):
        """A session, or None if the load ends before the server answers."""
        while not self.stop.is_set():
            try:
                self.sessions[worker] = Session(self.database)
                return self.sessions[worker]
            except (Refused, Lost):
                time.sleep(0.05)
        return None

    def write(self, worker):
        session = self.connect(worker)
        while session and not self.stop.is_set():
            try:
                self.transact(session, worker)
            except Lost:
                session.close()
                session = self.connect(worker)
        if session:
            session.close()

    def transact(self, session, worker):
        transaction = self.rounds.next()
        stage = "refused"
        try:
            session.run("BEGIN")
            session.run(f"INSERT INTO first VALUES ({transaction}, {worker}, repeat('x', {transaction % 3000}))")
            session.run(f"UPDATE counters SET n = n + 1 WHERE worker = {worker}")
            session.run(f"INSERT INTO second VALUES ({transaction}, {worker})")
            stage = "unknown"
            self.committing.set()
            session.run("COMMIT")
            self.tally.add("done", transaction)
        except Refused as refused:
            self.tally.add("unknown" if refused.sqlstate == "08007" else "refused", transaction)
            session.run("ROLLBACK")
        except Lost:
            self.tally.add(stage, transaction)
            raise

    def churn(self, worker):
        session = self.connect(worker)
        while session and not self.stop.is_set():
            number = self.rounds.next()
            try:
                self.churn_once(session, number)
            except Refused:
                pass
            except Lost:
                session.close()
                session = self.connect(worker)
        if session:
            session.close()

    def churn_once(self, session, number):
        table = f"churn_{number}"
        session.run(f"CREATE TABLE {table} AS SELECT i, repeat('y', 200) AS y FROM generate_series(1, 2000) i")
        session.run(f"ALTER TABLE {table} ALTER i TYPE bigint")
        session.run("BEGIN")
        session.run(f"TRUNCATE {table}")
        session.run(f"INSERT INTO {table} SELECT i, 'again' FROM generate_series(1, 2000) i")
        session.run("ROLLBACK" if number % 2 else "COMMIT")
        session.run("BEGIN")
        session.run("TRUNCATE kept")
        session.run(f"INSERT INTO kept SELECT {number}, i FROM generate_series(1, {KEPT}) i")
        session.run("COMMIT")
        self.rounds.kept = number
        session.run(f"DROP TABLE {table}")

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


class Rounds:
    """Numbers that never come twice, and the last one that was surely kept."""

    def __init__(self):
        self.lock, self.number, self.kept = threading.Lock(), 0, 0

    def next(self):
        with self.lock:
            self.number += 1
            return self.number


def children(parent):
    """The processes whose parent this is."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                if int(stat.read().rsplit(")", 1)[1].split()[1]) == parent:
                    found.append(int(entry))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def kill(process):
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


def postmaster(data):
    with open(f"{data}/postmaster.pid") as file:
        return int(file.readline())


def kill_backend(load, rng, data):
    """Kills a backend while it commits, or now and then any other process of the server."""
    load.committing.clear()
    load.committing.wait(5)
    time.sleep(rng.uniform(0, 0.004))
    backends = [session.backend for session in load.sessions.values()]
    if rng.random() < 0.25:
        backends = children(postmaster(data)) or backends
    kill(rng.choice(backends))


def run(script, verb, cluster):
    subprocess.run([script, verb, cluster], check=True, stdout=subprocess.DEVNULL)


def kill_store(load, rng, cluster):
    """Kills the store's server, mostly while something is committed, and brings it back."""
    load.committing.clear()
    load.committing.wait(5)
    time.sleep(rng.uniform(0, 0.004))
    run(*cluster("kill_store"))
    time.sleep(rng.uniform(0, 0.5))
    run(*cluster("start_store"))
    time.sleep(0.3)


def kill_server(data, cluster):
    """Kills the postmaster first, so that nothing can clean up, then all that it started."""
    head = postmaster(data)
    family = [head, *children(head)]
    for process in family:
        kill(process)
    while not all(dead(process) for process in family):
        time.sleep(0.01)
    run(*cluster("start"))


def dead(process):
    """Gone, or only waiting for its parent to notice."""
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_up(database):
    """Until the server answers, and not from before the crash."""
    for _ in range(600):
        try:
            query(database, "SELECT 1")
            return
        except (Refused, Lost):
            time.sleep(0.1)
    raise SystemExit("WRONG: the server did not come back within a minute")


def check(database, tally, rounds, sweeps):
    """Everything that must be true after a crash."""
    present = {int(row) for row in query(database, "SELECT id FROM first")}
    complaints = tally.complaints(present)
    for what, statement in (
        ("half a transaction is there", "SELECT count(*) FROM first FULL JOIN second USING (id) WHERE first.worker IS DISTINCT FROM second.worker"),
        ("a row is there twice", "SELECT (SELECT count(*) - count(DISTINCT id) FROM first) + (SELECT count(*) - count(DISTINCT id) FROM second)"),
        ("a counter does not count its rows", "SELECT count(*) FROM counters c WHERE n <> (SELECT count(*) FROM first f WHERE f.worker = c.worker)"),
        ("a value is cut", "SELECT count(*) FROM first WHERE length(filler) <> id % 3000"),
    ):
        wrong = query(database, statement)
        if wrong != ["0"]:
            complaints.append(f"{what} ({wrong[0]})")
    rows, numbers, number = query(database, "SELECT count(*), count(DISTINCT round), coalesce(max(round), 0) FROM kept")[0].split("|")
    if rounds.kept and (int(rows), int(numbers)) != (KEPT, 1) or int(number) < rounds.kept:
        complaints.append(f"the truncated and refilled table has {rows} rows of {numbers} rounds, newest {number}, acknowledged {rounds.kept}")
    if sweeps:
        cleared = int(query(database, "SELECT fakegres.sweep()")[0])
        again = int(query(database, "SELECT fakegres.sweep()")[0])
        if again != 0:
            complaints.append(f"spaces leak: the first sweep cleared {cleared}, the second {again}")
    return complaints


def crash(database, data, what, cluster, tally, rounds, rng):
    load = Load(database, tally, rounds)
    time.sleep(rng.uniform(0.3, 1.0))
    if what == "backend":
        kill_backend(load, rng, data)
        time.sleep(0.3)
    elif what == "store":
        kill_store(load, rng, cluster)
    else:
        kill_server(data, cluster)
    load.end()
    wait_until_up(database)
    return load.surprises


def main(database, data, what, loops, script, name):
    def cluster(verb):
        return script, verb, name

    for statement in SCHEMA.split(";"):
        query(database, statement)
    sweeps = query(database, "SELECT count(*) FROM pg_am WHERE amname = current_setting('default_table_access_method') AND amname = 'fakegres'") == ["1"]
    tally, rounds, rng = Tally(), Rounds(), random.Random(7)
    complaints = []
    for loop in range(int(loops)):
        complaints = crash(database, data, what, cluster, tally, rounds, rng)
        complaints += check(database, tally, rounds, sweeps)
        if complaints:
            break
    if len(tally.done) < 10 * int(loops):
        complaints.append("too little was committed to prove anything")
    print(f"{loop + 1} crashes, {tally.counts()}")
    return verdict(complaints)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
