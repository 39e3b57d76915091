"""What the functions over TensorFlow share: values as tensors, in the dtypes of Keras 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_buildfix.ops._dtypes import result_type
from keras_buildfix.ops._finding import floatx
from keras_buildfix.ops._symbolic import following, is_symbolic
from keras_buildfix.ops._table import Operations

_FLOAT32 = tf.float32  # what is there most often, and so asked first
_REALS = frozenset({"bfloat16", "float16", "float32", "float64"})
_FLOATS = _REALS | {"complex64", "complex128"}
#: The dtypes in which tensors that all have one of them meet, as it is: by `at_least`, with their names.
_STAYING = {
    at_least: {tf.as_dtype(name): name for name in names}
    for at_least, names in (
        (None, _FLOATS | {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"}),
        ("float", _FLOATS),
    )
}


def is_tensor(x: Any) -> bool:
    """Whether a value is a tensor that TensorFlow's functions take as it is: no variable, array or number."""
    if isinstance(x, tf.Tensor):  # first what is there most often, here and below
        return True
    return is_symbolic(x) or isinstance(x, (tf.SparseTensor, tf.RaggedTensor, tf.IndexedSlices))


def name_of(dtype: Any) -> str:
    """The name of a dtype that is given as a name, a type of TensorFlow, NumPy or Python; None means ``floatx``."""
    if dtype is None:
        return floatx()
    if isinstance(dtype, type) and dtype in (int, float, bool):
        return {int: "int32", float: floatx(), bool: "bool"}[dtype]
    return str(tf.as_dtype(dtype).name)


def tensor(x: Any, dtype: str | None = None) -> Any:
    """A value as a tensor: Python's ints become int32, its floats ``floatx``; all else keeps its dtype.

    A variable is read, in the dtype in which Keras reads it now. With `dtype`, the tensor is cast to it.
    """
    if type(x) in (int, float) and dtype in _REALS:  # as `_from_python` does it
        return tf.convert_to_tensor(x, dtype)
    if not is_tensor(x):
        has_dtype = isinstance(x, tf.Variable) or hasattr(x, "dtype")
        x = tf.convert_to_tensor(x) if has_dtype else _from_python(x, dtype)
    return x if dtype is None or x.dtype.name == dtype else tf.cast(x, dtype)


def _from_python(x: Any, wanted: str | None = None) -> Any:
    found = tf.nest.flatten(x)
    names = {_weak_name(value) for value in found} or {"float"}
    dtype = None if "" in names else result_type(*names, floatx=floatx())
    target = tf.as_dtype(wanted or dtype or "float32")
    if names == {"int"} and target.is_integer and not target.min <= min(found) <= max(found) <= target.max:
        raise OverflowError(f"{min(found)} to {max(found)} do not fit in {target.name}")
    is_wide = names == {"int"} and wanted in ("uint32", "int64", "uint64")  # a bool, or an int8, takes no 300
    if is_wide or (wanted and names <= {"int", "float"} and tf.as_dtype(wanted).is_floating):
        dtype = wanted  # not by way of int32 or float32, which would cut off 2**40, or the digits of 0.1
    if any(is_tensor(value) or isinstance(value, tf.Variable) for value in found):
        return tf.convert_to_tensor(tf.nest.map_structure(lambda value: tensor(value, dtype), x))
    return tf.convert_to_tensor(x, dtype=dtype)


def _weak_name(x: Any) -> str:
    """The dtype of a value, for `result_type`: "int" and "float" for Python's numbers, "" for what is no number."""
    if isinstance(x, tf.Tensor):
        return str(x.dtype.name)
    if isinstance(x, bool):
        return "bool"
    if isinstance(x, (int, float, complex)) and not hasattr(x, "dtype"):
        return "int" if isinstance(x, int) else "float" if isinstance(x, float) else "complex64"
    return name_of(tensor(x).dtype) if hasattr(x, "dtype") else ""


def alike(values: tuple[Any, ...], at_least: str | None = None) -> str | None:
    """The dtype of values that are all tensors and stay as they are when they meet; else None."""
    dtype = None
    for x in values:
        if not isinstance(x, tf.Tensor):
            return None
        its = x.dtype
        if dtype is not None and its is not dtype:
            return None
        dtype = its
    return "float32" if dtype is _FLOAT32 else _STAYING.get(at_least, {}).get(dtype)


def dtype_of(*values: Any) -> str:
    """The dtype in which values meet: tensors by their dtype, Python's numbers as what widens nothing."""
    one = alike(values)
    if one:
        return one
    return result_type(*(_weak_name(x) or tensor(x).dtype.name for x in values), floatx=floatx())


def together(*values: Any, at_least: str | None = None) -> tuple[Any, ...]:
    """The values as tensors, all cast to the dtype in which they meet; with ``at_least="float"``, to a floating one."""
    if alike(values, at_least):
        return values
    if len(values) == 2 and isinstance(values[0], tf.Tensor) and type(values[1]) in (int, float):
        x, number = values
        if _STAYING["float"].get(x.dtype) in _REALS:  # a number widens no float
            return x, tf.convert_to_tensor(number, x.dtype)
    values = following(*values)
    names = [_weak_name(x) or tensor(x).dtype.name for x in values]
    dtype = result_type(*names, *([at_least] if at_least else ()), floatx=floatx())
    return tuple(tensor(x, dtype) for x in values)


def in_float(x: Any) -> Any:
    """A value as a tensor of floats: ints and bools become ``floatx``."""
    if isinstance(x, tf.Tensor) and (x.dtype is _FLOAT32 or x.dtype in _STAYING["float"]):
        return x
    return together(x, at_least="float")[0]


def sizes(x: Any) -> list[Any]:
    """The size of each axis of a tensor: a number where it is known, else a scalar tensor."""
    if x.shape.rank is None:
        raise ValueError(f"ops.shape needs a tensor whose number of axes is known, not {x}.")
    return [tf.shape(x)[axis] if size is None else size for axis, size in enumerate(x.shape.as_list())]


def unary(table: Operations, name: str, function: Callable[..., Any], *, floating: bool = False) -> None:
    """Enters a function of one tensor ``x``; with `floating`, ints become floats first."""

    def operation(x: Any) -> Any:
        return function(in_float(x) if floating else tensor(x))

    operation.__name__ = name
    table.add(operation)


def binary(table: Operations, name: str, function: Callable[..., Any], *, at_least: str | None = None) -> None:
    """Enters a function of two tensors ``x1`` and ``x2``, which meet in one dtype first."""

    def operation(x1: Any, x2: Any) -> Any:
        return function(*together(x1, x2, at_least=at_least))

    operation.__name__ = name
    table.add(operation)
