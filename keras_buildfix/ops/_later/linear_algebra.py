"""Products of tensors and decompositions of matrices that came after Keras 3.0."""

from __future__ import annotations

import importlib
import math
import re
from typing import Any

from keras_buildfix import ops
from keras_buildfix.ops._axes import axes_or_all
from keras_buildfix.ops._later._values import as_tensor, backend, followed, in_float, over_tensorflow
from keras_buildfix.ops._symbolic import symbolically
from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()
_EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}


@OPERATIONS.add
def inner(x1: Any, x2: Any) -> Any:
    x1, x2 = map(as_tensor, followed(x1, x2))
    is_scalar = 0 in (len(x1.shape), len(x2.shape))
    if not is_scalar and len({x1.shape[-1], x2.shape[-1]} - {None}) > 1:  # PyTorch would repeat an axis of size 1
        raise ValueError(f"ops.inner: the last axes of {tuple(x1.shape)} and {tuple(x2.shape)} must be of one size.")
    return ops.multiply(x1, x2) if is_scalar else ops.tensordot(x1, x2, axes=[[-1], [-1]])


@OPERATIONS.add
@symbolically
def kron(x1: Any, x2: Any) -> Any:
    x1, x2 = ops.convert_to_tensor(x1), ops.convert_to_tensor(x2)
    rank = max(len(x1.shape), len(x2.shape))
    sizes1, sizes2 = ((1,) * (rank - len(x.shape)) + tuple(ops.shape(x)) for x in (x1, x2))
    x1 = ops.reshape(x1, [each for size in sizes1 for each in (size, 1)])
    x2 = ops.reshape(x2, [each for size in sizes2 for each in (1, size)])
    return ops.reshape(ops.multiply(x1, x2), [a * b for a, b in zip(sizes1, sizes2)])


@OPERATIONS.add
def cdist(x: Any, y: Any) -> Any:
    x, y = map(in_float, followed(x, y))
    if len(x.shape) < 2 or len(y.shape) < 2 or x.shape[-1] != y.shape[-1]:
        raise ValueError(
            "ops.cdist takes rows of one size, in two axes or more; "
            f"the shapes are {tuple(x.shape)} and {tuple(y.shape)}."
        )
    difference = ops.subtract(ops.expand_dims(x, -2), ops.expand_dims(y, -3))
    return ops.sqrt(ops.sum(ops.square(difference), axis=-1))


