"""Runs dbt on dbt_project/ in dbt's own virtual environment; prints answers as programs.py reads them."""
import contextlib
import io
import json
import os
import sys
from pathlib import Path

PROJECT = Path(__file__).with_name("dbt_project")
TARGET = Path(os.environ["DBT_TARGET_PATH"])
SHOWN = """select c.city, sum(s.spent) as spent from {{ ref('spending') }} s
           join {{ source('shop', 'customers') }} c on c.id = s.customer_id group by 1 order by 1"""


def dbt(*arguments):
    """What dbt returned; its own output is kept for a failure."""
    from dbt.cli.main import dbtRunner
    noise = io.StringIO()
    with contextlib.redirect_stdout(noise):
        done = dbtRunner().invoke(["--no-version-check", "--no-use-colors", *arguments, "--project-dir", str(PROJECT),
                                   "--profiles-dir", str(PROJECT)])
    if not done.success:
        raise AssertionError(f"dbt {arguments[0]}: {done.exception or noise.getvalue()[-900:]}")
    return done.result


def debug():
    return {"connected": dbt("debug")}


def show():
    table = dbt("show", "--inline", SHOWN).results[0].agate_table
    return {"rows": [list(map(str, row)) for row in table.rows], "types": [type(kind).__name__ for kind in table.column_types]}


def test():
    """Built-in tests on sources and on an ephemeral model."""
    return {item.node.name: f"{item.status} {item.failures}" for item in dbt("test").results}


def source_freshness():
    return {item.node.name: item.status for item in dbt("source", "freshness").results}


def docs_generate():
    """The catalog of the sources' columns."""
    dbt("docs", "generate")
    sources = json.loads((TARGET / "catalog.json").read_text())["sources"]
    return {name: [f"{column['name']} {column['type']} {column['index']}" for column in item["columns"].values()]
            for name, item in sources.items()}


def line(case, question, answer):
    print(*(str(field).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n") for field in (case, question, answer)), sep="\t", flush=True)


for name in sys.argv[1:]:
    try:
        for question, answer in sorted(globals()[name]().items()):
            line(name, question, answer)
        line(name, "=ok", "")
    except Exception as error:  # a case may fail in any way; the next one still runs
        line(name, "=error", f"{type(error).__name__}: {error}")
