"""The list of groups: which module holds their cases, and which clients stand as rows in the README's matrix."""
import json
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FEATURES = ["connect", "query", "parameters", "types_text", "types_binary", "prepared", "cursor", "copy", "cancel",
            "errors", "transactions", "metadata"]


@dataclass(frozen=True)
class Group:
    """Cases that run together. `client` and `package` are given for a row of the matrix; `package` is a line of
    requirements*.txt, package.json or rust/Cargo.lock, which hold the
    version, or text for a version that the distribution chooses."""
    name: str
    client: str = ""
    package: str = ""
    module: str = ""
    options: tuple = ()

    @property
    def source(self):
        return f"case_{self.module or self.name}"

    @property
    def version(self):
        """The version that setup.sh installs, for the matrix."""
        place, _, name = self.package.partition(" ")
        if place == "pip":
            text = "".join(file.read_text() for file in sorted(HERE.glob("requirements*.txt")))
            return re.search(rf"^{re.escape(name)}==(\S+)$", text, re.MULTILINE).group(1)
        if place == "cargo":
            text = (HERE / "rust" / "Cargo.lock").read_text()
            return re.search(rf'name = "{name}"\nversion = "(.*)"', text).group(1)
        if place == "npm":
            return json.loads((HERE / "package.json").read_text())["dependencies"][name]
        return self.package


GROUPS = [
    Group("psql", "psql", "of Debian 12, 15"),
    Group("drivers"), Group("folder"), Group("stop"), Group("cdnow"), Group("tpch"), Group("s3"), Group("delta"), Group("many"),
    Group("hostile"), Group("rows"), Group("cancel"), Group("poison"),
    Group("load"), Group("door"), Group("roles"),
    Group("pg_tools", "pg_isready, pg_dump, pgbench", "of Debian 12, 15"),
    Group("pgcli", "pgcli", "pip pgcli"),
    Group("dbt", "dbt", "pip dbt-postgres"),
    Group("superset", "Apache Superset's engine spec", "pip apache-superset"),
    Group("libpq", "libpq", "of Debian 12, 15"),
    Group("psycopg2", "psycopg2", "pip psycopg2-binary"),
    Group("psycopg3", "psycopg 3", "pip psycopg[binary]"),
    Group("asyncpg", "asyncpg", "pip asyncpg"),
    Group("jdbc_42_2_8", "pgjdbc", "42.2.8", "jdbc", ("postgresql-42.2.8.jar",)),
    Group("jdbc_42_4_2", "pgjdbc", "42.4.2", "jdbc", ("postgresql-42.4.2.jar",)),
    Group("jdbc_debian", "pgjdbc", "of Debian 12, 42.5.5", "jdbc", ("/usr/share/java/postgresql.jar",)),
    Group("jdbc_42_7_3", "pgjdbc", "42.7.3", "jdbc", ("postgresql-42.7.3.jar",)),
    Group("sqlalchemy", "SQLAlchemy", "pip SQLAlchemy"),
    Group("pandas", "pandas", "pip pandas"),
    Group("polars", "polars", "pip polars"),
    Group("adbc", "ADBC", "pip adbc-driver-postgresql"),
    Group("duckdb", "DuckDB's postgres extension", "pip duckdb-extension-postgres-scanner"),
    Group("odbc", "psqlODBC", "of Debian 12, 13.02"),
    Group("node_pg", "node-postgres", "npm pg"),
    Group("postgres_js", "Postgres.js", "npm postgres"),
    Group("tokio_postgres", "tokio-postgres", "cargo tokio-postgres"),
    Group("sqlx", "sqlx", "cargo sqlx"),
    Group("pgx", "Go's pgx", "of Debian 12, 4.15"),
    Group("perl_dbd", "Perl's DBD::Pg", "of Debian 12, 3.16"),
    Group("php_pdo", "PHP's PDO and pgsql", "of Debian 12, 8.2"),
    Group("ruby_pg", "Ruby's pg", "of Debian 12, 1.4"),
]


def group(name):
    return next(item for item in GROUPS if item.name == name)
