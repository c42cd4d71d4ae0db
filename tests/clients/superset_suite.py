"""Apache Superset's own engine spec for PostgreSQL, in Superset's virtual environment; prints answers as programs.py reads them."""
import os
import sys
import threading
import time
from datetime import datetime

from superset.app import create_app

APPLICATION = create_app()


def engine():
    import sqlalchemy as sa
    return sa.create_engine(f"postgresql+psycopg2://analyst@{os.environ['SERVER_HOST']}:{os.environ['SERVER_PORT']}/loyalhouse")


def rows(result):
    return [[str(value) for value in row] for row in result]


def connect(spec):
    with engine().connect() as connection:
        return {"alive": connection.dialect.do_ping(connection.connection.connection), "schema": connection.dialect.default_schema_name}


def query(spec):
    """Every time grain over a column of a table, as charts group by it; and dates as filters write them."""
    import sqlalchemy as sa
    made, found = engine(), {}
    with made.connect() as connection:
        for grain in spec.get_time_grain_expressions():
            by = spec.get_timestamp_expr(sa.column("ordered_at"), None, grain).compile(made)
            sql = f"SELECT {by} AS __timestamp, count(*) AS n FROM orders GROUP BY {by} ORDER BY n DESC, 1 LIMIT 3"
            found[f"grain {grain and grain.value}"] = rows(connection.execute(sa.text(sql.replace(":", r"\:"))))
        moment = datetime(2024, 3, 1, 12, 30)
        for kind in ("DATE", "TIMESTAMP", "DATETIME"):
            sql = f"SELECT count(*) FROM orders WHERE ordered_at >= {spec.convert_dttm(kind, moment)}"
            found[f"filter {kind}"] = rows(connection.execute(sa.text(sql.replace(":", r"\:"))))
        found["epoch"] = rows(connection.execute(sa.text(f"SELECT {spec.epoch_to_dttm().replace('{col}', '1709296200')}")))
        cursor = connection.connection.cursor()
        cursor.execute("SELECT id, amount, ordered_at, channel FROM orders WHERE id < 3 ORDER BY id")
        found["fetched"] = rows(spec.fetch_data(cursor))
        found["kinds"] = [spec.get_datatype(column[1]) for column in cursor.description]
    return found


def metadata(spec):
    import sqlalchemy as sa
    from superset.sql.parse import Table
    inspector = sa.inspect(engine())
    found = {"schemas": sorted(spec.get_schema_names(inspector)), "tables": sorted(spec.get_table_names(None, inspector, "public")),
             "views": sorted(spec.get_view_names(None, inspector, "public"))}
    for name in ("kinds", "customers"):
        for column in spec.get_columns(inspector, Table(name, "public")):
            about = spec.get_column_spec(str(column["type"]))
            found[f"{name}.{column['column_name']}"] = f"{column['type']} {about and about.generic_type.name} {column['nullable']}"
    found["comment"] = str(spec.get_table_comment(inspector, Table("customers", "public")))
    return found


def cost(spec):
    """The estimate that SQL Lab shows, read from EXPLAIN."""
    connection = engine().raw_connection()
    found = spec.estimate_statement_cost(None, "SELECT count(*) FROM orders", connection.cursor())
    return {"parts": sorted(found), "shown": sorted(spec.query_cost_formatter([found])[0])}


def cancel(spec):
    made = engine()
    connection, other = made.raw_connection(), made.raw_connection()
    cursor = connection.cursor()
    pid = spec.get_cancel_query_id(cursor, None)
    failed = []

    def endless():
        try:
            cursor.execute(os.environ["ENDLESS"])
        except Exception as error:
            failed.append(error.pgcode or type(error).__name__)
    worker = threading.Thread(target=endless)
    worker.start()
    time.sleep(0.7)
    done = spec.cancel_query(other.cursor(), None, pid)
    worker.join(30)
    return {"sent": done, "failed": bool(failed), "alive": worker.is_alive()}


def errors(spec):
    found = {}
    for sql in ("SELECT nam FROM customers", "SELECT * FROM no_such", "SELEC 1"):
        try:
            engine().execute(sql)
        except Exception as error:
            found[sql] = [item.error_type.name for item in spec.extract_errors(error)]
    return found


def line(case, question, answer):
    print(*(str(field).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n") for field in (case, question, answer)), sep="\t", flush=True)


with APPLICATION.app_context():
    from superset.db_engine_specs.postgres import PostgresEngineSpec
    for name in sys.argv[1:]:
        try:
            for question, answer in globals()[name](PostgresEngineSpec).items():
                line(name, question, answer)
            line(name, "=ok", "")
        except Exception as error:  # a case may fail in any way; the next one still runs
            line(name, "=error", f"{type(error).__name__}: {error}")
