"""tokio-postgres: rust/src/tokio_postgres_cases.rs."""
import programs

NAMES = ["connect", "query", "parameters", "types_text", "types_binary", "prepared", "pipeline", "cursor", "copy", "cancel", "errors",
         "transactions", "metadata"]


def rust(client):
    return lambda context: [programs.need(context.clients / "rust" / "debug" / "rust-clients"), client]


def cases():
    return programs.cases(NAMES, rust("tokio-postgres"))
