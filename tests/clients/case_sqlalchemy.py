"""SQLAlchemy 2 over psycopg2, psycopg and asyncpg: its reflection asks the catalog for everything at once."""
import asyncio
import datetime
import decimal

import fixtures
import questions
from questions import spell_rows

DRIVERS = ("psycopg2", "psycopg")


def engine(context, driver="psycopg2", **more):
    import sqlalchemy
    server = context.server(fixtures.office)
    return sqlalchemy.create_engine(f"postgresql+{driver}://analyst@{server.host}:{server.port}/loyalhouse", **more)


def case_connect(context):
    """The dialect's first questions: version, schema, encoding, standard_conforming_strings."""
    seen = {}
    for driver in (*DRIVERS, "pg8000"):
        made = engine(context, driver)
        with made.connect() as connection:
            dialect = made.dialect
            seen[driver] = [dialect.server_version_info[0], dialect.default_schema_name,
                            spell_rows(connection.exec_driver_sql("SELECT current_user"))]
        made.dispose()
    return seen


def case_connect_pool(context):
    made = engine(context, "psycopg", pool_size=2, pool_pre_ping=True)
    found = []
    for _ in range(5):
        with made.connect() as connection:
            found.append(connection.exec_driver_sql("SELECT 1").scalar())
    made.dispose()
    return {"found": found}


def case_query(context):
    seen = {}
    for driver in DRIVERS:
        with engine(context, driver, isolation_level="AUTOCOMMIT").connect() as connection:
            found = questions.answers("query", lambda sql: spell_rows(connection.exec_driver_sql(sql.replace("%", "%%"))))
        seen |= {f"{driver} {name}": value for name, value in found.items()}
    return seen


def case_parameters(context):
    """Core's own statements: bound values, IN lists that expand, LIMIT, dates, casts, windows."""
    import sqlalchemy as sa
    seen = {}
    for driver in DRIVERS:
        made = engine(context, driver)
        tables = sa.MetaData()
        customers = sa.Table("customers", tables, autoload_with=made)
        orders = sa.Table("orders", tables, autoload_with=made)
        statements = {
            "equal": sa.select(customers.c.name).where(customers.c.id == 5),
            "in": sa.select(customers.c.id).where(customers.c.id.in_([3, 1])).order_by(customers.c.id),
            "empty in": sa.select(sa.func.count()).select_from(customers).where(customers.c.id.in_([])),
            "limit": sa.select(customers.c.id).order_by(customers.c.id.desc()).limit(2).offset(1),
            "dates": sa.select(sa.func.count()).where(customers.c.joined >= datetime.date(2022, 1, 1)),
            "decimal": sa.select(sa.func.count()).where(orders.c.amount > decimal.Decimal("150.5")),
            "like": sa.select(sa.func.count()).where(customers.c.name.ilike("CUSTOMER 1%")),
            "null": sa.select(sa.func.count()).where(customers.c.note.is_(None)),
            "distinct": sa.select(sa.func.count(sa.distinct(customers.c.city))),
            "extract": sa.select(sa.extract("month", orders.c.ordered_at).label("m"), sa.func.count()).group_by("m").order_by("m").limit(2),
            "cast": sa.select(sa.cast(customers.c.id, sa.String(3)), sa.cast("1.5", sa.Numeric(5, 2))).where(customers.c.id == 7),
            "array": sa.select(sa.func.count()).where(customers.c.city == sa.any_(sa.literal(["Oslo"], sa.ARRAY(sa.String)))),
            "window": sa.select(customers.c.id, sa.func.rank().over(partition_by=customers.c.city, order_by=customers.c.id)).order_by(customers.c.id).limit(3),
            "join": sa.select(customers.c.city, sa.func.sum(orders.c.amount)).join(orders, orders.c.customer_id == customers.c.id)
                      .group_by(customers.c.city).order_by(customers.c.city),
            "interval": sa.select(orders.c.ordered_at + datetime.timedelta(days=1)).where(orders.c.id == 1),
            "literal": sa.select(sa.literal(None), sa.literal(True), sa.literal(datetime.time(1, 2)), sa.literal(b"\x00")),
            "case": sa.select(sa.case((customers.c.id > 2, "many"), else_="few")).where(customers.c.id < 4).order_by(customers.c.id),
            "cte": sa.select(sa.func.count()).select_from(sa.select(customers.c.city).distinct().cte("cities")),
        }
        with made.connect() as connection:
            for name, statement in statements.items():
                try:
                    seen[f"{driver} {name}"] = spell_rows(connection.execute(statement))
                except Exception as error:
                    connection.rollback()
                    seen[f"{driver} {name}"] = questions.failure(getattr(error, "orig", error))
    return seen


def case_types_text(context):
    """The dialect's result types over a reflected table of all column types."""
    import sqlalchemy as sa
    seen = {}
    for driver in DRIVERS:
        made = engine(context, driver)
        kinds = sa.Table("kinds", sa.MetaData(), autoload_with=made)
        with made.connect() as connection:
            seen[driver] = spell_rows(connection.execute(sa.select(kinds).order_by(kinds.c.id)))
    return seen


