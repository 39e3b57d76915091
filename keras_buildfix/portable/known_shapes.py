"""``get_input_shape(layer)`` and ``get_output_shape(layer)``: Keras 2 has them as attributes, Keras 3 does not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_buildfix._keras.classes import describe_layer, is_functional, is_model, keras_of, layer_instance
from keras_buildfix._keras.graphs import inbound_nodes
from keras_buildfix._structures import map_structure
from keras_buildfix.portable.plain_shapes import Shape, plain_shapes


def get_input_shape(layer: Any) -> Any:
    """Returns the shape of a layer's input as a tuple; for several inputs, the shapes in lists and dicts.

    The shape is known after a symbolic call (in a functional or ``Sequential`` model) or a call on data, with the
    batch size of the data; on Keras 3 also after ``build`` was called by hand, which Keras 2 does not note.
    Some layers are built when they are made (``Dropout``, ``ReLU`` and others on Keras 3; later versions have
    more). For those a call on data notes nothing, so call them on a ``keras.Input``.

    Args:
        layer: A Keras layer or model.

    Returns:
        The shape of the first argument of ``call``: a tuple of ints and None, or lists, tuples and dicts of
        tuples. For a functional or ``Sequential`` model, the shape of the inputs it was made with.

    Raises:
        ValueError: If the layer has not been called or built, or was called on inputs of different shapes.

    Examples:
        >>> import keras
        >>> from keras_buildfix import get_input_shape, get_output_shape
        >>> layer = keras.layers.Dense(4)
        >>> _ = layer(keras.Input((3,)))
        >>> get_input_shape(layer), get_output_shape(layer)
        ((None, 3), (None, 4))

    Source: 54 of 83 surveyed libraries read ``layer.input_shape`` or ``layer.output_shape``, removed by Keras 3.0.
    """
    layer_instance(layer, "get_input_shape")
    known = _of_model(layer, "input")
    if known is not None:
        return known
    found = _agreed(layer, "input", lambda node: _shapes(_first_argument(layer, node)))
    return found if found is not None else plain_shapes(next(iter(_built_for(layer, "input").values())))


def get_output_shape(layer: Any) -> Any:
    """Returns the shape of a layer's output as a tuple; for several outputs, the shapes in lists and dicts.

    It is known when ``get_input_shape`` is. For a layer that was only built or called on data,
    ``compute_output_shape`` computes it, or, on Keras 3 if the layer has none, ``compute_output_spec``, which
    traces ``call``.

    Args:
        layer: A Keras layer or model.

    Returns:
        A tuple of ints and None, or lists, tuples and dicts of tuples. On Keras 3, a layer that returns a
        dict in a functional model gives a list here, in the order of the sorted keys.

    Raises:
        ValueError: If the layer has not been called or built, if its outputs had different shapes, or if the shape
            can't be computed.

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import get_output_shape
        >>> layer = keras.layers.Dense(4)
        >>> _ = layer(np.ones((2, 3), "float32"))
        >>> get_output_shape(layer)
        (2, 4)

    Source: see ``get_input_shape``.
    """
    layer_instance(layer, "get_output_shape")
    known = _of_model(layer, "output")
    if known is not None:
        return known
    found = _agreed(layer, "output", lambda node: _alone(_shapes(node.outputs)))
    if found is not None:
        return found
    shapes = _built_for(layer, "output")
    try:
        return plain_shapes(_computed_output(layer, shapes))
    except Exception as error:
        raise ValueError(
            f"The output shape of {describe_layer(layer)} is not known: it was built for {shapes}, but its "
            f"output can't be computed ({type(error).__name__}: {error}). "
            "Give it a compute_output_shape, or call it on a keras.Input."
        ) from error


def _computed_output(layer: Any, shapes: dict[str, Any]) -> Any:
    """The output shape for these inputs, by ``compute_output_shape``, or on Keras 3 by tracing ``call``."""
    try:
        return layer.compute_output_shape(**shapes) if len(shapes) > 1 else layer.compute_output_shape(*shapes.values())
    except NotImplementedError:
        if not hasattr(layer, "compute_output_spec"):
            raise
    return traced_output(layer, [] if len(shapes) > 1 else [*shapes.values()], shapes if len(shapes) > 1 else {})


def traced_output(layer: Any, shapes: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Finds the output shapes of a layer of Keras 3 for inputs of these shapes, by tracing ``call``.

    Args:
        layer: The layer. The trace builds the layers inside it.
        shapes: Shapes of positional inputs, as ``plain_shapes`` makes them.
        named: Shapes of further inputs, by the name of the argument of ``call``, with or without ``_shape`` after it.
    """
    keras = keras_of(type(layer))
    inputs = [_symbolic(keras, shape, layer.compute_dtype) for shape in shapes]
    by_name = {
        name[: -len("_shape")] if name.endswith("_shape") else name: _symbolic(keras, shape, layer.compute_dtype)
        for name, shape in named.items()
    }
    return _shapes(layer.compute_output_spec(*inputs, **by_name))


