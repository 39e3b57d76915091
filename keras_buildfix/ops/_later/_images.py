"""What the functions of images share: one image or a batch, with the channels last or first, as one form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras_buildfix import ops
from keras_buildfix.ops._finding import keras_in_use
from keras_buildfix.ops._later._values import as_tensor

INTERPOLATIONS = ("nearest", "bilinear")


def format_of(data_format: str | None) -> str:
    """``"channels_last"`` or ``"channels_first"``; None means Keras's default."""
    if data_format is None:
        keras = keras_in_use()
        return str((keras.config if hasattr(keras, "ops") else keras.backend).image_data_format())
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format is 'channels_last', 'channels_first' or None; got {data_format!r}")
    return data_format


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
    return images, format_of(data_format)


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
