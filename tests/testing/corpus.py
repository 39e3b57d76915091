"""What an entry of the two corpora is, and the few tensor functions that their layers need on every Keras.

`corpus_wrong.WRONG` has layers that are wrong in one way each, `corpus_right.RIGHT` has layers on which no check
may fail. Their classes stand at module level, because pickle and Keras's files look classes up by name.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from environment import INFO, KERAS
from packaging.version import Version

if INFO.generation == 2:
    import tensorflow as tf


def everywhere(info):
    return True


def keras2(info):
    return info.generation == 2


def keras3(info):
    return info.generation == 3


def on(*backends, keras=everywhere):
    """Only on these backends, and only where `keras` holds."""
    return lambda info: info.backend in backends and keras(info)


def between(first, last="99"):
    """Only on Keras 3, from release `first` to `last`, both included; a nightly is the release that it becomes."""
    low, high = (tuple(map(int, text.split("."))) for text in (first, last))

    def holds(info):
        release = Version(info.version).release
        return info.generation == 3 and low <= release[: len(low)] and release[: len(high)] <= high

    return holds


@dataclasses.dataclass(frozen=True)
class Entry:
    """One layer, and what the checks should say about it."""

    #: The class, or a function that makes a layer.
    cls: Callable[..., Any]
    #: The shape of an input without its batch; a list or a dict of shapes for several inputs.
    shape: Any
    kwargs: dict = dataclasses.field(default_factory=dict)
    #: The first check, in the kit's order, that must fail; empty for a right layer.
    check: str = ""
    #: Checks that may fail too, from the same cause.
    also: tuple = ()
    dtype: str = "float32"
    #: What is wrong, for users.
    why: str = ""
    #: The thread, release or table in which people met it.
    source: str = ""
    #: Where it is wrong; for a right layer, where it exists.
    where: Callable[[Any], bool] = everywhere
    call_kwargs: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        return self.cls.__name__


def cast(x, dtype):
    return tf.cast(x, dtype) if INFO.generation == 2 else KERAS.ops.cast(x, dtype)


def ones(shape, dtype="float32"):
    return tf.ones(shape, dtype) if INFO.generation == 2 else KERAS.ops.ones(shape, dtype)


def mean(x, axis):
    return tf.reduce_mean(x, axis) if INFO.generation == 2 else KERAS.ops.mean(x, axis)


def sqrt(x):
    return tf.sqrt(x) if INFO.generation == 2 else KERAS.ops.sqrt(x)


def reshape(x, shape):
    return tf.reshape(x, shape) if INFO.generation == 2 else KERAS.ops.reshape(x, shape)


def stop_gradient(x):
    return tf.stop_gradient(x) if INFO.generation == 2 else KERAS.ops.stop_gradient(x)
