"""What every client is asked, read from questions.tsv, and how an answer is spelled so that it can be recorded."""
import datetime
import decimal
import json
import uuid
from pathlib import Path

FILE = Path(__file__).with_name("questions.tsv")
APPLICATION = "clients suite"
TIME_ZONE = "Europe/Kyiv"
LINES = 100_000  # rows of the table lines
LINES_SUM = LINES * (LINES + 1) // 2
REUSES = 12  # executions of one prepared statement; drivers change to binary, servers to a generic plan, after five
ENDLESS = "SELECT count(*) FROM lines a, lines b, lines c WHERE a.id + b.id < -c.id"


def section(name):
    """{question: SQL} of one section of the file: kind, query or error."""
    rows = [line.split("\t") for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    return {row[1]: row[2] for row in rows if row[0] == name}


def spell(value):
    """A driver's value as text that tells its type as well; the same for equal values, whatever the version."""
    if value is None:
        return "NULL"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"bytes {bytes(value).hex()}"
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return f"{type(value).__name__} {value.isoformat()}"
    if isinstance(value, datetime.timedelta):
        return f"timedelta {value.days}d {value.seconds}s {value.microseconds}us"
    if isinstance(value, (bool, int, float, decimal.Decimal, uuid.UUID)):
        return f"{type(value).__name__} {value}"
    if isinstance(value, str):
        return f"str {value}"
    if isinstance(value, dict):
        return f"dict {json.dumps(value, sort_keys=True)}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} [{', '.join(map(spell, value))}]"
    return f"{type(value).__name__} {value}"


def spell_rows(rows):
    return [[spell(value) for value in row] for row in rows]


def answers(name, ask):
    """{question: what `ask(sql)` returned}; a question that raises is answered by its exception's name, for a driver
    that cannot hold the value is part of how it sees PostgreSQL."""
    found = {}
    for question, sql in section(name).items():
        try:
            found[question] = ask(sql)
        except Exception as error:  # any driver's any error
            found[question] = failure(error)
    return found


def failure(error):
    """An exception by its class and, where the server raised it, its SQLSTATE."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return f"! {type(error).__name__}{' ' + state if state else ''}"


def must_fail(function, *arguments):
    """The `failure` of a call that has to raise."""
    try:
        function(*arguments)
    except Exception as error:
        return failure(error)
    raise AssertionError("no error")
