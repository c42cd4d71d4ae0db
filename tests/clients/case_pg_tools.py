"""PostgreSQL's own programs: pg_isready, pg_dump, pgbench in its three modes."""
import re
import shutil
import subprocess
from pathlib import Path

import fixtures
import psql

LIMIT = 120  # seconds
SCRIPT = "\\set id random(1, 1000)\nSELECT name FROM customers WHERE id = :id;\n"
CLIENTS, TRANSACTIONS = 4, 50
FEATURES = {"pg_dump_schema": "metadata", "pg_dump_data": "copy", "pg_isready": "connect", "pgbench_simple": "query",
            "pgbench_extended": "parameters", "pgbench_prepared": "prepared"}


def program(name):
    """The program itself: its wrapper in /usr/bin may be there without it."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = str(found[-1]) if found else shutil.which(name)
    if path is None:
        raise FileNotFoundError(2, "no such client", name)
    return path


def run(context, name, *arguments):
    server = context.server(fixtures.office)
    done = subprocess.run([program(name), "-h", server.host, "-p", str(server.port), "-U", "analyst", *map(str, arguments)],
                          capture_output=True, text=True, timeout=LIMIT, env=psql.environment(), stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{name} ended with {done.returncode}: {done.stderr.strip()[:500]}"
    return done.stdout


def case_pg_isready(context):
    psql.contains(run(context, "pg_isready", "-d", "loyalhouse"), "accepting connections")


def dumped(text):
    """A dump without comments, settings and owners."""
    lines = [line for line in text.splitlines() if line and not re.match(r"--|SET |SELECT pg_catalog.set_config|ALTER .* OWNER|\\(un)?restrict", line)]
    return "\n".join(lines)


def case_pg_dump_schema(context):
    return {"dump": dumped(run(context, "pg_dump", "--schema-only", "-t", "customers", "-t", "kinds", "loyalhouse"))}


def case_pg_dump_data(context):
    text = dumped(run(context, "pg_dump", "--data-only", "-t", "customers", "-t", "kinds", "loyalhouse"))
    return {"kinds": text[text.index("COPY public.kinds"):], "lines": text.count("\n")}


def pgbench(mode):
    def run_mode(context):
        script = context.work / "pgbench.sql"
        script.write_text(SCRIPT)
        output = run(context, "pgbench", "-n", "-f", script, "-M", mode, "-c", CLIENTS, "-t", TRANSACTIONS, "loyalhouse")
        total = CLIENTS * TRANSACTIONS
        psql.contains(output, rf"actually processed: {total}/{total}", r"failed transactions: 0 ")
    return run_mode


case_pgbench_simple, case_pgbench_extended, case_pgbench_prepared = map(pgbench, ("simple", "extended", "prepared"))
