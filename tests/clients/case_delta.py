"""Delta tables between this server and `deltalake` with polars: what one writes the other reads, with types of all kinds."""
import datetime
import decimal
import time
import uuid

import fixtures
import psycopg

BOUND = 15.0  # seconds until what another program committed is seen
MINE = """CREATE TABLE mine AS SELECT id, id::smallint AS i16, id::real AS f32, id / 2.0::float8 AS f64, id % 2 = 0 AS b,
    'n' || id AS s, '2024-05-01'::date AS d, '12:30:00.5'::time AS at, timestamp '2024-05-01 12:00:00.123456' AS ts,
    timestamptz '2024-05-01 12:00+02' AS tz, 1.25::numeric(10,2) AS n, 2.5::numeric AS free,
    ('00000000-0000-4000-8000-00000000000' || id)::uuid AS u, '\\x00ff'::bytea AS bytes, ARRAY[1, NULL] AS a,
    '{"k": 1}'::jsonb AS j FROM generate_series(1, 3) AS g(id)"""


def connect(server):
    host, port = server.address
    return psycopg.connect(host=host, port=port, dbname="loyalhouse", user="tester", autocommit=True)


def rows(connection, sql):
    return connection.execute(sql).fetchall()


def until(connection, sql, wanted):
    start = time.monotonic()
    while (found := rows(connection, sql)) != wanted:
        assert time.monotonic() - start < BOUND, f"{sql}: still {found} instead of {wanted}"
        time.sleep(0.1)


def all_types():
    import pyarrow as pa
    utc, day = datetime.timezone.utc, datetime.datetime(2024, 5, 1, 12, 0, 0, 123456)
    return pa.table({
        "i8": pa.array([1, None, 3], pa.int8()), "i16": pa.array([1, None, 3], pa.int16()),
        "i32": pa.array([1, None, 3], pa.int32()), "i64": pa.array([1, None, 3], pa.int64()),
        "f32": pa.array([1.5, None, -2.5], pa.float32()), "f64": pa.array([1.5, None, -0.25]),
        "b": pa.array([True, None, False]), "s": pa.array(["a", None, "ü"]), "bytes": pa.array([b"\x00\xff", None, b""]),
        "d": pa.array([datetime.date(2024, 5, 1), None, datetime.date(1, 1, 1)]),
        "ts": pa.array([day, None, datetime.datetime(1969, 12, 31)], pa.timestamp("us")),
        "tz": pa.array([day.replace(tzinfo=utc), None, None], pa.timestamp("us", "UTC")),
        "n": pa.array([decimal.Decimal("1.25"), None, decimal.Decimal("-9.99")], pa.decimal128(10, 2)),
        "a": pa.array([[1, 2], None, [None]], pa.list_(pa.int32())), "key": pa.array(["x", "y", None]),
    })


def case_theirs_is_read_here(context):
    """A table of deltalake, with partitions of several types, is read in place; a new version is seen."""
    from deltalake import DeltaTable, write_deltalake
    lake = context.work / "delta" / "lake"
    data = all_types()
    write_deltalake(lake / "types", data)
    parted = data.drop(["a"])
    write_deltalake(lake / "parted", parted, partition_by=["key", "d", "ts"])
    server = context.start([lake], "delta-theirs", options=["--staleness", "100ms"])
    try:
        with connect(server) as connection:
            wanted = [tuple(row.values()) for row in data.to_pylist()]
            assert rows(connection, "SELECT * FROM types ORDER BY i64") == [wanted[0], wanted[2], wanted[1]]
            wanted = [tuple(row.values()) for row in parted.to_pylist()]
            assert rows(connection, "SELECT * FROM parted ORDER BY i64") == [wanted[0], wanted[2], wanted[1]]
            assert rows(connection, "SELECT i64 FROM parted WHERE ts < '1970-01-01'") == [(3,)]
            write_deltalake(lake / "types", data.slice(0, 1), mode="append")
            DeltaTable(lake / "types").delete("i64 = 3")
            until(connection, "SELECT count(*), count(i64), sum(i64) FROM types", [(3, 2, 2)])
    finally:
        server.stop()


