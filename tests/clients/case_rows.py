"""Ten million rows to a client: the first one comes while the scan still runs, and the server does not keep them."""
import subprocess
import sys
import time

import fixtures
import psql
import wire
from server import MIB, MemoryWatch

SELECT = "SELECT * FROM big"
GROWTH_LIMIT = 64 * MIB
FIRST_ROW_SHARE = 0.5  # of the time to the last row
CASE_LIMIT = 600  # seconds
ID_SUM = fixtures.BIG_ROWS * (fixtures.BIG_ROWS - 1) // 2
WAKE_UP = "SELECT count(*), min(id), max(channel) FROM big"  # threads, footers and allocator are there before we measure


def woken(context):
    server = context.server(fixtures.big)
    with wire.Wire(server.address) as connection:
        connection.socket.settimeout(CASE_LIMIT)
        assert connection.value(WAKE_UP) == str(fixtures.BIG_ROWS)
    return server


def bounded(context, watch):
    context.note(str(watch))
    if not context.oracle:
        assert watch.growth < GROWTH_LIMIT, f"the server grew by {watch.growth / MIB:.0f} MiB"


def early(context, first, last, rows, sent=None):
    size = f", {sent / MIB:.0f} MiB" if sent else ""
    context.note(f"first row {1000 * first:.0f} ms, last {last:.2f} s, {rows / last / 1e6:.2f} M rows/s{size}")
    assert rows == fixtures.BIG_ROWS, f"{rows} rows"
    assert first < FIRST_ROW_SHARE * last, "the first row came late: the server collects"


def raw(request):
    def run(context):
        server = woken(context)
        with wire.Wire(server.address) as connection, MemoryWatch(server) as watch:
            connection.socket.settimeout(CASE_LIMIT)
            connection.send(request)
            answer = connection.drain()
            assert connection.value("SELECT 1") == "1"
        if answer.error:
            raise answer.error
        early(context, answer.first, answer.last, answer.rows, answer.bytes)
        assert answer.tag == f"SELECT {fixtures.BIG_ROWS}", answer.tag
        bounded(context, watch)
    run.limit = CASE_LIMIT
    return run


def portal(context):
    """Execute with a row limit again and again: PortalSuspended until the rows are out."""
    page = 100_000
    server = woken(context)
    with wire.Wire(server.address) as connection, MemoryWatch(server) as watch:
        connection.socket.settimeout(CASE_LIMIT)
        start, rows, first = time.monotonic(), 0, None
        connection.send(wire.message(b"Q", wire.text("BEGIN")))
        connection.drain()
        connection.send(wire.parse(SELECT) + wire.bind() + wire.execute(page) + wire.SYNC)
        while True:
            answer = connection.drain()
            if answer.error:
                raise answer.error
            rows += answer.rows
            first = first or time.monotonic() - start
            if answer.tag:
                break
            assert answer.rows == page, answer.rows
            connection.send(wire.execute(page) + wire.SYNC)
        last = time.monotonic() - start
    early(context, first, last, rows)
    bounded(context, watch)


def psycopg_stream(context):
    """The unnamed statement, rows one chunk at a time, binary."""
    import psycopg
    server = woken(context)
    with psycopg.connect(host=server.host, port=server.port, user="analyst", dbname="loyalhouse",
                         autocommit=True) as connection, MemoryWatch(server) as watch:
        start, rows, total, first = time.monotonic(), 0, 0, None
        for row in connection.cursor(binary=True).stream(SELECT, size=1000 if psycopg.pq.version() >= 170000 else 1):
            first = first or time.monotonic() - start
            rows += 1
            total += row[0]
        last = time.monotonic() - start
    early(context, first, last, rows)
    assert total == ID_SUM, "the rows are not the table's rows"
    bounded(context, watch)


PLAIN = """
import sys, psycopg
with psycopg.connect(host=sys.argv[1], port=sys.argv[2], user="analyst", dbname="loyalhouse") as connection:
    print(connection.execute(sys.argv[3]).rowcount)
"""


def psycopg_plain(context):
    """execute() without a fetch size: this client keeps all rows (in a process of its own), the server must not."""
    import psycopg  # noqa: F401 (a missing client is named here rather than in the child)
    server = woken(context)
    with MemoryWatch(server) as watch:
        done = subprocess.run([sys.executable, "-c", PLAIN, server.host, str(server.port), SELECT], capture_output=True,
                              text=True, timeout=CASE_LIMIT)
    assert done.stdout.strip() == str(fixtures.BIG_ROWS), done.stdout + done.stderr
    bounded(context, watch)


def through_psql(*options):
    def run(context):
        server = woken(context)
        program = psql.command(server, "-X", "-A", "-t", *options, "-c", SELECT, database="loyalhouse")
        with MemoryWatch(server) as watch:
            start = time.monotonic()
            client = subprocess.Popen(program, stdout=subprocess.PIPE, env=psql.environment())
            adder = subprocess.run(["awk", "-F|", "{n++; s+=$1} END {printf \"%d %.0f\", n, s}"], stdin=client.stdout,
                                   capture_output=True, text=True, timeout=CASE_LIMIT)
            client.stdout.close()
            assert client.wait(CASE_LIMIT) == 0, "psql failed"
        context.note(f"{time.monotonic() - start:.1f} s")
        assert adder.stdout.split() == [str(fixtures.BIG_ROWS), str(ID_SUM)], adder.stdout
        bounded(context, watch)
    run.limit = CASE_LIMIT
    return run


def cases():
    for function in (portal, psycopg_stream, psycopg_plain):
        function.limit = CASE_LIMIT
    return [
        ("simple_text", raw(wire.query(SELECT))),
        ("extended_text", raw(wire.extended(SELECT))),
        ("extended_binary", raw(wire.extended(SELECT, binary=True))),
        ("extended_max_rows", raw(wire.extended(SELECT, max_rows=2**31 - 1))),
        ("portal_pages", portal),
        ("psycopg_stream", psycopg_stream),
        ("psycopg_plain", psycopg_plain),
        ("psql", through_psql()),
        ("psql_fetch_count", through_psql("-v", "FETCH_COUNT=1000")),
    ]
