"""sqlx: rust/src/sqlx_cases.rs."""
import case_tokio_postgres
import programs

NAMES = ["connect", "query", "query_simple", "parameters", "types_text", "types_binary", "prepared", "cursor", "copy", "errors",
         "transactions", "metadata"]


def cases():
    return programs.cases(NAMES, case_tokio_postgres.rust("sqlx"))
