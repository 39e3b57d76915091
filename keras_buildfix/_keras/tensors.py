"""Reads tensors and weights of every backend as numpy arrays, and makes tensors of a user's arrays."""

from __future__ import annotations

import sys
from typing import Any

from keras_buildfix._arrays import Array
from keras_buildfix._keras.classes import keras_of
from keras_buildfix._structures import map_structure


def as_array(tensor: Any) -> Array:
    """A tensor as a numpy array; of a sparse or ragged one, the values that it stores."""
    import numpy as np

    for part in ("flat_values", "values", "data"):  # tf.RaggedTensor, tf.SparseTensor, JAX's BCOO
        if type(tensor).__name__ in _PARTS.get(part, ()):
            return as_array(getattr(tensor, part))
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        return (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).resolve_conj().numpy()
    return np.asarray(tensor.numpy() if hasattr(tensor, "numpy") else tensor)


_PARTS = {
    "flat_values": ("RaggedTensor",),
    "values": ("SparseTensor", "SparseTensorValue"),
    "data": ("BCOO",),
}


def as_tensors(model: Any, structure: Any) -> Any:
    """The arrays in a structure as tensors of a model's backend; float64 becomes Keras's usual dtype, as in ``fit``."""
    import numpy as np

    keras = keras_of(type(model))
    ops = getattr(keras, "ops", None)
    convert: Any = ops.convert_to_tensor if ops is not None else sys.modules["tensorflow"].convert_to_tensor
    floatx = str(keras.backend.floatx())

    def change(value: Any) -> Any:
        if not isinstance(value, (np.ndarray, np.generic, int, float)):
            return value
        array = np.asarray(value)
        if array.dtype.kind not in "fiub" and ops is not None and keras.backend.backend() != "tensorflow":
            return value  # texts: only TensorFlow has tensors of them
        return convert(array, dtype=floatx) if array.dtype == np.float64 else convert(array)

    return map_structure(change, _numbers_as_arrays(structure))


def _numbers_as_arrays(structure: Any) -> Any:
    """Nested lists of plain numbers as one array; other structures as they are."""
    import numpy as np

    if isinstance(structure, (list, tuple)) and structure and _is_numbers(structure):
        return np.asarray(structure)
    return structure


def _is_numbers(structure: Any) -> bool:
    if isinstance(structure, (list, tuple)):
        return all(map(_is_numbers, structure))
    return isinstance(structure, (bool, int, float))
