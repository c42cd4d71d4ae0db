"""psycopg2: the DB-API driver on libpq that most Python tools use."""
import datetime
import decimal
import io
import threading
import uuid

import fixtures
import questions
from questions import spell, spell_rows
from server import MIB, MemoryWatch, wait_busy

CURSOR_GROWTH = 64 * MIB


def connect(context, **more):
    import psycopg2
    server = context.server(fixtures.office)
    return psycopg2.connect(host=server.host, port=server.port, user="analyst", dbname="loyalhouse",
                            application_name=questions.APPLICATION, options=f"-c TimeZone={questions.TIME_ZONE}", **more)


def fetch(connection, sql, values=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def autocommit(context):
    connection = connect(context)
    connection.autocommit = True
    return connection


def case_connect(context):
    connection = autocommit(context)
    info = connection.info
    names = ("server_version", "is_superuser", "client_encoding", "DateStyle", "TimeZone", "integer_datetimes",
             "standard_conforming_strings", "application_name", "session_authorization", "IntervalStyle")
    seen = {name: info.parameter_status(name) for name in names if name not in ("server_version", "is_superuser")}
    assert info.parameter_status("server_version").startswith("15.")
    assert info.server_version // 10000 == 15 and info.protocol_version == 3 and info.backend_pid
    asked = "SELECT current_user, current_database(), current_setting('application_name'), current_setting('TimeZone')"
    seen["asked"] = spell_rows(fetch(connection, asked))
    connection.set_client_encoding("UTF8")
    connection.set_session(readonly=True)
    seen["reset"] = connection.reset()
    connection.close()
    seen["closed"] = connection.closed
    return seen


def case_query(context):
    connection = autocommit(context)
    return questions.answers("query", lambda sql: spell_rows(fetch(connection, sql)))


def case_parameters(context):
    """The driver writes values into the text, so what matters is that the literals are understood."""
    from psycopg2.extras import Json, register_uuid
    register_uuid()
    connection = autocommit(context)
    values = [True, 7, -2**62, 1.5, float("nan"), decimal.Decimal("12.30"), "it's \\ here", b"\x00\xff'\\",
              datetime.date(2024, 2, 29), datetime.time(12, 34, 56, 789), datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
              datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.timezone.utc), datetime.timedelta(3, 4, 5), None,
              [1, 2, None], ["a", 'b"c'], uuid.UUID(int=7), Json({"a": [1, None]})]
    seen = {f"{at} {type(value).__name__}": spell_rows(fetch(connection, "SELECT %s", (value,)))
            for at, value in enumerate(values)}
    seen["named"] = spell_rows(fetch(connection, "SELECT name FROM customers WHERE id = %(id)s AND city IN %(cities)s",
                                     {"id": 5, "cities": ("Lima", "Oslo")}))
    seen["any"] = spell_rows(fetch(connection, "SELECT id FROM customers WHERE id = ANY(%s) ORDER BY 1", ([1, 2, 3],)))
    seen["date"] = spell_rows(fetch(connection, "SELECT count(*) FROM customers WHERE joined >= %s AND joined < %s",
                                    (datetime.date(2021, 1, 1), datetime.date(2022, 1, 1))))
    return seen


def case_types_text(context):
    connection = autocommit(context)
    return questions.answers("kind", lambda kind: spell(fetch(connection, f"SELECT {kind}")[0][0]))


def case_prepared(context):
    connection = autocommit(context)
    with connection.cursor() as cursor:
        cursor.execute("PREPARE p (bigint) AS SELECT id, name, joined FROM customers WHERE id = $1")
        rows = []
        for number in range(1, 1 + questions.REUSES):
            cursor.execute("EXECUTE p (%s)", (number,))
            rows += spell_rows(cursor.fetchall())
        cursor.execute("DEALLOCATE p")
        return {"rows": rows, "gone": questions.must_fail(cursor.execute, "EXECUTE p (1)")}


