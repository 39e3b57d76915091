"""Finds layers that a model calls at several places, and tells where that can't work and where it is on purpose."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_buildfix._keras.classes import (
    belongs_to_keras,
    describe_layer,
    has_base,
    is_sequential,
    layer_base,
    layer_instance,
    loaded_layer_bases,
    package_of,
)
from keras_buildfix._keras.graphs import inbound_nodes
from keras_buildfix._keras.running import same_names, same_random_state
from keras_buildfix._keras.variables import dtype_of, shape_of
from keras_buildfix._tables import Table
from keras_buildfix._words import many
from keras_buildfix.inspection.calls import names_tensors, specs_of, zeros_for
from keras_buildfix.inspection.copies import copy_of
from keras_buildfix.inspection.recording import Call, Recorder, is_keras_own, recording, run_recorded, tensors_in
from keras_buildfix.inspection.state import layer_state
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree

#: The sizes of each tensor that a call gets, without the batch.
Sizes = tuple[Any, ...]


@dataclass(frozen=True)
class ReuseFinding:
    """One layer that a model shares between places, as ``check_reuse`` judges it.

    Attributes:
        level: ``"error"``: its weights can't serve these places. ``"warning"``: the statistics that it keeps are mixed.
            ``"info"``: the places share its weights, or it was used before.
        layer: The canonical name of the layer.
        cls: The name of its class.
        places: Where it is called: lines of the user's code, or its neighbour in a functional or sequential model.
        shapes: For each place, the shapes of the tensors that the layer gets there, with None for the batch.
        message: What is so, in words, and what to do.
    """

    level: str
    layer: str
    cls: str
    places: tuple[str, ...]
    shapes: tuple[tuple[tuple[int | None, ...], ...], ...]
    message: str


@dataclass(frozen=True)
class ReuseReport(Table):
    """The layers that a model shares between places. Prints as a table.

    Attributes:
        model: The model's name.
        findings: The errors, then the warnings, then the information, each in the order of the calls.
    """

    model: str
    findings: tuple[ReuseFinding, ...] = ()

    @property
    def errors(self) -> tuple[ReuseFinding, ...]:
        """The layers whose weights can't serve all their places."""
        return self._of("error")

    @property
    def warnings(self) -> tuple[ReuseFinding, ...]:
        """The layers that mix the statistics of their places."""
        return self._of("warning")

    @property
    def infos(self) -> tuple[ReuseFinding, ...]:
        """The layers whose weights are shared, or that were used before."""
        return self._of("info")

    def _of(self, level: str) -> tuple[ReuseFinding, ...]:
        return tuple(each for each in self.findings if each.level == level)

    def _rows(self) -> Sequence[Any]:
        return self.findings

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        headers = ("level", "layer", "class", "places", "shapes")
        return headers, [
            (each.level, each.layer, each.cls, "; ".join(each.places), "; ".join(map(_in_words, each.shapes)))
            for each in self.findings
        ]

    def _notes(self) -> Sequence[str]:
        if not self.findings:
            return [f"{self.model}: no layer with weights is shared"]
        return [f"{each.level}: {each.message}" for each in self.findings]


