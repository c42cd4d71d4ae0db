"""psqlODBC through pyodbc and unixODBC: SQLTables and kin, server-side prepare, Use Declare/Fetch."""
import datetime
import decimal
import threading
import uuid
from pathlib import Path

import fixtures
import questions
from questions import spell, spell_rows

DRIVERS = ("/usr/lib/x86_64-linux-gnu/odbc/psqlodbcw.so", "/usr/lib/aarch64-linux-gnu/odbc/psqlodbcw.so")
UTC_SETTINGS = f"SET TimeZone = '{questions.TIME_ZONE}'"


def connect(context, **more):
    import pyodbc
    server = context.server(fixtures.office)
    driver = next((path for path in DRIVERS if Path(path).exists()), None)
    if driver is None:
        raise FileNotFoundError(2, "no such client", "psqlodbcw.so")
    options = {"Driver": driver, "Server": server.host, "Port": server.port, "UID": "analyst", "Database": "loyalhouse",
               "ConnSettings": UTC_SETTINGS.replace(" ", "+"), "SSLmode": "disable", "BoolsAsChar": 0, **more}
    return pyodbc.connect(";".join(f"{key}={value}" for key, value in options.items()), autocommit=more.get("autocommit", True))


def fetch(connection, sql, *values):
    cursor = connection.cursor()
    try:
        return spell_rows(cursor.execute(sql, *values).fetchall())
    finally:
        cursor.close()


def failure(error):
    """ODBC's own SQLSTATE is the first argument."""
    return f"! {type(error).__name__} {error.args[0] if error.args else ''}"


def answers(section, ask):
    found = {}
    for name, sql in questions.section(section).items():
        try:
            found[name] = ask(sql)
        except Exception as error:
            found[name] = failure(error)
    return found


def case_connect(context):
    import pyodbc
    connection = connect(context)
    assert connection.getinfo(pyodbc.SQL_DBMS_VER).startswith(("15.", "0015."))
    names = ("SQL_DBMS_NAME", "SQL_DATABASE_NAME", "SQL_IDENTIFIER_CASE", "SQL_IDENTIFIER_QUOTE_CHAR", "SQL_TXN_CAPABLE",
             "SQL_DEFAULT_TXN_ISOLATION", "SQL_MAX_IDENTIFIER_LEN", "SQL_USER_NAME", "SQL_DATA_SOURCE_READ_ONLY", "SQL_CATALOG_NAME")
    seen = {name: spell(connection.getinfo(getattr(pyodbc, name))) for name in names}
    return {**seen, "asked": fetch(connection, "SELECT current_user, current_database(), current_setting('TimeZone')")}


def case_query(context):
    connection = connect(context)
    return answers("query", lambda sql: fetch(connection, sql))


def case_parameters(context):
    connection = connect(context)
    values = {"bool": True, "int": 7, "int8": 2**40, "float8": 1.5, "numeric": decimal.Decimal("-12.3450"), "text": "it's текст",
              "bytea": b"\x00\xff", "date": datetime.date(2024, 2, 29), "time": datetime.time(1, 2, 3),
              "timestamp": datetime.datetime(2024, 2, 29, 1, 2, 3, 4000), "uuid": uuid.UUID(int=7), "varchar": None}
    seen = {}
    for prepare in (0, 1):  # the driver writes the values itself, or sends them apart
        connection = connect(context, UseServerSidePrepare=prepare)
        for kind, value in values.items():
            seen[f"{kind} {prepare}"] = attempt(lambda: fetch(connection, f"SELECT ?::{kind}", value))
        statements = {"equal": ("SELECT name FROM customers WHERE id = ?", 5),
                      "and": ("SELECT count(*) FROM customers WHERE city = ? AND id > ?", "Oslo", 500),
                      "date": ("SELECT count(*) FROM customers WHERE joined >= ?", datetime.date(2022, 1, 1)),
                      "amount": ("SELECT count(*) FROM orders WHERE amount > ?", decimal.Decimal("150.5")),
                      "limit": ("SELECT id FROM customers ORDER BY id LIMIT ?", 2)}
        for name, (sql, *given) in statements.items():
            seen[f"{name} {prepare}"] = attempt(lambda: fetch(connection, sql, *given))
    return seen


def attempt(action):
    try:
        return action()
    except Exception as error:
        return failure(error)


