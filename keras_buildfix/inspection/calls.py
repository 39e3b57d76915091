"""Shows which layers a model calls: how often, from which line, with which shapes and dtypes, and who built them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_buildfix._arrays import dtype_name
from keras_buildfix._keras.classes import (
    belongs_to_keras,
    describe_layer,
    has_base,
    is_functional,
    is_model,
    is_sequential,
    layer_base,
    layer_instance,
)
from keras_buildfix._keras.variables import shape_of
from keras_buildfix._structures import map_structure
from keras_buildfix._tables import Table
from keras_buildfix._words import many
from keras_buildfix.inspection.recording import Call, Recorder, run_recorded, tensors_in
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer, as ``trace_calls`` saw it.

    Attributes:
        layer: The canonical name of the layer, such as ``"encoder/dense"``; the model's own name for the model.
        cls: The name of its class.
        number: 0, 1 and so on, in the order in which the calls begin.
        depth: 0 for the model, 1 for what its ``call`` calls, and so on.
        parent: The number of the call that makes this one; None for the model.
        source: The line of the user's code that makes the call, such as ``"model.py:12"``; None where Keras makes it:
            inside a functional or sequential model, or in one of Keras's own layers.
        inputs: The shape and dtype of each tensor that the layer gets, by position and then by keyword.
        outputs: The same of each tensor that it returns.
        parameters: How many numbers are in the weights of the layer and of the layers in it.
        trainable: The layer's flag ``trainable``.
        policy: The name of its dtype policy, such as ``"mixed_float16"``.
        built_by: What makes its own weights: ``"build"``, its method; ``"__init__"``; ``"its layers"`` if it has none
            and the layers in it do; ``"not needed"`` if there are none in it either.
        built: Whether it was built before the trace.
        shared: How many times the trace calls this layer.
    """

    layer: str
    cls: str
    number: int
    depth: int
    parent: int | None
    source: str | None
    inputs: tuple[tuple[tuple[int, ...], str], ...]
    outputs: tuple[tuple[tuple[int, ...], str], ...]
    parameters: int
    trainable: bool
    policy: str
    built_by: str
    built: bool
    shared: int


@dataclass(frozen=True)
class CallTrace(Table):
    """The calls of layers in one run of a model. Prints as a table.

    Attributes:
        model: The model's name.
        calls: A row for each call, in the order in which the calls begin. The first is the model's.
        not_called: Names of the layers in the model that the run did not call. What is inside one of Keras's own
            layers does not count.
    """

    model: str
    calls: tuple[LayerCall, ...]
    not_called: tuple[str, ...] = ()

    def of(self, layer: str) -> tuple[LayerCall, ...]:
        """The calls of the layer with this name."""
        return tuple(call for call in self.calls if call.layer == layer)

    def _rows(self) -> Sequence[Any]:
        return self.calls

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        headers = ("layer", "class", " calls", "from", "in", "out", " parameters", "trainable", "policy", "built by")
        return headers, [
            (
                "  " * call.depth + call.layer,
                call.cls,
                str(call.shared),
                call.source or "-",
                in_short(call.inputs),
                in_short(call.outputs),
                f"{call.parameters:,}",
                "yes" if call.trainable else "no",
                call.policy,
                call.built_by if call.built else f"{call.built_by}, here",
            )
            for call in self.calls
        ]

    def _notes(self) -> Sequence[str]:
        times = {call.layer: call.shared for call in self.calls if call.shared > 1}
        notes = [f"called {count} times: {name}" for name, count in times.items()]
        notes += [f"never called: {name}" for name in self.not_called]
        return [f"{many(len(self.calls), 'call')} of {many(len({call.layer for call in self.calls}), 'layer')}", *notes]


