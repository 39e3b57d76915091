"""Reads tensors and weights of every backend as numpy arrays, and makes tensors of a user's arrays."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

from keras_buildfix._arrays import Array, dtype_name, kind_of_dtype
from keras_buildfix._keras.classes import keras_of
from keras_buildfix._keras.tracking import attributes
from keras_buildfix._keras.variables import stored
from keras_buildfix._structures import map_structure


def as_array(tensor: Any) -> Array:
    """A tensor as a numpy array; of a sparse or ragged one, the values that it stores."""
    import numpy as np

    tensor = _part_of(tensor)
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        return (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).resolve_conj().numpy()
    return np.asarray(tensor.numpy() if hasattr(tensor, "numpy") else tensor)


def _part_of(tensor: Any) -> Any:
    """The tensor of the values that a sparse or ragged tensor stores; any other tensor itself."""
    part = _PARTS.get(type(tensor).__name__)
    return tensor if part is None else getattr(tensor, part)


#: The attribute of a sparse or ragged tensor with its values: of TensorFlow's, and JAX's.
_PARTS = {
    "RaggedTensor": "flat_values",
    "SparseTensor": "values",
    "SparseTensorValue": "values",
    "IndexedSlices": "values",
    "BCOO": "data",
}


def has_value(tensor: Any) -> bool:
    """Whether a tensor or array has numbers; it has none while a function is traced, as in ``vmap``."""
    tf, jax = sys.modules.get("tensorflow"), sys.modules.get("jax")
    if type(tensor).__name__ == "KerasTensor":
        return False
    if isinstance(tensor, getattr(getattr(jax, "core", None), "Tracer", ())):
        return False
    if isinstance(tensor, getattr(tf, "Tensor", ())):
        return hasattr(tensor, "numpy")
    if hasattr(tensor, "data_ptr") and not getattr(tensor, "is_sparse", False):
        try:
            tensor.data_ptr()
        except RuntimeError:  # torch, inside ``vmap``: it has no memory of its own
            return False
    return not (_part_of(tensor) is not tensor and not has_value(_part_of(tensor)))


def is_finite(tensor: Any) -> bool:
    """Whether a tensor, array or variable has no NaN and no infinity, asked on its device; True if it has no floats."""
    return bool(_finite_on_device(_part_of(stored(tensor))))


def _finite_on_device(tensor: Any) -> Any:
    """Whether a tensor is finite, as a tensor on its device; True where nothing is to be computed."""
    kind = kind_of_dtype(dtype_name(tensor.dtype)) if hasattr(tensor, "dtype") else "other"
    if kind not in ("float", "complex") or not math.prod(axis or 0 for axis in tuple(tensor.shape)):
        return True
    tf, torch, jax = (sys.modules.get(name) for name in ("tensorflow", "torch", "jax"))
    if torch is not None and hasattr(tensor, "detach") and "float8" not in str(tensor.dtype):
        return torch.isfinite(tensor.detach()).all()
    if jax is not None and isinstance(tensor, getattr(jax, "Array", ())):
        return jax.numpy.isfinite(tensor).all()
    if tf is not None and kind == "float" and (hasattr(tensor, "handle") or tf.is_tensor(tensor)):
        return tf.reduce_all(tf.math.is_finite(tensor))
    return not any(not_finite(as_array(tensor))[:2])


def not_finite(array: Array) -> tuple[int, int, tuple[int, ...]]:
    """How many NaN and how many infinities are in an array, and the index of the first of them."""
    import numpy as np

    if array.dtype.kind not in "fc":
        array = array.astype("float32")  # bfloat16 and float8
    bad = ~np.isfinite(array)
    nan = int(np.isnan(array).sum())
    first = np.unravel_index(int(bad.argmax()), array.shape) if bad.any() else ()
    return nan, int(bad.sum()) - nan, tuple(map(int, first))


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


def all_finite(variables: Sequence[Any]) -> bool:
    """Whether all weights are finite, with one reduction for each on its device, and one answer from there."""
    answers = [each for each in map(_finite_on_device, map(stored, variables)) if each is not True]
    if not answers:
        return True
    backend = sys.modules.get("torch") if hasattr(answers[0], "detach") else None
    if backend is not None:
        return bool(backend.stack([each.cpu() for each in answers]).all())
    if hasattr(answers[0], "numpy"):
        return bool(sys.modules["tensorflow"].reduce_all(answers))
    return all(map(bool, answers))


def device_copy(variable: Any) -> Any:
    """A copy of a weight's value on its device, which stays when the weight is trained: JAX gives its memory away."""
    held = stored(variable)
    if hasattr(held, "detach"):
        return held.detach().clone()
    if hasattr(held, "read_value"):
        return held.read_value()
    return sys.modules["jax"].numpy.array(held, copy=True) if hasattr(held, "devices") else held.copy()


def size_of_change(variable: Any, before: Any) -> float:
    """The Euclidean norm of the difference between a weight and its earlier value, computed on its device."""
    held = stored(variable)
    if hasattr(held, "detach"):
        return float((held.detach().float() - before.float()).norm())
    if hasattr(held, "read_value"):
        tf = sys.modules["tensorflow"]
        return float(tf.norm(tf.cast(held, "float32") - tf.cast(before, "float32")))
    norm = sys.modules["jax"].numpy.linalg.norm if hasattr(held, "devices") else sys.modules["numpy"].linalg.norm
    return float(norm((held.astype("float32") - before.astype("float32")).ravel()))


def set_by_users(layer: Any) -> dict[str, Any]:
    """The attributes of a layer, with the parameters that torch keeps apart, without torch's own lists of the others.

    ``_modules``: torch, 3.0.0 to nightly.
    """
    found = {name: held for name, held in attributes(layer).items() if name not in ("_parameters", "_modules")}
    return {**found, **(vars(layer).get("_parameters") or {})}