def case_ours_is_read_there(context):
    """A table made and changed here is read by deltalake and polars with equal content; what they add is read here."""
    import polars
    from deltalake import DeltaTable, write_deltalake
    house = context.work / "delta" / "house"
    server = context.start([fixtures.shop(context.work)], "delta-ours",
                           options=["--staleness", "100ms", "--warehouse", str(house)])
    try:
        with connect(server) as connection:
            connection.execute(MINE)
            connection.execute("UPDATE mine SET s = 'changed' WHERE id = 2")
            connection.execute("DELETE FROM mine WHERE id = 3")
            folder = next((house / "tables").iterdir())
            there = {row["id"]: row for row in DeltaTable(folder).to_pyarrow_table().to_pylist()}
            framed = {row["id"]: row for row in polars.read_delta(str(folder)).to_dicts()}
            names = [column.name for column in connection.execute("SELECT * FROM mine LIMIT 0").description]
            for row in rows(connection, "SELECT * FROM mine"):
                here = dict(zip(names, row))
                here["u"] = here["u"].bytes
                at = here.pop("at")
                here["j"] = '{"k": 1}'
                for other in (there[here["id"]], framed[here["id"]]):
                    other = dict(other)
                    # Delta has no times: they are microseconds.
                    assert other.pop("at") == (at.hour * 3600 + at.minute * 60) * 1_000_000 + at.microsecond, other
                    assert other == here, (other, here)
            assert sorted(there) == [1, 2]
            more = DeltaTable(folder).to_pyarrow_table().slice(0, 1)
            write_deltalake(folder, more, mode="append")
            until(connection, "SELECT count(*) FROM mine", [(3,)])
            found = rows(connection, "SELECT u, at, count(*) FROM mine GROUP BY u, at")
            assert sorted(count for _, _, count in found) == [1, 2], found
            wanted = [(uuid.UUID("00000000-0000-4000-8000-000000000001"), 2), (uuid.UUID("00000000-0000-4000-8000-000000000002"), 1)]
            found = rows(connection, "SELECT u, count(*) FROM mine GROUP BY u ORDER BY u")
            assert sorted(count for _, count in found) == [1, 2] and [u for u, _ in found] == [u for u, _ in wanted], found
            assert connection.execute("UPDATE mine SET s = 'again'").rowcount == 3
            DeltaTable(folder).delete("id = 2")
            until(connection, "SELECT DISTINCT id, s FROM mine", [(1, "again")])
    finally:
        server.stop()


def case_partitions_are_the_same_here_and_there(context):
    """A partitioned table made here has its partitions there; rows added there come into the right ones here."""
    import polars
    from deltalake import DeltaTable, write_deltalake
    house = context.work / "delta" / "parts"
    server = context.start([fixtures.shop(context.work)], "delta-parts",
                           options=["--staleness", "100ms", "--warehouse", str(house)])
    try:
        with connect(server) as connection:
            connection.execute("""CREATE TABLE parts PARTITIONED BY (segment, month, day, parity, flag) AS
                SELECT id, CASE id % 3 WHEN 0 THEN NULL ELSE 'a b/' || id % 3 END AS segment,
                    date_trunc('month', timestamp '2024-01-30' + id * interval '1 day') AS month, date '2024-01-30' + id AS day,
                    (id % 2 * -3)::smallint AS parity, id % 2 = 0 AS flag FROM generate_series(1, 12) AS g(id)""")
            connection.execute("UPDATE parts SET segment = 'moved' WHERE id = 5")
            table = DeltaTable(next((house / "tables").iterdir()))
            assert table.metadata().partition_columns == ["segment", "month", "day", "parity", "flag"]
            here = rows(connection, "SELECT * FROM parts ORDER BY id")
            assert len(here) == 12 and [row[1] for row in here][2:6] == [None, "a b/1", "moved", None], here
            there = sorted(table.to_pyarrow_table().to_pylist(), key=lambda row: row["id"])
            assert [tuple(row[name] for name in ("id", "segment", "month", "day", "parity", "flag")) for row in there] == here
            framed = polars.read_delta(str(table.table_uri)).sort("id").select("id", "segment", "month", "day", "parity", "flag")
            assert framed.rows() == here, framed
            more = table.to_pyarrow_table().slice(0, 4)
            ids = [row["id"] for row in more.to_pylist()]
            write_deltalake(table.table_uri, more, mode="append")
            until(connection, "SELECT count(*) FROM parts", [(16,)])
            twice = rows(connection, "SELECT id, count(DISTINCT (segment, month, day, parity, flag)::text) FROM parts "
                                     "GROUP BY id HAVING count(*) = 2 ORDER BY id")
            assert twice == [(id, 1) for id in sorted(ids)], twice
            connection.execute("OPTIMIZE parts")
            assert len(rows(connection, "SELECT * FROM parts")) == 16
            assert connection.execute("DELETE FROM parts WHERE segment IS NULL").rowcount == 4 + sum(id % 3 == 0 for id in ids)
    finally:
        server.stop()
