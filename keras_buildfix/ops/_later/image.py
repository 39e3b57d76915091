"""Functions of images that Keras got after 3.0: cropping, colors, filters, warping and scaling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras_buildfix import ops, random
from keras_buildfix.ops._later._images import INTERPOLATIONS, grid, images_of, in_batch, one_of, projected, warped
from keras_buildfix.ops._later._values import as_tensor, backend, in_float, is_floating, over_tensorflow
from keras_buildfix.ops._making import dtype_name
from keras_buildfix.ops._symbolic import symbolically
from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()


def crop_of(side: str, start: Any, end: Any, target: Any, size: Any) -> slice:
    """What is kept of an axis: of `start`, `end` and `target` two are given."""
    if [start, end, target].count(None) != 1:
        raise ValueError(f"crop_images: two of {side} are given; got {start}, {end} and {target}")
    if size is not None:
        start = size - target - end if start is None else start
        end = size - target - start if end is None else end
        target = size - start - end
    if any(each is not None and each < 0 for each in (start, end, target)):
        raise ValueError(f"crop_images: none of {side} is below 0; they are {start}, {end} and {target} of {size}")
    if start is None:
        return slice(-(target + end), -end or None)
    return slice(start, -end or None) if target is None else slice(start, start + target)


@OPERATIONS.add
def crop_images(
    images: Any,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    images, data_format = images_of("crop_images", images, data_format)
    height, width = images.shape[-3:-1] if data_format == "channels_last" else images.shape[-2:]
    rows = crop_of(
        "top_cropping, bottom_cropping and target_height", top_cropping, bottom_cropping, target_height, height
    )
    columns = crop_of(
        "left_cropping, right_cropping and target_width", left_cropping, right_cropping, target_width, width
    )
    kept = (rows, columns, slice(None)) if data_format == "channels_last" else (slice(None), rows, columns)
    found = images[(slice(None), *kept) if len(images.shape) == 4 else kept]
    sizes = list(found.shape)
    at = len(sizes) - (3 if data_format == "channels_last" else 2)
    targets = [known if target is None else target for known, target in zip(sizes[at:], (target_height, target_width))]
    if targets == sizes[at : at + 2]:
        return found
    sizes[at : at + 2] = targets  # a slice of an axis of unknown size has an unknown size
    return ops.reshape(found, [-1 if size is None else size for size in sizes]) if sizes.count(None) < 2 else found


def _channels(name: str, images: Any, data_format: str | None) -> tuple[Any, int]:
    """Images of floats, and the axis of their channels."""
    images, data_format = images_of(name, images, data_format)
    if not is_floating(images):
        raise ValueError(f"{name}: images are of floats; got {dtype_name(images)}")
    return images, -1 if data_format == "channels_last" else -3


@OPERATIONS.add
def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Any:
    images, data_format = images_of("rgb_to_grayscale", images, data_format)
    axis = -1 if data_format == "channels_last" else -3
    if images.shape[axis] not in (1, 3):
        raise ValueError(f"rgb_to_grayscale: images have 1 or 3 channels; got the shape {images.shape}")
    if images.shape[axis] == 1:
        return images
    red, green, blue = ops.split(in_float(images), 3, axis)
    return ops.cast(0.2989 * red + 0.5870 * green + 0.1140 * blue, dtype_name(images))


@OPERATIONS.add
def rgb_to_hsv(images: Any, data_format: str | None = None) -> Any:
    images, axis = _channels("rgb_to_hsv", images, data_format)
    dtype = dtype_name(images)
    tiny = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}.get(dtype, 2.0**-52)
    images = ops.where(ops.abs(images) < tiny, ops.zeros_like(images), images)
    red, green, blue = ops.split(images, 3, axis)
    value = ops.maximum(ops.maximum(red, green), blue)
    spread = value - ops.minimum(ops.minimum(red, green), blue)
    zero, one = ops.zeros_like(value), ops.ones_like(value)
    some = spread > 0.0
    saturation = ops.where(value > 0.0, spread / ops.where(value > 0.0, value, one), zero)
    sixth = 1.0 / (6.0 * ops.where(some, spread, one))
    hue = ops.where(ops.equal(value, green), (blue - red) * sixth + 2.0 / 6.0, (red - green) * sixth + 4.0 / 6.0)
    hue = ops.where(some, ops.where(ops.equal(value, red), (green - blue) * sixth, hue), zero)
    hue = ops.where(hue < 0.0, hue + 1.0, hue)
    return ops.cast(ops.concatenate([hue, saturation, value], axis), dtype)


@OPERATIONS.add
def hsv_to_rgb(images: Any, data_format: str | None = None) -> Any:
    images, axis = _channels("hsv_to_rgb", images, data_format)
    hue, saturation, value = ops.split(images, 3, axis)
    # A channel loses up to the whole saturation, with the distance of the hue from its own on a wheel of six.
    turns = [ops.mod(hue * 6.0 + start, 6.0) for start in (5.0, 3.0, 1.0)]
    # Keras 3.0 to 3.5 make float32 of half precision here, on TensorFlow.
    lost = [ops.cast(ops.clip(ops.minimum(turn, 4.0 - turn), 0.0, 1.0), dtype_name(value)) for turn in turns]
    return ops.cast(ops.concatenate([value * (1.0 - saturation * each) for each in lost], axis), dtype_name(images))


def _bell(size: int, sigma: Any, dtype: str) -> Any:
    """A Gaussian of so many points whose sum is 1."""
    found = ops.exp(-0.5 * ops.square((ops.arange(size, dtype=dtype) - (size - 1) / 2) / sigma))
    return found / ops.sum(found)


def _filtered(images: Any, columns: Any, rows: Any, padding: str) -> Any:
    """A batch of images, each channel of which is filtered down the columns and along the rows."""
    kernel = ops.reshape(columns, (-1, 1, 1, 1)) * ops.reshape(rows, (1, -1, 1, 1))
    kernel = ops.tile(kernel, (1, 1, images.shape[-1], 1))
    return ops.depthwise_conv(images, kernel, padding=padding, data_format="channels_last")


@OPERATIONS.add
def gaussian_blur(
    images: Any, kernel_size: Any = (3, 3), sigma: Any = (1.0, 1.0), data_format: str | None = None
) -> Any:
    images, data_format = images_of("gaussian_blur", images, data_format)
    dtype = dtype_name(images)
    wide = "float64" if dtype == "float64" else "float32"
    batch, back = in_batch(ops.cast(images, wide), data_format)
    # Of both pairs the first is along the rows, as on Keras's backends but TensorFlow, which mixes them up.
    rows, columns = (_bell(int(size), width, wide) for size, width in zip(kernel_size, sigma))
    return ops.cast(back(_filtered(batch, columns, rows, "same")), dtype)


@OPERATIONS.add
def sobel_edges(images: Any, data_format: str | None = None) -> Any:
    images, data_format = images_of("sobel_edges", images, data_format, (4,))
    if not is_floating(images):
        raise ValueError(f"sobel_edges: images are of floats; got {dtype_name(images)}")
    batch, _ = in_batch(images, data_format)
    # What is beyond the border differs in Keras from backend to backend.
    mode = {"tensorflow": "reflect", "numpy": "symmetric"}.get(backend(), "constant")
    batch = ops.pad(batch, [[0, 0], [1, 1], [1, 1], [0, 0]], mode=mode)
    wide = batch[:, :, :-2] + 2.0 * batch[:, :, 1:-1] + batch[:, :, 2:]
    high = batch[:, :-2] + 2.0 * batch[:, 1:-1] + batch[:, 2:]
    found = ops.stack([wide[:, 2:] - wide[:, :-2], high[:, :, 2:] - high[:, :, :-2]], axis=-1)
    return ops.moveaxis(found, 3, 1) if data_format == "channels_first" else found


@OPERATIONS.add
def ssim(
    image1: Any,
    image2: Any,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Any:
    image1, data_format = images_of("ssim", image1, data_format)
    image2, _ = images_of("ssim", image2, data_format)
    dtype = dtype_name(image1)
    wide = "float64" if dtype == "float64" else "float32"
    (one, _), (two, _) = (in_batch(ops.cast(each, wide), data_format) for each in (image1, image2))
    bell = _bell(filter_size, filter_sigma, wide)
    parts = ops.concatenate([one, two, one * one, two * two, one * two], axis=-1)
    mean1, mean2, square1, square2, product = ops.split(_filtered(parts, bell, bell, "valid"), 5, axis=-1)
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    both, squares = mean1 * mean2, mean1 * mean1 + mean2 * mean2
    alike = (2.0 * both + c1) * (2.0 * (product - both) + c2)
    found = ops.mean(alike / ((squares + c1) * (square1 + square2 - squares + c2)), axis=(1, 2, 3))
    return ops.cast(ops.squeeze(found, 0) if len(image1.shape) == 3 else found, dtype)


@OPERATIONS.add
@symbolically
def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: Any = 0,
    data_format: str | None = None,
) -> Any:
    one_of("interpolation", interpolation, INTERPOLATIONS)
    images, data_format = images_of("perspective_transform", images, data_format)
    start, end = as_tensor(start_points), as_tensor(end_points)
    shapes = tuple(start.shape), tuple(end.shape)
    if any(shape[-2:] != (4, 2) or len(shape) != len(shapes[0]) or len(shape) > 3 for shape in shapes):
        raise ValueError(
            f"perspective_transform: start_points and end_points are of the shape (4, 2) or (batch, 4, 2), both of the "
            f"same; got {start.shape} and {end.shape}"
        )
    dtype = dtype_name(images)
    batch, back = in_batch(ops.cast(images, "float32"), data_format)
    places = _homography(*(ops.reshape(ops.cast(each, "float32"), (-1, 4, 2)) for each in (start, end)))
    found = back(warped(batch, *projected(batch, places), interpolation, "constant", fill_value))
    return ops.cast(found if is_floating(images) else ops.round(found), dtype)


def _solve(a: Any, b: Any) -> Any:
    if backend() == "tensorflow":  # that of Keras 3.6 takes no tensors with a batch of unknown size there
        return over_tensorflow("solve")(a, b)
    return ops.solve(a, b)


def _homography(start: Any, end: Any) -> Any:
    """The eight numbers of the map that takes the four end points to the start points."""
    ones, zeros = ops.ones_like(end[..., :1]), ops.zeros_like(end)
    place = ops.concatenate([end, ones], axis=-1)
    nothing = ops.concatenate([zeros, zeros[..., :1]], axis=-1)
    x, y = start[..., :1], start[..., 1:]
    equations = [
        ops.concatenate([place, nothing, -x * end], axis=-1),
        ops.concatenate([nothing, place, -y * end], axis=-1),
    ]
    return ops.squeeze(_solve(ops.concatenate(equations, axis=1), ops.concatenate([x, y], axis=1)), -1)


@OPERATIONS.add
@symbolically
def elastic_transform(
    images: Any,
    alpha: Any = 20.0,
    sigma: Any = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: Any = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Any:
    one_of("interpolation", interpolation, INTERPOLATIONS)
    one_of("fill_mode", fill_mode, ("constant", "nearest", "wrap", "reflect"))
    images, data_format = images_of("elastic_transform", images, data_format)
    dtype = dtype_name(images)
    batch, back = in_batch(ops.cast(images, "float32"), data_format)
    size = int(6 * float(sigma)) | 1
    # One draw for both directions, so that they do not depend on how a seed is used up.
    noise = random.normal((*ops.shape(batch)[:3], 2), dtype="float32", seed=seed) * sigma
    moved = ops.image.gaussian_blur(noise, (size, size), (sigma, sigma), "channels_last") * alpha
    y, x = grid(batch)
    places = y + moved[..., 0], x + moved[..., 1]
    found = back(warped(batch, *places, interpolation, fill_mode, fill_value))
    return ops.cast(found if is_floating(images) else ops.round(found), dtype)


@OPERATIONS.add
def extract_patches_3d(
    volumes: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    volumes, data_format = images_of("extract_patches_3d", volumes, data_format, (4, 5))
    size = (size,) * 3 if isinstance(size, int) else tuple(size)
    if len(size) != 3:
        raise TypeError(f"extract_patches_3d: size is an int or a tuple of three; got {size}")
    batch, back = in_batch(volumes, data_format, 5)
    channels = batch.shape[-1]
    count = math.prod(size) * channels
    strides = size if strides is None else (strides,) * 3 if isinstance(strides, int) else tuple(strides)
    rates = (dilation_rate,) * 3 if isinstance(dilation_rate, int) else tuple(dilation_rate)
    have = batch.shape[1:4]
    if padding == "same" and None not in have:  # which Keras 3.2 on torch does to the axes in reverse order
        padding = "valid"
        each = zip(have, strides, size, rates)
        wanted = [max((-(-n // step) - 1) * step + (of - 1) * rate + 1 - n, 0) for n, step, of, rate in each]
        batch = ops.pad(batch, [[0, 0], *([missing // 2, missing - missing // 2] for missing in wanted), [0, 0]])
    # A convolution each of whose filters takes one element of a patch.
    kernel = ops.reshape(ops.eye(count, dtype=dtype_name(volumes)), (*size, channels, count))
    found = ops.conv(batch, kernel, strides, padding, "channels_last", rates)
    return back(found)


def _lanczos(radius: float, x: Any) -> Any:
    at = math.pi * ops.where(x > 1e-3, x, ops.ones_like(x))
    found = ops.where(x > 1e-3, radius * ops.sin(at) * ops.sin(at / radius) / ops.square(at), ops.ones_like(x))
    return ops.where(x > radius, ops.zeros_like(x), found)


def _cubic(x: Any) -> Any:
    near = ((1.5 * x - 2.5) * x) * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return ops.where(x >= 2.0, ops.zeros_like(x), ops.where(x >= 1.0, far, near))


_KERNELS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("linear", "bilinear", "trilinear"), lambda x: ops.maximum(1.0 - x, 0.0)),
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), _cubic),
    "lanczos3": lambda x: _lanczos(3.0, x),
    "lanczos5": lambda x: _lanczos(5.0, x),
}


def _weights(size: Any, new_size: int, scale: Any, translation: Any, method: str, antialias: bool) -> Any:
    """How much each old place of an axis counts for each new one: a matrix (old, new)."""
    dtype = dtype_name(scale)
    at = (ops.arange(new_size, dtype=dtype) + 0.5 - translation) / scale - 0.5
    distance = ops.abs(at - ops.expand_dims(ops.arange(size, dtype=dtype), 1))
    weights = _KERNELS[method](distance / ops.maximum(1.0 / scale, 1.0) if antialias else distance)
    total = ops.sum(weights, axis=0, keepdims=True)
    end = (size if isinstance(size, int) else ops.cast(size, dtype)) - 0.5
    valid = ops.logical_and(ops.abs(total) > 1000 * 2.0**-23, ops.logical_and(at >= -0.5, at <= end))
    return ops.where(valid, weights / ops.where(valid, total, ops.ones_like(total)), ops.zeros_like(weights))


@OPERATIONS.add
def scale_and_translate(
    images: Any,
    output_shape: Any,
    scale: Any,
    translation: Any,
    spatial_dims: Any,
    method: str,
    antialias: bool = True,
) -> Any:
    one_of("method", method, tuple(_KERNELS))
    images = as_tensor(images)

    def scaled(images: Any) -> Any:
        return _scaled(images, output_shape, scale, translation, spatial_dims, method, antialias)

    known = all(images.shape[axis] is not None for axis in spatial_dims)
    found = (scaled if known else symbolically(scaled))(images)
    return found if None in output_shape else ops.reshape(found, tuple(output_shape))


def _scaled(
    images: Any, output_shape: Any, scale: Any, translation: Any, spatial_dims: Any, method: str, antialias: bool
) -> Any:
    """What `scale_and_translate` gives, with the sizes of the other axes as they are."""
    # Half precision does not hold the places of many pixels.
    wide = "float64" if "float64" in (dtype_name(scale), dtype_name(translation)) else "float32"
    scale, translation = ops.cast(scale, wide), ops.cast(translation, wide)
    dtype = dtype_name(images)
    found = in_float(images)
    for at, axis in enumerate(spatial_dims):
        size = ops.shape(images)[axis]
        weights = _weights(size, int(output_shape[axis]), scale[at], translation[at], method, antialias)
        found = ops.moveaxis(ops.tensordot(found, ops.cast(weights, dtype_name(found)), ((axis,), (0,))), -1, axis)
    if is_floating(images) or not spatial_dims:
        return ops.cast(found, dtype)
    lowest, highest = (ops.cast(each(images), dtype_name(found)) for each in (ops.min, ops.max))
    return ops.cast(ops.minimum(ops.maximum(ops.round(found), lowest), highest), dtype)
