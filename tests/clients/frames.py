"""Data frame libraries: pandas over SQLAlchemy and ADBC, polars over connectorx and ADBC."""
import questions
from questions import spell

PANICS = ("infinity", "_bc", "interval", "nan", "timetz", "reg", "date_array", "stamp_array", "stamptz_array", "uuid_array",
          "bytea_array", "jsonb_array")


def shape(frame):
    """Types of a frame's columns, the rows as the library prints values, and its size."""
    kinds = frame.dtypes if isinstance(frame.dtypes, list) else list(frame.dtypes)
    rows = frame.rows() if hasattr(frame, "rows") else frame.itertuples(index=False, name=None)
    return {"columns": list(frame.columns), "types": [str(kind) for kind in kinds],
            "rows": [[spell(value) for value in row] for row in rows]}


def frames(read, selects):
    seen = {}
    for name, sql in selects.items():
        try:
            seen |= {f"{name} {part}": value for part, value in shape(read(sql)).items()}
        except BaseException as error:  # a type that this reader does not have; connectorx and polars panic on some
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            seen[name] = f"! {type(error).__name__}"
    return seen


def uri(context):
    import fixtures
    server = context.server(fixtures.office)
    return f"postgresql://analyst@{server.host}:{server.port}/loyalhouse"


def selects():
    """The questions as statements: the queries, and one for each kind but those that make these libraries panic."""
    kinds = {f"kind {name}": f"SELECT {kind} AS v" for name, kind in questions.section("kind").items()
             if not any(part in name for part in PANICS)}
    queries = {name: sql for name, sql in questions.section("query").items() if name != "dates"}
    return {**queries, **kinds}


def lines(frame):
    numbers = list(frame["id"])
    assert numbers == list(range(1, questions.LINES + 1)), len(numbers)
    assert frame["label"][questions.LINES - 1] == f"line {questions.LINES}"
