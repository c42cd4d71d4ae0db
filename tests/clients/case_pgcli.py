"""pgcli: its completion reads the whole catalog, its backslash commands are pgspecial's own queries."""
import logging
import subprocess

import fixtures
import programs
import psql

PGCLI_LIMIT = 60  # seconds
COMMANDS = [r"\d customers", r"\d kinds", r"\dv", r"\df lower", r"\dT int4", "SELECT 1 AS one, 'x' AS two"]


def case_query(context):
    """Piped statements and backslash commands."""
    server = context.server(fixtures.office)
    binary = programs.need(context.clients / "venv" / "bin" / "pgcli")
    seen = {}
    for command in COMMANDS:
        done = subprocess.run([binary, "-h", server.host, "-p", str(server.port), "-u", "analyst", "-d", "loyalhouse", "--less-chatty", "-c", command],
                              capture_output=True, text=True, timeout=PGCLI_LIMIT, stdin=subprocess.DEVNULL,
                              env=psql.environment(HOME=str(context.work), COLUMNS="200", XDG_CONFIG_HOME=str(context.work)))
        seen[command] = [line.rstrip() for line in done.stdout.splitlines() if not line.startswith(("Time:", "Server", "Version", "Using local time zone", "Use `set time zone"))]
    return seen


def executor(context):
    from pgcli.pgexecute import PGExecute
    server = context.server(fixtures.office)
    return PGExecute(database="loyalhouse", user="analyst", password="", host=server.host, port=server.port)


def case_metadata(context):
    """All that the completer asks for on connect."""
    found = executor(context)
    ours = ("public", "crm")
    seen = {"search path": found.search_path(), "schemata": sorted(name for name in found.schemata() if name in ours),
            "tables": sorted(map(list, (item for item in found.tables() if item[0] in ours))),
            "views": sorted(map(list, (item for item in found.views() if item[0] in ours))),
            "columns": sorted(map(str, (item for item in found.table_columns() if item[0] in ours))),
            "foreign keys": sorted(map(str, found.foreignkeys())), "in types": [item for item in map(list, found.datatypes()) if item[0] in ours]}
    assert "loyalhouse" in found.databases()
    assert any(item.func_name == "lower" for item in found.functions()), "no function lower"
    list(found.view_columns())
    return {**seen, "short host": bool(found.short_host), "server version": found.server_version.partition(".")[0]}


def case_errors(context):
    logging.disable(logging.CRITICAL)  # it logs the failure with its trace as well
    try:
        found = list(executor(context).run("SELECT no_such", on_error_resume=True, exception_formatter=str))
    finally:
        logging.disable(logging.NOTSET)
    return {"message": found[0][3].splitlines()[0]}
