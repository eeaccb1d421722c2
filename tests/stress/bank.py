#!/usr/bin/env python3
"""The bank: money moves between accounts from many sessions, and none may appear or vanish.

bank.py DATABASE LEVEL SECONDS

Eight sessions transfer at one isolation level while statements are cancelled, backends terminated
and clients killed at random. Auditors hold every snapshot that they take against the ledger. What
each transfer's client was told must be what the tables say in the end. At SERIALIZABLE, pairs of
pots are emptied by sessions that each look at both pots and write one: the sum may go below zero
only if write skew gets through.
"""

import random
import sys
import time

from session import Lost, Refused, Session, query
from tally import Tally
from threads import run_all, verdict

ACCOUNTS, START, POTS, SESSIONS = 20, 1000, 6, 8

SCHEMA = f"""
DROP TABLE IF EXISTS accounts, ledger, pots;
CREATE TABLE accounts (id int, balance bigint);
CREATE TABLE ledger (transfer bigint, source int, target int, amount bigint);
CREATE TABLE pots (pair int, side int, amount int);
INSERT INTO accounts SELECT i, {START} FROM generate_series(0, {ACCOUNTS - 1}) i;
INSERT INTO pots SELECT p, s, 100 FROM generate_series(0, {POTS - 1}) p, generate_series(0, 1) s
"""

# One statement, so one snapshot: every balance is what the ledger makes of it, and the sum is right.
AUDIT = f"""
WITH moves AS (
  SELECT source AS id, -amount AS change FROM ledger UNION ALL SELECT target, amount FROM ledger
), expected AS (
  SELECT a.id, a.balance, {START} + coalesce((SELECT sum(change) FROM moves m WHERE m.id = a.id), 0) AS wanted
  FROM accounts a
)
SELECT count(*) = {ACCOUNTS} AND sum(balance) = {ACCOUNTS * START} AND bool_and(balance = wanted) FROM expected
"""
FIGURES = "SELECT sum(balance), sum(balance * id), (SELECT count(*) FROM ledger) FROM accounts"


class Bank:
    """The state that the threads share."""

    def __init__(self, database, level, seconds):
        self.database, self.level = database, level
        self.deadline = time.monotonic() + seconds
        self.tally, self.audits, self.complaints = Tally(), 0, []
        self.sessions = [None] * SESSIONS

    def open(self):
        return time.monotonic() < self.deadline and not self.complaints

    def session(self, worker):
        """The worker's session, a new one if the last was lost."""
        while self.sessions[worker] is None:
            try:
                session = Session(self.database)
                session.run("SET deadlock_timeout = '50ms'")
                self.sessions[worker] = session
            except (Refused, Lost):
                time.sleep(0.05)
        return self.sessions[worker]

    def drop(self, worker):
        session, self.sessions[worker] = self.sessions[worker], None
        if session:
            session.close()


def add_up(run, rng, transfer, level):
    """Moves money with relative updates, which are right at every level."""
    source, target = rng.sample(range(ACCOUNTS), 2)
    amount = rng.randint(1, 50)
    if rng.random() < 0.2:
        run(f"SELECT id FROM accounts WHERE id IN ({source}, {target}) ORDER BY id FOR UPDATE")
    run(f"UPDATE accounts SET balance = balance - {amount} WHERE id = {source}")
    if rng.random() < 0.2:
        run("SAVEPOINT mistake")
        run(f"UPDATE accounts SET balance = balance + 1000000 WHERE id IN ({source}, {target})")
        run("ROLLBACK TO mistake")
    run(f"UPDATE accounts SET balance = balance + {amount} WHERE id = {target}")
    run(f"INSERT INTO ledger VALUES ({transfer}, {source}, {target}, {amount})")


def read_then_write(run, rng, transfer, level):
    """Moves money by writing what it read plus or minus; a lost update would show."""
    source, target = rng.sample(range(ACCOUNTS), 2)
    amount = rng.randint(1, 50)
    lock = " FOR UPDATE" if level == "READ COMMITTED" else ""
    rows = run(f"SELECT id, balance FROM accounts WHERE id IN ({source}, {target}){lock}")
    balance = {int(i): int(b) for i, b in (row.split("|") for row in rows)}
    run(f"UPDATE accounts SET balance = {balance[source] - amount} WHERE id = {source}")
    run(f"UPDATE accounts SET balance = {balance[target] + amount} WHERE id = {target}")
    run(f"INSERT INTO ledger VALUES ({transfer}, {source}, {target}, {amount})")


