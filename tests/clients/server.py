"""Starts the server under test, waits for its ready line, watches its memory and CPU, stops it by pid."""
import os
import queue
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

START_LIMIT = 30.0  # seconds until "listening on HOST:PORT"
STOP_LIMIT = 60.0  # seconds from SIGTERM to exit before SIGKILL
SAMPLE_EVERY = 0.05  # seconds between two looks at /proc
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


class StartError(Exception):
    """The server ended, or said nothing, before it was ready."""


class Server:
    """One running server process. `address` is (host, port); `pid` is its process id."""

    def __init__(self, binary, locations, log, environment=None, options=()):
        command = [str(binary), "serve", "--listen", "127.0.0.1:0", *options, *map(str, locations)]
        self.log = Path(log)
        with self.log.open("wb") as errors:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})}, text=True)
        self.pid = self.process.pid
        self.lines = queue.Queue()
        threading.Thread(target=self._read_stdout, daemon=True).start()
        try:
            self.address = self._wait_ready()
        except StartError:
            self.kill()
            raise

    def _read_stdout(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def _wait_ready(self):
        deadline = time.monotonic() + START_LIMIT
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise StartError(f"no 'listening on' line in {START_LIMIT:.0f} s\n{self.log_tail()}") from None
            if line is None:
                raise StartError(f"ended with exit code {self.process.wait()} before it was ready\n{self.log_tail()}")
            found = re.fullmatch(r"listening on (\S+):(\d+)", line.strip())
            if found:
                return found.group(1).strip("[]"), int(found.group(2))

    @property
    def host(self):
        return self.address[0]

    @property
    def port(self):
        return self.address[1]

    def alive(self):
        return self.process.poll() is None

    def terminate(self):
        """Sends SIGTERM and returns at once."""
        if self.alive():
            os.kill(self.pid, signal.SIGTERM)

    def wait(self, limit=STOP_LIMIT):
        """Exit code; None when it still runs after `limit` seconds."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self, limit=STOP_LIMIT):
        """SIGTERM, then SIGKILL for one that stays; returns the exit code."""
        self.terminate()
        code = self.wait(limit)
        self.kill()
        return code

    def log_tail(self, lines=20):
        text = self.log.read_text(errors="replace").splitlines()
        return "\n".join(text[-lines:])

    def memory(self):
        """(resident, peak resident) in bytes, of the process and its children."""
        totals = [0, 0]
        for pid in process_tree(self.pid):
            for place, key in enumerate(("VmRSS", "VmHWM")):
                totals[place] += status_field(pid, key)
        return tuple(totals)

    def reset_peak(self):
        """Sets the peak back to the present size, so that the next reading is this case's own."""
        for pid in process_tree(self.pid):
            try:
                Path(f"/proc/{pid}/clear_refs").write_text("5")
            except OSError:
                pass

    def sockets(self):
        """How many sockets the process and its children hold open."""
        count = 0
        for pid in process_tree(self.pid):
            for entry in Path(f"/proc/{pid}/fd").glob("*"):
                try:
                    count += os.readlink(entry).startswith("socket:")
                except OSError:  # closed under the count
                    continue
        return count

    def cpu(self):
        """CPU seconds (user and system, all threads) used so far by the process and its children."""
        return sum(cpu_seconds(pid) for pid in process_tree(self.pid))


def process_tree(pid):
    """The pid and all its descendants that live."""
    found, todo = [], [pid]
    while todo:
        current = todo.pop()
        found.append(current)
        for children in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                todo.extend(map(int, children.read_text().split()))
            except OSError:
                continue
    return found


def status_field(pid, key):
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def cpu_seconds(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


class MemoryWatch:
    """Samples the server's memory while a block runs; `growth` is peak minus start, in bytes."""

    def __init__(self, server):
        self.server = server
        self.done = threading.Event()

    def __enter__(self):
        self.server.reset_peak()
        self.before = self.highest = self.server.memory()[0]
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()
        return self

    def _sample(self):
        while not self.done.wait(SAMPLE_EVERY):
            self.highest = max(self.highest, self.server.memory()[0])

    def __exit__(self, *_error):
        self.done.set()
        self.thread.join()
        # The kernel's own peak also catches what lies between two samples.
        self.highest = max(self.highest, self.server.memory()[1])

    @property
    def growth(self):
        return self.highest - self.before

    def __str__(self):
        return (f"RSS {self.before / MIB:.0f} MiB before, {self.highest / MIB:.0f} MiB at most "
                f"(+{self.growth / MIB:.1f} MiB)")


IDLE_WINDOW = 0.3  # seconds over which idleness is judged
IDLE_SHARE = 0.10  # of one core


def seconds_to_idle(server, event, limit):
    """Seconds from the moment `event` (time.monotonic) until a window of IDLE_WINDOW in which the server used less
    than IDLE_SHARE of a core; None when `limit` seconds pass without one."""
    samples = [(time.monotonic(), server.cpu())]
    while samples[-1][0] - event < limit + IDLE_WINDOW:
        time.sleep(SAMPLE_EVERY / 2)
        now, used = time.monotonic(), server.cpu()
        samples.append((now, used))
        for start, used_then in samples:
            if now - start < IDLE_WINDOW:
                break
            if used - used_then < IDLE_SHARE * (now - start):
                return max(0.0, start - event)
    return None


def wait_busy(server, seconds=0.2, limit=30.0):
    """Waits until the server has burnt `seconds` of CPU since the call: proof that the work under test runs."""
    start, deadline = server.cpu(), time.monotonic() + limit
    while server.cpu() - start < seconds:
        if time.monotonic() > deadline:
            raise AssertionError(f"the server never got busy: the statement does no work within {limit:.0f} s")
        time.sleep(0.01)
