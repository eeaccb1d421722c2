#!/usr/bin/env python3
"""How many statements of PostgreSQL's regression suite fakegres answers as heap does, and why not the others.

count.py COMPARE SCRATCH BASE LABEL [--accept] [--show]

COMPARE is the comparing script whose runs SCRATCH holds: it cuts outputs into statements and folds what
may differ (row order without ORDER BY, TIDs, names of access methods). Two shares are printed:

  all          every statement but EXPLAIN, as COMPARE counts
  supported    without those in which an index type that fakegres refuses or PREPARE TRANSACTION is
               involved: by name, because they need something whose CREATE was refused, or because their
               file is about nothing else

and the second once more with the name `fakegres_index` read as btree or hash and its NOTICE left out, which
COMPARE does not fold since heap's indexes have other names. The statements that then still differ must be in
expected.tsv beside this file, each with its cause; a new one is shown and makes the exit status 1. --accept
writes new ones there, with the cause `unknown`, and takes out those that no longer differ, but for those of
another store, whose cause begins with its name; --show prints the differences.
"""

import argparse
import ast
import collections
import difflib
import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
EXPECTED = os.path.join(HERE, "expected.tsv")
REFUSED = re.compile(r"\b(gin|gist2?|spgist|brin|sp-gist)\b|\bprepare(d)? +transaction|pg_prepared_xacts", re.I)
NAMED = re.compile(r"\b(?:table|index|view)\s+(?:concurrently\s+)?(?:if\s+not\s+exists\s+)?(?:only\s+)?([\w.]+)", re.I)
# Files about nothing else, in which what was refused changes later answers.
ABOUT_REFUSED = {"brin", "brin_bloom", "brin_multi", "gin", "gist", "spgist", "prepared_xacts"}
ABORTED = "current transaction is aborted"


def functions(path):
    """COMPARE's functions, without what it does when it is run."""
    kinds = (ast.FunctionDef, ast.Import, ast.ImportFrom)
    tree = ast.parse(open(path, encoding="utf8").read())
    tree.body = [node for node in tree.body if isinstance(node, kinds)]
    names = {}
    exec(compile(tree, path, "exec"), names)
    return names


def plain_names(lines):
    """An answer in which indexes are called what heap calls them."""
    kept = [line for line in lines if not re.match(r"NOTICE: .*\bfakegres_index\b", line)]
    return [re.sub(r"\b(fakegres_index|hash|btree)\b", "INDEX", line) for line in kept]


class Involved:
    """Which statements of a file need what is refused."""

    def __init__(self):
        self.lost, self.aborted = set(), False

    def by(self, statements, heap, here):
        answers = "\n".join(heap + here)
        involved = bool(REFUSED.search(statements) or REFUSED.search(answers))
        if involved and "ERROR" in "\n".join(here):
            self.lost.update(name.lower() for name in NAMED.findall(statements))
            self.aborted = True
        involved |= any(f'"{name}" does not exist' in answers.lower() for name in self.lost)
        involved |= self.aborted and ABORTED in "\n".join(here)
        if re.search(r"\b(commit|rollback|end)\b", statements, re.I) and ABORTED not in "\n".join(here):
            self.aborted = False
        return involved


def statements(compare, scratch, base, label):
    """File, line, text, heap's answer and the answer here of every statement but EXPLAIN."""
    for out in sorted(glob.glob(f"{scratch}/out-{base}/regress/results/*.out")):
        name = os.path.basename(out)[:-4]
        sql, other = f"{scratch}/regress/sql/{name}.sql", f"{scratch}/out-{label}/regress/results/{name}.out"
        if not os.path.exists(sql):
            continue
        heap = compare["segments"](sql, out)
        here = compare["segments"](sql, other) if os.path.exists(other) else {}
        for line, (text, answer) in heap.items():
            if not compare["is_explain"](text):
                yield name, line, text, answer, here.get(line, ("", ["<nothing>"]))[1]


def read_expected():
    with open(EXPECTED, encoding="utf8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return {(test, int(line)): cause for cause, test, line in rows}


def write_expected(expected):
    with open(EXPECTED, "w", encoding="utf8") as file:
        file.write("# Cause, file and last line of each statement that fakegres answers in another way than heap; see count.py.\n")
        for (test, line), cause in sorted(expected.items(), key=lambda item: (item[1], item[0])):
            file.write(f"{cause}\t{test}\t{line}\n")


def main():
    parser = argparse.ArgumentParser()
    for name in ("compare", "scratch", "base", "label"):
        parser.add_argument(name)
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    compare = functions(arguments.compare)
    norm = compare["norm"]
    counts, differing = collections.Counter(), {}
    files = collections.defaultdict(Involved)
    for name, line, text, heap, here in statements(compare, arguments.scratch, arguments.base, arguments.label):
        same = norm(heap) == norm(here)
        involved = files[name].by(text, heap, here) or name in ABOUT_REFUSED
        counts["all"] += 1
        counts["all same"] += same
        if involved:
            continue
        named = same or norm(plain_names(heap)) == norm(plain_names(here))
        counts["supported"] += 1
        counts["supported same"] += same
        counts["supported named"] += named
        if not named:
            differing[name, line] = (text, heap, here)

    def share(what, of):
        return f"{counts[what]} of {counts[of]} = {100 * counts[what] / max(counts[of], 1):.2f} %"

    expected = read_expected()
    causes = collections.Counter(expected.get(place, "unknown") for place in differing)
    for cause, count in causes.most_common():
        print(f"{count:6}  {cause}")
    open_order = sum(expected.get(place) == "order" for place in differing)
    counts["ordered"] = counts["supported named"] + open_order
    print(f"all statements:                      {share('all same', 'all')}")
    print(f"nothing refused involved:            {share('supported same', 'supported')}")
    print(f"  with the index type's name folded: {share('supported named', 'supported')}")
    print(f"  and what an order that SQL leaves open decides: {share('ordered', 'supported')}")

    unknown = [place for place in differing if place not in expected]
    for place in unknown if not arguments.show else differing:
        text, heap, here = differing[place]
        print(f"--- {place[0]} up to line {place[1]}\n{text[-400:]}")
        print("\n".join(list(difflib.unified_diff(heap, plain_names(here), lineterm="", n=0))[2:16]))
    if arguments.accept:
        elsewhere = {place: cause for place, cause in expected.items() if ":" in cause}
        write_expected(elsewhere | {place: expected.get(place, "unknown") for place in differing})
        return 0
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
