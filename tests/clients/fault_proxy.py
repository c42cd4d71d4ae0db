"""An HTTP proxy on loopback in front of an object store stand-in that fails on demand: every n-th matching request."""
import http.client
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UPSTREAM_LIMIT = 60.0  # seconds for the store behind
ERROR_BODY = b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>injected</Message></Error>'


class FaultProxy:
    """Forwards to 127.0.0.1:`upstream`. `fault` is None or (kind, every): kinds are a status ("500", "503", "403"),
    "truncate", "reset", "delay", "lost" (the store does what it is asked, its answer does not arrive); it strikes every n-th request whose path contains `match`."""

    def __init__(self, upstream, match=".parquet"):
        self.upstream, self.match = upstream, match
        self.fault = None
        self.requests = self.injected = 0
        self.lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments):
                pass

            def answer(self):
                proxy.handle(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def inject(self, kind, every=1):
        """Sets the fault (None: healthy) and starts its counts again."""
        with self.lock:
            self.fault = (kind, every) if kind else None
            self.requests = self.injected = 0

    def _strikes(self, path):
        with self.lock:
            if self.fault is None or self.match not in path:
                return None
            self.requests += 1
            if self.requests % self.fault[1]:
                return None
            self.injected += 1
            return self.fault[0]

    def handle(self, request):
        kind = self._strikes(request.path)
        if kind == "delay":
            time.sleep(1.0)
        if kind == "reset":
            return self._abort(request)
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if kind and kind.isdigit():
            return self._reply(request, int(kind), [("Content-Type", "application/xml")], ERROR_BODY)
        upstream = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=UPSTREAM_LIMIT)
        try:
            upstream.request(request.command, request.path, body=body or None, headers=dict(request.headers))
            response = upstream.getresponse()
            data = response.read()
            if kind == "lost":
                return self._abort(request)
            headers = [(key, value) for key, value in response.getheaders()
                       if key.lower() not in ("transfer-encoding", "connection", "content-length")]
            length = response.getheader("Content-Length") if request.command == "HEAD" else None
            self._reply(request, response.status, headers, data, length, cut=kind == "truncate")
        finally:
            upstream.close()

    def _reply(self, request, status, headers, data, length=None, cut=False):
        request.send_response_only(status)
        for key, value in headers:
            request.send_header(key, value)
        request.send_header("Content-Length", length or str(len(data)))
        request.end_headers()
        if request.command == "HEAD":
            return
        request.wfile.write(data[:len(data) // 2] if cut else data)
        if cut:
            self._abort(request)

    def _abort(self, request):
        request.close_connection = True
        try:
            request.wfile.flush()
            request.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
