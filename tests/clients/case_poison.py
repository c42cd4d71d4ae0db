"""Statements that are short to send and dear to run: each gets an answer or an error within its limits, others are
answered meanwhile, and the server lives on."""
import threading
import time

import fixtures
import wire
from case_many import Pinger
from server import MIB, MemoryWatch

CLIENT_LIMIT = 30.0  # seconds for the answer
STATEMENT_TIMEOUT = "20s"  # the server's own limit in these sessions
PING_BOUND = 1.0  # seconds for SELECT 1 on another connection
MEMORY_BOUND = 4096 * MIB  # resident, at most
CANCEL_AFTER = 0.5  # seconds
CANCEL_BOUND = 5.0  # seconds from the cancel to the end of the statement
ALLOWED = {"54001", "54000", "54011", "53200", "57014", "42601", "2201B"}
ORACLE_EXTRA = {"42883", "22023"}  # PostgreSQL lacks the function, or words the limit differently


def doubling_cte(times):
    steps = [f"c{step} AS (SELECT x FROM c{step - 1} UNION ALL SELECT x FROM c{step - 1})" for step in range(1, times + 1)]
    return f"WITH c0 AS (SELECT 1 AS x), {', '.join(steps)} SELECT count(*) FROM c{times}"


def joins(count):
    tables = " ".join(f"JOIN customers t{place} ON t{place}.id = t{place - 1}.id" for place in range(1, count))
    return f"SELECT count(*) FROM customers t0 {tables}"


def nested_selects(depth):
    return "SELECT * FROM (" * depth + "SELECT 1 AS x" + ") AS s" * depth


