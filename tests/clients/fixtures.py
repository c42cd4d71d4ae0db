"""Deterministic data for the checks, written as Parquet by DuckDB. Each function returns a LOCATION to serve; what is
there already is used again."""
import shutil
import subprocess
from pathlib import Path

BIG_ROWS = 10_000_000
BIG_FILES = 10
ROW_GROUP = 122_880
CUSTOMERS, ORDERS, SURVEYS, WORDS = 1_000, 10_000, 5_000, 100_000
TPCH_SCALE = "0.1"
TPCH_LIMIT = 300  # seconds for the generator

CUSTOMER_SQL = f"""
SELECT i AS id, 'Customer ' || i AS name, ['Kyiv', 'Oslo', 'Lima'][1 + i % 3] AS city,
       DATE '2020-01-01' + CAST(i % 1000 AS INTEGER) AS joined,
       CASE WHEN i % 10 = 0 THEN NULL WHEN i % 10 = 1 THEN 'says "hi", twice' ELSE 'plain' END AS note
FROM range(1, {CUSTOMERS + 1}) t(i)"""
ORDER_SQL = f"""
SELECT i AS id, 1 + (i * 7919) % {CUSTOMERS} AS customer_id,
       TIMESTAMP '2024-01-01 00:00:00' + to_minutes(CAST(i * 53 AS BIGINT)) AS ordered_at,
       CAST((i * 137) % 20000 / 100.0 AS DECIMAL(12, 2)) AS amount,
       ['web', 'shop', 'app', 'phone'][1 + i % 4] AS channel
FROM range(1, {ORDERS + 1}) t(i)"""
SURVEY_SQL = f"""
SELECT i AS id, 1 + (i * 31) % {CUSTOMERS} AS customer_id,
       CASE WHEN i % 50 = 0 THEN NULL ELSE CAST((i * 7) % 11 AS INTEGER) END AS score
FROM range(1, {SURVEYS + 1}) t(i)"""

LINES = 100_000
KIND_SQL = """
SELECT CAST(1 AS INTEGER) AS id, true AS b, CAST(-2 AS SMALLINT) AS i2, CAST(3 AS INTEGER) AS i4, CAST(4 AS BIGINT) AS i8, CAST(0.1 AS FLOAT) AS f4,
       CAST(0.1 AS DOUBLE) AS f8, CAST(12.3 AS DECIMAL(12, 2)) AS n, 'текст' AS t, '\\xDE\\xAD\\x00'::BLOB AS y,
       DATE '2024-02-29' AS d, TIME '12:34:56.789012' AS tm, TIMESTAMP '2024-02-29 12:34:56.789012' AS ts,
       TIMESTAMPTZ '2024-02-29 12:34:56.789012+00' AS tz, [1, NULL, 3]::INTEGER[] AS il, ['a', 'b c']::VARCHAR[] AS tl
UNION ALL SELECT 2, NULL, NULL, NULL, NULL, NULL::FLOAT, NULL::DOUBLE, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
UNION ALL SELECT 3, false, CAST(-32768 AS SMALLINT), CAST(-2147483648 AS INTEGER), CAST(-9223372036854775808 AS BIGINT), 'NaN'::FLOAT,
       '-Infinity'::DOUBLE, -9999999999.99, '', ''::BLOB,
       DATE '1900-01-01', TIME '00:00:00', TIMESTAMP '1900-01-01 00:00:00', TIMESTAMPTZ '1970-01-01 00:00:00+00',
       []::INTEGER[], [NULL, '']::VARCHAR[]"""


def big_sql(low, high):
    return f"""
SELECT i AS id, (i * 7919) % 1000003 AS customer_id, CAST(i % 100000 AS DOUBLE) / 100 AS amount,
       ['web', 'shop', 'app', 'phone'][1 + i % 4] AS channel
FROM range({low}, {high}) t(i)"""


def write(path, select):
    """Writes a SELECT's rows to a Parquet file; appears whole or not at all."""
    import duckdb
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({select}) TO '{partial}' (FORMAT parquet, ROW_GROUP_SIZE {ROW_GROUP})")
    partial.rename(path)


def shop(work):
    """customers, orders (a folder of two files), surveys, words and the schema crm: all small."""
    root = work / "shop"
    if not (root / "done").exists():
        write(root / "customers.parquet", CUSTOMER_SQL)
        write(root / "orders" / "part-0.parquet", f"SELECT * FROM ({ORDER_SQL}) WHERE id % 2 = 0")
        write(root / "orders" / "part-1.parquet", f"SELECT * FROM ({ORDER_SQL}) WHERE id % 2 = 1")
        write(root / "surveys.parquet", SURVEY_SQL)
        write(root / "words.parquet", f"SELECT i AS id, 'x' AS v FROM range({WORDS}) t(i)")
        write(root / "crm" / "accounts" / "all.parquet", "SELECT i AS id FROM range(10) t(i)")
        (root / "done").touch()
    return root


def office(work):
    """The tables that questions.tsv asks for: customers, orders, crm.accounts as in `shop`, a table of all column
    types, and lines, 100,000 rows in order."""
    root = work / "office"
    if not (root / "done").exists():
        write(root / "customers.parquet", CUSTOMER_SQL)
        write(root / "orders.parquet", ORDER_SQL)
        write(root / "kinds.parquet", KIND_SQL)
        write(root / "lines.parquet", f"SELECT i AS id, 'line ' || i AS label FROM range(1, {LINES + 1}) t(i)")
        write(root / "crm" / "accounts" / "all.parquet", "SELECT i AS id FROM range(10) t(i)")
        (root / "done").touch()
    return root


def big(work):
    """The table big: 10 M rows in ten files of several row groups."""
    root = work / "big"
    for part in range(BIG_FILES):
        path = root / "big" / f"part-{part}.parquet"
        if not path.exists():
            share = BIG_ROWS // BIG_FILES
            write(path, big_sql(part * share, (part + 1) * share))
    return root


def big_file(work):
    """A file of one million rows, for the object store."""
    path = work / "big-file.parquet"
    if not path.exists():
        write(path, big_sql(0, 1_000_000))
    return path


def tpch(work):
    """The eight TPC-H tables at scale 0.1."""
    from os import environ
    root = work / "tpch"
    if not (root / "lineitem.parquet").exists():
        clients = Path(environ.get("CLIENTS_DIR", "target/clients"))
        tool = shutil.which("tpchgen-cli", path=f"{clients / 'venv' / 'bin'}:{environ['PATH']}")
        if tool is None:
            raise FileNotFoundError(2, "no such client", "tpchgen-cli")
        partial = work / "tpch.partial"
        subprocess.run([tool, "parquet", "-s", TPCH_SCALE, "--output-dir", str(partial)], check=True,
                       timeout=TPCH_LIMIT, stdout=subprocess.DEVNULL)
        partial.rename(root)
    return root
