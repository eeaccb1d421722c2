#!/usr/bin/env python3
"""Measures what needs an index: pgbench's own tables, one database per access method.

indexes.py BASE OTHER

The methods take turns; every figure is the median of BENCH_REPEAT runs of BENCH_SECONDS. Figures:

  point SELECT         pgbench -S: one row by primary key, prepared
  range SELECT         100 rows in the order of the primary key
  TPC-B                pgbench's own transaction, fsync on; its sums are checked at the end
  CREATE INDEX         on BENCH_ROWS rows of integers in no order
  index-only count     all rows of a range by an index-only scan
"""

import re
import statistics
import subprocess
import sys
import tempfile

from measure import CLIENTS, REPEAT, ROWS, SECONDS

SCALE = max(1, ROWS // 100_000)
PSQL = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
RANGE = f"\\set first random(1, {SCALE * 100_000 - 100})\nSELECT aid, abalance FROM pgbench_accounts WHERE aid >= :first ORDER BY aid LIMIT 100;\n"
SUMS = """SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)
AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history)
AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history)"""


class Method:
    """One access method's database."""

    def __init__(self, name, label):
        self.name, self.database = name, f"bench_{label}"
        subprocess.run([*PSQL, "-c", f"CREATE DATABASE {self.database}"], check=True)
        if name == "fakegres":
            self.sql("CREATE EXTENSION fakegres_am")
        self.sql(f"ALTER DATABASE {self.database} SET default_table_access_method = {name}")
        self.sql(f"ALTER DATABASE {self.database} SET max_parallel_workers_per_gather = 0")
        self.sql(f"ALTER DATABASE {self.database} SET max_parallel_maintenance_workers = 0")
        self.pgbench("-i", "-q", "-s", str(SCALE))
        self.sql(f"CREATE TABLE numbers AS SELECT (i::bigint * 7919 % 1000003)::int AS n, i FROM generate_series(1, {ROWS}) i")
        self.sql("VACUUM ANALYZE")

    def sql(self, text):
        return subprocess.run([*PSQL, "-d", self.database, "-c", text], check=True, text=True, stdout=subprocess.PIPE).stdout

    def pgbench(self, *args):
        return subprocess.run(["pgbench", *args, self.database], check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def rate(self, clients, *args):
        output = self.pgbench("-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(SECONDS), *args)
        failed = re.search(r"number of failed transactions: (\d+)", output)
        if failed and failed.group(1) != "0":
            raise SystemExit(f"{self.name}: {failed.group(0)}")
        return float(re.search(r"^tps = ([0-9.]+)", output, re.MULTILINE).group(1))

    def script(self, text, clients):
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(text)
            file.flush()
            return self.rate(clients, "-f", file.name)

    def timed(self, before, text):
        """Rows a second of the last statement; psql measures, so that its start does not count."""
        self.sql(before)
        output = subprocess.run([*PSQL, "-d", self.database], input=f"\\timing on\n{text};\n", check=True, text=True, stdout=subprocess.PIPE).stdout
        times = re.findall(r"^Time: ([0-9.]+)", output, re.MULTILINE)
        return ROWS / (float(times[-1]) / 1000)


def measures():
    """Name, unit, and how to measure one method once."""
    for clients in (1, CLIENTS):
        yield f"point SELECT, {clients}", "tx/s", lambda m, c=clients: m.rate(c, "-S")
    yield "range SELECT, 1", "tx/s", lambda m: m.script(RANGE, 1)
    for clients in (1, CLIENTS):
        yield f"TPC-B, {clients}", "tx/s", lambda m, c=clients: m.rate(c)
    build = "DROP INDEX IF EXISTS numbers_n", "CREATE INDEX numbers_n ON numbers (n)"
    yield "CREATE INDEX", "rows/s", lambda m: m.timed(*build)
    count = "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(n) FROM numbers WHERE n > 0"
    yield "index-only count", "rows/s", lambda m: m.timed("VACUUM numbers", count)


def main(base, other):
    methods = [Method(base, "base"), Method(other, "other")]
    print(f"\npgbench -s {SCALE}, median of {REPEAT}, {SECONDS} s for each transaction rate", flush=True)
    print(f"{'':20} {'':>7} {base:>14} {other:>14}  {other} : {base}")
    for name, unit, measure in measures():
        runs = [[measure(method) for method in methods] for _ in range(REPEAT)]
        first, second = (statistics.median(run[i] for run in runs) for i in (0, 1))
        print(f"{name:20} {unit:>7} {first:14,.0f} {second:14,.0f}  {second / first:9.2f}", flush=True)
    for method in methods:
        if method.sql(SUMS).strip() != "t":
            raise SystemExit(f"{method.name}: the sums of TPC-B differ")


if __name__ == "__main__":
    main(*sys.argv[1:])
