"""The signature of an exported model: the names, shapes and dtypes of its inputs, and a function for them."""

from __future__ import annotations

import inspect
import keyword
import re
import sys
from collections.abc import Iterator
from typing import Any

from keras_buildfix._keras.classes import (
    describe_layer,
    has_base,
    is_functional,
    is_model,
    is_sequential,
    layer_instance,
)
from keras_buildfix._keras.graphs import not_for_autograph
from keras_buildfix._keras.info import keras_info
from keras_buildfix._keywords import NOT_GIVEN
from keras_buildfix._structures import map_structure
from keras_buildfix._words import short

#: The names that Keras makes up for an input: ``input_1`` (Keras 2), ``keras_tensor_3``, ``input_layer_2``.
_MADE_UP = re.compile(r"(input|input_layer|keras_tensor)(_\d+)?")
#: In a Sequential, Keras 2 makes up one after the first layer: ``dense_input``.
_MADE_UP_IN_SEQUENTIAL = re.compile(rf"{_MADE_UP.pattern}|.*_input(_\d+)?")

Signature = dict[str, Any]


def check_can_export(model: Any, wanted_by: str) -> Any:
    """Returns TensorFlow, if a layer can be exported at all.

    Raises:
        TypeError: If `model` is not a Keras layer.
        ValueError: If its backend is not TensorFlow, or it is not built.
    """
    layer_instance(model, wanted_by)
    info = keras_info(model)
    if info.backend != "tensorflow":
        raise ValueError(
            f"{wanted_by}: {describe_layer(model)} runs on {info.backend} ({info}), and only TensorFlow can write it. "
            "Save it with model.save('model.keras'), load that in a process with KERAS_BACKEND=tensorflow, and export "
            "it there. Nothing was written."
        )
    if not model.built:
        raise ValueError(
            f"{wanted_by}: {describe_layer(model)} is not built, so it has no weights to export. Call it on data "
            "first, or load its weights. Nothing was written."
        )
    return sys.modules["tensorflow"]


def traced(model: Any, inputs: Any, batch_size: Any, tf: Any, wanted_by: str) -> tuple[Any, Signature, Signature]:
    """Traces the inference of a model.

    Returns:
        A concrete TensorFlow function with named inputs and outputs, and the specs of both.
    """
    given = _inputs_of(model, wanted_by) if inputs is None else inputs
    specs, structure = _input_specs(model, given, batch_size, tf, wanted_by)
    training = {"training": False} if "training" in inspect.signature(model.call).parameters else {}
    before = len(model.weights)

    def serve(**tensors: Any) -> dict[str, Any]:
        outputs = model(map_structure(tensors.__getitem__, structure), **training)
        return _named_outputs(model, outputs, tf, wanted_by)

    not_for_autograph(serve)  # the code that it calls is converted as in ``predict``
    try:
        function = tf.function(serve).get_concrete_function(**specs)
    except Exception as error:
        if str(error).startswith(wanted_by):
            raise
        shapes = ", ".join(f"{name} {tuple(spec.shape)} {spec.dtype.name}" for name, spec in specs.items())
        raise ValueError(
            f"{wanted_by}: TensorFlow can't trace {describe_layer(model)} ({keras_info(model)}) for the inputs "
            f"{shapes}: {type(error).__name__}: {error}\nNothing was written."
        ) from error
    if len(model.weights) != before:
        raise ValueError(
            f"{wanted_by}: {describe_layer(model)} made {len(model.weights) - before} new weights while it was "
            "traced: layers in it were not built. Call it on data, load the weights, and export then. Nothing was "
            "written."
        )
    return function, specs, dict(function.structured_outputs)


def _inputs_of(model: Any, wanted_by: str) -> Any:
    """The symbolic inputs that a functional or sequential model was made with, in their structure."""
    found = None
    if is_functional(model):
        found = model.input
    elif is_sequential(model):
        found = getattr(model, "inputs", None)
        found = found[0] if found and len(found) == 1 else found
    if found is None or (isinstance(found, (list, tuple, dict)) and not found):
        raise ValueError(
            f"{wanted_by}: {describe_layer(model)} does not say the shapes and dtypes of its inputs: it is "
            f"{'no functional model' if is_model(model) else 'a layer'}. Pass inputs=: a batch of data, or "
            "keras.Input tensors. Nothing was written."
        )
    return found


