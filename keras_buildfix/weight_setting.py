"""Sets a layer's weights from a source: finds each one's value, checks all, assigns all, reports."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_buildfix._keras.classes import belongs_to_keras
from keras_buildfix._keras.info import keras_info
from keras_buildfix._words import nearest_names, some_of
from keras_buildfix.layer_tree.selecting import Part, Select, is_everything, part_of
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree
from keras_buildfix.own_loading import loaded_by_own_code
from keras_buildfix.weight_assigning import Assignment, assign_all, check_values, why_not
from keras_buildfix.weight_files.entry import Entries
from keras_buildfix.weight_files.reading import WeightFile
from keras_buildfix.weight_matching import Match, match_layer_groups, match_names
from keras_buildfix.weight_report import SkippedWeight, WeightReport
from keras_buildfix.weight_structure import match_structure, writes_by_hand


@dataclass(frozen=True)
class Source:
    """Where values come from: a file, a mapping, a sequence or another layer.

    Attributes:
        entries: The values by name, in the source's order.
        layout: ``"names"``, ``"layers"``, ``"structure"`` or ``"positions"``.
        canonical: Whether a name that Keras made up may be a canonical one.
        described: What messages call the source: ``"the file w.h5"``.
    """

    entries: Entries
    layout: str
    canonical: bool
    described: str

    @classmethod
    def of(cls, file: WeightFile) -> Source:
        """Makes a source of a file. Names in files that Keras writes are not canonical."""
        described = f"the file {file.path}" + (f" (written by Keras {file.writer})" if file.writer else "")
        return cls(file.entries, file.layout, file.format in ("safetensors", "npz"), described)


@dataclass(frozen=True)
class Options:
    """The user's options; see ``set_weights``."""

    strict: bool = True
    skip_mismatch: bool = False
    casting: str = "same_kind"
    select: Select = "*"
    exclude: Select | None = None

    @property
    def is_for_all(self) -> bool:
        """Whether all weights are selected."""
        return is_everything(self.select, self.exclude)


def place(tree: LayerNode, source: Source, options: Options, wanted_by: str) -> WeightReport:
    """Sets the weights, or the selected weights, of a layer that is built.

    Raises:
        ValueError: If something is wrong that `options` do not allow; no weight has changed then.
    """
    if options.is_for_all:
        return place_matched(tree, source, find(source, tree), options, wanted_by)
    part = part_of(tree, options.select, options.exclude, wanted_by, built=True)
    return place_matched(tree, source, find(source, tree, part), options, wanted_by, part)


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


def place_matched(
    tree: LayerNode, source: Source, match: Match, options: Options, wanted_by: str, part: Part | None = None
) -> WeightReport:
    """Sets the weights of a layer that is built, or those of a part, from the entries that a search found.

    Raises:
        ValueError: If something is wrong that `options` do not allow; no weight has changed then.
    """
    import numpy as np

    layer, weights = tree.layer, tree.weights()
    by_id = {id(variable): name for name, variable in weights.items()}
    if part is not None:
        weights = {name: variable for name, variable in weights.items() if id(variable) in part.ids}
    for variable, entry in match.again:
        first = match.pairs[id(variable)][1]
        if entry.shape != first.shape or not np.array_equal(entry.read(), first.read(), equal_nan=True):
            match.ambiguous[entry.name] = [f"{by_id.get(id(variable))}, for which {first.name} has another value"]
    if match.ambiguous:
        several = any(len(candidates) > 1 for candidates in match.ambiguous.values())
        what = "could mean several weights of" if several else "does not fit"
        raise ValueError(_headline(layer, source, wanted_by, what) + _lines(match))
    advice = _advice(source, match, by_id)
    if options.strict:
        drop_by_order(match)
    own = [key for load in match.own for key in load.ids]
    fitting, skipped = check(
        [Assignment(by_id.get(key, entry.name), variable, entry) for key, (variable, entry) in match.pairs.items()],
        options,
    )
    found = {*match.pairs, *own}
    missing = [name for name, variable in weights.items() if id(variable) not in found]
    renamed = {entry.name: name for name, entry in source.entries.items() if name != entry.name}
    report = WeightReport(
        assigned=_in_order([*(each.name for each in fitting), *map(by_id.__getitem__, own)], weights),
        missing=tuple(missing),
        unexpected=tuple(match.unexpected),
        skipped=tuple(skipped),
        nearest=nearest_names(missing, source.entries)
        | nearest_names((renamed.get(name, name) for name in match.unexpected), weights),
        renamed=renamed,
        by_order=_led_by_order(match, by_id),
    )
    _refuse(report, layer, source, options, wanted_by, advice)
    with loaded_by_own_code(match.own, None if part is None else part.ids) as failed:
        lost = {by_id[key]: reason for load, reason in failed for key in load.ids if by_id[key] in weights}
        assigned = tuple(name for name in report.assigned if name not in lost)
        more = [SkippedWeight(name, reason) for name, reason in lost.items()]
        report = replace(report, assigned=assigned, skipped=(*skipped, *more))
        _refuse(report, layer, source, options, wanted_by, advice)
        report.not_finite.update(assign_all(fitting))
    finalize(tree, {*(id(each.variable) for each in fitting), *own})
    return report


