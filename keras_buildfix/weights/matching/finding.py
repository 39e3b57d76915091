"""Finds the entry of a source for each weight of a model: by name, by place or by order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keras_buildfix._keras.info import keras_info
from keras_buildfix.layer_tree.selecting import Part
from keras_buildfix.layer_tree.tree import LayerNode
from keras_buildfix.weight_files.entry import Entries
from keras_buildfix.weights.matching.by_name import match_layer_groups, match_names
from keras_buildfix.weights.matching.by_place import match_structure
from keras_buildfix.weights.matching.match import Match
from keras_buildfix.weights.sources import Source


def find(source: Source, root: LayerNode, part: Part | None = None) -> Match:
    """Finds the weight that each entry belongs to, among all weights or those of a part."""
    match = _find(source, root, part)
    if part is None:
        return match
    match.pairs = {key: pair for key, pair in match.pairs.items() if key in part.ids}
    match.again = [(variable, entry) for variable, entry in match.again if id(variable) in part.ids]
    match.own = [load for load in match.own if not part.ids.isdisjoint(load.ids)]
    meant = {entry.name for _, entry in match.pairs.values()}
    meant |= {entry.name for load in match.own for entry in load.filed.values()}
    match.by_order = {name: layers for name, layers in match.by_order.items() if name in meant}
    if part.ids <= {*match.pairs, *(key for load in match.own for key in load.ids)}:
        match.ambiguous = {}  # these are about weights outside the part
    if source.layout != "structure":  # a place does not say which layer it would be in
        key_of = {entry.name: key for key, entry in source.entries.items()}
        match.unexpected = [name for name in match.unexpected if part.holds(key_of[name])]
    return match


def _find(source: Source, root: LayerNode, part: Part | None) -> Match:
    if source.layout == "positions":
        return _by_position(source.entries, root, part)
    if source.layout == "layers":
        return match_layer_groups(source.entries, root)
    if source.layout == "structure":
        return match_structure(source.entries, root)
    only = None if part is None else part.ids
    return match_names(source.entries, root, canonical=source.canonical, only=only)


def in_order(names: Iterable[str], weights: Iterable[str]) -> tuple[str, ...]:
    """Sorts names of weights in the order of the weights."""
    given = set(names)
    return tuple(name for name in weights if name in given)


def _led_by_order(match: Match, by_id: Mapping[int, str]) -> dict[str, str]:
    """The name of a weight that only the order of layers matched -> the name of its value in the source."""
    led = {by_id[key]: entry.name for key, (_, entry) in match.pairs.items() if entry.name in match.by_order}
    for load in match.own:
        names = [entry.name for entry in load.filed.values() if entry.name in match.by_order]
        led |= {by_id[key]: ", ".join(names) for key in load.ids if names}
    return led


def drop_by_order(match: Match) -> None:
    """Removes what was matched only by order: the entry becomes unexpected, and the weight missing."""
    match.pairs = {key: pair for key, pair in match.pairs.items() if pair[1].name not in match.by_order}
    names = match.by_order.keys()
    match.own = [load for load in match.own if names.isdisjoint(entry.name for entry in load.filed.values())]
    match.unexpected += match.by_order
    match.by_order = {}


def _by_position(entries: Entries, root: LayerNode, part: Part | None) -> Match:
    match, weights = Match(), root.weights()
    if part is not None:
        weights = {name: variable for name, variable in weights.items() if id(variable) in part.ids}
    given = list(entries.values())
    if len(given) != len(weights):
        selected = "" if part is None else "selected "
        shapes = ", ".join(f"{name} {tuple(v.shape)}" for name, v in list(weights.items())[:8])
        raise ValueError(
            f"{root.layer.name!r} ({keras_info(root.layer)}) has {len(weights)} {selected}weights, "
            f"the sequence has {len(given)} values; they go by position: "
            f"{shapes}{', ...' if len(weights) > 8 else ''}. "
            "A mapping by name (see named_weights) may have fewer with strict=False."
        )
    for variable, entry in zip(weights.values(), given):
        match.pair(variable, entry)
    return match
