"""libpq itself, with the bytes, OIDs and typmods as they come: libpq_suite.c."""
import programs

NAMES = ["connect", "query", "query_extended", "parameters", "types_text", "types_text_simple", "types_binary", "prepared",
         "cursor", "cursor_single_row", "copy", "pipeline", "cancel", "errors", "errors_extended", "errors_position",
         "transactions", "transactions_notices"]


def cases():
    return programs.cases(NAMES, lambda context: [programs.need(context.clients / "libpq_suite")])
