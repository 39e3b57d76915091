"""What the functions of images share: images of each form as a batch with the channels last, and reading them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from keras_buildfix import ops
from keras_buildfix.ops._finding import data_format_of
from keras_buildfix.ops._later._values import as_tensor, is_floating
from keras_buildfix.ops._making import dtype_name

INTERPOLATIONS = ("nearest", "bilinear")


def one_of(name: str, given: Any, allowed: Sequence[Any]) -> None:
    """Raises a ValueError for a value that is not allowed."""
    if given not in allowed:
        raise ValueError(f"{name} is one of {', '.join(map(repr, allowed))}; got {given!r}")


def images_of(name: str, images: Any, data_format: str | None, ranks: tuple[int, ...] = (3, 4)) -> tuple[Any, str]:
    """The images as a tensor of one of these ranks, and their format."""
    images = as_tensor(images)
    if len(images.shape) not in ranks:
        allowed = " or ".join(map(str, ranks))
        raise ValueError(f"{name}: an image has {allowed} axes, the last number with the batch; got {images.shape}")
    return images, data_format_of(data_format, name)


def in_batch(images: Any, data_format: str, axes: int = 4) -> tuple[Any, Callable[[Any], Any]]:
    """The images as a batch with the channels last, and the function that turns a result back."""
    single = len(images.shape) == axes - 1
    batch = ops.expand_dims(images, 0) if single else images
    first = data_format == "channels_first"
    if first:
        batch = ops.moveaxis(batch, 1, -1)

    def back(found: Any) -> Any:
        found = ops.moveaxis(found, axes - 1, 1) if first else found
        return ops.squeeze(found, 0) if single else found

    return batch, back


def _inside(index: Any, size: Any, fill_mode: str) -> Any:
    """Where an index of an axis is found, if it lies beyond the border."""
    if fill_mode == "wrap":
        return ops.mod(index, size)
    if fill_mode == "mirror":  # the border itself is not doubled
        last = max(size - 1, 1) if isinstance(size, int) else ops.maximum(size - 1, 1)
        return last - ops.abs(ops.mod(index, 2 * last) - last)
    if fill_mode == "reflect":
        index = ops.mod(index, 2 * size)
        return ops.minimum(index, 2 * size - 1 - index)
    return ops.maximum(ops.minimum(index, size - 1), 0)


def read(inputs: Any, places: list[Any], order: int, fill_mode: str, fill_value: Any) -> Any:
    """The values of a tensor at places along its first axes, with order 1 between them.

    Args:
        inputs: The tensor.
        places: For each of the first axes the places along it; ints are taken as they are. They broadcast.
        order: 0 for the nearest value, 1 for linear interpolation.
        fill_mode: What is beyond the borders: ``"constant"``, ``"nearest"``, ``"wrap"``, ``"mirror"`` or ``"reflect"``.
        fill_value: What is there with ``"constant"``.

    Returns:
        The values, of the shape of the places and the rest of the axes, in the dtype of `inputs`.
    """
    dtype = dtype_name(places[-1])
    sizes = ops.shape(inputs)
    count = len(places)
    flat = ops.reshape(inputs, (-1, *sizes[count:]))
    nodes = []  # for each axis the places that count, and how much
    for at in places:
        if not is_floating(at):
            nodes.append([(at, None)])
            continue
        low = ops.floor(at) if order else ops.round(at)
        index = ops.cast(low, "int32")
        nodes.append([(index, 1.0 - (at - low)), (index + 1, at - low)] if order else [(index, None)])

    def widened(x: Any) -> Any:
        return functools.reduce(ops.expand_dims, [-1] * (len(sizes) - count), x)

    total: Any = 0.0
    for corner in itertools.product(*nodes):
        row: Any = 0
        within = []
        for (index, _), size in zip(corner, sizes):
            inner = _inside(index, size, fill_mode)
            within.append(ops.equal(inner, index))
            row = row * size + inner
        value = ops.cast(ops.take(flat, row, axis=0), dtype)
        if fill_mode == "constant":
            value = ops.where(widened(functools.reduce(ops.logical_and, within)), value, ops.cast(fill_value, dtype))
        for _, weight in corner:
            value = value if weight is None else value * widened(weight)
        total = total + value
    dtype = dtype_name(inputs)
    return ops.cast(total if is_floating(inputs) else ops.round(total), dtype)


def warped(batch: Any, y: Any, x: Any, interpolation: str, fill_mode: str, fill_value: Any) -> Any:
    """A batch of images, read at other places (batch, height, width)."""
    number = ops.reshape(ops.arange(ops.shape(batch)[0], dtype="int32"), (-1, 1, 1))
    return read(batch, [number, y, x], INTERPOLATIONS.index(interpolation), fill_mode, fill_value)


def grid(batch: Any) -> tuple[Any, Any]:
    """The rows (height, 1) and the columns (width) of a batch of images."""
    _, height, width, _ = ops.shape(batch)
    rows = ops.cast(ops.arange(height, dtype="int32"), "float32")
    return ops.expand_dims(rows, 1), ops.cast(ops.arange(width, dtype="int32"), "float32")


def projected(batch: Any, transforms: Any) -> tuple[Any, Any]:
    """The places y and x (batch, height, width) to which transforms (batch, 8) take those of a batch of images."""
    y, x = grid(batch)
    a0, a1, a2, b0, b1, b2, c0, c1 = (ops.reshape(transforms[:, at], (-1, 1, 1)) for at in range(8))
    depth = c0 * x + c1 * y + 1.0
    return (b0 * x + b1 * y + b2) / depth, (a0 * x + a1 * y + a2) / depth
