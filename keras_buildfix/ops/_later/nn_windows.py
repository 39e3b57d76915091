"""Windows and blocks of images, and CTC, which Keras got after 3.0: ``unfold``, adaptive pools, ``ctc_decode``..."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from keras_buildfix import ops
from keras_buildfix._keras.info import keras_info
from keras_buildfix.ops._dtypes import result_type
from keras_buildfix.ops._finding import data_format_of, keras_in_use
from keras_buildfix.ops._later._values import as_tensor, backend
from keras_buildfix.ops._making import dtype_name
from keras_buildfix.ops._symbolic import symbolically
from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()


def _each(name: str, value: Any, count: int = 2) -> tuple[int, ...]:
    """A value for each spatial axis, from one for all or a sequence."""
    values = (value,) * count if isinstance(value, int) else tuple(value)
    if len(values) != count:
        raise ValueError(f"{name} must be an integer or {count} of them, not {value!r}")
    return values


def _part(axis: int, start: int | None, stop: int | None, step: int = 1) -> tuple[slice, ...]:
    """The index for a part along an axis."""
    return (*[slice(None)] * axis, slice(start, stop, step))


# Pools to a size.


def _adaptive(name: str, reduce: Callable[..., Any]) -> None:
    """Enters a pool to a size: windows that overlap by one where they do not divide the inputs."""

    def operation(inputs: Any, output_size: Any, data_format: Any = None) -> Any:
        x = as_tensor(inputs)
        rank = len(x.shape)
        first = 1 if data_format_of(data_format, name) == "channels_last" else 2
        if rank not in (3, 4, 5) or None in x.shape[first : first + rank - 2]:
            raise ValueError(f"{name} takes inputs of 3 to 5 axes, of known height and width; not {tuple(x.shape)}")
        for axis, size in enumerate(_each("output_size", output_size, rank - 2), first):
            have = x.shape[axis]
            windows = [_part(axis, at * have // size, -(-(at + 1) * have // size)) for at in range(size)]
            x = ops.stack([reduce(x[window], axis=axis) for window in windows], axis=axis)
        return x

    operation.__name__ = name
    OPERATIONS.add(operation)


_adaptive("adaptive_average_pool", lambda x, axis: ops.mean(x, axis=axis))
_adaptive("adaptive_max_pool", lambda x, axis: ops.max(x, axis=axis))


# Sliding windows.


def _counts(sizes: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> list[int]:
    """How many windows there are along each axis."""
    each = zip(sizes, kernel, dilation, padding, stride)
    found = [(size + 2 * pad - rate * (width - 1) - 1) // step + 1 for size, width, rate, pad, step in each]
    if min(found) < 1:
        raise ValueError(f"no window of {list(kernel)} with dilation {list(dilation)} fits in {list(sizes)}")
    return found


@OPERATIONS.add
def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    x = as_tensor(x)
    if len(x.shape) != 4 or None in x.shape[1:]:
        raise ValueError(f"unfold takes images (batch, channels, height, width) of a known size, not {tuple(x.shape)}")
    kernel, rates = _each("kernel_size", kernel_size), _each("dilation", dilation)
    pads, steps = _each("padding", padding), _each("stride", stride)
    channels = x.shape[1]
    down, right = _counts(x.shape[2:], kernel, rates, pads, steps)
    if any(pads):
        x = ops.pad(x, [[0, 0], [0, 0], *([pad, pad] for pad in pads)])
    rows = (_part(2, row, row + (down - 1) * steps[0] + 1, steps[0]) for row in _offsets(kernel[0], rates[0]))
    lines = [x[row] for row in rows]
    columns = [_part(3, at, at + (right - 1) * steps[1] + 1, steps[1]) for at in _offsets(kernel[1], rates[1])]
    found = ops.stack([line[column] for line in lines for column in columns], axis=2)
    return ops.reshape(found, (-1, channels * kernel[0] * kernel[1], down * right))


def _offsets(width: int, rate: int) -> range:
    """Where the values of a kernel are, along an axis."""
    return range(0, width * rate, rate)


@OPERATIONS.add
def fold(x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    x = as_tensor(x)
    sizes, kernel, rates = (
        _each("output_size", output_size),
        _each("kernel_size", kernel_size),
        _each("dilation", dilation),
    )
    pads, steps = _each("padding", padding), _each("stride", stride)
    counts = _counts(sizes, kernel, rates, pads, steps)
    if len(x.shape) != 3 or x.shape[1] % (kernel[0] * kernel[1]) or x.shape[2] not in (None, counts[0] * counts[1]):
        raise ValueError(
            f"fold takes blocks (batch, channels * {kernel[0]} * {kernel[1]}, {counts[0]} * {counts[1]}) for these "
            f"sizes, not {tuple(x.shape)}"
        )
    x = ops.reshape(x, (-1, x.shape[1] // (kernel[0] * kernel[1]), *kernel, *counts))
    for axis, count, step in zip((4, 5), counts, steps):
        x = _spread(x, axis, count, step)
    found = 0
    for row, at_row in enumerate(_offsets(kernel[0], rates[0])):
        for column, at_column in enumerate(_offsets(kernel[1], rates[1])):
            part = x[:, :, row, column]
            after = (
                size + 2 * pad - at - have
                for size, pad, at, have in zip(sizes, pads, (at_row, at_column), part.shape[2:])
            )
            found = found + ops.pad(part, [[0, 0], [0, 0], *map(list, zip((at_row, at_column), after))])
    return found[:, :, pads[0] : pads[0] + sizes[0], pads[1] : pads[1] + sizes[1]]  # type: ignore[index]


def _spread(x: Any, axis: int, count: int, step: int) -> Any:
    """A tensor with zeros between its values along an axis."""
    if step == 1:
        return x
    shape = [-1, *x.shape[1:]]
    shape[axis] = count * step
    pads = [[0, 0]] * (axis + 1) + [[0, step - 1]] + [[0, 0]] * (len(shape) - axis - 1)
    return ops.reshape(ops.pad(ops.expand_dims(x, axis + 1), pads), shape)[_part(axis, None, 1 - step)]


# Blocks of pixels as channels. With channels first, the blocks are the inner part of the channels, as Keras has it
# everywhere but on TensorFlow.


def _blocks(name: str, x: Any, block_size: int, data_format: Any) -> tuple[Any, bool, Any, Any, Any]:
    """The tensor, whether its channels are last, and its height, width and channels."""
    x, last = as_tensor(x), data_format_of(data_format, name) == "channels_last"
    if len(x.shape) != 4 or None in x.shape[1:] or block_size < 2:
        raise ValueError(
            f"{name} takes images of four axes, of a known size, and a block_size of at least 2; "
            f"not {tuple(x.shape)} and {block_size}"
        )
    height, width, channels = x.shape[1:] if last else (*x.shape[2:], x.shape[1])
    return x, last, height, width, channels


@OPERATIONS.add
def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    x, last, height, width, channels = _blocks("depth_to_space", x, block_size, data_format)
    left, rest = divmod(channels, block_size**2)
    if rest:
        raise ValueError(f"depth_to_space: the channels must be a multiple of {block_size**2}, not {channels}")
    if last:
        x = ops.transpose(ops.reshape(x, (-1, height, width, block_size, block_size, left)), (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height * block_size, width * block_size, left))
    x = ops.transpose(ops.reshape(x, (-1, left, block_size, block_size, height, width)), (0, 1, 4, 2, 5, 3))
    return ops.reshape(x, (-1, left, height * block_size, width * block_size))


@OPERATIONS.add
def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    x, last, height, width, channels = _blocks("space_to_depth", x, block_size, data_format)
    if height % block_size or width % block_size:
        raise ValueError(f"space_to_depth: height and width must be multiples of {block_size}, not {height}, {width}")
    down, right = height // block_size, width // block_size
    if last:
        x = ops.transpose(ops.reshape(x, (-1, down, block_size, right, block_size, channels)), (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, down, right, channels * block_size**2))
    x = ops.transpose(ops.reshape(x, (-1, channels, down, block_size, right, block_size)), (0, 1, 3, 5, 2, 4))
    return ops.reshape(x, (-1, channels * block_size**2, down, right))


# CTC.


@OPERATIONS.add
def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int | None = 0,
) -> Any:
    inputs, lengths = as_tensor(inputs), ops.cast(as_tensor(sequence_lengths), "int32")
    inputs = ops.cast(inputs, result_type(dtype_name(inputs), "float32"))
    classes = inputs.shape[-1]
    mask_index = classes - 1 if mask_index is None else mask_index % classes
    if strategy == "greedy":
        return _greedy(inputs, lengths, merge_repeated, mask_index)
    if strategy != "beam_search":
        raise ValueError(f"ctc_decode: strategy must be 'greedy' or 'beam_search', not {strategy!r}")
    if backend() != "tensorflow":
        raise NotImplementedError(
            f"ctc_decode with strategy='beam_search': Keras has it since 3.3, and it can't be had on "
            f"{keras_info(keras_in_use())} before. Upgrade Keras, or use strategy='greedy'."
        )
    return beam_search(inputs, lengths, beam_width, top_paths, mask_index)


def _greedy(inputs: Any, lengths: Any, merge_repeated: bool, mask_index: int) -> Any:
    best = ops.cast(ops.argmax(inputs, axis=-1), "int32")
    steps = ops.cumsum(ops.ones_like(best), axis=1)
    is_there = steps <= ops.expand_dims(lengths, 1)
    scores = ops.max(inputs, axis=-1) * ops.cast(is_there, dtype_name(inputs))
    best = ops.where(is_there, best, ops.full_like(best, mask_index))
    is_kept = best != mask_index
    if merge_repeated:
        before = ops.concatenate([ops.full_like(best[:, :1], mask_index), best[:, :-1]], axis=1)
        is_kept = ops.logical_and(is_kept, best != before)
    best = ops.where(is_kept, best, ops.full_like(best, -1))
    # Those that are kept come first, in their order.
    order = ops.argsort(ops.where(is_kept, steps, steps + ops.max(steps)), axis=-1)
    best = ops.take_along_axis(best, order, axis=-1)
    return ops.expand_dims(best, 0), ops.expand_dims(-ops.sum(scores, axis=1), 1)


@symbolically
def beam_search(inputs: Any, lengths: Any, beam_width: int, top_paths: int, mask_index: int) -> Any:
    """The beam search of TensorFlow, which has the mask as the last class."""
    tf = sys.modules["tensorflow"]
    classes = [*range(mask_index), *range(mask_index + 1, inputs.shape[-1]), mask_index]
    logits = tf.transpose(tf.gather(inputs, classes, axis=-1), [1, 0, 2])
    found, scores = tf.nn.ctc_beam_search_decoder(logits, lengths, beam_width, top_paths)
    shape = tf.shape(inputs, out_type=tf.int64)[:2]
    paths = [tf.sparse.to_dense(tf.SparseTensor(each.indices, each.values, shape), -1) for each in found]
    decoded = tf.ensure_shape(tf.cast(tf.stack(paths), tf.int32), [top_paths, *inputs.shape[:2]])
    return tf.where(decoded >= mask_index, decoded + 1, decoded), scores
