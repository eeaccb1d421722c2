#!/usr/bin/env python3
"""Measures fakegres on FoundationDB against a raw client of the same cluster, and prints tables.

fdb.py RAW LIBRARY CLUSTER_FILE NAMESPACE [FDBCLI]

RAW is crates/kv-fdb/examples/raw.rs, built. It reads the very keys that fakegres wrote, as a range, with
the client library's fastest mode; it writes as many bytes in transactions of 1 MB, eight at a time; and it
gets, or gets and sets, one key in a transaction. Rows are those of measure.py. Besides, fdb.py prints what
the cluster counted of single statements, if there is an fdbcli to ask (nobody else may use the cluster
then), and how the rate of TPC-B transactions grows with the number of clients.
"""

import json
import re
import subprocess
import sys
import tempfile
import time

from measure import COLUMNS, REPEAT, ROWS, SECONDS, sql, write_rows
from race import load, race, scan

# How often a statement runs whose requests are counted, and how long the cluster takes to publish counts.
TIMES, SETTLES = 200, 12
CLIENTS = (1, 2, 4, 8, 16, 32)
LOOKUPS = 2000
# In front of every key of a namespace's data, and then the kind of a current version and of a row.
DATA, CURRENT, ROW = b"\x01", b"\x02", b"\x10"
COUNTERS = {"read versions": "transactions.started", "reads": "operations.read_requests", "commits": "transactions.committed"}


class Raw:
    """The raw client."""

    def __init__(self, program, library, cluster):
        self.command = [program, library, cluster]

    def run(self, what, prefix, *numbers):
        words = [*self.command, what, prefix.hex(), *map(str, numbers)]
        return float(subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE).stdout)


def rows_of(namespace, table):
    """What the keys of a table's rows begin with."""
    space = int(sql(f"SELECT space FROM fakegres.tables WHERE name = '{table}'"))
    return b"fakegres\0" + namespace.encode() + b"\0" + DATA + CURRENT + ROW + space.to_bytes(8, "big")


def pgbench(script, clients, length):
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        words = ["pgbench", "-n", "-M", "prepared", "-f", file.name, "-c", str(clients), "-j", "2", *length]
        output = subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    failed = re.search(r"number of failed transactions: (\d+)", output)
    if failed and failed.group(1) != "0":
        raise SystemExit(failed.group(0))
    return float(re.search(r"^tps = ([0-9.]+)", output, re.MULTILINE).group(1))


KEY = f"\\set id random(1, {ROWS})\n"
SELECT = KEY + "SELECT * FROM keyed WHERE aid = :id;\n"
UPDATE = KEY + "UPDATE keyed SET abalance = abalance + 1 WHERE aid = :id;\n"
INSERT = "INSERT INTO logged VALUES (1, 2, 3, 'filler');\n"
AGAIN = "SELECT * FROM keyed WHERE aid = 4711;\n"


class Cluster:
    """What the cluster says that it has done."""

    def __init__(self, fdbcli, cluster):
        self.command = [fdbcli, "-C", cluster, "--timeout", "30", "--exec", "status json"]

    def counts(self):
        time.sleep(SETTLES)
        output = subprocess.run(self.command, check=True, text=True, stdout=subprocess.PIPE).stdout
        workload = json.loads(output[output.index("{"):])["cluster"]["workload"]
        section = lambda path: workload[path.split(".")[0]][path.split(".")[1]]["counter"]
        return {name: section(path) for name, path in COUNTERS.items()}


def count_requests(cluster):
    """What a statement costs, less what the cluster and fakegres do in as much time without any."""
    idle = cluster.counts()
    idle = {name: count - idle[name] for name, count in cluster.counts().items()}
    print(f"\n{'counted by the cluster, per statement':40}", *(f"{name:>14}" for name in COUNTERS))
    for name, script in (
        ("SELECT of a row by primary key", SELECT),
        ("the same row again", AGAIN),
        ("UPDATE of a row by primary key", UPDATE),
        ("INSERT of a row", INSERT),
    ):
        before = cluster.counts()
        pgbench(script, 1, ("-t", str(TIMES)))
        after = cluster.counts()
        each = ((after[name] - before[name] - idle[name]) / TIMES for name in COUNTERS)
        print(f"{name:40}", *(f"{count:14.2f}" for count in each), flush=True)