def case_cursor(context):
    """stream_results: a named cursor below."""
    import sqlalchemy as sa
    with engine(context).connect() as connection:
        rows = connection.execution_options(stream_results=True, max_row_buffer=1000).execute(
            sa.text("SELECT id, label FROM lines ORDER BY id"))
        expected = 0
        for block in rows.partitions(1000):
            for number, label in block:
                expected += 1
                assert number == expected and label == f"line {number}"
    assert expected == questions.LINES, expected


def case_errors(context):
    import sqlalchemy as sa
    seen = {}
    with engine(context, isolation_level="AUTOCOMMIT").connect() as connection:
        for name, sql in questions.section("error").items():
            try:
                connection.execute(sa.text(sql)).fetchall()
                seen[name] = "no error"
            except sa.exc.SQLAlchemyError as error:
                seen[name] = [type(error).__name__, questions.failure(getattr(error, "orig", error))]
    return seen


def case_transactions(context):
    import sqlalchemy as sa
    seen = {}
    with engine(context, "psycopg").connect() as connection:
        connection = connection.execution_options(isolation_level="SERIALIZABLE", postgresql_readonly=True)
        with connection.begin():
            seen["level"] = connection.get_isolation_level()
            try:
                with connection.begin_nested():
                    connection.execute(sa.text("SELECT no_such FROM customers"))
            except sa.exc.ProgrammingError as error:
                seen["nested"] = questions.failure(error.orig)
            seen["after"] = spell_rows(connection.execute(sa.text("SELECT 2")))
    return seen


def inspected(context, driver):
    """Every method of the inspector that takes a table or a schema."""
    import sqlalchemy as sa
    inspector = sa.inspect(engine(context, driver))
    seen = {"schemas": inspector.get_schema_names(), "default": inspector.default_schema_name,
            "tables": sorted(inspector.get_table_names()), "other tables": inspector.get_table_names("crm"),
            "views": inspector.get_view_names(), "materialized": inspector.get_materialized_view_names(),
            "temporary": inspector.get_temp_table_names(), "sequences": inspector.get_sequence_names(),
            "foreign": inspector.get_foreign_table_names(), "enums": inspector.get_enums("public"), "domains": inspector.get_domains("public"),
            "has": [inspector.has_table("customers"), inspector.has_table("accounts"), inspector.has_table("accounts", "crm"),
                    inspector.has_table("pg_class", "pg_catalog"), inspector.has_schema("crm"), inspector.has_sequence("s")]}
    for name in ("customers", "orders", "kinds"):
        columns = [{**column, "type": repr(column["type"])} for column in inspector.get_columns(name)]
        seen[f"{name} columns"] = [{key: column[key] for key in sorted(column)} for column in columns]
        for what in ("pk_constraint", "foreign_keys", "indexes", "unique_constraints", "check_constraints", "table_comment", "table_options"):
            seen[f"{name} {what}"] = getattr(inspector, f"get_{what}")(name)
    seen["multi keys"] = sorted(str(item) for item in inspector.get_multi_pk_constraint())
    seen["multi indexes"] = sorted(str(item) for item in inspector.get_multi_indexes(kind=sa.engine.reflection.ObjectKind.ANY))
    seen["multi columns"] = {f"{key[0]}.{key[1]}": len(value) for key, value in sorted(inspector.get_multi_columns(schema="crm").items())}
    try:
        inspector.get_columns("no_such")
    except sa.exc.NoSuchTableError as error:
        seen["missing"] = str(error)
    return seen


def case_metadata(context):
    return {f"{driver} {name}": value for driver in DRIVERS for name, value in inspected(context, driver).items()}


def case_metadata_reflect(context):
    import sqlalchemy as sa
    tables = sa.MetaData()
    tables.reflect(engine(context), views=True)
    seen = {name: [f"{column.name} {column.type!r} {column.nullable}" for column in table.columns]
            for name, table in sorted(tables.tables.items())}
    from sqlalchemy.ext.automap import automap_base
    automap_base(metadata=tables).prepare()
    return seen


def case_orm(context):
    from sqlalchemy import func, select
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

    class Base(DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customers"
        id: Mapped[int] = mapped_column(primary_key=True)
        city: Mapped[str]

    with Session(engine(context, "psycopg")) as session:
        counted = session.execute(select(Customer.city, func.count()).group_by(Customer.city).order_by(Customer.city)).all()
        return {"one": session.get(Customer, 5).city, "counted": spell_rows(counted),
                "page": [item.id for item in session.scalars(select(Customer).order_by(Customer.id).limit(3))]}


def case_async(context):
    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import create_async_engine
    server = context.server(fixtures.office)

    async def main():
        made = create_async_engine(f"postgresql+asyncpg://analyst@{server.host}:{server.port}/loyalhouse")
        async with made.connect() as connection:
            rows = await connection.execute(sa.text("SELECT name FROM customers WHERE id = :id AND joined > :day"),
                                            {"id": 5, "day": datetime.date(2019, 1, 1)})
            seen = {"rows": spell_rows(rows)}
            seen["tables"] = await connection.run_sync(lambda inner: sorted(sa.inspect(inner).get_table_names()))
            seen["columns"] = await connection.run_sync(
                lambda inner: [f"{column['name']} {column['type']!r}" for column in sa.inspect(inner).get_columns("kinds")])
        await made.dispose()
        return seen
    return asyncio.run(main())
