"""Writes ``docs/weight_files_table.md``: which environment reads whose weight files, from the results of the tests.

python run_tests.py full && python tools/weight_file_table.py
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / ".tox" / "weight_files"
TARGET = ROOT / "docs" / "weight_files_table.md"

#: The sign that a cell shows, and its meaning.
MEANING = {
    "half-written": "h: Keras's own writer stopped half-way; reading says so",
    "not written": "-: Keras's own writer has no such file of this model",
}


def main() -> None:
    """Reads the results and writes the page."""
    cells: dict[str, dict[str, dict[str, list[str]]]] = {}  # form -> writer -> reader -> the result for each model
    models = set()
    for file in sorted(RESULTS.glob("*.json")):
        reader, _, model = file.name[: -len(".json")].rpartition(".")
        models.add(model)
        for key, came in json.loads(file.read_text("utf-8")).items():
            writer, form = key.split(" ")
            cells.setdefault(form, {}).setdefault(writer, {}).setdefault(reader, []).append(came)
    TARGET.write_text(page(cells, sorted(models)), "utf-8")
    print(f"{TARGET}: {len(models)} models, {len(cells)} formats")


def page(cells: dict[str, dict[str, dict[str, list[str]]]], models: list[str]) -> str:
    """The text of the page."""
    rows = [row for by_writer in cells.values() for row in by_writer.values()]
    readers = sorted({reader for row in rows for reader in row}, key=order)
    counts = Counter(came for row in rows for each in row.values() for came in each)
    lines = [
        "# Who reads whose files of weights",
        "",
        f"Written by `tools/weight_file_table.py` from a run of the matrix: {len(readers)} environments each wrote",
        f"{len(models)} models ({', '.join(models)}) after a fit and read those of all others,",
        "every array compared exactly and the outputs to 1e-4.",
        "",
        f"Each of {sum(counts.values()):,} results is of one reader and one file (of {len(cells)} formats):",
        "",
        *(f"- {came}: {count:,}" for came, count in sorted(counts.items(), key=lambda pair: -pair[1])),
        "",
        f"A cell is `.` if all {len(models)} models were read. Else the number that was read, and",
        *(f"`{text[0]}` for {text[3:]}{';' if text[0] == 'h' else '.'}" for text in MEANING.values()),
        "`X` would be a file that was read wrongly or not at all. So `5-h` is 5 models read, and both of the others.",
        "",
        "A row is a writer. Its signs are the readers, from left to right in the same order as the rows from top to",
        "bottom. To repeat: `python run_tests.py full`, then `python tools/weight_file_table.py`.",
    ]
    for form, by_writer in sorted(cells.items()):
        lines += ["", f"## `{form}`", ""]
        if all(
            set(row) == {writer} for writer, row in by_writer.items()
        ):  # our files: `run_tests.py full` crosses them elsewhere
            read = sum(row[writer] == ["read"] * len(models) for writer, row in by_writer.items())
            lines += [f"{read} of {len(by_writer)} environments read all that they wrote. This package writes it, with"]
            lines += ["the same names and values everywhere."]
            continue
        lines += ["```"]
        for writer in sorted(by_writer, key=order):
            row = by_writer[writer]
            shown = [cell(row.get(reader, []), len(models)) for reader in readers]
            if len(set(shown)) == 1 and shown[0] != ".":
                lines.append(f"{writer:32}{shown[0]}  on all readers")
            else:
                lines.append(f"{writer:32}{''.join(shown)}")
        lines.append("```")
    return "\n".join(lines) + "\n"


def cell(came: list[str], number: int) -> str:
    """The cell for one reader and one writer's files."""
    if came == ["read"] * number:
        return "."
    read = came.count("read")
    others = {MEANING.get(each, "X")[0] for each in came if each != "read"}
    return f"{read or ''}{''.join(sorted(others))}" or "?"


def order(name: str) -> tuple[int, list[int], str]:
    """A sort key: environments by generation and version, those on other Pythons last."""
    keras = next((part for part in name.split("-") if part.startswith(("keras", "tfkeras"))), name)
    digits = [int(part) for part in keras.partition("keras")[2].split(".") if part.isdigit()]
    kind = 3 if name.startswith("py") else 2 if not digits else 1 if keras.startswith("tf") or digits[0] == 3 else 0
    return kind, digits, name


if __name__ == "__main__":
    main()
