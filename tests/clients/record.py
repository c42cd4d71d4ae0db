"""What PostgreSQL answered, kept in recorded/GROUP.json, and the comparison with what the server under test answers.
The files are written by `run.sh tests/clients/oracle_postgres.py --oracle --record`."""
import json
import os
from fnmatch import fnmatchcase
from pathlib import Path

FOLDER = Path(__file__).with_name("recorded")
KNOWN = Path(__file__).with_name("known.tsv")
DIFFERENCES_SHOWN = 12
VALUE_SHOWN = 160  # characters


class Differs(AssertionError):
    """The answers are not PostgreSQL's."""


def read(group):
    path = FOLDER / f"{group}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write(group, case, seen):
    FOLDER.mkdir(exist_ok=True)
    known = {**read(group), case: seen}
    lines = [f'"{name}": {{\n' + ",\n".join(f" {encode(key)}: {encode(value)}" for key, value in known[name].items())
             + "\n}" for name in sorted(known)]
    (FOLDER / f"{group}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def encode(value):
    return json.dumps(value, ensure_ascii=False)


def known_differences():
    """[(case pattern, question pattern, reason)] of known.tsv."""
    lines = [line for line in KNOWN.read_text().splitlines() if line and not line.startswith("#")]
    return [tuple(line.split("\t")) for line in lines]


def check(group, case, seen, used, note):
    """Raises `Differs` when the answers are not the recorded ones. Differences that known.tsv accepts are given to
    `note`, and their lines to the set `used`."""
    wanted, seen = read(group).get(case), json.loads(encode(seen))
    if wanted is None:
        raise Differs("nothing is recorded for this case")
    names = [name for name in [*wanted, *(set(seen) - set(wanted))] if wanted.get(name) != seen.get(name)]
    for line in known_differences():
        accepted = [name for name in names if fnmatchcase(f"{group}.{case}", line[0]) and fnmatchcase(name, line[1])]
        if accepted:
            used.add(line)
            note(f"known difference: {', '.join(accepted)}: {line[2]}")
        names = [name for name in names if name not in accepted]
    if names:
        shown = len(names) if os.environ.get("CLIENTS_TRACE") else DIFFERENCES_SHOWN
        lines = "".join(f"\n     {name}: {difference(wanted.get(name), seen.get(name))}" for name in names[:shown])
        more = f"\n     and {len(names) - shown} more" if len(names) > shown else ""
        raise Differs(f"{len(names)} of {len(wanted)} answers are not PostgreSQL's{lines}{more}")


def difference(wanted, seen):
    """Both values; of lists that are nearly the same only the first row that differs."""
    place = ""
    while isinstance(wanted, list) and isinstance(seen, list) and wanted and seen:
        where = next((at for at, (a, b) in enumerate(zip(wanted, seen)) if a != b), None)
        if where is None:
            return f"{len(seen)} items, PostgreSQL {len(wanted)}{place}"
        place, wanted, seen = f"{place} [{where}]", wanted[where], seen[where]
    return f"{encode(seen)[:VALUE_SHOWN]} instead of {encode(wanted)[:VALUE_SHOWN]}{place and ' at' + place}"