TPC_B = """\\set aid random(1, 100000)
\\set tid random(1, 1000)
\\set bid random(1, 100)
\\set delta random(-5000, 5000)
BEGIN;
UPDATE accounts SET v = v + :delta WHERE id = :aid;
SELECT v FROM accounts WHERE id = :aid;
UPDATE tellers SET v = v + :delta WHERE id = :tid;
UPDATE branches SET v = v + :delta WHERE id = :bid;
INSERT INTO history VALUES (:tid, :bid, :aid, :delta, now());
END;
"""


def tpc_b():
    for name, rows in (("accounts", 100_000), ("tellers", 1000), ("branches", 100)):
        sql(f"CREATE TABLE {name} (id int PRIMARY KEY, v int) USING fakegres; INSERT INTO {name} SELECT i, 0 FROM generate_series(1, {rows}) i"
            if rows <= 1000 else
            f"CREATE TABLE {name} USING fakegres AS SELECT i AS id, 0 AS v FROM generate_series(1, {rows}) i; ALTER TABLE {name} ADD PRIMARY KEY (id)")
    sql("CREATE TABLE history (tid int, bid int, aid int, delta int, at timestamptz) USING fakegres; ANALYZE accounts, tellers, branches")
    print(f"\n{'TPC-B like, 100 branches':40} {'tx/s':>14}")
    for clients in CLIENTS:
        rate = pgbench(TPC_B, clients, ("-T", str(SECONDS)))
        print(f"{f'{clients} client{chr(115) * (clients > 1)}':40} {rate:14,.0f}", flush=True)
    sums = sql("SELECT (SELECT sum(v) FROM accounts) = (SELECT sum(delta) FROM history)"
               " AND (SELECT sum(v) FROM tellers) = (SELECT sum(delta) FROM history)"
               " AND (SELECT sum(v) FROM branches) = (SELECT sum(delta) FROM history)")
    if sums.strip() != "t":
        raise SystemExit("the sums of TPC-B differ")


def main(program, library, cluster, namespace, fdbcli=None):
    raw = Raw(program, library, cluster)
    own = b"raw\0" + namespace.encode() + b"\0"
    with tempfile.TemporaryDirectory() as scratch:
        data = f"{scratch}/accounts"
        write_rows(data)
        load(data)
        stored = int(sql("SELECT sum(bytes) FROM fakegres.tables WHERE name = 'raced'")) // ROWS
        print(f"\n{ROWS:,} rows of {stored} bytes on FoundationDB, median of {REPEAT}")
        print(f"{'rows/s':40} {'raw client':>14} {'fakegres':>14}  fakegres : raw client")
        race("load, new table", lambda: load(data), lambda: (raw.run("clear", own), raw.run("load", own, ROWS, stored))[1])
        race("count(*)", scan, lambda: raw.run("scan", rows_of(namespace, "raced")))
    sql(f"ALTER TABLE raced RENAME TO keyed; ALTER TABLE keyed ADD PRIMARY KEY (aid); CREATE TABLE logged {COLUMNS} USING fakegres; ANALYZE keyed")
    print(f"{'transactions/s, 1 client':40} {'raw client':>14} {'fakegres':>14}  fakegres : raw client")
    race("SELECT of a row : get", lambda: pgbench(SELECT, 1, ("-T", str(SECONDS))), lambda: raw.run("get", own, LOOKUPS))
    race("UPDATE of a row : get, set", lambda: pgbench(UPDATE, 1, ("-T", str(SECONDS))), lambda: raw.run("update", own, LOOKUPS // 4))
    raw.run("clear", own)
    if fdbcli:
        count_requests(Cluster(fdbcli, cluster))
    else:
        print("\nThere is no fdbcli to ask what the cluster counted.")
    tpc_b()


if __name__ == "__main__":
    main(*sys.argv[1:])
