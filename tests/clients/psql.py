"""psql as a person uses it: one-shot commands, and a session on a terminal that takes Ctrl-C and Tab."""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

PSQL_LIMIT = 120.0  # seconds for one psql run
ANSWER_LIMIT = 30.0  # seconds until the terminal shows what is waited for
PROMPT = "ready=> "


def environment(**more):
    """The caller's environment without anything that steers psql."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**kept, "PSQLRC": "/dev/null", "PAGER": "cat", "LC_ALL": "C.UTF-8", "TERM": "dumb", **more}


def command(server, *arguments, database=None):
    program = shutil.which("psql")
    if program is None:
        raise FileNotFoundError(2, "no such client", "psql")
    where = ["-d", database] if database else []
    return [program, "-h", server.host, "-p", str(server.port), *where, *arguments]


def run(server, *arguments, database="loyalhouse", limit=PSQL_LIMIT, check=True, **more):
    """Runs psql with the arguments; returns (stdout, stderr). With `check` an exit code other than 0 is an error."""
    done = subprocess.run(command(server, *arguments, database=database), capture_output=True, text=True,
                          timeout=limit, env=environment(**more), stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise AssertionError(f"psql {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout, done.stderr


def value(server, sql, **more):
    """The answer as unaligned text without headings."""
    return run(server, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, **more)[0].strip()


def contains(output, *patterns):
    for pattern in patterns:
        if not re.search(pattern, output, re.MULTILINE):
            raise AssertionError(f"no /{pattern}/ in: {output.strip()[:600] or '(nothing)'}")


class Terminal:
    """An interactive psql on a pseudo terminal."""

    def __init__(self, server, database="loyalhouse"):
        arguments = command(server, "-X", "-v", f"PROMPT1={PROMPT}", "-v", "PROMPT2=more=> ", database=database)
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve(arguments[0], arguments, environment())
        self.seen = ""
        self.expect(re.escape(PROMPT))

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.close(self.terminal)
        os.waitpid(self.pid, 0)

    def type(self, keys):
        self.seen = ""
        os.write(self.terminal, keys.encode())

    def interrupt(self):
        """Ctrl-C, as the keyboard sends it."""
        self.type("\x03")

    def expect(self, pattern, limit=ANSWER_LIMIT):
        """Reads until the pattern shows; returns all that came since the last keys."""
        deadline = time.monotonic() + limit
        while not re.search(pattern, self.seen):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.terminal], [], [], left)[0]:
                raise AssertionError(f"the terminal never showed /{pattern}/ but: {self.seen[-600:]!r}")
            try:
                got = os.read(self.terminal, 65536)
            except OSError as error:
                raise AssertionError(f"psql ended: {self.seen[-600:]!r}") from error
            self.seen += got.decode(errors="replace").replace("\r", "")
        return self.seen
