"""Passwords and TLS: every client connects with sslmode=verify-full and its password, and is refused with a wrong one."""
import asyncio
import shutil
import ssl
import subprocess

import case_jdbc
import case_node_pg
import fixtures
import programs
import psql

PASSWORD = "door-key-7"
HOST = "localhost"  # the certificate's name
OF_CLIENT = {  # the group whose client a case drives, for the README
    "psql": "psql", "libpq": "libpq", "psycopg2": "psycopg2", "psycopg3": "psycopg3", "asyncpg": "asyncpg", "odbc": "odbc",
    "jdbc_42_2_8": "jdbc_42_2_8", "jdbc_42_7_3": "jdbc_42_7_3", "node_pg": "node_pg", "postgres_js": "postgres_js", "pgx": "pgx",
    "perl_dbd": "perl_dbd", "php_pdo": "php_pdo", "ruby_pg": "ruby_pg", "sqlalchemy": "sqlalchemy", "adbc": "adbc"}


def certificate(context):
    """(certificate, key) for the server's name and address; made once."""
    if shutil.which("openssl") is None:
        raise FileNotFoundError(2, "no such client", "openssl")
    pair = context.work / "server.crt", context.work / "server.key"
    if not pair[0].exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext",
                        f"subjectAltName=DNS:{HOST},IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", pair[1],
                        "-out", pair[0]], check=True, capture_output=True)
        pair[1].chmod(0o600)
    return pair


def guarded(context):
    """The server of these cases: one role with a password, and TLS."""
    running = context.servers.get("guarded")
    if running is None or not running.alive():
        cert, key = certificate(context)
        warehouse = context.work / "guarded"
        if not warehouse.exists():
            subprocess.run([context.binary, "role", "create", "analyst", "--superuser", "--password-stdin", "--warehouse", warehouse],
                           input=PASSWORD + "\n", text=True, check=True, capture_output=True)
        options = ("--warehouse", str(warehouse), "--tls-cert", str(cert), "--tls-key", str(key))
        running = context.servers["guarded"] = context.start([fixtures.office(context.work)], "guarded", options=options)
    return running


class Named:
    """A server by the name that its certificate has."""

    def __init__(self, server):
        self.host, self.port = HOST, server.port


def environment(context, password=PASSWORD):
    return {"PGPASSWORD": password, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(certificate(context)[0]), "PGCHANNELBINDING": "prefer"}


def program(command, more=lambda context: {}):
    """The case `connect` of another group's program; then the same with a wrong password."""
    def run(context):
        server = Named(guarded(context))
        answers, problem = programs.run_program(context, command(context), ["connect"],
                                                lambda context: {**more(context), **environment(context)}, server)["connect"]
        assert problem is None, problem
        _, refused = programs.run_program(context, command(context), ["connect"],
                                          lambda context: {**more(context), **environment(context, "wrong")}, server)["connect"]
        assert refused and ("28P01" in refused or "password authentication failed" in refused), f"with a wrong password: {refused}"
    return run


def python(connect):
    """A Python driver: `connect(host, port, password, certificate file)` returns who it is."""
    def run(context):
        server, file = Named(guarded(context)), str(certificate(context)[0])
        found = connect(server, PASSWORD, file)
        assert found == "analyst", found
        try:
            connect(server, "wrong", file)
        except Exception as error:  # any driver's any error
            state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
            assert state == "28P01" or "password authentication failed" in str(error), repr(error)
            return
        raise AssertionError("let in with a wrong password")
    return run


def libpq_options(server, password, file):
    return {"host": server.host, "port": server.port, "user": "analyst", "dbname": "loyalhouse", "password": password,
            "sslmode": "verify-full", "sslrootcert": file}


def psycopg2(server, password, file):
    import psycopg2 as driver
    connection = driver.connect(**libpq_options(server, password, file))
    assert connection.info.ssl_in_use
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return cursor.fetchone()[0]


