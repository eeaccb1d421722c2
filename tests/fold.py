#!/usr/bin/env python3
"""Sorts, in what `psql -a` printed, the rows of every result whose statement asks for no order.

Without ORDER BY rows come in any order, and heap and fakegres choose differently after an update.
What a cursor fetched stays as it came: its order is the answer.
"""

import re
import sys

RULE = re.compile(r"^-+(\+-+)*$")
END = re.compile(r"^\(\d+ rows?\)$")
ORDERED = re.compile(r"\border by\b|\bfetch\b|\bexecute\b", re.IGNORECASE)


def fold(lines):
    statement, rows = [], None
    for line in lines:
        if rows is None:
            yield line
            statement.append(line)
            if RULE.match(line):
                rows = []
        elif END.match(line):
            yield from rows if ORDERED.search("\n".join(statement)) else sorted(rows)
            yield line
            statement, rows = [], None
        else:
            rows.append(line)
    yield from rows or []


if __name__ == "__main__":
    sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    for folded in fold(sys.stdin.read().splitlines()):
        print(folded)