def check_reuse(model: Any, *inputs: Any, **kwargs: Any) -> ReuseReport:
    """Runs a model once and reports each layer with weights that it calls at several places, and whether that works.

    The result is the same on every Keras, where that Keras raises an error from deep inside, and where it accepts
    the call without a word:

    - An error: the weights of the layer have the sizes of one place, and another place needs others. Examples are
      one ``BatchNormalization`` at 6 and at 16 channels, and a layer that was built for another width before.
    - A warning: the places share what the layer keeps of its inputs, such as the moving mean of a
      ``BatchNormalization``. Each place gets the mean of all. Also a layer of your own that runs at both places, though
      its weights would have other sizes if it were built at the second, as a table of positions that is cut.
    - Information: the places share weights (``Dense``, ``Conv2D``, ``Embedding``), or the layer was built before the
      model was, or a functional model calls it and something else did too. A model made from inner tensors of another
      model shares that model's graph, which can't be told from one model.

    A layer without weights (pooling, activation, ``Dropout``) may be shared freely and is not reported. To learn which
    weights a place needs, we build a copy of the layer from its config there, and go on with the copy. A layer that
    can't be copied is judged by whether the call fails. As with ``trace_calls``, nothing of the model changes.

    Args:
        model: A layer or model; or a function without arguments that makes and returns one. A functional model with a
            conflict can't be made at all, so pass the function that makes it.
        *inputs: As for ``trace_calls``. A function that makes a functional model needs none.
        **kwargs: Arguments by keyword.

    Returns:
        A report that prints as a table. ``if report.errors`` asks for conflicts.

    Raises:
        TypeError: If `model` is not a Keras layer or a function that returns one.
        ValueError: If no inputs are given, and the model does not say which it takes.
        Exception: What the model raises for another reason.

    Examples:
        >>> import keras
        >>> from keras_buildfix import check_reuse
        >>> def make():
        ...     one = keras.layers.BatchNormalization(name="norm")
        ...     x = inputs = keras.Input((6,))
        ...     x = keras.layers.Dense(16)(one(x))
        ...     return keras.Model(inputs, one(x))
        >>> report = check_reuse(make)
        >>> [(each.layer, each.shapes) for each in report.errors]
        [('norm', (((None, 6),), ((None, 16),)))]

    Source: ``tests/inspection/test_reuse.py``, which the environments of the matrix run in turns.
    """
    checker = _Checker()
    if layer_base(type(model)) is None and callable(model) and not isinstance(model, type):
        model, found = _check_making(model, checker)
        if not inputs and not names_tensors(kwargs) and checker.was_called:
            return ReuseReport(str(model.name), found)
        checker = _Checker(known=found)
    layer_instance(model, "check_reuse")
    if not inputs and not names_tensors(kwargs):
        inputs = zeros_for(model, "check_reuse")
    _, error = run_recorded(
        model, inputs, kwargs, checker.end, wanted_by="check_reuse", before=checker.begin_run, after=checker.judge
    )
    if error is not None and not checker.stopped:
        raise error
    return ReuseReport(str(model.name), checker.report())


def _check_making(make: Callable[[], Any], checker: _Checker) -> tuple[Any, tuple[ReuseFinding, ...]]:
    """Calls a function that makes a model, and judges the calls of layers in it."""
    recorder = Recorder(on_end=checker.end)
    checker.begin_run(recorder)
    with contextlib.ExitStack() as blocks:
        for base in loaded_layer_bases():
            package = package_of(base.__module__) or ""
            blocks.enter_context(same_random_state(package))
            blocks.enter_context(same_names(package))
            blocks.enter_context(recording(base, recorder))
        try:
            model = make()
        except Exception:
            if not checker.stopped:
                raise
            model = None
    if model is not None:
        recorder.model = layer_instance(model, "check_reuse (what the function returned)")
        recorder.look_again()
    elif recorder.calls:
        model = recorder.calls[0].layer
    checker.judge(recorder)
    return model, checker.report()


@dataclass
class _Conflict:
    """A call for which a layer's weights have other sizes than they should."""

    first: str
    place: str
    shapes: tuple[Any, Any]
    why: str
    works: bool


