"""asyncpg: everything in binary, every statement prepared, types looked up in the catalog."""
import asyncio
import datetime
import decimal
import functools
import io
import uuid

import fixtures
import questions
from questions import spell, spell_rows
from server import MIB, MemoryWatch, wait_busy

CURSOR_GROWTH = 64 * MIB
CASE_LIMIT = 90  # seconds; the driver looks up types again and again where the catalog answers wrongly


def session(function):
    """A case that gets a connection and runs in an event loop."""
    @functools.wraps(function)
    def run(context):
        async def main():
            import asyncpg
            server = context.server(fixtures.office)
            connection = await asyncpg.connect(
                host=server.host, port=server.port, user="analyst", database="loyalhouse", timeout=30,
                server_settings={"application_name": questions.APPLICATION, "timezone": questions.TIME_ZONE})
            try:
                return await function(context, connection)
            finally:
                await connection.close()
        return asyncio.run(main())
    run.limit = CASE_LIMIT
    return run


async def answers(section, ask):
    """As `questions.answers`, for a coroutine."""
    found = {}
    for question, sql in questions.section(section).items():
        try:
            found[question] = await ask(sql)
        except Exception as error:  # any driver's any error
            found[question] = questions.failure(error)
    return found


async def must_fail(awaitable):
    try:
        await awaitable
    except Exception as error:
        return questions.failure(error)
    raise AssertionError("no error")


@session
async def case_connect(context, connection):
    version, settings = connection.get_server_version(), connection.get_settings()
    assert version.major == 15 and connection.get_server_pid()
    seen = {"settings": {name: getattr(settings, name) for name in ("client_encoding", "TimeZone", "application_name")}}
    seen["asked"] = spell_rows(await connection.fetch("SELECT current_user, current_database(), current_setting('application_name')"))
    await connection.reset()
    await connection.reload_schema_state()
    return seen


@session
async def case_connect_pool(context, connection):
    import asyncpg
    server = context.server(fixtures.office)
    async with asyncpg.create_pool(host=server.host, port=server.port, user="analyst", database="loyalhouse", min_size=2,
                                   max_size=4) as pool:
        found = await asyncio.gather(*(pool.fetchval("SELECT $1::int * 2", number) for number in range(50)))
    assert found == [2 * number for number in range(50)], found


@session
async def case_query(context, connection):
    async def ask(sql):
        return spell_rows(await connection.fetch(sql))
    return await answers("query", ask)


@session
async def case_parameters(context, connection):
    utc = datetime.timezone.utc
    values = {
        "bool": True, "int2": -7, "int4": 7, "int8": 2**62, "float4": 1.5, "float8": 1e300, "text": "it's", "varchar": "v",
        "numeric": decimal.Decimal("-12.3450"), "bytea": b"\x00\xff", "date": datetime.date(2024, 2, 29),
        "time": datetime.time(1, 2, 3, 4), "timestamp": datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
        "timestamptz": datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=utc), "interval": datetime.timedelta(3, 4, 5),
        "uuid": uuid.UUID(int=7), "json": '{"a": 1}', "jsonb": '{"a": 1}', "int4[]": [1, None], "text[]": ["a", 'b"c'],
        "int4[][]": [[1, 2], [3, 4]], "numeric[]": [decimal.Decimal("1.5")], "date[]": [datetime.date(2024, 2, 29)],
        "uuid[]": [uuid.UUID(int=7)], "timestamptz[]": [datetime.datetime(2024, 2, 29, tzinfo=utc)], "bool[]": [True]}
    seen = {}
    for kind, value in values.items():
        for given in (value, None):
            try:
                row = await connection.fetchrow(f"SELECT $1::{kind}, pg_typeof($1::{kind})::text", given)
                seen[f"{kind} {'null' if given is None else 'value'}"] = spell_rows([row])
            except Exception as error:
                seen[f"{kind} {'null' if given is None else 'value'}"] = questions.failure(error)
    return seen


INFERRED = {
    "equal": ("SELECT name FROM customers WHERE id = $1", 5),
    "and": ("SELECT count(*) FROM customers WHERE city = $1 AND id > $2", "Oslo", 500),
    "date": ("SELECT count(*) FROM customers WHERE joined >= $1", datetime.date(2022, 1, 1)),
    "between": ("SELECT count(*) FROM orders WHERE ordered_at BETWEEN $1 AND $2", datetime.datetime(2024, 2, 1),
                datetime.datetime(2024, 3, 1)),
    "limit": ("SELECT id FROM customers ORDER BY id LIMIT $1 OFFSET $2", 2, 3),
    "any": ("SELECT id FROM customers WHERE id = ANY($1) ORDER BY id", [3, 1]),
    "all": ("SELECT count(*) FROM customers WHERE city <> ALL($1)", ["Oslo"]),
    "in": ("SELECT id FROM customers WHERE id IN ($1, $2) ORDER BY id", 4, 2),
    "like": ("SELECT count(*) FROM customers WHERE name LIKE $1", "Customer 1%"),
    "numeric": ("SELECT count(*) FROM orders WHERE amount > $1", decimal.Decimal("150.5")),
    "arithmetic": ("SELECT id + $1 FROM customers WHERE id = 1", 41),
    "interval": ("SELECT $1 * interval '1 day'", 2.5),
    "unknown": ("SELECT $1", "text"),
    "concat": ("SELECT 'a' || $1", "b"),
    "case": ("SELECT CASE WHEN id = $1 THEN $2 ELSE 'no' END FROM customers WHERE id < 3 ORDER BY id", 1, "yes"),
    "coalesce": ("SELECT coalesce($1, 0)", 3),
    "function": ("SELECT substr(name, $1, $2) FROM customers WHERE id = 1", 1, 4),
    "values": ("SELECT * FROM (VALUES ($1::int, $2::text)) v", 1, "a"),
    "repeated": ("SELECT $1::int, $1 + 1", 1),
}


