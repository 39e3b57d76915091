"""Functions over TensorFlow that reduce, sort, accumulate and count: ``sum``, ``argmax``, ``sort``, ``cumsum``..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_buildfix.ops._axes import axes_or_all, axis_of
from keras_buildfix.ops._dtypes import result_type
from keras_buildfix.ops._finding import floatx
from keras_buildfix.ops._later.reductions import SUMS_OF, quantile_of
from keras_buildfix.ops._symbolic import is_symbolic
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import (
    dtype_of,
    in_float,
    is_tensor,
    name_of,
    tensor,
    together,
)

OPERATIONS = Operations()

#: In which dtype TensorFlow compares and accumulates what it can't in every way (XLA has fewer dtypes, as has sorting).
_PLAIN = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "int32", "uint16": "int32", "uint32": "int64"}


def _added(x: Any, dtype: Any = None) -> Any:
    x = tensor(x)
    return tensor(x, SUMS_OF.get(x.dtype.name) if dtype is None else name_of(dtype))


def _plain(x: Any) -> Any:
    return tensor(x, _PLAIN.get(x.dtype.name))


def _is_float(x: Any) -> bool:
    return bool(x.dtype.is_floating)


@OPERATIONS.add
def sum_(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_sum(_added(x), axis, keepdims)


@OPERATIONS.add
def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    return tf.reduce_prod(_added(x, dtype), axis, keepdims)


@OPERATIONS.add
def all_(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_all(tensor(x, "bool"), axis, keepdims)


@OPERATIONS.add
def any_(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_any(tensor(x, "bool"), axis, keepdims)


@OPERATIONS.add
def count_nonzero(x: Any, axis: Any = None) -> Any:
    return tf.math.count_nonzero(tensor(x), axis, dtype="int32")


def _in_wide_float(reduce: Callable[..., Any], x: Any, axis: Any, keepdims: bool, ints_become: str) -> Any:
    """Reduces in float32 at least, for half precision soon overflows, and returns the result in the dtype of `x`."""
    x = tensor(x)
    if x.dtype in (tf.float32, tf.float64):
        return reduce(x, axis, keepdims)
    dtype = result_type(x.dtype.name, ints_become, floatx=floatx())
    return tensor(reduce(tensor(x, result_type(dtype, "float32")), axis, keepdims), dtype)


@OPERATIONS.add
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    x = tensor(x)
    is_int = not (_is_float(x) or x.dtype.is_complex)
    return _in_wide_float(tf.reduce_mean, x, axis, keepdims, "float32" if is_int else "float")


@OPERATIONS.add
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _in_wide_float(tf.math.reduce_variance, x, axis, keepdims, "float")


@OPERATIONS.add
def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _in_wide_float(tf.math.reduce_std, x, axis, keepdims, "float")


@OPERATIONS.add
def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    if weights is None:
        return _in_wide_float(tf.reduce_mean, x, axis, False, "float")
    x, weights = together(x, weights, at_least="float")
    if x.shape.rank != weights.shape.rank and weights.shape.rank == 1 and axis in range(-x.shape.rank, x.shape.rank):
        at = axis % x.shape.rank
        weights = tf.reshape(weights, [-1 if i == at else 1 for i in range(x.shape.rank)])
        fits = weights.shape[at : at + 1].is_compatible_with(x.shape[at : at + 1])
    else:
        fits = weights.shape.is_compatible_with(x.shape)
    if not fits:
        raise ValueError(
            f"ops.average: weights must have the shape of x, or be of one axis, as long as x along the `axis` that is "
            f"given. x is of shape {tuple(x.shape)}, weights of {tuple(weights.shape)}, axis={axis}."
        )
    wide = result_type(x.dtype.name, "float32")
    wide_weights = tf.broadcast_to(tensor(weights, wide), tf.shape(x))
    found = tf.reduce_sum(tensor(x, wide) * wide_weights, axis) / tf.reduce_sum(wide_weights, axis)
    return tensor(found, x.dtype.name)


def _extreme(x: Any, axis: Any, keepdims: bool, initial: Any, name: str) -> Any:
    """The greatest or least element. TensorFlow alone would return an infinity for no elements."""
    x = tensor(x)
    reduce, of_bools, choose, choose_bool = {
        "max": (tf.reduce_max, tf.reduce_any, tf.maximum, tf.logical_or),
        "min": (tf.reduce_min, tf.reduce_all, tf.minimum, tf.logical_and),
    }[name]
    axes = axes_or_all(axis, x.shape.rank, name)
    if initial is None and any(x.shape[each] == 0 for each in axes):
        raise ValueError(f"ops.{name}: no elements, in shape {tuple(x.shape)} along axis={axis}. Give `initial`.")
    unknown = [each for each in axes if x.shape[each] is None]
    if initial is None and unknown and isinstance(x, tf.Tensor):
        some = tf.reduce_all(tf.gather(tf.shape(x), unknown) > 0)
        with tf.control_dependencies([tf.debugging.Assert(some, [f"ops.{name}: no elements along axis={axis}."])]):
            x = tf.identity(x)
    is_bool = x.dtype == tf.bool
    found = (of_bools if is_bool else reduce)(x, axis, keepdims)
    if initial is None:
        return found
    if is_bool or is_tensor(initial):
        initial = tensor(initial, x.dtype.name)
    return (choose_bool if is_bool else choose)(found, tf.convert_to_tensor(initial, x.dtype))


@OPERATIONS.add
def max_(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    return _extreme(x, axis, keepdims, initial, "max")


@OPERATIONS.add
def min_(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    return _extreme(x, axis, keepdims, initial, "min")


@OPERATIONS.add
def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _extreme(x, axis, keepdims, None, "max")


@OPERATIONS.add
def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _extreme(x, axis, keepdims, None, "min")


def _keys(x: Any, nan: str = "max", zeros: int = 0) -> Any:
    """Integers in the order of the values of `x`: TensorFlow's order of NaN is chance.

    NaN is the greatest or the least; -0.0 is as great as 0.0, or less with ``zeros=1``.
    """
    if not _is_float(x):
        return _plain(x)
    wide = result_type(x.dtype.name, "float32")
    ints = tf.int64 if wide == "float64" else tf.int32
    bits = tf.bitcast(tensor(x, wide), ints)
    keys = tf.where(bits < 0, -tf.bitwise.bitwise_and(bits, ints.max) - zeros, bits)
    return tf.where(tf.math.is_nan(x), tf.constant(getattr(ints, nan), ints), keys)


def _index(find: Callable[..., Any], x: Any, axis: Any, keepdims: bool, nan: str) -> Any:
    keys = _keys(tensor(x), nan, zeros=1)
    rank = keys.shape.rank
    found = find(tf.reshape(keys, [-1]) if axis is None else keys, axis or 0, output_type=tf.int32)
    if not keepdims:
        return found
    return tf.reshape(found, [1] * rank) if axis is None else tf.expand_dims(found, axis)


@OPERATIONS.add
def argmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _index(tf.argmax, x, axis, keepdims, "max")


@OPERATIONS.add
def argmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _index(tf.argmin, x, axis, keepdims, "min")


def _along(x: Any, axis: Any) -> tuple[Any, int]:
    """`x` and the axis, or `x` in one axis where none is given, and for a number."""
    return (x, axis) if axis is not None and x.shape.rank else (tf.reshape(x, [-1]), 0)


@OPERATIONS.add
def argsort(x: Any, axis: Any = -1) -> Any:
    x, axis = _along(_keys(tensor(x)), axis)
    return tf.argsort(x, axis, stable=True)


@OPERATIONS.add
def sort(x: Any, axis: Any = -1) -> Any:
    x, axis = _along(tensor(x), axis)
    if not _is_float(x):
        return tensor(tf.sort(_plain(x), axis), x.dtype.name)
    nan = tf.math.is_nan(x)
    found = tf.sort(tf.where(nan, tf.constant(float("inf"), x.dtype), x), axis)
    # TensorFlow's order of NaN is chance: they come last here. As many places at the end as there are NaN:
    from_end = tf.cumsum(tf.ones_like(nan, tf.int32), axis, reverse=True)
    is_last = from_end <= tf.reduce_sum(tf.cast(nan, tf.int32), axis, keepdims=True)
    return tf.where(is_last, tf.constant(float("nan"), x.dtype), found)


def _accumulated(accumulate: Callable[..., Any], x: Any, axis: Any, dtype: Any) -> Any:
    x = tensor(x, None if dtype is None else name_of(dtype))
    x, axis = _along(tensor(x, "int32" if x.dtype == tf.bool else None), axis)
    return tensor(accumulate(_plain(x), axis), x.dtype.name)


@OPERATIONS.add
def cumsum(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    return _accumulated(tf.math.cumsum, x, axis, dtype)


@OPERATIONS.add
def cumprod(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    return _accumulated(tf.math.cumprod, x, axis, dtype)


@OPERATIONS.add
def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    a = tensor(a)
    rank = a.shape.rank
    if n < 0:
        raise ValueError(f"ops.diff: n must not be negative, but is {n}.")
    before = (slice(None),) * axis_of(axis, rank, "diff")
    subtract = tf.not_equal if a.dtype == tf.bool else tf.subtract
    for _ in range(n):
        a = subtract(a[(*before, slice(1, None))], a[(*before, slice(None, -1))])
    return a


@OPERATIONS.add
def nonzero(x: Any) -> Any:
    x = tensor(x)
    if not x.shape.rank:
        raise ValueError("ops.nonzero: x must have an axis, but is a number.")
    places = tf.cast(tf.where(tensor(x, "bool")), tf.int32)
    return tuple(tf.unstack(places, x.shape.rank, axis=1))


@OPERATIONS.add
def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    x = tensor(x)
    if _is_float(x) or x.shape.rank not in (1, 2):
        raise ValueError(
            f"ops.bincount: x must be integers in one or two axes, not {x.dtype.name} of {tuple(x.shape)}."
        )
    dtype = "int32" if weights is None else dtype_of(x, weights)
    x = _plain(x)
    if not is_symbolic(x):
        with tf.control_dependencies([tf.debugging.assert_non_negative(x)]):
            x = tf.identity(x)
    if sparse:
        weights = None if weights is None else tensor(weights, dtype if dtype in ("float64", "int64") else "float32")
        found = tf.sparse.bincount(x, weights, minlength=minlength or None, axis=-1)
        return tf.SparseTensor(found.indices, tf.cast(found.values, dtype), found.dense_shape)
    # As a sum of ones, because tf.math.bincount has no gradients, and fewer dtypes.
    weights = tf.ones_like(x, dtype) if weights is None else tensor(weights, dtype)
    size = tf.maximum(tf.reduce_max(x) + 1, minlength)  # the maximum of nothing is very negative
    if x.shape.rank == 1:
        return tf.math.unsorted_segment_sum(weights, x, size)
    rows = tf.shape(x, x.dtype)[0] if x.shape[0] is None else x.shape[0]
    each_row = tf.math.unsorted_segment_sum(weights, x + size * tf.range(rows, dtype=x.dtype)[:, None], rows * size)
    return tf.reshape(each_row, [rows, size])


def _searched(sequence: Any, values: Any, side: str) -> Any:
    """Where each value goes in a sorted sequence: NaN to its end, which XLA puts first."""
    sequence, flat = _plain(sequence), _plain(tf.reshape(values, [-1]))
    found = tf.searchsorted(sequence, flat, side)
    if _is_float(flat):
        found = tf.where(tf.math.is_nan(flat), tf.size(sequence), found)
    return tf.ensure_shape(tf.reshape(found, tf.shape(values)), values.shape)


@OPERATIONS.add
def digitize(x: Any, bins: Any) -> Any:
    x, bins = together(x, bins)
    if bins.shape.rank != 1:
        raise ValueError(f"ops.digitize: bins must have one axis, not shape {tuple(bins.shape)}.")
    bins = _plain(bins)
    rises, falls = tf.reduce_all(bins[1:] >= bins[:-1]), tf.reduce_all(bins[1:] <= bins[:-1])
    if not is_symbolic(bins):
        with tf.control_dependencies(
            [tf.debugging.Assert(rises | falls, ["ops.digitize: bins must rise or fall", bins])]
        ):
            bins = tf.identity(bins)
    falling = tf.size(bins) - _searched(tf.reverse(bins, [0]), x, "left")
    return tf.where(rises, _searched(bins, x, "right"), falling)


@OPERATIONS.add
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    sequence, values = together(sorted_sequence, values)
    if sequence.shape.rank != 1:
        raise ValueError(f"ops.searchsorted: sorted_sequence must have one axis, not shape {tuple(sequence.shape)}.")
    return _searched(sequence, values, side)


@OPERATIONS.add
def quantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    return quantile_of("quantile", in_float(x), q, axis, method, keepdims)


@OPERATIONS.add
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return quantile_of("median", in_float(x), 0.5, axis, "linear", keepdims)
