"""node-postgres: node_pg.js."""
import shutil

import programs

NAMES = ["connect", "connect_pool", "query", "query_many", "parameters", "types_text", "types_binary", "prepared", "cursor",
         "cursor_stream", "copy", "cancel", "errors", "transactions", "metadata"]


def node(script, package):
    def command(context):
        if shutil.which("node") is None:
            raise FileNotFoundError(2, "no such client", "node")
        programs.need(context.clients / "node" / "node_modules" / package)
        return ["node", programs.HERE / script]
    return command


def environment(context):
    return {"NODE_PATH": str(context.clients / "node" / "node_modules"), "TZ": "UTC"}


def cases():
    return programs.cases(NAMES, node("node_pg.js", "pg"), environment)
