"""Windows, segments, error functions and complex numbers, which Keras got after 3.0."""

from __future__ import annotations

import functools
import math
import sys
from typing import Any

from keras_buildfix import ops
from keras_buildfix.ops._finding import floatx, keras_in_use
from keras_buildfix.ops._later._values import (
    as_tensor,
    backend,
    in_float,
    in_single,
    is_floating,
    over_tensorflow,
)
from keras_buildfix.ops._making import dtype_name
from keras_buildfix.ops._symbolic import is_symbolic, symbolically
from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()


def _polynomial(x: Any, *coefficients: float) -> Any:
    """The polynomial with these coefficients, that of the highest power first."""
    found: Any = coefficients[0]
    for coefficient in coefficients[1:]:
        found = found * x + coefficient
    return found


#: erfc(x) * exp(x ** 2) / t by powers of t = 2 / (2 + x), for x >= 1: fitted for this package, error below 3e-9.
_ERFC = (
    -0.0784926176, 0.253569736, -0.25087712, 0.0275693221, -0.026142108, 0.0871303703, 0.176007473, 0.246846591,
    0.282094553, 0.282094792,
)  # fmt: skip
#: erfinv(x) / x by powers of w - 2.5 and sqrt(w) - 3, where w = -log(1 - x ** 2); error below 2e-7.
_ERFINV = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
    0.246640727, 1.50140941,
)  # fmt: skip
_ERFINV_FAR = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
    1.00167406, 2.83297682,
)  # fmt: skip


@OPERATIONS.add
def erfc(x: Any) -> Any:
    return in_single(_erfc, in_float(x))


def _erfc(x: Any) -> Any:
    size = ops.abs(x)
    far = ops.clip(size, 0.5, 30.0)  # 0 beyond it; and no branch has an infinite gradient
    t = 2.0 / (2.0 + far)
    tail = ops.exp(-far * far) * t * _polynomial(t, *_ERFC)
    return ops.where(size < 1.0, 1.0 - ops.erf(x), ops.where(x < 0.0, 2.0 - tail, tail))


@OPERATIONS.add
def erfinv(x: Any) -> Any:
    return in_single(_erfinv, in_float(x))


def _erfinv(x: Any) -> Any:
    w = -ops.log1p(-x * x)
    near = _polynomial(ops.minimum(w, 5.0) - 2.5, *_ERFINV)
    found = x * ops.where(w < 5.0, near, _polynomial(ops.sqrt(ops.maximum(w, 5.0)) - 3.0, *_ERFINV_FAR))
    if dtype_name(x) == "float64":
        found = found - (ops.erf(found) - x) * (math.sqrt(math.pi) / 2) * ops.exp(found * found)
    return ops.where(ops.equal(ops.abs(x), 1.0), x * math.inf, found)


@OPERATIONS.add
def i0(x: Any) -> Any:
    x = as_tensor(x)
    return in_single(_i0, ops.cast(x, "float64") if dtype_name(x) == "int64" else in_float(x))


def _i0(x: Any, scale: float = 0.0) -> Any:
    """The Bessel function, divided by exp(scale): the mean of exp(x cos t) over t by the midpoint rule.

    For a periodic function that is exact to the last digit, as soon as there are enough points.
    """
    points = 160 if dtype_name(x) == "float64" else 32
    cosines = [math.cos(math.pi * (at + 0.5) / points) for at in range(points)]
    angles = ops.cast(ops.convert_to_tensor(cosines, dtype=dtype_name(x)), dtype_name(x))
    return ops.sum(ops.exp(ops.expand_dims(ops.abs(x), -1) * angles - (math.log(points) + scale)), axis=-1)


@OPERATIONS.add
def sinc(x: Any) -> Any:
    x = in_float(x)
    is_zero = ops.equal(x, 0.0)
    angle = ops.where(is_zero, ops.ones_like(x), x) * math.pi
    return ops.where(is_zero, ops.ones_like(x), ops.sin(angle) / angle)