@OPERATIONS.add
@symbolically
def rearrange(tensor: Any, pattern: Any, **axes_lengths: Any) -> Any:
    tensor = ops.convert_to_tensor(tensor)
    sides = [re.findall(r"\w+|\([\w\s]*\)", side) for side in pattern.split("->")]
    groups, wanted = ([re.findall(r"\w+", each) for each in side] for side in (sides if len(sides) == 2 else ([], [])))
    names, order = ([name for group in side for name in group] for side in (groups, wanted))
    if len({*names}) != len(names) or sorted(names) != sorted(order) or len(groups) != len(tensor.shape):
        raise ValueError(
            f"ops.rearrange: {pattern!r} must name each axis of a tensor of shape {tuple(tensor.shape)} once, "
            "and once more behind the arrow."
        )
    lengths = dict(axes_lengths)
    for group, size in zip(groups, ops.shape(tensor)):
        free = [name for name in group if name not in lengths]
        given = math.prod(lengths[name] for name in group if name in lengths)
        if len(free) > 1 or (isinstance(size, int) and (size % given or (not free and size != given))):
            raise ValueError(
                f"ops.rearrange: {pattern!r} with {axes_lengths} can't split an axis of {size} into {group}."
            )
        lengths.update((name, size // given) for name in free)
    tensor = ops.reshape(tensor, [lengths[name] for name in names])
    tensor = ops.transpose(tensor, [names.index(name) for name in order])
    return ops.reshape(tensor, [math.prod(lengths[name] for name in group) for group in wanted])


@OPERATIONS.add
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    x = in_float(x)
    axes = axes_or_all(axis, len(x.shape), "norm")
    if ord is None and (axis is None or len(axes) <= 2):
        return ops.sqrt(ops.sum(ops.square(ops.abs(x)), axis=tuple(axes), keepdims=keepdims))
    if len(axes) == 1:
        return _of_vectors(ops.abs(x), ord, axes[0], keepdims)
    if len(axes) == 2:
        found = _of_matrices(ops.moveaxis(x, axes, (-2, -1)), ord)
        for each in sorted(axes) if keepdims else ():
            found = ops.expand_dims(found, each)
        return found
    raise ValueError(f"ops.norm: ord={ord!r} is for one axis or two, not {axes}.")


def _of_vectors(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    """The norms of vectors of magnitudes."""
    if isinstance(ord, str):
        raise ValueError(f"ops.norm: the norm of a vector has a number as ord, not {ord!r}.")
    if math.isinf(ord):
        return (ops.max if ord > 0 else ops.min)(x, axis=axis, keepdims=keepdims)
    if ord == 2:
        return ops.sqrt(ops.sum(ops.square(x), axis=axis, keepdims=keepdims))
    powers = ops.cast(ops.not_equal(x, 0), x.dtype) if ord == 0 else x if ord == 1 else ops.power(x, ord)
    total = ops.sum(powers, axis=axis, keepdims=keepdims)
    return total if ord in (0, 1) else ops.power(total, 1.0 / ord)


def _of_matrices(x: Any, ord: Any) -> Any:
    """The norms of the matrices in the last two axes."""
    if ord == "fro":
        return ops.sqrt(ops.sum(ops.square(ops.abs(x)), axis=(-2, -1)))
    if ord == "nuc":
        return ops.sum(_singular_values(x), axis=-1)
    if isinstance(ord, str) or abs(ord) not in (1, 2, math.inf):
        raise ValueError(f"ops.norm: ord of matrices is None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not {ord!r}.")
    values = _singular_values(x) if abs(ord) == 2 else ops.sum(ops.abs(x), axis=-2 if abs(ord) == 1 else -1)
    return (ops.max if ord > 0 else ops.min)(values, axis=-1)


def _singular_values(x: Any) -> Any:
    # Keras 3.1 to 3.3 on torch give them only with the vectors.
    return _linalg().svdvals(x) if backend() == "torch" else ops.svd(x, compute_uv=False)


@OPERATIONS.add
@symbolically  # the slogdet of Keras 3.5 forgets the batch of a symbolic tensor
def logdet(x: Any) -> Any:
    return ops.slogdet(x)[1]


@OPERATIONS.add
def cholesky_inverse(x: Any, upper: Any = False) -> Any:
    x = in_float(x)
    inverse = ops.solve_triangular(
        x, ops.broadcast_to(ops.eye(x.shape[-1], dtype=x.dtype), ops.shape(x)), lower=not upper
    )
    turned = ops.swapaxes(inverse, -1, -2)
    return ops.matmul(inverse, turned) if upper else ops.matmul(turned, inverse)


@OPERATIONS.add
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    a, b = in_float(a), in_float(b)
    if len(a.shape) != 2 or len(b.shape) not in (1, 2) or len({a.shape[0], b.shape[0]} - {None}) > 1:
        raise ValueError(f"ops.lstsq: the shapes of a and b don't fit: {tuple(a.shape)} and {tuple(b.shape)}.")
    epsilon = _EPSILON[ops.dtype(a)]
    if rcond is None:
        rcond = epsilon * max(size or 1 for size in a.shape)
    inverse = ops.pinv(a, rcond=epsilon if rcond < 0 else rcond)
    if len(b.shape) == 2:
        return ops.matmul(inverse, b)
    return ops.squeeze(ops.matmul(inverse, ops.expand_dims(b, -1)), -1)  # symbolic vectors: a wrong shape on Keras 3.2


# What only the backends have.


def _linalg() -> Any:
    """The module with the functions of the backend's own: those over TensorFlow, those of JAX, torch or NumPy."""
    name = backend()
    return importlib.import_module({"jax": "jax.numpy.linalg", "torch": "torch.linalg", "numpy": "numpy.linalg"}[name])


def _of_backend(name: str) -> None:
    """Enters a function of one matrix that all backends have by the same name."""

    def operation(x: Any) -> Any:
        if backend() == "tensorflow":
            return over_tensorflow(name)(x)
        found = getattr(_linalg(), name)(in_float(x))
        return tuple(found) if isinstance(found, tuple) else found

    operation.__name__ = name
    OPERATIONS.add(symbolically(operation))


for _name in ("det", "inv", "eig", "eigh", "slogdet"):
    _of_backend(_name)


@OPERATIONS.add
@symbolically
def cholesky(x: Any, upper: Any = False) -> Any:
    if backend() == "tensorflow":
        return over_tensorflow("cholesky")(x, upper)
    found = _linalg().cholesky(in_float(x))
    return ops.conj(ops.swapaxes(found, -1, -2)) if upper else found


@OPERATIONS.add
@symbolically
def svd(x: Any, full_matrices: Any = True, compute_uv: Any = True) -> Any:
    if backend() == "tensorflow":
        return over_tensorflow("svd")(x, full_matrices, compute_uv)
    if backend() == "torch":
        if not compute_uv:
            return _linalg().svdvals(in_float(x))
        return tuple(_linalg().svd(in_float(x), full_matrices=full_matrices))
    found = _linalg().svd(in_float(x), full_matrices=full_matrices, compute_uv=compute_uv)
    return tuple(found) if compute_uv else found


@OPERATIONS.add
@symbolically
def pinv(x: Any, rcond: Any = None) -> Any:
    if backend() == "tensorflow":
        return over_tensorflow("pinv")(x, rcond)
    x = in_float(x)
    if rcond is None:
        rcond = 10 * max(x.shape[-2:]) * _EPSILON[ops.dtype(x)]
    key = {"torch": "rtol"}.get(backend(), "rcond")
    return _linalg().pinv(x, **{key: rcond})


@OPERATIONS.add
@symbolically
def matrix_rank(x: Any, tol: Any = None) -> Any:
    if backend() == "tensorflow":
        return over_tensorflow("matrix_rank")(x, tol)
    x = in_float(x)
    if len(x.shape) < 2:
        raise ValueError(f"ops.matrix_rank: a matrix needs two axes or more; the shape is {tuple(x.shape)}.")
    s = _singular_values(x)
    if tol is None:
        tol = ops.max(s, axis=-1, keepdims=True) * max(x.shape[-2:]) * _EPSILON[ops.dtype(x)]
    else:
        tol = ops.expand_dims(ops.cast(tol, ops.dtype(s)), -1)  # one for each matrix
    return ops.cast(ops.sum(ops.cast(ops.greater(s, tol), "int32"), axis=-1), "int32")


@OPERATIONS.add
@symbolically
def lu_factor(x: Any) -> Any:
    if backend() == "tensorflow":
        return over_tensorflow("lu_factor")(x)
    if backend() == "torch":
        lu, pivots = _linalg().lu_factor(in_float(x))
        return lu, pivots - 1
    module = "jax.scipy.linalg" if backend() == "jax" else "scipy.linalg"
    return tuple(importlib.import_module(module).lu_factor(in_float(x)))


@OPERATIONS.add
@symbolically
def solve_triangular(a: Any, b: Any, lower: Any = False) -> Any:
    if backend() == "tensorflow":
        return over_tensorflow("solve_triangular")(a, b, lower)
    return ops.solve((ops.tril if lower else ops.triu)(in_float(a)), b)