def trace_calls(model: Any, *inputs: Any, **kwargs: Any) -> CallTrace:
    """Runs a model once and lists which layer is called from which line, with which shapes, dtypes and weights.

    The run is eager, also through ``tf.function``, ``jax.jit`` and ``torch.compile``, and in inference. It changes
    nothing: weights, what is built, attributes, names that Keras will make up, random state and compiled functions
    are as before, also if the model raises. What other objects of yours hold, such as a counter in a helper that a
    layer has, is not restored. A model that is not built is built for the run only.

    What one of Keras's own layers calls inside (the cell of an ``LSTM``) is listed as this Keras does it, and differs
    between Keras versions. The rest is the same on every Keras.

    Args:
        model: A layer or model.
        *inputs: What to call it with: arrays or tensors of any backend, lists or dicts of them. A functional or
            sequential model that is built needs none: it gets zeros, 2 for the batch and 32 for other unknown sizes.
        **kwargs: Arguments by keyword. ``training`` is False if it is not given.

    Returns:
        A table with a row for each call.

    Raises:
        TypeError: If `model` is not a Keras layer.
        ValueError: If no inputs are given, and the model does not say which it takes.
        Exception: What the model raises on these inputs.

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import trace_calls
        >>> model = keras.Sequential([keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")])
        >>> trace = trace_calls(model, np.zeros((1, 4), "float32"))
        >>> [(call.layer, call.outputs, call.parameters) for call in trace.calls[1:]]
        [('a', (((1, 3), 'float32'),), 15), ('b', (((1, 2), 'float32'),), 8)]
        >>> model.built
        False

    Source: ``tests/inspection/test_calls.py``, which the environments of the matrix run in turns.
    """
    made = None
    if not inputs and not names_tensors(kwargs):
        inputs = made = zeros_for(layer_instance(model, "trace_calls"), "trace_calls")
    tracer = _Tracer()
    recorder, error = run_recorded(
        model, inputs, kwargs, tracer.end, wanted_by="trace_calls", after=tracer.describe_layers
    )
    if error is not None and made is not None:
        shapes = ", ".join(str(shape) for shape, _ in specs_of(made))
        raise ValueError(
            f"{describe_layer(model)} does not run on the zeros that trace_calls made for it, of shape {shapes}: "
            f"{type(error).__name__}: {error}\nPass inputs: trace_calls(model, x)."
        ) from error
    if error is not None:
        raise error
    return CallTrace(str(model.name), tuple(map(tracer.row, recorder.calls)), tracer.not_called)


def names_tensors(kwargs: dict[str, Any]) -> bool:
    """Whether some keywords hold inputs."""
    return bool(tensors_in(kwargs))


def zeros_for(model: Any, wanted_by: str) -> tuple[Any, ...]:
    """The arguments with which a functional or sequential model runs: zeros of the shapes and dtypes it was made for.

    Raises:
        ValueError: If the model does not say its input shapes.
    """
    import numpy as np

    given = None
    try:
        if is_functional(model):
            given = model.input  # nested as the model was made
        elif is_sequential(model) and model.built:
            given = model.inputs[0]
    except (AttributeError, TypeError, ValueError, IndexError):
        pass  # it is not built
    if given is None:
        why = "is not built" if not model.built else "does not say which inputs it takes"
        raise ValueError(
            f"{wanted_by} needs inputs: {describe_layer(model)} {why}. "
            f"Pass what you call it with, such as {wanted_by}(model, numpy.zeros((1, 4), 'float32'))."
        )

    def zeros(tensor: Any) -> Any:
        dtype = dtype_name(tensor.dtype)
        sizes = [size or (2 if at == 0 else 32) for at, size in enumerate(tuple(tensor.shape))]
        try:
            return np.zeros(sizes, "float32" if dtype == "bfloat16" else dtype)
        except TypeError:
            raise ValueError(
                f"{wanted_by} can't make inputs for {describe_layer(model)}, which takes {dtype}: pass them."
            ) from None

    return (map_structure(zeros, given),)


def specs_of(structure: Any) -> tuple[tuple[tuple[int, ...], str], ...]:
    """The shape and dtype of each tensor in a structure."""
    return tuple((tuple(tensor.shape), dtype_name(tensor.dtype)) for tensor in tensors_in(structure))


