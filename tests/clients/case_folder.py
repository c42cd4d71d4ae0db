"""A served folder that changes under the server, and files that are not what their name says."""
import time

import fixtures
import psql
import wire

STALENESS_BOUND = 15.0  # seconds; the default staleness is 10
POLL_EVERY = 0.25  # seconds
ROWS = "SELECT i AS id, i * 10 AS points FROM range({low}, {high}) t(i)"


def until(context, server, sql, wanted, what):
    """Polls on one connection until the statement answers `wanted` (or fails, when `wanted` is a SQLSTATE)."""
    start = time.monotonic()
    with wire.Wire(server.address) as connection:
        while True:
            try:
                found = connection.value(sql)
            except wire.WireError as error:
                found = error.sqlstate
            if found == wanted:
                context.note(f"{what}: seen after {time.monotonic() - start:.1f} s")
                return
            assert time.monotonic() - start < STALENESS_BOUND, f"{what}: still {found} instead of {wanted}"
            time.sleep(POLL_EVERY)


def serving(context, name):
    """A fresh folder with the tables points (two files) and other, and a server of its own."""
    root = context.work / "folders" / name
    if root.exists():
        import shutil
        shutil.rmtree(root)
    fixtures.write(root / "points" / "a.parquet", ROWS.format(low=0, high=100))
    fixtures.write(root / "points" / "b.parquet", ROWS.format(low=100, high=300))
    fixtures.write(root / "other.parquet", ROWS.format(low=0, high=7))
    return root, context.start([root], name)


def case_live(context):
    """A file added, a file removed, a table added, a table removed: each seen within the staleness."""
    root, server = serving(context, "live")
    count = "SELECT count(*) FROM points"
    try:
        until(context, server, count, "300", "start")
        fixtures.write(root / "points" / "c.parquet", ROWS.format(low=300, high=350))
        until(context, server, count, "350", "file added")
        (root / "points" / "a.parquet").unlink()
        until(context, server, count, "250", "file removed")
        fixtures.write(root / "fresh.parquet", ROWS.format(low=0, high=5))
        until(context, server, "SELECT count(*) FROM fresh", "5", "table added")
        (root / "fresh.parquet").unlink()
        until(context, server, "SELECT count(*) FROM fresh", "42P01", "table removed")
        fixtures.write(root / "points" / "b.parquet", ROWS.format(low=0, high=1))
        until(context, server, count, "51", "file replaced")
    finally:
        server.stop()


def named_error(server, sql, name):
    """The statement fails, and the error's texts name the file."""
    with wire.Wire(server.address) as connection:
        try:
            answer = connection.run(sql)
        except wire.WireError as error:
            said = " ".join(error.fields.get(key, "") for key in "MDH")
            assert name in said, f"the error does not name {name}: {said}"
            assert error.sqlstate != "XX000", f"called our bug: {said}"
            assert connection.value("SELECT count(*) FROM other") == "7", "the connection does not go on"
            return error
    raise AssertionError(f"answered {answer.values[:1]} although {name} cannot be read")


def broken(name, content):
    """A case: a file with `content` (a function of good bytes) lies in the folder before the start."""
    def run(context):
        root, server = serving(context, f"broken-{name}")
        server.stop()
        good = (root / "points" / "b.parquet").read_bytes()
        (root / "points" / "bad.parquet").write_bytes(content(good))
        (root / "alone.parquet").write_bytes(content(good))
        server = context.start([root], f"broken-{name}")
        try:
            for sql, file in (("SELECT sum(points) FROM points", "bad.parquet"),
                              ("SELECT sum(points) FROM alone", "alone.parquet")):
                error = named_error(server, sql, file)
                context.note(str(error))
            with wire.Wire(server.address) as connection:
                assert connection.value("SELECT sum(points) FROM other") == "210"
            psql.run(server, "-X", "-v", "ON_ERROR_STOP=1", "-c", r"\dt", "-c", r"\d other")
        finally:
            server.stop()
    return run


