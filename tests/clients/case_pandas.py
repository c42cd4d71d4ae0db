"""pandas: read_sql over SQLAlchemy and psycopg2, whole and in chunks; over ADBC in case_adbc.py."""
import frames as data_frames
import case_sqlalchemy
import questions
from frames import frames, shape


def case_query(context):
    import pandas
    import sqlalchemy as sa
    with case_sqlalchemy.engine(context, isolation_level="AUTOCOMMIT").connect() as connection:
        return frames(lambda sql: pandas.read_sql_query(sa.text(sql.replace(":", r"\:")), connection), questions.section("query"))


def case_types_text(context):
    import pandas
    with case_sqlalchemy.engine(context, isolation_level="AUTOCOMMIT").connect() as connection:
        found = shape(pandas.read_sql_table("kinds", connection, parse_dates=["ts"]).sort_values("id"))
        return {**found, "numpy": frames(lambda sql: pandas.read_sql(sql, connection, dtype_backend="numpy_nullable"),
                                         {"star": "SELECT id, i2, i8, f8, b, t FROM kinds ORDER BY id"})}


def case_parameters(context):
    import pandas
    import sqlalchemy as sa
    made = case_sqlalchemy.engine(context)
    named = pandas.read_sql(sa.text("SELECT id, name FROM customers WHERE city = :city AND id < :most ORDER BY id"), made,
                            params={"city": "Oslo", "most": 9}, index_col="id")
    return {"named": shape(named), "index": [int(number) for number in named.index]}


def case_cursor(context):
    """chunksize over a streaming connection."""
    import pandas
    with case_sqlalchemy.engine(context).connect().execution_options(stream_results=True) as connection:
        chunks = pandas.read_sql("SELECT id, label FROM lines ORDER BY id", connection, chunksize=1000)
        data_frames.lines(pandas.concat(list(chunks), ignore_index=True))
