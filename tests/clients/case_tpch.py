"""TPC-H at scale 0.1: the 22 queries over the wire give DuckDB's answers on the same Parquet files."""
import math
import re
import time
from decimal import Decimal
from pathlib import Path

import fixtures

RELATIVE = 1e-6
ABSOLUTE = 1e-6  # an average of decimals keeps six digits behind the point
QUERY_LIMIT = "120s"
# Columns of each ORDER BY, by position: their sequence must agree; rows with equal keys may stand in any order.
ORDER_KEYS = {1: (0, 1), 2: (0, 2, 1, 3), 3: (1, 2), 4: (0,), 5: (1,), 6: (), 7: (0, 1, 2), 8: (0,), 9: (0, 1), 10: (2,),
              11: (1,), 12: (0,), 13: (1, 0), 14: (), 15: (0,), 16: (3, 0, 1, 2), 17: (), 18: (4, 3), 19: (), 20: (0,),
              21: (1, 0), 22: (0,)}


def queries():
    text = (Path(__file__).parent / "tpch_queries.sql").read_text()
    parts = re.split(r"^-- Q(\d+)\n", text, flags=re.MULTILINE)[1:]
    return {int(number): sql.strip() for number, sql in zip(parts[::2], parts[1::2])}


def equal(left, right):
    if isinstance(left, (Decimal, float)) or isinstance(right, (Decimal, float)):
        return left is not None and right is not None and math.isclose(left, right, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return left == right


def number(value):
    return isinstance(value, (int, float, Decimal))


def in_order(rows):
    """Rows sorted by their texts and dates, then by numbers: two answers to one query come into the same order."""
    return sorted(rows, key=lambda row: ([str(value) for value in row if not number(value)],
                                         [round(float(value), 3) for value in row if number(value)]))


def compare(rows, wanted, keys):
    assert len(rows) == len(wanted), f"{len(rows)} rows instead of {len(wanted)}"
    assert wanted, "the query has no answer at this scale: nothing is compared"
    for place, (row, right) in enumerate(zip(rows, wanted)):
        for key in keys:
            assert equal(row[key], right[key]), f"row {place} is out of order: {row} instead of {right}"
    for row, right in zip(in_order(rows), in_order(wanted)):
        assert len(row) == len(right) and all(map(equal, row, right)), f"{row} instead of {right}"


def check(number_of, sql):
    def run(context):
        import duckdb
        import psycopg
        server = context.server(fixtures.tpch)
        with duckdb.connect() as connection:
            for path in fixtures.tpch(context.work).glob("*.parquet"):
                connection.execute(f"CREATE VIEW {path.stem} AS SELECT * FROM '{path}'")
            start = time.monotonic()
            wanted = connection.execute(sql).fetchall()
            duckdb_took = time.monotonic() - start
        with psycopg.connect(host=server.host, port=server.port, user="analyst", dbname="loyalhouse",
                             autocommit=True) as connection:
            connection.execute(f"SET statement_timeout = '{QUERY_LIMIT}'")
            start = time.monotonic()
            rows = connection.execute(sql).fetchall()
            took = time.monotonic() - start
        context.note(f"{len(rows)} rows, {took:.2f} s (DuckDB in process {duckdb_took:.2f} s)")
        compare(rows, wanted, ORDER_KEYS[number_of])
    return run


def cases():
    found = [(f"q{number_of:02}", check(number_of, sql)) for number_of, sql in queries().items()]
    for name, function in found:
        function.skip_oracle = name in ("q17", "q20", "q21")  # minutes in PostgreSQL without an index
    return found
