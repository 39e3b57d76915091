"""Writes the table of checks into docs/check_layer.md, from the checks themselves: `python tools/check_table.py`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "check_layer.md"
START, END = "<!-- checks -->\n", "<!-- end of checks -->\n"


def table() -> str:
    """The table of all checks, in Markdown."""
    sys.path.insert(0, str(ROOT))
    from keras_buildfix.testing.checks import ALL

    rows = [f"| `{check.name}` | {check.breaks} |\n" for check in ALL]
    return "".join(["| check | what breaks for users when it fails |\n", "|---|---|\n", *rows])


def page(text: str) -> str:
    """The text of the page with the table of today."""
    before, rest = text.split(START)
    return f"{before}{START}{table()}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
