"""Apache Superset's own engine spec for PostgreSQL: superset_suite.py."""
import programs

NAMES = ["connect", "query", "metadata", "cost", "cancel", "errors"]
FEATURES = {"cost": "metadata"}


def environment(context):
    return {"SUPERSET_CONFIG": "superset.config", "SUPERSET_SECRET_KEY": "for the suite only, no secret at all", "SUPERSET_HOME": str(context.work / "superset")}


def cases():
    def command(context):
        return [programs.need(context.clients / "superset" / "bin" / "python"), "-B", programs.HERE / "superset_suite.py"]
    return programs.cases(NAMES, command, environment)
