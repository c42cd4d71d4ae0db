"""Endurance: sixteen connections run one prepared small SELECT again and again; no error, and memory stands still."""
import asyncio
import time

import fixtures
from server import MIB

CONNECTIONS = 16
WARM_UP = 3  # seconds: caches and the allocator's arenas fill
SECONDS, LONG_SECONDS = 6, 60
GROWTH_LIMIT = 16 * MIB  # after the warm-up
SQL = "SELECT name, city FROM customers WHERE id = $1"


async def worker(server, until, counts):
    import asyncpg
    connection = await asyncpg.connect(host=server.host, port=server.port, user="analyst", database="loyalhouse")
    try:
        statement = await connection.prepare(SQL)
        number = 0
        while time.monotonic() < until:
            number = number % fixtures.CUSTOMERS + 1
            row = await statement.fetchrow(number)
            assert row["name"] == f"Customer {number}", row
            counts.append(1)
    finally:
        await connection.close()


def rounds(server, seconds):
    async def main():
        counts, until = [], time.monotonic() + seconds
        await asyncio.gather(*(worker(server, until, counts) for _ in range(CONNECTIONS)))
        return len(counts)
    return asyncio.run(main())


def case_prepared_select(context):
    server, seconds = context.server(fixtures.office), LONG_SECONDS if context.long else SECONDS
    rounds(server, WARM_UP)
    before = server.memory()[0]
    count = rounds(server, seconds)
    growth = server.memory()[0] - before
    context.note(f"{count / seconds:.0f} statements a second, memory {before / MIB:.0f} MiB, grew by {growth / MIB:.1f} MiB")
    assert context.oracle or growth < GROWTH_LIMIT, f"the server grew by {growth / MIB:.1f} MiB"
