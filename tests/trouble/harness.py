"""What the trouble tests share: clusters, sessions that say exactly how they were refused, and the
running of cases.

A case is a function. It passes if it returns; what it finds wrong it raises. Cases append their
results to $RESULTS as tests/report.sh does, so that the last line of tests/run.sh counts them.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN = os.environ["TROUBLE_RUN_DIR"]
WRITER = "fakegres writer"
# Seconds for one statement. Far more than any needs.
PATIENCE = 60


class Refused(Exception):
    """The server said no. Carries everything that it said."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text
        # psql puts its own name or the line of its input in front.
        found = re.search(r"(?:ERROR|FATAL|PANIC):  (\w{5}): (.*)", text)
        self.sqlstate, self.message = found.groups() if found else ("?????", text)
        hint = re.search(r"^HINT:  (.*)", text, re.MULTILINE)
        self.hint = hint.group(1) if hint else ""


class Lost(Exception):
    """The connection broke."""


class Skip(Exception):
    """The machine lacks what the case needs."""


class Session:
    """One psql process, one backend. Statements run one after the other."""

    MARK = "~answer~"

    def __init__(self, cluster, user="postgres", database="postgres"):
        self.process = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-v", "VERBOSITY=verbose", "-h", cluster.socket, "-U", user, "-d", database],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.backend = int(self.value("SELECT pg_backend_pid()"))

    def run(self, statement):
        """Runs one statement and returns its rows as lines of text."""
        self.send(statement)
        return self.answer()

    def send(self, statement):
        try:
            self.process.stdin.write(f"{statement};\n\\echo {self.MARK} :ERROR\n")
            self.process.stdin.flush()
        except (OSError, ValueError) as broken:
            raise Lost(str(broken)) from broken

    def answer(self):
        """The rows of the statement that was sent. One that never ends counts as a lost connection."""
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        try:
            return self._answer()
        finally:
            watchdog.cancel()

    def _answer(self):
        rows = []
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if line.startswith(self.MARK):
                # psql 15 sets no :ERROR for a COPY TO STDOUT that fails.
                if line.endswith("true") or any(row.startswith("ERROR:  ") for row in rows):
                    raise Refused("\n".join(rows))
                return rows
            rows.append(line)
        raise Lost("\n".join(rows))

    def value(self, statement):
        """The one value that a statement returns, as text."""
        rows = self.run(statement)
        assert len(rows) == 1, f"{statement} returned {rows}"
        return rows[0]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Cluster:
    """A PostgreSQL cluster of its own, with the extension preloaded unless it is told otherwise.

    Autovacuum is off: it would clear away what these tests look for.
    """

    SETTINGS = "autovacuum = off\nmax_connections = 30\nfsync = off\nlog_line_prefix = '%m [%p] '\n"

    def __init__(self, name, settings=""):
        self.name = f"trouble-{name}-pg{os.environ['PG']}"
        self.dir = os.path.join(RUN, self.name)
        self.data = os.path.join(self.dir, "data")
        self.script("destroy")
        self.script("create", self.SETTINGS + settings)
        with open(f"{self.data}/postgresql.conf") as conf:
            self.socket = re.findall(r"unix_socket_directories = '(.*)'", conf.read())[-1]

    def script(self, verb, *arguments):
        done = subprocess.run(
            [f"{ROOT}/scripts/cluster.sh", verb, self.name, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"cluster.sh {verb}: {done.stdout}"

    def start(self):
        self.script("start")

    def stop(self):
        self.script("stop")

    def restart(self):
        self.stop()
        self.start()

    def configure(self, line):
        with open(f"{self.data}/postgresql.conf", "a") as conf:
            conf.write(line + "\n")

    def install(self):
        """Makes the extension, and fakegres the access method of new tables."""
        self.run("CREATE EXTENSION fakegres_am")
        self.run("ALTER DATABASE postgres SET default_table_access_method = fakegres")

    def session(self, **who):
        return Session(self, **who)

    def run(self, statement, **who):
        """One statement in a session of its own."""
        with Session(self, **who) as session:
            return session.run(statement)

    def value(self, statement, **who):
        with Session(self, **who) as session:
            return session.value(statement)

    def log(self):
        with open(f"{self.dir}/server.log", errors="replace") as log:
            return log.read()

    def postmaster(self):
        with open(f"{self.data}/postmaster.pid") as file:
            return int(file.readline())

    def writer(self):
        """The process id of the writer, waited for."""
        return wait_for("the writer runs", self._find_writer)

    def _find_writer(self):
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/stat") as stat, open(f"/proc/{entry}/cmdline") as command:
                    parent = int(stat.read().rsplit(")", 1)[1].split()[1])
                    if parent == self.postmaster() and WRITER in command.read():
                        return int(entry)
            except (FileNotFoundError, ProcessLookupError):
                pass
        return None

    def crash(self):
        """Kills a backend, so that the server throws its shared memory away and starts again."""
        with self.session() as session:
            os.kill(session.backend, signal.SIGKILL)
            refused_or_lost(lambda: session.run("SELECT 1"))
        self.wait_until_up()

    def wait_until_up(self):
        """Until the server answers again."""
        def answers():
            try:
                return self.value("SELECT 1") == "1"
            except (Refused, Lost):
                return False
        wait_for("the server is up", answers, 60)

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        log = self.log() if failure is None else ""
        self.script("destroy")
        crashes = re.findall(r"^.*(?:PANIC:|TRAP:|terminated by signal (?!9:)).*$", log, re.MULTILINE)
        equal(crashes, [], "crashes that no test asked for")


def wait_for(what, condition, seconds=20):
    """The first true value of a condition."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds} s in vain until {what}"
        time.sleep(0.02)


def refused(sqlstates, work, message="", hint=None):
    """Runs what must be refused with one of these SQLSTATEs (a list in words). Patterns say what
    message and hint must tell."""
    try:
        answer = work()
    except Refused as error:
        assert error.sqlstate in sqlstates.split(), f"expected {sqlstates}, got {error.text}"
        assert re.search(message, error.message), f"the message does not tell {message!r}: {error.text}"
        assert hint is None or re.search(hint, error.hint), f"the hint does not tell {hint!r}: {error.text}"
        return error
    raise AssertionError(f"expected {sqlstates}, got the answer {str(answer)[:200]}")


def refused_or_lost(work):
    """Runs what a backend that is killed cannot answer."""
    try:
        work()
    except (Lost, Refused):
        return
    raise AssertionError("a killed backend answered")


def equal(got, expected, what=""):
    assert got == expected, f"{what}: expected {expected!r}, got {got!r}"


class Timed:
    """How long a block took: with Timed() as t: …; t.seconds."""

    def __enter__(self):
        self.begin = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.begin


def soon(work, least=0.0, most=1.5):
    """Runs work and checks when it ended: a second, and something for a machine that does other things."""
    with Timed() as timed:
        result = work()
    assert least <= timed.seconds <= most, f"it took {timed.seconds:.2f} s"
    return result


def canceled(cluster, session, statement, sqlstates):
    """Sends a statement that waits, and tells it to stop."""
    session.send(statement)
    time.sleep(0.3)
    cluster.run(f"SELECT pg_cancel_backend({session.backend})")
    soon(lambda: refused(sqlstates, session.answer))


def go_on(cluster, sessions, waited):
    """A store is back: every session inserts into t again, rows from 10 on, besides those of who waited, and no row is there twice."""
    for number, session in enumerate(sessions, start=10):
        session.run("SET statement_timeout = 0")
        session.run(f"INSERT INTO t VALUES ({number})")
    twice = cluster.run("SELECT id FROM t GROUP BY id HAVING count(*) > 1")
    equal(twice, [], "rows that are there twice")
    equal(cluster.value("SELECT count(*) FROM t WHERE id >= 10"), str(len(sessions) + waited), "acknowledged rows")


class Memory:
    """Watches the private memory of a process while a block runs, in kB."""

    def __init__(self, process):
        self.process, self.highest, self.ended = process, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.ended.wait(0.01):
            self.highest = max(self.highest, private_memory(self.process))

    def __enter__(self):
        self.highest = private_memory(self.process)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def private_memory(process):
    with open(f"/proc/{process}/status") as status:
        return int(re.search(r"^RssAnon:\s+(\d+) kB", status.read(), re.MULTILINE).group(1))


def limit_file_size(process, size):
    """Lets no file of a process grow beyond a size: what a full disk looks like."""
    limit = "unlimited" if size is None else size
    subprocess.run(["prlimit", "--pid", str(process), f"--fsize={limit}:"], check=True, **as_server())


def as_server():
    """For subprocess: the user that owns the server, who alone may change its limits."""
    return {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}


def give_to_server(path):
    """The server of a run as root is the user postgres."""
    if os.getuid() == 0:
        shutil.chown(path, "postgres")


def report(outcome, name):
    """What another store than the usual one did has its name in front, as in tests/report.sh."""
    store = os.environ.get("STORE", "embedded")
    name = name if store == "embedded" else f"{store}/{name}"
    with open(os.environ["RESULTS"], "a") as results:
        results.write(f"{outcome}\t{name}\n")


def run_case(name, case):
    try:
        begin = time.monotonic()
        case()
        report("passed", name)
        print(f"ok       {name} ({time.monotonic() - begin:.1f} s)", flush=True)
    except Skip as why:
        report("skipped", f"{name}: {why}")
        print(f"SKIPPED: {name}: {why}", flush=True)
    except Exception:
        report("failed", name)
        print(f"FAILED   {name}")
        print("    " + traceback.format_exc().replace("\n", "\n    "), flush=True)


def main(*cases):
    """Runs the cases that $T asks for."""
    group = os.path.basename(sys.argv[0]).removesuffix(".py")
    for case in cases:
        name = f"trouble/{group}/{case.__name__}"
        if os.environ.get("T", "") in name:
            run_case(name, case)
