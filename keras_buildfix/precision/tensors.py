"""Casts the floating tensors in a structure to another dtype, for every backend.

It imports no backend: whoever passes a tensor has imported its backend already.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable
from typing import Any

from keras_buildfix._keras.autocasting import with_mask
from keras_buildfix._keras.classes import belongs_to_keras, keras_of

#: The dtypes that are cast. Float8 is not among them: it is for storing, not for computing.
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
#: The dtypes that ``full_precision`` raises to float32.
HALVES = frozenset({"float16", "bfloat16"})


def has_dtype(value: Any, dtype: str) -> bool:
    """Whether a value is known to be a tensor of this dtype: a quick check; if it is False, ``cast`` looks closer."""
    return type(value) in _tensors and _names.get(value.dtype) == dtype


def cast(value: Any, dtype: str, base: type | None, which: frozenset[str] = FLOATS) -> Any:
    """The same structure, with every float of a dtype in `which` cast to `dtype`.

    `base` is the ``Layer`` class of a Keras: NumPy arrays become tensors of that Keras. If it is None, they
    stay arrays.
    """
    kind = _kinds.get(type(value))
    if kind is None:
        kind = _kind_of(value)
    return kind(value, dtype, base, which)


def first_dtype(structure: Any, which: frozenset[str] = FLOATS) -> str | None:
    """The dtype of the first tensor or array in a structure whose dtype is in `which`; None if there is none."""
    kind = _kinds.get(type(structure)) or _kind_of(structure)
    if kind is _as_it_is:
        return None
    if kind in (_cast_sequence, _cast_dict):
        items = structure.values() if kind is _cast_dict else structure
        return next(filter(None, (first_dtype(item, which) for item in items)), None)
    name = dtype_of_tensor(structure)
    return name if name in which else None


def as_tensor(array: Any, dtype: str | None, base: type) -> Any:
    """A NumPy array as a tensor of the Keras that `base` belongs to."""
    keras = keras_of(base)
    if hasattr(keras, "ops"):
        return keras.ops.convert_to_tensor(array, dtype=dtype)
    tf = sys.modules["tensorflow"]
    # Convert it on the host: the graph then holds only the constant, and no cast.
    return tf.constant(array if dtype is None else array.astype(tf.as_dtype(dtype).as_numpy_dtype))


def arrays_of_integers_to_tensors(value: Any, base: type) -> Any:
    """The same structure, with NumPy arrays of integers and bools as tensors."""
    kind = _kinds.get(type(value)) or _kind_of(value)
    if kind is _cast_array and value.dtype.kind in "iub":
        return as_tensor(value, None, base)
    if kind is _cast_sequence:
        return _rebuilt_sequence(value, [arrays_of_integers_to_tensors(item, base) for item in value])
    if kind is _cast_dict:
        return _rebuilt_dict(value, {key: arrays_of_integers_to_tensors(item, base) for key, item in value.items()})
    return value


def dtype_of_tensor(tensor: Any) -> str:
    """The name of the dtype of a tensor of any backend, such as ``"float32"``."""
    dtype = tensor.dtype
    try:
        return _names[dtype]
    except (KeyError, TypeError):
        name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or str(dtype)
        name = name.rpartition(".")[2]  # torch.float32
        if name in FLOATS:
            _names[dtype] = name
        return name


_names: dict[Any, str] = {}

_Kind = Callable[[Any, str, Any, "frozenset[str]"], Any]


def _kind_of(value: Any) -> _Kind:
    """The function that casts values of this type. It is remembered only for tensor types, of which there are few."""
    cls = type(value)
    if isinstance(value, dict):
        return _cast_dict
    if isinstance(value, (list, tuple)):
        return _cast_sequence
    kind = next((kind for package, kind, is_one in _TENSORS if is_one(sys.modules.get(package), value)), _as_it_is)
    if kind is not _as_it_is:
        _kinds[cls] = kind
        if kind is not _cast_array:
            _tensors.add(cls)
    return kind


def _is_of_keras(_: Any, value: Any) -> bool:
    """Whether a value is a tensor or variable of Keras itself: symbolic, of Keras 3, or of its OpenVINO backend."""
    names = {base.__name__ for base in type(value).__mro__ if belongs_to_keras(base)}
    return not names.isdisjoint({"KerasTensor", "Variable", "KerasVariable", "OpenVINOKerasTensor"}) and hasattr(
        value, "dtype"
    )


def _is_of_tensorflow(tf: Any, value: Any) -> bool:
    kinds = [getattr(tf, name, None) for name in ("Tensor", "Variable", "RaggedTensor", "SparseTensor")]
    return isinstance(value, tuple(kind for kind in kinds if isinstance(kind, type)))


def _is_of_jax(jax: Any, value: Any) -> bool:
    return isinstance(value, getattr(jax, "Array", ()))


def _is_sparse_of_jax(sparse: Any, value: Any) -> bool:
    return isinstance(value, getattr(sparse, "JAXSparse", ()))


def _is_of_torch(torch: Any, value: Any) -> bool:
    return isinstance(value, getattr(torch, "Tensor", ()))


def _is_of_numpy(numpy: Any, value: Any) -> bool:
    return isinstance(value, (getattr(numpy, "ndarray", ()), getattr(numpy, "generic", ())))


def _as_it_is(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    return value


def _cast_sequence(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    return _rebuilt_sequence(value, [cast(item, dtype, base, which) for item in value])


def _cast_dict(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    return _rebuilt_dict(value, {key: cast(item, dtype, base, which) for key, item in value.items()})


def _rebuilt_sequence(value: Any, items: list[Any]) -> Any:
    if all(new is old for new, old in zip(items, value)):
        return value
    cls = value.__class__  # TensorFlow's wrapper of a list names the type of the list here
    return cls(*items) if hasattr(value, "_fields") else cls(items)


def _rebuilt_dict(value: Any, items: dict[Any, Any]) -> Any:
    if all(items[key] is value[key] for key in items):
        return value
    cls = value.__class__
    if cls is dict or belongs_to_keras(cls):  # a copy of Keras 3's own dict would track what is put in
        return items
    with contextlib.suppress(Exception):  # a dict may refuse changes, or its `__getattr__` may raise KeyError
        if type(value) is not cls:
            value = value.__wrapped__  # TensorFlow has wrapped the dict
        # If a dict is its own `__dict__`, a copy would keep the old items as attributes: its class makes a new one.
        if getattr(value, "__dict__", None) is not value:
            new = copy.copy(value)  # keeps the factory of a defaultdict, and the attributes of a subclass
            for key, item in items.items():
                new[key] = item
            return new
    return cls(items)


def _cast_of_keras(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_of_tensor(value)
    if name == dtype or name not in which:
        return value
    keras = keras_of(type(value))
    caster = keras.ops if hasattr(keras, "ops") else sys.modules["tensorflow"]
    return with_mask(caster.cast(value, dtype), value)


def _cast_of_tensorflow(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_of_tensor(value)
    if name == dtype or name not in which:
        return value
    return with_mask(sys.modules["tensorflow"].cast(value, dtype), value)


def _cast_of_jax(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_of_tensor(value)
    if name == dtype or name not in which:
        return value
    dtype = sys.modules["jax"].dtypes.canonicalize_dtype(dtype)  # without its 64-bit mode, JAX has no float64
    return value if value.dtype == dtype else with_mask(value.astype(dtype), value)


def _cast_sparse_of_jax(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_of_tensor(value)
    if name == dtype or name not in which:
        return value
    return sys.modules["jax"].tree_util.tree_map(lambda leaf: _cast_of_jax(leaf, dtype, base, which), value)


def _cast_of_torch(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_of_tensor(value)
    if name == dtype or name not in which:
        return value
    return with_mask(value.to(getattr(sys.modules["torch"], dtype)), value)


def _cast_array(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_of_tensor(value)
    if name not in which:
        return value
    if base is None:
        return value if name == dtype else value.astype(_numpy_dtype(dtype))
    keras = keras_of(base)
    if name == dtype and hasattr(keras, "ops") and keras.backend.backend() == "numpy":
        return value  # this backend's tensors are arrays
    return as_tensor(value, dtype, base)


def _numpy_dtype(name: str) -> Any:
    """NumPy's dtype of this name. bfloat16 comes from `ml_dtypes`: every backend that has bfloat16 installs it."""
    if name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return name


#: For each package with tensors: how to cast them, and how to recognize them.
_TENSORS: tuple[tuple[str, _Kind, Callable[[Any, Any], bool]], ...] = (
    ("numpy", _cast_array, _is_of_numpy),
    ("keras", _cast_of_keras, _is_of_keras),
    ("tensorflow", _cast_of_tensorflow, _is_of_tensorflow),
    ("jax", _cast_of_jax, _is_of_jax),
    ("jax.experimental.sparse", _cast_sparse_of_jax, _is_sparse_of_jax),
    ("torch", _cast_of_torch, _is_of_torch),
)

#: Tensor types seen so far. NumPy's array is not one of them: it becomes a tensor even if it has the dtype.
_tensors: set[type] = set()

#: How to cast values of a type; tensor types are added when they are first seen.
_kinds: dict[type, _Kind] = {
    **dict.fromkeys((type(None), bool, int, float, complex, str, bytes), _as_it_is),
    **dict.fromkeys((list, tuple), _cast_sequence),
    dict: _cast_dict,
}