@dataclass
class _Checker:
    """Watches the calls of one run. Where the weights of a layer do not fit, a copy of the layer is called."""

    known: tuple[ReuseFinding, ...] = ()
    stopped: bool = False
    was_called: bool = False
    good: dict[int, dict[Sizes, str]] = field(default_factory=dict)
    copies: dict[tuple[int, Sizes], Any] = field(default_factory=dict)
    conflicts: dict[int, list[_Conflict]] = field(default_factory=dict)
    shapes: dict[int, Any] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)
    findings: list[ReuseFinding] = field(default_factory=list)
    makers: dict[int, tuple[Any, str]] = field(default_factory=dict)

    def begin_run(self, recorder: Recorder) -> None:
        """Forgets the calls of the run before: that one only built the layers."""
        self.recorder = recorder
        self.conflicts, self.shapes, self.places, self.makers = {}, {}, {}, {}
        recorder.around = self.around

    def end(self, call: Call) -> None:
        """Notes which call made a tensor, to name a call's neighbour, and drops the tensors of this call."""
        for tensor in tensors_in(call.outputs):
            self.makers[id(tensor)] = tensor, call.name
        call.args, call.kwargs = (), {}

    def around(self, call: Call, do: Callable[[Any], Any]) -> Any:
        """Makes a call, with a copy of the layer if its weights do not fit."""
        layer, self.was_called = call.layer, True
        specs = specs_of((call.args, call.kwargs))
        self.shapes[call.number] = tuple((None, *shape[1:]) if shape else () for shape, _ in specs)
        self.places[call.number] = self._place(call)
        sizes = tuple(shape[1:] for shape, _ in specs)
        good = self.good.setdefault(id(layer), {})
        if sizes not in good and bool(getattr(layer, "built", False)):
            suspect = bool(good) or not _was_built_for(layer, sizes)
            if suspect and self._is_conflict(call, sizes, do):
                return self.copies[id(layer), sizes][1]
        try:
            result = self._plain(layer, do)
        except Exception as error:
            if self.stopped or sizes in good or not getattr(layer, "built", False):
                raise
            if self._is_conflict(call, sizes, do):
                return self.copies[id(layer), sizes][1]
            if good and _weights(layer):
                self._note(call, f"the call fails: {type(error).__name__}")
                self.stopped = True
            raise
        good.setdefault(sizes, self.places[call.number])
        return result

    def _plain(self, layer: Any, do: Callable[[Any], Any]) -> Any:
        """Calls the layer; what one of Keras's own layers calls inside is its own affair."""
        with self._paused() if is_keras_own(layer) else contextlib.nullcontext():
            return do(layer)

    @contextlib.contextmanager
    def _paused(self) -> Iterator[None]:
        self.recorder.paused = True
        try:
            yield
        finally:
            self.recorder.paused = False

    def _is_conflict(self, call: Call, sizes: Sizes, do: Callable[[Any], Any]) -> bool:
        """Whether a copy of the layer that is built by this call has weights of other shapes."""
        layer = call.layer
        weights = _weights(layer)
        if not weights:
            return False
        try:
            with self._paused():
                # A functional model wants names that differ.
                copied = copy_of(layer, f"{layer.name}_copy_{len(self.copies)}", "check_reuse")
                outputs = do(copied)
        except Exception:
            return False  # it can't be copied: then it is judged by its own call
        wanted = _weights(copied)
        if not wanted or wanted == weights:
            return False
        works, outputs = self._works_all_the_same(layer, do, outputs)
        self.copies[id(layer), sizes] = copied, outputs
        differ = [name for name in weights if weights[name] != wanted.get(name)] or list(wanted)
        shown = ", ".join(f"{name} is {weights.get(name)} and would be {wanted.get(name)}" for name in differ[:3])
        self._note(call, shown, works)
        return True

    def _works_all_the_same(self, layer: Any, do: Callable[[Any], Any], outputs: Any) -> tuple[bool, Any]:
        """Whether a layer that is wholly the user's returns the same shapes with its own weights; and the outputs.

        A table of positions for the longest input may be cut. Of Keras's own layers we know that it is a mistake, also
        where Keras 2 stretches a weight of size 1.
        """
        if next(base for base in type(layer).__mro__ if belongs_to_keras(base)) is not layer_base(type(layer)):
            return False, outputs
        try:
            own = self._plain(layer, do)
        except Exception:
            return False, outputs
        works = specs_of(own) == specs_of(outputs)
        return works, own if works else outputs

    def _note(self, call: Call, why: str, works: bool = False) -> None:
        good = self.good[id(call.layer)]
        if good:
            sizes, first = next(iter(good.items()))
            shapes: Any = tuple((None, *size) for size in sizes)
        else:
            rank = len(self.shapes[call.number][0]) if self.shapes[call.number] else 0
            first, shapes = "where it was built before", _built_shapes(call.layer, rank)
        conflict = _Conflict(first, self.places[call.number], (shapes, self.shapes[call.number]), why, works)
        self.conflicts.setdefault(id(call.layer), []).append(conflict)

    def _place(self, call: Call) -> str:
        if call.source is not None:
            return call.source
        made = [self.makers[id(tensor)][1] for tensor in tensors_in(call.args) if id(tensor) in self.makers]
        parent = self.recorder.calls[call.parent].name if call.parent is not None else ""
        return f"in {parent!r}, " + (f"after {made[0]!r}" if made else "at its inputs")

    def judge(self, recorder: Recorder) -> None:
        """Makes the findings, while the layers are as the run has left them."""
        by_layer: dict[int, list[Call]] = {}
        for call in recorder.calls:
            by_layer.setdefault(id(call.layer), []).append(call)
        nodes = {} if recorder.model is None else {id(node.layer): node for node in recorder.tree().nodes()}
        for key, calls in by_layer.items():
            if key in self.conflicts:
                self.findings += [self._error(calls[0], each) for each in self.conflicts[key]]
            elif len(calls) > 1 and not _is_shared_with_parent(calls, by_layer, recorder.calls):
                self.findings += self._shared(calls, nodes.get(key) or weight_tree(calls[0].layer))
        if recorder.model is not None:
            self.findings += _used_before(recorder, by_layer, recorder.tree())
        self.makers, self.copies = {}, {}

    def report(self) -> tuple[ReuseFinding, ...]:
        """All findings, errors first. What a function that made the model led to comes with the rest, once."""
        seen = {(each.layer, each.level) for each in self.findings}
        found = [*(each for each in self.known if (each.layer, each.level) not in seen), *self.findings]
        return tuple(sorted(found, key=lambda each: ("error", "warning", "info").index(each.level)))

    def _error(self, call: Call, conflict: _Conflict) -> ReuseFinding:
        first, second = map(_in_words, conflict.shapes)
        where = f"gets {first} {_at(conflict.first)}"
        if conflict.first.startswith("where"):
            where = f"was built before, for {first}," if conflict.shapes[0] else "was built before, for another shape,"
        level, what = "error", "its weights can't serve both"
        if conflict.works:
            level, what = "warning", "its call works, but its weights have the sizes of one place"
        message = (
            f"{describe_layer(call.layer)} {where} and gets {second} {_at(conflict.place)}, and {what}: "
            f"{conflict.why}. Make one instance for each place: keras_buildfix.independent_copies(layer, 2)."
        )
        places = conflict.first, conflict.place
        return ReuseFinding(level, call.name, type(call.layer).__name__, places, conflict.shapes, message)

    def _shared(self, calls: list[Call], node: LayerNode) -> list[ReuseFinding]:
        if not any(each.own for each in node.nodes()):
            return []
        counted = Counter(self.places[call.number] for call in calls)
        places = tuple(place if count == 1 else f"{place} ({count} times)" for place, count in counted.items())
        last = {self.places[call.number]: self.shapes[call.number] for call in reversed(calls)}
        shapes = tuple(last[place] for place in counted)
        described = describe_layer(calls[0].layer)
        kept = next(filter(None, map(_statistics, node.nodes())), None)
        if kept is not None:
            level = "warning"
            message = (
                f"{described} is called {many(len(calls), 'time')}, and keeps statistics of its inputs ({kept}): those "
                f"of all its places are mixed. If they differ, make one instance for each place: "
                f"keras_buildfix.independent_copies(layer, {len(calls)})."
            )
        else:
            level = "info"
            message = f"{described} is called {many(len(calls), 'time')}: these places share its weights."
        return [ReuseFinding(level, calls[0].name, type(calls[0].layer).__name__, places, shapes, message)]


