"""A database session as a psql process that can be driven, cancelled and killed.

psql is the one client that every PostgreSQL brings along; nothing needs to be installed. What a
statement did is known for sure: done, refused with an SQLSTATE, or unknown because the connection
broke before the answer came.
"""

import os
import subprocess


class Refused(Exception):
    """The server said no: nothing of the statement happened."""

    def __init__(self, sqlstate):
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class Lost(Exception):
    """The connection broke: whether the statement happened is unknown."""


class Session:
    """One psql process, one server backend."""

    MARK = "~answer~"

    def __init__(self, database):
        self.process = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-d", database],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ,
            start_new_session=True,
        )
        try:
            self.backend = int(self.run("SELECT pg_backend_pid()")[0])
        except (Refused, Lost):
            self.close()
            raise

    def run(self, statement):
        """Runs one statement and returns its rows as lines of text."""
        try:
            self.process.stdin.write(f"{statement};\n\\echo {self.MARK} :ERROR :SQLSTATE\n")
            self.process.stdin.flush()
            return self._answer()
        except (OSError, ValueError) as broken:
            raise Lost(str(broken)) from broken

    def _answer(self):
        rows = []
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if line.startswith(self.MARK):
                _, error, sqlstate = line.split()
                if error == "true":
                    raise Refused(sqlstate)
                return rows
            rows.append(line)
        raise Lost("psql ended")

    def close(self):
        """Ends the client at once, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass


def query(database, statement):
    """One statement in a session of its own."""
    session = Session(database)
    try:
        return session.run(statement)
    finally:
        session.close()
