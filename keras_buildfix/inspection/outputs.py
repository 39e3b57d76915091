"""``intermediate_outputs``: what the layers inside a model return, by name."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from typing import Any

from keras_buildfix._keras.classes import describe, describe_layer, layer_base, layer_instance
from keras_buildfix._keras.tensors import has_value
from keras_buildfix._structures import map_structure
from keras_buildfix._words import SHOWN, nearest_names
from keras_buildfix.inspection.calls import zeros_for
from keras_buildfix.inspection.recording import Call, record_calls, tensors_in
from keras_buildfix.layer_tree.tree import weight_tree


def intermediate_outputs(model: Any, names: Any, *inputs: Any, **kwargs: Any) -> dict[str, Any]:
    """Runs a model once and returns what layers inside it return, by the layers' names.

    It works for functional, sequential and subclassed models and for models in models. The model runs in inference and
    line by line, also what is under ``tf.function`` or jit. Afterwards its weights and all random numbers are as
    before.

    Args:
        model: A layer or model.
        names: Which layers: a canonical name as in ``named_weights`` (``"encoder/dense"``), a glob (``"encoder/*"``;
            ``*`` also matches a ``/``), a compiled regular expression, a layer, or a list of these. The model's own
            name is its last output.
        *inputs: What the model is called with: arrays or tensors, or lists, tuples and dicts of them.
        **kwargs: Keyword arguments of its ``call``.

    Returns:
        Canonical name -> output, in the order in which the layers are called first. The output is what the layer
        returned, with tensors of the backend. For a layer that is called more than once it is a list with an item for
        each call.

    Raises:
        TypeError: If `model` is not a Keras layer, or `names` holds something else.
        ValueError: If a name matches no layer, before anything runs; if no layer that it matches was called; or if
            such a layer runs only while a function is traced.

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import intermediate_outputs
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="a"), keras.layers.Dense(1)])
        >>> found = intermediate_outputs(model, "a", np.ones((4, 3), "float32"))
        >>> {name: tuple(output.shape) for name, output in found.items()}
        {'a': (4, 2)}

    Source: the way in Keras's guides, a second ``keras.Model`` to ``layer.output``, needs a functional model.
    """
    wanted = _wanted(layer_instance(model, "intermediate_outputs"), names)
    if not inputs and not tensors_in(kwargs):
        inputs = zeros_for(model, "intermediate_outputs")
    every = {key for keys in wanted.values() for key in keys}
    found: dict[int, list[tuple[Call, Any]]] = {}

    def keep(call: Call) -> None:
        if id(call.layer) in every and call.error is None and all(map(has_value, tensors_in(call.outputs))):
            found.setdefault(id(call.layer), []).append((call, map_structure(_own_copy, call.outputs)))

    calls = record_calls(model, inputs, kwargs, on_end=keep, wanted_by="intermediate_outputs")
    _refuse_traced(calls, every, {call.number for kept in found.values() for call, _ in kept})
    for name, keys in wanted.items():
        if not any(key in found for key in keys):
            raise ValueError(
                f"intermediate_outputs: {name} was not called when {describe_layer(model)} ran on these inputs."
            )
    ordered = sorted(found.values(), key=lambda calls: calls[0][0].number)
    return {calls[0][0].name: calls[0][1] if len(calls) == 1 else [output for _, output in calls] for calls in ordered}


def _refuse_traced(calls: list[Call], wanted: set[int], kept: set[int]) -> None:
    """Raises if a wanted layer was called while a function is traced; not if Keras traced the model to build it."""
    building: set[int] = set()  # the calls inside a call with Keras's symbolic tensors
    for call in calls:
        if call.parent in building or not all(map(has_value, tensors_in([call.args, call.kwargs]))):
            symbolic = any(type(each).__name__ == "KerasTensor" for each in tensors_in([call.args, call.kwargs]))
            if symbolic or call.parent in building:
                building.add(call.number)
            elif id(call.layer) in wanted and call.number not in kept:
                raise ValueError(
                    f"intermediate_outputs: {describe_layer(call.layer)} runs while a function is traced, as in vmap "
                    "or tf.map_fn, where its output has no value. Take the output of the layer around it."
                )


def _own_copy(tensor: Any) -> Any:
    """A tensor that stays as it is when the model goes on: torch and numpy can change theirs in place, by ``+=``."""
    if hasattr(tensor, "detach"):
        return tensor.detach().clone()
    return tensor.copy() if type(tensor).__module__ == "numpy" else tensor


def _wanted(model: Any, names: Any) -> dict[str, set[int]]:
    """The ``id`` of each layer that a part of `names` means, by this part in words."""
    paths = {id(node.layer): "/".join(node.path) or str(model.name) for node in weight_tree(model).nodes()}
    wanted: dict[str, set[int]] = {}
    for part in _parts(names):
        if isinstance(part, str):
            keys = {key for key, path in paths.items() if path == part}
            if not keys:
                glob = re.compile(fnmatch.translate(part))
                keys = {key for key, path in paths.items() if key != id(model) and glob.match(path)}
            wanted[f"the layer {part!r}"] = keys
            if not keys:
                near = nearest_names([part], paths.values()).get(part, ())
                names_there = sorted(path for key, path in paths.items() if key != id(model))
                shown = ", ".join(near or names_there[:SHOWN])
                hint = f" {'The nearest' if near else 'There are'}: {shown}." if shown else ""
                raise ValueError(f"intermediate_outputs: nothing in {describe_layer(model)} is called {part!r}.{hint}")
        elif isinstance(part, re.Pattern):
            keys = {key for key, path in paths.items() if key != id(model) and part.search(path)}
            wanted[f"a layer that {part.pattern!r} matches"] = keys
            if not keys:
                raise ValueError(
                    f"intermediate_outputs: the regular expression {part.pattern!r} matches no layer in "
                    f"{describe_layer(model)}."
                )
        elif layer_base(type(part)) is not None:
            if id(part) not in paths:
                raise ValueError(f"intermediate_outputs: {describe_layer(part)} is not in {describe_layer(model)}.")
            wanted[describe_layer(part)] = {id(part)}
        else:
            raise TypeError(
                "intermediate_outputs: `names` is a name, a glob, a compiled regular expression, a layer, or a list of "
                f"these; got {describe(part)}. The inputs of the model come after it."
            )
    if not wanted:
        raise ValueError(f"intermediate_outputs: `names` is empty: {names!r}. '*' means every layer.")
    return wanted


def _parts(names: Any) -> Iterator[Any]:
    if isinstance(names, (list, tuple, set, frozenset)):
        for part in names:
            yield from _parts(part)
    else:
        yield names
