"""psycopg 3: binding on the server and on the client, text and binary, pipelines, COPY."""
import asyncio
import datetime
import decimal
import threading
import uuid

import fixtures
import questions
from questions import spell, spell_rows
from server import MIB, MemoryWatch, wait_busy

CURSOR_GROWTH = 64 * MIB


def connect(context, **more):
    import psycopg
    server = context.server(fixtures.office)
    return psycopg.connect(host=server.host, port=server.port, user="analyst", dbname="loyalhouse",
                           application_name=questions.APPLICATION, options=f"-c TimeZone={questions.TIME_ZONE}",
                           **{"autocommit": True, **more})


def case_connect(context):
    with connect(context) as connection:
        info = connection.info
        assert info.server_version // 10000 == 15 and info.backend_pid and not info.password
        seen = {name: info.parameter_status(name) for name in ("application_name", "TimeZone", "DateStyle")}
        seen["info"] = [info.dbname, info.user, info.encoding, str(info.timezone), info.status.name]
        seen["asked"] = spell_rows(connection.execute("SELECT current_user, current_setting('TimeZone')").fetchall())
        seen["parameters"] = info.get_parameters()["application_name"]
    return {**seen, "closed": connection.closed}


def case_query(context):
    with connect(context) as connection:
        return questions.answers("query", lambda sql: spell_rows(connection.execute(sql).fetchall()))


VALUES = {
    "bool": True, "small": 7, "int4": 70_000, "int8": 2**40, "numeric_int": 2**70, "float": 1.5, "nan": float("nan"),
    "decimal": decimal.Decimal("12.30"), "text": "it's \\ here", "bytes": b"\x00\xff'", "none": None,
    "date": datetime.date(2024, 2, 29), "time": datetime.time(12, 34, 56, 789), "interval": datetime.timedelta(3, 4, 5),
    "timestamp": datetime.datetime(2024, 2, 29, 1, 2, 3, 4), "uuid": uuid.UUID(int=7), "ints": [1, 2, None],
    "timestamptz": datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.timezone.utc), "texts": ["a", 'b"c', None],
    "matrix": [[1, 2], [3, 4]], "decimals": [decimal.Decimal("1.5")], "dates": [datetime.date(2024, 2, 29)], "empty": []}
INFERRED = {
    "equal": ("SELECT name FROM customers WHERE id = {}", [5]),
    "text": ("SELECT count(*) FROM customers WHERE city = {} AND name LIKE {}", ["Oslo", "Customer 1%"]),
    "date": ("SELECT count(*) FROM customers WHERE joined >= {}", [datetime.date(2022, 1, 1)]),
    "date text": ("SELECT count(*) FROM customers WHERE joined >= {}", ["2022-01-01"]),
    "limit": ("SELECT id FROM customers ORDER BY id LIMIT {} OFFSET {}", [2, 3]),
    "any": ("SELECT id FROM customers WHERE id = ANY({}) ORDER BY id", [[3, 1]]),
    "any text": ("SELECT count(*) FROM customers WHERE city = ANY({})", [["Oslo", "Lima"]]),
    "in": ("SELECT id FROM customers WHERE id IN ({}, {}) ORDER BY id", [4, 2]),
    "numeric": ("SELECT count(*) FROM orders WHERE amount > {}", [decimal.Decimal("150.5")]),
    "arithmetic": ("SELECT id + {} FROM customers WHERE id = 1", [41]),
    "cast": ("SELECT {}::int + 1, {}::date, {}::text", ["41", "2024-02-29", "x"]),
    "interval": ("SELECT date '2024-01-31' + {}", [datetime.timedelta(1)]),
    "case": ("SELECT CASE WHEN id = {} THEN {} ELSE 'no' END FROM customers WHERE id < 3 ORDER BY id", [1, "yes"]),
    "values": ("SELECT * FROM (VALUES ({}::int, {}::text), ({}, {})) v ORDER BY 1", [2, "b", 1, "a"]),
}


def answers_to_parameters(connection, formats, cursor):
    """Every value with every format, asked for its type; and statements whose parameter types are inferred."""
    seen = {}
    for form in formats:
        for name, value in VALUES.items():
            seen[f"{name} %{form}"] = answer(cursor, f"SELECT %{form}", [value])
        for name, (sql, values) in INFERRED.items():
            seen[f"{name} %{form}"] = answer(cursor, sql.replace("{}", f"%{form}"), values)
    return seen


