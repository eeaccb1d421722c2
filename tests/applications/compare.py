"""compare.py TITLE HEAP FAKEGRES EXPECTED: two recorded runs of one suite.

EXPECTED has lines "TEST" or "TEST :: ERROR", both with * as in a shell, below a comment that says why
such tests pass on heap and fail on fakegres. The exit status is 0 if no other test answers otherwise
and no server crashed.
"""

import collections
import os
import re
import sys

WORST = ["failed", "xpassed", "xfailed", "passed", "skipped"]


def outcomes(path):
    """The worst outcome of each test: one with subtests, or with a failing teardown, has several."""
    found = {}
    if os.path.exists(path + ".outcomes"):
        for line in open(path + ".outcomes", encoding="utf-8"):
            outcome, name, text = line.rstrip("\n").split("\t", 2)
            if name not in found or WORST.index(outcome) < WORST.index(found[name][0]):
                found[name] = (outcome, text)
    return found


def patterns(path):
    """(test, error, reason) triples."""
    found, reason, fresh = [], "", True
    if os.path.exists(path):
        for line in map(str.strip, open(path, encoding="utf-8")):
            if line.startswith("#"):
                reason = line[1:].strip() if fresh else reason + " " + line[1:].strip()
                fresh = False
            elif line:
                test, _, error = line.partition(" :: ")
                found.append((test, error or "*", reason))
                fresh = True
    return found


def matches(text, pattern):
    """Only * is special: the names of parametrized tests have brackets in them."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None


def crashes(path):
    crash = re.compile(r"was terminated by signal|PANIC:|TRAP:")
    with open(path + ".server.log", encoding="utf-8", errors="replace") as log:
        return [line.strip() for line in log if crash.search(line)]


def count(found):
    counts = collections.Counter(outcome for outcome, _ in found.values())
    return ", ".join(f"{counts[o]} {o}" for o in reversed(WORST) if counts[o])


def main(title, heap_path, fakegres_path, expected_path):
    heap, fakegres = outcomes(heap_path), outcomes(fakegres_path)
    expected = patterns(expected_path)
    by_reason, surprises = collections.defaultdict(list), []
    for name in sorted(heap.keys() | fakegres.keys()):
        was = heap.get(name, ("absent", ""))
        now = fakegres.get(name, ("absent", ""))
        if was[0] == now[0]:
            continue
        line = f"  {name}: {was[0]} on heap, {now[0]} on fakegres: {now[1] or was[1]}"
        reasons = [
            reason for test, error, reason in expected if matches(name, test) and matches(now[1], error)
        ]
        if reasons and (was[0], now[0]) == ("passed", "failed"):
            by_reason[reasons[0]].append(line)
        else:
            surprises.append(line)
    for reason, lines in by_reason.items():
        print(f"{title}: {len(lines)} expected: {reason}", *lines, sep="\n")
    if surprises:
        print(f"{title}: {len(surprises)} that nobody expects:", *surprises, sep="\n")
    broken = crashes(heap_path) + crashes(fakegres_path)
    for line in broken:
        print(f"{title}: CRASH {line}")
    print(f"{title}: heap {count(heap)}")
    print(f"{title}: fakegres {count(fakegres)}")
    explained = sum(map(len, by_reason.values()))
    print(f"{title}: {explained + len(surprises)} differ, {explained} of them as expected, {len(broken)} crashes")
    # A suite that did not run proves nothing.
    return 1 if surprises or broken or not any(o == "passed" for o, _ in heap.values()) else 0


sys.exit(main(*sys.argv[1:]))
