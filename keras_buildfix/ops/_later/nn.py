"""Activations, attention, normalizations and the like that Keras got after 3.0: ``glu``, ``layer_normalization``..."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras_buildfix import ops
from keras_buildfix.ops._axes import axes_of
from keras_buildfix.ops._dtypes import result_type
from keras_buildfix.ops._finding import keras_in_use
from keras_buildfix.ops._later._values import as_tensor, followed, in_float
from keras_buildfix.ops._making import dtype_name
from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()


def _in_float32(x: Any) -> Any:
    """A tensor in float32, or float64 if it has that: what a sum over many values needs."""
    return x if dtype_name(x) == "float64" else ops.cast(x, "float32")


def _epsilon(epsilon: float | None) -> float:
    return float(keras_in_use().backend.epsilon() if epsilon is None else epsilon)


# Activations.


def _activation(name: str, function: Callable[[Any], Any]) -> None:
    """Enters a function of one tensor ``x``."""

    def operation(x: Any) -> Any:
        return function(as_tensor(x))

    operation.__name__ = name
    OPERATIONS.add(operation)


def _where(condition: Any, x: Any, other: Any) -> Any:
    """`ops.where` with a number as one of the two: it takes the dtype of the tensor, on every Keras."""
    if isinstance(x, (int, float)):
        return ops.where(condition, ops.full_like(other, x), other)
    return ops.where(condition, x, ops.full_like(x, other))


_activation("hard_silu", lambda x: x * ops.hard_sigmoid(x))
_activation("hard_swish", lambda x: x * ops.hard_sigmoid(x))
_activation("hard_tanh", lambda x: _where(x > 1.0, 1.0, _where(x < -1.0, -1.0, x)))
_activation("tanh_shrink", lambda x: x - ops.tanh(x))
_activation("sparse_plus", lambda x: _where(x <= -1.0, 0.0, ops.where(x < 1.0, 0.25 * (x + 1.0) * (x + 1.0), x)))
_activation("sparse_sigmoid", lambda x: _where(x <= -1.0, 0.0, _where(x >= 1.0, 1.0, 0.5 * (x + 1.0))))


@OPERATIONS.add
def celu(x: Any, alpha: float = 1.0) -> Any:
    x = in_float(x)
    return ops.relu(x) + alpha * ops.expm1(-ops.relu(-x) / alpha)


@OPERATIONS.add
def glu(x: Any, axis: int = -1) -> Any:
    x = as_tensor(x)
    if x.shape[axis] is not None and x.shape[axis] % 2:
        raise ValueError(f"glu: the size of the axis must be even; x has the shape {tuple(x.shape)}, axis is {axis}")
    value, gate = ops.split(x, 2, axis=axis)
    return value * ops.sigmoid(gate)


@OPERATIONS.add
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    x = as_tensor(x)
    return _where(ops.abs(x) > threshold, x, 0.0)


@OPERATIONS.add
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    x = as_tensor(x)
    return ops.where(x > threshold, x - threshold, _where(x < -threshold, x + threshold, 0.0))


@OPERATIONS.add
def squareplus(x: Any, b: float = 4) -> Any:
    x = as_tensor(x)
    return (x + ops.sqrt(x * x + b)) / 2


@OPERATIONS.add
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    x = as_tensor(x)
    return _where(x > threshold, x, default_value)


@OPERATIONS.add
def sparsemax(x: Any, axis: int = -1) -> Any:
    """What ``keras.ops.sparsemax`` does, in all releases that have it (3.8 to 3.15).

    Its results sum to less than 1 where more than one value is left: Keras sums up all the sums of the values that are
    left, where the definition has the last of these sums.
    """
    x = as_tensor(x)
    ordered = ops.flip(ops.sort(x, axis=axis), axis=axis)
    ranks = ops.cast(ops.cumsum(ops.ones_like(x, dtype="int32"), axis=axis), dtype_name(x))
    sums = ops.cumsum(ordered, axis=axis)
    support = ordered * ranks > sums - 1.0
    count = ops.sum(ops.cast(support, dtype_name(x)), axis=axis, keepdims=True)
    total = ops.sum(_where(support, sums, 0.0), axis=axis, keepdims=True)
    return ops.relu(x - (total - 1.0) / count)


# Normalizations.


@OPERATIONS.add
def normalize(x: Any, axis: Any = -1, order: int = 2, epsilon: float | None = None) -> Any:
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"normalize: order must be an integer of at least 1, not {order!r}")
    x, epsilon = as_tensor(x), _epsilon(epsilon)
    x = ops.expand_dims(x, 0) if len(x.shape) == 0 else x
    if order == 2:
        return x * ops.minimum(ops.rsqrt(ops.sum(x * x, axis=axis, keepdims=True)), 1.0 / epsilon)
    return x / ops.maximum(ops.norm(x, ord=order, axis=axis, keepdims=True), epsilon)


def _along(vector: Any, x: Any, axes: list[int]) -> Any:
    """Weights for some axes of a tensor, shaped so that they meet these axes."""
    if vector is None:
        return None
    vector = _in_float32(as_tensor(vector))
    if len(vector.shape) == len(x.shape) or axes == list(range(len(x.shape) - len(axes), len(x.shape))):
        return vector
    return ops.reshape(vector, [x.shape[each] if each in axes else 1 for each in range(len(x.shape))])


@OPERATIONS.add
def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None, **kwargs: Any
) -> Any:
    x, gamma, beta = followed(x, gamma, beta)
    given, epsilon, by_variance = as_tensor(x), _epsilon(epsilon), kwargs.pop("rms_scaling", False)
    x = _in_float32(given)
    axes = sorted(axes_of(axis, len(x.shape), "layer_normalization"))
    gamma, beta = _along(gamma, x, axes), None if by_variance else _along(beta, x, axes)
    centred = x - ops.mean(x, axis=axes, keepdims=True)
    scale = ops.rsqrt(ops.mean(centred * centred, axis=axes, keepdims=True) + epsilon)
    scale = scale if gamma is None else ops.multiply(scale, gamma)
    found = (x if by_variance else centred) * scale
    return ops.cast(found if beta is None else ops.add(found, beta), dtype_name(given))


@OPERATIONS.add
def rms_normalization(x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None) -> Any:
    x, scale = followed(x, scale)
    given, epsilon = as_tensor(x), _epsilon(epsilon)
    x = _in_float32(given)
    x = ops.expand_dims(x, 0) if len(x.shape) == 0 else x
    axes = sorted(axes_of(axis, len(x.shape), "rms_normalization"))
    found = x * ops.rsqrt(ops.mean(x * x, axis=axes, keepdims=True) + epsilon)
    found = found if scale is None else ops.multiply(found, _in_float32(as_tensor(scale)))
    return ops.cast(found, dtype_name(given))


# Attention, and others.


@OPERATIONS.add
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: Any = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Any:
    if flash_attention or attn_logits_soft_cap is not None:
        raise ValueError("dot_product_attention has no flash_attention and no attn_logits_soft_cap on this Keras")
    query, key, value, bias = followed(query, key, value, bias)
    query, key, value = as_tensor(query), as_tensor(key), as_tensor(value)
    if not len(query.shape) == len(key.shape) == len(value.shape) == 4:
        raise ValueError(
            "dot_product_attention takes tensors with the axes (batch, length, heads, size); query, key and value "
            f"have the shapes {[tuple(each.shape) for each in (query, key, value)]}"
        )
    dtype = result_type(*map(dtype_name, (query, key, value)))
    query, key, value = (ops.cast(each, dtype) for each in (query, key, value))
    groups = (query.shape[2] or 1) // (key.shape[2] or 1)
    if groups > 1 and key.shape[2] > 1:
        key, value = ops.repeat(key, groups, axis=2), ops.repeat(value, groups, axis=2)
    logits = _in_float32(ops.einsum("btnh,bsnh->bnts", query, key))
    logits = logits * (
        1.0 / math.sqrt(key.shape[-1]) if scale is None else ops.cast(as_tensor(scale), dtype_name(logits))
    )
    if bias is not None:
        logits = ops.add(logits, ops.cast(as_tensor(bias), dtype_name(logits)))
    if is_causal:
        ones = ops.ones_like(logits[:1, :1], dtype="int32")
        causal = ops.cumsum(ones, axis=2) >= ops.cumsum(ones, axis=3)
        mask = causal if mask is None else ops.logical_and(as_tensor(mask), causal)
    if mask is not None:
        logits = _where(mask, logits, -0.7 * 3.38953e38)  # a row of which all is masked has no nan
    return ops.einsum("bnts,bsnh->btnh", ops.cast(ops.softmax(logits), dtype), value)


@OPERATIONS.add
def polar(abs_: Any, angle: Any) -> Any:
    abs_, angle = map(as_tensor, followed(abs_, angle))
    return ops.view_as_complex(ops.stack([ops.multiply(abs_, part(angle)) for part in (ops.cos, ops.sin)], axis=-1))


@OPERATIONS.add
def psnr(x1: Any, x2: Any, max_val: float) -> Any:
    x1, x2 = map(as_tensor, followed(x1, x2))
    shapes = tuple(x1.shape), tuple(x2.shape)
    if len(shapes[0]) != len(shapes[1]) or any(a != b for a, b in zip(*shapes) if a is not None and b is not None):
        raise ValueError(f"psnr: the shapes must be the same, not {shapes[0]} and {shapes[1]}")
    error = ops.mean(ops.square(ops.subtract(x1, x2)))
    # Not an operator: an array of JAX takes no symbolic tensor.
    return ops.subtract(20.0 * ops.log10(ops.cast(as_tensor(max_val), dtype_name(x2))), 10.0 * ops.log10(error))
