"""psql feels at home: connecting, the backslash commands, \\copy, errors, FETCH_COUNT, Ctrl-C, Tab."""
import time

import fixtures
import psql
import questions
from server import wait_busy

CROSS_JOIN = "SELECT count(*) FROM words a, words b, words c WHERE a.id + b.id < -c.id"
CANCELED = "canceling statement due to user request"
CANCEL_LIMIT = 5.0  # seconds from Ctrl-C to the error
FEATURES = {  # of the cases whose names do not begin with one
    "conninfo": "connect", "multi_statement": "query", "fetch_count": "cursor", "ctrl_c": "cancel",
    "multi_statement_error": "errors", "transaction_prompt": "transactions", "list_databases": "metadata",
    "list_schemas": "metadata", "list_tables": "metadata", "describe_table": "metadata", "describe_missing": "metadata",
    "list_functions": "metadata", "list_roles": "metadata", "more_lists": "metadata", "tab": "metadata",
}


BACKSLASH = [
    r"\d customers", r"\d orders", r"\d kinds", r"\d crm.accounts", r"\d no_such", r"\dT int4", r"\dT numeric", r"\df lower", r"\df pg_catalog.upper",
    r"\dv", r"\di", r"\ds", r"\dm", r"\dD", r"\dE", r"\det", r"\dy", r"\encoding", r"SELECT 1 AS a, 'x'::varchar(3) AS b \gdesc",
    r"SELECT city, note, count(*) FROM customers GROUP BY 1, 2 ORDER BY 1, 2 \crosstabview city note", r"SELECT 7 AS seven \gset",
    r"SELECT :seven + :'seven'", r"SELECT format('SELECT %s AS n', g) FROM generate_series(1, 2) g \gexec", r"SELECT 1 AS a, NULL AS b \gx",
    r"SELECT id, name FROM customers WHERE id < 3 ORDER BY id \g (format=csv)", r"\if :{?seven} \\ SELECT 'set' \\ \endif",
]


def asked(context, statements, *options):
    """{name: what psql printed} for the statements, in one session."""
    script = "\n".join(f"\\echo '=== {name}'\n{statement}{'' if statement.startswith(chr(92)) or ' ' + chr(92) in statement else ';'}"
                       for name, statement in statements.items())
    file = context.work / "questions.sql"
    file.write_text("SET TimeZone = 'Europe/Kyiv';\n" + script + "\n")
    output, _ = psql.run(context.server(fixtures.office), "-X", "-q", *options, "-f", str(file), check=False)
    found = {}
    for part in output.split("=== ")[1:]:
        name, _, answer = part.partition("\n")
        found[name] = answer.rstrip("\n")
    return found


def case_query(context):
    return asked(context, questions.section("query"))


def case_types_text(context):
    return asked(context, {name: f"SELECT {kind}" for name, kind in questions.section("kind").items()}, "-A")


def case_prepared(context):
    steps = ["PREPARE p (int8) AS SELECT id, name FROM customers WHERE id = $1", *(f"EXECUTE p ({number})" for number in range(1, 9)), "DEALLOCATE p"]
    return asked(context, {f"{at} {step}": step for at, step in enumerate(steps)})


def case_metadata_backslash(context):
    """What the backslash commands print, to the letter, where no owner and no size is in it."""
    return asked(context, {f"{at}": command for at, command in enumerate(BACKSLASH)})


def case_metadata_gdesc(context):
    """Names and types of every kind and every query, as \\gdesc finds them without running anything."""
    described = {name: f"SELECT {kind} \\gdesc" for name, kind in questions.section("kind").items()}
    return asked(context, {**described, **{f"query {name}": f"{sql} \\gdesc" for name, sql in questions.section("query").items()}}, "-A", "-t")


def case_connect_plain(context):
    server = context.server(fixtures.shop)
    output, _ = psql.run(server, "-X", "-c", "SELECT 1 AS one", database=None)
    psql.contains(output, r"^ one $", r"^   1$", r"^\(1 row\)$")


def case_connect_names(context):
    server = context.server(fixtures.shop)
    for database in ("loyalhouse", "postgres"):
        found = psql.value(server, "SELECT current_database()", database=database)
        assert found in (database, "loyalhouse"), f"database {found} instead of {database}"  # one database, many names
    found = psql.value(server, "SELECT current_user", PGUSER="anybody")
    assert found == "anybody", f"user {found} instead of anybody"


def case_conninfo(context):
    output, _ = psql.run(context.server(fixtures.shop), "-X", "-c", r"\conninfo")
    psql.contains(output, "loyalhouse", str(context.server(fixtures.shop).port))


