#!/usr/bin/env python3
"""Counts the round trips to FoundationDB that statements wait for, one after the other, and prints a table.

round_trips.py FILE

The server that PGHOST names reaches its FoundationDB through scripts/delay.py, which holds replies back for
as many milliseconds as FILE says. However much a statement asks for at once, it loses as many delays as it
has round trips that wait for each other: its times with the delay and without it are compared, by their lower
quartiles. One commit in some also raises the floor of history or clears some away; that is not counted.
Every key is looked up for the first time in its session, unless the name of the statement says otherwise.
"""

import os
import random
import statistics
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "stress"))
from session import Session

# Milliseconds. Much longer than what a statement takes by itself varies.
DELAY = 40
ROWS = 20_000
# How often a statement runs before it is measured, and how often then, with the delay and as often without.
WARM, TIMES = 60, 25

SCHEMA = f"""
DROP TABLE IF EXISTS numbered, labelled, accounts, tellers, branches, history;
CREATE TABLE numbered USING fakegres AS SELECT i AS id, i / 10 AS v, 0 AS w FROM generate_series(1, {ROWS}) i;
ALTER TABLE numbered ADD PRIMARY KEY (id);
CREATE INDEX ON numbered (v);
CREATE TABLE labelled USING fakegres AS SELECT md5(i::text)::uuid AS id, 0 AS v FROM generate_series(1, {ROWS}) i;
ALTER TABLE labelled ADD PRIMARY KEY (id);
CREATE TABLE accounts USING fakegres AS SELECT i AS id, 0 AS v FROM generate_series(1, {ROWS}) i;
ALTER TABLE accounts ADD PRIMARY KEY (id);
CREATE TABLE tellers USING fakegres AS SELECT i AS id, 0 AS v FROM generate_series(1, 1000) i;
ALTER TABLE tellers ADD PRIMARY KEY (id);
CREATE TABLE branches USING fakegres AS SELECT i AS id, 0 AS v FROM generate_series(1, 100) i;
ALTER TABLE branches ADD PRIMARY KEY (id);
CREATE TABLE history (tid int, bid int, aid int, delta int, at timestamptz) USING fakegres;
ANALYZE numbered, labelled, accounts, tellers, branches
"""
LABEL = "md5('{0}')::uuid"
TPC_B = """BEGIN; UPDATE accounts SET v = v + 1 WHERE id = {0}; SELECT v FROM accounts WHERE id = {0};
UPDATE tellers SET v = v + 1 WHERE id = {0} % 1000 + 1; UPDATE branches SET v = v + 1 WHERE id = {0} % 100 + 1;
INSERT INTO history VALUES ({0} % 1000 + 1, {0} % 100 + 1, {0}, 1, now()); COMMIT"""

# What is measured, with a number of which no two runs have the same, and how many round trips it may be: a read
# version, what is read, a commit.
STATEMENTS = (
    ("SELECT of a row by primary key", "SELECT * FROM numbered WHERE id = {0}", 2),
    ("the same row again", "SELECT * FROM numbered WHERE id = 4711", 2),
    ("UPDATE of a row by primary key", "UPDATE numbered SET w = w + 1 WHERE id = {0}", 3),
    ("SELECT of a row by uuid", f"SELECT * FROM labelled WHERE id = {LABEL}", 3),
    ("the same row again", f"SELECT * FROM labelled WHERE id = {LABEL.format(4711)}", 2),
    ("UPDATE of a row by uuid", f"UPDATE labelled SET v = v + 1 WHERE id = {LABEL}", 4),
    ("SELECT of ten rows by an index", "SELECT * FROM numbered WHERE v = {0} / 10", 3),
    ("INSERT of a row with a primary key", f"INSERT INTO numbered VALUES ({{0}} + {ROWS}, {{0}}, 0)", 3),
    ("DELETE of a row by primary key", "DELETE FROM numbered WHERE id = {0}", 4),
    ("TPC-B like transaction", TPC_B, 9),
)


def took(run, statement, number):
    """Milliseconds."""
    begin = time.perf_counter()
    for part in statement.format(number).split(";"):
        run(part)
    return (time.perf_counter() - begin) * 1000


class Store:
    """The store of a server, which is as far away as a file says."""

    def __init__(self, run, file):
        self.run, self.file = run, file
        self.move(0)
        for statement in SCHEMA.split(";"):
            run(statement)

    def move(self, delay):
        """Milliseconds."""
        with open(self.file, "w") as text:
            text.write(str(delay))

    def count(self, statement, numbers, times=TIMES, delay=DELAY):
        """What a statement takes without a delay, in milliseconds, and its round trips."""
        run = lambda: statistics.quantiles((took(self.run, statement, next(numbers)) for _ in range(times)), n=4)[0]
        prompt = run()
        self.move(delay)
        late = run()
        self.move(0)
        return prompt, (late - prompt) / delay


def warm(run, name, statement):
    """Runs a statement some times; returns the numbers that it has not had."""
    numbers = iter(random.Random(name).sample(range(1, ROWS + 1), ROWS))
    for _ in range(WARM):
        took(run, statement, next(numbers))
    return numbers


def main(file):
    session = Session("postgres")
    print(f"\n{'one session, FoundationDB %d ms away' % DELAY:40} {'round trips':>14} {'at most':>14} {'ms, 0 ms away':>14}")
    store = Store(session.run, file)
    for name, statement, most in STATEMENTS:
        prompt, trips = store.count(statement, warm(session.run, name, statement))
        print(f"{name:40} {trips:14.2f} {most:>14} {prompt:14.1f}", flush=True)
    session.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
