"""Damaged rows: a clear XX001, and everything else stays readable.

The damage is done to the store's file while the server is down. A row of (int, text) is found by its
text; the bytes in front of it are, as docs/format.md says,

    key (15) · version (8) · flags (1) · infomask2 (2) · infomask (2) · hoff (1) · padding (1) · int (4) · length (1)

and in front of the key LMDB keeps two bytes of the value's length, and the key's length.
"""

import struct

from harness import Cluster, equal, main, refused

KEY, HEADER, TO_TEXT = 15, 9, 11
ROWS, DAMAGED = 1000, 500
# Each is a table of its own, so that a table has one damaged row.
DAMAGES = ("attributes", "offset", "short", "empty", "flags")


def damage(data, kind):
    """Damages the row of a table, also in pages that LMDB has put aside."""
    needle = f"needle-{kind}-{DAMAGED}.".encode()
    places = []
    at = data.find(needle)
    while at >= 0:
        value = at - TO_TEXT - HEADER
        (length, _, _, key_length) = struct.unpack_from("<HHHH", data, value - KEY - 8)
        if key_length == KEY and length > HEADER + TO_TEXT:
            places.append(value)
        at = data.find(needle, at + 1)
    assert places, f"the row {needle} is not in the file as this test thinks"
    for value in places:
        body, length = value + HEADER, value - KEY - 8
        if kind == "attributes":
            data[body : body + 2] = b"\xff\x07"
        elif kind == "offset":
            data[body + 4] = 0xFF
        elif kind == "short":
            struct.pack_into("<H", data, length, HEADER + 3)
        elif kind == "empty":
            struct.pack_into("<H", data, length, 0)
        elif kind == "flags":
            data[value + 8] ^= 0x80


def damaged_rows():
    with Cluster("damage") as cluster:
        cluster.start()
        cluster.install()
        cluster.run("CREATE TABLE beside AS SELECT i FROM generate_series(1, 100) i")
        for kind in DAMAGES:
            cluster.run(f"CREATE TABLE {kind}_rows AS SELECT i AS id, 'needle-{kind}-' || i || '.' AS v FROM generate_series(1, {ROWS}) i")
        places = {kind: cluster.value(f"SELECT ctid FROM {kind}_rows WHERE id = {DAMAGED}") for kind in DAMAGES}
        cluster.stop()
        with open(f"{cluster.data}/fakegres/data.mdb", "r+b") as file:
            data = bytearray(file.read())
            for kind in DAMAGES:
                damage(data, kind)
            file.seek(0)
            file.write(data)
        cluster.start()
        for kind in DAMAGES:
            with cluster.session() as session:
                damaged_table(session, f"{kind}_rows", places[kind])
        equal(cluster.value("SELECT count(*) FROM beside"), "100", "a table beside")
        cluster.run("INSERT INTO beside VALUES (101)")


def damaged_table(session, table, place):
    """The damaged row is an error wherever it is read; rows beside it are not."""
    for statement in (
        f"SELECT * FROM {table}",
        f"SELECT count(v) FROM {table}",
        f"SELECT * FROM {table} WHERE ctid = '{place}'",
        f"UPDATE {table} SET v = 'x'",
        f"CREATE TABLE copy AS SELECT * FROM {table}",
        f"ALTER TABLE {table} ALTER id TYPE bigint",
    ):
        refused("XX001", lambda: session.run(statement), "damaged", "backup.*ctid")
    # All rows of the blocks before and after, and those that share its block, by their addresses.
    equal(session.value(f"SELECT count(*) FROM {table} WHERE ctid < '{place}'"), str(DAMAGED - 1), "the rows before")
    equal(session.value(f"SELECT count(*) FROM {table} WHERE ctid > '{place}'"), str(ROWS - DAMAGED), "the rows after")
    first = session.value(f"SELECT ctid FROM {table} LIMIT 1")
    equal(session.run(f"DELETE FROM {table} WHERE ctid = '{first}' RETURNING id"), ["1"], "DELETE of another row")
    session.run(f"UPDATE {table} SET v = 'new' WHERE ctid > '{place}'")
    equal(session.value(f"SELECT count(*) FROM {table} WHERE ctid > '{place}' AND v = 'new'"), str(ROWS - DAMAGED), "UPDATE of others")
    # What the hint advises.
    session.run(f"CREATE TABLE saved AS SELECT * FROM {table} WHERE ctid < '{place}' UNION ALL SELECT * FROM {table} WHERE ctid > '{place}'")
    equal(session.value("SELECT count(*) FROM saved"), str(ROWS - 2), "what was saved")
    session.run(f"DROP TABLE {table}, saved")
    session.value("SELECT fakegres.sweep()")
    equal(session.value("SELECT fakegres.sweep()"), "0", "orphans after DROP and a sweep")


main(damaged_rows)