@session
async def case_parameters_inferred(context, connection):
    """Types of parameters that nobody declared, as Describe reports them, and the answers."""
    seen = {}
    for name, (sql, *values) in INFERRED.items():
        try:
            statement = await connection.prepare(sql)
            seen[f"{name} types"] = [kind.name for kind in statement.get_parameters()]
            seen[name] = spell_rows(await statement.fetch(*values))
        except Exception as error:
            seen[name] = questions.failure(error)
    many = list(range(1000))
    sql = f"SELECT count(*) FROM lines WHERE id IN ({', '.join(f'${number + 1}' for number in many)})"
    seen["thousand"] = await connection.fetchval(sql, *many)
    return seen


@session
async def case_types_binary(context, connection):
    async def ask(kind):
        return spell(await connection.fetchval(f"SELECT {kind}"))
    return await answers("kind", ask)


@session
async def case_prepared(context, connection):
    statement = await connection.prepare("SELECT id, name, joined, $2::numeric AS extra FROM customers WHERE id = $1")
    rows = [spell_rows(await statement.fetch(number, decimal.Decimal(number))) for number in range(1, 1 + questions.REUSES)]
    return {"rows": rows, "parameters": [kind.name for kind in statement.get_parameters()],
            "attributes": [[item.name, item.type.name] for item in statement.get_attributes()],
            "status": statement.get_statusmsg()}


@session
async def case_cursor(context, connection):
    """A portal read by pages of 1,000."""
    with MemoryWatch(context.server(fixtures.office)) as watch:
        async with connection.transaction():
            expected = 0
            async for row in connection.cursor("SELECT id, label FROM lines ORDER BY id", prefetch=1000):
                expected += 1
                assert row["id"] == expected and row["label"] == f"line {expected}", row
    assert expected == questions.LINES, expected
    context.note(str(watch))
    assert context.oracle or watch.growth < CURSOR_GROWTH, str(watch)


@session
async def case_cursor_forward(context, connection):
    async with connection.transaction():
        cursor = await connection.cursor("SELECT id FROM lines WHERE id > $1 ORDER BY id", 10)
        skipped = await cursor.forward(5)
        return {"skipped": skipped, "next": spell_rows([await cursor.fetchrow()]), "more": spell_rows(await cursor.fetch(2))}


@session
async def case_copy(context, connection):
    seen = {}
    for form in ({}, {"format": "csv", "header": True}, {"format": "binary"}):
        sink = io.BytesIO()
        seen[f"status {form}"] = await connection.copy_from_query("SELECT * FROM kinds WHERE id > $1 ORDER BY id", 0,
                                                                  output=sink, **form)
        seen[f"bytes {form}"] = sink.getvalue().hex()
    sink = io.BytesIO()
    seen["table"] = await connection.copy_from_table("customers", columns=["id", "note"], output=sink, format="csv")
    seen["lines"] = sink.getvalue().count(b"\n")
    return seen


@session
async def case_cancel(context, connection):
    seen = {"timeout": await must_fail(connection.fetch(questions.ENDLESS, timeout=0.5))}
    task = asyncio.ensure_future(connection.fetch(questions.ENDLESS))
    await asyncio.get_running_loop().run_in_executor(None, wait_busy, context.server(fixtures.office))
    task.cancel()
    try:
        await task
        raise AssertionError("the query ended")
    except asyncio.CancelledError:
        pass
    seen["alive"] = await connection.fetchval("SELECT 1")
    return seen


@session
async def case_errors(context, connection):
    async def ask(sql):
        return spell_rows(await connection.fetch(sql))
    return await answers("error", ask)


@session
async def case_transactions(context, connection):
    seen = {}
    try:
        async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
            seen["level"] = await connection.fetchval("SELECT current_setting('transaction_isolation')")
            await connection.fetch("SELECT 1/0")
    except Exception as error:
        seen["error"] = questions.failure(error)
    async with connection.transaction():
        try:
            async with connection.transaction():
                await connection.fetch("SELECT no_such FROM customers")
        except Exception as error:
            seen["inner"] = questions.failure(error)
        seen["outer"] = await connection.fetchval("SELECT 2")
        assert connection.is_in_transaction()
    assert not connection.is_in_transaction()
    return seen


@session
async def case_metadata(context, connection):
    """Types of all kinds and of a table's columns, which the driver reads from the catalog."""
    async def describe(sql):
        statement = await connection.prepare(sql)
        return [[item.name, item.type.name, item.type.kind, item.type.schema] for item in statement.get_attributes()]
    seen = await answers("kind", lambda kind: describe(f"SELECT {kind}"))
    return {**seen, **await answers("query", describe)}
