"""Functions over TensorFlow that make tensors: from values, of one value, ranges, grids, triangles, diagonals."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_buildfix.ops._axes import as_list
from keras_buildfix.ops._finding import floatx
from keras_buildfix.ops._symbolic import following, is_symbolic
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import dtype_of, is_tensor, name_of, sizes, tensor
from keras_buildfix.ops._tensorflow.shaping import moveaxis

OPERATIONS = Operations()


def _are_numbers(*values: Any) -> bool:
    """Whether all values are Python's numbers: NumPy then computes with them, in float64, what becomes a constant."""
    return all(isinstance(value, (int, float)) for value in values)


def _shape(shape: Any) -> Any:
    return shape if is_tensor(shape) else as_list(shape)


# From values


@OPERATIONS.add
def convert_to_tensor(x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None) -> Any:
    if isinstance(x, tf.SparseTensor) and sparse is False:
        x = tf.sparse.to_dense(x)
    if isinstance(x, tf.RaggedTensor) and ragged is False:
        x = x.to_tensor()
    if not is_tensor(x) and not hasattr(x, "dtype"):
        import numpy

        found = tf.nest.flatten(x)
        kinds = (bool, int, float, numpy.ndarray, numpy.generic)
        # Given a dtype, numbers do not go by way of 32 bits; without one, they are Python's.
        if all(isinstance(each, kinds if dtype else kinds[3:]) for each in found) and found:
            x = _fitting(numpy.asarray(x), dtype)
    return tensor(x, None if dtype is None else name_of(dtype))


def _fitting(x: Any, dtype: Any) -> Any:
    """An array of whole numbers that the dtype holds; a cast would wrap others around without a word."""
    target = tf.as_dtype(name_of(dtype)) if dtype is not None else tf.int64
    if x.size and target.is_integer and x.dtype.kind in "iu" and (x.min() < target.min or x.max() > target.max):
        raise OverflowError(f"{x.min()} to {x.max()} do not fit in {target.name}")
    return x


@OPERATIONS.add
def array(x: Any, dtype: Any = None) -> Any:
    return convert_to_tensor(x, dtype)


@OPERATIONS.add
def copy(x: Any) -> Any:
    return tf.identity(tensor(x))


# Of one value


@OPERATIONS.add
def zeros(shape: Any, dtype: Any = None) -> Any:
    return tf.zeros(_shape(shape), name_of(dtype))


@OPERATIONS.add
def ones(shape: Any, dtype: Any = None) -> Any:
    return tf.ones(_shape(shape), name_of(dtype))


@OPERATIONS.add
def empty(shape: Any, dtype: Any = None) -> Any:
    return zeros(shape, dtype)


@OPERATIONS.add
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    return tf.broadcast_to(convert_to_tensor(fill_value, name_of(dtype)), _shape(shape))


@OPERATIONS.add
def zeros_like(x: Any, dtype: Any = None) -> Any:
    return tf.zeros_like(tensor(x), None if dtype is None else name_of(dtype))


@OPERATIONS.add
def ones_like(x: Any, dtype: Any = None) -> Any:
    return tf.ones_like(tensor(x), None if dtype is None else name_of(dtype))


@OPERATIONS.add
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    x, fill_value = following(x, fill_value)
    x = tensor(x)
    name = name_of(x.dtype if dtype is None else dtype)
    # Not the constant alone: a model that is loaded has it in float32 or int32. (Keras 2 takes an integer below 0 in a
    # sum for the size of an axis.)
    is_number = isinstance(fill_value, (int, float))
    if is_symbolic(x) and is_number and name not in ("float32", "int32") and not (name[0] == "i" and fill_value < 0):
        zeros = tf.zeros_like(x, name)
        add = tf.logical_or if name == "bool" else tf.add
        return add(zeros, convert_to_tensor(fill_value, name))
    return full(sizes(x), fill_value, name)


# Ranges


@OPERATIONS.add
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    if stop is None:
        start, stop = 0, start
    step = 1 if step is None else step
    name = dtype_of(start, stop, step) if dtype is None else name_of(dtype)
    if name == "bool":
        raise TypeError("arange: there is no range of the dtype bool")
    if _are_numbers(start, stop, step):
        if not all(isinstance(each, int) for each in (start, stop, step)):
            import numpy

            return tensor(numpy.arange(start, stop, step, dtype="float64"), name)
        stop = start + len(range(start, stop, step)) * step  # TensorFlow refuses a stop that is before the start
    inner = name if name in ("int32", "int64", "float32", "float64") else "float32" if "float" in name else "int64"
    return tensor(tf.range(*(convert_to_tensor(each, inner) for each in (start, stop, step))), name)


