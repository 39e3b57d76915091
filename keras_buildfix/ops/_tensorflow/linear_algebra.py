"""Products of tensors and decompositions of matrices over TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_buildfix.ops._axes import axes_of, axis_of
from keras_buildfix.ops._symbolic import following, symbolically
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import alike, dtype_of, in_float, sizes, tensor, together

OPERATIONS = Operations()


# Products. TensorFlow multiplies matrices of few dtypes of ints; the others are computed in a wider one.

_COMPUTED_IN = {"uint32": "int64", **dict.fromkeys(("bool", "int8", "int16", "uint8", "uint16"), "int32")}


def _product(function: Callable[..., Any], *values: Any, int8_in: str = "int8") -> Any:
    """What a function gives for the values in one dtype, in that dtype; that of int8 alone is `int8_in`."""
    if alike(values) == "float32":  # nothing to do, which must be quick
        return function(*values)
    found = tuple(map(tensor, following(*values)))
    dtype = dtype_of(*found)
    if dtype == "int8":
        dtype = int8_in
    compute = _COMPUTED_IN.get(dtype, dtype)
    return tensor(function(*(tensor(each, compute) for each in found)), dtype)


@OPERATIONS.add
def matmul(x1: Any, x2: Any) -> Any:
    if alike((x1, x2)) == "float32" and x1.shape.rank == x2.shape.rank == 2:  # what layers do most must be quick
        return tf.matmul(x1, x2)
    return _product(_matmul, x1, x2, int8_in="int32")


def _matmul(x1: Any, x2: Any) -> Any:
    if isinstance(x1, tf.SparseTensor) or isinstance(x2, tf.SparseTensor):
        return tf.sparse.sparse_dense_matmul(x1, x2)
    rank1, rank2 = x1.shape.rank, x2.shape.rank
    if 0 in (rank1, rank2):
        raise ValueError(f"ops.matmul takes no scalars; the shapes are {x1.shape} and {x2.shape}.")
    if rank2 == 1:
        return tf.tensordot(x1, x2, [[-1], [0]])
    if rank1 == 1:
        return tf.squeeze(tf.matmul(x1[tf.newaxis], x2), -2)
    # One large product is faster than a batch of small ones with the same matrix.
    return tf.tensordot(x1, x2, [[-1], [0]]) if rank2 == 2 and rank1 and rank1 > 2 else tf.matmul(x1, x2)


@OPERATIONS.add
def dot(x1: Any, x2: Any) -> Any:
    def function(a: Any, b: Any) -> Any:
        if 0 in (a.shape.rank, b.shape.rank):
            return a * b
        return tf.tensordot(a, b, [[-1], [0 if b.shape.rank == 1 else -2]])

    return _product(function, x1, x2)


@OPERATIONS.add
def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    return _product(lambda a, b: tf.tensordot(a, b, axes), x1, x2)


@OPERATIONS.add
def vdot(x1: Any, x2: Any) -> Any:
    return _product(lambda a, b: tf.tensordot(tf.math.conj(tf.reshape(a, [-1])), tf.reshape(b, [-1]), 1), x1, x2)


@OPERATIONS.add
def outer(x1: Any, x2: Any) -> Any:
    x1, x2 = together(x1, x2)
    return tf.reshape(x1, [-1, 1]) * tf.reshape(x2, [-1])


@OPERATIONS.add
def einsum(subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
    return _product(lambda *found: tf.einsum(subscripts, *found, **kwargs), *operands, int8_in="int32")


@OPERATIONS.add
def cross(x1: Any, x2: Any, axisa: Any = -1, axisb: Any = -1, axisc: Any = -1, axis: Any = None) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    x1, x2 = together(x1, x2)
    found = [_moved("cross", x1, [axisa]), _moved("cross", x2, [axisb])]
    flat = [x.shape[-1] == 2 for x in found]
    if any(size not in (2, 3, None) for size in (found[0].shape[-1], found[1].shape[-1])):
        raise ValueError(f"ops.cross takes vectors of 2 or 3; the shapes are {x1.shape} and {x2.shape}.")
    a, b = (tf.concat([x, tf.zeros_like(x[..., :1])], -1) if is_flat else x for x, is_flat in zip(found, flat))
    c = tf.roll(a, -1, -1) * tf.roll(b, -2, -1) - tf.roll(a, -2, -1) * tf.roll(b, -1, -1)
    if all(flat):
        return c[..., 2]
    rank = c.shape.rank
    order = list(range(rank - 1))
    order.insert(axis_of(axisc, rank, "cross"), rank - 1)
    return tf.transpose(c, order)


def _moved(name: str, x: Any, axes: list[int]) -> Any:
    """A tensor with some axes moved to the end."""
    rank = x.shape.rank
    last = axes_of(axes, rank, name)
    order = [axis for axis in range(rank) if axis not in last] + last
    return x if order == list(range(rank)) else tf.transpose(x, order)


@OPERATIONS.add
def diagonal(x: Any, offset: Any = 0, axis1: Any = 0, axis2: Any = 1) -> Any:
    x = tensor(x)
    if x.shape.rank < 2 or (axis1 - axis2) % x.shape.rank == 0:
        raise ValueError(f"ops.diagonal needs two axes; it got {axis1} and {axis2} of a tensor of shape {x.shape}.")
    x = _moved("diagonal", x, [axis1, axis2])
    rows, columns = sizes(x)[-2:]
    x = x[..., : columns - offset, offset:] if offset >= 0 else x[..., -offset:, : rows + offset]
    return tf.linalg.diag_part(x)


@OPERATIONS.add
def trace(x: Any, offset: Any = 0, axis1: Any = 0, axis2: Any = 1) -> Any:
    x = tensor(x)
    wider = {**dict.fromkeys(("bool", "int8", "int16"), "int32"), **dict.fromkeys(("uint8", "uint16"), "uint32")}
    found = diagonal(x, offset, axis1, axis2)
    return tf.reduce_sum(tensor(found, wider.get(x.dtype.name, x.dtype.name)), -1)


# Decompositions.


def _matrix(x: Any, square: bool = True) -> Any:
    """A value as a matrix of floats, or a batch of them."""
    x = in_float(x)
    if x.shape.rank is not None and x.shape.rank < 2:
        raise ValueError(f"A matrix needs two axes or more; the shape is {x.shape}.")
    if square and not x.shape[-2:].is_compatible_with(x.shape[-2:][::-1]):
        raise ValueError(f"The matrix must be square; the shape is {x.shape}.")
    return x


def _of_matrix(name: str, function: Callable[..., Any]) -> None:
    """Enters a function of one square matrix."""

    def operation(x: Any) -> Any:
        return function(_matrix(x))

    operation.__name__ = name
    OPERATIONS.add(operation)


_of_matrix("det", tf.linalg.det)
_of_matrix("inv", tf.linalg.inv)
_of_matrix("eig", lambda x: tuple(tf.linalg.eig(x)))
_of_matrix("eigh", lambda x: tuple(tf.linalg.eigh(x)))
_of_matrix("slogdet", symbolically(lambda x: tuple(tf.linalg.slogdet(x))))


@OPERATIONS.add
def cholesky(x: Any, upper: Any = False) -> Any:
    found = tf.debugging.check_numerics(tf.linalg.cholesky(_matrix(x)), "Cholesky decomposition failed")
    return tf.linalg.adjoint(found) if upper else found


@OPERATIONS.add
def qr(x: Any, mode: Any = "reduced") -> Any:
    if mode not in ("reduced", "complete"):
        raise ValueError(f"ops.qr: mode must be 'reduced' or 'complete', not {mode!r}.")
    return tuple(tf.linalg.qr(_matrix(x, square=False), full_matrices=mode == "complete"))


@OPERATIONS.add
def svd(x: Any, full_matrices: Any = True, compute_uv: Any = True) -> Any:
    x = _matrix(x, square=False)
    if not compute_uv:
        return tf.linalg.svd(x, compute_uv=False)
    s, u, v = tf.linalg.svd(x, full_matrices=full_matrices)
    return u, s, tf.linalg.adjoint(v)


@OPERATIONS.add
def lu_factor(x: Any) -> Any:
    lu, order = tf.linalg.lu(_matrix(x))
    return lu, _pivots(order)


def _pivots(order: Any) -> Any:
    """The row that each row is swapped with, one after the other, to get the rows in an order."""
    size = order.shape[-1]
    if size is None:
        raise ValueError("ops.lu_factor needs a matrix of known size.")
    places = tf.range(size)
    now, pivots = tf.zeros_like(order) + places, []
    for row in range(size):
        pivot = tf.argmax(tf.equal(now, order[..., row, tf.newaxis]), -1, output_type=order.dtype)[..., tf.newaxis]
        now = tf.where(places == pivot, now[..., row, tf.newaxis], now)
        now = tf.where(places == row, -1, now)  # it has its place
        pivots.append(pivot)
    return tf.concat(pivots, -1)


def _solved(function: Callable[..., Any], a: Any, b: Any) -> Any:
    a, b = following(a, b)
    a, b = together(_matrix(a), b)
    if a.shape.rank == b.shape.rank + 1:  # vectors
        return tf.squeeze(function(a, b[..., tf.newaxis]), -1)
    if a.shape[-1] is not None and b.shape[-2] not in (None, a.shape[-1]):
        raise ValueError(f"The shapes of a and b don't fit: {a.shape} and {b.shape}.")
    return function(a, b)


@OPERATIONS.add
def solve(a: Any, b: Any) -> Any:
    return _solved(tf.linalg.solve, a, b)


@OPERATIONS.add
def solve_triangular(a: Any, b: Any, lower: Any = False) -> Any:
    return _solved(lambda x, y: tf.linalg.triangular_solve(x, y, lower=lower), a, b)


@OPERATIONS.add
def pinv(x: Any, rcond: Any = None) -> Any:
    return tf.linalg.pinv(_matrix(x, square=False), rcond=rcond)


@OPERATIONS.add
def matrix_rank(x: Any, tol: Any = None) -> Any:
    x = _matrix(x, square=False)
    if tol is not None:
        tol = tf.expand_dims(tf.cast(tol, x.dtype.real_dtype), -1)  # one for each matrix
    return tf.linalg.matrix_rank(x, tol=tol)