def _positions(x: Any) -> Any:
    """Where the points of a window of size `x` lie, from -1 to 1; a single one is in the middle."""
    try:
        size: Any = int(x)
        last: Any = max(size - 1, 1)
    except TypeError:  # a tensor inside of tf.function
        size, last = x, ops.maximum(ops.cast(x, floatx()) - 1.0, 1.0)
    last_one = size - 1 if isinstance(size, int) else ops.cast(x, floatx()) - 1.0
    return (2.0 * ops.arange(size, dtype=floatx()) - last_one) / last


@OPERATIONS.add
def bartlett(x: Any) -> Any:
    return 1.0 - ops.abs(_positions(x))


@OPERATIONS.add
def blackman(x: Any) -> Any:
    angle = _positions(x) * math.pi
    return 0.42 + 0.5 * ops.cos(angle) + 0.08 * ops.cos(2.0 * angle)


@OPERATIONS.add
def hamming(x: Any) -> Any:
    return 0.54 + 0.46 * ops.cos(_positions(x) * math.pi)


@OPERATIONS.add
def hanning(x: Any) -> Any:
    return 0.5 + 0.5 * ops.cos(_positions(x) * math.pi)


@OPERATIONS.add
def kaiser(x: Any, beta: Any) -> Any:
    beta = abs(float(beta))
    inside = ops.sqrt(ops.maximum(1.0 - ops.square(_positions(x)), 0.0))
    # Both are divided by exp(beta), so that a large one does not overflow.
    return _i0(beta * inside, beta) / _i0(ops.convert_to_tensor(beta, dtype=floatx()), beta)


