"""Dtypes, shapes, slices, scattering and control flow over TensorFlow."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from keras_buildfix.ops._later._values import scan_length
from keras_buildfix.ops._symbolic import following, is_symbolic, symbolically
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import name_of, sizes, tensor, together

OPERATIONS = Operations()


@OPERATIONS.add
def cast(x: Any, dtype: Any) -> Any:
    if isinstance(x, tf.Tensor) and type(dtype) is str:
        return tf.cast(x, dtype)
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

    if isinstance(x, tf.SparseTensor):
        x = tf.sparse.to_dense(tf.sparse.reorder(x))
    elif isinstance(x, (tf.RaggedTensor, tf.IndexedSlices)):
        x = x.to_tensor() if isinstance(x, tf.RaggedTensor) else tensor(x)
    return np.array(x)


@OPERATIONS.add
def shape(x: Any) -> Any:
    x = tensor(x)
    is_static = is_symbolic(x) or isinstance(x, tf.RaggedTensor)
    return tuple(x.shape.as_list() if is_static and x.shape.rank is not None else sizes(x))


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
    inputs, updates = following(inputs, updates)
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
    inputs, indices, updates = following(inputs, indices, updates)
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
    count = tf.reduce_prod(tf.cast(outer, tf.int32))
    # Read from a table, which refuses indices that are not there; by 1 less, for it gives 0 instead on a GPU.
    at = tf.reshape(tf.gather_nd(tf.reshape(tf.range(1, count + 1), outer), indices), [-1]) - 1
    products = tf.math.unsorted_segment_prod(tf.reshape(updates, [-1, *inner]), at, count)
    return inputs * tf.reshape(products, [*outer, *inner])


# Control flow. A functional model has each as one layer: Python's functions can't be taken apart.


def tensors(structure: Any) -> Any:
    """A structure with its leaves as tensors; None stays."""
    return tf.nest.map_structure(lambda x: None if x is None else tensor(x), structure)


@OPERATIONS.add
@symbolically
def cond(pred: Any, true_fn: Any, false_fn: Any) -> Any:
    return tf.__internal__.smart_cond.smart_cond(tensor(pred, "bool"), true_fn, false_fn)


@OPERATIONS.add
@symbolically
def switch(index: Any, branches: Any, *operands: Any) -> Any:
    index = tf.clip_by_value(tensor(index, "int32"), 0, len(branches) - 1)
    operands = tensors(operands)
    return tf.switch_case(index, [functools.partial(branch, *operands) for branch in branches])


@OPERATIONS.add
@symbolically
def while_loop(cond: Any, body: Any, loop_vars: Any, maximum_iterations: Any = None) -> Any:
    if not isinstance(loop_vars, (list, tuple)):
        return while_loop(cond, lambda x: [body(x)], [loop_vars], maximum_iterations)[0]
    start = tensors(tuple(loop_vars))

    def next_(*values: Any) -> Any:
        return _like(start, tuple(body(*values)), "ops.while_loop: body")

    return tf.while_loop(cond, next_, start, maximum_iterations=maximum_iterations)


def _like(start: Any, found: Any, who: str) -> Any:
    """What one step of a loop returns, as tensors; an error, if it is not what the loop began with."""
    tf.nest.assert_same_structure(start, found)
    found = tensors(found)
    for old, new in zip(tf.nest.flatten(start), tf.nest.flatten(found)):
        if old is not None and old.dtype != new.dtype:
            raise TypeError(f"{who} must return the dtypes that it gets: {old.dtype.name}, not {new.dtype.name}.")
        if old is not None and not tf.executing_eagerly():
            new.set_shape(old.shape)
    return found


@OPERATIONS.add
@symbolically
def fori_loop(lower: Any, upper: Any, body_fun: Any, init_val: Any) -> Any:
    known = isinstance(lower, int) and isinstance(upper, int)  # XLA needs it for gradients
    first, end = together(lower, upper)
    start = tensors(init_val)
    return tf.while_loop(
        lambda i, value: i < end,
        lambda i, value: (i + 1, _like(start, body_fun(i, value), "ops.fori_loop: body_fun")),
        (first, start),
        maximum_iterations=max(upper - lower, 0) if known else None,
    )[1]


@OPERATIONS.add
@symbolically
def vectorized_map(function: Any, elements: Any) -> Any:
    return tf.vectorized_map(function, tensors(elements))


@OPERATIONS.add
@symbolically
def scan(f: Any, init: Any, xs: Any = None, length: Any = None, reverse: Any = False, unroll: Any = 1) -> Any:
    init, xs = tensors(init), tensors(xs)
    rows = [] if xs is None else tf.nest.flatten(xs)
    n = scan_length(f, rows, length, unroll)
    n = tf.shape(rows[0])[0] if n is None else n
    read = [tf.TensorArray(x.dtype, n, element_shape=x.shape[1:]).unstack(x) for x in rows]

    def step(carry: Any, elements: Any) -> Any:
        carry, y = f(carry, None if xs is None else tf.nest.pack_sequence_as(xs, elements))
        return _like(init, carry, "ops.scan: f"), tensors(y)

    y = _traced(step, init, [tf.TensorSpec(x.shape[1:], x.dtype) for x in rows])[1]
    write = [tf.TensorArray(each.dtype, n, element_shape=each.shape) for each in _there(y)]

    def next_(i: Any, carry: Any, arrays: Any) -> Any:
        at = n - 1 - i if reverse else i
        carry, y = step(carry, [x.read(at) for x in read])
        return i + 1, carry, [array.write(at, each) for array, each in zip(arrays, _there(y))]

    state = (0, init, write)
    if isinstance(n, int) and (unroll is True or n == 0):
        for _ in range(n):
            state = next_(*state)
    else:
        known = n if isinstance(n, int) else None  # XLA needs it for gradients
        state = tf.while_loop(lambda i, *_: i < n, next_, state, maximum_iterations=known)
    rows_shape = [n if isinstance(n, int) else None]
    stacked = zip(state[2], _there(y))
    found = iter([tf.ensure_shape(array.stack(), [*rows_shape, *each.shape]) for array, each in stacked])
    return state[1], tf.nest.map_structure(lambda each: None if each is None else next(found), y)


def _there(structure: Any) -> list[Any]:
    """The leaves that are not None."""
    return [leaf for leaf in tf.nest.flatten(structure) if leaf is not None]


def _traced(function: Any, *args: Any) -> Any:
    """What a function gives for tensors of the dtypes and shapes of others, as symbolic tensors."""
    with tf.__internal__.FuncGraph("keras_buildfix_traced").as_default():
        return function(*tf.nest.map_structure(lambda x: tf.compat.v1.placeholder(x.dtype, x.shape), args))


@OPERATIONS.add
@symbolically
def jvp(fun: Any, primals: Any, tangents: Any, has_aux: Any = False) -> Any:
    primals = tensors(primals)
    tangents = tf.nest.map_structure(lambda x, t: tensor(t, x.dtype.name), primals, tangents)
    with tf.autodiff.ForwardAccumulator(primals, tangents) as forward:
        found = fun(*primals)
    out = found[0] if has_aux else found
    zero = tf.UnconnectedGradients.ZERO
    moved = tf.nest.map_structure(lambda x: forward.jvp(x, unconnected_gradients=zero), out)
    # A GradientTape forgets what was computed with the accumulator, once that is gone; not what is computed from it.
    found = tf.nest.map_structure(lambda x: tf.reshape(x, tf.shape(x)) if tf.is_tensor(x) else x, found)
    return (found[0], moved, found[1]) if has_aux else (found, moved)


@OPERATIONS.add
def custom_gradient(f: Any) -> Any:
    return symbolically(tf.custom_gradient(f))
