"""Starting and stopping: SIGTERM drains, a second one stops, and what cannot start says so in one line."""
import os
import shutil
import socket
import subprocess
import time

import fixtures
import wire
from case_cancel import WORK
from server import wait_busy

GRACE_BOUND = 90.0  # seconds from SIGTERM to the exit while a statement never ends
QUICK_BOUND = 5.0  # seconds to the exit when nothing runs, or after the second SIGTERM
START_ERROR_BOUND = 2.0  # seconds until a server that cannot start has ended
START_ERROR_LIMIT = 20.0  # seconds we wait for it
STREAM_ROWS = 2_000_000
NOBODY = 65534  # the user and group id of "nobody" on Debian


def drained(connection):
    """The answer in flight, and the error that ended the connection if one came."""
    connection.socket.settimeout(GRACE_BOUND)
    try:
        return connection.drain()
    except (EOFError, ConnectionError) as error:
        raise AssertionError(f"the connection was cut without an error: {error}") from None


def exits(context, server, bound, since, what, code=0):
    found = server.wait(max(0.0, since + bound - time.monotonic()))
    context.note(f"{what}: exit code {found} after {time.monotonic() - since:.2f} s")
    assert found is not None, f"still running {bound:.0f} s after {what}"
    assert code is None or found == code, f"exit code {found}\n{server.log_tail()}"


def case_idle(context):
    """Idle sessions do not hold the server up; they hear 57P01."""
    server = context.start([fixtures.shop(context.work)], "stop-idle")
    try:
        with wire.Wire(server.address) as connection:
            assert connection.value("SELECT 1") == "1"
            since = time.monotonic()
            server.terminate()
            connection.socket.settimeout(QUICK_BOUND)
            kind, payload = connection.read()
            assert kind == b"E" and wire.WireError(payload).sqlstate == "57P01", (kind, payload)
            exits(context, server, QUICK_BOUND, since, "SIGTERM")
    finally:
        server.kill()


def case_drain(context):
    """A statement that runs when SIGTERM comes ends whole or with 57P01; new connections hear 57P03; exit code 0."""
    server = context.start([fixtures.big(context.work)], "stop-drain")
    try:
        with wire.Wire(server.address) as connection:
            connection.send(wire.query(f"SELECT * FROM big LIMIT {STREAM_ROWS}"))
            connection.socket.recv(1, socket.MSG_PEEK)
            since = time.monotonic()
            server.terminate()
            context.note(f"a new connection: {newcomer(server)}")
            answer = drained(connection)
            context.note(f"the statement in flight: {answer.rows} rows, {answer.error or answer.tag}")
            if answer.error:
                assert answer.error.sqlstate == "57P01", answer.error
            else:
                assert answer.rows == STREAM_ROWS, f"{answer.rows} rows and success"
        exits(context, server, GRACE_BOUND, since, "SIGTERM")
    finally:
        server.kill()


def newcomer(server):
    """What a connection hears while the server drains: 57P03. One that slips in before the signal is heard is let go."""
    deadline = time.monotonic() + QUICK_BOUND
    while True:
        try:
            wire.Wire(server.address, limit=QUICK_BOUND).close()
        except wire.WireError as error:
            assert error.sqlstate == "57P03", error
            return str(error)
        assert time.monotonic() < deadline, f"new connections are served {QUICK_BOUND:.0f} s after SIGTERM"
        time.sleep(0.05)


def case_grace(context):
    """A statement that never ends gets 57P01 when the grace is over."""
    server = context.start([fixtures.big(context.work)], "stop-grace")
    try:
        with wire.Wire(server.address) as connection:
            connection.send(wire.query(WORK["nested_loop"]))
            wait_busy(server)
            since = time.monotonic()
            server.terminate()
            answer = drained(connection)
            context.note(f"57P01 after {time.monotonic() - since:.1f} s")
            assert answer.error is not None and answer.error.sqlstate == "57P01", answer.error
        exits(context, server, GRACE_BOUND, since, "SIGTERM")
    finally:
        server.kill()


def case_second_signal(context):
    server = context.start([fixtures.big(context.work)], "stop-second")
    try:
        with wire.Wire(server.address) as connection:
            connection.send(wire.query(WORK["nested_loop"]))
            wait_busy(server)
            server.terminate()
            newcomer(server)  # the first signal has been heard
            since = time.monotonic()
            server.terminate()
            exits(context, server, QUICK_BOUND, since, "second SIGTERM", code=None)
    finally:
        server.kill()


