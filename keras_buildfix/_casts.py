"""Which things in a structure become a dtype, and how each kind of tensor does.

No backend is imported: a tensor that is there has brought its own.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable
from typing import Any

from keras_buildfix import _keras, _private_precision

#: What is cast, and what full precision raises. Float8 is a way of storing, not of computing.
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
HALVES = frozenset({"float16", "bfloat16"})


def has_dtype(value: Any, dtype: str) -> bool:
    """Whether a value is, at a glance, a tensor of this dtype, for which nothing is to be done."""
    return type(value) in _tensors and _names.get(value.dtype) == dtype


def cast(value: Any, dtype: str, base: type | None, which: frozenset[str] = FLOATS) -> Any:
    """A structure in which the floats of the dtypes in `which` have become `dtype`.

    `base` is the ``Layer`` of the Keras whose tensor a NumPy array becomes; without it, it stays an array.
    """
    kind = _kinds.get(type(value))
    if kind is None:
        kind = _kind_of(value)
    return kind(value, dtype, base, which)


def first_dtype(structure: Any, which: frozenset[str] = FLOATS) -> str | None:
    """The dtype of the first tensor or array in a structure that has one of these; None without any."""
    kind = _kinds.get(type(structure)) or _kind_of(structure)
    if kind is _as_it_is:
        return None
    if kind in (_cast_sequence, _cast_dict):
        items = structure.values() if kind is _cast_dict else structure
        return next(filter(None, (first_dtype(item, which) for item in items)), None)
    name = dtype_name(structure)
    return name if name in which else None


def as_tensor(array: Any, dtype: str | None, base: type) -> Any:
    """A NumPy array as a tensor of this Keras's."""
    keras = _keras_of(base)
    if hasattr(keras, "ops"):
        return keras.ops.convert_to_tensor(array, dtype=dtype)
    tf = sys.modules["tensorflow"]
    # Converted on the host: the graph then has the constant only, no cast.
    return tf.constant(array if dtype is None else array.astype(tf.as_dtype(dtype).as_numpy_dtype))


def arrays_of_integers_to_tensors(value: Any, base: type) -> Any:
    """A structure in which NumPy arrays that are not of floats have become tensors."""
    kind = _kinds.get(type(value)) or _kind_of(value)
    if kind is _cast_array and value.dtype.kind in "iub":
        return as_tensor(value, None, base)
    if kind is _cast_sequence:
        return _rebuilt_sequence(value, [arrays_of_integers_to_tensors(item, base) for item in value])
    if kind is _cast_dict:
        return _rebuilt_dict(value, {key: arrays_of_integers_to_tensors(item, base) for key, item in value.items()})
    return value


def dtype_name(tensor: Any) -> str:
    """The name of a tensor's dtype, such as ``"float32"``, of any backend."""
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
    """How a value is cast, by its type; remembered for the types of tensors, which are few and stay."""
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
    """Whether a value is one of Keras's tensors or variables: symbolic, of Keras 3, of OpenVINO."""
    names = {base.__name__ for base in type(value).__mro__ if _keras.belongs_to_keras(base)}
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
    cls = value.__class__  # of TensorFlow's wrappers: the type that they stand for
    return cls(*items) if hasattr(value, "_fields") else cls(items)


def _rebuilt_dict(value: Any, items: dict[Any, Any]) -> Any:
    if all(items[key] is value[key] for key in items):
        return value
    cls = value.__class__
    if cls is dict or _keras.belongs_to_keras(cls):  # in a copy of Keras 3's own it would track what is put in
        return items
    with contextlib.suppress(Exception):  # a dict that can't be changed, or whose `__getattr__` raises KeyError
        if type(value) is not cls:
            value = value.__wrapped__  # TensorFlow's wrapper of it
        if getattr(value, "__dict__", None) is not value:  # else the copy's attributes would be the old items
            new = copy.copy(value)  # a defaultdict's factory, a subclass's attributes
            for key, item in items.items():
                new[key] = item
            return new
    return cls(items)


def _cast_of_keras(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_name(value)
    if name == dtype or name not in which:
        return value
    keras = _keras_of(type(value))
    caster = keras.ops if hasattr(keras, "ops") else sys.modules["tensorflow"]
    return _private_precision.with_mask(caster.cast(value, dtype), value)


def _cast_of_tensorflow(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_name(value)
    if name == dtype or name not in which:
        return value
    return _private_precision.with_mask(sys.modules["tensorflow"].cast(value, dtype), value)


def _cast_of_jax(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_name(value)
    if name == dtype or name not in which:
        return value
    dtype = sys.modules["jax"].dtypes.canonicalize_dtype(dtype)  # float64 is float32 where JAX has no 64 bits
    return value if value.dtype == dtype else _private_precision.with_mask(value.astype(dtype), value)


def _cast_sparse_of_jax(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_name(value)
    if name == dtype or name not in which:
        return value
    return sys.modules["jax"].tree_util.tree_map(lambda leaf: _cast_of_jax(leaf, dtype, base, which), value)


def _cast_of_torch(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_name(value)
    if name == dtype or name not in which:
        return value
    return _private_precision.with_mask(value.to(getattr(sys.modules["torch"], dtype)), value)


def _cast_array(value: Any, dtype: str, base: Any, which: frozenset[str]) -> Any:
    name = dtype_name(value)
    if name not in which:
        return value
    if base is None:
        return value if name == dtype else value.astype(_numpy_dtype(dtype))
    keras = _keras_of(base)
    if name == dtype and hasattr(keras, "ops") and keras.backend.backend() == "numpy":
        return value  # arrays are the tensors there
    return as_tensor(value, dtype, base)


def _numpy_dtype(name: str) -> Any:
    """NumPy's dtype of this name; bfloat16 comes from `ml_dtypes`, which every backend with it brings."""
    if name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return name


def _keras_of(cls: type) -> Any:
    """The Keras that a class of Keras's belongs to."""
    packages = (_keras.package_of(base.__module__) for base in cls.__mro__)
    return sys.modules[next(filter(None, packages))]


#: Whose tensors there are, and how each is told and cast.
_TENSORS: tuple[tuple[str, _Kind, Callable[[Any, Any], bool]], ...] = (
    ("numpy", _cast_array, _is_of_numpy),
    ("keras", _cast_of_keras, _is_of_keras),
    ("tensorflow", _cast_of_tensorflow, _is_of_tensorflow),
    ("jax", _cast_of_jax, _is_of_jax),
    ("jax.experimental.sparse", _cast_sparse_of_jax, _is_sparse_of_jax),
    ("torch", _cast_of_torch, _is_of_torch),
)

#: Types of tensors that have been met. An array becomes one even if it has the dtype.
_tensors: set[type] = set()

#: How values of a type are cast; types of tensors are added when they are met.
_kinds: dict[type, _Kind] = {
    **dict.fromkeys((type(None), bool, int, float, complex, str, bytes), _as_it_is),
    **dict.fromkeys((list, tuple), _cast_sequence),
    dict: _cast_dict,
}
