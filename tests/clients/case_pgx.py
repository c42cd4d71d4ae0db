"""Go's pgx 4: pgx_suite.go."""
import programs

NAMES = ["connect", "query", "query_simple", "parameters", "parameters_simple", "types_text", "types_binary", "prepared", "batch",
         "cursor", "copy", "cancel", "errors", "transactions", "metadata"]


def cases():
    return programs.cases(NAMES, lambda context: [programs.need(context.clients / "pgx_suite")])
