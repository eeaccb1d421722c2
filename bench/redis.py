#!/usr/bin/env python3
"""Measures fakegres on Redis against a raw client of the same Redis server, and prints a table.

redis.py REDIS_SOCKET

The raw client is the fastest that moves the same rows: it writes by MSET of 256 KB, as much as a batch
of fakegres, and waits for one only when the next eight are on their way; it reads by MGET of 1,000
keys, as many ahead, and drops the bytes without looking at them. Rows are those of measure.py; the raw
client's have a key of 20 bytes and a value of as many as fakegres stores. Besides, it prints how many
requests a statement sends, counted by the server, how much of the server's memory a row takes, and
how long another client waits while a large table is dropped.
Where the PostgreSQL server has redis_fdw, it loads, scans and looks up beside fakegres, on the same
Redis.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from measure import ROWS, seconds, sql, write_rows
from race import load, race, scan

BATCH, AHEAD, KEYS = 256 << 10, 8, 1000
# redis_fdw waits for an answer, and so for a sync, with every row.
FDW_ROWS = min(ROWS, 5000)
LOOKUPS = 1000
# Rows of a table that is dropped while another client looks how long it waits.
DROPPED = 1_000_000
# How often a statement runs whose requests are counted.
TIMES = 7
# Every request of fakegres runs one script; a transaction that reads pages has one among its commands.
REQUESTS = ("eval", "evalsha")


class Raw:
    """A connection that pipelines."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)

    def tell(self, *words):
        """One command and its answer, as far as it is one."""
        self.socket.sendall(command(*words))
        answer = b""
        while not complete(answer):
            answer += self.socket.recv(1 << 20)
        return answer

    def pipeline(self, batches):
        """Sends batches of (request, bytes of its answer) and keeps some of them ahead of the answers."""
        expected = []
        for request, length in batches:
            self.socket.sendall(request)
            expected.append(length)
            if len(expected) > AHEAD:
                self.drain(expected.pop(0))
        self.drain(sum(expected))

    def drain(self, length):
        buffer = bytearray(1 << 20)
        while length:
            length -= self.socket.recv_into(buffer, min(length, len(buffer)))


