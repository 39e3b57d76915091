"""Fourier transforms, segments, the largest k and error functions over TensorFlow."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_buildfix.ops._finding import floatx
from keras_buildfix.ops._symbolic import following, symbolically
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import in_float, tensor, together, unary

OPERATIONS = Operations()

unary(OPERATIONS, "erf", tf.math.erf)
unary(OPERATIONS, "erfc", tf.math.erfc, floating=True)
unary(OPERATIONS, "rsqrt", tf.math.rsqrt)


def _in_single(function: Any, x: Any) -> Any:
    """A function that TensorFlow has only for float32 and wider."""
    return tf.cast(function(tf.cast(x, "float32")), x.dtype) if x.dtype.size < 4 else function(x)


@OPERATIONS.add
def erfinv(x: Any) -> Any:
    return _in_single(tf.math.erfinv, in_float(x))


@OPERATIONS.add
def i0(x: Any) -> Any:
    x = tensor(x)
    wide = x.dtype.name in ("int64", "float64")
    return _in_single(tf.math.bessel_i0, tf.cast(x, "float64") if wide else in_float(x))


@OPERATIONS.add
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.math.reduce_logsumexp(in_float(x), axis=axis, keepdims=keepdims)


@OPERATIONS.add
def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    return tuple(tf.math.top_k(tensor(x), k, sorted=sorted))


@OPERATIONS.add
def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    return tf.math.in_top_k(tensor(targets), tensor(predictions, "float32"), k)


def _segments(name: str, reduce: Any) -> None:
    """Enters a reduction of segments; not TensorFlow's own for sorted ids, which gives 0 for empty ones."""

    def operation(data: Any, segment_ids: Any, num_segments: Any = None, sorted: bool = False) -> Any:
        data, ids = map(tensor, following(data, segment_ids))
        if ids.shape.rank != 1 or not data.shape[:1].is_compatible_with(ids.shape):
            raise ValueError(
                f"{name}: segment_ids are of one axis, as long as the first one of data; got the shapes {ids.shape} of "
                f"segment_ids and {data.shape} of data."
            )
        if num_segments is None:
            num_segments = tf.reduce_max(ids) + 1
        return reduce(data, ids, num_segments)

    operation.__name__ = name
    OPERATIONS.add(operation)


_segments("segment_sum", tf.math.unsorted_segment_sum)
_segments("segment_max", tf.math.unsorted_segment_max)
_segments("segment_min", tf.math.unsorted_segment_min)
_segments("segment_prod", tf.math.unsorted_segment_prod)


@OPERATIONS.add
def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    return tf.signal.frame(tensor(x), sequence_length, sequence_stride)


def _complex(x: Any) -> Any:
    """A complex tensor of a pair of real ones."""
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(f"x is a tuple of two tensors, the real and the imaginary part; got {x!r}")
    real, imag = map(tensor, x)
    if not real.shape.is_compatible_with(imag.shape):
        raise ValueError(f"the real and the imaginary part have the same shape; got {real.shape} and {imag.shape}")
    if not real.dtype.is_floating or not imag.dtype.is_floating:
        raise ValueError(f"the real and the imaginary part are of floats; got {real.dtype.name} and {imag.dtype.name}")
    return tf.complex(*together(real, imag))


def _pair(x: Any) -> tuple[Any, Any]:
    return tf.math.real(x), tf.math.imag(x)


def _sized(x: Any, size: int | None) -> Any:
    """`x` with this size of the last axis: the rest is cut off, or zeros are added.

    The transforms of TensorFlow could do so, too, but then their gradient has the wrong shape or values.
    """
    if size is None:
        return x
    x = x[..., :size]
    have = x.shape[-1] if x.shape[-1] is not None else tf.shape(x)[-1]
    return tf.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[0, size - have]])


@OPERATIONS.add
def fft(x: Any) -> Any:
    return _pair(tf.signal.fft(_complex(x)))


@OPERATIONS.add
def fft2(x: Any) -> Any:
    return _pair(tf.signal.fft2d(_complex(x)))


