"""Draws which built-in layers break their subclasses, over the Keras versions: a row a layer, a column a release."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from keras_buildfix._keras import facts
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
    width_of,
    write,
    write_at,
)

#: What each symptom means, for the title, and the colour of its cells.
_SYMPTOMS = {
    "skipped_build": ("the build() of a subclass never runs", 4),
    "locked_state": ("a subclass can't make weights in __init__", 1),
    "built_twice": ("build() runs twice", 0),
}

#: Sizes in inches: the border, the head, a row, a column, and the foot.
_EDGE, _HEAD, _ROW, _COLUMN, _FOOT = 0.35, 0.85, 0.19, 0.44, 0.75


def releases() -> tuple[str, ...]:
    """Each minor release in which a table could change, and the last one with a change for all after it: ``3.12+``."""
    starts = [row[0] for rows in (facts.SKIPPED_BUILD, facts.LOCKED_STATE, facts.BUILT_TWICE) for row in rows]
    minors: dict[int, list[int]] = {}
    for start in starts:
        generation, minor = map(int, start.split("."))
        minors.setdefault(generation, []).append(minor)
    found: list[str] = []
    for generation, of in sorted(minors.items()):
        found += [f"{generation}.{minor}" for minor in range(min(of), max(of))]
        found.append(f"{generation}.{max(of)}+")
    return tuple(found)


def draw_affected(versions: Optional[Sequence[str]], symptom: str, style: str) -> Any:  # noqa: UP045 - 3.9
    """The picture of ``plot_affected_layers``."""
    from keras_buildfix import affected_layers

    if isinstance(versions, str):
        raise TypeError(
            f"versions is a sequence of Keras versions, such as ['3.9', '3.12']; got the text {versions!r}."
        )
    columns = releases() if versions is None else tuple(versions)
    if not columns:
        raise ValueError("plot_affected_layers: versions is empty, so there is nothing to draw.")
    affected = [{*affected_layers(version.rstrip("+"), symptom=symptom)} for version in columns]  # type: ignore[arg-type]
    layers = sorted(set().union(*affected))
    what, colour = _SYMPTOMS[symptom]
    colours = colours_of(style)
    names = max([width_of(layer, TEXT) for layer in layers] + [1.0]) + 0.1
    title = f"{symptom}: {what}"
    told = f"{many(len(layers), 'built-in layer')} of Keras on {many(len(columns), 'release')}"
    wide = max(len(columns) * _COLUMN, 1.0)
    width = max(2 * _EDGE + 0.25 + names + wide, 2 * _EDGE + width_of(title, TITLE))
    rows = max(len(layers), 1)
    figure = new_figure(width, _HEAD + rows * _ROW + _FOOT, style)
    write_at(figure, _EDGE, 0.18, fitted(title, width - 2 * _EDGE, TITLE), colours.ink, TITLE)
    cell = {"marker": "s", "markersize": 6}
    entries = [
        ({**cell, "color": colours.marks[colour]}, "affected"),
        ({**cell, "color": colours.empty, "markeredgecolor": colours.muted}, "not affected"),
    ]
    legend(figure, _EDGE, 0.5, entries, style)
    write_at(figure, width - _EDGE, 0.5, told if layers else "", colours.muted, SMALL, ha="right")
    axes = new_axes(figure, _EDGE + 0.25 + names, _HEAD, wide, rows * _ROW, style)
    _fill(axes, layers, affected, colours.marks[colour], colours.empty, colours.surface)
    axes.set_xticks(range(len(columns)), columns, family=FONT)
    axes.set_yticks(range(len(layers)), layers, family=FONT, fontsize=TEXT)
    tf_keras = any(version.startswith(("2.16", "2.17", "2.18", "2.19", "2.2", "2.3")) for version in columns)
    axes.set_xlabel(
        "Keras release (from 2.16 to the last 2.x: tf_keras)" if tf_keras else "Keras release",
        fontsize=TEXT,
        family=FONT,
        color=colours.muted,
    )
    write_at(figure, 0.15, _HEAD + rows * _ROW / 2, "layer", colours.muted, TEXT, rotation=90, va="center")
    if not layers:
        write(axes, 0.5, 0.5, "none", colours.muted, TEXT, ha="center", va="center", transform=axes.transAxes)
    return figure


def _fill(axes: Any, layers: list[str], affected: list[set[str]], bad: str, fine: str, gap: str) -> None:
    """The cells: a colour where a layer is affected, and one where it is not."""
    from matplotlib.colors import ListedColormap

    rows = max(len(layers), 1)
    axes.set_xlim(-0.5, len(affected) - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    if layers:
        cells = [[int(layer in names) for names in affected] for layer in layers]
        edges_x = [at - 0.5 for at in range(len(affected) + 1)]
        edges_y = [at - 0.5 for at in range(rows + 1)]
        axes.pcolormesh(
            edges_x, edges_y, cells, cmap=ListedColormap([fine, bad]), vmin=0, vmax=1, edgecolors=gap, linewidth=1
        )
    axes.tick_params(length=0)