@OPERATIONS.add
def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    if mode not in ("valid", "same", "full"):
        raise ValueError(f"correlate: mode is 'valid', 'same' or 'full'; got {mode!r}")
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if len(x1.shape) != 1 or len(x2.shape) != 1:
        raise ValueError(f"correlate: x1 and x2 have one axis each; got the shapes {x1.shape} and {x2.shape}")
    sizes = x1.shape[0], x2.shape[0]
    if None not in sizes and sizes[0] < sizes[1]:
        return ops.flip(correlate(x2, x1, mode))
    dtype = _correlated(dtype_name(x1), dtype_name(x2))
    wide = "float64" if dtype == "float64" else "float32"
    shift = sizes[1] - 1
    before, after = {"valid": (0, 0), "same": (sizes[1] // 2, shift - sizes[1] // 2), "full": (shift, shift)}[mode]
    x1 = ops.pad(ops.cast(x1, wide), [[before, after]])
    kernel = ops.reshape(ops.cast(x2, wide), (-1, 1, 1))
    found = ops.conv(ops.reshape(x1, (1, -1, 1)), kernel, padding="valid", data_format="channels_last")
    return ops.cast(ops.reshape(found, (-1,)), dtype)


def _correlated(*dtypes: str) -> str:
    """The dtype of a correlation: all of ints is computed in floats, in 64 bits if one has so many."""
    if not any("float" in dtype for dtype in dtypes):
        return "float64" if "int64" in dtypes else "float32"
    found = {dtype for dtype in dtypes if "float" in dtype}
    return found.pop() if len(found) == 1 else "float64" if "float64" in found else "float32"


@OPERATIONS.add
def ifft2(x: Any) -> Any:
    real, imag = map(as_tensor, x)
    # With both parts exchanged, before and after, it is the transform itself, save for the size.
    turned, found = ops.fft2((imag, real))
    height, width = real.shape[-2:]
    if height is None or width is None:
        size = ops.sum(ops.ones_like(real), axis=(-2, -1), keepdims=True)
    else:
        size = height * width
    return found / size, turned / size


def _segments(name: str) -> None:
    """Enters a reduction of segments. Each backend has it: that of `segment_max` is wrong on older ones of torch."""

    def operation(data: Any, segment_ids: Any, num_segments: Any = None, sorted: bool = False) -> Any:
        data, ids = as_tensor(data), as_tensor(segment_ids)
        if len(ids.shape) != 1 or (None not in (ids.shape[0], data.shape[0]) and ids.shape[0] != data.shape[0]):
            raise ValueError(
                f"{name}: segment_ids are of one axis, as long as the first one of data; got the shapes {ids.shape} of "
                f"segment_ids and {data.shape} of data."
            )
        reduce = functools.partial(_reduced, name, size=num_segments, sorted=sorted)
        if is_symbolic(data) or is_symbolic(ids):
            return _segments_class(keras_in_use())(reduce, num_segments)(data, ids)
        return reduce(data, ids)

    operation.__name__ = name
    OPERATIONS.add(operation)


@functools.cache
def _segments_class(keras: Any) -> Any:
    """The operation of a functional model: its shape can't be found by a run, for which the batch gets some size."""

    class Segments(keras.Operation):  # type: ignore[misc]
        def __init__(self, reduce: Any, size: Any, *, name: str | None = None) -> None:
            super().__init__(name=name)
            self.reduce, self.size = reduce, size

        def call(self, data: Any, ids: Any) -> Any:
            return self.reduce(data, ids)

        def compute_output_spec(self, data: Any, ids: Any) -> Any:
            return keras.KerasTensor((self.size, *data.shape[1:]), dtype=data.dtype)

    return Segments


def _reduced(name: str, data: Any, ids: Any, size: Any, sorted: bool) -> Any:
    if backend() == "tensorflow":
        return over_tensorflow(name)(data, ids, size, sorted)
    size = int(ids.max()) + 1 if size is None else size
    if backend() == "jax":
        return getattr(sys.modules["jax"].ops, name)(data, ids, size, indices_are_sorted=sorted)
    return (_segments_on_torch if backend() == "torch" else _segments_on_numpy)(name, data, ids, size)


def _neutral(name: str, info: Any) -> Any:
    """What an empty segment gives: 1, or the largest number."""
    return 1 if name == "segment_prod" else info.max if "int" in str(info.dtype) else math.inf


def _segments_on_torch(name: str, data: Any, ids: Any, size: int) -> Any:
    torch: Any = sys.modules["torch"]
    info = (torch.finfo if is_floating(data) else torch.iinfo)(data.dtype)
    # Ids below 0 belong to no segment: they go to one more, which is cut off.
    rows = torch.where(ids < 0, size, ids).long().to(data.device)
    rows = rows.reshape(-1, *[1] * (data.ndim - 1)).expand(data.shape)
    start = torch.full((size + 1, *data.shape[1:]), _neutral(name, info), dtype=data.dtype, device=data.device)
    return start.scatter_reduce(0, rows, data, "prod" if name == "segment_prod" else "amin")[:size]


def _segments_on_numpy(name: str, data: Any, ids: Any, size: int) -> Any:
    np: Any = sys.modules["numpy"]
    info = (np.finfo if is_floating(data) else np.iinfo)(data.dtype)
    found = np.full((size, *data.shape[1:]), _neutral(name, info), data.dtype)
    (np.multiply if name == "segment_prod" else np.minimum).at(found, ids[ids >= 0], data[ids >= 0])
    return found


_segments("segment_min")
_segments("segment_prod")


@OPERATIONS.add
@symbolically
def view_as_complex(x: Any) -> Any:
    x = as_tensor(x)
    if len(x.shape) < 1 or x.shape[-1] != 2:
        raise ValueError(f"view_as_complex: the last axis of x is of size 2 (real, imaginary); got the shape {x.shape}")
    if backend() == "tensorflow":
        return over_tensorflow("view_as_complex")(x)
    x = ops.cast(x, "float32")
    return x[..., 0] + 1j * x[..., 1]


@OPERATIONS.add
def view_as_real(x: Any) -> Any:
    if not hasattr(x, "dtype"):
        x = as_tensor(x)
    if backend() == "tensorflow" or is_symbolic(x):
        return ops.stack([ops.real(x), ops.imag(x)], axis=-1)
    # A Keras that knows no complex dtype takes no such tensor.
    return ops.stack([x.real, x.imag] if "complex" in dtype_name(x) else [x, ops.zeros_like(x)], axis=-1)
