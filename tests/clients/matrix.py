"""Writes the README's table of clients from the list of cases, or with --check says whether it is stale."""
import sys
from pathlib import Path

import registry
import run

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- clients: written by tests/clients/run.sh --matrix -->", "<!-- clients: end -->"
HEADINGS = {"types_text": "types, text", "types_binary": "types, binary"}


def cells_of(group):
    """{feature: [case]} of a row. A case belongs to the feature that its name begins with, or to the one that the
    module's FEATURES names."""
    module = __import__(group.source)
    named = getattr(module, "FEATURES", {})
    found = {}
    for name, _ in run.cases_of(group):
        case = name.partition(".")[2]
        feature = named.get(case) or next((item for item in registry.FEATURES if case == item or case.startswith(item + "_")), "more")
        found.setdefault(feature, []).append(case)
    return found


def door_cases():
    """{group: case} of the cases that drive the group's client through TLS with a password."""
    module = __import__("case_door")
    known = {name for name, _ in module.cases()}
    if unknown := set(module.OF_CLIENT) - known:
        sys.exit(f"matrix: case_door has no cases {unknown}")
    return {group: f"door.{case}" for case, group in module.OF_CLIENT.items()}


def table():
    features = [*registry.FEATURES, "more"]
    doors = door_cases()
    lines = ["| client | group | password, TLS | " + " | ".join(HEADINGS.get(item, item) for item in features) + " |",
             "|---" * (len(features) + 3) + "|"]
    for group in registry.GROUPS:
        if group.client:
            cells = cells_of(group)
            shown = (" ".join(f"`{case}`" for case in cells.get(item, [])) or "–" for item in features)
            door = f"`{doors[group.name]}`" if group.name in doors else "–"
            lines.append(f"| {group.client} {group.version} | `{group.name}` | {door} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main():
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"matrix: README.md has no lines {BEGIN!r} and {END!r}")
    wanted = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if "--check" in sys.argv:
        if wanted != text:
            sys.exit("matrix: the clients' table in README.md is stale; run tests/clients/run.sh --matrix")
    else:
        README.write_text(wanted)


if __name__ == "__main__":
    main()