def _range_dtypes(start: Any, stop: Any, dtype: Any) -> tuple[str, str]:
    """The dtype of a range of floats, and the one to compute it in."""
    name = dtype_of(start, stop, 0.0) if dtype is None else name_of(dtype)
    return name, "float64" if tf.as_dtype(name).is_integer or name == "float64" else "float32"


@OPERATIONS.add
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    num = operator.index(num)
    if num < 0:
        raise ValueError(f"linspace: num={num}, but it can't be negative")
    name, inner = _range_dtypes(start, stop, dtype)
    start, stop = convert_to_tensor(start, inner), convert_to_tensor(stop, inner)
    parts = num - 1 if endpoint else num
    step = (stop - start) / tf.cast(parts, inner)
    count = tf.reshape(tf.range(num), [num] + [1] * max(len(start.shape), len(stop.shape)))
    result = start + tf.cast(count, inner) * (step if parts > 0 else stop - start)
    if endpoint and num > 1:
        result = tf.where(tf.equal(count, num - 1), stop, result)
    result = tf.math.floor(result) if tf.as_dtype(name).is_integer else result
    result = tensor(moveaxis(result, 0, axis) if axis else result, name)
    return (result, tensor(step, name if "float" in name else floatx())) if retstep else result


@OPERATIONS.add
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10, dtype: Any = None, axis: int = 0
) -> Any:
    name, inner = _range_dtypes(start, stop, dtype)
    powers = linspace(start, stop, num, endpoint, dtype=inner, axis=axis)
    return tensor(tf.pow(convert_to_tensor(base, inner), powers), name)


# Grids, triangles, diagonals


@OPERATIONS.add
def meshgrid(*x: Any, indexing: str = "xy") -> Any:
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing={indexing!r}, but it must be 'xy' or 'ij'")
    xs = [tf.reshape(tensor(each), [-1]) for each in x]
    order = [1, 0, *range(2, len(xs))] if indexing == "xy" and len(xs) > 1 else list(range(len(xs)))
    shape = [sizes(xs[at])[0] for at in order]
    along = [[-1 if at == number else 1 for at in order] for number in range(len(xs))]
    return [tf.broadcast_to(tf.reshape(each, to), shape) for each, to in zip(xs, along)]


def _compared(compare: Callable[[Any, Any], Any], rows: Any, columns: Any, k: Any, dtype: str) -> Any:
    """A matrix of ones where row + `k` compares with the column, else of zeros."""
    row, column = (tf.range(_whole(each)) for each in (rows, rows if columns is None else columns))
    return tf.cast(compare(row[:, None] + k, column[None, :]), dtype)


def _whole(size: Any) -> Any:
    return tf.cast(size, "int32") if is_tensor(size) else operator.index(size)


@OPERATIONS.add
def eye(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Any:
    return _compared(tf.equal, N, M, k, name_of(dtype))


@OPERATIONS.add
def identity(n: Any, dtype: Any = None) -> Any:
    return eye(n, dtype=dtype)


@OPERATIONS.add
def tri(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Any:
    return _compared(tf.greater_equal, N, M, k, name_of(dtype))


def _lower(x: Any, k: Any, name: str) -> Any:
    """Where an element of the last two axes is on or below a diagonal."""
    if len(x.shape) < 2:
        raise ValueError(f"{name}: x must be of rank 2 or more, not of shape {tuple(x.shape)}")
    rows, columns = sizes(x)[-2:]
    return tri(rows, columns, k, "bool")


@OPERATIONS.add
def tril(x: Any, k: Any = 0) -> Any:
    x = tensor(x)
    return tf.where(_lower(x, k, "tril"), x, tf.zeros_like(x))


@OPERATIONS.add
def triu(x: Any, k: Any = 0) -> Any:
    x = tensor(x)
    return tf.where(_lower(x, k - 1, "triu"), tf.zeros_like(x), x)


@OPERATIONS.add
def diag(x: Any, k: int = 0) -> Any:
    x = tensor(x)
    if len(x.shape) == 1:
        # With its own `k`, TensorFlow does not know the static shape.
        above, below = max(k, 0), max(-k, 0)
        return tf.pad(tf.linalg.diag(x), [[below, above], [above, below]])
    if len(x.shape) != 2:
        raise ValueError(f"diag: x must be of rank 1 or 2, not of shape {tuple(x.shape)}")
    rows, columns = x.shape
    if (columns is not None and k >= columns) or (rows is not None and -k >= rows):
        return tf.reshape(x[:0], [-1])  # TensorFlow refuses a diagonal that is outside of the matrix
    return tf.linalg.diag_part(x, k=k)
