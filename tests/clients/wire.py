"""A tiny raw client of the PostgreSQL protocol (3.0): it reads rows as they come, and it can misbehave on purpose.

As a program it runs one statement and reads the answer, to be killed by a test: `wire.py HOST PORT SQL [slow]`; it
prints "sent" when the statement is on its way.
"""
import socket
import struct
import sys
import time

CONNECT_LIMIT = 15.0  # seconds
PROTOCOL = 196608
CANCEL_CODE = 80877102
SSL_CODE = 80877103
READ_SIZE = 1 << 18
SLOW_READ = 4096  # bytes per read of the slow reader
SLOW_PAUSE = 0.05  # seconds between its reads


class WireError(Exception):
    """An ErrorResponse: `fields` by their letter, `sqlstate`, `severity`."""

    def __init__(self, payload):
        parts = [part for part in payload.split(b"\0") if part]
        self.fields = {chr(part[0]): part[1:].decode(errors="replace") for part in parts}
        self.sqlstate = self.fields.get("C", "")
        self.severity = self.fields.get("S", "")
        super().__init__(f"{self.severity} {self.sqlstate}: {self.fields.get('M', '')[:200]}")


def message(kind, payload=b""):
    return kind + struct.pack("!i", len(payload) + 4) + payload


def text(value):
    return value.encode() + b"\0"


def startup_packet(user="analyst", database="loyalhouse", **more):
    pairs = {"user": user, "database": database, **more}
    body = b"".join(text(key) + text(value) for key, value in pairs.items()) + b"\0"
    return struct.pack("!ii", len(body) + 8, PROTOCOL) + body


def query(sql):
    return message(b"Q", text(sql))


def parse(sql, name=""):
    return message(b"P", text(name) + text(sql) + struct.pack("!h", 0))


def bind(binary=False):
    formats = struct.pack("!hh", 1, 1) if binary else struct.pack("!h", 0)
    return message(b"B", text("") + text("") + struct.pack("!hh", 0, 0) + formats)


def execute(max_rows=0):
    return message(b"E", text("") + struct.pack("!i", max_rows))


SYNC = message(b"S")
DESCRIBE_PORTAL = message(b"D", b"P\0")


def extended(sql, binary=False, max_rows=0):
    return parse(sql) + bind(binary) + DESCRIBE_PORTAL + execute(max_rows) + SYNC


class Drained:
    """What one answer held: rows, seconds to the first and the last row, bytes, last command tag, error."""

    def __init__(self):
        self.rows = self.bytes = 0
        self.first = self.last = self.tag = self.error = None
        self.values = []  # of the rows of a small answer


class Wire:
    """One connection, logged in unless told otherwise."""

    def __init__(self, address, user="analyst", database="loyalhouse", login=True, limit=CONNECT_LIMIT):
        self.address = address
        self.socket = socket.create_connection(address, timeout=limit)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.key = None
        if login:
            self.send(startup_packet(user, database))
            self._login()

    def _login(self):
        while True:
            kind, payload = self.read()
            if kind == b"R" and struct.unpack("!i", payload[:4])[0] != 0:
                raise AssertionError("the server asked for a password")
            if kind == b"K":
                self.key = payload
            if kind == b"E":
                self.close()
                raise WireError(payload)
            if kind == b"Z":
                return

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        """The next message as (type, payload); EOFError when the server closed the connection."""
        while len(self.buffer) < 5 or len(self.buffer) < 1 + struct.unpack_from("!i", self.buffer, 1)[0]:
            got = self.socket.recv(READ_SIZE)
            if not got:
                raise EOFError("the server closed the connection")
            self.buffer += got
        end = 1 + struct.unpack_from("!i", self.buffer, 1)[0]
        found = self.buffer[:1], self.buffer[5:end]
        self.buffer = self.buffer[end:]
        return found

    def drain(self, pause=0.0, keep=False):
        """Reads one answer up to ReadyForQuery; counts rows without building them, unless `keep`."""
        answer, start, seen = Drained(), time.monotonic(), bytearray(self.buffer)
        unpack, data_row = struct.Struct("!Bi").unpack_from, ord("D")
        while True:
            position, size = 0, len(seen)
            while size - position >= 5:
                kind, length = unpack(seen, position)
                end = position + 1 + length
                if end > size:
                    break
                if kind == data_row:
                    answer.rows += 1
                    if keep:
                        answer.values.append(row_values(bytes(seen[position + 5:end])))
                elif self._control(answer, chr(kind), bytes(seen[position + 5:end])):
                    self.buffer = bytes(seen[end:])
                    return answer
                position = end
            if answer.rows:
                answer.last = time.monotonic() - start
                answer.first = answer.first or answer.last
            if pause:
                time.sleep(pause)
            got = self.socket.recv(SLOW_READ if pause else READ_SIZE)
            if not got:
                raise EOFError("the server closed the connection in the middle of an answer")
            answer.bytes += len(got)
            del seen[:position]
            seen += got

    def _control(self, answer, kind, payload):
        if kind == "C":
            answer.tag = payload.rstrip(b"\0").decode()
        if kind == "E":
            answer.error = WireError(payload)
            if answer.error.severity in ("FATAL", "PANIC"):
                return True
        return kind == "Z"

    def run(self, request, keep=True, limit=None):
        """Sends a request (SQL text or bytes), reads its answer, raises its error."""
        if limit is not None:
            self.socket.settimeout(limit)
        self.send(query(request) if isinstance(request, str) else request)
        answer = self.drain(keep=keep)
        if answer.error:
            raise answer.error
        return answer

    def value(self, sql):
        """First column of the first row, as text."""
        return self.run(sql).values[0][0]

    def cancel(self):
        """Sends a CancelRequest for this connection and waits until the server closes that socket."""
        with socket.create_connection(self.address, timeout=CONNECT_LIMIT) as other:
            other.sendall(struct.pack("!ii", 8 + len(self.key), CANCEL_CODE) + self.key)
            other.recv(1)


def row_values(payload):
    """Fields of a DataRow in text format; None for NULL."""
    (count,), position, found = struct.unpack_from("!h", payload), 2, []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", payload, position)
        position += 4
        if length < 0:
            found.append(None)
            continue
        found.append(payload[position:position + length].decode(errors="replace"))
        position += length
    return found


def main():
    host, port, sql = sys.argv[1:4]
    connection = Wire((host, int(port)))
    connection.socket.settimeout(None)
    connection.send(query(sql))
    print("sent", flush=True)
    connection.drain(pause=SLOW_PAUSE if sys.argv[4:] == ["slow"] else 0.0)


if __name__ == "__main__":
    main()