def case_list_databases(context):
    output, _ = psql.run(context.server(fixtures.shop), "-X", "-c", r"\l")
    psql.contains(output, "List of databases", r"^ loyalhouse +\|", r"UTF8")


def case_list_schemas(context):
    output, _ = psql.run(context.server(fixtures.shop), "-X", "-c", r"\dn")
    psql.contains(output, "List of schemas", r"^ +public +\|", r"^ +crm +\|")


def case_list_tables(context):
    server = context.server(fixtures.shop)
    output, _ = psql.run(server, "-X", "-c", r"\dt")
    psql.contains(output, "List of relations", r"^ public \| customers +\| table", r"^ public \| orders ", r"surveys")
    output, _ = psql.run(server, "-X", "-c", r"\dt crm.*")
    psql.contains(output, r"^ crm +\| accounts \| table")


def case_describe_table(context):
    output, _ = psql.run(context.server(fixtures.shop), "-X", "-c", r"\d customers")
    psql.contains(output, r'Table "public\.customers"', r"^ id +\| bigint", r"^ name +\| (text|character varying)",
                  r"^ joined +\| date")
    output, _ = psql.run(context.server(fixtures.shop), "-X", "-c", r"\d orders")
    psql.contains(output, r"^ ordered_at +\| timestamp without time zone", r"^ amount +\| numeric\(12,2\)")


def case_describe_missing(context):
    _, errors = psql.run(context.server(fixtures.shop), "-X", "-c", r"\d no_such_table", check=False)
    psql.contains(errors, 'Did not find any relation named "no_such_table"')


def case_list_functions(context):
    server = context.server(fixtures.shop)
    output, _ = psql.run(server, "-X", "-c", r"\df lower")
    psql.contains(output, "List of functions", r"\| lower +\| text +\|")
    if not context.oracle:
        output, _ = psql.run(server, "-X", "-c", r"\df nps")
        psql.contains(output, r"\| nps +\| double precision +\| .*\| agg")


def case_list_roles(context):
    output, _ = psql.run(context.server(fixtures.shop), "-X", "-c", r"\du")
    psql.contains(output, "List of roles", "Role name")


def case_more_lists(context):
    """Lists that may be empty but must not be errors."""
    for what in (r"\dv", r"\di", r"\ds", r"\dm", r"\dT", r"\dx", r"\dp", r"\d", r"\d+ customers", r"\dt+", r"\l+", r"\dn+",
                 r"\df+ lower", r"\da", r"\db", r"\encoding"):
        _, errors = psql.run(context.server(fixtures.shop), "-X", "-v", "ON_ERROR_STOP=1", "-c", what)
        assert "ERROR" not in errors, f"{what}: {errors.strip()}"


def case_timing_and_expanded(context):
    output, _ = psql.run(context.server(fixtures.shop), "-X", "-c", r"\timing on", "-c", r"\x on",
                         "-c", "SELECT id, name FROM customers WHERE id = 7")
    psql.contains(output, r"^Timing is on", r"^-\[ RECORD 1 \]", r"^id +\| 7$", r"^name \| Customer 7$", r"^Time: \d")


def case_copy(context):
    """\\copy of a query to a file, as text and as CSV, byte by byte."""
    server = context.server(fixtures.shop)
    select = "SELECT id, city, joined, note FROM customers WHERE id IN (9, 10, 11) ORDER BY id"
    wanted = {
        "": "9\tKyiv\t2020-01-10\tplain\n10\tOslo\t2020-01-11\t\\N\n11\tLima\t2020-01-12\tsays \"hi\", twice\n",
        "with (format csv, header)":
            'id,city,joined,note\n9,Kyiv,2020-01-10,plain\n10,Oslo,2020-01-11,\n11,Lima,2020-01-12,"says ""hi"", twice"\n',
    }
    for options, text in wanted.items():
        path = context.work / "copied"
        output, _ = psql.run(server, "-X", "-v", "ON_ERROR_STOP=1", "-c", rf"\copy ({select}) to '{path}' {options}")
        assert output == "COPY 3\n", output
        assert path.read_text() == text, repr(path.read_text())


def case_copy_table(context):
    path = context.work / "copied"
    output, _ = psql.run(context.server(fixtures.shop), "-X", "-c", rf"\copy orders to '{path}' csv")
    assert output == f"COPY {fixtures.ORDERS}\n", output
    assert len(path.read_text().splitlines()) == fixtures.ORDERS


def case_multi_statement(context):
    output, _ = psql.run(context.server(fixtures.shop), "-X", "-A", "-t", "-c", "SELECT 1; SELECT 'two', 3; SELECT NULL")
    assert output.splitlines() == ["1", "two|3", ""], output