def case_cursor(context):
    """A named cursor: DECLARE, then FETCH FORWARD 1000, a hundred times."""
    connection = connect(context)
    with MemoryWatch(context.server(fixtures.office)) as watch, connection.cursor("page") as cursor:
        cursor.itersize = 1000
        cursor.execute("SELECT id, label FROM lines ORDER BY id")
        expected = 0
        for number, label in cursor:
            expected += 1
            assert number == expected and label == f"line {number}", (number, label, expected)
    assert expected == questions.LINES, expected
    connection.rollback()
    context.note(str(watch))
    assert context.oracle or watch.growth < CURSOR_GROWTH, str(watch)


def case_cursor_hold(context):
    connection = connect(context)
    cursor = connection.cursor("kept", withhold=True)
    cursor.execute("SELECT id FROM customers ORDER BY id")
    connection.commit()
    seen = {"first": spell_rows(cursor.fetchmany(2)), "open": spell_rows(fetch(connection, "SELECT name, is_holdable FROM pg_cursors"))}
    cursor.close()
    connection.commit()
    return seen


def case_copy(context):
    connection = autocommit(context)
    seen = {}
    with connection.cursor() as cursor:
        for options in ("", "(FORMAT csv, HEADER)", "(FORMAT csv, DELIMITER ';', QUOTE '''', FORCE_QUOTE *, NULL '-')",
                        "(DELIMITER '|', NULL 'nil')", "(FORMAT binary)"):
            for source in ("kinds", "(SELECT id, note FROM customers WHERE id < 12 ORDER BY id)"):
                sink = io.BytesIO()
                cursor.copy_expert(f"COPY {source} TO STDOUT {options}", sink)
                seen[f"{source} {options}"] = spell(sink.getvalue()) if "binary" in options else sink.getvalue().decode()
        sink = io.StringIO()
        cursor.copy_to(sink, "lines", columns=("id", "label"))
        assert sink.getvalue().count("\n") == questions.LINES and cursor.rowcount == questions.LINES
    return seen


def case_cancel(context):
    connection = autocommit(context)
    server = context.server(fixtures.office)

    def stop():
        wait_busy(server)
        connection.cancel()
    stopper = threading.Thread(target=stop)
    stopper.start()
    seen = {"canceled": questions.must_fail(fetch, connection, questions.ENDLESS)}
    stopper.join()
    fetch(connection, "SELECT set_config('statement_timeout', '200ms', false)")
    seen["timeout"] = questions.must_fail(fetch, connection, questions.ENDLESS)
    seen["alive"] = spell_rows(fetch(connection, "SELECT 1"))
    return seen


def case_errors(context):
    connection = autocommit(context)
    return questions.answers("error", lambda sql: spell_rows(fetch(connection, sql)))


def case_transactions(context):
    connection = connect(context)
    status = connection.get_transaction_status
    seen = {"idle": status(), "one": spell_rows(fetch(connection, "SELECT 1")), "in": status()}
    seen["error"] = questions.must_fail(fetch, connection, "SELECT 1/0")
    seen["failed"], seen["refused"] = status(), questions.must_fail(fetch, connection, "SELECT 1")
    connection.rollback()
    seen["after"] = status()
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT a")
        seen["bad"] = questions.must_fail(cursor.execute, "SELECT no_such FROM customers")
        cursor.execute("ROLLBACK TO a")
        seen["back"] = status()
        cursor.execute("RELEASE a")
    connection.commit()
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True, deferrable=True)
    seen["level"] = spell_rows(fetch(connection, "SELECT current_setting('transaction_isolation'),"
                                                 " current_setting('transaction_read_only')"))
    connection.rollback()
    return seen


def case_metadata(context):
    """cursor.description of every kind, and of a table's columns: name, OID, size, precision, scale."""
    connection = autocommit(context)

    def describe(sql):
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return [[column.name, column.type_code, column.internal_size, column.precision, column.scale,
                     column.table_oid is not None] for column in cursor.description]
    seen = questions.answers("kind", lambda kind: describe(f"SELECT {kind}"))
    return {**seen, **{name: describe(sql) for name, sql in questions.section("query").items()}}