def _symbolic(keras: Any, shapes: Any, dtype: str) -> Any:
    """Symbolic tensors of these shapes, in the same lists, tuples and dicts."""

    def symbolic(shape: Any) -> Any:
        return keras.KerasTensor(shape, dtype=dtype) if isinstance(shape, Shape) else shape

    return map_structure(symbolic, shapes, lambda value: isinstance(value, Shape))


def _of_model(layer: Any, which: str) -> Any:
    """The shapes that a functional or ``Sequential`` model was made with; None for other layers."""
    if not is_model(layer):
        return None
    if is_functional(layer):
        try:
            return _shapes(getattr(layer, which))
        except (AttributeError, ValueError):
            return None  # a Sequential of Keras 2 without an input yet
    if any(base.__name__ == "Sequential" for base in type(layer).__mro__):
        tensors = getattr(layer, f"{which}s", None) if layer.built else None
        return None if not tensors else _alone(_shapes(tensors))
    return None


def _agreed(layer: Any, which: str, shapes_of: Callable[[Any], Any]) -> Any:
    """The shapes that all symbolic calls agree on; None if there was none."""
    nodes = inbound_nodes(layer)
    found = [shapes_of(node) for node in nodes]
    for other in found[1:]:
        if other != found[0]:
            raise ValueError(
                f"{describe_layer(layer)} has multiple inbound nodes with different {which} shapes: {found}. It was "
                f"called {len(nodes)} times, so there is no one {which} shape: read the shape of the tensor you mean."
            )
    return found[0] if found else None


def _first_argument(layer: Any, node: Any) -> Any:
    """The first argument of a symbolic call; for an input layer, its output."""
    if node.is_input:
        return _alone(node.outputs)
    arguments = getattr(node, "arguments", None)  # Keras 3
    args = node.call_args if arguments is None else arguments.args
    kwargs = node.call_kwargs if arguments is None else arguments.kwargs
    if args:
        return args[0]
    first = next(iter(inspect.signature(layer.call).parameters), None)
    return kwargs[first] if first in kwargs else next(iter(kwargs.values()))


def _built_for(layer: Any, which: str) -> dict[str, Any]:
    """The shapes that a layer was built for, by the names of the arguments of ``build``."""
    config = (layer.get_build_config() if hasattr(layer, "get_build_config") else None) or {}
    shapes = config.get("shapes_dict") or {name: shape for name, shape in config.items() if name == "input_shape"}
    shapes = {name: plain_shapes(shape) for name, shape in shapes.items()}
    if not layer.built or not any(shape is not None for shape in shapes.values()):
        way_out = "Call it on a keras.Input first" if layer.built else "Call it on a keras.Input or on data first"
        if which == "output":
            way_out += ", or ask layer.compute_output_shape(...) of a known input"
        raise ValueError(
            f"The {which} shape of {describe_layer(layer)} is not known: {_why_unknown(layer)}. {way_out}."
        )
    return shapes


def _why_unknown(layer: Any) -> str:
    if not layer.built:
        return "it was never called or built"
    return (
        "it was never called on a keras.Input, and this Keras notes no other shape for a layer that is built "
        "when it is made or by hand"
    )


def _shapes(tensors: Any) -> Any:
    return map_structure(lambda one: plain_shapes(one.shape) if hasattr(one, "shape") else one, tensors)


def _alone(things: Any) -> Any:
    return things[0] if isinstance(things, list) and len(things) == 1 else things
