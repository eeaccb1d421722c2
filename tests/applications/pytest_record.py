"""Writes one line per test to $RECORD: outcome, name, and what the last error was. A pytest plugin."""

import os


def write(outcome, name, text=""):
    text = " ".join(text.split())[:400]
    with open(os.environ["RECORD"], "a", encoding="utf-8") as out:
        out.write(f"{outcome}\t{name}\t{text}\n")


def pytest_runtest_logreport(report):
    if report.when != "call" and report.outcome == "passed":
        return
    outcome = report.outcome
    if hasattr(report, "wasxfail"):
        outcome = "xfailed" if outcome == "skipped" else "xpassed"
    text = ""
    if outcome == "failed":
        crash = getattr(report.longrepr, "reprcrash", None)
        text = crash.message if crash else str(report.longrepr)[-400:]
    elif outcome == "skipped":
        text = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    write(outcome, report.nodeid, text)
