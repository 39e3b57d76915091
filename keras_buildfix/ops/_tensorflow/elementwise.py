"""Functions of each element over TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import binary, unary

OPERATIONS = Operations()

unary(OPERATIONS, "sin", tf.math.sin, floating=True)
binary(OPERATIONS, "add", tf.math.add)


@OPERATIONS.add
def cast(x, dtype):
    return tf.cast(x, dtype)


@OPERATIONS.add
def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    return tf.convert_to_tensor(x, dtype=dtype)

@OPERATIONS.add
def convert_to_numpy(x):
    return x.numpy()

@OPERATIONS.add
def sum_(x, axis=None, keepdims=False):
    return tf.reduce_sum(x, axis=axis, keepdims=keepdims)
