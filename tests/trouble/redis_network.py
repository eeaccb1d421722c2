"""Redis behind a network that loses requests and replies: what becomes of a COMMIT is settled by asking, never guessed, and who waits
for a host that says nothing can be made to stop."""

import os
import socket
import threading
import time

from harness import Cluster, Refused, canceled, equal, main, refused, soon, wait_for
from redis_server import DURABLE, Redis, started


class Proxy:
    """Stands between a cluster and its Redis, and loses the next request, or its reply, if it is told to. The connection goes with it."""

    def __init__(self, cluster, redis):
        self.redis, self.path = redis, os.path.join(cluster.dir, "proxy.sock")
        self.lose, self.open = None, True
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o777)
        self.listener.listen(100)
        self.url = f"redis+unix://{self.path}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            if self.open:
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()
            else:
                client.close()

    def serve(self, client):
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.redis.socket)
        lost = threading.Event()
        back = threading.Thread(target=self.reply, args=(server, client, lost), daemon=True)
        back.start()
        try:
            while request := client.recv(1 << 20):
                lose, self.lose = self.lose, None
                if lose == "request":
                    break
                if lose == "reply":
                    lost.set()
                server.sendall(request)
        except OSError:
            pass
        if not lost.is_set():
            server.close()
        client.close()

    def reply(self, server, client, lost):
        """A lost reply is one that the server has sent."""
        try:
            while answer := server.recv(1 << 20):
                if lost.is_set():
                    break
                client.sendall(answer)
        except OSError:
            pass
        for end in (server, client):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def inserted(session, number):
    """A transaction on an open connection that has nothing left to ask of the store but its commit."""
    session.run("BEGIN")
    session.run("SELECT FROM t LIMIT 1")
    session.run(f"INSERT INTO t VALUES ({number})")


def through_proxy(name):
    """A cluster whose table `t` was made through a proxy."""
    cluster = Cluster(name)
    redis = Redis(cluster, *DURABLE)
    proxy = Proxy(cluster, redis)
    url, redis.url = redis.url, proxy.url
    started(cluster, redis)
    redis.url = url
    return cluster, redis, proxy


def count(cluster, number):
    return cluster.value(f"SELECT count(*) FROM t WHERE id = {number}")


def lost_replies():
    """The commit happened, and only its reply is missing: it is found, and counted once."""
    cluster, redis, proxy = through_proxy("redis-lost-replies")
    with cluster, redis, proxy, cluster.session() as session:
        session.run("INSERT INTO t VALUES (0)")
        for number in range(2, 12):
            inserted(session, number)
            proxy.lose = "reply"
            equal(session.run("COMMIT"), [], "a commit that happened")
            equal(proxy.lose, None, "something was lost")
            equal(count(cluster, number), "1", "a commit that happened, seen by others")
            proxy.lose = "reply"
            equal(session.run(f"UPDATE t SET id = -id WHERE id = {number}"), [], "whatever reply of a statement is lost")
            equal(cluster.value(f"SELECT count(*) FROM t WHERE id = -{number}"), "1", "an update")


def lost_requests():
    """The commit never arrived: either the client is told so, and it never happens later, or it was tried again and happened once."""
    cluster, redis, proxy = through_proxy("redis-lost-requests")
    with cluster, redis, proxy, cluster.session() as session:
        session.run("INSERT INTO t VALUES (0)")
        answers = []
        for number in range(2, 12):
            inserted(session, number)
            proxy.lose = "request"
            session.send("COMMIT")
            answers.append(answer_of(session))
            equal(proxy.lose, None, "something was lost")
            equal(count(cluster, number), THERE[str(answers[-1])], f"after {answers[-1]}")
            inserted(session, -number)
            equal(session.run("COMMIT"), [], "the next one")
            equal(count(cluster, -number), "1", "a commit that happened")
        assert answers.count("08006") >= 5, f"a commit that is lost is not sent again at once: {answers}"


# How many rows are there after a COMMIT of one that was answered like this.
THERE = {"[]": "1", "08006": "0"}


