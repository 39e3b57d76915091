"""Writes ``docs/private_names.md``: the private names of Keras that the package uses, from ``_keras/names.py``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "private_names.md"
sys.path.insert(0, str(ROOT))

from keras_buildfix._keras import names  # noqa: E402  (the source beside this tool)

INTRODUCTION = """# Private names of Keras

Written by `tools/private_names.py` from `keras_buildfix/_keras/names.py`. Public Keras comes first; where it can't do
what a layer needs, these names are used, all of them in `keras_buildfix/_keras/`. On each environment of the matrix a
test checks that a name is there in the releases given here, and not in others; so the nightly environments show a
change in Keras before it is released. Another test reads the source, and fails at a private name without a row here.

Keras 2 is `tf.keras` 2.12 to 2.15 and `tf_keras` to 2.21. A name on one backend only has the backend after its
releases. Some names have no underscore, but Keras does not document them either.
"""


def main() -> None:
    """Writes the page."""
    TARGET.write_text(page(), "utf-8")
    print(f"{TARGET}: {len(names.NAMES)} rows")


def page() -> str:
    """The text of the page: a table for each holder."""
    lines = [INTRODUCTION]
    for subject, rows in names.SUBJECTS.items():
        lines += [f"## {subject}", "", "| name | of | releases | used by |", "|---|---|---|---|"]
        lines += [f"| `{row.name}` | {row.holder} | {releases(row)} | {used_by(row)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def releases(row: names.Name) -> str:
    """The releases that have a name, with what is known of the change."""
    first, last = (".".join(map(str, release)) if release else "nightly" for release in (row.first, row.last))
    backends = f", {' and '.join(row.only)}" if row.only else ""
    change = f" ({row.change})" if row.change else ""
    return f"{first if first == last else f'{first} to {last}'}{backends}{change}"


def used_by(row: names.Name) -> str:
    """The functions that use a name."""
    return ", ".join(f"`{user}`" for user in row.users)


if __name__ == "__main__":
    main()
