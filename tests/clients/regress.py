#!/usr/bin/env python3
"""Compares answers to PostgreSQL's own regression queries, those that only read, with those of a PostgreSQL 15.

    regress.py record  REGRESS OUT --reference DSN [NAME …]   runs the files of REGRESS/sql on the reference
    regress.py compare OUT --server DSN [NAME …]              asks a server the same and says what differs

`compare` sorts the differences by how bad they are (CLASSES), and within that by cause. regress_known.tsv says why each is
there: it prints how many cases each reason explains, every case that none explains, and fails if there are such.

REGRESS is src/test/regress of a PostgreSQL source tree; nothing of it is kept here. `record` works in a schema of its own,
which it drops, and leaves in OUT what each statement gave (NAME.json) and the tables it read as Parquet: OUT/lake is to be
served, one schema for each state that the tables had. Tables with types that Parquet has no column for are left out, and
so is what reads them.

Needs psycopg and pyarrow, which tests/clients/setup.sh installs.
"""
import argparse
import collections
import datetime
import decimal
import fnmatch
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq_files
from psycopg import pq

SCHEMA = "regress_differences"
SETUP = "test_setup"
NAMES = """boolean char name varchar text int2 int4 int8 oid float4 float8 numeric uuid strings md5 date time timetz timestamp
timestamptz interval horology regex select_into select select_distinct select_implicit select_having subselect union case join
aggregates random arrays groupingsets window json jsonb json_encoding limit with expressions select_distinct_on misc_functions
tsrf rowtypes numerology comments""".split()
STATEMENT_MS = 15_000
CELLS_MAX = 200_000
#: One command of psql at the end of a line, and variables.
READS = re.compile(r"(?is)^\s*\(*\s*(select|values|with|table)\b")
WRITES = re.compile(r"(?is)\binto\s+(temp|table|unlogged|[a-z_]+\s+from)\b|\b(insert|update|delete|merge)\s+\w|\bfor\s+(update|share|no key|key)\b|nextval|setval|lo_|pg_advisory|pg_sleep|txid|pg_current_|currval|pg_ls_|pg_read_|pg_stat_file|pg_log_")
SETTING = re.compile(r"(?is)^\s*(set|reset)\s+(?!role|session\s+auth|constraints|transaction|local)")


def statements(text):
    """The statements of a psql script, and ("copy", statement, data) for COPY … FROM STDIN with its data."""
    at, start, depth = 0, 0, 0
    while at < len(text):
        here = text[at]
        if text.startswith("--", at):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            text = text[:at] + text[end:]
        elif text.startswith("/*", at):
            level, end = 1, at + 2
            while level and end < len(text):
                if text.startswith("/*", end):
                    level, end = level + 1, end + 2
                elif text.startswith("*/", end):
                    level, end = level - 1, end + 2
                else:
                    end += 1
            at = end
        elif here == "'" or here == '"':
            escaped = here == "'" and at and text[at - 1] in "eE" and not (at > 1 and (text[at - 2].isalnum() or text[at - 2] == "_"))
            end = at + 1
            while end < len(text) and text[end] != here:
                end += 2 if escaped and text[end] == "\\" else 1
            at = end + 1
        elif here == "$" and (tag := re.match(r"\$([A-Za-z_]\w*)?\$", text[at:])):
            end = text.find(tag.group(), at + len(tag.group()))
            at = len(text) if end < 0 else end + len(tag.group())
        elif here in "([":
            depth, at = depth + 1, at + 1
        elif here in ")]":
            depth, at = max(0, depth - 1), at + 1
        elif here == "\\":
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            command = text[at:end]
            if text[start:at].strip() and not command.startswith(("\\gset", "\\crosstab", "\\gdesc")):
                yield text[start:at].strip(), None
            elif not text[start:at].strip():
                yield command, None
            start = at = end
            depth = 0
        elif here == ";" and not depth:
            statement = text[start:at].strip()
            at += 1
            if re.match(r"(?is)^copy\b.*\bfrom\s+stdin", statement):
                first = text.find("\n", at) + 1
                end = re.search(r"(?m)^\\\.$", text[first:])
                stop = first + end.start() if end else len(text)
                yield statement, text[first:stop]
                at = stop + 2
            elif statement:
                yield statement, None
            start = at
        else:
            at += 1


