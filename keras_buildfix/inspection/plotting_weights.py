"""Draws histograms of weights: a panel a layer, on which each of the layer's weights has its colour."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from keras_buildfix._keras.variables import dtype_of, read_value, shape_of, stored, view_value
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
    write,
    write_at,
)
from keras_buildfix.layer_tree.tree import weight_tree

#: The most panels in a picture.
MOST = 240

#: How many numbers are looked at at a time: a large weight needs no second copy in float64.
_CHUNK, _BINS = 1 << 20, 40

#: Sizes in inches: the border, the head of the picture, and what a panel needs above and below its axes.
_EDGE, _HEAD, _ABOVE, _BELOW = 0.35, 0.85, 0.36, 0.22


class Histogram(NamedTuple):
    """The histogram of one weight; `counts` is empty if it has no finite number, or one value only."""

    name: str
    size: int
    low: float
    high: float
    nan: int
    inf: int
    counts: tuple[int, ...]
    note: str = ""


class Panel(NamedTuple):
    """What is drawn of one layer."""

    layer: str
    cls: str
    weights: tuple[Histogram, ...]

    @property
    def finite(self) -> list[Histogram]:
        """The weights that have a finite number."""
        return [each for each in self.weights if each.low <= each.high]


def panels_of(layer: Any) -> list[tuple[str, str, list[tuple[str, Any]]]]:
    """The layers that have weights of their own, in the order of the model: name, class, and weights by name."""
    tree = weight_tree(layer)
    order = {id(variable): at for at, variable in enumerate(tree.weights().values())}
    found = []
    seen: set[int] = set()
    for node in tree.nodes():
        own = [(name, variable) for name, variable in node.own if id(variable) not in seen]
        seen |= {id(variable) for _, variable in own}
        if own:
            name = "/".join(node.path) or str(node.layer.name)
            found.append((order[id(own[0][1])], name, type(node.layer).__name__, own))
    return [(name, cls, own) for _, name, cls, own in sorted(found, key=lambda each: each[0])]


def draw_weights(model: Any, page: int, style: str) -> Any:
    """The picture of ``plot_weights``."""
    layers = panels_of(model)
    if not layers:
        unbuilt = "" if getattr(model, "built", True) else " It is not built yet: call it on some inputs first."
        raise ValueError(f"plot_weights: {model.name!r} ({type(model).__name__}) has no weights to draw.{unbuilt}")
    shown, words = page_of(layers, page, MOST, "layers")
    panels = [Panel(name, cls, tuple(histogram(*each) for each in own)) for name, cls, own in shown]
    total = sum(math.prod(axis or 0 for axis in shape_of(each)) for _, _, own in layers for _, each in own)
    title = f"Weights of {model.name}: {many(len(layers), 'layer')}, {total:,} number{'s' * (total != 1)}{words}"
    return _draw(panels, title, style)


def histogram(name: str, variable: Any) -> Histogram:
    """Counts the numbers of a weight in bins, in two walks through it."""
    import numpy as np

    if stored(variable) is None:
        return Histogram(name, 0, 1, 0, 0, 0, (), "no value yet")
    dtype = dtype_of(variable)
    if dtype.startswith(("complex", "string", "object", "resource")):
        return Histogram(name, 0, 1, 0, 0, 0, (), f"of {dtype}: not drawn")
    flat = (view_value(variable) if shape_of(variable) else read_value(variable)).reshape(-1)
    low, high, nan, inf = math.inf, -math.inf, 0, 0
    for chunk in _chunks(flat):
        finite = chunk[np.isfinite(chunk)]
        missing = int(np.isnan(chunk).sum())
        nan, inf = nan + missing, inf + chunk.size - finite.size - missing
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    half = high / 2 - low / 2  # the whole range of numbers near the largest would overflow
    if not half > 0:
        return Histogram(name, flat.size, low, high, nan, inf, ())
    bins = int(min(max(math.sqrt(flat.size), 5), _BINS))
    counts: Any = np.zeros(bins, "int64")
    for chunk in _chunks(flat):
        finite = chunk[np.isfinite(chunk)]
        places = ((finite / 2 - low / 2) / half * bins).astype("int64")
        counts += np.bincount(np.clip(places, 0, bins - 1), minlength=bins)
    return Histogram(name, flat.size, low, high, nan, inf, tuple(map(int, counts)))


def _chunks(flat: Any) -> Iterator[Any]:
    for start in range(0, flat.size, _CHUNK):
        yield flat[start : start + _CHUNK].astype("float32" if flat.dtype.itemsize < 4 else "float64")


def _draw(panels: Sequence[Panel], title: str, style: str) -> Any:
    across = min(max(math.ceil(math.sqrt(len(panels) * 1.2)), 2), 10, max(len(panels), 2))
    down = -(-len(panels) // across)
    wide, high = (2.5, 1.3) if len(panels) <= 12 else (1.62, 0.72)
    cell = wide + 0.22, high + _ABOVE + _BELOW
    width = max(2 * _EDGE + 0.2 + across * cell[0], 5.0)
    figure = new_figure(width, _HEAD + down * cell[1] + 0.45, style)
    colours = colours_of(style)
    drawn = _names_of(panels, len(colours.marks))
    write_at(figure, _EDGE, 0.18, fitted(title, width - 2 * _EDGE, TITLE), colours.ink, TITLE)
    _legend(figure, panels, drawn, width - 2 * _EDGE, style)
    for at, panel in enumerate(panels):
        row, column = divmod(at, across)
        place = _EDGE + 0.2 + column * cell[0], _HEAD + row * cell[1] + _ABOVE
        axes = new_axes(figure, *place, wide, high, style)
        _draw_panel(axes, panel, drawn, wide, style)
    below = _HEAD + down * cell[1] + 0.12
    write_at(figure, width / 2, below, "value (each panel has its own range)", colours.muted, TEXT, ha="center")
    middle = _HEAD + down * cell[1] / 2
    label = "numbers in a bin / in the fullest bin" if down > 1 or high > 1 else "numbers in a bin"
    write_at(figure, 0.2, middle, label, colours.muted, TEXT, rotation=90, va="center")
    return figure


def _names_of(panels: Sequence[Panel], most: int) -> dict[str, int]:
    """The names of weights that get a colour: the most frequent ones."""
    names = Counter(each.name for panel in panels for each in panel.weights)
    return {name: at for at, (name, _) in enumerate(names.most_common(most))}


def _legend(figure: Any, panels: Sequence[Panel], drawn: dict[str, int], room: float, style: str) -> None:
    colours = colours_of(style)
    all_fit = sum(width_of(name, SMALL + 0.5) + 0.45 for name in drawn) < room - 0.8
    each_room = room if all_fit else room / (len(drawn) + 1) - 0.35
    entries = [
        ({"marker": "s", "color": colours.marks[at], "markersize": 6}, fitted(name, each_room, SMALL + 0.5))
        for name, at in drawn.items()
    ]
    if any(each.name not in drawn for panel in panels for each in panel.weights):
        entries.append(({"marker": "s", "color": colours.muted, "markersize": 6}, fitted("other", each_room, SMALL)))
    legend(figure, _EDGE, 0.5, entries, style)


def _draw_panel(axes: Any, panel: Panel, drawn: dict[str, int], wide: float, style: str) -> None:
    colours = colours_of(style)
    title = fitted(panel.layer, wide, TEXT)
    axes.set_title(title, loc="left", fontsize=TEXT, family=FONT, color=colours.ink, pad=13, parse_math=False)
    text, bad = _under_title(panel)
    write(
        axes,
        0,
        1.03,
        fitted(text, wide, SMALL, start=True),
        colours.bad if bad else colours.muted,
        SMALL,
        transform=axes.transAxes,
    )
    axes.set_ylim(0, 1.06)
    axes.set_yticks([])
    if not panel.finite:
        axes.set_xticks([])
        note = next((each.note for each in panel.weights if each.note), "no finite number")
        write(axes, 0.5, 0.5, fitted(note, wide, SMALL), colours.muted, SMALL, ha="center", transform=axes.transAxes)
        return
    low, high = min(each.low for each in panel.finite), max(each.high for each in panel.finite)
    height = 1.0
    for each in panel.finite:
        colour = colours.marks[drawn[each.name]] if each.name in drawn else colours.muted
        if each.counts:
            number_of = len(each.counts)
            edges = [each.low * (1 - at / number_of) + each.high * at / number_of for at in range(number_of + 1)]
            heights = [count / max(each.counts) for count in each.counts]
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.35)
            axes.stairs(heights, edges, color=colour, linewidth=0.9)
        else:
            axes.plot([each.low] * 2, [0, height], color=colour, linewidth=2.2, solid_capstyle="butt")
            height *= 0.8  # of several at one place, each is seen
    _set_range(axes, low, high, wide, colours.muted)


def _set_range(axes: Any, low: float, high: float, wide: float, colour: str) -> None:
    """The range of a panel, with its two ends as ticks; one tick for a single value."""
    beside = (high - low) * 0.03 or abs(low) * 0.1 or 1.0
    axes.set_xlim(low - beside, high + beside)
    ticks = [low, high] if low < high else [low]
    labels = [number(each) for each in ticks]
    if len(ticks) == 2 and labels[0] == labels[1]:  # a narrow range far from zero
        labels = [labels[0], f"+{number(high - low)}"]
    axes.set_xticks(ticks, labels, family=FONT)
    sides = ("left", "right") if len(ticks) == 2 else ("center",)
    for label, side in zip(axes.get_xticklabels(), sides):
        label.set_horizontalalignment(side)
    assert sum(width_of(label, SMALL) for label in labels) < wide


def _under_title(panel: Panel) -> tuple[str, bool]:
    """The second line of a panel: what is wrong with it, else its class, size and constant weights."""
    nan, inf = sum(each.nan for each in panel.weights), sum(each.inf for each in panel.weights)
    wrong = [f"{count:,} {what}" for count, what in ((nan, "NaN"), (inf, "Inf")) if count]
    size = sum(each.size for each in panel.weights)
    if wrong:
        return f"{' and '.join(wrong)} of {size:,}", True
    constant = [f"{each.name} all {number(each.low)}" for each in panel.finite if not each.counts and each.size > 1]
    return " · ".join([panel.cls, f"{size:,}", *constant]), False