@OPERATIONS.add
def ifft2(x: Any) -> Any:
    return _pair(tf.signal.ifft2d(_complex(x)))


def _rfft(x: Any, fft_length: int | None = None) -> Any:
    return _pair(tf.signal.rfft(_sized(tensor(x), fft_length)))


def _irfft(x: Any, fft_length: int | None = None) -> Any:
    if fft_length is None:
        return tf.signal.irfft(_complex(x))
    return tf.signal.irfft(_complex([_sized(tensor(part), fft_length // 2 + 1) for part in x]), [fft_length])


@OPERATIONS.add
@symbolically
def rfft(x: Any, fft_length: int | None = None) -> Any:
    return _rfft(x, fft_length)


@OPERATIONS.add
@symbolically
def irfft(x: Any, fft_length: int | None = None) -> Any:
    return _irfft(x, fft_length)


def _window(window: Any, sequence_length: int, fft_length: int, dtype: Any) -> Any:
    """The window, with zeros around it up to the length of the transform; None if there is none."""
    if window is None:
        return None
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(f"window is 'hann', 'hamming', a tensor or None; got {window!r}")
        # tf.signal's own periodic windows are not periodic where the length is odd.
        part = 0.5 if window == "hann" else 0.54
        angles = tf.range(sequence_length, dtype=dtype) * (2 * math.pi / sequence_length)
        window = part - (1 - part) * tf.cos(angles)
    window = tensor(window, dtype.name)
    if window.shape.rank != 1 or window.shape[0] != sequence_length:
        raise ValueError(f"window is of the shape ({sequence_length},), as sequence_length; got {window.shape}")
    before = (fft_length - sequence_length) // 2
    return tf.pad(window, [[before, fft_length - sequence_length - before]])


def _check_lengths(name: str, sequence_length: int, fft_length: int) -> None:
    if fft_length < sequence_length:
        raise ValueError(f"{name}: fft_length is {fft_length}, which is less than sequence_length, {sequence_length}")


@OPERATIONS.add
@symbolically
def stft(
    x: Any, sequence_length: int, sequence_stride: int, fft_length: int, window: Any = "hann", center: bool = True
) -> Any:
    x = tensor(x)
    if x.dtype.name not in ("float32", "float64"):
        raise TypeError(f"stft: x is of float32 or float64, not of {x.dtype.name}")
    _check_lengths("stft", sequence_length, fft_length)
    window = _window(window, sequence_length, fft_length, x.dtype)
    if center:
        half = fft_length // 2
        x = tf.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[half, half]], mode="REFLECT")
    frames = tf.signal.frame(x, fft_length, sequence_stride)
    return _rfft(frames if window is None else frames * window)


@OPERATIONS.add
@symbolically
def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    frames = _irfft(x, fft_length)
    _check_lengths("istft", sequence_length, fft_length)
    window = _window(window, sequence_length, fft_length, frames.dtype)
    scale = 1.0 if window is not None else fft_length / sequence_stride  # as Keras does it
    window = tf.ones([fft_length], frames.dtype) if window is None else window
    found = tf.signal.overlap_and_add(frames * window * scale, sequence_stride)
    # At both ends fewer frames overlap, so the weights are added up as the frames are.
    rows = tf.ones_like(tf.reshape(frames[..., 0], [-1, frames.shape[-2] or tf.shape(frames)[-2]])[0])
    weights = tf.signal.overlap_and_add(rows[:, None] * tf.square(window), sequence_stride)
    found = found / tf.where(weights > 1e-10, weights, tf.ones_like(weights))
    start = fft_length // 2 if center else 0
    end = start + length if length is not None else -start if center else None
    return found[..., start:end]


@OPERATIONS.add
def view_as_complex(x: Any) -> Any:
    x = tensor(x)
    if x.shape.rank == 0 or x.shape[-1] != 2:
        raise ValueError(f"view_as_complex: the last axis of x is of size 2 (real, imaginary); got the shape {x.shape}")
    return tf.complex(*(tensor(part, floatx()) for part in tf.unstack(x, axis=-1)))
