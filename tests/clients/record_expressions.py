#!/usr/bin/env python3
"""Records what a real PostgreSQL answers to tests/data/expressions.sql, for tests/it/differential.rs.

  record_expressions.py 'host=… port=… user=… password=… dbname=…' > tests/data/expressions.tsv

One line an expression, parts separated by tabs: the expression, the column's name, type OID and type modifier, the
value as text and in binary, both in hexadecimal, `null` for NULL; or the expression, `error` and its SQLSTATE.
"""
import pathlib
import sys

import psycopg

EXPRESSIONS = pathlib.Path(__file__).resolve().parent.parent / "data" / "expressions.sql"
SETTINGS = "set timezone = 'UTC'"


def shown(value):
    return "null" if value is None else "=" + value.hex()


def record(connection, expression):
    run = connection.pgconn.exec_params
    answers = [run(f"select {expression}".encode(), [], result_format=form) for form in (0, 1)]
    text, binary = answers
    if text.status != psycopg.pq.ExecStatus.TUPLES_OK:
        return [expression, "error", text.error_field(psycopg.pq.DiagnosticField.SQLSTATE).decode()]
    return [
        expression,
        text.fname(0).decode(),
        str(text.ftype(0)),
        str(text.fmod(0)),
        shown(text.get_value(0, 0)),
        shown(binary.get_value(0, 0)),
    ]


def main():
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        connection.execute(SETTINGS)
        for line in EXPRESSIONS.read_text().splitlines():
            if line and not line.startswith("--"):
                print("\t".join(record(connection, line)))


if __name__ == "__main__":
    main()
