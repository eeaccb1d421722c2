#!/usr/bin/env python3
"""Measures access methods against each other on the server that PGHOST names, and prints a table.

measure.py BASE OTHER

Every figure is the median of BENCH_REPEAT runs; the methods take turns, so that a slow moment of
the machine hits both. Figures:

  load, new table      COPY into a table that the same transaction created
  load, full table     COPY of BENCH_FULL_ROWS into a table that others could see, in its own transaction
  count, sum           sequential scans of the loaded table, on one core
  INSERT, UPDATE       transactions of one row a second, at 1 and at BENCH_CLIENTS clients. The
                       UPDATE is of a table of 100 rows without an index, which both must scan:
                       it is the cost of a commit, not of finding a row in a large table
  memory               what a backend's peak gained over its idle state, during a scan and during a
                       load: all of it (VmHWM), which counts pages of shared memory and of mapped
                       files that the backend merely looked at, and its own alone (RssAnon)
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROWS = int(os.environ.get("BENCH_ROWS", 1_000_000))
# What a store takes in one transaction may be less.
FULL_ROWS = int(os.environ.get("BENCH_FULL_ROWS", ROWS))
REPEAT = int(os.environ.get("BENCH_REPEAT", 3))
SECONDS = int(os.environ.get("BENCH_SECONDS", 5))
CLIENTS = int(os.environ.get("BENCH_CLIENTS", 8))
PSQL = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", "SET client_min_messages = warning", "-f", "-"]
COLUMNS = "(aid int, bid int, abalance int, filler char(84))"


def sql(text, method="heap"):
    env = {**os.environ, "PGOPTIONS": f"-c default_table_access_method={method}"}
    return subprocess.run(PSQL, input=text, text=True, check=True, stdout=subprocess.PIPE, env=env).stdout


def seconds(text, method):
    begin = time.perf_counter()
    sql(text, method)
    return time.perf_counter() - begin


class Method:
    """One access method's tables."""

    def __init__(self, name, label, data, full_data):
        self.name, self.label, self.data, self.full_data = name, label, data, full_data

    def drop(self):
        sql(f"DROP TABLE IF EXISTS accounts_{self.label}")

    def load_script(self):
        table = f"accounts_{self.label}"
        copy = f"\\copy {table} FROM '{self.data}'\n"
        return f"BEGIN; DROP TABLE IF EXISTS {table}; CREATE TABLE {table} {COLUMNS};\n{copy}COMMIT;"

    def full_script(self):
        return f"\\copy full_{self.label} FROM '{self.full_data}'\n"

    def load_new(self):
        self.drop()
        return ROWS / seconds(self.load_script(), self.name)

    def load_full(self):
        table = f"full_{self.label}"
        sql(f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} {COLUMNS}; INSERT INTO {table} VALUES (0, 0, 0, '')", self.name)
        return FULL_ROWS / seconds(self.full_script(), self.name)

    def scan(self, what):
        text = f"SET max_parallel_workers_per_gather = 0; SELECT {what} FROM accounts_{self.label}"
        answer = sql(text)  # warm, and a table that lost rows must not win
        if what == "count(*)" and int(answer) != ROWS:
            raise SystemExit(f"{self.name} counts {answer} rows of {ROWS}")
        return ROWS / seconds(text, self.name)

    def transactions(self, script, clients):
        sql(f"DROP TABLE IF EXISTS small_{self.label}; CREATE TABLE small_{self.label} (id int, v int, t text);"
            f"INSERT INTO small_{self.label} SELECT i, 0, 'filler' FROM generate_series(1, 100) i; VACUUM small_{self.label}", self.name)
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script.format(table=f"small_{self.label}"))
            file.flush()
            output = subprocess.run(
                ["pgbench", "-n", "-f", file.name, "-c", str(clients), "-j", "2", "-T", str(SECONDS), "-M", "prepared", "--max-tries=1000"],
                text=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        return float(re.search(r"^tps = ([0-9.]+)", output, re.MULTILINE).group(1))

    def memory(self, text, own):
        """MB by which the peak of a backend's memory grew while it ran this."""
        with Watched(self.name) as backend:
            backend.run("SELECT 1")
            idle = backend.memory("RssAnon" if own else "VmRSS")
            backend.run_watched(text)
            peak = backend.peak if own else backend.memory("VmHWM")
            return max(0.0, (peak - idle) / 1024)


class Watched:
    """A session whose backend's memory is looked at while it works."""

    def __init__(self, method):
        env = {**os.environ, "PGOPTIONS": f"-c default_table_access_method={method} -c max_parallel_workers_per_gather=0"}
        self.psql = subprocess.Popen(PSQL, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.peak = 0

    def __enter__(self):
        self.pid = int(self.run("SELECT pg_backend_pid()")[0])
        return self

    def __exit__(self, *_):
        self.psql.stdin.close()
        self.psql.wait()

    def run(self, text):
        self.psql.stdin.write(f"{text}\n;\\echo done\n")
        self.psql.stdin.flush()
        rows = []
        for line in self.psql.stdout:
            if line == "done\n":
                return rows
            rows.append(line.strip())
        raise SystemExit(f"failed: {text}")

    def memory(self, field):
        """A figure of the backend's /proc status, in kB."""
        with open(f"/proc/{self.pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return int(fields[field].split()[0])

    def run_watched(self, text):
        done = threading.Event()

        def watch():
            while not done.is_set():
                self.peak = max(self.peak, self.memory("RssAnon"))
                time.sleep(0.005)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            self.run(text)
        finally:
            done.set()
            watcher.join()


INSERT = "INSERT INTO {table} VALUES (1, 1, 'filler');\n"
UPDATE = "\\set id random(1, 100)\nUPDATE {table} SET v = v + 1 WHERE id = :id;\n"


def measures():
    """Name, unit, whether less is better, and how to measure one method once."""
    yield "load, new table", "rows/s", False, Method.load_new
    yield "load, full table", "rows/s", False, Method.load_full
    yield "count(*)", "rows/s", False, lambda m: m.scan("count(*)")
    yield "sum(abalance)", "rows/s", False, lambda m: m.scan("sum(abalance)")
    for clients in (1, CLIENTS):
        yield f"INSERT, {clients} client{'s' * (clients > 1)}", "tx/s", False, lambda m, c=clients: m.transactions(INSERT, c)
    for clients in (1, CLIENTS):
        yield f"UPDATE, {clients} client{'s' * (clients > 1)}", "tx/s", False, lambda m, c=clients: m.transactions(UPDATE, c)
    for what, own in (("memory", False), ("own memory", True)):
        yield f"{what}, scan", "MB", True, lambda m, o=own: m.memory(f"SELECT sum(abalance) FROM accounts_{m.label};", o)
    for what, own in (("memory", False), ("own memory", True)):
        yield f"{what}, load full", "MB", True, lambda m, o=own: m.memory(f"TRUNCATE full_{m.label};\n{m.full_script()}", o)
    for what, own in (("memory", False), ("own memory", True)):
        yield f"{what}, load new", "MB", True, lambda m, o=own: m.memory(m.load_script(), o)


def write_rows(path, rows=ROWS):
    with open(path, "w") as file:
        for i in range(1, rows + 1):
            file.write(f"{i}\t{i // 100_000 + 1}\t{i % 1999 - 999}\t{'':84}\n")


def main(base, other):
    with tempfile.TemporaryDirectory() as scratch:
        data, full_data = f"{scratch}/accounts", f"{scratch}/full"
        write_rows(data)
        write_rows(full_data, FULL_ROWS)
        methods = [Method(base, "base", data, full_data), Method(other, "other", data, full_data)]
        print(f"{ROWS:,} rows ({FULL_ROWS:,} into a full table), median of {REPEAT}, {SECONDS} s for each transaction rate", flush=True)
        print(f"{'':20} {'':>7} {base:>14} {other:>14}  {other} : {base}")
        for name, unit, less, measure in measures():
            runs = [[measure(method) for method in methods] for _ in range(REPEAT)]
            first, second = (statistics.median(run[i] for run in runs) for i in (0, 1))
            ratio = second / first if first else float("nan")
            places = 1 if less else 0
            print(f"{name:20} {unit:>7} {first:14,.{places}f} {second:14,.{places}f}  {ratio:9.2f}{'  (less is better)' if less else ''}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
