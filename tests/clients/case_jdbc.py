"""pgjdbc in several released versions: JdbcSuite.java with each version's jar."""
import shutil
from pathlib import Path

import programs

NAMES = ["connect", "query", "query_simple", "query_batch", "parameters", "parameters_unspecified", "parameters_simple",
         "parameters_described", "types_text", "types_binary", "prepared", "cursor", "cursor_adaptive", "copy", "cancel",
         "errors", "transactions", "metadata", "metadata_results"]


def command(jar):
    """Starts the suite with a jar: a file name in the clients' folder or an absolute path."""
    def start(context):
        if shutil.which("java") is None:
            raise FileNotFoundError(2, "no such client", "java")
        place = programs.need(context.clients / "java" / jar if not Path(jar).is_absolute() else jar)
        classes = programs.need(context.clients / "java" / "JdbcSuite.class").parent
        return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx64m", "-cp", f"{place}:{classes}", "JdbcSuite"]
    return start


def cases(jar):
    return programs.cases(NAMES, command(jar))
