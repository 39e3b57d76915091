"""Losses over TensorFlow: crossentropies, and CTC for sequences without an alignment."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_buildfix.ops._dtypes import result_type
from keras_buildfix.ops._finding import keras_in_use
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import in_float, tensor, together

OPERATIONS = Operations()


def _of_one_shape(name: str, target: Any, output: Any, wanted: Any, least: int = 0) -> None:
    """Raises ValueError if the static shape of `target` is not `wanted`, or `output` has too few axes."""
    if len(output.shape) < least or not target.shape.is_compatible_with(wanted):
        raise ValueError(
            f"{name}: the shapes of target and output do not fit: target has {target.shape}, output {output.shape}"
        )


def _log(probabilities: Any) -> Any:
    """The logarithm of probabilities, which are kept away from 0 and 1."""
    epsilon = keras_in_use().backend.epsilon()
    return tf.math.log(tf.clip_by_value(probabilities, epsilon, 1.0 - epsilon))


@OPERATIONS.add
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    target, output = together(target, output, at_least="float")
    _of_one_shape("binary_crossentropy", target, output, output.shape)
    if from_logits:
        return tf.nn.sigmoid_cross_entropy_with_logits(target, output)
    epsilon = keras_in_use().backend.epsilon()
    output = tf.clip_by_value(output, epsilon, 1.0 - epsilon)
    return -(target * tf.math.log(output) + (1.0 - target) * tf.math.log(1.0 - output))


@OPERATIONS.add
def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    target, output = together(target, output, at_least="float")
    _of_one_shape("categorical_crossentropy", target, output, output.shape, least=1)
    if from_logits:
        # Not softmax_cross_entropy_with_logits: its gradient is wrong where the targets do not sum to 1.
        return -tf.reduce_sum(target * tf.nn.log_softmax(output, axis), axis)
    return -tf.reduce_sum(target * _log(output / tf.reduce_sum(output, axis, keepdims=True)), axis)


@OPERATIONS.add
def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    target, output = tensor(target, "int64"), in_float(output)
    rank = len(output.shape)
    if axis not in (-1, rank - 1):
        raise ValueError(f"sparse_categorical_crossentropy: the classes must be on the last axis, not on {axis}")
    if len(target.shape) == rank and rank and target.shape[-1] == 1:
        target = tf.squeeze(target, -1)
    _of_one_shape("sparse_categorical_crossentropy", target, output, output.shape[:-1], least=1)
    logits = output if from_logits else _log(output / tf.reduce_sum(output, -1, keepdims=True))
    return tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)


@OPERATIONS.add
def ctc_loss(target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0) -> Any:
    output = tensor(output)
    dtype = result_type(output.dtype.name, "float32")
    loss = tf.nn.ctc_loss(
        tensor(target, "int32"),
        tf.cast(output, tf.float32),  # TensorFlow has it for no other one
        tensor(target_length, "int32"),
        tensor(output_length, "int32"),
        logits_time_major=False,
        blank_index=mask_index,
    )
    return tf.cast(loss, dtype)
