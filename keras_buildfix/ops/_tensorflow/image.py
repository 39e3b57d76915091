"""Resizing, padding, warping and patches of images over TensorFlow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_buildfix import ops
from keras_buildfix.ops._later._images import INTERPOLATIONS, images_of, in_batch, one_of, projected, read, warped
from keras_buildfix.ops._symbolic import symbolically
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import sizes, tensor

OPERATIONS = Operations()


def _larger(x: Any, y: Any) -> Any:
    return max(x, y) if isinstance(x, int) and isinstance(y, int) else tf.maximum(x, y)


def _smaller(x: Any, y: Any) -> Any:
    return min(x, y) if isinstance(x, int) and isinstance(y, int) else tf.minimum(x, y)


def _cropped(batch: Any, size: tuple[int, int]) -> Any:
    """The middle of the images, in the proportions of `size`."""
    height, width = sizes(batch)[1:3]
    rows = _larger(_smaller(height, width * size[0] // size[1]), 1)
    columns = _larger(_smaller(width, height * size[1] // size[0]), 1)
    top, left = (height - rows) // 2, (width - columns) // 2
    return batch[:, top : top + rows, left : left + columns]


def _padded(batch: Any, size: tuple[int, int], fill_value: Any) -> Any:
    """The images with as much on both sides as gives them the proportions of `size`."""
    height, width = sizes(batch)[1:3]
    top = _larger(width * size[0] // size[1] - height, 0) // 2
    left = _larger(height * size[1] // size[0] - width, 0) // 2
    return tf.pad(batch, [[0, 0], [top, top], [left, left], [0, 0]], constant_values=tf.cast(fill_value, batch.dtype))


@OPERATIONS.add
@symbolically
def resize(
    images: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: Any = 0.0,
    data_format: str | None = None,
) -> Any:
    one_of("interpolation", interpolation, ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic", "area"))
    one_of("fill_mode", fill_mode, ("constant",))
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("resize: one of crop_to_aspect_ratio and pad_to_aspect_ratio is True, not both")
    if len(size) != 2:
        raise ValueError(f"resize: size is (height, width); got {size}")
    size = (int(size[0]), int(size[1]))
    images, data_format = images_of("resize", images, data_format)
    batch, back = in_batch(images, data_format)
    if crop_to_aspect_ratio:
        batch = _cropped(batch, size)
    elif pad_to_aspect_ratio:
        batch = _padded(batch, size, fill_value)
    if interpolation in ("nearest", "area") or (interpolation == "bilinear" and not antialias):
        found = tf.image.resize(batch, size, interpolation)
        if images.dtype.is_integer and found.dtype != images.dtype:
            found = tf.round(found)
        return back(tf.cast(found, images.dtype))
    # TensorFlow's own has its cubic from a coarse table, and none of these in XLA.
    scale = [tf.cast(new, "float32") / tf.cast(old, "float32") for new, old in zip(size, sizes(batch)[1:3])]
    shape = (None, *size, None)
    return back(
        ops.image.scale_and_translate(batch, shape, tf.stack(scale), [0.0, 0.0], (1, 2), interpolation, antialias)
    )


@OPERATIONS.add
@symbolically
def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: Any = 0,
    data_format: str | None = None,
) -> Any:
    one_of("interpolation", interpolation, INTERPOLATIONS)
    one_of("fill_mode", fill_mode, ("constant", "nearest", "wrap", "reflect"))
    images, data_format = images_of("affine_transform", images, data_format)
    transform = tensor(transform, "float32")
    if transform.shape.rank not in (1, 2) or transform.shape[-1] not in (8, None):
        raise ValueError(f"affine_transform: transform is of the shape (8,) or (batch, 8); got {transform.shape}")
    batch, back = in_batch(images, data_format)
    # TensorFlow's own kernel for this has a gradient that is right only for shifts, and none for XLA.
    places = projected(batch, tf.reshape(transform, [-1, 8]))
    return back(tf.ensure_shape(warped(batch, *places, interpolation, fill_mode, fill_value), batch.shape))


@OPERATIONS.add
def pad_images(
    images: Any,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    images, data_format = images_of("pad_images", images, data_format)
    axis = len(images.shape) - (3 if data_format == "channels_last" else 2)
    sides: tuple[tuple[Any, ...], ...] = (
        ("top_padding, bottom_padding and target_height", top_padding, bottom_padding, target_height),
        ("left_padding, right_padding and target_width", left_padding, right_padding, target_width),
    )
    widths: list[Any] = [[0, 0] for _ in images.shape]
    shape = images.shape.as_list()
    for at, (side, before, after, target) in enumerate(sides, axis):
        if [before, after, target].count(None) != 1:
            raise ValueError(f"pad_images: two of {side} are given; got {before}, {after} and {target}")
        size: Any = shape[at] if shape[at] is not None else tf.shape(images)[at]
        before = target - after - size if before is None else before
        after = target - before - size if after is None else after
        if any(isinstance(each, int) and each < 0 for each in (before, after)):
            raise ValueError(f"pad_images: none of {side} is below 0; got {before}, {after} and {target} of {size}")
        widths[at] = [before, after]
        shape[at] = target if target is not None or shape[at] is None else shape[at] + before + after
    return tf.ensure_shape(tf.pad(images, widths), shape)


@OPERATIONS.add
def extract_patches(
    images: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    if not isinstance(size, (int, tuple, list)):
        raise TypeError(f"extract_patches: size is an int or a tuple; got {size!r}")
    if not isinstance(size, int) and len(size) == 3:
        return ops.image.extract_patches_3d(images, size, strides, dilation_rate, padding, data_format)
    images, data_format = images_of("extract_patches", images, data_format)
    one_of("padding", padding, ("valid", "same"))
    batch, back = in_batch(images, data_format)
    patches, steps, rates = (
        [1, *([each] * 2 if isinstance(each, int) else each), 1] for each in (size, strides or size, dilation_rate)
    )
    found = tf.image.extract_patches(batch, patches, steps, rates, padding.upper())
    # Its static shape knows no size, if one is unknown.
    known = [_count(*each, padding) for each in zip(batch.shape[1:3], patches[1:], steps[1:], rates[1:])]
    return back(tf.ensure_shape(found, [batch.shape[0], *known, found.shape[-1]]))


def _count(size: Any, patch: int, step: int, rate: int, padding: str) -> Any:
    """How many patches an axis has."""
    if size is None:
        return None
    return -(-size // step) if padding == "same" else max(0, (size - (patch - 1) * rate - 1) // step + 1)


@OPERATIONS.add
@symbolically
def map_coordinates(inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: Any = 0) -> Any:
    one_of("order", order, (0, 1))
    one_of("fill_mode", fill_mode, ("constant", "nearest", "wrap", "mirror", "reflect"))
    inputs, coordinates = tensor(inputs), tensor(coordinates)
    if coordinates.shape.rank < 2 or coordinates.shape[0] != len(inputs.shape):
        raise ValueError(
            f"map_coordinates: coordinates have two axes or more, the first as long as inputs has axes; got the shapes "
            f"{coordinates.shape} and {inputs.shape}"
        )
    dtype = "float64" if "float64" in (inputs.dtype.name, coordinates.dtype.name) else "float32"
    return read(inputs, tf.unstack(tf.cast(coordinates, dtype)), order, fill_mode, fill_value)