def finalize(tree: LayerNode, assigned: Collection[int]) -> None:
    """Makes layers recompute what they derive from their weights: Normalization, on Keras 2 and 3.

    Args:
        tree: The layer.
        assigned: The ``id`` of each weight with a new value.
    """
    for node in tree.nodes():
        if hasattr(node.layer, "finalize_state") and any(id(variable) in assigned for _, variable in node.own):
            node.layer.finalize_state()


def _refuse(
    report: WeightReport, layer: Any, source: Source, options: Options, wanted_by: str, advice: Sequence[str]
) -> None:
    """Raises if something is wrong that the options do not allow."""
    unknown = report.missing or report.unexpected
    if (options.strict and unknown) or (report.skipped and not options.skip_mismatch):
        text = _headline(layer, source, wanted_by, "does not fit") + _way_out(layer, source, report, advice)
        raise ValueError(text)


def _in_order(names: Iterable[str], weights: Iterable[str]) -> tuple[str, ...]:
    """Sorts names of weights in the order of the weights."""
    given = set(names)
    return tuple(name for name in weights if name in given)


def _led_by_order(match: Match, by_id: Mapping[int, str]) -> dict[str, str]:
    """Weights that only the order of layers matched to a value of a layer with another name -> the value's name."""
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


def _advice(source: Source, match: Match, by_id: Mapping[int, str]) -> list[str]:
    """What the user can type to say that layers with different given names are the same."""
    if not match.by_order:
        return []
    layers = list(dict.fromkeys(match.by_order.values()))
    if source.layout == "layers":
        rename: Any = [(f"^{re.escape(there)}/", f"{here}/") for there, here in layers]
    else:
        rename = {entry.name: by_id[key] for key, (_, entry) in match.pairs.items() if entry.name in match.by_order}
    same = ", ".join(f"{there!r} there is {here!r} here" for there, here in layers[:3])
    how = f"rename={rename}" if 0 < len(rename) <= 8 else "rename= says so"
    return [f"if {same}{', ...' if len(layers) > 3 else ''}: {how}", "strict=False goes by the order of the layers"]


def check(assignments: Iterable[Assignment], options: Options) -> tuple[list[Assignment], list[SkippedWeight]]:
    """Divides assignments into those that fit, and those that do not, with the reasons."""
    fitting, skipped = [], []
    for each in assignments:
        reason = why_not(each, options.casting)
        if reason is None:
            fitting.append(each)
        else:
            skipped.append(SkippedWeight(each.name, reason))
    too_large = check_values(fitting)
    names = {each.name for each in too_large}
    return [each for each in fitting if each.name not in names], skipped + too_large


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


def _headline(layer: Any, source: Source, wanted_by: str, what: str) -> str:
    return f"{wanted_by}: {source.described} {what} {layer.name!r} ({keras_info(layer)}); nothing was changed.\n"


def _lines(match: Match) -> str:
    lines = [f"  ambiguous   {name}  (could be: {', '.join(map(str, c[:4]))})" for name, c in match.ambiguous.items()]
    lost = [f"  unexpected  {name}" for name in match.unexpected]
    return "\n".join([*some_of(lines), *some_of(lost), _SAY_WHICH])


_SAY_WHICH = (
    "Some of these could mean several weights, or several of them mean the same weight. Check that they were saved "
    "from this model. If they were, give rename=, with the names that named_weights() gives."
)


def _way_out(layer: Any, source: Source, report: WeightReport, advice: Sequence[str]) -> str:
    hints = list(advice)
    if source.layout == "structure" and (lost := _left_out_by_keras(layer, report.missing)):
        hints.append(
            f"Keras 3 leaves the weights that a subclass adds to {lost} out of .weights.h5 and .keras; "
            "save_weights writes them to .safetensors"
        )
    if (report.missing or report.unexpected) and not advice:
        hints.append("rename= maps names, strict=False leaves out those without a counterpart")
    if report.skipped:
        hints.append("skip_mismatch=True leaves out values that do not fit")
    if not getattr(layer, "built", True):
        hints.append("it is not built yet: call it on data first")
    return f"{report.refused()}\n{'; '.join(hints)}."


def _left_out_by_keras(layer: Any, missing: Iterable[str]) -> str:
    """The built-in that saves only the weights it made itself, if it explains what is missing."""
    names = set(missing)
    for node in weight_tree(layer).nodes():
        if any("/".join((*node.path, name)) in names for name, _ in node.own):
            writer = writes_by_hand(node.layer)
            if writer is not None and writer is not type(node.layer) and belongs_to_keras(writer):
                return writer.__name__
    return ""