class Connection:
    """Statements in text form by the simple protocol."""

    def __init__(self, dsn):
        self.dsn = dsn
        self.settings = []
        self.open()

    def open(self):
        self.raw = pq.PGconn.connect(self.dsn.encode())
        if self.raw.status != pq.ConnStatus.OK:
            sys.exit(self.raw.error_message.decode())
        for setting in [f"SET statement_timeout = {STATEMENT_MS}", *self.settings]:
            self.raw.exec_(setting.encode())

    def run(self, sql):
        if self.raw.status != pq.ConnStatus.OK:
            self.open()
        result = self.raw.exec_(sql.encode())
        if result.status == pq.ExecStatus.TUPLES_OK:
            width = range(result.nfields)
            cells = lambda row: [None if (cell := result.get_value(row, at)) is None else cell.decode("utf8", "replace") for at in width]
            rows = [cells(row) for row in range(result.ntuples)] if result.ntuples * (result.nfields or 1) <= CELLS_MAX else None
            return {"names": [result.fname(at).decode() for at in width], "types": [result.ftype(at) for at in width], "rows": rows}
        if result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY):
            return {}
        field = lambda code: (result.error_field(code) or b"").decode("utf8", "replace")
        return {"error": field(pq.DiagnosticField.SQLSTATE) or "broken", "text": field(pq.DiagnosticField.MESSAGE_PRIMARY) or self.raw.error_message.decode()}

    def rows(self, sql):
        return self.run(sql).get("rows") or []

    def copy(self, statement, data):
        self.raw.exec_(statement.encode())
        self.raw.put_copy_data(data if isinstance(data, bytes) else data.encode())
        self.raw.put_copy_end()
        self.raw.get_result()
        self.raw.get_result()


