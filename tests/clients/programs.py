"""Clients that are not Python: a program is given the names of cases and prints lines of three fields with tabs
between: case, question, answer. `case =ok` or `case =error MESSAGE` ends a case."""
import os
import subprocess
from pathlib import Path

import fixtures
import questions
from server import MIB, MemoryWatch

HERE = Path(__file__).parent
PROGRAM_LIMIT = 240  # seconds
GROWTH_LIMIT = 64 * MIB
BEFORE, WITHIN = "the program ended before", "the program ended within"
ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}


def cases(names, command, environment=None):
    """(name, function) for each case of the program that `command(context)` starts. All chosen cases run at the
    first call, in one process, but those called cursor: each runs alone, under a watch of the server's memory."""
    results = {}

    def together(context, own):
        group = own.rpartition(".")[0]
        chosen = [name for name in names if f"{group}.{name}" in context.chosen and not name.startswith("cursor")]
        while chosen:  # a case that ends the program must not take the next ones with it
            results.update(run_program(context, command(context), chosen, environment))
            within = any((results[name][1] or "").startswith(WITHIN) for name in chosen)
            silent = [name for name in chosen if (results[name][1] or "").startswith(BEFORE)]
            chosen = silent if within else silent[1:]

    def case(name):
        def run(context):
            if name.startswith("cursor"):
                with MemoryWatch(context.server(fixtures.office)) as watch:
                    found = run_program(context, command(context), [name], environment)
                context.note(str(watch))
                assert context.oracle or watch.growth < GROWTH_LIMIT, str(watch)
            else:
                if name not in results:
                    together(context, context.running)
                found = results
            answers, problem = found.get(name, ({}, "the program said nothing of this case"))
            assert problem is None, problem
            return answers or None
        run.limit = PROGRAM_LIMIT + 60
        return run
    return [(name, case(name)) for name in names]


def run_program(context, command, names, environment, server=None):
    """{case: (answers, problem)}."""
    server = server or context.server(fixtures.office)
    about = {"SERVER_HOST": server.host, "SERVER_PORT": str(server.port), "QUESTIONS": str(questions.FILE),
             "ENDLESS": questions.ENDLESS, "APPLICATION": questions.APPLICATION, "TIME_ZONE": questions.TIME_ZONE,
             "REUSES": str(questions.REUSES), "LINES": str(questions.LINES), "LC_ALL": "C.UTF-8"}
    more = environment(context) if environment else {}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    try:
        done = subprocess.run([*map(str, command), *names], env={**kept, **about, **more}, capture_output=True,
                              timeout=PROGRAM_LIMIT)
        output, errors = done.stdout, done.stderr
        problem = f"{BEFORE} this case, with {done.returncode}"
    except subprocess.TimeoutExpired as error:
        output, errors = error.stdout or b"", error.stderr or b""
        problem = f"the program did not end in {PROGRAM_LIMIT} s"
    found = {}
    for line in output.decode(errors="replace").splitlines():
        fields = [unescape(field) for field in line.split("\t")]
        if len(fields) < 2:
            continue
        answers, _ = found.setdefault(fields[0], ({}, f"{WITHIN} this case"))
        if fields[1] == "=ok":
            found[fields[0]] = (answers, None)
        elif fields[1] == "=error":
            found[fields[0]] = (answers, fields[2])
        else:
            answers[fields[1]] = fields[2]
    tail = errors.decode(errors="replace").strip()[-300:]
    return {name: found.get(name, ({}, f"{problem}; {tail}")) for name in names}


def unescape(field):
    for escaped, plain in ESCAPES.items():
        if escaped != "\\\\":
            field = field.replace("\\\\", "\0").replace(escaped, plain).replace("\0", "\\\\")
    return field.replace("\\\\", "\\")


def need(path):
    """The path, if it is there; a case whose client is missing fails by its name."""
    if not Path(path).exists():
        raise FileNotFoundError(2, "no such client", str(path))
    return path
