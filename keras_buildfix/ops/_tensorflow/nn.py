"""Activations, classes as vectors, normalizations over TensorFlow: ``relu``, ``one_hot``, ``moments``..."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_buildfix.ops._symbolic import symbolically
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import in_float, name_of, tensor, together, unary

OPERATIONS = Operations()

unary(OPERATIONS, "relu", tf.nn.relu)
unary(OPERATIONS, "relu6", tf.nn.relu6)
unary(OPERATIONS, "sigmoid", tf.math.sigmoid, floating=True)
unary(OPERATIONS, "silu", tf.nn.silu, floating=True)
unary(OPERATIONS, "swish", tf.nn.silu, floating=True)
unary(OPERATIONS, "softplus", tf.math.softplus, floating=True)
unary(OPERATIONS, "softsign", tf.nn.softsign, floating=True)
unary(OPERATIONS, "log_sigmoid", tf.math.log_sigmoid, floating=True)
unary(OPERATIONS, "hard_sigmoid", lambda x: tf.nn.relu6(x + 3.0) / 6.0, floating=True)
unary(OPERATIONS, "selu", tf.nn.selu, floating=True)


@OPERATIONS.add
def leaky_relu(x: Any, negative_slope: Any = 0.2) -> Any:
    return tf.nn.leaky_relu(in_float(x), negative_slope)


@OPERATIONS.add
def elu(x: Any, alpha: Any = 1.0) -> Any:
    x = in_float(x)
    found = tf.nn.elu(x)
    return found if alpha == 1 else tf.where(x > 0, found, found * tf.cast(alpha, x.dtype))


@OPERATIONS.add
def gelu(x: Any, approximate: bool = True) -> Any:
    return tf.nn.gelu(in_float(x), approximate)


@OPERATIONS.add
def softmax(x: Any, axis: Any = -1) -> Any:
    x = in_float(x)
    if isinstance(axis, int):
        return tf.nn.softmax(x, axis)
    powers = tf.exp(x - tf.stop_gradient(tf.reduce_max(x, axis, keepdims=True)))
    return powers / tf.reduce_sum(powers, axis, keepdims=True)


@OPERATIONS.add
def log_softmax(x: Any, axis: Any = -1) -> Any:
    x = in_float(x)
    if isinstance(axis, int):
        return tf.nn.log_softmax(x, axis)
    x = x - tf.stop_gradient(tf.reduce_max(x, axis, keepdims=True))
    return x - tf.math.log(tf.reduce_sum(tf.exp(x), axis, keepdims=True))


@OPERATIONS.add
def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    dtype = name_of(dtype)
    on, off = (True, False) if dtype == "bool" else (None, None)
    found = tf.one_hot(tensor(x, "int64"), num_classes, on, off, axis, dtype)
    return tf.sparse.from_dense(found) if sparse else found


@OPERATIONS.add
def multi_hot(
    inputs: Any, num_classes: Any = None, axis: int = -1, dtype: Any = None, sparse: bool = False, **kwargs: Any
) -> Any:
    num_classes = kwargs.pop("num_tokens", None) if num_classes is None else num_classes  # its name in Keras 3.0
    if num_classes is None:
        raise ValueError("multi_hot needs num_classes, the number of classes")
    inputs = tensor(inputs)
    vectors = one_hot(inputs, num_classes, axis, dtype)
    reduce = tf.reduce_any if vectors.dtype == tf.bool else tf.reduce_max
    found = reduce(vectors, axis=int(len(inputs.shape) > 1))
    if isinstance(inputs, tf.RaggedTensor) and found.dtype != tf.bool:
        found = tf.maximum(found, tf.zeros((), found.dtype))  # the maximum of an empty row is very negative
    return tf.sparse.from_dense(found) if sparse else found


@OPERATIONS.add
def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Any:
    given = {"mean": mean, "variance": variance, "offset": offset, "scale": scale}
    given = {name: value for name, value in given.items() if value is not None}
    x, *vectors = together(x, *given.values())
    shape = [1] * len(x.shape)
    for name, vector in zip(given, vectors):
        if len(vector.shape) != 1 or not vector.shape.is_compatible_with(x.shape[axis : axis + 1 or None]):
            raise ValueError(
                f"batch_normalization: {name} must be a vector of x.shape[axis] values; "
                f"here x has the shape {x.shape}, axis is {axis} and {name} has the shape {vector.shape}"
            )
        shape[axis] = -1
        given[name] = tf.reshape(vector, shape)
    return tf.nn.batch_normalization(
        x, given["mean"], given["variance"], given.get("offset"), given.get("scale"), epsilon
    )


@OPERATIONS.add
def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    x = in_float(x)
    dtype = x.dtype
    x = tf.cast(x, tf.float32) if dtype.size == 2 else x  # the squares of float16 overflow
    mean, variance = (moments_of_all if synchronized else _moments)(x, axes)
    if not keepdims:
        mean, variance = tf.squeeze(mean, axes), tf.squeeze(variance, axes)
    if dtype == tf.float16:
        mean, variance = (tf.clip_by_value(each, dtype.min, dtype.max) for each in (mean, variance))
    return tf.cast(mean, dtype), tf.cast(variance, dtype)


def _moments(x: Any, axes: Any) -> Any:
    mean = tf.reduce_mean(x, axes, keepdims=True)
    return mean, tf.reduce_mean(tf.math.squared_difference(x, tf.stop_gradient(mean)), axes, keepdims=True)


@symbolically
def moments_of_all(x: Any, axes: Any) -> Any:
    """The moments over all replicas of a distribution strategy."""
    context = tf.distribute.get_replica_context()
    if context is None:
        return _moments(x, axes)
    parts = (tf.reduce_sum(each, axes, keepdims=True) for each in (x, tf.square(x), tf.ones_like(x)))
    total, squares, count = (context.all_reduce(tf.distribute.ReduceOp.SUM, each) for each in parts)
    mean = total / count
    return mean, tf.maximum(squares / count - tf.square(mean), 0.0)
