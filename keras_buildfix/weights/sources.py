"""``Source``: the values to set, from a file, a mapping, a sequence, or another layer or model, all in one form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras_buildfix._arrays import numpy_name
from keras_buildfix._keras.classes import describe, layer_base
from keras_buildfix._keras.variables import dtype_of, is_variable, shape_of, view_value
from keras_buildfix.weight_files.entry import Entries, Entry, is_structural
from keras_buildfix.weight_files.reading import WeightFile


def entry_of(name: str, variable: Any) -> Entry:
    """A weight as an ``Entry``, whose value is read only when it is needed."""
    shape = tuple(size or 0 for size in shape_of(variable))
    return Entry(name, shape, dtype_of(variable), lambda: view_value(variable), variable=variable, borrowed=True)


@dataclass(frozen=True)
class Source:
    """The values to set, from a file, a mapping, a sequence or another layer.

    Attributes:
        entries: The values by name, in the source's order.
        layout: ``"positions"`` for a sequence; else ``"names"``, ``"layers"`` or ``"structure"``: see ``WeightFile``.
        canonical: Whether a made-up name (``dense_1``) may be one that ``named_weights`` gives, not one of Keras's.
        described: What messages call the source: ``"the file w.h5"``.
    """

    entries: Entries
    layout: str
    canonical: bool
    described: str

    @classmethod
    def of(cls, file: WeightFile) -> Source:
        """Makes a source of a file. Names in files that Keras writes are not canonical."""
        described = f"the file {file.path}" + (f" (written by Keras {file.writer})" if file.writer else "")
        return cls(file.entries, file.layout, file.format in ("safetensors", "npz"), described)


def instead(values: Any) -> str:
    """Which function to call for values that are not in a file."""
    if layer_base(type(values)) is not None:
        return "transfer_weights(source, target) takes the weights of a layer or model."
    return "set_weights(layer, weights) takes a mapping or a sequence of values."


def source_of(weights: Any) -> Source:
    """Makes a source of a mapping or sequence of values."""
    if isinstance(weights, WeightFile):
        return Source.of(weights)
    if isinstance(weights, Mapping):
        entries = {str(name): _of_value(str(name), value) for name, value in weights.items()}
        return Source(entries, "structure" if is_structural(entries) else "names", True, "the mapping")
    if isinstance(weights, (list, tuple)):
        named = [(f"weight {at}", value) for at, value in enumerate(weights)]
        return Source({name: _of_value(name, value) for name, value in named}, "positions", True, "the sequence")
    expected = "set_weights expects a mapping of names to arrays, or a sequence of arrays"
    if isinstance(weights, (str, os.PathLike)):
        raise TypeError(f"{expected}; load_weights(layer, {os.fspath(weights)!r}) loads a file.")
    if layer_base(type(weights)) is not None:
        raise TypeError(f"{expected}; transfer_weights(source, target) takes the weights of {weights.name!r}.")
    raise TypeError(f"{expected}; got {describe(weights)}.")


def _of_value(name: str, value: Any) -> Entry:
    import numpy as np

    if is_variable(value):
        return entry_of(name, value)
    if hasattr(value, "detach"):  # numpy takes no torch tensor that needs a gradient or is bfloat16
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: {type(value).__name__} is not an array: {error}") from None
    return Entry(name, tuple(array.shape), numpy_name(array.dtype), lambda: array, borrowed=True)
