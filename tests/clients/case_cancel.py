"""A cancel, a timeout and a killed client each end the work, not only the answer: the server's CPU time stops growing."""
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fixtures
import wire
from server import seconds_to_idle, wait_busy

WORK = {
    "nested_loop": "SELECT count(*) FROM big a CROSS JOIN big b WHERE a.amount * b.amount < -1",
    "cross_join": "SELECT count(*) FROM big a, big b, big c",
    # Small inputs, read at once: one join feeds the other without ever waiting for a scan.
    "three_way": "WITH s AS (SELECT id FROM big WHERE id < 100000) "
                 "SELECT count(*) FROM s a, s b, s c WHERE a.id + b.id < -c.id",
    "sort": "SELECT * FROM big ORDER BY md5(CAST(id AS varchar))",
    "aggregate": "SELECT count(*) FROM (SELECT id, channel, count(*) FROM big GROUP BY id, channel) g",
    "stream": "SELECT * FROM big",
    "stream_slow": "SELECT * FROM big",  # to a client that stops reading
}
IDLE_BOUND = 2.0  # seconds; the promise is 0.2, which is printed: a busy machine must not fail the case
ERROR_BOUND = 5.0  # seconds from the event to the error at the client
TIMEOUT_MS = 200
BUSY_SECONDS = 0.15  # CPU seconds that show that the work has begun
JOIN_SECONDS = 1.5  # CPU seconds after which the small inputs have been read
CANCELED = "canceling statement due to user request"
TIMED_OUT = "canceling statement due to statement timeout"


def ended(context, server, event, what):
    idle = seconds_to_idle(server, event, IDLE_BOUND)
    context.note(f"{what}: server idle after " + (f"{1000 * idle:.0f} ms" if idle is not None else "NEVER"))
    assert idle is not None, f"the server still works {IDLE_BOUND:.0f} s after {what}"


def quiet(server):
    """Waits until what the case before left behind is over."""
    assert seconds_to_idle(server, time.monotonic(), 30.0) is not None, "the server is not idle before the case"


def begun(server, name):
    """Waits until the statement works, or until a client that does not read has made it wait."""
    if name == "stream_slow":
        time.sleep(BUSY_SECONDS)
        quiet(server)
    else:
        wait_busy(server, JOIN_SECONDS if name == "three_way" else BUSY_SECONDS)


def sockets_back(server, before):
    """The server has let go of the dead client's socket."""
    deadline = time.monotonic() + IDLE_BOUND
    while server.sockets() > before:
        assert time.monotonic() < deadline, f"the socket is still open {IDLE_BOUND:.0f} s after its client died"
        time.sleep(0.02)


def refused(error, text):
    assert error is not None, "the statement ended without an error"
    assert error.sqlstate == "57014" and text in error.fields["M"], str(error)


class Reader(threading.Thread):
    """Reads an answer in the background, slowly when asked to; `answer` and `ended` are set when it is over."""

    def __init__(self, connection, slow):
        super().__init__(daemon=True)
        self.connection, self.slow = connection, slow
        self.hurry = threading.Event()
        self.answer = self.ended = None
        self.start()

    def run(self):
        if self.slow:
            self.connection.socket.recv(wire.SLOW_READ)  # begins, then stops reading until told to go on
            self.hurry.wait()
            self.connection.buffer = b""
            self.answer = after_gap(self.connection)
        else:
            self.answer = self.connection.drain()
        self.ended = time.monotonic()


def after_gap(connection):
    """Reads what is left of an answer whose beginning was thrown away: only its end is looked at."""
    seen, answer = b"", wire.Drained()
    while True:
        got = connection.socket.recv(wire.READ_SIZE)
        assert got, "the server closed the connection"
        seen = seen[-4096:] + got
        if seen[-6:-1] == b"Z\0\0\0\5":
            place = seen.rfind(b"\0C57")
            if place >= 0:
                start = seen.rfind(b"SERROR", 0, place)
                answer.error = wire.WireError(seen[start:-6])
            return answer


