"""Sets weights of a layer that is not built yet: builds the layer to fit, or keeps the values until ``build`` ends."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from keras_buildfix._keras.classes import belongs_to_keras
from keras_buildfix._words import nearest_names
from keras_buildfix.layer_tree.after_build import AfterBuild, Refusal, is_to_build, layers_to_build, waiting_for
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree
from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weights.assigning import Assignment, assign_all
from keras_buildfix.weights.matching.finding import find
from keras_buildfix.weights.placing import Options, check, finalize, place_matched
from keras_buildfix.weights.report import SkippedWeight, WeightReport
from keras_buildfix.weights.sources import Source

#: Built-ins whose input shape follows from a weight: the weight, which of its axes, and how many axes the input has.
#: Not the normalizations: built for two axes, they refuse four, or take a wrong axis of them.
#: ``test_these_are_built_for_their_weights`` in ``tests/weights/test_weights.py`` checks this on every Keras.
_INPUT_FROM = {
    "Dense": ("kernel", 0, 2),
    "Embedding": ("embeddings", None, 2),
    "Conv1D": ("kernel", 1, 3),
    "Conv2D": ("kernel", 2, 4),
    "Conv3D": ("kernel", 3, 5),
    "Conv1DTranspose": ("kernel", 2, 3),
    "Conv2DTranspose": ("kernel", 3, 4),
    "Conv3DTranspose": ("kernel", 4, 5),
    "SimpleRNN": ("simple_rnn_cell/kernel", 0, 3),
    "LSTM": ("lstm_cell/kernel", 0, 3),
    "GRU": ("gru_cell/kernel", 0, 3),
}


def build_for(layer: Any, entries: Sequence[Entry]) -> bool:
    """Builds a layer if its input shape follows from its weights. Returns whether it did."""
    known = next((_INPUT_FROM[b.__name__] for b in type(layer).__mro__ if _is_known(b, type(layer))), None)
    if known is None or layer.built:
        return False
    name, axis, rank = known
    by_name = {entry.name.partition(":")[0]: entry.shape for entry in entries}
    # In a sequence the kernel is the first weight, unless a subclass makes another one before it.
    first = by_name.get("weight 0") if belongs_to_keras(type(layer)) else None
    shape = by_name.get(name, by_name.get(f"{layer.name}/{name}", first))
    last = getattr(layer, "axis", -1) in (-1, [-1], (-1,)) and getattr(layer, "groups", 1) == 1
    if shape is None or not last or getattr(layer, "data_format", None) == "channels_first":
        return False
    if axis is not None and axis >= len(shape):
        return False
    layer.build((None,) * rank if axis is None else (*(None,) * (rank - 1), shape[axis]))
    return True


def _is_known(base: type, cls: type) -> bool:
    """Whether a class is a built-in in ``_INPUT_FROM``, and the layer's class has not overridden its ``build``."""
    return (
        base.__name__ in _INPUT_FROM
        and belongs_to_keras(base)
        and getattr(cls, "build", None) is getattr(base, "build", None)
    )


