"""What the benches of the stores that are servers have in common: a table of measure.py's rows, loaded and
counted, beside a raw client of the store."""

import statistics

from measure import COLUMNS, REPEAT, ROWS, seconds, sql


def load(data):
    """Rows a second of a load into a new table."""
    sql("DROP TABLE IF EXISTS raced")
    script = f"BEGIN; CREATE TABLE raced {COLUMNS};\n\\copy raced FROM '{data}'\nCOMMIT;"
    return ROWS / seconds(script, "fakegres")


def scan():
    """Rows a second of counting them."""
    return ROWS / seconds("SET max_parallel_workers_per_gather = 0; SELECT count(*) FROM raced", "fakegres")


def race(name, fakegres, raw):
    """Prints the median rates of both, which take turns."""
    runs = [(raw(), fakegres()) for _ in range(REPEAT)]
    first, second = (statistics.median(run[i] for run in runs) for i in (0, 1))
    print(f"{name:40} {first:14,.0f} {second:14,.0f}  {second / first:9.2f}", flush=True)
