"""Postgres.js: postgres_js.js."""
import case_node_pg
import programs

NAMES = ["connect", "query", "query_pipeline", "parameters", "types_text", "prepared", "cursor", "copy", "cancel", "errors",
         "transactions", "metadata"]


def cases():
    return programs.cases(NAMES, case_node_pg.node("postgres_js.js", "postgres"), case_node_pg.environment)
