#!/usr/bin/env python3
"""Stands in for the server binary: the same command line, answered by a real PostgreSQL that holds the same tables.
It shows that the checks ask for what PostgreSQL does: `run.sh tests/clients/oracle_postgres.py --oracle`.

`role create` keeps a role for the server that is started with the same --warehouse; it then asks everybody for passwords.

Needs the PostgreSQL 15 server package, and DuckDB to read the Parquet files. Everything lives in a temporary folder.
"""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if not os.environ.get("ORACLE_VENV"):
    venv = Path(os.environ.get("CLIENTS_DIR", "target/clients")) / "venv" / "bin" / "python"
    os.environ["ORACLE_VENV"] = "1"
    os.execv(venv, [str(venv), *sys.argv])

PROGRAMS = Path(os.environ.get("POSTGRES_PROGRAMS", "/usr/lib/postgresql/15/bin"))
READY_LIMIT = 60.0  # seconds
SETTINGS = {
    "listen_addresses": "127.0.0.1", "max_connections": "1200", "shared_buffers": "32MB", "fsync": "off",
    "autovacuum": "off", "jit": "off", "max_parallel_workers_per_gather": "0", "unix_socket_directories": "",
    "client_connection_check_interval": "100ms", "datestyle": "iso", "max_wal_size": "8GB", "wal_level": "minimal", "max_wal_senders": "0",
}
TYPES = {"BIGINT": "bigint", "INTEGER": "integer", "DOUBLE": "double precision", "VARCHAR": "text", "DATE": "date",
         "TIMESTAMP": "timestamp", "FLOAT": "real", "BLOB": "bytea", "VARCHAR[]": "text[]"}


def as_csv(name, kind):
    """The DuckDB expression that spells a column as PostgreSQL reads it; CSV knows neither bytes nor lists."""
    if kind == "BLOB":
        return f"""'\\x' || hex("{name}") AS "{name}\""""
    if kind.endswith("[]"):
        items = f"""list_transform("{name}", lambda item: coalesce('"' || item || '"', 'NULL'))"""
        return f"""'{{' || coalesce(array_to_string({items}, ','), '') || '}}' || left("{name}"::VARCHAR, 0) AS "{name}\""""
    return f'"{name}"'


def tables(location):
    """(schema, table, glob) of what lies in a LOCATION, by the rules of the served folder."""
    for entry in sorted(Path(location).iterdir()):
        if entry.suffix == ".parquet":
            yield "public", entry.stem, str(entry)
        elif entry.is_dir() and list(entry.glob("*.parquet")):
            yield "public", entry.name, f"{entry}/*.parquet"
        elif entry.is_dir():
            for schema, table, glob in tables(entry):
                yield entry.name if schema == "public" else schema, table, glob


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def load(port, locations):
    import duckdb
    import psycopg
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True) as target:
        target.execute("CREATE DATABASE loyalhouse")
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="loyalhouse") as target, \
            duckdb.connect() as source:
        for schema, table, glob in (found for location in locations for found in tables(location)):
            columns = source.execute(f"DESCRIBE SELECT * FROM '{glob}'").fetchall()
            spelled = ", ".join(f'"{name}" {TYPES.get(kind, kind)}' for name, kind, *_ in columns)
            target.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            target.execute(f'CREATE TABLE "{schema}"."{table}" ({spelled})')
            select = ", ".join(as_csv(name, kind) for name, kind, *_ in columns)
            csv = Path(tempfile.gettempdir()) / f"oracle-{os.getpid()}.csv"
            source.execute(f"COPY (SELECT {select} FROM '{glob}') TO '{csv}' (HEADER false, FORCE_QUOTE *, NULL '')")
            with csv.open("rb") as data, target.cursor().copy(f'COPY "{schema}"."{table}" FROM STDIN CSV') as copy:
                while block := data.read(1 << 20):
                    copy.write(block)
            csv.unlink()
        target.commit()
        target.autocommit = True
        target.execute("ANALYZE")
        for name in ("analyst", os.environ.get("USER", "root"), "postgres", "anybody"):
            target.execute(f"""DO $$ BEGIN CREATE ROLE "{name}" LOGIN SUPERUSER; EXCEPTION
                               WHEN duplicate_object THEN NULL; END $$""")
            if name != "postgres":
                target.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')


def keep_role(arguments):
    """`role create NAME --superuser --password-stdin --warehouse DIR`"""
    folder = Path(arguments[-1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "roles.sql").write_text(f"""CREATE ROLE "{arguments[0]}" LOGIN SUPERUSER PASSWORD '{sys.stdin.readline().strip()}';""")


def secured(data, options, port):
    """SCRAM for everybody from now on, and TLS when there is a certificate; in a cluster that runs."""
    import psycopg
    roles = Path(options.get("--warehouse", "/no/such/folder")) / "roles.sql"
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True) as connection:
        if "--tls-cert" in options:
            for name in ("cert", "key"):
                file = data / f"server.{name}"
                shutil.copy(options[f"--tls-{name}"], file)
                shutil.chown(file, data.owner())
                file.chmod(0o600)
                connection.execute(f"ALTER SYSTEM SET ssl_{name}_file = '{file}'")
            connection.execute("ALTER SYSTEM SET ssl = on")
        if roles.exists():
            connection.execute('DROP DATABASE "analyst"')
            connection.execute('DROP ROLE "analyst"')
            connection.execute(roles.read_text())
            (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        connection.execute("SELECT pg_reload_conf()")
    time.sleep(0.5)


def main():
    if sys.argv[1:3] == ["role", "create"]:
        return keep_role(sys.argv[3:])
    if sys.argv[1:4] != ["serve", "--listen", "127.0.0.1:0"]:
        sys.exit("usage: oracle_postgres.py serve --listen 127.0.0.1:0 LOCATION…")
    locations, options = sys.argv[4:], {}
    while locations and locations[0].startswith("--"):
        options[locations[0]] = locations[1]
        locations = locations[2:]
    folder, port = Path(tempfile.mkdtemp(prefix="oracle-")), free_port()
    account = {}
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        account = {"user": owner.pw_uid, "group": owner.pw_gid, "cwd": folder}
    subprocess.run([PROGRAMS / "initdb", "-D", folder / "d", "-A", "trust", "-U", "postgres", "-E", "UTF8",
                    "--locale=C.UTF-8", "-N"], check=True, stdout=subprocess.DEVNULL, **account)
    settings = [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
    server = subprocess.Popen([PROGRAMS / "postgres", "-D", folder / "d", "-p", str(port), *settings],
                              stdout=sys.stderr, **account)

    def stop(_signal, _frame):
        server.send_signal(signal.SIGINT)
    signal.signal(signal.SIGTERM, stop)
    deadline = time.monotonic() + READY_LIMIT
    while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    try:
        load(port, locations)
        secured(folder / "d", options, port)
        print(f"listening on 127.0.0.1:{port}", flush=True)
        server.wait()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
