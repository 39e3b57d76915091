"""Draws the calls of a trace as a tree: a row a call, in the order of the calls, indented by who called it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_buildfix._words import many
from keras_buildfix.inspection.plotting_canvas import (
    SMALL,
    TEXT,
    TITLE,
    colours_of,
    fitted,
    new_axes,
    new_figure,
    page_of,
    width_of,
    write,
    write_at,
)

if TYPE_CHECKING:
    from keras_buildfix.inspection.calls import CallTrace, LayerCall

#: The most calls in a picture, and in a column of it.
MOST, _IN_COLUMN = 420, 68

#: Sizes in inches: the border, the head, a row, a step to the right, a lane of a bracket, and the gap between columns.
_EDGE, _HEAD, _ROW, _STEP, _LANE, _GAP = 0.35, 1.05, 0.175, 0.16, 0.09, 0.3

#: The least and most room for a name, for shapes and for the line of code; and the most lanes for brackets.
_NAMES, _SHAPES, _SOURCES, _MOST_LANES = (1.2, 3.2), (1.25, 2.6), (0.9, 1.7), 8


class Row(NamedTuple):
    """The texts of a call."""

    call: LayerCall
    name: str
    shapes: str
    source: str
    turn: int
    turns: int


class Widths(NamedTuple):
    """The room in inches for the parts of a column."""

    brackets: float
    name: float
    shapes: float
    source: float

    @property
    def all(self) -> float:
        """The width of a column."""
        return self.brackets + self.name + self.shapes + self.source + 3 * 0.1


def draw_calls(trace: CallTrace, page: int, style: str) -> Any:
    """The picture of ``plot_calls``."""
    if not trace.calls:
        raise ValueError("plot_calls: the trace has no calls, so there is nothing to draw.")
    rows, dtype = _rows(trace.calls)
    shown, words = page_of(rows, page, MOST, "calls")
    columns = [shown[at : at + _IN_COLUMN] for at in range(0, len(shown), _IN_COLUMN)]
    shared = {row.call.layer: row.turns for row in rows if row.turns > 1}
    colour = _colours(rows, len(colours_of(style).marks))
    brackets = [_brackets(column) for column in columns]
    widths = _widths(shown, max((lane + 1 for each in brackets for *_, lane in each), default=0))
    most = max(map(len, columns))
    told = (
        f"{many(len(shared), 'shared layer')}, in colour: 2/3 is the second of three calls"
        if shared
        else "no layer is shared"
    )
    told = f"{told}; {dtype}" if dtype else told
    width = max(
        2 * _EDGE + len(columns) * widths.all + (len(columns) - 1) * _GAP, 5.0, 2 * _EDGE + width_of(told, TEXT)
    )
    figure = new_figure(width, _HEAD + most * _ROW + 0.3, style)
    colours = colours_of(style)
    title = f"Calls of {trace.model}: {many(len(rows), 'call')}{words}"
    write_at(figure, _EDGE, 0.18, fitted(title, width - 2 * _EDGE, TITLE), colours.ink, TITLE)
    write_at(figure, _EDGE, 0.45, fitted(told, width - 2 * _EDGE, TEXT), colours.muted, TEXT)
    for at, (column, lines) in enumerate(zip(columns, brackets)):
        _draw_column(figure, column, lines, _EDGE + at * (widths.all + _GAP), widths, colour, style)
    return figure


def _rows(calls: Sequence[LayerCall]) -> tuple[list[Row], str]:
    """The texts of all calls, and what to say of the dtype that most tensors have."""
    dtypes = Counter(dtype for call in calls for _, dtype in (*call.inputs, *call.outputs))
    usual = dtypes.most_common(1)[0][0] if dtypes else ""
    turns = Counter(call.layer for call in calls)
    names = {call.number: call.layer for call in calls}
    seen: Counter[str] = Counter()
    rows = []
    for call in calls:
        seen[call.layer] += 1
        turn = f" {seen[call.layer]}/{turns[call.layer]}" if turns[call.layer] > 1 else ""
        shapes = f"{_shapes(call.inputs, usual)} → {_shapes(call.outputs, usual)}"
        caller = "" if call.parent is None else f"{names.get(call.parent, '')}/"
        name = call.layer[len(caller) :] if call.layer.startswith(caller) else call.layer
        text = f"{name}{turn} · {call.cls}"
        rows.append(Row(call, text, shapes, call.source or "", seen[call.layer], turns[call.layer]))
    said = f"tensors are {usual}" if len(dtypes) == 1 else f"tensors are {usual} unless said" if usual else ""
    return rows, said


def _shapes(tensors: Sequence[tuple[Sequence[int | None], str]], usual: str) -> str:
    texts = []
    for shape, dtype in tensors:
        sizes = "x".join("?" if size is None else str(size) for size in shape) or "scalar"
        texts.append(sizes if dtype == usual else f"{sizes} {dtype}")
    return ", ".join(texts) or "-"


def _colours(rows: Sequence[Row], number: int) -> dict[str, int]:
    """A colour for each shared layer: as far as there are enough, one that no layer between its calls has."""
    spans: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        if row.turns > 1:
            spans.setdefault(row.call.layer, [at, at])[1] = at
    used_until = [-1] * number
    found = {}
    for place, (layer, (start, end)) in enumerate(spans.items()):
        order = [(place + step) % number for step in range(number)]
        colour = next((each for each in order if used_until[each] < start), order[0])
        used_until[colour] = max(used_until[colour], end)
        found[layer] = colour
    return found


def _brackets(rows: Sequence[Row]) -> list[tuple[str, list[int], int]]:
    """The shared layers that are called more than once in a column: name, rows, and the lane of the bracket.

    A bracket takes the first lane that is free over its rows. Those for which no lane is left are not drawn: their
    rows have the colour and the count.
    """
    places: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        if row.turns > 1:
            places.setdefault(row.call.layer, []).append(at)
    found: list[tuple[str, list[int], int]] = []
    ends: list[int] = []
    for layer, of in sorted(places.items(), key=lambda each: each[1][0]):
        if len(of) < 2:
            continue
        lane = next((lane for lane, end in enumerate(ends) if end < of[0]), len(ends))
        if lane == _MOST_LANES:
            continue
        ends[lane : lane + 1] = [of[-1]]
        found.append((layer, of, lane))
    return found


def _widths(rows: Sequence[Row], lanes: int) -> Widths:
    def room(texts: list[float], limits: tuple[float, float]) -> float:
        return min(max(max(texts), limits[0]), limits[1])

    name = room([_indent(row.call) + width_of(row.name, SMALL) + 0.1 for row in rows], _NAMES)
    shapes = room([width_of(row.shapes, SMALL) for row in rows], _SHAPES)
    sources = [width_of(row.source, SMALL) for row in rows if row.source]
    return Widths(lanes * _LANE + 0.08, name, shapes, room(sources, _SOURCES) if sources else 0.0)


def _indent(call: LayerCall) -> float:
    """How far to the right a call begins; from the twelfth level on no further, or there would be no room."""
    return min(call.depth, 12) * _STEP


def _draw_column(
    figure: Any,
    rows: Sequence[Row],
    brackets: Sequence[tuple[str, list[int], int]],
    left: float,
    widths: Widths,
    colour: dict[str, int],
    style: str,
) -> None:
    axes = new_axes(figure, left, _HEAD, widths.all, len(rows) * _ROW, style)
    axes.set_axis_off()
    axes.set_xlim(0, widths.all)
    axes.set_ylim(len(rows) * _ROW, 0)
    colours = colours_of(style)
    begin = widths.brackets
    shapes = begin + widths.name + 0.1
    source = shapes + widths.shapes + 0.1
    heads = [(begin, "layer and class", widths.name), (shapes, "inputs → outputs", widths.shapes)]
    heads += [(source, "called from", widths.source)] if widths.source else []
    for x, text, room in heads:
        write(axes, x, -0.08, fitted(text, room, TEXT), colours.muted, TEXT, va="bottom")
    for at, row in enumerate(rows):
        y = (at + 0.5) * _ROW
        x = begin + _indent(row.call)
        mark = colours.marks[colour[row.call.layer]] if row.call.layer in colour else None
        end = begin + widths.name
        axes.add_patch(_bar(x, y, end - x, mark or colours.line, 0.3 if mark else 0.35))
        text = fitted(row.name, end - x - 0.08, SMALL)
        write(axes, x + 0.05, y, text, colours.ink, SMALL, va="center")
        write(axes, shapes, y, fitted(row.shapes, widths.shapes, SMALL), colours.ink, SMALL, va="center")
        if row.source:
            write(axes, source, y, fitted(row.source, widths.source, SMALL), colours.muted, SMALL, va="center")
    _draw_nesting(axes, rows, begin, colours.muted)
    for layer, places, lane in brackets:
        _draw_bracket(axes, places, begin - 0.06 - lane * _LANE, begin, colours.marks[colour[layer]], rows)


def _bar(x: float, y: float, width: float, colour: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y - _ROW * 0.42), width, _ROW * 0.84, color=colour, alpha=alpha, linewidth=0)


def _draw_nesting(axes: Any, rows: Sequence[Row], begin: float, colour: str) -> None:
    """A line from each call down to the last call that it made, as far as both are in this column."""
    last = {}
    for at, row in enumerate(rows):
        if row.call.parent is not None:
            last[row.call.parent] = at
    first = {row.call.number: at for at, row in enumerate(rows)}
    depth = {row.call.number: row.call.depth for row in rows}
    for row in rows:
        if row.call.parent is not None:
            depth.setdefault(row.call.parent, row.call.depth - 1)
    for number, end in last.items():
        if depth[number] < 12:
            x = begin + depth[number] * _STEP + 0.07
            start = (first[number] + 0.92) * _ROW if number in first else 0
            axes.plot([x, x], [start, (end + 0.5) * _ROW], color=colour, linewidth=0.7)
            for at, row in enumerate(rows):
                if row.call.parent == number:
                    axes.plot([x, x + 0.08], [(at + 0.5) * _ROW] * 2, color=colour, linewidth=0.7)


def _draw_bracket(axes: Any, places: Sequence[int], x: float, begin: float, colour: str, rows: Sequence[Row]) -> None:
    """Joins the rows of a shared layer at the left, with an arrow to each of them."""
    heights = [(at + 0.5) * _ROW for at in places]
    axes.plot([x, x], [heights[0], heights[-1]], color=colour, linewidth=1.3)
    for at, y in zip(places, heights):
        end = begin + _indent(rows[at].call)
        arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 6}
        axes.annotate("", (end, y), (x, y), arrowprops=arrow)
