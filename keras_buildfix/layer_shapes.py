"""``input_shape(layer)`` and ``output_shape(layer)``: what Keras 2 has as attributes and Keras 3 has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_buildfix import _keras, _private_portable
from keras_buildfix.plain_shapes import plain_shapes


def input_shape(layer: Any) -> Any:
    """The shape of a layer's input, as a tuple; for several inputs in their lists and dicts.

    Known once the layer was called symbolically (in a functional or ``Sequential`` model) or on data, whose
    batch size it then has; on Keras 3 also once ``build`` was called by hand, of which Keras 2 takes no note.

    Args:
        layer: A Keras layer or model.

    Returns:
        The shape of the first argument of ``call``: a tuple of ints and None, or lists, tuples and dicts of
        such. For a functional or ``Sequential`` model, that of the inputs it was made with.

    Raises:
        ValueError: If the layer has not been called or built, or was called on inputs of different shapes.

    Example:
        >>> import keras
        >>> from keras_buildfix import input_shape, output_shape
        >>> layer = keras.layers.Dense(4)
        >>> _ = layer(keras.Input((3,)))
        >>> input_shape(layer), output_shape(layer)
        ((None, 3), (None, 4))

    Source: 54 of 83 surveyed libraries read ``layer.input_shape`` or ``layer.output_shape``, removed by Keras 3.0.
    """
    _keras.layer_instance(layer, "input_shape")
    known = _of_model(layer, "input")
    if known is not None:
        return known
    found = _agreed(layer, "input", lambda node: _shapes(_first_argument(node)))
    return found if found is not None else plain_shapes(next(iter(_built_for(layer, "input").values())))


def output_shape(layer: Any) -> Any:
    """The shape of a layer's output, as a tuple; for several outputs in lists and dicts.

    As ``input_shape``; of a layer that was only built, it is worked out by ``compute_output_shape``.

    Args:
        layer: A Keras layer or model.

    Returns:
        A tuple of ints and None, or lists, tuples and dicts of such. On Keras 3 a layer that hands out a
        dict in a functional model has a list here, in the order of the sorted keys.

    Raises:
        ValueError: If the layer has not been called or built, if its outputs had different shapes, or if it was
            only built and its ``compute_output_shape`` fails.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import output_shape
        >>> layer = keras.layers.Dense(4)
        >>> _ = layer(np.ones((2, 3), "float32"))
        >>> output_shape(layer)
        (2, 4)

    Source: see ``input_shape``.
    """
    _keras.layer_instance(layer, "output_shape")
    known = _of_model(layer, "output")
    if known is not None:
        return known
    found = _agreed(layer, "output", lambda node: _alone(_shapes(node.outputs)))
    if found is not None:
        return found
    shapes = _built_for(layer, "output")
    try:
        computed = layer.compute_output_shape(*shapes.values() if len(shapes) == 1 else (), **_several(shapes))
    except Exception as error:
        raise ValueError(
            f"The output shape of {_named(layer)} is not known: it was built for {shapes}, but its "
            f"compute_output_shape fails ({type(error).__name__}: {error}). "
            "Give it a compute_output_shape, or call it on a keras.Input."
        ) from error
    return plain_shapes(computed)


def _of_model(layer: Any, which: str) -> Any:
    """The shapes that a functional or ``Sequential`` model was made with; None for other layers."""
    if not _keras.is_model(layer):
        return None
    if _keras.is_functional(layer):
        try:
            return _shapes(getattr(layer, which))
        except (AttributeError, ValueError):
            return None  # a Sequential of Keras 2 that has no input yet
    if any(base.__name__ == "Sequential" for base in type(layer).__mro__):
        tensors = getattr(layer, f"{which}s", None) if layer.built else None
        return None if not tensors else _alone(_shapes(tensors))
    return None


def _agreed(layer: Any, which: str, shapes_of: Callable[[Any], Any]) -> Any:
    """The shapes that all symbolic calls agree on; None if there was none."""
    nodes = _private_portable.inbound_nodes(layer)
    found = [shapes_of(node) for node in nodes]
    for other in found[1:]:
        if other != found[0]:
            raise ValueError(
                f"{_named(layer)} has multiple inbound nodes with different {which} shapes: {found}. It was called "
                f"{len(nodes)} times, so there is no one {which} shape: read the shape of the tensor you mean."
            )
    return found[0] if found else None


def _first_argument(node: Any) -> Any:
    """What the first argument of a symbolic call was; for an input layer, its output."""
    if node.is_input:
        return _alone(node.outputs)
    arguments = getattr(node, "arguments", None)  # Keras 3
    args = node.call_args if arguments is None else arguments.args
    kwargs = node.call_kwargs if arguments is None else arguments.kwargs
    return args[0] if args else next(iter(kwargs.values()))


def _built_for(layer: Any, which: str) -> dict[str, Any]:
    """The shapes that a layer was built for, by the names of the arguments of ``build``."""
    config = (layer.get_build_config() if hasattr(layer, "get_build_config") else None) or {}
    shapes = config.get("shapes_dict") or {name: shape for name, shape in config.items() if name == "input_shape"}
    shapes = {name: plain_shapes(shape) for name, shape in shapes.items()}
    if not layer.built or not any(shape is not None for shape in shapes.values()):
        way_out = f"Call it on a keras.Input or on data first, or ask layer.compute_{which}_shape(...) of a known input"
        if which == "input":
            way_out = "Call it on a keras.Input or on data first"
        raise ValueError(
            f"The {which} shape of {_named(layer)} is not known: it was never called{_or_built(layer)}. {way_out}."
        )
    return shapes


def _or_built(layer: Any) -> str:
    return ", only built by hand, of which this Keras takes no note" if layer.built else " or built"


def _several(shapes: dict[str, Any]) -> dict[str, Any]:
    return shapes if len(shapes) > 1 else {}


def _shapes(tensors: Any) -> Any:
    if isinstance(tensors, dict):
        return {key: _shapes(value) for key, value in tensors.items()}
    if isinstance(tensors, (list, tuple)):
        inner = [_shapes(value) for value in tensors]
        if isinstance(tensors, tuple):
            return type(tensors)(*inner) if hasattr(tensors, "_fields") else tuple(inner)
        return inner
    return plain_shapes(tensors.shape) if hasattr(tensors, "shape") else tensors


def _alone(things: Any) -> Any:
    return things[0] if isinstance(things, list) and len(things) == 1 else things


def _named(layer: Any) -> str:
    return f"the layer {layer.name!r} ({type(layer).__name__})"