def command(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def complete(answer):
    if not answer.endswith(b"\r\n"):
        return False
    if answer[:1] == b"$":
        head, rest = answer.split(b"\r\n", 1)
        return len(rest) >= int(head[1:]) + 2
    return True


def key(number):
    return b"raw:%016d" % number


def writes(value):
    each = max(1, BATCH // (len(key(0)) + len(value)))
    for first in range(0, ROWS, each):
        rows = [word for number in range(first, min(first + each, ROWS)) for word in (key(number), value)]
        yield command("MSET", *rows), len("+OK\r\n")


def reads(value):
    answer = len(b"$%d\r\n%s\r\n" % (len(value), value))
    for first in range(0, ROWS, KEYS):
        keys = [key(number) for number in range(first, min(first + KEYS, ROWS))]
        yield command("MGET", *keys), len(b"*%d\r\n" % len(keys)) + len(keys) * answer


def timed(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def forget(raw):
    for first in range(0, ROWS, KEYS):
        raw.tell("DEL", *[key(number) for number in range(first, first + KEYS)])


def raw_load(raw, value):
    forget(raw)
    # What is sent is made beforehand: Python's time is not the store's.
    made = list(writes(value))
    return ROWS / timed(lambda: raw.pipeline(made))


def raw_scan(raw, value):
    made = list(reads(value))
    return ROWS / timed(lambda: raw.pipeline(made))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def race_with_fdw(raw):
    if sql("SELECT 1 FROM pg_available_extensions WHERE name = 'redis_fdw'") == "":
        print("\nThis PostgreSQL has no redis_fdw to race with.")
        return
    port = free_port()
    raw.tell("CONFIG", "SET", "port", port)
    sql(f"""CREATE EXTENSION redis_fdw;
        CREATE SERVER fdw FOREIGN DATA WRAPPER redis_fdw OPTIONS (address '127.0.0.1', port '{port}');
        CREATE USER MAPPING FOR PUBLIC SERVER fdw;
        CREATE FOREIGN TABLE fdw (key text, val text) SERVER fdw OPTIONS (database '1', tablekeyprefix 'fdw:');
        CREATE TABLE own (key text PRIMARY KEY, val text) USING fakegres""")
    print(f"\n{'rows/s':32} {'redis_fdw':>14} {'fakegres':>14}  fakegres : redis_fdw")
    for name, statement in (
        ("INSERT of many rows", f"INSERT INTO {{0}} SELECT 'fdw:' || i, repeat('v', 100) FROM generate_series(1, {FDW_ROWS}) i"),
        ("count(*)", "SELECT count(*) FROM {0}"),
    ):
        rates = [FDW_ROWS / seconds(statement.format(table), "fakegres") for table in ("fdw", "own")]
        print(f"{name:32} {rates[0]:14,.0f} {rates[1]:14,.0f}  {rates[1] / rates[0]:9.2f}", flush=True)
    lookup = "DO $$ BEGIN FOR i IN 1..{0} LOOP PERFORM * FROM {1}; END LOOP; END $$"
    wheres = ("fdw WHERE key = 'fdw:1'", "own WHERE key = 'fdw:1'")
    rates = [LOOKUPS / seconds(lookup.format(LOOKUPS, where), "fakegres") for where in wheres]
    print(f"{'lookup by key':32} {rates[0]:14,.0f} {rates[1]:14,.0f}  {rates[1] / rates[0]:9.2f}", flush=True)


def figure(raw, section, name):
    lines = raw.tell("INFO", section).decode().splitlines()
    return next(line.split(":", 1)[1] for line in lines if line.startswith(name + ":"))


def settle(raw):
    """Waits until Redis does not rewrite its file any more, which takes a core and its memory's speed."""
    while figure(raw, "persistence", "aof_rewrite_in_progress") != "0" or figure(raw, "persistence", "rdb_bgsave_in_progress") != "0":
        time.sleep(0.2)


def requests(raw):
    """How many requests of fakegres the server has answered so far."""
    lines = raw.tell("INFO", "commandstats").decode().splitlines()
    calls = dict(line.removeprefix("cmdstat_").split(":calls=") for line in lines if ":calls=" in line)
    return sum(int(calls.get(name, "0").split(",")[0]) for name in REQUESTS)


class Session:
    """A session whose statements' requests are counted, one by one."""

    def __init__(self, raw):
        self.raw = raw
        env = {**os.environ, "PGOPTIONS": "-c default_table_access_method=fakegres -c max_parallel_workers_per_gather=0"}
        self.psql = subprocess.Popen(["psql", "-X", "-q", "-A", "-t"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def run(self, text):
        self.psql.stdin.write(f"{text};\n\\echo done\n")
        self.psql.stdin.flush()
        while self.psql.stdout.readline() != "done\n":
            pass

    def count(self, name, text):
        before = requests(self.raw)
        self.run(text)
        print(f"{name:48} {requests(self.raw) - before:6}", flush=True)

    def count_usual(self, name, text):
        """The median of some runs: a commit in 32 also looks whether history may be cut."""
        counts = []
        for number in range(TIMES):
            before = requests(self.raw)
            self.run(text.format(number))
            counts.append(requests(self.raw) - before)
        print(f"{name:48} {statistics.median_low(counts):6}", flush=True)


def count_requests(raw):
    session = Session(raw)
    session.run("CREATE TABLE small (id int, v int)")
    session.run("INSERT INTO small SELECT i, 0 FROM generate_series(1, 100) i")
    print(f"\n{'requests per statement, counted by the server':48}")
    session.count("SELECT of a table of 100 rows", "SELECT sum(v) FROM small")
    session.count("the same again", "SELECT sum(v) FROM small")
    session.count("SELECT by ctid", "SELECT * FROM small WHERE ctid = '(0,1)'")
    session.count("INSERT of a row", "INSERT INTO small VALUES (101, 0)")
    session.count("INSERT of 100 rows", "INSERT INTO small SELECT i, 0 FROM generate_series(102, 201) i")
    session.count("UPDATE of a row out of 200", "UPDATE small SET v = 1 WHERE id = 7")
    session.count("UPDATE of 200 rows", "UPDATE small SET v = v + 1")
    session.count("DELETE of a row out of 200", "DELETE FROM small WHERE id = 7")
    session.run("BEGIN")
    session.count("UPDATE of a row, in a transaction", "UPDATE small SET v = 2 WHERE id = 8")
    session.count("COMMIT", "COMMIT")
    session.count(f"count(*) of {ROWS:,} rows", "SELECT count(*) FROM raced")
    count_by_key(session)
    session.psql.stdin.close()
    session.psql.wait()


TPC_B = """BEGIN;
UPDATE keyed SET v = v + 1 WHERE id = 4711;
SELECT v FROM keyed WHERE id = 4711;
UPDATE tellers SET v = v + 1 WHERE id = 7;
UPDATE branches SET v = v + 1 WHERE id = 1;
INSERT INTO history VALUES (1, 2, now());
COMMIT"""


def count_by_key(session):
    """What a primary key makes of it, at READ COMMITTED and with plans made anew, as clients without prepared statements have."""
    for name, rows in (("keyed", 100_000), ("tellers", 10), ("branches", 1)):
        session.run(f"CREATE TABLE {name} (id int PRIMARY KEY, v int); INSERT INTO {name} SELECT i, 0 FROM generate_series(1, {rows}) i")
    session.run("CREATE TABLE history (id int, delta int, at timestamptz); ANALYZE keyed, tellers, branches")
    session.count_usual("SELECT of a row by primary key", "SELECT * FROM keyed WHERE id = 4711")
    session.count_usual("SELECT of 3 rows by primary key", "SELECT * FROM keyed WHERE id IN (5, 500, 50000)")
    session.count_usual("SELECT of 100 rows in its order", "SELECT * FROM keyed WHERE id > 5000 ORDER BY id LIMIT 100")
    session.count_usual("UPDATE of a row by primary key", "UPDATE keyed SET v = v + 1 WHERE id = 4711")
    session.count_usual("INSERT of a row with a primary key", "INSERT INTO keyed VALUES (-{}, 0)")
    session.count_usual("DELETE of a row by primary key", "DELETE FROM keyed WHERE id = {} + 70")
    session.count_usual("TPC-B transaction", TPC_B)


def memory_per_row(raw, data):
    """Prints it, and returns how many bytes of it are the row."""
    before = int(figure(raw, "memory", "used_memory"))
    load(data)
    after = int(figure(raw, "memory", "used_memory"))
    stored = int(sql("SELECT sum(bytes) FROM fakegres.tables WHERE name = 'raced'")) // ROWS
    print(f"{'memory of Redis per row, in bytes':48} {(after - before) / ROWS:6.0f}")
    print(f"{'of which the row itself':48} {stored:6}\n")
    return stored


def pings(path, until):
    """How long a neighbour waits for the server, in milliseconds, time after time."""
    raw, waits = Raw(path), []
    while not until.is_set():
        waits.append(1000 * timed(lambda: raw.tell("PING")))
        time.sleep(0.0005)
    return waits


def neighbours_wait(path, name, statement):
    ended, waits = threading.Event(), []
    neighbour = threading.Thread(target=lambda: waits.extend(pings(path, ended)))
    neighbour.start()
    time.sleep(0.2)
    took = timed(lambda: sql(statement))
    time.sleep(1)
    ended.set()
    neighbour.join()
    print(f"{name:48} {took:6.2f} s, a neighbour's PING {statistics.median(waits):.2f} ms, the longest {max(waits):.2f} ms", flush=True)


def drop(path):
    sql(f"CREATE TABLE dropped USING fakegres AS SELECT i, repeat('x', 90) FROM generate_series(1, {DROPPED}) i")
    print()
    neighbours_wait(path, "nothing", "SELECT pg_sleep(1)")
    neighbours_wait(path, f"DROP TABLE of {DROPPED:,} rows", "DROP TABLE dropped")


def main(path):
    raw = Raw(path)
    with tempfile.TemporaryDirectory() as scratch:
        data = f"{scratch}/accounts"
        write_rows(data)
        value = b"v" * memory_per_row(raw, data)
        print(f"{'rows/s':40} {'raw client':>14} {'fakegres':>14}  fakegres : raw client")
        race("load, new table", lambda: load(data), lambda: raw_load(raw, value))
        settle(raw)
        race("count(*)", scan, lambda: raw_scan(raw, value))
        forget(raw)
        count_requests(raw)
        race_with_fdw(raw)
        drop(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
