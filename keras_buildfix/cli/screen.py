"""Prints tables and progress bars for the commands: with rich on a terminal if it is installed, else as plain text."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Callable, TextIO

#: A bar appears after this many seconds, so that quick commands show none.
PATIENCE = 2.0

#: The smallest width of a column in a plain table, and the text between two columns.
_NARROW, _GAP = 12, "  "

Step = Callable[[int, int], None]


def complain(message: object) -> None:
    """Prints a line about a problem or a decision to stderr, apart from the output."""
    print(f"keras-buildfix: {message}", file=sys.stderr)


def print_json(found: object) -> None:
    """Prints data for another program."""
    import json

    print(json.dumps(found, indent=1))


def counted(number: int, what: str) -> str:
    """A number of things, in words: ``1 class``, ``2 classes``."""
    return f"{number:,} {what}{'' if number == 1 else 'es' if what.endswith('s') else 's'}"


def on_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal."""
    return bool(stream.isatty())


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table that fits the terminal; into a file or pipe, each row is one line, and there is no header."""
    terminal = on_terminal(sys.stdout)
    if terminal and _rich() is not None:
        _print_rich(headers, rows)
        return
    lines = [*([headers] if terminal and any(headers) else []), *rows]
    widths = [max((len(line[at]) for line in lines), default=0) for at in range(len(headers))]
    if terminal:
        _narrow(widths, shutil.get_terminal_size().columns)
    for line in lines:
        cells = [textwrap.wrap(text, width) if len(text) > width else [text] for text, width in zip(line, widths)]
        for at in range(max(map(len, cells))):
            row = [cell[at] if at < len(cell) else "" for cell in cells]
            print(_GAP.join(f"{text:{width}}" for text, width in zip(row, widths)).rstrip())


def _narrow(widths: list[int], room: int) -> None:
    """Takes from the widest column until the table fits, or no column can give more."""
    while sum(widths) + len(_GAP) * (len(widths) - 1) > room and max(widths) > _NARROW:
        widths[widths.index(max(widths))] -= 1


def _print_rich(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=any(headers), pad_edge=False, padding=(0, len(_GAP), 0, 0))
    for header in headers:
        table.add_column(header, overflow="fold", header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))  # as Text: rich would read a shape in brackets as markup
    Console(file=sys.stdout, force_terminal=True).print(table)


@contextmanager
def progress(doing: str) -> Iterator[Step]:
    """Shows a bar on the terminal once the work has taken two seconds; ``step(done, total)`` moves it."""
    started = time.monotonic()
    bar: list[_Bar] = []

    def step(done: int, total: int) -> None:
        if not bar and on_terminal(sys.stderr) and time.monotonic() - started >= PATIENCE:
            bar.append(_RichBar(doing) if _rich() is not None else _Bar(doing))
        for each in bar:
            each.show(done, total)

    try:
        yield step
    finally:
        for each in bar:
            each.end()


class _Bar:
    """A bar in plain text."""

    def __init__(self, doing: str) -> None:
        self.doing = doing

    def show(self, done: int, total: int) -> None:
        filled = 40 * done // max(total, 1)
        bar = f"{'#' * filled}{'.' * (40 - filled)}"
        print(f"\r{self.doing} [{bar}] {done / max(total, 1):4.0%}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        print(file=sys.stderr)


class _RichBar(_Bar):
    """A bar of rich, which disappears at the end."""

    def __init__(self, doing: str) -> None:
        super().__init__(doing)
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(file=sys.stderr, force_terminal=True), transient=True)
        self._task = self._progress.add_task(doing, total=None)
        self._progress.start()

    def show(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def end(self) -> None:
        self._progress.stop()


def _rich() -> ModuleType | None:
    """The package rich, if it is installed: the extra ``cli`` installs it, and so does Keras 3."""
    try:
        import rich
    except ImportError:
        return None
    return rich
