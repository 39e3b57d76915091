"""Functions that make tensors, of those that came after Keras 3.0: ranges, diagonals, powers, the bits of another."""

from __future__ import annotations

import sys
from typing import Any

from keras_buildfix import ops
from keras_buildfix.ops._dtypes import result_type
from keras_buildfix.ops._finding import floatx
from keras_buildfix.ops._later._values import as_tensor, backend
from keras_buildfix.ops._making import dtype_name
from keras_buildfix.ops._symbolic import symbolically
from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()


@OPERATIONS.add
def empty_like(x: Any, dtype: Any = None) -> Any:
    return ops.zeros_like(as_tensor(x), dtype=dtype)


@OPERATIONS.add
def diagflat(x: Any, k: int = 0) -> Any:
    return ops.diag(ops.ravel(as_tensor(x)), k=k)


@OPERATIONS.add
@symbolically
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    x = as_tensor(x)
    if len(x.shape) != 1:
        raise ValueError(f"vander: x must be of rank 1, not of shape {tuple(x.shape)}")
    if N is not None and N < 0:
        raise ValueError(f"vander: N={N}, but it can't be negative")
    dtype = dtype_name(x)
    base = ops.cast(x, "int32") if dtype == "bool" else x
    powers = ops.arange(ops.shape(x)[0] if N is None else N, dtype="int32")
    powers = ops.cast(powers if increasing else ops.flip(powers), dtype_name(base))
    return ops.cast(ops.power(ops.expand_dims(base, 1), powers), dtype)


@OPERATIONS.add
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    weak = {bool: "bool", int: "int", float: "float"}
    if type(start) in weak and type(stop) in weak:
        import numpy

        found = numpy.geomspace(start, stop, num, endpoint)
        return ops.cast(ops.convert_to_tensor(found), floatx() if dtype is None else dtype)
    ends = [each if type(each) in weak else as_tensor(each) for each in (start, stop)]
    meet = result_type(*(weak.get(type(each)) or dtype_name(each) for each in ends), "float", floatx=floatx())
    start, stop = (ops.cast(each, meet if meet == "float64" else "float32") for each in ends)
    # From the logarithm of the start to that of the stop, which is no number where the signs differ.
    sign = ops.sign(start)
    # No operators below: an array of JAX on the left refuses a symbolic tensor.
    low, high = (ops.log(ops.multiply(each, sign)) for each in (start, stop))
    steps = (num,) + (1,) * max(len(start.shape), len(stop.shape))
    at = ops.reshape(ops.arange(num, dtype="int32"), steps)
    part = ops.reshape(ops.linspace(0.0, 1.0, num, endpoint, dtype=dtype_name(low)), steps)
    result = ops.multiply(sign, ops.exp(ops.add(low, ops.multiply(part, ops.subtract(high, low)))))
    result = ops.where(at == 0, start, result)
    result = ops.where(at == num - 1, stop, result) if endpoint and num > 1 else result
    dtype = meet if dtype is None else dtype
    if "int" in str(dtype):  # what float32 has just below a whole number
        result = result * (1 + 2e-6)
    return ops.cast(ops.moveaxis(result, 0, axis), dtype)


@OPERATIONS.add
@symbolically
def view(x: Any, dtype: Any = None) -> Any:
    x = as_tensor(x)
    target = ops.zeros((), dtype).dtype
    if backend() == "tensorflow":
        return _bits_as(x, target)
    if backend() == "torch":
        if dtype in ("uint16", "uint32"):  # wider ints stand for them, which have other bits
            raise NotImplementedError(f"view: {dtype} can't be had on PyTorch on this Keras. Take the signed dtype.")
        return x.clone(memory_format=sys.modules["torch"].contiguous_format).view(target)
    return x.copy().view(target)  # a copy lies in memory as its shape says


def _bits_as(x: Any, dtype: Any) -> Any:
    """The bits of a tensor as another dtype of TensorFlow: its last axis grows or shrinks."""
    tf = sys.modules["tensorflow"]
    source = x.dtype
    old, new = source.size, dtype.size
    if old != new and (not len(x.shape) or (x.shape[-1] is not None and x.shape[-1] * old % new)):
        raise ValueError(f"view: {source.name} of shape {tuple(x.shape)} can't be seen as {dtype.name}")
    x = tf.cast(x, tf.uint8) if source == tf.bool else x
    inner = tf.uint8 if dtype == tf.bool else dtype
    *outer, last = ops.shape(x) or (1,)
    if old < new:
        x = tf.reshape(x, [*outer, last * old // new, new // old])
    x = tf.bitcast(x, inner)
    if old > new:
        x = tf.reshape(x, [*outer, last * old // new])
    return tf.cast(x, dtype)
