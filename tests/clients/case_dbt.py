"""dbt with its postgres adapter, as far as it writes nothing: dbt_suite.py, in one process for its start is slow."""
import programs

NAMES = ["debug", "show", "test", "source_freshness", "docs_generate"]
FEATURES = {"debug": "connect", "show": "query", "test": "query", "source_freshness": "metadata", "docs_generate": "metadata"}


def environment(context):
    target = str(context.work / "dbt")
    return {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_TARGET_PATH": target, "DBT_LOG_PATH": target, "DO_NOT_TRACK": "1"}


def cases():
    def command(context):
        return [programs.need(context.clients / "dbt" / "bin" / "python"), "-B", programs.HERE / "dbt_suite.py"]
    return programs.cases(NAMES, command, environment)
