"""Many at once: 200 connections running a dashboard while another is answered at once; a thousand idle connections."""
import asyncio
import statistics
import threading
import time

import fixtures
import wire
from server import MIB

CONNECTIONS = 200
IDLE_CONNECTIONS = 1_000
IDLE_GROWTH_LIMIT = 100 * MIB
PING_EVERY = 0.02  # seconds
PING_BOUND = 5.0  # seconds; the figures are printed, only a stall fails
DASHBOARD_LIMIT = 240.0  # seconds for all connections
DASHBOARD = [
    ("SELECT count(*) FROM customers", (), fixtures.CUSTOMERS),
    ("SELECT count(*) FROM (SELECT date_trunc('month', ordered_at) AS month, sum(amount) FROM orders GROUP BY 1) m",
     (), 13),
    ("SELECT count(*) FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.city = $1", ("Oslo",), None),
    ("SELECT count(*) FROM (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id HAVING count(*) > 5) r",
     (), None),
    ("SELECT avg(score) FROM surveys WHERE score IS NOT NULL AND id > $1", (100,), None),
]


class Pinger:
    """Runs SELECT 1 on a connection of its own while a block runs; keeps the times."""

    def __init__(self, server):
        self.server = server
        self.done = threading.Event()
        self.times = []
        self.error = None

    def __enter__(self):
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def _run(self):
        try:
            with wire.Wire(self.server.address) as connection:
                connection.socket.settimeout(60)
                while True:
                    start = time.monotonic()
                    assert connection.value("SELECT 1") == "1"
                    self.times.append(time.monotonic() - start)
                    if self.done.wait(PING_EVERY):
                        return
        except (OSError, EOFError, AssertionError, wire.WireError) as error:
            self.error = error

    def __exit__(self, *_error):
        self.done.set()
        self.thread.join(60)

    @property
    def worst(self):
        return max(self.times, default=float("inf"))

    def check(self, bound):
        assert self.error is None, f"SELECT 1 on another connection: {self.error!r}"
        assert self.times and not self.thread.is_alive(), "SELECT 1 on another connection never answered"
        assert self.worst < bound, f"SELECT 1 on another connection took {self.worst:.2f} s"

    def __str__(self):
        middle = statistics.median(self.times) if self.times else float("nan")
        return f"SELECT 1 elsewhere: p50 {1000 * middle:.1f} ms, max {1000 * self.worst:.0f} ms of {len(self.times)}"


async def dashboard(server, number, answers):
    import asyncpg
    connection = await asyncpg.connect(host=server.host, port=server.port, user="analyst", database="loyalhouse",
                                       timeout=60, command_timeout=DASHBOARD_LIMIT)
    try:
        for place in range(len(DASHBOARD)):
            index = (number + place) % len(DASHBOARD)  # mixed: not all the same query at the same time
            sql, arguments, _ = DASHBOARD[index]
            answers.setdefault(index, set()).add(await connection.fetchval(sql, *arguments))
    finally:
        await connection.close()


async def all_dashboards(server, answers):
    await asyncio.wait_for(asyncio.gather(*(dashboard(server, number, answers) for number in range(CONNECTIONS))),
                           DASHBOARD_LIMIT)


def case_dashboard(context):
    server = context.server(fixtures.shop)
    answers = {}
    with Pinger(server) as pinger:
        start = time.monotonic()
        asyncio.run(all_dashboards(server, answers))
        took = time.monotonic() - start
    context.note(f"{CONNECTIONS * len(DASHBOARD)} queries on {CONNECTIONS} connections in {took:.1f} s")
    context.note(str(pinger))
    for index, (sql, _, wanted) in enumerate(DASHBOARD):
        found = answers[index]
        assert len(found) == 1, f"different answers to the same query: {sql}: {found}"
        assert wanted is None or found == {wanted}, f"{sql}: {found}"
    pinger.check(PING_BOUND)


def case_idle(context):
    server = context.start([fixtures.shop(context.work)], "idle")
    held = []
    try:
        for _ in range(5):
            wire.Wire(server.address).close()
        before = server.memory()[0]
        start = time.monotonic()
        for _ in range(IDLE_CONNECTIONS):
            held.append(wire.Wire(server.address))
        opened = time.monotonic() - start
        growth = server.memory()[0] - before
        context.note(f"{IDLE_CONNECTIONS} idle connections: +{growth / MIB:.1f} MiB "
                     f"({growth / IDLE_CONNECTIONS / 1024:.0f} KiB each), opened in {opened:.1f} s")
        assert held[0].value("SELECT 1") == held[-1].value("SELECT 1") == "1"
        if not context.oracle:
            assert growth < IDLE_GROWTH_LIMIT, f"{growth / MIB:.1f} MiB for {IDLE_CONNECTIONS} idle connections"
    finally:
        for connection in held:
            connection.close()
        server.stop()
