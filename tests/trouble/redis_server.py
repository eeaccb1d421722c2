"""A redis-server for the cases that need one, and how a cluster comes to use it."""

import os
import subprocess

from harness import as_server, give_to_server, wait_for

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
# Seconds. What passes is tried again for as long.
PATIENCE = "300ms"


class Redis:
    """A redis-server in a cluster's directory, reached by a Unix socket."""

    def __init__(self, cluster, *settings):
        self.dir = os.path.join(cluster.dir, "redis")
        os.makedirs(self.dir, exist_ok=True)
        give_to_server(self.dir)
        self.socket, self.settings = os.path.join(cluster.dir, "redis.sock"), settings
        os.chmod(cluster.dir, 0o777)
        self.url = f"redis+unix://{self.socket}"
        self.start()

    def start(self):
        if os.path.exists(self.socket):
            os.remove(self.socket)
        command = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "777"]
        command += ["--save", "", "--dir", self.dir, *self.settings]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_server())
        wait_for("redis-server listens", lambda: self.tell("PING") in ("PONG", "NOAUTH Authentication required."))

    def tell(self, *command):
        said = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        done = subprocess.run(["redis-cli", "-s", self.socket, *command], **said)
        return done.stdout.strip()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def started(cluster, redis, extra=""):
    cluster.configure(f"fakegres.storage = '{redis.url}{extra}'\nfakegres.connect_timeout = {PATIENCE}")
    cluster.start()
    cluster.install()
    cluster.run("CREATE TABLE t AS SELECT 1 AS id")
    cluster.run("CREATE TABLE h (id int) USING heap")