def psycopg3(server, password, file):
    import psycopg
    options = {**libpq_options(server, password, file), "channel_binding": "require", "require_auth": "scram-sha-256"}
    with psycopg.connect(**options) as connection:
        return connection.execute("SELECT current_user").fetchone()[0]


def asyncpg(server, password, file):
    async def main():
        import asyncpg as driver
        connection = await driver.connect(host=server.host, port=server.port, user="analyst", database="loyalhouse", password=password,
                                          ssl=ssl.create_default_context(cafile=file))
        try:
            return await connection.fetchval("SELECT current_user")
        finally:
            await connection.close()
    return asyncio.run(main())


def sqlalchemy(server, password, file):
    import sqlalchemy as sa
    url = sa.URL.create("postgresql+psycopg2", "analyst", password, server.host, server.port, "loyalhouse",
                        {"sslmode": "verify-full", "sslrootcert": file})
    with sa.create_engine(url).connect() as connection:
        return connection.exec_driver_sql("SELECT current_user").scalar()


def adbc(server, password, file):
    import adbc_driver_postgresql.dbapi
    uri = f"postgresql://analyst:{password}@{server.host}:{server.port}/loyalhouse?sslmode=verify-full&sslrootcert={file}"
    with adbc_driver_postgresql.dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user::text")
        return cursor.fetchone()[0]


def odbc(server, password, file):
    import case_odbc
    import pyodbc
    driver = next((path for path in case_odbc.DRIVERS if programs.Path(path).exists()), None)
    programs.need(driver or "psqlodbcw.so")
    connection = pyodbc.connect(f"Driver={driver};Server={server.host};Port={server.port};UID=analyst;PWD={{{password}}};Database=loyalhouse;"
                                f"SSLmode=verify-full;pqopt={{sslrootcert={file}}}")
    return connection.execute("SELECT current_user").fetchone()[0]


def through_psql(context):
    """Also without TLS, with a user that does not exist, and against a certificate of somebody else."""
    server, ask = Named(guarded(context)), ("-X", "-A", "-t", "-c", "SELECT current_user")
    about = {**environment(context), "PGUSER": "analyst"}
    assert psql.run(server, *ask, **about)[0].strip() == "analyst"
    assert psql.run(server, *ask, **{**about, "PGSSLMODE": "disable", "PGCHANNELBINDING": "disable"})[0].strip() == "analyst"
    _, wrong = psql.run(server, *ask, check=False, **{**about, "PGPASSWORD": "wrong"})
    _, nobody = psql.run(server, *ask, check=False, **{**about, "PGUSER": "nobody"})
    assert 'password authentication failed for user "analyst"' in wrong, wrong
    assert wrong.replace("analyst", "nobody") == nobody, f"{wrong!r} tells from {nobody!r}"
    certificates = "/etc/ssl/certs/ca-certificates.crt"
    _, other = psql.run(server, *ask, check=False, **{**about, "PGSSLROOTCERT": certificates})
    assert "certificate verify failed" in other, other


def cases():
    scripts = {"perl_dbd": ["perl", programs.HERE / "perl_dbd.pl"], "php_pdo": ["php", programs.HERE / "php_pdo.php"],
               "ruby_pg": ["ruby", programs.HERE / "ruby_pg.rb"]}
    built = {"libpq": "libpq_suite", "pgx": "pgx_suite"}
    found = {"psql": through_psql}
    found |= {name: program(lambda context, file=file: [programs.need(context.clients / file)]) for name, file in built.items()}
    found |= {name: python(globals()[name]) for name in ("psycopg2", "psycopg3", "asyncpg", "sqlalchemy", "adbc", "odbc")}
    found |= {f"jdbc_{version}": program(case_jdbc.command(f"postgresql-{version.replace('_', '.')}.jar")) for version in ("42_2_8", "42_7_3")}
    found["node_pg"] = program(case_node_pg.node("node_pg.js", "pg"), case_node_pg.environment)
    found["postgres_js"] = program(case_node_pg.node("postgres_js.js", "postgres"), case_node_pg.environment)
    found |= {name: program(lambda context, command=command: command) for name, command in scripts.items()}
    return list(found.items())
