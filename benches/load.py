#!/usr/bin/env python3
"""How fast tables are filled, beside PostgreSQL and DuckDB in the same run.

* COPY of a CSV of 1 GB by the same client into a table here and into an unlogged one of PostgreSQL 15 (fsync off).
* CREATE TABLE AS of 20 million rows here, beside DuckDB writing the same query to Parquet with zstd.

    bash tests/clients/setup.sh && target/clients/venv/bin/python benches/load.py target/release/loyalhouse

Each pair runs ROUNDS times in turns; the best of each counts, since other work on the machine only adds. What is
quoted is the ratio: below 1, this server is the faster one.
"""
import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import psycopg

CLIENTS = Path(__file__).resolve().parent.parent / "tests" / "clients"
sys.path.insert(0, str(CLIENTS))
from server import Server  # noqa: E402

ROUNDS = 3
CSV_BYTES = 1 << 30
CTAS_ROWS = 20_000_000
BLOCK_BYTES = 1 << 20
COLUMNS = "order_id bigint, customer_id bigint, ordered_at timestamp, amount numeric(10,2), channel text, note text"
# What both engines spell alike.
CTAS = """SELECT i AS order_id, (i * 7919) % 500000 AS customer_id, date '2024-01-01' + (i % 700)::int AS ordered_on,
    ((i * 31) % 100000)::double precision / 100 AS amount, 'channel ' || i % 5 AS channel FROM {rows} WHERE i % 97 <> 0"""


def write_csv(path, size):
    """Rows until the file has its size."""
    with duckdb.connect() as engine:
        sample = 2_000_000
        select = """SELECT i, (i * 7919) % 500000, timestamp '2024-01-01' + to_seconds(i), ((i * 31) % 100000) / 100.0,
            'channel ' || i % 5, repeat('note ', (i % 9)::int + 1) || i FROM range({start}, {end}) AS rows(i)"""
        start = 0
        with path.open("wb") as out:
            while out.tell() < size:
                part = path.with_suffix(".part")
                engine.execute(f"COPY ({select.format(start=start, end=start + sample)}) TO '{part}' (HEADER false)")
                with part.open("rb") as block:
                    shutil.copyfileobj(block, out, BLOCK_BYTES)
                part.unlink()
                start += sample
    return start


def seconds(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


def connect(server, user):
    host, port = server.address
    return psycopg.connect(host=host, port=port, dbname="loyalhouse", user=user, autocommit=True)


def copied(connection, table, unlogged, csv, rows):
    connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.execute(f"CREATE {unlogged} TABLE {table} ({COLUMNS})")

    def run():
        with csv.open("rb") as data, connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv)") as copy:
            while block := data.read(BLOCK_BYTES):
                copy.write(block)
    took = seconds(run)
    assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (rows,)
    return took


def made_here(connection):
    connection.execute("DROP TABLE IF EXISTS made")
    return seconds(lambda: connection.execute(
        f"CREATE TABLE made AS {CTAS.format(rows=f'generate_series(1::bigint, {CTAS_ROWS}) AS g(i)')}"))


def made_by_duckdb(path):
    query = CTAS.format(rows=f"range(1, {CTAS_ROWS + 1}) AS g(i)")
    with duckdb.connect() as engine:
        return seconds(lambda: engine.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"))


def report(name, ours, theirs):
    print(f"{name}: {min(ours):.1f} s here, {min(theirs):.1f} s there, ratio {min(ours) / min(theirs):.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--bytes", type=int, default=CSV_BYTES, help="size of the CSV")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="load-bench-") as folder:
        folder = Path(folder)
        data = folder / "data"
        data.mkdir()
        with duckdb.connect() as engine:
            engine.execute(f"COPY (SELECT 1 AS a) TO '{data / 'one.parquet'}'")
        csv = folder / "rows.csv"
        rows = write_csv(csv, arguments.bytes)
        here = Server(Path(arguments.binary).resolve(), [data], folder / "here.log", options=["--warehouse", str(folder / "house")])
        there = Server(CLIENTS / "oracle_postgres.py", [data], folder / "there.log")
        try:
            with connect(here, "tester") as ours, connect(there, "postgres") as theirs:
                pairs = [(copied(ours, "loaded", "", csv, rows), copied(theirs, "loaded", "UNLOGGED", csv, rows))
                         for _ in range(ROUNDS)]
                report(f"COPY of {csv.stat().st_size / 1e9:.2f} GB, {rows} rows, beside PostgreSQL", *zip(*pairs))
                pairs = [(made_here(ours), made_by_duckdb(folder / "made.parquet")) for _ in range(ROUNDS)]
                report(f"CREATE TABLE AS of {CTAS_ROWS} rows, beside DuckDB", *zip(*pairs))
        finally:
            here.stop()
            there.stop()


if __name__ == "__main__":
    main()
