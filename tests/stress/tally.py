"""What became of every transaction that clients tried, and whether the table agrees."""

import threading


class Tally:
    """Transactions by their fate, as their clients know it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.done, self.refused, self.unknown = set(), set(), set()

    def add(self, fate, transaction):
        with self.lock:
            getattr(self, fate).add(transaction)

    def counts(self):
        return f"{len(self.done)} committed, {len(self.refused)} refused, {len(self.unknown)} unknown"

    def complaints(self, present):
        """What is wrong if `present` are the transactions that left their rows behind."""
        lost = self.done - present
        undead = self.refused & present
        strange = present - self.done - self.refused - self.unknown
        return [
            f"{len(names)} transactions {what}: {sorted(names)[:5]}"
            for names, what in (
                (lost, "were acknowledged and are not there"),
                (undead, "were refused and are there"),
                (strange, "were never tried and are there"),
            )
            if names
        ]