def damage_pages(good):
    """Every page damaged, the footer whole."""
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    return good[:4] + bytes(255 - byte for byte in good[4:footer]) + good[footer:]


def drift(context):
    """Files that disagree: a missing column is NULL, int widens to bigint, text against int names both files."""
    root, server = serving(context, "drift")
    server.stop()
    fixtures.write(root / "wide" / "a.parquet", "SELECT CAST(1 AS INTEGER) AS id")
    fixtures.write(root / "wide" / "b.parquet", "SELECT CAST(5000000000 AS BIGINT) AS id, 'new' AS extra")
    fixtures.write(root / "clash" / "a.parquet", "SELECT 1 AS id")
    fixtures.write(root / "clash" / "b.parquet", "SELECT 'one' AS id")
    server = context.start([root], "drift")
    try:
        with wire.Wire(server.address) as connection:
            answer = connection.run("SELECT id, extra FROM wide ORDER BY id")
            assert answer.values == [["1", None], ["5000000000", "new"]], answer.values
        error = named_error(server, "SELECT * FROM clash", "b.parquet")
        context.note(str(error))
        assert error.sqlstate == "42804" and "a.parquet" in str(error.fields), error.fields
    finally:
        server.stop()


def hive(context):
    """key=value levels are typed columns."""
    root, server = serving(context, "hive")
    server.stop()
    for year, month in ((2023, 12), (2024, 1), (2024, 2)):
        fixtures.write(root / "sales" / f"year={year}" / f"month={month:02}" / "x.parquet", f"SELECT {month} AS amount")
    server = context.start([root], "hive")
    try:
        found = psql.value(server, "SELECT year, month, sum(amount) FROM sales WHERE year = 2024 GROUP BY 1, 2 ORDER BY 2")
        assert found.splitlines() in (["2024|1|1", "2024|2|2"], ["2024|01|1", "2024|02|2"]), found
        assert psql.value(server, "SELECT count(DISTINCT year) FROM sales") == "2"
    finally:
        server.stop()


def deleted_under_query(context):
    """A file that goes away under a running query is an error that names it, never fewer rows."""
    import shutil
    root = context.work / "folders" / "deleted"
    if root.exists():
        shutil.rmtree(root)
    (root / "big").mkdir(parents=True)
    for path in (fixtures.big(context.work) / "big").glob("*.parquet"):
        shutil.copy(path, root / "big" / path.name)
    server = context.start([root], "deleted")
    try:
        with wire.Wire(server.address) as connection:
            connection.socket.settimeout(60)
            connection.send(wire.query("SELECT * FROM big"))
            first = connection.read()
            for path in list((root / "big").glob("*.parquet")):
                path.unlink()
            answer = connection.drain()
            context.note(f"{answer.rows} rows, then {answer.error or answer.tag}")
            assert first[0] == b"T"
            if answer.error is None:
                assert answer.rows == fixtures.BIG_ROWS, "rows are missing without an error"
            else:
                assert "part-" in str(answer.error.fields), answer.error.fields
    finally:
        server.stop()
        shutil.rmtree(root)


def cases():
    return [
        ("live", case_live),
        ("truncated", broken("truncated", lambda good: good[:len(good) // 2])),
        ("empty_file", broken("empty", lambda good: b"")),
        ("not_parquet", broken("text", lambda good: b"id,points\n1,10\n" * 100)),
        ("damaged_pages", broken("pages", damage_pages)),
        ("damaged_footer", broken("footer", lambda good: good[:-60] + b"\xff" * 52 + good[-8:])),
        ("lying_footer_length", broken("length", lambda good: good[:-8] + b"\xff\xff\xff\x7f" + good[-4:])),
        ("drift", drift), ("hive", hive), ("deleted_under_query", deleted_under_query),
    ]