def in_short(specs: Sequence[tuple[tuple[int, ...], str]]) -> str:
    """Shapes and dtypes as a short text: ``(2, 4) float32``; a dtype is there once if all have the same."""
    dtypes = {dtype for _, dtype in specs}
    if len(dtypes) != 1:
        return ", ".join(f"{shape} {dtype}" for shape, dtype in specs) or "-"
    return ", ".join(str(shape) for shape, _ in specs) + f" {dtypes.pop()}"


@dataclass(frozen=True)
class _AboutLayer:
    """What the rows of one layer have in common."""

    cls: str
    parameters: int
    trainable: bool
    policy: str
    built_by: str
    built: bool


@dataclass
class _Tracer:
    """Notes the shapes of each call when it ends, and what there is to say of the layers before they are put back."""

    specs: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    times: Counter[int] = field(default_factory=Counter)
    about: dict[int, _AboutLayer] = field(default_factory=dict)
    not_called: tuple[str, ...] = ()

    def end(self, call: Call) -> None:
        """Notes the shapes, and drops the tensors: a large model has many."""
        self.specs[call.number] = specs_of((call.args, call.kwargs)), specs_of(call.outputs)
        call.args, call.kwargs = (), {}

    def describe_layers(self, recorder: Recorder) -> None:
        """Describes each layer that was called, and finds those that were not."""
        self.times.update(id(call.layer) for call in recorder.calls)
        nodes = {id(node.layer): node for node in recorder.tree().nodes()}
        for call in recorder.calls:
            layer = call.layer
            if id(layer) not in self.about:
                node = nodes.get(id(layer)) or weight_tree(layer)
                built, early = recorder.built.get(id(layer), (False, False))
                self.about[id(layer)] = _AboutLayer(
                    type(layer).__name__,
                    _parameters(node, nodes),
                    bool(layer.trainable),
                    str(getattr(getattr(layer, "dtype_policy", None), "name", "")),
                    _built_by(node, early),
                    built,
                )
        self.not_called = tuple(self._uncalled(nodes[id(recorder.model)]))

    def _uncalled(self, node: LayerNode) -> list[str]:
        """Names of the layers below a node that were not called, as far as users decide about it."""
        found: list[str] = []
        if belongs_to_keras(type(node.layer)) and not is_model(node.layer):
            return found
        for child in node.children:
            if layer_base(type(child.layer)) is not None and not has_base(type(child.layer), "InputLayer"):
                if id(child.layer) in self.times:
                    found += self._uncalled(child)
                else:
                    found.append("/".join(child.path))
        return found

    def row(self, call: Call) -> LayerCall:
        """The row of a call."""
        about, (inputs, outputs) = self.about[id(call.layer)], self.specs[call.number]
        return LayerCall(
            call.name,
            about.cls,
            call.number,
            call.depth,
            call.parent,
            call.source,
            inputs,
            outputs,
            about.parameters,
            about.trainable,
            about.policy,
            about.built_by,
            about.built,
            self.times[id(call.layer)],
        )


def _parameters(node: LayerNode, nodes: dict[int, LayerNode]) -> int:
    """How many numbers are in a layer and the layers in it; a weight that is there twice counts once."""
    sizes: dict[int, int] = {}
    waiting, seen = [node], {id(node)}
    while waiting:
        each = waiting.pop()
        sizes.update({id(variable): math.prod(size or 0 for size in shape_of(variable)) for _, variable in each.own})
        for child in (nodes.get(id(layer)) for layer in each.held):
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)
    return sum(sizes.values())


def _built_by(node: LayerNode, early: bool) -> str:
    """What makes a layer's own weights. `early` says that it had some before it was built."""
    if not node.own:
        return "its layers" if any(each.own for each in node.nodes()) else "not needed"
    cls = type(node.layer)
    owner = next((base for base in cls.__mro__ if "build" in vars(base)), None)
    is_default = owner is None or (belongs_to_keras(owner) and owner.__name__ in ("Layer", "Model", "Functional"))
    return "__init__" if early or is_default else "build"