def unknown_outcomes():
    """Nobody can say for a while: whoever waits gets the right answer, and who does not is told that the outcome is unknown."""
    cluster, redis, proxy = through_proxy("redis-unknown-outcomes")
    with cluster, redis, proxy, cluster.session() as session:
        session.run("INSERT INTO t VALUES (0)")
        for first, lose, there in ((10, "reply", "1"), (20, "request", "0")):
            for number in range(first, first + 5):
                inserted(session, number)
                session.run("SET LOCAL statement_timeout = '300ms'")
                away(proxy, lose)
                begun = time.monotonic()
                session.send("COMMIT")
                answer, took = answer_of(session), time.monotonic() - begun
                proxy.open = True
                # Before the commit was sent there is no doubt; see below.
                equal(count(cluster, number), "0" if answer == "08006" else there, f"the {lose} was lost, {answer}")
                if answer != "08006":
                    break
            equal(answer, "08007", f"the {lose} was lost")
            assert 0.25 < took < 2.5, f"not when the time-out says: {took:.2f} s"
        for number, lose in ((4, "reply"), (5, "request")):
            inserted(session, number)
            away(proxy, lose)
            session.send("COMMIT")
            wait_for("the commit is sent", lambda: proxy.lose is None)
            time.sleep(1)
            proxy.open = True
            answer = answer_of(session)
            # One commit in some asks the store a question first, and then it is that reply which is lost.
            equal(count(cluster, number), THERE[str(answer)], f"the {lose} was lost, and asked for later")
        equal(cluster.run("SELECT id FROM t GROUP BY id HAVING count(*) > 1"), [], "rows that are there twice")


def away(proxy, lose):
    """Loses the next request or reply, and lets nobody in afterwards."""
    proxy.lose, proxy.open = lose, False


def answer_of(session):
    """What a statement answered, or the SQLSTATE with which it was refused."""
    try:
        return session.answer()
    except Refused as refusal:
        return refusal.sqlstate


def unreachable():
    """A host that takes no connection, and one that takes it and says nothing: cancels and time-outs act within a second, and
    without them the wait ends by itself."""
    with Cluster("redis-unreachable") as cluster, Redis(cluster, *DURABLE) as redis, Hosts() as hosts:
        started(cluster, redis)
        for port in (hosts.full, hosts.silent):
            with cluster.session() as session:
                session.run(f"SET fakegres.storage = 'redis://127.0.0.1:{port}'")
                session.run("SET fakegres.connect_timeout = '300ms'")
                soon(lambda: refused("08006", lambda: session.run("SELECT * FROM t")), 0.25)
                session.run("SET fakegres.connect_timeout = '1min'")
                session.run("SET statement_timeout = '300ms'")
                soon(lambda: refused("57014", lambda: session.run("SELECT * FROM t")), 0.25)
                soon(lambda: refused("57014", lambda: session.run("CREATE TABLE u (id int)")), 0.25)
                session.run("SET statement_timeout = 0")
                canceled(cluster, session, "SELECT * FROM t", "57014")
                equal(session.run("SELECT count(*) FROM h"), ["0"], "heap tables")
                session.run(f"SET fakegres.storage = '{redis.url}'")
                equal(session.run("SELECT * FROM t"), ["1"], "where it was")


class Hosts:
    """Ports of this machine behind which nothing answers."""

    def __init__(self):
        self.listeners = [listening(backlog) for backlog in (0, 100)]
        self.full, self.silent = (listener.getsockname()[1] for listener in self.listeners)
        # Whoever comes when the queue of those who wait is full gets no answer at all.
        self.waiting = [connecting(self.full) for _ in range(8)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in (*self.waiting, *self.listeners):
            end.close()


def listening(backlog):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(backlog)
    return listener


def connecting(port):
    end = socket.socket()
    end.setblocking(False)
    end.connect_ex(("127.0.0.1", port))
    return end


main(lost_replies, lost_requests, unknown_outcomes, unreachable)
