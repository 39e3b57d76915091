"""Convolutions and pools over TensorFlow, in one to three dimensions.

TensorFlow has most of them for ``channels_last`` only, on a CPU: the channels are moved to the end and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_buildfix.ops._finding import data_format_of
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import tensor, together

OPERATIONS = Operations()

#: Number of axes -> TensorFlow's name for their order. Without it, the gradients of three dimensions fail.
_FORMATS = {3: "NWC", 4: "NHWC", 5: "NDHWC"}


def _with_channels_last(name: str, x: Any, data_format: Any, run: Callable[[Any], Any]) -> Any:
    """The result of `run` for a tensor with the channels at the end, in the format of the tensor given."""
    rank = len(x.shape)
    if rank not in (3, 4, 5):
        raise ValueError(f"{name} takes inputs with 3 to 5 axes; here they have {rank}")
    if data_format_of(data_format, name) == "channels_last":
        return run(x)
    return tf.transpose(run(tf.transpose(x, [0, *range(2, rank), 1])), [0, rank - 1, *range(1, rank - 1)])


def _each(name: str, value: Any, x: Any) -> tuple[int, ...]:
    """A value for each spatial axis of a tensor, from one for all or a sequence."""
    count = len(x.shape) - 2
    values = (value,) * count if isinstance(value, int) else tuple(value)
    if len(values) != count:
        raise ValueError(f"{name} must be an integer or {count} of them, not {value!r}")
    return values


def _padding(padding: str) -> str:
    if padding.upper() not in ("VALID", "SAME"):
        raise ValueError(f"padding must be 'valid' or 'same', not {padding!r}")
    return padding.upper()


def _size(x: Any, axis: int) -> Any:
    """The size of a tensor along an axis: an integer where it is known."""
    return tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]


def _check_sizes(name: str, x: Any, kernel: Any, padding: str, dilation: tuple[int, ...]) -> None:
    """Raises ValueError if nothing would be left of a spatial axis."""
    for size, width, rate in zip(x.shape[1:-1], kernel, dilation):
        if padding == "VALID" and size and size < (width - 1) * rate + 1:
            raise ValueError(
                f"{name}: the result would be empty, as a window is larger than the inputs: these have (channels last) "
                f"the shape {x.shape}, the window is {tuple(kernel)} with a dilation of {dilation}"
            )


def _padded_as_same(x: Any, kernel: Any, strides: tuple[int, ...], dilation: tuple[int, ...]) -> Any:
    """Inputs with the zeros around that the padding "same" has."""
    pads: list[Any] = [[0, 0]]
    for axis, (width, stride, rate) in enumerate(zip(kernel.shape, strides, dilation), 1):
        size = _size(x, axis)
        total = (-(-size // stride) - 1) * stride + (width - 1) * rate + 1 - size
        total = max(total, 0) if isinstance(total, int) else tf.maximum(total, 0)
        pads.append([total // 2, total - total // 2])
    return tf.pad(x, [*pads, [0, 0]])


def _strided(
    run: Callable[..., Any], x: Any, kernel: Any, strides: tuple[int, ...], padding: str, dilation: tuple[int, ...]
) -> Any:
    """A convolution by strides that TensorFlow does not have: one by steps of 1, of which each so many-th is kept."""
    x = _padded_as_same(x, kernel, strides, dilation) if padding == "SAME" else x
    found = run(x, kernel, (1,) * len(strides), "VALID", dilation)
    return found[(slice(None), *(slice(None, None, stride) for stride in strides))]


def _convolution(x: Any, kernel: Any, strides: Any, padding: str, dilation: Any) -> Any:
    """`conv` with the channels at the end, in groups of as many as the kernel takes."""
    groups, rest = divmod(x.shape[-1], kernel.shape[-2])
    if rest or not groups or kernel.shape[-1] % groups:
        raise ValueError(
            f"conv: inputs must have the channels of the kernel, or a multiple of them that divides its filters; "
            f"inputs (channels last) have the shape {x.shape}, kernel {kernel.shape}"
        )
    _check_sizes("conv", x, kernel.shape[:-2], padding, dilation)
    if groups > 1:  # on a CPU, TensorFlow has no gradient for them
        parts = zip(tf.split(x, groups, -1), tf.split(kernel, groups, -1))
        return tf.concat([_convolution(*part, strides, padding, dilation) for part in parts], -1)
    if max(strides) > 1 and max(dilation) > 1:
        return _strided(_convolution, x, kernel, strides, padding, dilation)
    return tf.nn.convolution(x, kernel, strides, padding, _FORMATS[len(x.shape)], dilation)


def _depthwise(x: Any, kernel: Any, strides: Any, padding: str, dilation: Any) -> Any:
    """`depthwise_conv` with the channels at the end."""
    if x.shape[-1] != kernel.shape[-2]:
        raise ValueError(
            f"depthwise_conv: the channels of inputs and kernel must be the same; "
            f"inputs (channels last) have the shape {x.shape}, kernel {kernel.shape}"
        )
    _check_sizes("depthwise_conv", x, kernel.shape[:-2], padding, dilation)
    if len(x.shape) == 3:
        strides, dilation = (*strides, *strides), (1, *dilation)
        found = _depthwise(tf.expand_dims(x, 1), tf.expand_dims(kernel, 0), strides, padding, dilation)
        return tf.squeeze(found, 1)
    if len({*strides}) > 1 or (max(strides) > 1 and max(dilation) > 1):
        return _strided(_depthwise, x, kernel, strides, padding, dilation)
    return tf.nn.depthwise_conv2d(x, kernel, (1, *strides, 1), padding, dilations=dilation)


@OPERATIONS.add
def conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: Any = None, dilation_rate: Any = 1
) -> Any:
    inputs, kernel = together(inputs, kernel)
    more = _each("strides", strides, inputs), _padding(padding), _each("dilation_rate", dilation_rate, inputs)
    return _with_channels_last("conv", inputs, data_format, lambda x: _convolution(x, kernel, *more))


@OPERATIONS.add
def depthwise_conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: Any = None, dilation_rate: Any = 1
) -> Any:
    inputs, kernel = together(inputs, kernel)
    if len(inputs.shape) > 4:
        raise ValueError(f"depthwise_conv takes inputs with 3 or 4 axes, not the shape {inputs.shape}")
    more = _each("strides", strides, inputs), _padding(padding), _each("dilation_rate", dilation_rate, inputs)
    return _with_channels_last("depthwise_conv", inputs, data_format, lambda x: _depthwise(x, kernel, *more))


@OPERATIONS.add
def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    deep = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(deep, pointwise_kernel, data_format=data_format)


def _dilated(kernel: Any, dilation: tuple[int, ...]) -> Any:
    """A kernel with zeros between its values: TensorFlow has no transposed convolution with a dilation on a CPU."""
    for axis, rate in enumerate(dilation):
        if rate > 1:
            shape = list(kernel.shape)
            pads = [[0, 0]] * (axis + 1) + [[0, rate - 1]] + [[0, 0]] * (len(shape) - axis - 1)
            spread = tf.pad(tf.expand_dims(kernel, axis + 1), pads)
            spread = tf.reshape(spread, [*shape[:axis], shape[axis] * rate, *shape[axis + 1 :]])
            kernel = spread[(*[slice(None)] * axis, slice(None, 1 - rate))]
    return kernel


def _transposed_size(size: Any, width: int, stride: int, padding: str, more: int | None) -> Any:
    """The size of the result of a transposed convolution along an axis."""
    if padding == "SAME":
        return size * stride if more is None else (size - 1) * stride + width % 2 + more
    return (size - 1) * stride + (max(width, stride) if more is None else width + more)


@OPERATIONS.add
def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    inputs, kernel = together(inputs, kernel)
    steps, padding = _each("strides", strides, inputs), _padding(padding)
    kernel = _dilated(kernel, _each("dilation_rate", dilation_rate, inputs))
    extra = (None,) * len(steps) if output_padding is None else _each("output_padding", output_padding, inputs)

    def run(x: Any) -> Any:
        if x.shape[-1] != kernel.shape[-1]:
            raise ValueError(
                f"conv_transpose: the channels of inputs must be on the last axis of the kernel; "
                f"inputs (channels last) have the shape {x.shape}, kernel {kernel.shape}"
            )
        sizes = [
            _transposed_size(_size(x, axis), kernel.shape[axis - 1], stride, padding, more)
            for axis, (stride, more) in enumerate(zip(steps, extra), 1)
        ]
        shape = [_size(x, 0), *sizes, kernel.shape[-2]]
        found = tf.nn.conv_transpose(x, kernel, shape, steps, padding, _FORMATS[len(x.shape)])
        return tf.ensure_shape(found, [size if isinstance(size, int) else None for size in shape])

    return _with_channels_last("conv_transpose", inputs, data_format, run)


def _pool(name: str, pool: Callable[..., Any]) -> None:
    """Enters a function that pools."""

    def operation(
        inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
    ) -> Any:
        inputs = tensor(inputs)
        size = _each("pool_size", pool_size, inputs)
        more = size, size if strides is None else _each("strides", strides, inputs), _padding(padding)

        def run(x: Any) -> Any:
            _check_sizes(name, x, size, more[2], (1,) * len(size))
            return pool(x, *more, _FORMATS[len(x.shape)])

        return _with_channels_last(name, inputs, data_format, run)

    operation.__name__ = name
    OPERATIONS.add(operation)


_pool("max_pool", tf.nn.max_pool)
_pool("average_pool", tf.nn.avg_pool)


# Blocks of pixels as channels. With channels first, TensorFlow would have the blocks as the outer part of the channels;
# Keras has them as the inner part, on all backends but TensorFlow.


def _check_blocks(name: str, x: Any, block_size: int, sizes: tuple[Any, ...], by: int) -> None:
    if len(x.shape) != 4 or block_size < 2 or any(size is not None and size % by for size in sizes):
        raise ValueError(
            f"{name} takes images of four axes, a block_size of at least 2, and sizes that are multiples of it (its "
            f"square, for channels); not a block_size of {block_size} for the shape (channels last) {x.shape}"
        )


@OPERATIONS.add
def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    def run(x: Any) -> Any:
        area = block_size**2
        _check_blocks("depth_to_space", x, block_size, (x.shape[-1],), area)
        if data_format_of(data_format, "depth_to_space") == "channels_first":
            x = tf.gather(x, [at for start in range(area) for at in range(start, x.shape[-1], area)], axis=-1)
        return tf.nn.depth_to_space(x, block_size)

    return _with_channels_last("depth_to_space", tensor(x), data_format, run)


@OPERATIONS.add
def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    def run(x: Any) -> Any:
        _check_blocks("space_to_depth", x, block_size, x.shape[1:-1], block_size)
        found = tf.nn.space_to_depth(x, block_size)
        if data_format_of(data_format, "space_to_depth") == "channels_first":
            channels, all_ = x.shape[-1], found.shape[-1]
            found = tf.gather(found, [at for start in range(channels) for at in range(start, all_, channels)], axis=-1)
        return found

    return _with_channels_last("space_to_depth", tensor(x), data_format, run)
