"""Functions that reduce, sort and count, which Keras got after 3.0: ``nansum``, ``percentile``, ``unique``..."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from keras_buildfix import ops
from keras_buildfix.ops._axes import axes_of, axes_or_all
from keras_buildfix.ops._dtypes import result_type
from keras_buildfix.ops._finding import floatx
from keras_buildfix.ops._later._values import as_tensor, backend, followed, in_float, is_floating
from keras_buildfix.ops._making import dtype_name
from keras_buildfix.ops._symbolic import is_symbolic, symbolically
from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()

#: In which dtype integers are added up and multiplied.
SUMS_OF = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}
_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")
_FAR = 2**31 - 1


def _summed(x: Any) -> Any:
    """A tensor in the dtype of its sum. PyTorch has no uint32."""
    dtype = SUMS_OF.get(dtype_name(x), "")
    dtype = "int32" if dtype == "uint32" and backend() == "torch" else dtype
    return ops.cast(x, dtype) if dtype else x


def _full(like: Any, value: float) -> Any:
    return ops.full_like(like, value)


def _with_nan_as(x: Any, value: float) -> Any:
    """A tensor with another value in place of NaN."""
    x = as_tensor(x)
    return ops.where(ops.isnan(x), _full(x, value), x) if is_floating(x) else x


# Quantiles.


def quantile_of(name: str, x: Any, q: Any, axis: Any, method: str, keepdims: bool, skip_nan: bool = False) -> Any:
    """The quantiles of a tensor of floats; one of NaN is NaN, or with `skip_nan` that of the other values.

    Args:
        name: The function, for errors.
        x: The tensor.
        q: A fraction, or several in one axis, which comes first in the result.
        axis: The axis or axes, None for all.
        method: What to do between two values.
        keepdims: Whether the axes stay, of size 1.
        skip_nan: Whether NaN is left out.

    Returns:
        A tensor.
    """
    if method not in _METHODS:
        raise ValueError(f"ops.{name}: method must be one of {', '.join(_METHODS)}, not {method!r}.")
    if is_symbolic(x) and tuple(x.shape).count(None) > 1 and isinstance(axis, (list, tuple)):
        # Such a shape can't be said, only computed.
        return symbolically(quantile_of)(name, x, q, axis, method, keepdims, skip_nan)
    exact = "float32" if backend() == "jax" else "float64"
    fractions, q_rank = _fractions(name, q, exact)
    y, axes = _axes_last(name, x, axis)
    nan = ops.isnan(y)
    in_order = ops.sort(ops.where(nan, _full(y, math.inf), y), axis=-1)
    count = y.shape[-1]
    is_same = count is not None and not skip_nan  # as many values in each row
    if is_same:
        places = fractions * (count - 1)
    else:
        count = ops.sum(ops.cast(ops.logical_or(not skip_nan, ops.logical_not(nan)), exact), axis=-1, keepdims=True)
        # By `multiply`, as in other places here: a tensor of JAX times a symbolic one is an error.
        places = ops.multiply(ops.convert_to_tensor(fractions, dtype=exact), count - 1)
    found = _at(in_order, places, method, is_same)
    no_value = ops.any(nan, axis=-1, keepdims=True) if not skip_nan else ops.all(nan, axis=-1, keepdims=True)
    found = ops.where(no_value, _full(found, math.nan), found)
    found = ops.moveaxis(found, -1, 0) if q_rank else found[..., 0]
    for each in axes if keepdims else ():
        found = ops.expand_dims(found, each + q_rank)
    return found


def _fractions(name: str, q: Any, exact: str) -> tuple[Any, int]:
    """Fractions in one axis, as an array of NumPy where they are known, and how many axes they had."""
    import numpy as np

    if hasattr(q, "dtype") and not isinstance(q, (np.ndarray, np.generic)):
        rank = len(q.shape)
        found = ops.clip(ops.reshape(ops.cast(q, exact), (-1,)), 0.0, 1.0)
    else:
        found = np.asarray(q, "float64")
        rank = found.ndim
        found = found.reshape(-1)
        if not bool(np.all((found >= 0) & (found <= 1))):
            most = 100 if name.endswith("percentile") else 1
            raise ValueError(f"ops.{name}: q must be from 0 to {most}, not {(found * most).tolist()}.")
    if rank > 1:
        raise ValueError(f"ops.{name}: q must be a number or of one axis, not of {rank}.")
    return found, rank


def _axes_last(name: str, x: Any, axis: Any) -> tuple[Any, list[int]]:
    """A tensor with these axes as its last one, and the axes in order."""
    rank = len(x.shape)
    axes = sorted(axes_or_all(axis, rank, name))
    if len(axes) == rank:
        return ops.reshape(x, (-1,)), axes
    kept = [each for each in range(rank) if each not in axes]
    sizes = ops.shape(x)
    x = ops.transpose(x, kept + axes)
    if len(axes) == 1:
        return x, axes
    merged = [sizes[each] for each in axes]
    shape = [*(sizes[each] for each in kept), math.prod(merged) if all(isinstance(d, int) for d in merged) else None]
    return ops.reshape(x, [-1 if each is None else each for each in shape]), axes


def _at(in_order: Any, places: Any, method: str, is_same: bool) -> Any:
    """The values at places between those in order: the same places in each row, or other ones."""
    import numpy as np

    way: Any = np if isinstance(places, np.ndarray) else ops

    def at(index: Any) -> Any:
        index = ops.cast(way.maximum(index, 0), "int32")
        return ops.take(in_order, index, axis=-1) if is_same else ops.take_along_axis(in_order, index, axis=-1)

    low, high = way.floor(places), way.ceil(places)
    if method in ("lower", "higher", "nearest"):
        return at(low if method == "lower" else high if method == "higher" else way.round(places))
    part = ops.cast(places - low if method == "linear" else (high - low) / 2, dtype_name(in_order))
    lower = at(low)
    return ops.where(ops.equal(part, 0), lower, lower * (1 - part) + at(high) * part)


@OPERATIONS.add
def percentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    return quantile_of("percentile", in_float(x), _hundredths(q), axis, method, keepdims)


@OPERATIONS.add
def nanpercentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    return quantile_of("nanpercentile", in_float(x), _hundredths(q), axis, method, keepdims, True)


@OPERATIONS.add
def nanquantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    return quantile_of("nanquantile", in_float(x), q, axis, method, keepdims, True)


@OPERATIONS.add
def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return quantile_of("nanmedian", in_float(x), 0.5, axis, "linear", keepdims, True)


def _hundredths(q: Any) -> Any:
    import numpy as np

    return q / 100 if hasattr(q, "dtype") else np.asarray(q, "float64") / 100


# Reductions that skip NaN.


def _reduced(reduce: Callable[..., Any], x: Any, axis: Any, keepdims: bool) -> Any:
    """A reduction, axis by axis: older releases fail for several, and forget `keepdims` for all, on PyTorch."""
    rank = len(x.shape)
    if axis is None:
        found = reduce(x)
        return ops.reshape(found, [1] * rank) if keepdims else found
    for each in sorted(axes_of(axis, rank, reduce.__name__), reverse=True):
        x = reduce(x, axis=each, keepdims=keepdims)
    return x


@OPERATIONS.add
def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _reduced(ops.sum, _summed(_with_nan_as(x, 0.0)), axis, keepdims)


@OPERATIONS.add
def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _reduced(ops.prod, _summed(_with_nan_as(x, 1.0)), axis, keepdims)


def _nan_extreme(reduce: Callable[..., Any], least: float, x: Any, axis: Any, keepdims: bool) -> Any:
    found = _reduced(reduce, _with_nan_as(x, least), axis, keepdims)
    if not is_floating(found):
        return found
    return ops.where(_reduced(ops.all, ops.isnan(x), axis, keepdims), _full(found, math.nan), found)


@OPERATIONS.add
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _nan_extreme(ops.max, -math.inf, as_tensor(x), axis, keepdims)


@OPERATIONS.add
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _nan_extreme(ops.min, math.inf, as_tensor(x), axis, keepdims)


def _nan_index(find: Callable[..., Any], least: float, x: Any, axis: Any, keepdims: bool) -> Any:
    found = find(_with_nan_as(x, least), axis=axis)
    if is_floating(x):
        found = ops.where(ops.all(ops.isnan(x), axis=axis), ops.full_like(found, -1), found)
    if not keepdims:
        return found
    return ops.reshape(found, [1 for _ in x.shape]) if axis is None else ops.expand_dims(found, axis)


@OPERATIONS.add
def nanargmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _nan_index(ops.argmax, -math.inf, as_tensor(x), axis, keepdims)


@OPERATIONS.add
def nanargmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _nan_index(ops.argmin, math.inf, as_tensor(x), axis, keepdims)


def _nan_moments(x: Any, axis: Any, keepdims: bool) -> tuple[Any, Callable[[], Any]]:
    """The mean, and what computes the variance; in float32 at least, for half precision soon overflows."""
    wide = result_type(dtype_name(x), "float32")
    is_there = ops.logical_not(ops.isnan(x))
    x, one = ops.cast(_with_nan_as(x, 0.0), wide), ops.cast(is_there, wide)

    def mean(values: Any, keepdims: bool) -> Any:
        return _reduced(ops.sum, values, axis, keepdims) / _reduced(ops.sum, one, axis, keepdims)

    def variance() -> Any:
        apart = x - mean(x, True)
        return mean(ops.square(ops.where(is_there, apart, ops.zeros_like(apart))), keepdims)

    return mean(x, keepdims), variance


@OPERATIONS.add
def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    x = in_float(x)
    return ops.cast(_nan_moments(x, axis, keepdims)[0], dtype_name(x))


@OPERATIONS.add
def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    x = in_float(x)
    return ops.cast(_nan_moments(x, axis, keepdims)[1](), dtype_name(x))


@OPERATIONS.add
def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    x = in_float(x)
    return ops.cast(ops.sqrt(_nan_moments(x, axis, keepdims)[1]()), dtype_name(x))


def _accumulated(accumulate: Callable[..., Any], x: Any, axis: Any, dtype: Any) -> Any:
    if dtype is None:
        dtype = "int32" if dtype_name(x) == "bool" else dtype_name(x)
    # In 32 bits, which XLA can; what overflows is the same.
    wide = "int32" if dtype in ("int8", "int16", "uint8", "uint16") else dtype
    return ops.cast(accumulate(ops.cast(ops.cast(x, dtype), wide), axis=axis, dtype=wide), dtype)


@OPERATIONS.add
def nancumsum(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    return _accumulated(ops.cumsum, _with_nan_as(x, 0.0), axis, dtype)


@OPERATIONS.add
def nancumprod(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    return _accumulated(ops.cumprod, _with_nan_as(x, 1.0), axis, dtype)


# The rest.


@OPERATIONS.add
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    x = as_tensor(x)
    if dtype_name(x) == "bool":
        raise TypeError("ops.ptp: the range of bools is not defined. Cast them to an integer.")
    return _reduced(ops.max, x, axis, keepdims) - _reduced(ops.min, x, axis, keepdims)


@OPERATIONS.add
def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    x1, x2 = as_tensor(x1), as_tensor(x2)
    dtype = result_type(dtype_name(x1), dtype_name(x2), "float", floatx=floatx())
    is_equal = ops.equal(x1, x2)
    x1, x2 = ops.cast(x1, dtype), ops.cast(x2, dtype)
    # An infinity is close to itself alone, and NaN to nothing.
    apart = ops.abs(ops.subtract(x1, x2))
    is_close = ops.logical_and(ops.isfinite(x2), ops.less_equal(apart, atol + rtol * ops.abs(x2)))
    is_close = ops.logical_or(is_equal, is_close)
    if equal_nan:
        is_close = ops.logical_or(is_close, ops.logical_and(ops.isnan(x1), ops.isnan(x2)))
    return ops.all(is_close)


@OPERATIONS.add
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    del assume_unique  # each is compared with each: nothing to gain
    found = ops.any(ops.equal(ops.expand_dims(as_tensor(x1), -1), ops.reshape(as_tensor(x2), (-1,))), axis=-1)
    return ops.logical_not(found) if invert else found


@OPERATIONS.add
def argpartition(x: Any, kth: int, axis: Any = -1) -> Any:
    x = as_tensor(x)
    size = math.prod(x.shape) if axis is None and None not in x.shape else None if axis is None else x.shape[axis]
    if not isinstance(kth, int) or (size is not None and not -size <= kth < size):
        raise ValueError(f"ops.argpartition: kth must be an int from {-(size or 0)} to {(size or 0) - 1}, not {kth!r}.")
    return ops.argsort(x, axis=axis)


@OPERATIONS.add
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y, x = followed(y, x)
    y = in_float(y)
    heights = ops.moveaxis(y, axis, -1)
    if x is None:
        widths = as_tensor(dx)
    else:
        x = in_float(x)
        x = ops.moveaxis(x, axis, -1) if len(x.shape) > 1 else x
        widths = x[..., 1:] - x[..., :-1]
    dtype = dtype_name(y)
    return ops.sum(ops.multiply(heights[..., 1:] + heights[..., :-1], ops.cast(widths, dtype) / 2), axis=-1)


@OPERATIONS.add
def corrcoef(x: Any) -> Any:
    x = as_tensor(x)
    rank = len(x.shape)
    if rank not in (1, 2):
        raise ValueError(f"ops.corrcoef: x must have one axis or two, rows of variables, not shape {tuple(x.shape)}.")
    given = dtype_name(x)
    dtype = given if is_floating(x) else "float64" if given == "int64" else floatx()
    rows = ops.cast(x, result_type(dtype, "float32"))
    rows = rows if rank == 2 else ops.expand_dims(rows, 0)
    rows = rows - ops.mean(rows, axis=-1, keepdims=True)
    products = ops.matmul(rows, ops.transpose(rows))
    sizes = ops.sqrt(ops.sum(ops.square(rows), axis=-1))
    found = products / ops.expand_dims(sizes, 0) / ops.expand_dims(sizes, 1)
    found = ops.where(ops.abs(found) > 1, ops.sign(found), found)  # not by `clip`, where XLA loses NaN
    found = ops.cast(found, dtype)
    return found if rank == 2 and x.shape[0] != 1 else found[0, 0]


@OPERATIONS.add
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    sequence, values = as_tensor(sorted_sequence), as_tensor(values)
    if len(sequence.shape) != 1 or side not in ("left", "right"):
        raise ValueError(
            f"ops.searchsorted: sorted_sequence must have one axis, and side be 'left' or 'right'; not shape "
            f"{tuple(sequence.shape)} and {side!r}."
        )
    nothing = ops.cast(ops.zeros_like(values), "int32")
    size = sequence.shape[0]
    if size == 0:
        return nothing
    count = ops.sum(ops.ones_like(sequence, dtype="int32")) if size is None else size
    dtype = result_type(dtype_name(sequence), dtype_name(values), floatx=floatx())
    sequence, values = ops.cast(sequence, dtype), ops.cast(values, dtype)
    is_nan = ops.isnan(values)
    found = nothing
    for power in reversed(range(31 if size is None else size.bit_length())):
        further = found + 2**power if power < 31 else found
        there = ops.take(sequence, ops.minimum(further, count) - 1, axis=0)
        goes_on = ops.less(there, values) if side == "left" else ops.less_equal(there, values)
        # NaN is behind all but NaN.
        behind = is_nan if side == "right" else ops.logical_and(is_nan, ops.logical_not(ops.isnan(there)))
        goes_on = ops.logical_and(ops.logical_or(goes_on, behind), further <= count)
        found = ops.where(goes_on, further, found)
    return found


@OPERATIONS.add
def histogram(x: Any, bins: int = 10, range: Any = None) -> Any:
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ValueError(f"ops.histogram: bins must be a positive int, not {bins!r}.")
    x = in_float(x)
    if len(x.shape) != 1:
        raise ValueError(f"ops.histogram: x must have one axis, not shape {tuple(x.shape)}.")
    dtype = dtype_name(x)
    between = (0.0, 1.0) if range is None and x.shape[0] == 0 else range
    if between is not None and (
        not isinstance(between, tuple) or len(between) != 2 or not -math.inf < between[0] <= between[1] < math.inf
    ):
        raise ValueError(f"ops.histogram: range must be a tuple of two finite ones, the lesser first, not {range!r}.")
    low, high = (ops.min(x), ops.max(x)) if between is None else (ops.cast(each, dtype) for each in between)
    half = ops.cast(ops.equal(low, high), dtype) / 2
    low, high = low - half, high + half
    step = ops.cast(ops.arange(bins, dtype="float32"), dtype)
    edges = ops.concatenate([low + (high - low) * step / bins, ops.reshape(high, (1,))], axis=0)
    is_in = ops.logical_and(x >= low, x <= high)
    # By comparing each with each: the searchsorted of Keras 3.5 can't be compiled by TensorFlow.
    places = ops.cast(ops.sum(ops.cast(ops.expand_dims(x, -1) >= edges, "int32"), axis=-1), "int32") - 1
    places = ops.minimum(ops.maximum(places, 0), bins - 1)
    return ops.segment_sum(ops.cast(is_in, dtype), places, num_segments=bins), edges


# unique.


def _stable_order(values: Any) -> Any:
    """The order of values in one axis, equal ones as they come."""
    if backend() != "numpy":
        return ops.argsort(values, axis=0)
    order: Any = sys.modules["numpy"].argsort(values, axis=0, kind="stable")
    return order


def _spots(flags: Any, size: int | None) -> Any:
    """The places of the flags in one axis: as many as there are, or `size`, filled up with one that is far."""
    if size is None:
        return symbolically(lambda flags: ops.cast(ops.nonzero(flags)[0], "int32"))(flags)
    at = ops.cumsum(ops.ones_like(flags, dtype="int32"), axis=0) - 1
    far = ops.full((size,), _FAR, dtype="int32")
    in_order = ops.sort(ops.where(flags, at, ops.full_like(at, _FAR)))
    return ops.take(ops.concatenate([in_order, far], axis=0), list(range(size)), axis=0)


@OPERATIONS.add
def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    del sorted  # always
    x = as_tensor(x)
    first = ops.reshape(x, (-1,)) if axis is None else ops.moveaxis(x, axis, 0)
    if None in first.shape[1:]:
        raise NotImplementedError(
            f"ops.unique: along axis={axis}, the other sizes must be known, which those of shape {tuple(x.shape)} are "
            "not. Keras has it since 3.15 for unknown ones. Give the inputs their sizes."
        )
    rows = ops.expand_dims(first, 1) if len(first.shape) == 1 else ops.reshape(first, (-1, math.prod(first.shape[1:])))
    one = ops.ones_like(rows[:, 0], dtype="int32")
    at, count = ops.cumsum(one, axis=0) - 1, ops.sum(one)
    order = at
    for column in reversed(range(rows.shape[1])):
        order = ops.take(order, _stable_order(ops.take(rows[:, column], order, axis=0)), axis=0)
    in_order = ops.take(rows, order, axis=0)
    is_new = ops.any(ops.not_equal(in_order, ops.roll(in_order, 1, axis=0)), axis=1)
    is_new = ops.logical_or(is_new, ops.equal(at, 0))
    starts, ends = _spots(is_new, size), _spots(ops.roll(is_new, -1, axis=0), size)
    is_there = starts < count
    places = ops.minimum(starts, count - 1)
    found = ops.take(ops.take(first, order, axis=0), places, axis=0)
    if size is not None:
        shown = ops.reshape(is_there, (size, *(1 for _ in first.shape[1:])))
        found = ops.where(shown, found, _full(found, 0 if fill_value is None else fill_value))
    results = [found if axis is None else ops.moveaxis(found, 0, axis)]
    if return_index:
        results.append(ops.where(is_there, ops.take(order, places, axis=0), 1))  # 1 is what Keras fills with
    if return_inverse:
        group = ops.cumsum(ops.cast(is_new, "int32"), axis=0) - 1
        inverse = ops.take(group, ops.argsort(order, axis=0), axis=0)
        shape = [-1 if each is None else each for each in ops.shape(x)]
        results.append(ops.reshape(inverse, shape) if axis is None else inverse)
    if return_counts:
        results.append(ops.where(is_there, ends - starts + 1, 0))
    return tuple(results) if len(results) > 1 else results[0]