def cancel(name):
    def run(context):
        server = context.server(fixtures.big)
        quiet(server)
        with wire.Wire(server.address) as connection:
            connection.socket.settimeout(60)
            connection.send(wire.query(WORK[name]))
            reader = Reader(connection, slow=name == "stream_slow")
            begun(server, name)
            event = time.monotonic()
            connection.cancel()
            reader.hurry.set()
            ended(context, server, event, "cancel")
            reader.join(ERROR_BOUND)
            assert reader.ended, f"no answer {ERROR_BOUND:.0f} s after the cancel"
            context.note(f"cancel: error after {1000 * (reader.ended - event):.0f} ms")
            refused(reader.answer.error, CANCELED)
            assert connection.value("SELECT 1") == "1", "the connection does not go on"
    return run


def timeout(name):
    def run(context):
        server = context.server(fixtures.big)
        quiet(server)
        with wire.Wire(server.address) as connection:
            connection.socket.settimeout(60)
            connection.run(f"SET statement_timeout = '{TIMEOUT_MS}ms'")
            event = time.monotonic() + TIMEOUT_MS / 1000
            connection.send(wire.query(WORK[name]))
            reader = Reader(connection, slow=name == "stream_slow")
            if name == "stream_slow":
                time.sleep(max(0.0, event - time.monotonic()))  # the reader blocks the server until its time is over
                reader.hurry.set()
            reader.join(ERROR_BOUND + TIMEOUT_MS / 1000)
            assert reader.ended, f"no answer {ERROR_BOUND:.0f} s after the timeout"
            context.note(f"timeout: error {1000 * (reader.ended - event):.0f} ms after it was due")
            ended(context, server, reader.ended, "timeout")
            refused(reader.answer.error, TIMED_OUT)
            connection.run("RESET statement_timeout")
            assert connection.value("SELECT 1") == "1", "the connection does not go on"
    return run


def killed(name):
    def run(context):
        server = context.server(fixtures.big)
        quiet(server)
        before = server.sockets()
        pace = ["slow"] if name == "stream_slow" else []
        client = subprocess.Popen([sys.executable, "-B", str(Path(wire.__file__)), server.host, str(server.port),
                                   WORK[name], *pace], stdout=subprocess.PIPE, text=True)
        try:
            assert client.stdout.readline().strip() == "sent"
            begun(server, name)
            event = time.monotonic()
            os.kill(client.pid, signal.SIGKILL)
            ended(context, server, event, "kill -9 of the client")
            sockets_back(server, before)
        finally:
            client.kill()
            client.wait()
            client.stdout.close()
        with wire.Wire(server.address) as other:
            assert other.value("SELECT 1") == "1"
    return run


def extended(context):
    """Cancel in the extended protocol: the error skips to Sync, the connection goes on."""
    server = context.server(fixtures.big)
    quiet(server)
    with wire.Wire(server.address) as connection:
        connection.socket.settimeout(60)
        connection.send(wire.extended(WORK["nested_loop"]))
        reader = Reader(connection, slow=False)
        wait_busy(server, BUSY_SECONDS)
        connection.cancel()
        reader.join(ERROR_BOUND)
        assert reader.ended, "no answer"
        refused(reader.answer.error, CANCELED)
        assert connection.value("SELECT 1") == "1"


def psycopg_cancel(context):
    """The driver's own cancel, from another thread."""
    import psycopg
    server = context.server(fixtures.big)
    quiet(server)
    with psycopg.connect(host=server.host, port=server.port, user="analyst", dbname="loyalhouse",
                         autocommit=True) as connection:
        threading.Thread(target=lambda: (wait_busy(server, BUSY_SECONDS), connection.cancel()), daemon=True).start()
        try:
            connection.execute(WORK["nested_loop"])
            raise AssertionError("the statement ended")
        except psycopg.errors.QueryCanceled as error:
            assert CANCELED in str(error)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def wrong_key(context):
    """A cancel with another key, or for a connection that is idle, does nothing."""
    server = context.server(fixtures.shop)
    with wire.Wire(server.address) as connection:
        connection.cancel()
        assert connection.value("SELECT 1") == "1", "a cancel of an idle connection broke its next statement"
        real, connection.key = connection.key, connection.key[:4] + bytes(255 - byte for byte in connection.key[4:])
        connection.send(wire.query("SELECT count(*) FROM customers a, orders b WHERE a.id + b.id < -1"))
        connection.cancel()
        answer = connection.drain()
        connection.key = real
        assert answer.error is None, answer.error


def cases():
    found = [(f"{event.__name__}_{name}", event(name)) for event in (cancel, timeout, killed) for name in WORK]
    return found + [("extended", extended), ("psycopg", psycopg_cancel), ("wrong_key", wrong_key)]
