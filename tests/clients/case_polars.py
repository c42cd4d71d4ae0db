"""polars: read_database_uri through connectorx, which reads by binary COPY, and through a DB-API cursor."""
import frames as data_frames
import questions
import case_psycopg3
from frames import frames, selects, uri


def case_query(context):
    import polars
    with case_psycopg3.connect(context) as connection:
        return frames(lambda sql: polars.read_database(sql, connection), questions.section("query"))


def case_types_binary(context):
    """connectorx: every kind, through COPY (…) TO STDOUT (FORMAT binary)."""
    import polars
    where = uri(context)
    return frames(lambda sql: polars.read_database_uri(sql, where, engine="connectorx"), selects())


def case_types_text(context):
    """connectorx by its other protocols: CSV through COPY, a cursor, and the simple protocol."""
    import connectorx
    seen = {}
    for protocol in ("csv", "cursor", "simple"):
        found = frames(lambda sql: connectorx.read_sql(uri(context), sql, protocol=protocol, return_type="polars"),
                       {"kinds": "SELECT id, b, i2, i4, i8, f4, f8, n, t, d, tm, ts, tz FROM kinds ORDER BY id",
                        "orders": "SELECT * FROM orders WHERE id < 4 ORDER BY id"})
        seen |= {f"{protocol} {name}": value for name, value in found.items()}
    return seen


def case_cursor(context):
    """100,000 rows, read in one piece and in four partitions at once."""
    import polars
    data_frames.lines(polars.read_database_uri("SELECT id, label FROM lines ORDER BY id", uri(context), engine="connectorx"))
    parts = polars.read_database_uri("SELECT id, label FROM lines", uri(context), engine="connectorx", partition_on="id",
                                     partition_num=4)
    data_frames.lines(parts.sort("id"))


def case_errors(context):
    import polars
    seen = {}
    for name, sql in (("no_table", "SELECT * FROM no_such"), ("division", "SELECT 1/0 AS v")):
        try:
            polars.read_database_uri(sql, uri(context), engine="connectorx")
            seen[name] = "no error"
        except Exception as error:
            seen[name] = type(error).__name__
    return seen