def moment(text):
    if text in ("infinity", "-infinity"):
        return (1 << 63) - 1 if text == "infinity" else -(1 << 63)
    found = re.match(r"(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)(?:\.(\d+))?(?:\+00)?( BC)?$", text)
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    year = 1 - year if found.group(8) else year
    days = days_of(year, month, day)
    return ((days * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000 + int((found.group(7) or "").ljust(6, "0"))


def days_of(year, month, day):
    """Days since 1970 in the proleptic Gregorian calendar."""
    cycles, year = divmod(year - 1, 400)
    return cycles * 146_097 + datetime.date(year + 1, month, day).toordinal() - datetime.date(1970, 1, 1).toordinal()


def day(text):
    if text in ("infinity", "-infinity"):
        return (1 << 31) - 1 if text == "infinity" else -(1 << 31)
    found = re.match(r"(\d+)-(\d+)-(\d+)( BC)?$", text)
    year = int(found.group(1))
    return days_of(1 - year if found.group(4) else year, int(found.group(2)), int(found.group(3)))


def time_of_day(text):
    hours, minutes, seconds = text.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000_000 + int(decimal.Decimal(seconds) * 1_000_000)


def numeric(values):
    if any(value is not None and not value.is_finite() for value in values):
        raise ValueError("numeric that is not finite")
    scale = max((max(0, -value.as_tuple().exponent) for value in values if value is not None), default=0)
    whole = max((value.adjusted() + 1 for value in values if value is not None), default=1)
    if scale + max(whole, 1) > 38:
        raise ValueError("numeric beyond 38 digits")
    return pa.decimal128(38, scale)


PLAIN = {"int2": (pa.int16(), int), "int4": (pa.int32(), int), "int8": (pa.int64(), int), "float4": (pa.float32(), float),
         "float8": (pa.float64(), float), "bool": (pa.bool_(), lambda text: text == "t"), "text": (pa.string(), str),
         "varchar": (pa.string(), str), "bpchar": (pa.string(), str), "name": (pa.string(), str),
         "bytea": (pa.binary(), lambda text: bytes.fromhex(text[2:]))}
ENCODED = {"date": (pa.int32(), day, pa.date32()), "timestamp": (pa.int64(), moment, pa.timestamp("us")),
           "timestamptz": (pa.int64(), moment, pa.timestamp("us", "UTC")),
           "time": (pa.int64(), time_of_day, pa.time64("us"))}


def column(kind, cells):
    """A column of texts as Arrow; an error for a type that Parquet has no column for."""
    if kind in PLAIN:
        arrow, read = PLAIN[kind]
        return pa.array([None if cell is None else read(cell) for cell in cells], arrow)
    if kind in ENCODED:
        integers, read, arrow = ENCODED[kind]
        return pa.array([None if cell is None else read(cell) for cell in cells], integers).cast(arrow)
    if kind == "numeric":
        values = [None if cell is None else decimal.Decimal(cell) for cell in cells]
        return pa.array(values, numeric(values))
    if kind in ("_int4", "_int8", "_text", "_int2"):
        item, read = PLAIN[kind[1:]]
        if any(cell and ("{{" in cell or '"' in cell or "=" in cell or "NULL" in cell) for cell in cells):
            raise ValueError("array that this reader does not read")
        split = lambda cell: [read(part) for part in cell[1:-1].split(",")] if len(cell) > 2 else []
        return pa.array([None if cell is None else split(cell) for cell in cells], pa.list_(item))
    raise ValueError(f"no column for {kind}")


class Recorder:
    def __init__(self, folder, out, dsn):
        self.folder, self.out = folder, out
        self.connection = Connection(dsn)
        self.versions, self.state, self.states = {}, {}, 0

    def start(self):
        self.connection.run(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        self.connection.run(f"CREATE SCHEMA {SCHEMA}")
        self.connection.settings = [f"SET search_path = {SCHEMA}, public", "SET timezone = 'PST8PDT'", "SET datestyle = 'Postgres, MDY'", "SET intervalstyle = 'postgres_verbose'"]
        self.connection.open()

    def setup(self):
        for statement, data in statements((self.folder / "sql" / f"{SETUP}.sql").read_text()):
            file = re.match(r"\\set filename :abs_srcdir '(/data/.*)'", statement)
            if file:
                source = self.folder / file.group(1)[1:]
            elif re.match(r"(?is)^copy\b", statement):
                table = statement.split()[1]
                self.connection.copy(f"COPY {table} FROM STDIN", source.read_bytes())
            elif not statement.startswith("\\") and "tablespace" not in statement.lower():
                self.connection.run(statement)

    def relations(self):
        rows = self.connection.rows(f"""SELECT c.relname, c.relpersistence, c.oid FROM pg_class c
            WHERE c.relkind IN ('r', 'v', 'm') AND (c.relnamespace = '{SCHEMA}'::regnamespace OR c.relnamespace = pg_my_temp_schema())""")
        return {row[0]: row[1] for row in rows}

    def export(self, table):
        """Writes the present rows of a table; returns the file or the reason why there is none."""
        described = self.connection.rows(f"""SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
            WHERE a.attrelid = to_regclass('"{table}"') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum""")
        if not described:
            return None, "no columns"
        kept = [self.connection.run(f"SHOW {name}")["rows"][0][0] for name in ("timezone", "datestyle", "extra_float_digits", "bytea_output")]
        for setting in ("SET timezone = 'UTC'", "SET datestyle = 'ISO'", "SET extra_float_digits = 1", "SET bytea_output = 'hex'"):
            self.connection.run(setting)
        result = self.connection.run(f'SELECT * FROM "{table}"')
        for name, value in zip(("timezone", "datestyle", "extra_float_digits", "bytea_output"), kept):
            self.connection.run(f"SET {name} = '{value}'")
        rows = result.get("rows")
        if rows is None:
            return None, "not readable"
        try:
            columns = [column(kind, [row[at] for row in rows]) for at, (_, kind) in enumerate(described)]
        except (ValueError, pa.ArrowException, OverflowError) as reason:
            return None, str(reason)
        number = self.versions[table] = self.versions.get(table, 0) + 1
        path = self.out / "tables" / f"{table}.{number}.parquet"
        pq_files.write_table(pa.table(columns, names=[name for name, _ in described]), path)
        return path, None

    def schema_of(self, words, known, dirty):
        """The schema in which the tables named are as they are now; the reason where there is none."""
        changed = False
        for table in known:
            if table not in words:
                continue
            if table in dirty or table not in self.state:
                path, reason = self.export(table)
                self.state[table] = (path, reason)
                dirty.discard(table)
                changed = True
            if self.state[table][1]:
                return None, f"{table}: {self.state[table][1]}"
        if changed or not self.states:
            self.states += 1
            schema = self.out / "lake" / f"s{self.states:04}"
            for table, (path, _) in self.state.items():
                if path and table in known:
                    (schema / table).mkdir(parents=True)
                    os.link(path, schema / table / "part.parquet")
        return f"s{self.states:04}", None

    def file(self, name):
        known, dirty, done = self.relations(), set(), []
        for statement, data in statements((self.folder / "sql" / f"{name}.sql").read_text()):
            if statement.startswith("\\"):
                continue
            words = set(re.findall(r"\w+", statement.lower()))
            if data is not None:
                self.connection.copy(statement, data)
                dirty |= words & set(known)
                continue
            reads = READS.match(statement) and not WRITES.search(statement)
            if not reads:
                result = self.connection.run(statement)
                known = self.relations()
                if SETTING.match(statement):
                    if "error" not in result:
                        done.append({"sql": statement, "setting": True})
                elif not re.match(r"(?is)^\s*(explain|begin|commit|rollback|analyze|vacuum|end|savepoint|grant|comment)\b", statement):
                    # A view or a trigger may carry the change further.
                    dirty |= set(known) if re.match(r"(?is)^\s*(update|delete|insert|with|create|drop|alter|truncate)", statement) else set()
                continue
            schema, reason = self.schema_of(words, known, dirty)
            answer = self.connection.run(statement)
            done.append({"sql": statement, "schema": schema, "skipped": reason, "answer": answer})
        (self.out / f"{name}.json").write_text(json.dumps(done))
        print(f"{name}: {sum('answer' in one for one in done)} statements that read, {sum(bool(one.get('skipped')) for one in done)} of them of tables that are not exported", flush=True)


def record(arguments):
    out = Path(arguments.out)
    shutil.rmtree(out, ignore_errors=True)
    (out / "tables").mkdir(parents=True)
    (out / "created").write_text(json.dumps(created(Path(arguments.folder))))
    recorder = Recorder(Path(arguments.folder), out, arguments.reference)
    for name in arguments.names or NAMES:
        if not (recorder.folder / "sql" / f"{name}.sql").exists():
            continue
        recorder.start()
        recorder.state = {}
        recorder.setup()
        recorder.file(name)
    recorder.connection.run("RESET search_path")
    recorder.connection.run(f"DROP SCHEMA {SCHEMA} CASCADE")


TEXTS = {18, 19, 25, 705, 1042, 1043}
CLASSES = {
    "wrong": "both answer, but not the same; or an answer where PostgreSQL gives an error",
    "code": "both give an error, with another SQLSTATE",
    "refused": "an error where PostgreSQL answers",
    "set up": "what the script made is not there: a function, type, operator, table or setting of its own",
    "slow or broken": "stopped after the timeout, an internal error, or a connection that ended",
}


def created(folder):
    """The names of what the scripts create."""
    names = set()
    for script in (folder / "sql").glob("*.sql"):
        names |= {name.lower() for name in re.findall(r"(?i)\bcreate\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+|unlogged\s+|recursive\s+|materialized\s+)*(?:function|aggregate|type|domain|table|view|procedure|sequence)\s+(?:if\s+not\s+exists\s+)?(?:\w+\.)?\"?(\w+)", script.read_text(errors="replace"))}
    return sorted(names)


def difference(sql, wanted, got, made=frozenset()):
    """The class and the kind of a difference, and what shows it; none if there is none."""
    if "error" in got:
        if got["error"] == wanted.get("error"):
            return None
        if got["error"] in ("broken", "57014", "XX000"):
            return "slow or broken", f"{got['error']} {got['text'][:60]}", got["text"]
        missing = re.search(r"""(?i)(?:type|function|relation|aggregate|table) ["']?(?:\w+\.)?(\w+)["']? (?:does not exist|not found)""", got["text"])
        if missing and missing[1].lower() in made:
            return "set up", f"error {got['error']}", got["text"]
        if "error" in wanted:
            return "code", f"error {got['error']}, wanted {wanted['error']}", f"{got['text']} / {wanted['text']}"
        shape = re.sub(r'"[^"]*"|\d+|\([^)]*\)', "…", got["text"])
        return "refused", f"error {got['error']}: {shape[:70]}", got["text"]
    if "error" in wanted:
        return "wrong", f"answered, wanted {wanted['error']}", wanted["text"]
    if not wanted or wanted.get("rows") is None or got.get("rows") is None:
        return None
    kind = unlike(sql, wanted, got)
    return kind and ("wrong", *kind)


def unlike(sql, wanted, got):
    """The kind of a difference between two answers, and what shows it."""
    if len(wanted["types"]) != len(got.get("types", [])):
        return "number of columns", f"{got.get('names')} / {wanted['names']}"
    ordered = re.search(r"(?i)\border\s+by\b", outermost(sql))
    key = lambda row: [(cell is not None, cell or "") for cell in row]
    left, right = (answer["rows"] if ordered else sorted(answer["rows"], key=key) for answer in (wanted, got))
    if left != right and sorted(left, key=key) != sorted(right, key=key):
        pair = next(((a, b) for a, b in zip(right, left) if a != b), (right[-1:], left[-1:]))
        if len(left) != len(right):
            return "number of rows", f"{len(right)} / {len(left)}"
        same_number = all(a == b or is_equal(a, b) for one, other in zip(left, right) for a, b in zip(one, other))
        return ("digits shown" if same_number else "values"), f"{pair[0]} / {pair[1]}"
    types = [(a, b) for a, b in zip(got["types"], wanted["types"]) if a != b and not (a in TEXTS and b in TEXTS)]
    if types:
        return f"type {types[0][0]}, wanted {types[0][1]}", str(types)
    if left != right:
        return "order of ties", ""
    if wanted["names"] != got["names"]:
        return "names", f"{got['names']} / {wanted['names']}"
    return None


def outermost(sql):
    """A statement without what stands in parentheses: the order of rows that only those give is nobody's to expect."""
    bare = re.sub(r"'[^']*'", "''", sql)
    while (shorter := re.sub(r"\([^()]*\)", " ", bare)) != bare:
        bare = shorter
    return bare


def is_equal(left, right):
    try:
        a, b = decimal.Decimal(left), decimal.Decimal(right)
        return a == b or abs(a - b) <= abs(a) * decimal.Decimal("1e-14")
    except (decimal.InvalidOperation, TypeError):
        return False


def reasons():
    """The lines of regress_known.tsv: class, file, patterns of the statement and of what is shown, reason."""
    found = []
    for line in Path(__file__).with_name("regress_known.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            each, file, statement, shown, reason = line.split("\t")
            if statement == shown == "-":
                sys.exit(f"regress_known.tsv explains everything: {line}")
            pattern = lambda text: re.compile("" if text == "-" else text, re.IGNORECASE)
            found.append((each, file, pattern(statement), pattern(shown), reason, line))
    return found


def explain(causes, whole):
    """Prints how many cases each reason explains and the cases that none explains; how many these are."""
    known, used, left = reasons(), collections.Counter(), []
    by_reason = collections.defaultdict(collections.Counter)
    for each, found in causes.items():
        for cause, cases in found.items():
            for name, sql, shown in cases:
                sql, shown = " ".join(sql.split()), f"{cause}: {shown}"
                fits = next((one for one in known if one[0] in (each, "*") and fnmatch.fnmatch(name, one[1]) and one[2].search(sql) and one[3].search(shown)), None)
                if fits:
                    used[fits[5]] += 1
                    by_reason[each][fits[4]] += 1
                else:
                    left.append((each, name, sql, shown))
    for each, counted in by_reason.items():
        print(f"\n# {sum(counted.values())} of {sum(map(len, causes[each].values()))} {each} explained")
        for reason, count in counted.most_common():
            print(f"{count:5}  {reason}")
    print(f"\n# {len(left)} unexplained")
    for each, name, sql, shown in left:
        print(f"   {each} | {name}: {sql[:300]}\n      -> {shown[:300]}")
    for line in (one[5] for one in known if whole and not used[one[5]]):
        print(f"explains nothing: {line}")
    return len(left)


def compare(arguments):
    out = Path(arguments.out)
    server = Connection(arguments.server)
    base = ["SET timezone = 'PST8PDT'", "SET datestyle = 'Postgres, MDY'", "SET intervalstyle = 'postgres_verbose'"]
    causes, totals = {each: collections.defaultdict(list) for each in CLASSES}, {}
    made = set(json.loads((out / "created").read_text()))
    for name in arguments.names or NAMES:
        path = out / f"{name}.json"
        if not path.exists():
            continue
        server.settings = list(base)
        server.open()
        same = asked = 0
        for one in json.loads(path.read_text()):
            if one.get("setting"):
                server.run(one["sql"])
                server.settings.append(one["sql"])
                continue
            if one["skipped"]:
                continue
            server.run(f"SET search_path = {one['schema']}")
            got = server.run(one["sql"])
            asked += 1
            found = difference(one["sql"], one["answer"], got, made)
            if found is None:
                same += 1
            else:
                causes[found[0]][found[1]].append((name, one["sql"], found[2]))
        totals[name] = (same, asked)
        print(f"{name}: {same} of {asked} alike", flush=True)
    print(f"\nall: {sum(same for same, _ in totals.values())} of {sum(asked for _, asked in totals.values())} alike\n")
    for each, meaning in CLASSES.items():
        print(f"# {sum(map(len, causes[each].values()))}  {each}: {meaning}")
        for cause, cases in sorted(causes[each].items(), key=lambda item: -len(item[1])):
            print(f"== {len(cases)}  {cause}")
            for name, sql, shown in cases[: arguments.examples]:
                print(f"   {name}: {' '.join(sql.split())[:300]}\n      -> {shown[:300]}")
    if arguments.differences:
        Path(arguments.differences).write_text("".join(json.dumps([each, cause, *case]) + "\n" for each, found in causes.items() for cause, cases in found.items() for case in cases))
    if explain(causes, not arguments.names):
        sys.exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record")
    recording.add_argument("folder")
    recording.add_argument("out")
    recording.add_argument("--reference", required=True)
    recording.add_argument("names", nargs="*")
    recording.set_defaults(run=record)
    comparing = commands.add_parser("compare")
    comparing.add_argument("out")
    comparing.add_argument("--server", required=True)
    comparing.add_argument("--examples", type=int, default=5)
    comparing.add_argument("--differences", help="a file for all that differs, one JSON array a line")
    comparing.add_argument("names", nargs="*")
    comparing.set_defaults(run=compare)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
