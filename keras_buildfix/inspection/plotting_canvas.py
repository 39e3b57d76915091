"""What all pictures share: figures without pyplot, colours for light and dark, texts that fit, pages, saving to a file.

The texts are in DejaVu Sans Mono, which comes with matplotlib: all its letters have one width, so that what fits is
known without drawing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Optional, Union

Style = Literal["light", "dark"]
Path = Optional[Union[str, "os.PathLike[str]"]]

#: The endings of files that a picture can be saved as, and the dots per inch of a PNG.
ENDINGS, DPI = (".png", ".svg", ".pdf"), 120

#: The widest and highest PNG that matplotlib can draw, in dots.
_MOST_DOTS = 1 << 16

#: How wide a letter of DejaVu Sans Mono is, as a part of its size (1233 of 2048 units), and the points in an inch.
#: A PNG has letters of whole dots, so that we count with the next whole number of them.
_LETTER, _POINTS = 1233 / 2048, 72
FONT = "DejaVu Sans Mono"

#: The sizes of texts, in points: letters of 12, 8 and 7 dots.
TITLE, TEXT, SMALL = 11.9, 7.9, 6.9


class Colours(NamedTuple):
    """The colours of a style: ``ink``, ``muted`` and ``bad`` are of texts, ``marks`` tell weights or layers apart."""

    surface: str
    ink: str
    muted: str
    line: str
    empty: str
    bad: str
    marks: tuple[str, ...]


STYLES = {
    "light": Colours(
        "#ffffff", "#111111", "#555555", "#d0d0d0",
        "#ececec", "#c02020",
        ("#2a6fc9", "#b85c00", "#00805a", "#8a3fb0", "#b03060", "#5f6b00"),
    ),
    "dark": Colours(
        "#17181a", "#f4f4f4", "#b4b4b4", "#4a4a4a",
        "#2a2c2f", "#ff7b72",
        ("#6aa9f5", "#f0a04b", "#3fc79a", "#c99bf0", "#f28cae", "#c3cf4a"),
    ),
}  # fmt: skip


def colours_of(style: str) -> Colours:
    """The colours of a style.

    Raises:
        ValueError: If there is no such style.
    """
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(map(repr, STYLES))}; got {style!r}.")
    return STYLES[style]


def check_picture(wanted_by: str, path: Path, style: str) -> None:
    """Raises an error before any work if matplotlib is missing, or if the picture could not be saved at `path`."""
    try:
        import matplotlib.figure  # noqa: F401 - is it there?
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ModuleNotFoundError(
            f'{wanted_by} draws with matplotlib, which is not installed: pip install "keras-buildfix[plot]".',
            name="matplotlib",
        ) from None
    colours_of(style)
    if path is None:
        return
    name = os.path.abspath(os.fspath(path))
    if os.path.splitext(name)[1].lower() not in ENDINGS:
        raise ValueError(f"{wanted_by} saves a picture as one of {', '.join(ENDINGS)}; got {os.fspath(path)!r}.")
    folder = os.path.dirname(name)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"{wanted_by} can't save {os.fspath(path)!r}: there is no folder {folder}. Make it first."
        )
    if os.path.isdir(name):
        raise IsADirectoryError(f"{wanted_by} can't save {os.fspath(path)!r}: it is a folder.")


def new_figure(width: float, height: float, style: str) -> Any:
    """An empty figure of this size in inches. It belongs to no window, and pyplot does not know it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=colours_of(style).surface)
    FigureCanvasAgg(figure)
    return figure


def new_axes(figure: Any, left: float, top: float, width: float, height: float, style: str) -> Any:
    """Axes at a place in inches from the left and the top of a figure; only the lower and left line are drawn."""
    across, down = figure.get_size_inches()
    axes = figure.add_axes([left / across, 1 - (top + height) / down, width / across, height / down])
    colours = colours_of(style)
    axes.set_facecolor(colours.surface)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colours.line)
        spine.set_linewidth(0.8)
    axes.tick_params(which="both", color=colours.line, labelcolor=colours.muted, labelsize=SMALL, length=2, pad=2)
    return axes


def write(place: Any, x: float, y: float, text: str, colour: str, size: float = TEXT, **how: Any) -> Any:
    """A text in axes or a figure. A ``$`` in it is no formula, and a line break in a name no new line."""
    return place.text(x, y, text, color=colour, fontsize=size, family=FONT, parse_math=False, **how)


def write_at(figure: Any, left: float, top: float, text: str, colour: str, size: float = TEXT, **how: Any) -> Any:
    """A text at a place in inches from the left and the top of a figure."""
    across, down = figure.get_size_inches()
    how = {"ha": "left", "va": "top", **how}
    return write(figure, left / across, 1 - top / down, text, colour, size, **how)


def width_of(text: str, size: float) -> float:
    """How wide a text is, in inches."""
    return len(text) * math.ceil(size * _LETTER / _POINTS * DPI) / DPI


def fitted(text: object, room: float, size: float, *, start: bool = False) -> str:
    """A text that is not wider than `room` inches: a longer one loses its middle, as both ends say more.

    With `start`, it loses its end.
    """
    line = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    most = max(int(room / width_of("x", size) + 1e-6), 1)
    if len(line) <= most:
        return line
    end = 0 if start else (most - 1) * 2 // 3
    return f"{line[: most - 1 - end]}…{line[len(line) - end :] if end else ''}"


def page_of(things: Sequence[Any], page: int, most: int, what: str) -> tuple[Sequence[Any], str]:
    """The things on a page of at most `most`, and words for the title if there are several pages.

    Raises:
        ValueError: If there is no such page.
    """
    pages = max(-(-len(things) // most), 1)
    if isinstance(page, bool) or not isinstance(page, int) or not 1 <= page <= pages:
        raise ValueError(
            f"page must be {'1' if pages == 1 else f'a number from 1 to {pages}'}, for there are {len(things):,} "
            f"{what} and {most} on a page; got {page!r}."
        )
    start = (page - 1) * most
    shown = things[start : start + most]
    words = f" · {what} {start + 1:,} to {start + len(shown):,}: page {page} of {pages}" if pages > 1 else ""
    return shown, words


def number(value: float) -> str:
    """A number with three digits."""
    return f"{value:.3g}"


def finish(figure: Any, path: Path) -> Any:
    """Saves a figure if there is a path, and returns it."""
    if path is not None:
        dots = DPI
        while max(figure.get_size_inches()) * dots >= _MOST_DOTS:
            dots //= 2
        figure.savefig(os.fspath(path), dpi=dots, facecolor=figure.get_facecolor())
    return figure


def legend(figure: Any, left: float, top: float, entries: Sequence[tuple[dict[str, Any], str]], style: str) -> Any:
    """A legend in one row at a place in inches: each entry is how to draw its mark, and what it says."""
    from matplotlib.lines import Line2D

    across, down = figure.get_size_inches()
    handles = [Line2D([], [], **{"linestyle": "none", **mark}) for mark, _ in entries]
    drawn = figure.legend(
        handles,
        [text for _, text in entries],
        loc="upper left",
        bbox_to_anchor=(left / across, 1 - top / down),
        ncols=max(len(entries), 1),
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        handletextpad=0.3,
        columnspacing=1.5,
        prop={"family": FONT, "size": SMALL + 0.5},
        labelcolor=colours_of(style).ink,
    )
    for text in drawn.get_texts():
        text.set_parse_math(False)
    return drawn
