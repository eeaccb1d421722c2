"""Redis reached in every way, and in trouble: every refusal has its own SQLSTATE and hint and passes with its cause, lost data is
found before it gives a wrong answer, who waits can be made to stop, and no password is ever shown."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

from harness import Cluster, Skip, canceled, equal, give_to_server, go_on, main, refused, soon, wait_for
from redis_server import DURABLE, Redis, started

SECRET = "hunter2"


def durability():
    """Less than durable is said once in a session, shown, and refused if that is wished."""
    with Cluster("redis-durability") as cluster, Redis(cluster) as redis:
        started(cluster, redis)
        with cluster.session() as session:
            told = "\n".join(session.run("SELECT id FROM t"))
            assert "WARNING:  01000: the Redis server may lose" in told and "appendfsync always" in told, told
            equal(session.run("SELECT id FROM t"), ["1"], "the second statement")
            shown = session.value("SELECT durability FROM fakegres.status()")
            assert "lost with the server" in shown, shown
            session.run("SET fakegres.redis_require_durable = on")
            refused("55000", lambda: session.run("SELECT id FROM t"), "not as durable", "redis_require_durable")
            redis.tell("CONFIG", "SET", "appendonly", "yes")
            redis.tell("CONFIG", "SET", "appendfsync", "always")
            equal(session.run("SELECT id FROM t"), ["1"], "a server that is durable now")
            shown = session.value("SELECT durability FROM fakegres.status()")
            assert "synced" in shown, shown
        equal(cluster.run("SELECT id FROM t"), ["1"], "a new session is not warned")
        redis.tell("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        told = "\n".join(cluster.run("SELECT id FROM t"))
        assert "noeviction" in told, told


def refusals():
    """What a server says no with, and that the same statement works when the reason is gone."""
    with Cluster("redis-refusals") as cluster, Redis(cluster, *DURABLE, "--busy-reply-threshold", "100") as redis:
        started(cluster, redis)
        with cluster.session() as session:
            equal(session.run("SELECT id FROM t"), ["1"])
            no_memory(redis, session)
            read_only(redis, session)
            busy(redis, session)
            no_disk(redis, session)
            equal(session.value("SELECT count(*) FROM t"), "5", "every row that was refused once was written once")
            crowded(redis, cluster, session)
        damaged(redis, cluster)


def mended(session):
    session.run("INSERT INTO t VALUES (2)")


def no_memory(redis, session):
    redis.tell("CONFIG", "SET", "maxmemory", "1")
    refused("53200", lambda: session.run("INSERT INTO t VALUES (2)"), "OOM", "maxmemory")
    equal(session.value("SELECT count(*) FROM t"), "1", "reads go on")
    redis.tell("CONFIG", "SET", "maxmemory", "0")
    mended(session)


def read_only(redis, session):
    redis.tell("REPLICAOF", "127.0.0.1", "1")
    soon(lambda: refused("25006", lambda: session.run("INSERT INTO t VALUES (2)"), "", "takes writes"), 0.25)
    redis.tell("REPLICAOF", "NO", "ONE")
    mended(session)


def busy(redis, session):
    """Somebody's long script is waited for as a lock is, twelve times connect_timeout, and then said."""
    def blocked_for(seconds):
        script = f"local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < {seconds} do end"
        blocker = threading.Thread(target=redis.tell, args=("EVAL", script, "0"))
        blocker.start()
        time.sleep(0.3)
        return blocker

    blocker = blocked_for(2)
    equal(session.value("SELECT count(*) > 0 FROM t"), "t", "a script that ends is waited for")
    blocker.join()
    blocker = blocked_for(6)
    soon(lambda: refused("57P03", lambda: session.run("SELECT id FROM t"), "BUSY", "Try again"), 2.5, 5)
    blocker.join()
    mended(session)


