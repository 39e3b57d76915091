"""Draws the norms of gradients by depth: a row a weight, in the order of the model, on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_buildfix._words import many
from keras_buildfix.inspection.plotting_canvas import (
    FONT,
    SMALL,
    TEXT,
    TITLE,
    colours_of,
    fitted,
    legend,
    new_axes,
    new_figure,
    number,
    page_of,
    width_of,
    write_at,
)

if TYPE_CHECKING:
    from keras_buildfix.inspection.gradients import GradientReport, WeightGradient

#: The most weights in a picture, and in a column of it.
MOST, _IN_COLUMN = 500, 100

#: Sizes in inches: the border, the head, a row, the lanes for what has no place on the axis, the axis, and names.
_EDGE, _HEAD, _FOOT, _ROW, _LANE, _AXIS, _NAMES = 0.35, 0.95, 0.85, 0.165, 0.2, 2.6, (0.8, 2.6)

#: What a norm on the axis can be, and what has a lane of its own -> marker, and its place among the colours.
_ON_AXIS = {"ok": ("o", 0), "vanishing": ("v", 3), "exploding": ("^", 1)}
_LANES = {"not trained": ("|", -1), "none": ("x", 4), "zero": ("o", 5), "NaN or Inf": ("D", -2)}


def kind_of(weight: WeightGradient) -> str:
    """How a weight is drawn: as a norm on the axis, or in one of the lanes."""
    norm = weight.norm
    if weight.verdict == "nan" or (norm is not None and not math.isfinite(norm)):
        return "NaN or Inf"
    if weight.verdict == "not trained":
        return "not trained"
    if norm is None or weight.verdict == "none":
        return "none"
    if norm <= 0:
        return "zero"
    return weight.verdict if weight.verdict in _ON_AXIS else "ok"


def draw_gradients(report: GradientReport, page: int, style: str) -> Any:
    """The picture of ``plot_gradients``."""
    if not report.weights:
        raise ValueError("plot_gradients: the report has no weights, so there is nothing to draw.")
    shown, words = page_of(report.weights, page, MOST, "weights")
    columns = [shown[at : at + _IN_COLUMN] for at in range(0, len(shown), _IN_COLUMN)]
    kinds = {kind_of(weight) for weight in report.weights}
    lanes = [lane for lane in _LANES if lane in kinds]
    names = max(width_of(weight.name, SMALL) for weight in shown) + 0.05
    names = min(max(names, _NAMES[0]), _NAMES[1])
    cell = names + len(lanes) * _LANE + 0.2 * bool(lanes) + _AXIS + 0.25
    width, rows = max(2 * _EDGE + 0.15 + len(columns) * cell, 6.2), max(map(len, columns))
    figure = new_figure(width, _HEAD + rows * _ROW + _FOOT, style)
    colours = colours_of(style)
    title = f"Gradients by depth: {many(len(report.weights), 'weight')}, loss {number(report.loss)}{words}"
    write_at(figure, _EDGE, 0.18, fitted(title, width - 2 * _EDGE, TITLE), colours.ink, TITLE)
    legend(figure, _EDGE, 0.52, [(_mark(kind, style), kind) for kind in (*_ON_AXIS, *_LANES) if kind in kinds], style)
    limits = _limits(report.weights)
    for at, column in enumerate(columns):
        _draw_column(figure, column, _EDGE + 0.15 + at * cell + names, lanes, limits, names, style)
    return figure


def _limits(weights: Sequence[WeightGradient]) -> tuple[float, float]:
    """The range of the axis: whole powers of ten around all norms, of all pages, so that they can be compared."""
    norms = [each.norm for each in weights if each.norm is not None and kind_of(each) in _ON_AXIS]
    if not norms:
        return 0.1, 10.0
    low, high = math.floor(math.log10(min(norms)) - 0.1), math.ceil(math.log10(max(norms)) + 0.1)
    return 10.0 ** max(low, -307), 10.0 ** min(high, 307)


def _draw_column(
    figure: Any,
    weights: Sequence[WeightGradient],
    left: float,
    lanes: Sequence[str],
    limits: tuple[float, float],
    names: float,
    style: str,
) -> None:
    high = len(weights) * _ROW
    lanes_wide = len(lanes) * _LANE
    axes = new_axes(figure, left + lanes_wide + 0.2 * bool(lanes), _HEAD, _AXIS, high, style)
    named = new_axes(figure, left, _HEAD, lanes_wide, high, style) if lanes else axes
    colours = colours_of(style)
    write_at(figure, left - names, _HEAD - 0.05, "weight, by depth", colours.muted, TEXT, va="bottom")
    for each in {id(axes): axes, id(named): named}.values():
        each.set_ylim(len(weights) - 0.5, -0.5)
        each.set_yticks([])
    named.set_yticks(range(len(weights)), [fitted(each.name, names - 0.05, SMALL) for each in weights], family=FONT)
    for label in named.get_yticklabels():
        label.set_parse_math(False)
    for row in range(0, len(weights), 2):  # a faint line to follow from the name to the mark
        for each in {id(axes): axes, id(named): named}.values():
            each.axhline(row, color=colours.line, linewidth=0.4, zorder=0)
    if lanes:
        named.set_xlim(-0.5, len(lanes) - 0.5)
        named.set_xticks(range(len(lanes)), lanes, rotation=90, family=FONT)
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    _set_ticks(axes, limits)
    axes.set_xlabel("norm of the gradient (log)", fontsize=TEXT, family=FONT, color=colours.muted)
    for row, weight in enumerate(weights):
        kind = kind_of(weight)
        place, x = (axes, weight.norm) if kind in _ON_AXIS else (named, lanes.index(kind))
        place.plot([x], [row], clip_on=False, zorder=3, **_mark(kind, style))


def _set_ticks(axes: Any, limits: tuple[float, float]) -> None:
    """Powers of ten as ticks, at most six of them, so that they have room."""
    low, high = (round(math.log10(each)) for each in limits)
    step = max(-(-(high - low) // 5), 1)
    powers = range(low, high + 1, step)
    axes.set_xticks([10.0**power for power in powers], [f"1e{power}" for power in powers], family=FONT)
    axes.minorticks_off()


def _mark(kind: str, style: str) -> dict[str, Any]:
    marker, at = _ON_AXIS.get(kind) or _LANES[kind]
    colours = colours_of(style)
    colour = {-1: colours.muted, -2: colours.bad}.get(at) or colours.marks[at]
    hollow = kind == "zero"
    return {
        "marker": marker,
        "markersize": 5,
        "color": colour,
        "markerfacecolor": "none" if hollow else colour,
        "markeredgewidth": 1.4 if hollow or marker in ("x", "|") else 0.8,
        "linestyle": "none",
    }
