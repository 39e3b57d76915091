"""Checks the values that were found for weights, and assigns them or says what is wrong."""

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
from keras_buildfix.weights.assigning import Assignment, assign_all, check_values, why_not
from keras_buildfix.weights.matching.by_place import writes_by_hand
from keras_buildfix.weights.matching.finding import _led_by_order, drop_by_order, find, in_order
from keras_buildfix.weights.matching.match import Match
from keras_buildfix.weights.own_loading import loaded_by_own_code
from keras_buildfix.weights.report import SkippedWeight, WeightReport
from keras_buildfix.weights.sources import Source


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
        assigned=in_order([*(each.name for each in fitting), *map(by_id.__getitem__, own)], weights),
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
        if hasattr(type(node.layer), "finalize_state") and any(id(variable) in assigned for _, variable in node.own):
            node.layer.finalize_state()


def _refuse(
    report: WeightReport, layer: Any, source: Source, options: Options, wanted_by: str, advice: Sequence[str]
) -> None:
    """Raises if something is wrong that the options do not allow."""
    unknown = report.missing or report.unexpected
    if (options.strict and unknown) or (report.skipped and not options.skip_mismatch):
        text = _headline(layer, source, wanted_by, "does not fit") + _way_out(layer, source, report, advice)
        raise ValueError(text)


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
    """The name of a built-in that saves only its own weights, if that explains the missing ones; else empty."""
    names = set(missing)
    for node in weight_tree(layer).nodes():
        if any("/".join((*node.path, name)) in names for name, _ in node.own):
            writer = writes_by_hand(node.layer)
            if writer is not None and writer is not type(node.layer) and belongs_to_keras(writer):
                return writer.__name__
    return ""