def no_disk(redis, session):
    redis.tell("CONFIG", "SET", "save", "3600 1")
    os.chmod(redis.dir, 0o555)
    redis.tell("BGSAVE")
    wait_for("the snapshot fails", lambda: "rdb_last_bgsave_status:err" in redis.tell("INFO", "persistence"))
    refused("58030", lambda: session.run("INSERT INTO t VALUES (2)"), "MISCONF", "disk")
    equal(session.value("SELECT count(*) > 0 FROM t"), "t", "reads go on")
    os.chmod(redis.dir, 0o777)
    redis.tell("CONFIG", "SET", "save", "")
    redis.tell("BGSAVE")
    wait_for("the snapshot works", lambda: "rdb_last_bgsave_status:ok" in redis.tell("INFO", "persistence"))
    mended(session)


def crowded(redis, cluster, session):
    redis.tell("CONFIG", "SET", "maxclients", "1")
    refused("57P03", lambda: cluster.run("SELECT id FROM t"), "max number of clients")
    session.close()
    # redis-cli cannot get in either until the session has left.
    wait_for("there is room", lambda: redis.tell("CONFIG", "SET", "maxclients", "100") == "OK")


def damaged(redis, cluster):
    for key in redis.tell("--scan", "--pattern", "fakegres:{default}:p:*").splitlines():
        redis.tell("SET", key, "not ours")
    refused("XX001", lambda: cluster.run("SELECT * FROM t"), "WRONGTYPE")


def lost_data():
    """Restarted empty, flushed, made anew, or older than what any session ever saw."""
    for loss in (restarted_empty, flushed, made_anew, older):
        with Cluster("redis-lost") as cluster, Redis(cluster) as redis:
            started(cluster, redis)
            with cluster.session() as idle:
                idle.run("SELECT id FROM t")
                cluster.run("INSERT INTO t VALUES (2)")
                loss(cluster, redis)
                for statement in ("SELECT * FROM t", "INSERT INTO t VALUES (3)", "CREATE TABLE u (id int)"):
                    refused("XX001", lambda: idle.run(statement), "lost", "Restore")
                    refused("XX001", lambda: cluster.run(statement), "lost", "Restore")
                equal(idle.run("SELECT count(*) FROM h"), ["0"], "heap tables")
            cluster.restart()
            refused("XX001", lambda: cluster.run("SELECT * FROM t"), "lost", "Restore")


def restarted_empty(_, redis):
    redis.kill()
    redis.start()


def flushed(_, redis):
    redis.tell("FLUSHALL")


def made_anew(_, redis):
    """Somebody else makes the namespace again: the same key, another id."""
    redis.tell("FLUSHALL")
    redis.tell("HSET", "fakegres:{default}", "id", "0" * 31 + "1", "version", "~" * 8, "floor", "0" * 8, "segments", "0", "format", "1")


def older(_, redis):
    """A failover to a replica that was behind: what one session saw last, the idle one never saw."""
    one_before = """
        local high, low = struct.unpack('>I4I4', redis.call('HGET', KEYS[1], 'version'))
        redis.call('HSET', KEYS[1], 'version', struct.pack('>I4I4', high, low - 1))
        return 'older'
    """
    equal(redis.tell("EVAL", one_before, "1", "fakegres:{default}"), "older")


def accepted_loss():
    """Who removes what is remembered goes on with what is there."""
    with Cluster("redis-accepted") as cluster, Redis(cluster) as redis:
        started(cluster, redis)
        cluster.run("INSERT INTO t VALUES (2)")
        older(cluster, redis)
        refused("XX001", lambda: cluster.run("SELECT * FROM t"), "lost")
        files = glob.glob(f"{cluster.data}/fakegres/redis-*")
        equal(len(files), 1, "files that remember")
        cluster.stop()
        os.remove(files[0])
        cluster.start()
        cluster.run("INSERT INTO t VALUES (3)")
        with open(glob.glob(f"{cluster.data}/fakegres/redis-*")[0], "rb") as file:
            assert redis.socket.encode() in file.read()


