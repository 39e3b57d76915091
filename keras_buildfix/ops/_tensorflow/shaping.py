"""Functions over TensorFlow that rearrange tensors: their shape and axes, what is joined, split, padded and picked."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_buildfix.ops._axes import as_list, axes_of, axes_or_all, axis_of
from keras_buildfix.ops._symbolic import following, is_symbolic
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import is_tensor, sizes, tensor, together

OPERATIONS = Operations()


def between(x: Any, axis: int, start: Any, stop: Any) -> Any:
    """The part of a tensor from `start` to before `stop` on an axis, as Python slices."""
    return x[(slice(None),) * axis + (slice(start, stop),)]


# The shape


@OPERATIONS.add
def reshape(x: Any, newshape: Any) -> Any:
    if not isinstance(newshape, tuple) or None in newshape:
        if is_tensor(newshape):
            return tf.reshape(tensor(x), newshape)
        newshape = [-1 if size is None else size for size in as_list(newshape)]
    return tf.reshape(tensor(x), newshape)


@OPERATIONS.add
def ravel(x: Any) -> Any:
    return tf.reshape(tensor(x), [-1])


@OPERATIONS.add
def broadcast_to(x: Any, shape: Any) -> Any:
    return tf.broadcast_to(tensor(x), shape if is_tensor(shape) else as_list(shape))


@OPERATIONS.add
def expand_dims(x: Any, axis: Any) -> Any:
    x = tensor(x)
    for each in sorted(axes_of(axis, len(x.shape) + len(as_list(axis)), "expand_dims")):
        x = tf.expand_dims(x, each)
    return x


@OPERATIONS.add
def squeeze(x: Any, axis: Any = None) -> Any:
    x = tensor(x)
    ones = [each for each, size in enumerate(x.shape) if size == 1]
    axes = ones if axis is None else axes_of(axis, len(x.shape), "squeeze")
    wrong = [each for each in axes if x.shape[each] not in (1, None)]
    if wrong:
        raise ValueError(f"squeeze: axis {wrong[0]} of a tensor of shape {tuple(x.shape)} is not of size 1")
    return tf.squeeze(x, axes) if axes else x  # without axes, TensorFlow would drop all


@OPERATIONS.add
def ndim(x: Any) -> Any:
    return len(tensor(x).shape)


@OPERATIONS.add
def size(x: Any) -> Any:
    x = tensor(x)
    known = x.shape.num_elements()
    return tf.size(x) if known is None else int(known)


# The axes


@OPERATIONS.add
def transpose(x: Any, axes: Any = None) -> Any:
    x = tensor(x)
    if axes is None:
        return tf.transpose(x)
    order = axes_of(axes, len(x.shape), "transpose")
    if len(order) != len(x.shape):
        raise ValueError(f"transpose: axes={axes} does not name each of the {len(x.shape)} axes")
    return tf.transpose(x, order)


@OPERATIONS.add
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    x = tensor(x)
    rank = len(x.shape)
    sources, destinations = axes_of(source, rank, "moveaxis"), axes_of(destination, rank, "moveaxis")
    if len(sources) != len(destinations):
        raise ValueError(
            f"moveaxis: {len(sources)} in source={source}, {len(destinations)} in destination={destination}"
        )
    order = [axis for axis in range(rank) if axis not in sources]
    for to, axis in sorted(zip(destinations, sources)):
        order.insert(to, axis)
    return tf.transpose(x, order)


@OPERATIONS.add
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    x = tensor(x)
    rank = len(x.shape)
    order = list(range(rank))
    first, second = axis_of(axis1, rank, "swapaxes"), axis_of(axis2, rank, "swapaxes")
    order[first], order[second] = second, first
    return tf.transpose(x, order)


@OPERATIONS.add
def flip(x: Any, axis: Any = None) -> Any:
    x = tensor(x)
    rank = len(x.shape)
    return tf.reverse(x, axes_or_all(axis, rank, "flip"))


@OPERATIONS.add
def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    x = tensor(x)
    shifts = as_list(shift)
    if axis is None:
        return tf.reshape(tf.roll(tf.reshape(x, [-1]), sum(shifts), 0), sizes(x))
    axes = [axis_of(each, len(x.shape), "roll") for each in as_list(axis)]
    count = max(len(shifts), len(axes))
    if not {len(shifts), len(axes)} <= {1, count}:
        raise ValueError(f"roll: shift={shift} and axis={axis} are not of one length")
    return tf.roll(x, shifts * (count // len(shifts)), axes * (count // len(axes)))


# What is joined, and split


def _several(xs: Any, name: str) -> list[Any]:
    """Tensors in the dtype in which they meet."""
    xs = list(xs)
    if not xs:
        raise ValueError(f"{name} needs at least one tensor")
    return list(together(*xs))


@OPERATIONS.add
def concatenate(xs: Any, axis: Any = 0) -> Any:
    xs = _several(xs, "concatenate")
    if axis is None:
        return tf.concat([tf.reshape(x, [-1]) for x in xs], 0)
    return tf.concat(xs, axis)


@OPERATIONS.add
def stack(x: Any, axis: int = 0) -> Any:
    return tf.stack(_several(x, "stack"), axis)


@OPERATIONS.add
def append(x1: Any, x2: Any, axis: Any = None) -> Any:
    return concatenate([x1, x2], axis)


@OPERATIONS.add
def vstack(xs: Any) -> Any:
    xs = [x if len(x.shape) > 1 else tf.reshape(x, [1, -1]) for x in _several(xs, "vstack")]
    return tf.concat(xs, 0)


@OPERATIONS.add
def hstack(xs: Any) -> Any:
    xs = [x if len(x.shape) else tf.reshape(x, [1]) for x in _several(xs, "hstack")]
    return tf.concat(xs, min(len(xs[0].shape) - 1, 1))


@OPERATIONS.add
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    x = tensor(x)
    axis = axis_of(axis, len(x.shape), "split")
    if not isinstance(indices_or_sections, (list, tuple)) and not getattr(indices_or_sections, "ndim", None):
        return tf.split(x, int(indices_or_sections), axis)
    cuts = [0, *map(int, indices_or_sections)]
    if x.shape[axis] is None and cuts == sorted(cuts):
        return tf.split(x, [stop - start for start, stop in zip(cuts, cuts[1:])] + [-1], axis)
    return [between(x, axis, start, stop) for start, stop in zip(cuts, [*cuts[1:], None])]


# What is repeated, and added around


@OPERATIONS.add
def tile(x: Any, repeats: Any) -> Any:
    x = tensor(x)
    counts = as_list(repeats)
    more = len(counts) - len(x.shape)
    if more > 0:
        x = tf.reshape(x, [1] * more + sizes(x))
    return tf.tile(x, [1] * -more + counts)


@OPERATIONS.add
def repeat(x: Any, repeats: Any, axis: Any = None) -> Any:
    x = tensor(x)
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    axis = axis_of(axis, len(x.shape), "repeat")
    counts = as_list(repeats)
    if len(counts) != 1:
        return tf.repeat(x, repeats, axis)
    shape = sizes(x)
    many = tf.tile(tf.expand_dims(x, axis + 1), [1] * (axis + 1) + counts + [1] * (len(shape) - axis - 1))
    return tf.reshape(
        many, [*shape[:axis], -1 if x.shape[axis] is None else shape[axis] * counts[0], *shape[axis + 1 :]]
    )


@OPERATIONS.add
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    x = tensor(x)
    if mode not in ("constant", "reflect", "symmetric"):
        raise ValueError(f"pad: mode={mode!r}, but TensorFlow has 'constant', 'reflect' and 'symmetric'")
    if constant_values is not None and mode != "constant":
        raise ValueError(f"pad: constant_values go with mode='constant', not with mode={mode!r}")
    widths = _pad_widths(pad_width, len(x.shape))
    if mode != "constant":
        return tf.pad(x, widths, mode.upper())
    return tf.pad(x, widths, constant_values=tensor(0 if constant_values is None else constant_values, x.dtype.name))


def _pad_widths(pad_width: Any, rank: int) -> Any:
    """The widths before and after each axis, as NumPy reads them: one number or one pair is for all axes."""
    if any(map(is_tensor, tf.nest.flatten(pad_width))):
        return tf.broadcast_to(tensor(pad_width), [rank, 2])
    import numpy

    try:
        return numpy.broadcast_to(numpy.asarray(pad_width, "int32"), (rank, 2))
    except ValueError:
        raise ValueError(f"pad: pad_width={pad_width!r} does not fit a tensor of rank {rank}") from None


# What is picked


def _whole(indices: Any, name: str, size: Any) -> Any:
    """Indices as a tensor of numbers from 0, in a dtype that `tf.gather` takes."""
    indices = tensor(indices)
    if not (indices.dtype.is_integer or indices.dtype.is_bool):
        raise TypeError(f"{name}: indices must be of an integer dtype, not {indices.dtype.name}")
    if indices.dtype not in (tf.int32, tf.int64):
        indices = tf.cast(indices, tf.int64 if indices.dtype in (tf.uint32, tf.uint64) else tf.int32)
    # By `tf.add`: a model can't be loaded whose operator has a constant first.
    return tf.where(indices < 0, tf.add(indices, tf.cast(size, indices.dtype)), indices)


def _in_dtype(found: Any, *values: Any) -> Any:
    """What is picked from constants, in their dtype: a model that is loaded has them in float32 or int32."""
    dtype = values[0].dtype
    if dtype in (tf.float32, tf.int32, tf.bool) or not is_symbolic(found) or any(map(is_symbolic, values)):
        return found
    return tf.cast(found, dtype)


@OPERATIONS.add
def take(x: Any, indices: Any, axis: Any = None) -> Any:
    x, indices = following(x, indices)
    x = tensor(x)
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    axis = axis_of(axis, len(x.shape), "take")
    return _in_dtype(tf.gather(x, _whole(indices, "take", sizes(x)[axis]), axis=axis), x)


@OPERATIONS.add
def take_along_axis(x: Any, indices: Any, axis: Any = None) -> Any:
    x, indices = map(tensor, following(x, indices))
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    rank = len(x.shape)
    if len(indices.shape) != rank:
        raise ValueError(f"take_along_axis: indices are of rank {len(indices.shape)}, not {rank}")
    axis = axis_of(axis, rank, "take_along_axis")
    indices = _whole(indices, "take_along_axis", sizes(x)[axis])
    x, indices = moveaxis(x, axis, -1), moveaxis(indices, axis, -1)
    if x.shape[:-1].as_list() != indices.shape[:-1].as_list():
        before = [_wider(*pair) for pair in zip(sizes(x)[:-1], sizes(indices)[:-1])]
        x, indices = (tf.broadcast_to(each, [*before, sizes(each)[-1]]) for each in (x, indices))
    return moveaxis(tf.gather(x, indices, batch_dims=rank - 1), -1, axis)


def _wider(first: Any, second: Any) -> Any:
    """The size to which two sizes are broadcast."""
    if isinstance(first, int) and isinstance(second, int):
        return second if first == 1 else first
    known = next((size for size in (first, second) if isinstance(size, int) and size != 1), None)
    return tf.where(tf.equal(first, 1), second, first) if known is None else known


@OPERATIONS.add
def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    condition, x1, x2 = following(condition, x1, x2)
    condition = tensor(condition, "bool")
    if x1 is None and x2 is None:
        if not len(condition.shape):
            raise ValueError("where: a condition of rank 0 has no indices")
        return tuple(tf.unstack(tf.cast(tf.where(condition), "int32"), axis=1))
    if x1 is None or x2 is None:
        raise ValueError("where: either both x1 and x2 must be given, or none of them")
    x1, x2 = together(x1, x2)
    return _in_dtype(tf.where(condition, x1, x2), x1, x2)