def case_port_in_use(context):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        refuses(context, ["--listen", f"127.0.0.1:{port}", str(fixtures.shop(context.work))], str(port), "in use")


def refuses(context, arguments, *wanted, **process):
    """`serve` with the arguments ends at once, exit code not 0, nothing on stdout, one line that says what is wrong."""
    start = time.monotonic()
    try:
        done = subprocess.run([str(context.binary), "serve", *arguments], capture_output=True, text=True,
                              timeout=START_ERROR_LIMIT, stdin=subprocess.DEVNULL, **process)
    except subprocess.TimeoutExpired:
        raise AssertionError("it runs instead of saying what is wrong") from None
    took = time.monotonic() - start
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    context.note(f"exit code {done.returncode} after {took:.2f} s: {' / '.join(lines)[:300]}")
    assert done.returncode not in (0, 101) and done.returncode > 0, f"exit code {done.returncode}"
    assert took < START_ERROR_BOUND, f"took {took:.1f} s"
    assert "listening on" not in done.stdout and "panicked" not in done.stderr
    said = [line for line in lines if all(part in line for part in wanted)]
    assert said, f"no line with {wanted} in: {done.stderr[:400]}"


def case_empty_folder(context):
    empty = context.work / "empty"
    empty.mkdir(exist_ok=True)
    refuses(context, ["--listen", "127.0.0.1:0", str(empty)], str(empty))


def case_missing_folder(context):
    refuses(context, ["--listen", "127.0.0.1:0", str(context.work / "nowhere")], "nowhere")


def case_bad_arguments(context):
    shop = str(fixtures.shop(context.work))
    refuses(context, ["--listen", "127.0.0.1:99999", shop], "99999")
    refuses(context, ["--lisen", "127.0.0.1:0", shop], "--lisen")
    refuses(context, ["--listen", "127.0.0.1:0", "ftp://somewhere/x"], "ftp")


def case_open_address(context):
    """Without roles only loopback is served."""
    refuses(context, ["--listen", "0.0.0.0:0", str(fixtures.shop(context.work))], "0.0.0.0")


def case_unreadable_file(context):
    """A file that may not be read is named in the error of its own table; the others answer."""
    folder = context.work / "unreadable"
    shutil.rmtree(folder, ignore_errors=True)
    fixtures.write(folder / "good.parquet", "SELECT 1 AS id")
    fixtures.write(folder / "locked.parquet", "SELECT 2 AS id")
    (folder / "locked.parquet").chmod(0)
    binary = context.binary
    if os.getuid() == 0:  # root reads everything: run as nobody, from a place nobody can reach
        binary = context.work / "nobody-serve"
        shutil.copy(context.binary, context.work / "nobody-binary")
        (context.work / "nobody-binary").chmod(0o755)
        binary.write_text(f"#!/bin/sh\nexec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "
                          f"{context.work / 'nobody-binary'} \"$@\"\n")
        binary.chmod(0o755)
    from server import Server
    server = Server(binary, [folder], context.work / "unreadable.log", environment={"HOME": "/nonexistent"})
    try:
        with wire.Wire(server.address) as connection:
            assert connection.value("SELECT id FROM good") == "1"
            try:
                connection.value("SELECT id FROM locked")
                raise AssertionError("a file without read permission was read")
            except wire.WireError as error:
                context.note(str(error))
                assert "locked.parquet" in str(error.fields), error.fields
                assert error.sqlstate in ("42501", "58030"), error
    finally:
        server.stop()


def case_help(context):
    """--help and --version answer on stdout with exit code 0; an unknown command does not."""
    for arguments, wanted in ((["--help"], "serve"), (["serve", "--help"], "--listen"), (["--version"], "loyalhouse")):
        done = subprocess.run([str(context.binary), *arguments], capture_output=True, text=True, timeout=START_ERROR_LIMIT)
        assert done.returncode == 0 and wanted in done.stdout, (arguments, done.stdout[:200], done.stderr[:200])
    done = subprocess.run([str(context.binary), "no-such"], capture_output=True, text=True, timeout=START_ERROR_LIMIT)
    assert done.returncode == 2 and "no-such" in done.stderr, (done.returncode, done.stderr)


