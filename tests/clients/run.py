"""Runs the client checks against a server binary: one PASS or FAIL line per case, then "N passed, N failed"."""
import argparse
import importlib
import inspect
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import record
import registry
from server import STOP_LIMIT, Server

CASE_LIMIT = 300  # seconds, for a case that names no limit of its own
STUCK_LIMIT = 10.0  # seconds for a server to stop after a failed case
FILES_WANTED = 8192  # descriptors, for a thousand connections on both sides
ROOT = Path(__file__).resolve().parents[2]


class Context:
    """What a case gets: the binary, a folder for data, the shared server per data set, and `note` for measurements."""

    def __init__(self, binary, work, arguments):
        self.binary = binary
        self.recording = arguments.record
        self.long = arguments.long
        self.whole = not arguments.only
        self.chosen = set()
        self.running = None
        self.known_used = set()
        self.work = work
        self.oracle = arguments.oracle
        self.root = ROOT
        self.clients = Path(os.environ.get("CLIENTS_DIR", ROOT / "target" / "clients")).resolve()
        self.servers = {}
        self.notes = []
        self.read_logs = {}

    def note(self, line):
        self.notes.append(line)

    def start(self, locations, name, **options):
        """A server of the case's own; the case stops it."""
        return Server(self.binary, locations, self.work / f"{name}.log", **options)

    def server(self, data):
        """The server shared by a group's cases over `data` (a function of fixtures.py); a dead one is replaced."""
        running = self.servers.get(data.__name__)
        if running is None or not running.alive():
            running = self.start([data(self.work)], data.__name__)
            self.servers[data.__name__] = running
        return running

    def dead(self):
        """Shared servers that ended although nobody stopped them; forgets them."""
        names = [name for name, server in self.servers.items() if not server.alive()]
        return [self.servers.pop(name) for name in names]

    def panics(self):
        """Lines about panics that came into any server's log since the last call."""
        found = []
        for log in self.work.glob("*.log"):
            text = log.read_text(errors="replace")
            seen = self.read_logs.get(log, 0)
            found += [line for line in text[seen if seen <= len(text) else 0:].splitlines() if "panicked at" in line]
            self.read_logs[log] = len(text)
        return found

    def stop_all(self, limit=STOP_LIMIT):
        for server in self.servers.values():
            server.stop(limit)
        self.servers.clear()


class CaseTimeout(BaseException):
    """A case took longer than its limit; no `except Exception` of a case or a driver swallows it."""


def on_alarm(_signal, _frame):
    raise CaseTimeout("the case took longer than its limit")


def cases_of(group):
    """(name, function) of each case: the public functions `case_*` of the module, or its own `cases()`."""
    module = importlib.import_module(group.source)
    if hasattr(module, "cases"):
        return [(f"{group.name}.{name}", function) for name, function in module.cases(*group.options)]
    functions = [(name, value) for name, value in vars(module).items()
                 if name.startswith("case_") and inspect.isfunction(value)]
    return [(f"{group.name}.{name[5:]}", function) for name, function in functions]


def answered(context, name, seen):
    """A case may return its answers; they must be those that PostgreSQL gave."""
    group, _, case = name.partition(".")
    if context.recording:
        record.write(group, case, seen)
    else:
        record.check(group, case, seen, context.known_used, context.note)


def run_case(context, name, function):
    """True when the case passes. Prints its line and its measurements."""
    context.notes.clear()
    start, problem, trace = time.monotonic(), None, ""
    signal.alarm(getattr(function, "limit", CASE_LIMIT))
    try:
        seen = function(context)
        if seen is not None:
            answered(context, name, seen)
    except ImportError as error:
        problem = f"missing client: {error.name}"
    except FileNotFoundError as error:
        problem = f"missing: {error.filename or error}"
    except (Exception, CaseTimeout) as error:  # a case may fail in any way; the next one still runs
        problem, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
    finally:
        signal.alarm(0)
    for server in context.dead():
        problem = f"{problem or 'the case itself was fine'}; THE SERVER DIED with {server.wait(0)}\n{server.log_tail()}"
    for line in context.panics()[:3]:
        problem = f"{problem or 'the case itself was fine'}; THE SERVER PANICKED: {line.strip()[:200]}"
    took = time.monotonic() - start
    print(f"{'FAIL' if problem else 'PASS'} {name} ({took:.1f} s){': ' + problem if problem else ''}")
    for line in context.notes:
        print(f"     {line}")
    if trace and os.environ.get("CLIENTS_TRACE"):
        print(trace)
    sys.stdout.flush()
    return problem is None


def selected(arguments):
    """(name, function) of all chosen cases; a group that cannot be loaded is a case that fails."""
    def chosen(name, wanted):
        return any(name == item or name.startswith(item + ".") for item in wanted)

    only = [item for item in arguments.only.split(",") if item]
    skip = [item for item in arguments.skip.split(",") if item]
    found = []
    for group in registry.GROUPS:
        if only and not any(item.split(".")[0] == group.name for item in only):
            continue
        found += [case for case in cases_of(group) if (not only or chosen(case[0], only)) and not chosen(case[0], skip)]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--only", default="", help="groups or cases, separated by commas")
    parser.add_argument("--skip", default="", help="groups or cases, separated by commas")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--data", help="keep generated data in this folder and use it again")
    parser.add_argument("--oracle", action="store_true",
                        help="the binary is oracle_postgres.py: leave out what PostgreSQL itself does not have")
    parser.add_argument("--record", action="store_true", help="keep the answers of this server, the oracle, as right")
    parser.add_argument("--long", action="store_true", help="give cases of endurance a minute instead of seconds")
    arguments = parser.parse_args()
    if arguments.record and not arguments.oracle:
        parser.error("--record is for the oracle")
    cases = selected(arguments)
    if arguments.list:
        print("\n".join(name for name, _ in cases))
        return 0
    if arguments.oracle:
        cases = [case for case in cases if not getattr(case[1], "skip_oracle", False)]
    if not cases:
        print("no such case", file=sys.stderr)
        return 2
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped on the way out
    with tempfile.TemporaryDirectory(prefix="clients-") as temporary:
        work = Path(arguments.data or temporary).resolve()
        work.mkdir(parents=True, exist_ok=True)
        work.chmod(0o755)
        return run_all(Context(Path(arguments.binary).resolve(), work, arguments), cases)


def run_all(context, cases):
    failed, group = [], None
    context.chosen = {name for name, _ in cases}
    try:
        for name, function in cases:
            if name.split(".")[0] != group:
                context.stop_all()
                group = name.split(".")[0]
            context.running = name
            if not run_case(context, name, function):
                failed.append(name)
                context.stop_all(STUCK_LIMIT)  # what this case left behind must not fail the next one
    finally:
        context.stop_all()
    if not context.oracle and context.whole:
        stale = [line for line in record.known_differences() if line not in context.known_used]
        failed += [f"known.tsv:{case}:{question}" for case, question, _ in stale]  # nothing differs there any more
    if failed:
        print("failed: " + " ".join(failed))
    print(f"{len(cases) - sum(not name.startswith('known.tsv:') for name in failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
