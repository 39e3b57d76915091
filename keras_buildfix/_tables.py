"""Results that are data and print as tables: plain text, rich where it draws, HTML in a notebook, pandas on request."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


def plain_data(value: Any) -> Any:
    """A value as what JSON knows: dataclasses as dicts, tuples and sets as lists, numpy's numbers as Python's."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain_data(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain_data(each) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain_data, value))
    if isinstance(value, (list, tuple)):
        return [plain_data(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else str(value)


class Table:
    """A result that prints as a table. A subclass is a dataclass, and says what its rows and cells are.

    ``print(result)`` gives plain text, the same everywhere; ``rich.print(result)`` a table of rich; a notebook shows
    HTML. ``to_dict()`` and ``to_dataframe()`` give the data.
    """

    def _rows(self) -> Sequence[Any]:
        """The rows as dataclasses: a line each in ``to_dataframe()``."""
        raise NotImplementedError

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """The headers, and the cells of each row, as texts. A header that begins with a blank is of numbers."""
        raise NotImplementedError

    def _notes(self) -> Sequence[str]:
        """The lines under the table."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """The result as dicts, lists, numbers and texts, ready for ``json.dumps``."""
        found: dict[str, Any] = plain_data(self)
        return found

    def to_dataframe(self) -> Any:
        """The rows as a ``pandas.DataFrame``.

        Raises:
            ModuleNotFoundError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "to_dataframe() needs pandas, which is not installed: pip install pandas. to_dict() needs nothing.",
                name="pandas",
            ) from None
        rows = self._rows()
        names = [each.name for each in dataclasses.fields(rows[0])] if rows else []
        return pd.DataFrame([plain_data(row) for row in rows], columns=names)

    def __str__(self) -> str:
        headers, rows = self._table()
        lines: list[str] = []
        if rows:
            numbers = [header.startswith(" ") for header in headers]
            cells = [[header.strip() for header in headers], *rows]
            widths = [max(len(row[at]) for row in cells) for at in range(len(headers))]
            for row in cells:
                texts = [
                    f"{text:>{width}}" if right else f"{text:{width}}"
                    for text, width, right in zip(row, widths, numbers)
                ]
                lines.append("  ".join(texts).rstrip())
            lines.insert(1, "-" * max(map(len, lines)))
        return "\n".join([*lines, *self._notes()])

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        headers, rows = self._table()
        table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for header in headers:
            table.add_column(
                header.strip(),
                overflow="fold",
                header_style="bold",
                justify="right" if header.startswith(" ") else "left",
            )
        for row in rows:
            table.add_row(*map(Text, row))  # as Text: rich would read a shape in brackets as markup
        notes = [Text(note) for note in self._notes()]
        return Group(*([table] if rows else []), *notes)

    def _repr_html_(self) -> str:
        """What a notebook shows. A name may come from a file, so all of it is escaped."""
        from html import escape

        headers, rows = self._table()
        parts = []
        if rows:
            head = "".join(f"<th>{escape(header.strip())}</th>" for header in headers)
            body = "".join(
                "<tr>"
                + "".join(
                    f'<td style="text-align: {"right" if header.startswith(" ") else "left"}">{escape(text)}</td>'
                    for header, text in zip(headers, row)
                )
                + "</tr>"
                for row in rows
            )
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        parts += [f"<p>{escape(note)}</p>" for note in self._notes()]
        return "".join(parts)
