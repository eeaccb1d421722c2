"""Logical replication: into fakegres tables it works and forgets nothing; out of them it is refused,
because their changes are not in the WAL."""

from harness import Cluster, equal, main, refused, wait_for

LOGICAL = "wal_level = logical\nwal_retrieve_retry_interval = 100ms\nlog_error_verbosity = verbose\n"
SCHEMA = "CREATE TABLE keyed (id int PRIMARY KEY, v text); CREATE TABLE keyless (id int, v text)"
SUM = "SELECT count(*), sum(hashtext(t::text)::bigint) FROM {} t"


def subscriber():
    """A fakegres table follows a heap table, with a key and without, and after a crash goes on where it was."""
    with Cluster("subscriber", LOGICAL) as cluster:
        cluster.start()
        cluster.install()
        cluster.run("CREATE DATABASE origin TEMPLATE template0")

        def at_origin(statement):
            return cluster.run(statement, database="origin")

        # That fakegres is there, too, hinders nobody who copies heap tables.
        at_origin("CREATE EXTENSION fakegres_am")
        at_origin(SCHEMA)
        at_origin("ALTER TABLE keyless REPLICA IDENTITY FULL")
        for table in ("keyed", "keyless"):
            at_origin(f"INSERT INTO {table} SELECT i, 'v' || i FROM generate_series(1, 1000) i")
        at_origin("CREATE PUBLICATION p FOR ALL TABLES")
        at_origin("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        cluster.run(SCHEMA)
        connection = f"host={cluster.socket} user=postgres dbname=origin"
        cluster.run(f"CREATE SUBSCRIPTION s CONNECTION '{connection}' PUBLICATION p WITH (create_slot = false)")

        def follows(what):
            for table in ("keyed", "keyless"):
                wanted = cluster.value(SUM.format(table), database="origin")
                wait_for(f"{what}: {table} is as its origin", lambda: cluster.value(SUM.format(table)) == wanted, 40)

        follows("the copy")
        for table in ("keyed", "keyless"):
            at_origin(f"UPDATE {table} SET v = 'new ' || id WHERE id % 100 = 7")
            at_origin(f"DELETE FROM {table} WHERE id % 100 = 8")
            at_origin(f"UPDATE {table} SET id = -id WHERE id = 50")
            for i in range(2000, 2020):
                at_origin(f"INSERT INTO {table} VALUES ({i}, 'later')")
        follows("changes")
        cluster.crash()
        at_origin("INSERT INTO keyed VALUES (3000, 'after the crash')")
        at_origin("UPDATE keyless SET v = 'after the crash' WHERE id = 500")
        follows("after a crash")
        at_origin("TRUNCATE keyless")
        follows("TRUNCATE")
        for table in ("keyed", "keyless"):
            equal(cluster.run(f"SELECT * FROM fakegres.check('{table}')"), [], f"check of {table}")
        equal([line for line in cluster.log().splitlines() if "23505" in line], [], "rows that came twice")
        cluster.run("DROP SUBSCRIPTION s")


def publisher():
    """A publication refuses a fakegres table by name, tells of it among others, and nobody copies it."""
    with Cluster("publisher", LOGICAL) as cluster:
        cluster.start()
        cluster.install()
        with cluster.session() as session:
            session.run("CREATE SCHEMA s; CREATE TABLE s.ours (i int PRIMARY KEY); CREATE TABLE heap (i int) USING heap")
            session.run("CREATE TABLE parted (i int) PARTITION BY LIST (i)")
            session.run("CREATE TABLE part PARTITION OF parted FOR VALUES IN (1)")
            session.run("CREATE UNLOGGED TABLE unlogged (i int)")

            def refuses(statement, table):
                message = f"fakegres table {table} cannot be published"
                refused("0A000", lambda: session.run(statement), message, "not in PostgreSQL's WAL")

            refuses("CREATE PUBLICATION p FOR TABLE s.ours", "s.ours")
            refuses("CREATE PUBLICATION p FOR TABLE heap, parted", "public.part")
            equal(session.run("CREATE PUBLICATION p FOR TABLE heap"), [], "a publication of a heap table")
            refuses("ALTER PUBLICATION p ADD TABLE s.ours", "s.ours")
            refuses("ALTER PUBLICATION p SET TABLE part", "public.part")
            equal(session.value("SELECT string_agg(tablename, ' ') FROM pg_publication_tables"), "heap", "what is published")

            def warns(statement, *told):
                warnings = [line for line in session.run(statement) if line.startswith("WARNING")]
                expected = [f"WARNING:  01000: publication \"{of}\" does not publish changes of fakegres table {what}" for of, what in told]
                equal(warnings, expected, statement)

            warns("CREATE PUBLICATION everything FOR ALL TABLES", ("everything", "public.part and of one other fakegres table"))
            warns("CREATE PUBLICATION schemas FOR TABLES IN SCHEMA s", ("schemas", "s.ours"))
            warns("ALTER PUBLICATION schemas SET (publish = 'insert')")
            warns("ALTER PUBLICATION p SET (publish = 'insert')")
            warns("CREATE TABLE s.more (i int)", ("everything", "s.more"), ("schemas", "s.more"))
            warns("ALTER TABLE heap SET ACCESS METHOD fakegres", ("everything", "public.heap"), ("p", "public.heap"))
            warns("CREATE TABLE other (i int) USING heap")
            warns("ALTER PUBLICATION p DROP TABLE heap")
            warns("CREATE TEMPORARY TABLE private (i int)")
            warns("DROP TABLE s.more")
        with cluster.session(database="dbname=postgres replication=database") as walsender:
            read = lambda: walsender.run("COPY s.ours TO STDOUT")
            refused("0A000", read, "cannot be read over a replication connection")
            walsender.run("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ")
            walsender.run("SELECT count(*) FROM pg_class")
            walsender.run("COPY other TO STDOUT")
            refused("0A000", read, "cannot be read over a replication connection")


main(subscriber, publisher)