def answer(cursor, sql, values):
    try:
        rows = cursor.execute(sql, values).fetchall()
        return [spell_rows(rows), [column.type_code for column in cursor.description]]
    except Exception as error:
        return questions.failure(error)


def case_parameters(context):
    """Sent apart from the statement, as text (%t), as binary (%b) and as the driver likes (%s)."""
    with connect(context) as connection:
        return answers_to_parameters(connection, "stb", connection.cursor())


def case_parameters_client(context):
    """Written into the statement by the driver."""
    import psycopg
    with connect(context, cursor_factory=psycopg.ClientCursor) as connection:
        return answers_to_parameters(connection, "s", connection.cursor())


def case_parameters_raw(context):
    """PostgreSQL's own $1."""
    import psycopg
    with connect(context, cursor_factory=psycopg.RawCursor) as connection:
        cursor = connection.cursor()
        many = f"SELECT count(*) FROM lines WHERE id IN ({', '.join(f'${number}' for number in range(1, 1001))})"
        return {"one": answer(cursor, "SELECT $1::int, $1 + 1", [1]), "thousand": answer(cursor, many, list(range(1000)))}


def kinds(context, binary):
    with connect(context) as connection:
        cursor = connection.cursor(binary=binary)
        return questions.answers("kind", lambda kind: spell(cursor.execute(f"SELECT {kind}").fetchone()[0]))


def case_types_text(context):
    return kinds(context, False)


def case_types_binary(context):
    return kinds(context, True)


def case_prepared(context):
    seen = {}
    with connect(context, prepare_threshold=2) as connection:
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            sql = "SELECT id, name, joined, %s::numeric FROM customers WHERE id = %s"
            seen[f"binary {binary}"] = [spell_rows(cursor.execute(sql, (decimal.Decimal(number), number)).fetchall())
                                        for number in range(1, 1 + questions.REUSES)]
        rows = connection.execute("SELECT count(*) > 0, bool_and(from_sql) FROM pg_prepared_statements").fetchall()
        seen["statements"] = spell_rows(rows)
        connection.execute("DISCARD ALL")
        seen["discarded"] = spell_rows(connection.execute("SELECT count(*) FROM pg_prepared_statements", prepare=False).fetchall())
    return seen


def in_order(rows):
    expected = 0
    for number, label in rows:
        expected += 1
        assert number == expected and label == f"line {number}", (number, label, expected)
    assert expected == questions.LINES, expected


def case_cursor(context):
    """A named cursor by pages of 1,000, in text and in binary."""
    with connect(context, autocommit=False) as connection, MemoryWatch(context.server(fixtures.office)) as watch:
        for binary in (False, True):
            with connection.cursor(name="page", binary=binary) as cursor:
                cursor.itersize = 1000
                in_order(cursor.execute("SELECT id, label FROM lines WHERE id > %s ORDER BY id", (0,)))
    context.note(str(watch))
    assert context.oracle or watch.growth < CURSOR_GROWTH, str(watch)


def case_cursor_stream(context):
    """Rows one by one, and in chunks where libpq has them."""
    with connect(context) as connection, MemoryWatch(context.server(fixtures.office)) as watch:
        in_order(connection.cursor().stream("SELECT id, label FROM lines ORDER BY id"))
        in_order(connection.cursor(binary=True).stream("SELECT id, label FROM lines ORDER BY id", size=1000))
    context.note(str(watch))
    assert context.oracle or watch.growth < CURSOR_GROWTH, str(watch)


def case_cursor_scroll(context):
    """Moving forward, which every cursor can."""
    with connect(context, autocommit=False) as connection, connection.cursor(name="move", scrollable=False) as cursor:
        cursor.execute("SELECT id FROM lines ORDER BY id")
        cursor.scroll(10)
        return {"rows": spell_rows(cursor.fetchmany(2)), "described": [column.type_code for column in cursor.description]}