def case_multi_statement_error(context):
    """The statements before the error answer, those after it do not run."""
    output, errors = psql.run(context.server(fixtures.shop), "-X", "-A", "-t", "-c", "SELECT 1; SELECT 1/0; SELECT 2",
                              check=False)
    assert output.split() == ["1"], output
    psql.contains(errors, "division by zero")


def case_errors(context):
    """Code, message and a caret under the place."""
    def error(sql):
        return psql.run(context.server(fixtures.shop), "-X", "-v", "VERBOSITY=verbose", "-c", sql, check=False)[1]

    unknown = error("SELECT nam FROM customers")
    psql.contains(unknown, r"^ERROR:  42703: column .*nam.* does not exist", r"^LINE 1: SELECT nam FROM customers")
    place = [line.index("^") for line in unknown.splitlines() if line.strip() == "^"]
    assert place == [len("LINE 1: SELECT ")], f"the caret is elsewhere:\n{unknown}"
    psql.contains(error("SELECT * FROM no_such_table"), r'^ERROR:  42P01: relation "no_such_table" does not exist',
                  r"^LINE 1: ", r"^ +\^$")
    psql.contains(error("SELECT FROM WHERE"), r"^ERROR:  42601: ", r"^LINE 1: ", r"^ +\^$")
    psql.contains(error("SELECT no_such_function(1)"), r"^ERROR:  42883: ")
    psql.contains(error("SELECT 1/0"), r"^ERROR:  22012: division by zero$")
    psql.contains(error("SELECT 'abc'::int"), r"^ERROR:  22P02: invalid input syntax for type integer: \"abc\"$")


def case_fetch_count(context):
    """psql 15 turns FETCH_COUNT into a cursor, later versions into rows by the thousand."""
    output, errors = psql.run(context.server(fixtures.shop), "-X", "-A", "-t", "-v", "FETCH_COUNT=1000",
                              "-c", "SELECT id FROM orders ORDER BY id")
    assert [int(line) for line in output.split()] == list(range(1, fixtures.ORDERS + 1)), errors or output[:200]


def case_ctrl_c(context):
    """Ctrl-C ends the statement, and the same session answers the next one."""
    server = context.server(fixtures.shop)
    with psql.Terminal(server) as terminal:
        terminal.type(CROSS_JOIN + ";\n")
        wait_busy(server)
        start = time.monotonic()
        terminal.interrupt()
        terminal.expect(CANCELED, CANCEL_LIMIT)
        context.note(f"Ctrl-C to error: {1000 * (time.monotonic() - start):.0f} ms")
        terminal.expect(psql.PROMPT)
        terminal.type("SELECT 6 * 7 AS still;\n")
        terminal.expect(r"still \n-+\n +42\n")


def case_tab(context):
    """The tab key completes a table's, then a column's name."""
    with psql.Terminal(context.server(fixtures.shop)) as terminal:
        terminal.type("SELECT count(*) FROM custo\t")
        terminal.expect(r"FROM customers ")
        terminal.type("WHERE joi\t")
        terminal.expect(r"joined ")
        terminal.type("IS NOT NULL;\n")
        terminal.expect(rf" {fixtures.CUSTOMERS}\n")


def case_transaction_prompt(context):
    """BEGIN, COMMIT and a failed transaction show in the prompt and answer as PostgreSQL does."""
    output, errors = psql.run(context.server(fixtures.shop), "-X", "-A", "-t", "-c", "BEGIN", "-c", "SELECT 1",
                              "-c", "SELECT 1/0", "-c", "SELECT 2", "-c", "ROLLBACK", "-c", "SELECT 3", check=False)
    assert output.split() == ["BEGIN", "1", "ROLLBACK", "3"], output
    psql.contains(errors, "current transaction is aborted, commands ignored until end of transaction block")


def case_settings(context):
    """SET, SHOW and RESET; nothing of another session's; nothing beyond the allow-list."""
    server = context.server(fixtures.shop)
    output, _ = psql.run(server, "-X", "-A", "-t", "-c", "SET statement_timeout = '7s'", "-c", "SHOW statement_timeout",
                         "-c", "RESET statement_timeout", "-c", "SHOW statement_timeout")
    assert output.split() == ["SET", "7s", "RESET", "0"], output
    _, errors = psql.run(server, "-X", "-v", "VERBOSITY=verbose", "-c", "SET no_such_setting = 1", check=False)
    psql.contains(errors, r"^ERROR:  42704: unrecognized configuration parameter \"no_such_setting\"")
    if not context.oracle:
        _, errors = psql.run(server, "-X", "-c", "SET datafusion.runtime.memory_limit = '1G'", check=False)
        psql.contains(errors, r"^ERROR: ")
