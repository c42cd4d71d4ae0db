"""Drivers do what their first page of documentation shows."""
import asyncio
import os
import shutil
import subprocess
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import fixtures

NODE_LIMIT = 60.0  # seconds
TYPES = """SELECT CAST(1 AS smallint) AS small, CAST(2 AS integer) AS four, CAST(3 AS bigint) AS eight,
                  CAST(1.5 AS real) AS real, CAST(2.5 AS double precision) AS double, CAST(12.34 AS numeric(10, 2)) AS exact,
                  true AS yes, 'текст' AS words, DATE '2024-02-29' AS day,
                  TIMESTAMP '2024-02-29 12:34:56.789012' AS moment, CAST(NULL AS integer) AS nothing"""
VALUES = (1, 2, 3, 1.5, 2.5, Decimal("12.34"), True, "текст", date(2024, 2, 29), datetime(2024, 2, 29, 12, 34, 56, 789012),
          None)


def psycopg_connection(server, **more):
    import psycopg
    return psycopg.connect(host=server.host, port=server.port, user="analyst", dbname="loyalhouse", **more)


def case_psycopg(context):
    """A transaction block, parameters of several types, types in text and in binary, prepared statements, errors."""
    import psycopg
    server = context.server(fixtures.shop)
    with psycopg_connection(server) as connection:
        for binary in (False, True):
            assert connection.cursor(binary=binary).execute(TYPES).fetchone() == VALUES
        found = connection.execute("SELECT name FROM customers WHERE id = %s AND city = %s AND joined > %s",
                                   (5, "Lima", date(2019, 1, 1))).fetchall()
        assert found == [("Customer 5",)], found
        for _ in range(10):  # the driver prepares on the server after the fifth time
            assert connection.execute("SELECT count(*) FROM orders WHERE id <= %s", (50,)).fetchone() == (50,)
        assert connection.info.transaction_status.name == "INTRANS"
        connection.commit()
        try:
            connection.execute("SELECT no_such FROM customers")
            raise AssertionError("no error")
        except psycopg.errors.UndefinedColumn:
            assert connection.info.transaction_status.name == "INERROR"
        connection.rollback()
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.info.parameter_status("server_version"), "no server_version was reported"
        assert connection.info.encoding == "utf-8"


def case_psycopg_named_cursor(context):
    """A server-side cursor: DECLARE and FETCH."""
    with psycopg_connection(context.server(fixtures.shop)) as connection:
        with connection.cursor(name="page") as cursor:
            cursor.itersize = 700
            cursor.execute("SELECT id FROM orders ORDER BY id")
            assert [row[0] for row in cursor] == list(range(1, fixtures.ORDERS + 1))


def case_psycopg_pipeline(context):
    """Several statements in flight; an error in the middle skips to the next Sync."""
    import psycopg
    with psycopg_connection(context.server(fixtures.shop), autocommit=True) as connection:
        if not psycopg.Pipeline.is_supported():
            raise AssertionError("this libpq has no pipeline mode")
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", (number,)) for number in range(20)]
            assert [cursor.fetchone()[0] for cursor in cursors] == list(range(20))
        try:
            with connection.pipeline() as pipeline:
                connection.execute("SELECT 1/0")
                pipeline.sync()
        except psycopg.errors.DivisionByZero:
            pass
        assert connection.execute("SELECT 2").fetchone() == (2,)


def case_psycopg_copy(context):
    """COPY (query) TO STDOUT."""
    with psycopg_connection(context.server(fixtures.shop), autocommit=True) as connection:
        with connection.cursor().copy("COPY (SELECT id, city FROM customers ORDER BY id) TO STDOUT") as copy:
            rows = [line.split("\t") for line in b"".join(copy).decode().splitlines()]
        assert len(rows) == fixtures.CUSTOMERS and rows[0] == ["1", "Oslo"], rows[:2]


async def asyncpg_session(server):
    import asyncpg
    connection = await asyncpg.connect(host=server.host, port=server.port, user="analyst", database="loyalhouse", timeout=30)
    try:
        assert tuple(await connection.fetchrow(TYPES)) == VALUES
        assert await connection.fetchval("SELECT count(*) FROM customers WHERE city = $1 AND id > $2", "Oslo", 500) == 167
        async with connection.transaction():
            seen = [row["id"] async for row in connection.cursor("SELECT id FROM orders ORDER BY id", prefetch=500)]
        assert seen == list(range(1, fixtures.ORDERS + 1))
        try:
            await connection.fetch("SELECT * FROM no_such_table")
            raise AssertionError("no error")
        except asyncpg.UndefinedTableError:
            pass
        assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connection.close()


def case_asyncpg(context):
    """All in binary: types, parameters, a portal read by pages, errors."""
    asyncio.run(asyncpg_session(context.server(fixtures.shop)))


def case_node(context):
    """node-postgres: connect, a parameterised query, a thousand rows, an error, a prepared statement."""
    if shutil.which("node") is None or not (context.clients / "node" / "node_modules" / "pg").is_dir():
        raise FileNotFoundError(2, "no such client", "node-postgres")
    server = context.server(fixtures.shop)
    environment = {**os.environ, "NODE_PATH": str(context.clients / "node" / "node_modules"),
                   "SERVER_HOST": server.host, "SERVER_PORT": str(server.port)}
    done = subprocess.run(["node", str(Path(__file__).parent / "node_smoke.js")], env=environment, capture_output=True,
                          text=True, timeout=NODE_LIMIT)
    assert done.returncode == 0 and done.stdout.strip() == "ok", done.stdout + done.stderr