def _is_shared_with_parent(calls: list[Call], by_layer: dict[int, list[Call]], every: list[Call]) -> bool:
    """Whether a layer is called several times only because the layer around it is: then that one is reported."""
    parents = [every[call.parent] for call in calls if call.parent is not None]
    layers = {id(parent.layer) for parent in parents}
    if len(parents) != len(calls) or len(layers) != 1 or len({parent.number for parent in parents}) != len(calls):
        return False
    return len(by_layer[layers.pop()]) > 1


def _used_before(recorder: Recorder, by_layer: dict[int, list[Call]], root: LayerNode) -> list[ReuseFinding]:
    """The layers that were built before their model was, or that something outside of a functional model calls too."""
    found = []
    waiting = [root]
    is_new = not recorder.built.get(id(root.layer), (True, False))[0]
    while waiting:
        node = waiting.pop(0)
        calls = by_layer.get(id(node.layer), [])
        why = None
        if node is not root and calls and any(each.own for each in node.nodes()):
            if is_new and recorder.built.get(id(node.layer), (False, False))[0]:
                why = "was built before this model was: something else may use it too"
            elif _is_called_elsewhere(node.layer, calls, recorder.calls):
                why = "was called outside of this model too: they share its weights"
        if why is not None:
            message = f"{describe_layer(node.layer)} {why}."
            found.append(ReuseFinding("info", calls[0].name, type(node.layer).__name__, (), (), message))
        else:
            waiting.extend(node.children)
    return found


