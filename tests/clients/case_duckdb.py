"""DuckDB's postgres extension: ATTACH reads the catalog, scans go by ctid ranges and binary COPY."""
from pathlib import Path

import fixtures
import questions
from questions import spell_rows


def attached(context):
    import duckdb
    import duckdb_extension_postgres_scanner as packed
    server = context.server(fixtures.office)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    file = next(Path(packed.__file__).parent.glob("extensions/*/postgres_scanner.duckdb_extension"))
    connection.execute(f"LOAD '{file}'")
    connection.execute(f"ATTACH 'host={server.host} port={server.port} user=analyst dbname=loyalhouse' AS far (TYPE postgres, READ_ONLY)")
    return connection


def rows(connection, sql):
    return spell_rows(connection.execute(sql).fetchall())


def case_connect(context):
    return {"databases": rows(attached(context), "SELECT database_name, type, readonly FROM duckdb_databases() WHERE database_name = 'far'")}


def case_query(context):
    connection = attached(context)
    asked = {"count": "SELECT count(*) FROM far.customers", "star": "SELECT * FROM far.public.customers WHERE id < 4 ORDER BY id",
             "filter": "SELECT id FROM far.customers WHERE city = 'Lima' AND joined >= DATE '2022-01-01' ORDER BY id LIMIT 3",
             "join": "SELECT city, sum(amount) FROM far.customers c JOIN far.orders o ON o.customer_id = c.id GROUP BY 1 ORDER BY 1",
             "schema": "SELECT count(*), max(id) FROM far.crm.accounts",
             "sent": "SELECT * FROM postgres_query('far', 'SELECT city, count(*) FROM customers GROUP BY 1') ORDER BY 1"}
    return {name: rows(connection, sql) for name, sql in asked.items()}


def case_types_binary(context):
    """The table of all column types, by binary COPY."""
    return {"kinds": rows(attached(context), "SELECT * REPLACE (tz::VARCHAR AS tz) FROM far.kinds ORDER BY id"),
            "described": rows(attached(context), "DESCRIBE far.kinds")}


def case_types_text(context):
    connection = attached(context)
    connection.execute("SET pg_use_binary_copy = false")
    return {"kinds": rows(connection, "SELECT * REPLACE (tz::VARCHAR AS tz) FROM far.kinds ORDER BY id")}


def case_cursor(context):
    """100,000 rows by COPY, with filters pushed down and by several connections."""
    connection = attached(context)
    connection.execute("SET pg_experimental_filter_pushdown = true")
    found = connection.execute("SELECT count(*), sum(id), min(label), max(label) FROM far.lines").fetchone()
    assert found == (questions.LINES, questions.LINES_SUM, "line 1", "line 99999"), found
    found = connection.execute("SELECT count(*) FROM far.lines WHERE id > 99000").fetchone()
    assert found == (1000,), found


def case_errors(context):
    connection = attached(context)
    seen = {}
    for name, sql in (("missing", "SELECT * FROM far.no_such"), ("far", "SELECT * FROM postgres_query('far', 'SELECT 1/0')")):
        try:
            rows(connection, sql)
            seen[name] = "no error"
        except Exception as error:
            seen[name] = type(error).__name__
    return {**seen, "after": rows(connection, "SELECT count(*) FROM far.customers")}


def case_transactions(context):
    connection = attached(context)
    connection.execute("BEGIN")
    seen = {"in": rows(connection, "SELECT count(*) FROM far.customers")}
    connection.execute("COMMIT")
    return {**seen, "after": rows(connection, "SELECT count(*) FROM far.orders")}


def case_metadata(context):
    connection = attached(context)
    return {"tables": rows(connection, "SELECT schema_name, table_name, column_count FROM duckdb_tables() WHERE database_name = 'far' "
                               "AND schema_name IN ('public', 'crm') ORDER BY 1, 2"),
            "columns": rows(connection, "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE database_name = 'far' "
                                        "AND table_name = 'kinds' ORDER BY column_index")}