# name: (statement, right answer or None when any answer will do)
STATEMENTS = {
    "plus_2000": ("SELECT " + "+".join(["1"] * 2_000), "2000"),
    "plus_20000": ("SELECT " + "+".join(["1"] * 20_000), "20000"),
    "minus_20000": ("SELECT " + "- " * 20_000 + "1", "1"),
    "not_20000": ("SELECT count(*) FROM customers WHERE " + "NOT " * 20_000 + "(id = 1)", "1"),
    "or_20000": ("SELECT count(*) FROM customers WHERE " + " OR ".join(f"id = {i}" for i in range(20_000)), "1000"),
    "or_20000_mixed": ("SELECT count(*) FROM customers WHERE "
                       + " OR ".join(f"(id = {i} AND city <> 'x{i}')" for i in range(20_000)), "1000"),
    "in_200000": (f"SELECT count(*) FROM customers WHERE id IN ({','.join(map(str, range(200_000)))})", "1000"),
    "concat_20000": ("SELECT " + "||".join(["'a'"] * 20_000), "a" * 20_000),
    "cast_20000": ("SELECT 1" + "::int" * 20_000, "1"),
    "union_5000": (" UNION ALL ".join(["SELECT 1 AS x"] * 5_000), None),
    "case_5000": ("SELECT " + "CASE WHEN 1 = 2 THEN 0 ELSE " * 5_000 + "7" + " END" * 5_000, "7"),
    "calls_20000": ("SELECT " + "abs(" * 20_000 + "1" + ")" * 20_000, "1"),
    "nested_selects_2000": (nested_selects(2_000), "1"),
    "parentheses_20000": ("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "1"),
    "parentheses_open_20000": ("SELECT " + "(" * 20_000, None),
    "brackets_20000": ("SELECT " + "ARRAY[" * 20_000 + "1" + "]" * 20_000, None),
    "doubling_cte_24": (doubling_cte(24), str(2**24)),
    "join_400": (joins(400), str(fixtures.CUSTOMERS)),
    "columns_20000": ("SELECT " + ", ".join(["id"] * 20_000) + " FROM customers LIMIT 1", None),
    "lpad": ("SELECT lpad('a', 2000000000, 'b')", None),
    "rpad": ("SELECT rpad('a', 2000000000, 'b')", None),
    "repeat": ("SELECT repeat('x', 1000000000)", None),
    "repeat_length": ("SELECT length(repeat('x', 1000000000))", "1000000000"),
    "repeat_rows": ("SELECT sum(length(repeat(v, 1000000))) FROM words", str(fixtures.WORDS * 1_000_000)),
    "lpad_rows": ("SELECT sum(length(lpad(v, 1000000, 'y'))) FROM words", str(fixtures.WORDS * 1_000_000)),
    "array_repeat": ("SELECT array_repeat(1, 1000000000)", None),
    "array_repeat_nested": ("SELECT array_repeat(array_repeat(1, 100000), 100000)", None),
    "range": ("SELECT range(0, 400000000)", None),
    "generate_series": ("SELECT count(*) FROM generate_series(1, 100000000000)", None),
    "string_agg": ("SELECT length(string_agg(repeat(v, 100000), ',')) FROM words", None),
    "array_agg": ("SELECT array_agg(repeat(v, 100000)) FROM words", None),
    "replace": ("SELECT length(replace(repeat('a', 100000), 'a', repeat('b', 100000)))", None),
    "regex_backtrack": (f"SELECT '{'a' * 5_000}' ~ '(a*)*b'", None),
    "regex_counted": ("SELECT 'aaa' ~ '(a{1000}){1000}'", None),
    "regex_counted_rows": ("SELECT count(*) FROM words WHERE repeat(v, 2000) ~ '(x{1,100}){1,100}y'", None),
    "recursive_cte": ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r", None),
    "cross_join": ("SELECT count(*) FROM words a, words b, words c WHERE a.id * b.id * c.id < -1", None),
    "comment_20000": ("SELECT 1 " + "/*" * 20_000, None),
}
CANCELLABLE = ["or_20000_mixed", "union_5000", "doubling_cte_24", "join_400", "repeat_rows", "lpad_rows", "string_agg",
               "generate_series", "regex_counted_rows", "recursive_cte", "cross_join"]


def ask(connection, sql):
    """What came of the statement: ("answer", first value) or (SQLSTATE, message)."""
    try:
        answer = connection.run(sql, limit=CLIENT_LIMIT)
    except wire.WireError as error:
        return error.sqlstate, error.fields["M"][:120]
    except TimeoutError:
        raise AssertionError(f"no answer in {CLIENT_LIMIT:.0f} s") from None
    value = answer.values[0][0] if answer.values else None
    return "answer", value


def judge(context, state, value, wanted):
    if state == "answer":
        assert wanted is None or value == wanted, f"a wrong answer: {str(value)[:80]}"
        return
    allowed = ALLOWED | (ORACLE_EXTRA if context.oracle else set())
    assert state in allowed, f"SQLSTATE {state}: {value}"


def poison(sql, wanted):
    def run(context):
        server = context.server(fixtures.shop)
        with Pinger(server) as pinger, MemoryWatch(server) as watch, wire.Wire(server.address) as connection:
            connection.run(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
            start = time.monotonic()
            state, value = ask(connection, sql)
            context.note(f"{state} after {time.monotonic() - start:.2f} s: {str(value)[:100]}")
            assert connection.value("SELECT 1") == "1", "the connection does not go on"
        context.note(f"{pinger}; peak {watch.highest / MIB:.0f} MiB (+{watch.growth / MIB:.0f})")
        judge(context, state, value, wanted)
        pinger.check(PING_BOUND)
        assert context.oracle or watch.highest < MEMORY_BOUND, f"{watch.highest / MIB:.0f} MiB resident"
    return run


def canceled(sql):
    """A cancel in the middle of parsing, planning or running."""
    def run(context):
        server = context.server(fixtures.shop)
        with wire.Wire(server.address) as connection:
            connection.run(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
            timer = threading.Timer(CANCEL_AFTER, connection.cancel)
            timer.start()
            start = time.monotonic()
            state, value = ask(connection, sql)
            took = time.monotonic() - start
            timer.cancel()
            timer.join()
            context.note(f"{state} after {took:.2f} s, cancel sent at {CANCEL_AFTER} s")
            assert took < CANCEL_AFTER + CANCEL_BOUND, f"went on for {took - CANCEL_AFTER:.1f} s after the cancel"
            judge(context, state, value, None)
            assert wire_alive(connection), "the connection does not go on"
    return run


def wire_alive(connection):
    """The next statement is answered; a cancel that came too late may still hit it once."""
    try:
        return connection.value("SELECT 1") == "1"
    except wire.WireError as error:
        return error.sqlstate == "57014" and connection.value("SELECT 1") == "1"


def all_at_once(context):
    """Several at the same time beside ordinary queries: the server and its other sessions go on."""
    server = context.server(fixtures.shop)
    results = {}

    def work(name):
        try:
            with wire.Wire(server.address) as connection:
                connection.run(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
                results[name] = ask(connection, STATEMENTS[name][0])
        except (AssertionError, OSError, EOFError) as error:
            results[name] = ("lost", repr(error))

    names = ["plus_20000", "repeat_rows", "cross_join", "doubling_cte_24", "join_400", "lpad", "string_agg"]
    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in names]
    with Pinger(server) as pinger, MemoryWatch(server) as watch:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * CLIENT_LIMIT)
    context.note(", ".join(f"{name}: {results.get(name, ('none',))[0]}" for name in names))
    context.note(f"{pinger}; peak {watch.highest / MIB:.0f} MiB")
    for name in names:
        judge(context, *results.get(name, ("lost", "no result")), STATEMENTS[name][1])
    pinger.check(2 * PING_BOUND)


def cases():
    found = [(name, poison(*statement)) for name, statement in STATEMENTS.items()]
    found += [(f"cancel_{name}", canceled(STATEMENTS[name][0])) for name in CANCELLABLE]
    return found + [("all_at_once", all_at_once)]
