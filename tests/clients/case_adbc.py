"""ADBC's PostgreSQL driver: Arrow by binary COPY, types loaded from pg_type by their typreceive."""
import questions
from frames import frames, lines, uri


def connect(context):
    import adbc_driver_postgresql.dbapi
    return adbc_driver_postgresql.dbapi.connect(uri(context), autocommit=True)


def table(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetch_arrow_table()


def spelled(found):
    return [[f"{field.name} {field.type}" for field in found.schema], [[questions.spell(value) for value in row.values()] for row in found.to_pylist()]]


def case_connect(context):
    with connect(context) as connection:
        found = connection.adbc_get_info()
        assert found["vendor_name"] == "PostgreSQL" and str(found["vendor_version"]).startswith("15"), found
        return {"catalog": connection.adbc_current_catalog, "schema": connection.adbc_current_db_schema}


def case_query(context):
    with connect(context) as connection:
        return questions.answers("query", lambda sql: spelled(table(connection, sql)))


def case_types_binary(context):
    with connect(context) as connection:
        return questions.answers("kind", lambda kind: spelled(table(connection, f"SELECT {kind} AS v")))


def case_types_text(context):
    """Without COPY, by the extended protocol."""
    with connect(context) as connection, connection.cursor(adbc_stmt_kwargs={"adbc.postgresql.use_copy": "false"}) as cursor:
        def ask(kind):
            cursor.execute(f"SELECT {kind} AS v")
            return spelled(cursor.fetch_arrow_table())
        return questions.answers("kind", ask)


def case_parameters(context):
    with connect(context) as connection:
        return {"equal": spelled(table(connection, "SELECT name FROM customers WHERE id = $1", (5,))),
                "two": spelled(table(connection, "SELECT count(*) FROM customers WHERE city = $1 AND id > $2", ("Oslo", 500))),
                "cast": spelled(table(connection, "SELECT $1::text, $2::float8", ("a", 1.5)))}


def case_cursor(context):
    """A stream of record batches."""
    with connect(context) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": "100000"})
        cursor.execute("SELECT id, label FROM lines ORDER BY id")
        lines(cursor.fetch_record_batch().read_all().to_pandas())


def case_metadata(context):
    with connect(context) as connection:
        objects = connection.adbc_get_objects(depth="all", catalog_filter="loyalhouse").read_all().to_pylist()
        schemas = {schema["db_schema_name"]: schema["db_schema_tables"] for schema in objects[0]["catalog_db_schemas"]}
        seen = {name: [[item["table_name"], item["table_type"], sorted([column["ordinal_position"], column["column_name"],
                        column["xdbc_type_name"]] for column in item["table_columns"]), item["table_constraints"]]
                       for item in sorted(schemas[name], key=lambda item: item["table_name"])] for name in ("public", "crm")}
        seen["types"] = sorted(connection.adbc_get_table_types())
        for name in ("kinds", "customers"):
            seen[f"schema of {name}"] = [f"{field.name} {field.type}" for field in connection.adbc_get_table_schema(name)]
        return seen


def case_errors(context):
    with connect(context) as connection:
        return questions.answers("error", lambda sql: spelled(table(connection, sql)))


def case_transactions(context):
    import adbc_driver_postgresql.dbapi
    with adbc_driver_postgresql.dbapi.connect(uri(context)) as connection:
        seen = {"one": spelled(table(connection, "SELECT 1 AS v")), "error": questions.must_fail(table, connection, "SELECT 1/0")}
        connection.rollback()
        return {**seen, "after": spelled(table(connection, "SELECT 2 AS v"))}


def case_pandas(context):
    """pandas.read_sql over this driver."""
    import pandas
    with connect(context) as connection:
        return frames(lambda sql: pandas.read_sql(sql, connection), {"star": questions.section("query")["star"]})


def case_polars(context):
    import polars
    where = uri(context)
    return frames(lambda sql: polars.read_database_uri(sql, where, engine="adbc"),
                  {name: sql for name, sql in questions.section("query").items() if name in ("star", "group", "kinds_table")})