class WaitingWeights:
    """Values for a layer that is not built yet: each one is set as soon as the ``build`` that makes its weight ends."""

    def __init__(self, layer: Any, source: Source, options: Options, wanted_by: str) -> None:
        self.layer, self.source, self.options, self.wanted_by = layer, source, options, wanted_by
        self.remaining = {name: _held(entry) for name, entry in source.entries.items()}
        self.hooks: dict[int, AfterBuild] = {}
        self.set: set[int] = set()
        self.refusal: Refusal | None = None

    def start(self) -> WeightReport:
        """Sets the weights that exist already, and lets the other values wait."""
        tree = weight_tree(self.layer)
        here = tree.weights() if self.source.layout == "names" else {}
        assigned = [Assignment(name, v, self.remaining[name]) for name, v in here.items() if name in self.remaining]
        _, skipped = check(assigned, self.options)
        wrong = [str(each) for each in skipped] if self._is_error(skipped) else []
        if self.options.strict:
            wrong += [f"missing     {name}" for name in here if name not in self.remaining]
        if len(assigned) < len(self.remaining) and not layers_to_build(tree):
            wrong.append("it is not built, and it has no layers yet that could be; call it on data first")
        if wrong:
            lines = "\n  ".join(wrong[:20])
            raise ValueError(
                f"{self.wanted_by}: {self.source.described} does not fit {self.layer.name!r}; nothing was changed.\n"
                f"  {lines}"
            )
        self._assign(assigned, tree)
        self._hook(tree)
        return WeightReport(assigned=tuple(each.name for each in assigned), waiting=tuple(self.remaining))

    def _hook(self, tree: LayerNode) -> None:
        for node in tree.nodes():
            if is_to_build(node.layer) and id(node.layer) not in self.hooks:
                then = functools.partial(self._built, path=node.path)
                self.hooks[id(node.layer)] = AfterBuild(node.layer, then, self)

    def _built(self, layer: Any, path: tuple[str, ...]) -> None:
        if self.hooks.pop(id(layer), None) is None:
            return  # stop() could not remove this hook, because another one was installed over it
        tree = weight_tree(layer, path)
        self._hook(tree)
        if self.source.layout == "names":
            start = "/".join(path) + "/" if path else ""
            here = {start + name: variable for name, variable in tree.weights().items()}
            self._assign([Assignment(n, v, self.remaining[n]) for n, v in here.items() if n in self.remaining], tree)
        if layer is self.layer or not self.hooks:
            self._settle()

    def stop(self) -> None:
        """Drops the values that still wait, and allows calls of the layer again if values were refused."""
        for hook in self.hooks.values():
            hook.remove()
        if self.refusal is not None:
            self.refusal.end()
        self.hooks, self.remaining, self.refusal = {}, {}, None

    def _assign(self, assignments: list[Assignment], tree: LayerNode) -> None:
        fitting, skipped = check(assignments, self.options)
        if self._is_error(skipped):
            self._give_up([str(each) for each in skipped])
        assign_all(fitting)
        finalize(tree, [id(each.variable) for each in fitting])
        for each in assignments:
            self.remaining.pop(each.name, None)
            self.set.add(id(each.variable))

    def _is_error(self, skipped: list[SkippedWeight]) -> bool:
        return bool(skipped) and not self.options.skip_mismatch

    def _settle(self) -> None:
        """Sets the remaining values once the layers are built: only then can names of other kinds be matched."""
        source = Source(self.remaining, self.source.layout, self.source.canonical, self.source.described)
        tree = weight_tree(self.layer)
        if source.layout == "positions" and len(tree.weights()) < len(self.remaining) and self.hooks:
            return
        try:
            match = find(source, tree)
        except ValueError as error:
            self._give_up([str(error)])
        if match.unexpected and self.hooks:
            return
        if self.options.strict:
            unexpected, weights = (*match.unexpected, *match.ambiguous), tree.weights()
            have = {*match.pairs, *self.set}
            missing = () if self.hooks else tuple(name for name, v in weights.items() if id(v) not in have)
            nearest = nearest_names(missing, source.entries) | nearest_names(unexpected, weights)
            if wrong := WeightReport(missing=missing, unexpected=unexpected, nearest=nearest).lines():
                self._give_up([line.strip() for line in wrong])
        # Some weights got their values earlier. With strict, place_matched would report them as missing.
        allowed = replace(self.options, strict=False)
        place_matched(tree, source, match, allowed, self.wanted_by)
        self.set |= set(match.pairs)
        self.remaining = {}

    def _give_up(self, reasons: list[str]) -> None:
        """Raises now and at each call of the layer, because Sequential on Keras 2 swallows errors while it builds."""
        self.stop()
        lines = "\n  ".join(reasons[:20])
        message = (
            f"{self.wanted_by}: values that waited for {self.layer.name!r} to be built do not fit it:\n  {lines}\n"
            f"Until then {self.layer.name!r} can't be called: set weights that fit, or give these up with "
            "set_weights(layer, {}, strict=False)."
        )
        self.refusal = Refusal(message, [node.layer for node in weight_tree(self.layer).nodes()], self)
        raise ValueError(message)


def stop_waiting(tree: LayerNode) -> None:
    """Drops values that wait for a layer, and forgets that earlier ones were refused: only the latest values count."""
    for node in tree.nodes():
        refusing = getattr(vars(node.layer).get("call"), "owner", None)
        for owner in (refusing, *waiting_for(node.layer)):
            if isinstance(owner, WaitingWeights) and owner.layer is tree.layer:
                owner.stop()


def _held(entry: Entry) -> Entry:
    """The entry with its value in memory: its file, or the layer it comes from, may be gone when the value is set."""
    value = entry.read().copy()
    return Entry(entry.name, entry.shape, entry.dtype, lambda: value, borrowed=True)
