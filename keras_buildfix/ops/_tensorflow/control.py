"""Dtypes, shapes, slices, scattering and control flow over TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_buildfix.ops._finding import keras_in_use
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import is_symbolic, name_of, tensor

OPERATIONS = Operations()


def symbolically(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that becomes one layer of a functional model, if there are symbolic tensors among its arguments.

    For what TensorFlow's dispatch does not take apart by itself: control flow, and structures of tensors.
    """

    def called(*args: Any, **kwargs: Any) -> Any:
        leaves = tf.nest.flatten((args, kwargs))
        free = [at for at, leaf in enumerate(leaves) if is_symbolic(leaf)]
        if not free:
            return function(*args, **kwargs)

        @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
        def run(tensors: Any) -> Any:
            given = dict(zip(free, tensors))
            values = [given.get(at, leaf) for at, leaf in enumerate(leaves)]
            again, named = tf.nest.pack_sequence_as((args, kwargs), values)
            return function(*again, **named)

        return keras_in_use().layers.Lambda(run)([leaves[at] for at in free])

    called.__name__ = function.__name__
    return called


@OPERATIONS.add
def cast(x: Any, dtype: Any) -> Any:
    return tensor(x, name_of(dtype))


@OPERATIONS.add
def dtype(x: Any) -> Any:
    return name_of(x.dtype)


@OPERATIONS.add
def is_tensor(x: Any) -> Any:
    return bool(tf.is_tensor(x)) and not is_symbolic(x)


@OPERATIONS.add
def convert_to_numpy(x: Any) -> Any:
    import numpy as np

    return np.array(dense(x))


def dense(x: Any) -> Any:
    """A sparse or ragged tensor as a plain one."""
    if isinstance(x, tf.SparseTensor):
        return tf.sparse.to_dense(tf.sparse.reorder(x))
    return x.to_tensor() if isinstance(x, tf.RaggedTensor) else tensor(x)


@OPERATIONS.add
def shape(x: Any) -> Any:
    return tuple(x.shape.as_list()) if is_symbolic(x) else tuple(sizes(tensor(x)))


def sizes(x: Any) -> list[Any]:
    """The size of each axis of a tensor: a number where it is known, else a tensor."""
    if x.shape.rank is None:
        raise ValueError(f"ops.shape needs a tensor whose number of axes is known, not {x}.")
    if isinstance(x, tf.RaggedTensor):
        return [*x.shape.as_list()]
    known = x.shape.as_list()
    return [size if size is not None else tf.shape(x)[axis] for axis, size in enumerate(known)]


@OPERATIONS.add
def stop_gradient(variable: Any) -> Any:
    return tf.stop_gradient(tensor(variable))


@OPERATIONS.add
def unstack(x: Any, num: Any = None, axis: Any = 0) -> Any:
    return tf.unstack(tensor(x), num=num, axis=axis)


@OPERATIONS.add
def get_item(x: Any, key: Any) -> Any:
    return tensor(x)[key]


@OPERATIONS.add
def slice_(inputs: Any, start_indices: Any, shape: Any) -> Any:
    return tf.slice(tensor(inputs), start_indices, shape)


@OPERATIONS.add
def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    inputs = tensor(inputs)
    updates = tensor(updates, None if hasattr(updates, "dtype") else inputs.dtype.name)
    room = [a - b for a, b in zip(sizes(inputs), sizes(updates))]
    # The start may be a tensor: the updates and a mask for them are moved there from the origin.
    mask, moved = (
        tf.pad(x, [[0, each] for each in room], constant_values=fill)
        for x, fill in ((tf.zeros_like(updates, tf.bool), True), (updates, 0))
    )
    start = tf.clip_by_value(tf.cast(tensor(start_indices), tf.int32), 0, room)
    axes = list(range(len(room)))
    found = tf.where(tf.roll(mask, start, axes), inputs, tf.roll(moved, start, axes))
    return tf.ensure_shape(found, inputs.shape)


@OPERATIONS.add
def scatter(indices: Any, values: Any, shape: Any) -> Any:
    indices = _as_indices(indices)
    return tf.scatter_nd(indices, tensor(values), tensor(shape, indices.dtype.name))


def _as_indices(indices: Any) -> Any:
    """Indices as a tensor in a dtype that TensorFlow has scattering for."""
    indices = tensor(indices)
    return indices if indices.dtype in (tf.int32, tf.int64) else tf.cast(indices, tf.int32)


@OPERATIONS.add
def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: Any = None) -> Any:
    inputs, indices = tensor(inputs), _as_indices(indices)
    updates = tensor(updates, None if hasattr(updates, "dtype") else inputs.dtype.name)
    updating = {
        None: tf.tensor_scatter_nd_update,
        "add": tf.tensor_scatter_nd_add,
        "max": tf.tensor_scatter_nd_max,
        "min": tf.tensor_scatter_nd_min,
        "mul": _scatter_product,
    }
    if reduction not in updating:
        raise ValueError(f"ops.scatter_update: reduction must be one of {list(updating)}, not {reduction!r}.")
    return updating[reduction](inputs, indices, updates)


def _scatter_product(inputs: Any, indices: Any, updates: Any) -> Any:
    depth = indices.shape[-1]
    outer, inner = sizes(inputs)[:depth], sizes(inputs)[depth:]
    strides = tf.math.cumprod(tf.cast([*outer[1:], 1], indices.dtype), reverse=True)
    at = tf.reshape(tf.reduce_sum(indices * strides, -1), [-1])
    count = tf.reduce_prod(tf.cast(outer, tf.int32))
    products = tf.math.unsorted_segment_prod(tf.reshape(updates, [-1, *inner]), at, count)
    return inputs * tf.reshape(products, [*outer, *inner])