def case_copy(context):
    seen = {}
    with connect(context) as connection:
        cursor = connection.cursor()
        for options in ("", "(FORMAT csv, HEADER, NULL 'nil')", "(FORMAT binary)"):
            with cursor.copy(f"COPY (SELECT * FROM kinds WHERE id > %s ORDER BY id) TO STDOUT {options}", (0,)) as copy:
                seen[f"bytes {options}"] = b"".join(copy).hex()
            seen[f"status {options}"] = cursor.statusmessage
        for form in ("", "(FORMAT binary)"):
            with cursor.copy(f"COPY (SELECT id, name, joined FROM customers ORDER BY id LIMIT 3) TO STDOUT {form}") as copy:
                copy.set_types(["int8", "text", "date"])
                seen[f"rows {form}"] = spell_rows(copy.rows())
        with cursor.copy("COPY lines TO STDOUT") as copy:
            assert sum(bytes(block).count(b"\n") for block in copy) == questions.LINES
    return seen


def case_pipeline(context):
    """Thirty statements without waiting; one that fails takes those up to the next Sync with it."""
    with connect(context) as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int, name FROM customers WHERE id = %s", (number, number))
                       for number in range(1, 31)]
            seen = {"rows": [spell_rows(cursor.fetchall()) for cursor in cursors]}
        with connection.pipeline() as pipeline:
            first = connection.execute("SELECT 1")
            pipeline.sync()
            connection.execute("SELECT 1/0")
            third = connection.execute("SELECT 3")
            seen["failed"] = questions.must_fail(pipeline.sync)
            seen["first"], seen["third"] = spell_rows(first.fetchall()), questions.must_fail(third.fetchall)
        return {**seen, "after": spell_rows(connection.execute("SELECT 4").fetchall())}


def case_cancel(context):
    server = context.server(fixtures.office)
    with connect(context) as connection:
        seen = {}
        for name, stop in (("cancel", connection.cancel), ("safe", connection.cancel_safe)):
            stopper = threading.Thread(target=lambda: (wait_busy(server), stop()))
            stopper.start()
            seen[name] = questions.must_fail(connection.execute, questions.ENDLESS)
            stopper.join()
        connection.execute("SET statement_timeout = 200")
        seen["timeout"] = questions.must_fail(connection.execute, questions.ENDLESS)
        return {**seen, "alive": spell_rows(connection.execute("SELECT 1").fetchall())}


def case_errors(context):
    with connect(context) as connection:
        simple = questions.answers("error", lambda sql: spell_rows(connection.execute(sql).fetchall()))
        extended = questions.answers("error", lambda sql: spell_rows(connection.execute(sql, (), binary=True).fetchall()))
        return {**simple, **{f"{name} extended": value for name, value in extended.items()}}


def case_transactions(context):
    with connect(context) as connection:
        def status():
            return connection.info.transaction_status.name
        seen = {"idle": status()}
        with connection.transaction():
            seen["in"] = status()
            seen["inner"] = questions.must_fail(nested, connection)
            seen["back"] = [status(), spell_rows(connection.execute("SELECT 2").fetchall())]
        connection.autocommit, connection.read_only, connection.isolation_level = False, True, 4
        connection.execute("SELECT 1")
        seen["level"] = spell_rows(connection.execute("SHOW transaction_isolation").fetchall())
        seen["error"] = questions.must_fail(connection.execute, "SELECT 1/0")
        seen["failed"] = [status(), questions.must_fail(connection.execute, "SELECT 1")]
        connection.rollback()
        return {**seen, "after": status()}


def nested(connection):
    with connection.transaction():
        connection.execute("SELECT no_such FROM customers")


def case_metadata(context):
    """cursor.description of all kinds, and the types the driver looks up by name."""
    from psycopg.types import TypeInfo
    with connect(context) as connection:
        def describe(sql):
            found = connection.execute(sql).description
            return [[column.name, column.type_code, column.type_display, column.precision, column.scale,
                     column.internal_size, column.display_size] for column in found]
        seen = questions.answers("kind", lambda kind: describe(f"SELECT {kind}"))
        for name in ("int4", "numeric", "timestamptz", "jsonb", "text", "uuid", "no_such_type"):
            found = TypeInfo.fetch(connection, name)
            seen[f"type {name}"] = found and [found.name, found.oid, found.array_oid, found.delimiter]
        return seen


def case_async(context):
    async def main():
        import psycopg
        server = context.server(fixtures.office)
        async with await psycopg.AsyncConnection.connect(host=server.host, port=server.port, user="analyst",
                                                         dbname="loyalhouse") as connection:
            cursor = await connection.execute("SELECT count(*) FROM customers WHERE id > %s", (10,))
            return spell_rows(await cursor.fetchall())
    return {"rows": asyncio.run(main())}