def _is_called_elsewhere(layer: Any, calls: list[Call], every: list[Call]) -> bool:
    """Whether a layer has more symbolic calls than the functional model that calls it makes."""
    parents = {every[call.parent].number: every[call.parent].layer for call in calls if call.parent is not None}
    if len(parents) != 1:
        return False
    parent = next(iter(parents.values()))
    if not has_base(type(parent), "Functional") or is_sequential(parent):
        return False  # Keras 3 calls the layers of a sequential model again whenever one is added
    return len(inbound_nodes(layer)) > len(calls)


def _weights(layer: Any) -> dict[str, tuple[int | None, ...]]:
    """Name -> shape of the weights for which a layer itself answers: those inside too if Keras wrote it."""
    node = weight_tree(layer)
    if is_keras_own(layer):
        return {name: shape_of(variable) for name, variable in node.weights().items()}
    return {name: shape_of(variable) for name, variable in node.own}


def _statistics(node: LayerNode) -> str | None:
    """The names of what a layer keeps of its inputs, such as a moving mean; None if it keeps nothing.

    ``layer_state`` finds it by trial. A frozen ``BatchNormalization`` keeps the statistics that it has.
    """
    names = [name for name, variable in node.non_trainable if "float" in dtype_of(variable)]
    if has_base(type(node.layer), "BatchNormalization"):
        return ", ".join(names) if node.layer.trainable else None
    if not node.non_trainable:
        return None
    state = layer_state(node.layer)
    return ", ".join(state.statistics if state.tried else names) or None


def _built_shapes(layer: Any, rank: int) -> tuple[tuple[int | None, ...], ...]:
    """The shape for which a layer was built, if Keras notes a single one; else nothing.

    Keras 2 does not note it if a user calls ``build`` of a built-in; then ``input_spec`` has the sizes that matter.
    """
    with contextlib.suppress(Exception):
        config = layer.get_build_config() or {}
        (shape,) = (config.get("shapes_dict") or config).values()
        return (tuple(None if size is None else int(size) for size in shape),)
    with contextlib.suppress(Exception):
        sizes: list[int | None] = [None] * rank
        for axis, size in layer.input_spec.axes.items():
            sizes[axis] = int(size)
        return (tuple(sizes),) if any(sizes) else ()
    return ()


def _was_built_for(layer: Any, sizes: Sizes) -> bool:
    """Whether a layer was built for tensors of these sizes, as far as is known; if not, a copy tells."""
    if len(sizes) != 1:
        return True
    noted = _built_shapes(layer, len(sizes[0]) + 1)
    if not noted:
        return False
    built = noted[0][1:]
    return len(built) == len(sizes[0]) and all(one in (None, other) for one, other in zip(built, sizes[0]))


def _at(place: str) -> str:
    return place if place.startswith("in ") else f"at {place}"


def _in_words(shapes: Any) -> str:
    return ", ".join(map(str, shapes)) or "-"
