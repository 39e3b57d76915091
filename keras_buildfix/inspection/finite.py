"""``check_finite``: the first layer, in call order, whose weights or output hold NaN or infinity."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from keras_buildfix._arrays import dtype_name
from keras_buildfix._keras.classes import describe_layer, layer_instance
from keras_buildfix._keras.tensors import as_array, has_value, is_finite, not_finite
from keras_buildfix._keras.variables import stored
from keras_buildfix._tables import Table
from keras_buildfix._words import many
from keras_buildfix.inspection.calls import zeros_for
from keras_buildfix.inspection.recording import Call, Recorder, run_recorded, tensors_in
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree


@dataclass(frozen=True)
class NotFinite:
    """An array with NaN or infinity in it.

    Attributes:
        kind: ``"input"`` of the model, ``"weight"`` or ``"output"`` of a layer, or ``"loss"`` (from ``ModelWatch``).
        layer: The layer's canonical name; the model's name for an input.
        cls: The layer's class.
        name: The weight's canonical name; for an input and an output its place, such as ``"[0]"`` or ``"['main']"``;
            empty for an output that is the only one.
        shape: The array's shape.
        dtype: Its dtype.
        nan: How many numbers are NaN.
        inf: How many are infinite.
        size: How many there are.
        first_index: The index of the first that is not finite.
        source: The line of the user's code that calls the layer; None if there is none, as in a functional model.
    """

    kind: Literal["input", "weight", "output", "loss"]
    layer: str
    cls: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    nan: int
    inf: int
    size: int
    first_index: tuple[int, ...]
    source: str | None = None

    def __str__(self) -> str:
        what = {
            "input": f"the input {self.name} of the model {self.layer!r}",
            "weight": f"the weight {self.name!r} of the layer {self.layer!r} ({self.cls})",
            "loss": f"the loss of the model {self.layer!r}",
            "output": f"the output {self.name + ' ' if self.name else ''}of the layer {self.layer!r} ({self.cls})",
        }[self.kind]
        place = f", called in {self.source}" if self.source else ""
        return f"{what} has {self.nan} NaN and {self.inf} Inf in {many(self.size, 'number')}{place}"


@dataclass(frozen=True)
class FiniteReport(Table):
    """What ``check_finite`` found. Prints as a table.

    Attributes:
        model: The model's name.
        findings: The inputs that are not finite; then, in the order in which the layers run, weights and outputs; then
            weights of layers that were not called.
        checked: How many arrays were looked at.
    """

    model: str
    findings: tuple[NotFinite, ...]
    checked: int

    @property
    def ok(self) -> bool:
        """Whether all numbers are finite."""
        return not self.findings

    @property
    def first(self) -> NotFinite | None:
        """The first finding, from which the others may follow; None if there is none."""
        return self.findings[0] if self.findings else None

    def _rows(self) -> Sequence[NotFinite]:
        return self.findings

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        headers = ("layer", "class", "what", "shape", "dtype", " NaN", " Inf", " of", "first at", "called in")
        return headers, [
            (
                each.layer,
                each.cls,
                f"{each.kind} {each.name}".strip(),
                "x".join(map(str, each.shape)) or "-",
                each.dtype,
                str(each.nan),
                str(each.inf),
                str(each.size),
                ", ".join(map(str, each.first_index)) or "-",
                each.source or "",
            )
            for each in self.findings
        ]

    def _notes(self) -> Sequence[str]:
        if self.ok:
            return [f"all finite: {many(self.checked, 'array')} of {self.model!r}"]
        return [f"{len(self.findings)} of {many(self.checked, 'array')} not finite; the first: {self.first}"]


def check_finite(model: Any, *inputs: Any, **kwargs: Any) -> FiniteReport:
    """Finds the first layer, in the order in which layers run, whose weights or output hold NaN or infinity.

    The model runs once on the inputs, in inference and line by line, also what is under ``tf.function`` or jit.
    Afterwards its weights and all random numbers are as before. Whole numbers, bools and texts are not looked at.
    An infinity may be wanted, as in a mask before a softmax; then the layers after it are finite.

    Args:
        model: A layer or model.
        *inputs: What it is called with: arrays or tensors, or lists, tuples and dicts of them.
        **kwargs: Keyword arguments of its ``call``; ``training=True`` runs it as in training.

    Returns:
        A report with all findings in order: ``ok``, ``first``, ``findings``.

    Raises:
        TypeError: If `model` is not a Keras layer.
        RuntimeError: If a layer raises after something that is not finite: the message names that, the attribute
            ``report`` has all that was found, and the cause is the layer's own error.
        Exception: What a layer raises, if all was finite up to there.

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import check_finite, named_weights
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="a"), keras.layers.Dense(1)])
        >>> check_finite(model, np.ones((4, 3), "float32")).ok
        True
        >>> assigned = named_weights(model)["a/bias"].assign(np.array([1.0, float("nan")], "float32"))
        >>> print(check_finite(model, np.ones((4, 3), "float32")).first)
        the weight 'a/bias' of the layer 'a' (Dense) has 1 NaN and 0 Inf in 2 numbers

    Source: ``tf.debugging.enable_check_numerics`` exists on TensorFlow only and raises at the first operation;
    ``jax_debug_nans`` and torch's anomaly mode likewise on their backends.
    """
    layer_instance(model, "check_finite")
    if not inputs and not tensors_in(kwargs):
        inputs = zeros_for(model, "check_finite")
    search = _Search(model)
    given = [(f"[{at}]", value) for at, value in enumerate(inputs)] + list(kwargs.items())
    for place, value in given:
        for name, tensor in labelled(value, place):
            search.look("input", str(model.name), type(model).__name__, name, tensor, None, search.inputs)
    recorder, error = run_recorded(
        model, inputs, kwargs, search.ended, wanted_by="check_finite", after=search.put_in_order
    )
    report = FiniteReport(str(model.name), tuple(search.found), search.checked)
    if error is None:
        return report
    if report.ok:
        raise error
    raised = [call for call in recorder.calls if call.error is not None]
    who = describe_layer(raised[-1].layer) if raised else "the model"
    failure = RuntimeError(f"check_finite: {who} raised {type(error).__name__}: {error}\nBefore that, {report.first}.")
    failure.report = report  # type: ignore[attr-defined]
    raise failure from error


def labelled(structure: Any, label: str = "") -> Iterator[tuple[str, Any]]:
    """Each tensor or array in nested lists, tuples, dicts and dataclasses, with its place: ``"[0]['mask']"``."""
    if dataclasses.is_dataclass(structure) and not isinstance(structure, type):
        for field in dataclasses.fields(structure):
            yield from labelled(getattr(structure, field.name), f"{label}.{field.name}")
    elif isinstance(structure, dict):
        for key, value in structure.items():
            yield from labelled(value, f"{label}[{key!r}]")
    elif isinstance(structure, (list, tuple)):
        for at, value in enumerate(structure):
            yield from labelled(value, f"{label}[{at}]")
    elif hasattr(structure, "shape") and hasattr(structure, "dtype"):
        yield label, structure


class _Search:
    """Looks at arrays while a model runs, and puts what it found in order."""

    def __init__(self, model: Any) -> None:
        self.model, self.checked = model, 0
        self.inputs: list[NotFinite] = []
        self.outputs: dict[int, list[NotFinite]] = {}
        self.traced: set[int] = set()  # calls without values, as when Keras builds a model
        self.found: list[NotFinite] = []

    def look(
        self, kind: Any, layer: str, cls: str, name: str, tensor: Any, source: str | None, found: list[NotFinite]
    ) -> None:
        """Adds a finding to `found` if the tensor is not finite."""
        if not has_value(tensor):
            return
        self.checked += 1
        if is_finite(tensor):
            return
        dtype = dtype_name(getattr(tensor, "dtype", ""))
        array = as_array(stored(tensor))
        nan, inf, first = not_finite(array)
        found.append(NotFinite(kind, layer, cls, name, array.shape, dtype, nan, inf, array.size, first, source))

    def ended(self, call: Call) -> None:
        """Looks at the outputs of a call."""
        found = self.outputs.setdefault(call.number, [])
        outputs = list(labelled(call.outputs))
        if outputs and not any(has_value(tensor) for _, tensor in outputs):
            self.traced.add(call.number)
        for name, tensor in outputs:
            self.look("output", call.name, type(call.layer).__name__, name, tensor, call.source, found)

    def put_in_order(self, recorder: Recorder) -> None:
        """Looks at weights, and lists all findings: inputs, what the calls met, then weights of layers not called.

        It runs before the model is restored: one that was not built has weights now.
        """
        tree = weight_tree(self.model)
        owners: dict[int, LayerNode] = {id(node.layer): node for node in tree.nodes()}
        names, found, looked = tree.names(), list(self.inputs), set()

        def weights(node: LayerNode, source: str | None) -> None:
            layer = "/".join(node.path) or str(self.model.name)
            for _, variable in node.own:
                if id(variable) not in looked:
                    looked.add(id(variable))
                    cls = type(node.layer).__name__
                    self.look("weight", layer, cls, names[id(variable)], variable, source, found)

        for call, begins in in_time(recorder.calls):
            if not begins:
                found += self.outputs.get(call.number, [])
            elif id(call.layer) in owners and call.number not in self.traced:
                weights(owners[id(call.layer)], call.source)
        for node in tree.nodes():
            weights(node, None)
        self.found = found


def in_time(calls: Sequence[Call]) -> Iterator[tuple[Call, bool]]:
    """Each call twice, when it begins (True) and when it ends (False), in the order in which that happens."""
    running: list[Call] = []
    for call in calls:
        while running and running[-1].number != call.parent:
            yield running.pop(), False
        running.append(call)
        yield call, True
    while running:
        yield running.pop(), False