def restarts():
    """A Redis that restarts with everything is not taken for one that lost something."""
    with Cluster("redis-restarts") as cluster, Redis(cluster, *DURABLE) as redis:
        started(cluster, redis)
        with cluster.session() as session:
            for number in range(2, 5):
                session.run(f"INSERT INTO t VALUES ({number})")
                redis.kill()
                refused("08006", lambda: cluster.run("SELECT * FROM t"), "cannot connect")
                redis.start()
                equal(session.value("SELECT count(*) FROM t"), str(number), "in a session that was there")
                equal(cluster.value("SELECT count(*) FROM t"), str(number), "in a new session")


def stopped():
    """Whoever waits for a Redis that stands still stops within a second."""
    with Cluster("redis-stopped") as cluster, Redis(cluster, *DURABLE) as redis:
        started(cluster, redis)
        sessions = [cluster.session() for _ in range(5)]
        for session in sessions:
            session.run("SELECT * FROM t")
        reader, writer, block, other, patient = sessions
        redis.signal(signal.SIGSTOP)
        try:
            for session in (reader, writer, block):
                session.run("SET statement_timeout = '300ms'")
            equal(reader.run("SELECT count(*) FROM h"), ["0"], "heap tables")
            soon(lambda: refused("57014", lambda: reader.run("SELECT * FROM t")), 0.25)
            soon(lambda: refused("57014 08007", lambda: writer.run("INSERT INTO t VALUES (2)")), 0.25)
            block.run("SET statement_timeout = 0")
            canceled(cluster, other, "INSERT INTO t VALUES (3)", "57014 08007")
            patient.send("INSERT INTO t VALUES (100)")
            soon(lambda: refused("08006", lambda: cluster.run("SELECT * FROM t"), "does not answer"), 0.25)
            soon(lambda: newcomer(cluster), 0.25)
        finally:
            redis.signal(signal.SIGCONT)
        equal(patient.answer(), [], "the answer of the one who waited")
        go_on(cluster, sessions, waited=1)


def newcomer(cluster):
    """A session that makes its first connection can be stopped as well."""
    with cluster.session() as session:
        session.run("SET fakegres.connect_timeout = '1min'")
        session.run("SET statement_timeout = '300ms'")
        refused("57014", lambda: session.run("SELECT * FROM t"))


def secrets():
    """The password works, and stands nowhere but in the setting that superusers read."""
    with Cluster("redis-secrets", "log_min_messages = debug1\n") as cluster, Redis(cluster, *DURABLE, "--requirepass", SECRET) as redis:
        started(cluster, redis, f"?password={SECRET}")
        shown = "\n".join(cluster.run("SELECT s FROM fakegres.status() s"))
        shown += "\n".join(cluster.run("SELECT t FROM fakegres.tables t"))
        for url in (
            f"{redis.url}?password=not-{SECRET}",
            f"{redis.url}?user=nobody&password={SECRET}",
            f"{redis.url}",
        ):
            shown += refusal_of(cluster, url, "28000", "user and password")
        for url, sqlstate in (
            (f"redis://user:{SECRET}@127.0.0.1:1/0", "08006"),
            (f"rediss://user:{SECRET}@127.0.0.1:1/0", "08006"),
            (f"redis://{SECRET}@127.0.0.1:1/0", "22023"),
            (f"redis://:{SECRET}@127.0.0.1:1/{SECRET}", "22023"),
            (f"redis+unix://{SECRET}", "22023"),
        ):
            shown += refusal_of(cluster, url, sqlstate, "fakegres.storage")
        for name in glob.glob(f"{cluster.data}/fakegres/*"):
            with open(name, "rb") as file:
                shown += name + str(file.read())
        assert SECRET not in shown, shown
        cluster.run("CREATE ROLE alice LOGIN; GRANT SELECT ON t TO alice")
        with cluster.session(user="alice") as session:
            equal(session.run("SELECT id FROM t"), ["1"], "a user who knows no password")
            equal(session.run("SELECT name FROM pg_settings WHERE setting LIKE '%hunter%'"), [], "pg_settings")
            refused("42501", lambda: session.run("SHOW fakegres.storage"))
        lines = [line for line in cluster.log().splitlines() if SECRET in line and "SET fakegres.storage" not in line]
        equal(lines, [], "lines of the log with the password")