def empty_a_pot(run, rng, transfer, level):
    """Takes from one pot what both together have; two at once must not both succeed."""
    pair, side = rng.randrange(POTS), rng.randrange(2)
    total = int(run(f"SELECT sum(amount) FROM pots WHERE pair = {pair}")[0])
    change = 100 if total < 100 else -total
    run(f"UPDATE pots SET amount = amount + {change} WHERE pair = {pair} AND side = {side}")
    run(f"INSERT INTO ledger VALUES ({transfer}, 0, 0, 0)")


def transact(bank, worker, transfer, rng):
    """One transaction, and its fate into the tally."""
    kinds = [add_up, read_then_write] + ([empty_a_pot] if bank.level == "SERIALIZABLE" else [])
    session = bank.session(worker)
    stage = "refused"
    try:
        session.run(f"BEGIN ISOLATION LEVEL {bank.level}")
        rng.choice(kinds)(session.run, rng, transfer, bank.level)
        stage = "unknown"
        session.run("COMMIT")
        bank.tally.add("done", transfer)
    except Refused as refused:
        bank.tally.add("unknown" if refused.sqlstate == "08007" else "refused", transfer)
        # 08007: the commit was canceled while the store was at it, and nobody knows the outcome.
        if refused.sqlstate not in ("40001", "40P01", "57014", "08007"):
            bank.complaints.append(f"a transfer failed with {refused.sqlstate}")
        roll_back(bank, worker)
    except Lost:
        bank.tally.add(stage, transfer)
        bank.drop(worker)


def roll_back(bank, worker):
    try:
        bank.sessions[worker].run("ROLLBACK")
    except Refused:
        bank.drop(worker)
    except Lost:
        bank.drop(worker)


def work(bank, worker):
    rng = random.Random(worker)
    number = 0
    while bank.open():
        number += 1
        transact(bank, worker, worker * 1_000_000 + number, rng)


def audit(bank):
    """Every snapshot agrees with itself, and one transaction's snapshot stays what it was."""
    session = Session(bank.database)
    while bank.open():
        if session.run(AUDIT) != ["t"]:
            bank.complaints.append("a statement's snapshot does not add up")
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        first = session.run(FIGURES)
        if session.run(AUDIT) != ["t"] or session.run(FIGURES) != first:
            bank.complaints.append("a transaction's snapshot does not add up or changes")
        session.run("COMMIT")
        bank.audits += 2
    session.close()


def disturb(bank):
    """Cancels a statement, ends a backend or kills a client, at random."""
    rng = random.Random(99)
    session = Session(bank.database)
    while bank.open():
        time.sleep(rng.uniform(0.02, 0.2))
        victim = bank.sessions[rng.randrange(SESSIONS)]
        if victim is None:
            continue
        blow = rng.choice(["cancel", "cancel", "terminate", "kill"])
        if blow == "kill":
            victim.process.kill()
        else:
            session.run(f"SELECT pg_{blow}_backend({victim.backend})")
    session.close()


def settle(bank):
    """The final reckoning, once nobody writes any more."""
    for worker in range(SESSIONS):
        bank.drop(worker)
    # A client's end may be news to its backend: wait until none is left in a transaction.
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
    for _ in range(200):
        if query(bank.database, waiting) == ["0"]:
            break
        time.sleep(0.05)
    if query(bank.database, AUDIT) != ["t"]:
        bank.complaints.append("the final balances do not add up")
    present = {int(row) for row in query(bank.database, "SELECT transfer FROM ledger")}
    bank.complaints += bank.tally.complaints(present)
    if query(bank.database, "SELECT count(*), count(DISTINCT transfer) FROM ledger")[0].split("|")[0] != str(len(present)):
        bank.complaints.append("a transfer is there twice")
    if query(bank.database, "SELECT count(*) FROM (SELECT FROM pots GROUP BY pair HAVING sum(amount) < 0) x") != ["0"]:
        bank.complaints.append("write skew: a pair of pots is below zero")
    if len(bank.tally.done) < 50 or bank.audits < 4:
        bank.complaints.append("too little happened to prove anything")


def main(database, level, seconds):
    for statement in SCHEMA.split(";"):
        query(database, statement)
    bank = Bank(database, level, float(seconds))
    workers = [(work, bank, worker) for worker in range(SESSIONS)]
    run_all(bank.complaints, [*workers, (audit, bank), (disturb, bank)])
    settle(bank)
    print(f"{level}: {bank.tally.counts()}, {bank.audits} snapshots audited")
    return verdict(bank.complaints)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
