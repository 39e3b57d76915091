"""The dtypes of a layer, and ``cast_inputs``: one rule that casts the inputs of a layer."""

from __future__ import annotations

from typing import Any

from keras_buildfix._keras.autocasting import autocasts
from keras_buildfix._keras.classes import describe, layer_base
from keras_buildfix.precision.tensors import FLOATS, cast


def compute_dtype(layer: Any) -> str:
    """The dtype in which a layer computes.

    Args:
        layer: A Keras layer.

    Returns:
        Its name, such as ``"float16"`` under ``mixed_float16``, or ``"string"`` or ``"int64"`` for a layer
        that does not compute in floats.

    Raises:
        TypeError: If `layer` is not a Keras layer.

    Examples:
        >>> import keras
        >>> from keras_buildfix import compute_dtype
        >>> compute_dtype(keras.layers.Dense(2, dtype="mixed_bfloat16"))
        'bfloat16'

    Source: in place of the private ``_compute_dtype`` that libraries read; Keras 2 and 3 alike.
    """
    return str(_layer(layer, "compute_dtype").compute_dtype)


def variable_dtype(layer: Any) -> str:
    """The dtype in which a layer keeps its weights.

    Args:
        layer: A Keras layer.

    Returns:
        Its name, such as ``"float32"`` under ``mixed_float16``.

    Raises:
        TypeError: If `layer` is not a Keras layer.

    Examples:
        >>> import keras
        >>> from keras_buildfix import variable_dtype
        >>> variable_dtype(keras.layers.Dense(2, dtype="mixed_bfloat16"))
        'float32'

    Source: in place of ``layer.dtype`` and the private ``_dtype``; Keras 2 and 3 alike.
    """
    return str(_layer(layer, "variable_dtype").variable_dtype)


def cast_inputs(layer: Any, structure: Any) -> Any:
    """Casts the floating tensors in a structure to the compute dtype of a layer.

    Args:
        layer: A Keras layer, usually ``self``.
        structure: A tensor of any shape, or tensors in lists, tuples, named tuples and dicts.

    Returns:
        A structure of the same types, in which every tensor of float16, bfloat16, float32 or float64 has
        the compute dtype: eager and symbolic tensors, tracers, variables. Sparse and ragged ones stay
        sparse and ragged. A NumPy array of floats becomes a tensor. Everything else comes back as it is:
        integers, bools, strings, complex numbers, Python's numbers, None, other objects. A tensor that
        already has the dtype comes back as the same object, and so does a structure in which nothing
        changes. For a layer that does not compute in floats, or has ``autocast=False``, nothing changes.

    Raises:
        TypeError: If the first argument is not a Keras layer.

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import cast_inputs
        >>> layer = keras.layers.Dense(2, dtype="mixed_bfloat16")
        >>> cast = cast_inputs(layer, {"x": np.ones((2, 3), "float32"), "ids": np.arange(2), "rate": 0.5})
        >>> "bfloat16" in str(cast["x"].dtype), cast["ids"].dtype.kind, cast["rate"]
        (True, 'i', 0.5)

    Source: Keras 2 casts the first argument only, 3.0-3.3 NumPy's integers too (keras #19629). Measured.
    """
    dtype = casting_dtype(_layer(layer, "cast_inputs", structure))
    return structure if dtype is None else cast(structure, dtype, layer_base(type(layer)))


def _layer(layer: Any, wanted_by: str, structure: Any = None) -> Any:
    """`layer`, if it is a Keras layer; otherwise a TypeError that says what to pass instead."""
    if layer_base(type(layer)) is not None:
        return layer
    own = [] if isinstance(layer, type) else [name for name in (wanted_by, "dtype") if hasattr(layer, name)]
    if layer_base(type(structure)) is not None:
        way_out = f" The layer comes first: {wanted_by}(layer, structure)."
    else:
        way_out = f" Read its attribute {own[0]} instead." if own else ""
    raise TypeError(f"{wanted_by} expects a Keras layer (an instance); got {describe(layer)}.{way_out}")


def casting_dtype(layer: Any) -> str | None:
    """The dtype to which the rule casts the inputs of a layer; None where the rule does not apply."""
    dtype = layer.compute_dtype
    return dtype if dtype in FLOATS and autocasts(layer) else None