def refusal_of(cluster, url, sqlstate, hint):
    """Everything that a session with this address is told, but what it said itself."""
    cluster.run("CREATE ROLE other LOGIN SUPERUSER" if url.endswith("not-" + SECRET) else "SELECT 1")
    cluster.run(f"ALTER ROLE other SET fakegres.storage = '{url}'")
    with cluster.session(user="other") as session:
        error = refused(sqlstate, lambda: session.run("SELECT id FROM t"), "", hint)
        return error.text + session.value("SELECT s FROM fakegres.status() s")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def certify(cluster):
    """A certificate authority, and what it says of `localhost`, for server and client alike."""
    if not shutil.which("openssl"):
        raise Skip("there is no openssl")
    paths = {name: os.path.join(cluster.dir, f"{name}.pem") for name in ("ca", "ca-key", "cert", "key", "request")}
    with open(f"{cluster.dir}/names", "w") as names:
        names.write("subjectAltName = DNS:localhost\n")
    for arguments in (
        f"req -x509 -newkey rsa:2048 -nodes -keyout {paths['ca-key']} -out {paths['ca']} -subj /CN=authority",
        f"req -newkey rsa:2048 -nodes -keyout {paths['key']} -out {paths['request']} -subj /CN=localhost",
        f"x509 -req -in {paths['request']} -CA {paths['ca']} -CAkey {paths['ca-key']} -CAcreateserial "
        f"-out {paths['cert']} -extfile {cluster.dir}/names",
    ):
        subprocess.run(["openssl", *arguments.split()], check=True, capture_output=True)
    for path in paths.values():
        give_to_server(path)
    return paths


def addresses():
    """TCP with a user and a database, and TLS with certificates on both sides."""
    with Cluster("redis-addresses") as cluster:
        paths, plain, encrypted = certify(cluster), free_port(), free_port()
        tls = ("--tls-port", str(encrypted), "--tls-cert-file", paths["cert"], "--tls-key-file", paths["key"])
        with Redis(cluster, *DURABLE, *tls, "--tls-ca-cert-file", paths["ca"], "--tls-auth-clients", "yes") as redis:
            started(cluster, redis)
            redis.tell("CONFIG", "SET", "port", str(plain))
            redis.tell("ACL", "SETUSER", "me@home", "on", f">{SECRET}", "~fakegres:*", "+@all")
            mine = f"?cacert={paths['ca']}&cert={paths['cert']}&key={paths['key']}"
            for url in (
                f"redis://me%40home:{SECRET}@127.0.0.1:{plain}/3",
                f"rediss://me%40home:{SECRET}@localhost:{encrypted}/4{mine}",
            ):
                use(cluster, url)
            for url, message in (
                (f"rediss://localhost:{encrypted}/5", "certificate"),
                (f"rediss://127.0.0.1:{encrypted}/5{mine}", "TLS: invalid peer certificate"),
                (f"rediss://localhost:{encrypted}/5?cacert=/nowhere", "cannot read /nowhere"),
            ):
                with cluster.session() as session:
                    session.run(f"SET fakegres.storage = '{url}'")
                    refused("22023", lambda: session.run("CREATE TABLE u (id int)"), message, "rediss://")


def use(cluster, url):
    """A table of its own in the store that an address names, which is another one than before."""
    with cluster.session() as session:
        session.run(f"SET fakegres.storage = '{url}'")
        refused("55000", lambda: session.run("SELECT * FROM t"))
        session.run("CREATE TABLE there AS SELECT 7 AS id")
        equal(session.run("SELECT id FROM there"), ["7"])
        session.run("DROP TABLE there")


main(addresses, durability, refusals, lost_data, accepted_loss, restarts, stopped, secrets)