def _input_specs(model: Any, inputs: Any, batch_size: Any, tf: Any, wanted_by: str) -> tuple[Signature, Any]:
    """The spec of each input by name; and the structure that the model takes, with these names in it."""
    specs: Signature = {}
    for at, (path, tensor) in enumerate(_leaves(inputs)):
        if not hasattr(tensor, "shape") or not hasattr(tensor, "dtype"):
            raise TypeError(
                f"{wanted_by}: inputs= takes arrays, tensors or keras.Input tensors, in the structure in which the "
                f"model takes them; got {short(tensor)}."
            )
        spec = getattr(tensor, "type_spec", None)  # Keras 2
        if getattr(tensor, "sparse", False) or "Sparse" in type(spec).__name__ or "Ragged" in type(spec).__name__:
            raise ValueError(f"{wanted_by}: input {at} of {describe_layer(model)} is sparse or ragged, not dense.")
        name = _input_name(model, path, at, tensor)
        if name in specs:
            raise ValueError(f"{wanted_by}: {describe_layer(model)} has two inputs with the name {name!r}.")
        specs[name] = _spec(tensor, _declared_dtype(model, tensor), name, batch_size, tf)
    names = iter(list(specs))
    return specs, map_structure(lambda tensor: next(names), inputs)


def _declared_dtype(model: Any, tensor: Any) -> Any:
    """The dtype of an input as it was declared.

    Measured: on Keras 3.0 and 3.2 a layer that is called on a ``keras.Input`` of another floating dtype changes that
    one's dtype. On 3.9 and 3.15 a ``Sequential`` without an ``Input`` has one in the dtype of its first layer.
    """
    dtype = tensor.dtype
    if hasattr(tensor, "type_spec") or hasattr(tensor, "numpy") or not is_model(model):  # Keras 2, data, a layer
        return dtype
    for layer in model.layers:
        if has_base(type(layer), "InputLayer") and layer.output is tensor:
            return layer.dtype
    if is_sequential(model) and dtype in ("float16", "bfloat16") and model.layers[0].compute_dtype == dtype:
        return "float32"  # the first layer casts it
    return dtype


def _spec(tensor: Any, declared: Any, name: str, batch_size: Any, tf: Any) -> Any:
    """The spec of an input. Data says nothing of the batch size, and float64 is only what numpy makes by itself."""
    shape, dtype = list(tensor.shape), tf.as_dtype(declared)
    is_data = isinstance(getattr(tensor, "nbytes", None), int) or type(tensor).__name__ == "EagerTensor"
    if shape and (is_data or batch_size is not NOT_GIVEN):
        shape[0] = None if batch_size is NOT_GIVEN else batch_size
    if is_data and dtype == tf.float64:
        dtype = tf.float32
    return tf.TensorSpec(shape, dtype, name=name)


def _input_name(model: Any, path: tuple[Any, ...], at: int, tensor: Any) -> str:
    """The name of an input: its key in a dict, the name that a user gave it, or ``input_0``."""
    if any(isinstance(step, str) for step in path):
        name = "_".join(map(str, path))
    else:
        # Only symbolic tensors: the name of an eager tensor or a variable says nothing, or raises.
        name = str(getattr(tensor, "name", "")) if not hasattr(tensor, "numpy") else ""
        made_up = _MADE_UP_IN_SEQUENTIAL if is_sequential(model) else _MADE_UP
        if not name or name == "None" or made_up.fullmatch(name):
            return f"input_{at}"
    name = re.sub(r"\W", "_", name)
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"input_{name}"


def _named_outputs(model: Any, outputs: Any, tf: Any, wanted_by: str) -> dict[str, Any]:
    """The outputs by name: their keys in a dict, else ``output_0``, ``output_1`` and so on."""
    named: dict[str, Any] = {}
    for path, value in _leaves(outputs):
        name = "_".join(map(str, path or (0,)))
        name = name if any(isinstance(step, str) for step in path) else f"output_{name}"
        if value is None or isinstance(value, (tf.SparseTensor, tf.RaggedTensor)):
            raise ValueError(
                f"{wanted_by}: {name} of {describe_layer(model)} is {'None' if value is None else 'no dense tensor'}, "
                "which a signature can't hold. Export a model that returns dense tensors. Nothing was written."
            )
        if name in named:
            raise ValueError(f"{wanted_by}: {describe_layer(model)} has two outputs with the name {name!r}.")
        # A new tensor: an output that is an input or another output, too, would lose one of its names.
        named[name] = tf.identity(value, name=re.sub(r"\W", "_", name))
    return named


def _leaves(structure: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each thing in nested lists, tuples and dicts, with its keys and numbers, in the order of ``map_structure``."""
    if isinstance(structure, dict):
        for key, value in structure.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(structure, (list, tuple)):
        for at, value in enumerate(structure):
            yield from _leaves(value, (*path, at))
    else:
        yield path, structure