def case_types_text(context):
    connection = connect(context)

    def ask(kind):
        days = [datetime.date.today()]
        cursor = connection.cursor().execute(f"SELECT {kind} AS v")
        about, value = cursor.description[0], cursor.fetchone()[0]
        days.append(datetime.date.today())
        # The driver takes the infinite date for today.
        seen = "today" if type(value) is datetime.date and value in days else spell(value)
        return [seen, about[1].__name__, *about[3:6]]
    return answers("kind", ask)


def case_prepared(context):
    connection = connect(context, UseServerSidePrepare=1)
    cursor = connection.cursor()
    rows = [spell_rows(cursor.execute("SELECT id, name, joined FROM customers WHERE id = ?", number).fetchall())
            for number in range(1, 1 + questions.REUSES)]
    return {"rows": rows}


def case_cursor(context):
    """Use Declare/Fetch: DECLARE a cursor, FETCH 1000."""
    connection = connect(context, UseDeclareFetch=1, Fetch=1000, autocommit=False)
    expected = 0
    for number, label in connection.cursor().execute("SELECT id, label FROM lines ORDER BY id"):
        expected += 1
        assert number == expected and label == f"line {number}", (number, label)
    assert expected == questions.LINES, expected
    connection.rollback()


def case_cancel(context):
    connection = connect(context)
    cursor = connection.cursor()
    stopper = threading.Timer(0.7, cursor.cancel)
    stopper.start()
    seen = {"canceled": attempt(lambda: cursor.execute(questions.ENDLESS).fetchall())}
    stopper.join()
    connection.cursor().execute("SET statement_timeout = 300")
    seen["timeout"] = attempt(lambda: connection.cursor().execute(questions.ENDLESS).fetchall())
    return {**seen, "alive": fetch(connection, "SELECT 1")}


def case_errors(context):
    connection = connect(context)
    return answers("error", lambda sql: fetch(connection, sql))


def case_transactions(context):
    seen = {}
    for protocol in ("7.4-0", "7.4-1", "7.4-2"):  # on an error: nothing, roll back all, roll back the statement
        connection = connect(context, autocommit=False, Protocol=protocol)
        seen[f"{protocol} one"] = fetch(connection, "SELECT 1")
        seen[f"{protocol} error"] = attempt(lambda: fetch(connection, "SELECT 1/0"))
        seen[f"{protocol} after"] = attempt(lambda: fetch(connection, "SELECT 2"))
        connection.rollback()
        seen[f"{protocol} rolled back"] = fetch(connection, "SELECT 3")
        connection.commit()
    return seen


def without_oid(cursor):
    """The rows but for the table's OID, which is the server's own affair."""
    kept = [at for at, column in enumerate(cursor.description) if column[0].upper() != "TABLE OID"]
    return sorted([spell(row[at]) for at in kept] for row in cursor.fetchall())  # some of its queries leave the order open


def case_metadata(context):
    cursor = connect(context).cursor()
    types = {"int4", "int8", "numeric", "text", "varchar", "bool", "date", "timestamp without time zone", "bytea", "uuid"}
    asked = {
        "tables": lambda: cursor.tables(schema="public"), "tables by pattern": lambda: cursor.tables(table="cust%", tableType="TABLE"),
        "schemas": lambda: cursor.tables(catalog="", schema="%", table=""), "types of tables": lambda: cursor.tables("", "", "", "%"),
        "columns": lambda: cursor.columns(table="kinds", schema="public"), "other columns": lambda: cursor.columns(table="accounts", schema="crm"),
        "primary keys": lambda: cursor.primaryKeys("customers"), "foreign keys": lambda: cursor.foreignKeys("orders"),
        "statistics": lambda: cursor.statistics("customers"), "row ids": lambda: cursor.rowIdColumns("customers"),
        "versions": lambda: cursor.rowVerColumns("customers"), "procedures": lambda: cursor.procedures(schema="pg_catalog", procedure="make_date"),
        "procedure columns": lambda: cursor.procedureColumns(schema="pg_catalog", procedure="make_date")}
    seen = {name: attempt(lambda: without_oid(ask())) for name, ask in asked.items()}
    seen["types"] = [spell_rows([row]) for row in cursor.getTypeInfo().fetchall() if row[0] in types]
    return seen
