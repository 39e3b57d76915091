"""Random numbers over TensorFlow: the functions of ``keras.random``, with the values of Keras 3 on TensorFlow."""

from __future__ import annotations

import functools
import random as python_random
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_buildfix._keras.classes import describe
from keras_buildfix.ops._finding import keras_in_use
from keras_buildfix.ops._symbolic import is_symbolic
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import name_of, tensor

OPERATIONS = Operations()
#: Seeds are below it: TensorFlow's functions take int32.
_LARGEST = tf.int32.max - 1
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_INTS = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "int64")


class SeedGenerator(tf.__internal__.tracking.AutoTrackable):  # type: ignore[misc]
    """A seed whose state advances with each draw, as that of Keras 3; also inside of ``tf.function``.

    An attribute of a layer, it goes into a SavedModel and a checkpoint with it. It is no weight of the layer.

    Args:
        seed: An int; None for one by chance.
        name: A name.
    """

    def __init__(self, seed: Any = None, name: Any = None, **kwargs: Any) -> None:
        kwargs.pop("backend", None)
        if kwargs:
            raise ValueError(f"SeedGenerator takes seed and name; got {', '.join(kwargs)}.")
        number = keras_in_use().backend.get_uid("seed_generator") if name is None else 0
        self.name = name or ("seed_generator" if number == 1 else f"seed_generator_{number - 1}")
        self._initial_seed = seed
        seed = python_random.randint(1, 10**9) if seed is None else seed
        if not isinstance(seed, int):
            raise ValueError(f"SeedGenerator expects an int as seed; got {describe(seed)}.")
        with tf.init_scope():  # it may be made while Keras or tf.function traces
            self.state = tf.Variable(
                [seed, 0],
                dtype="int64",
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                name="seed_generator_state",
            )

    def next(self, ordered: Any = True) -> Any:
        """The seed of the next draw: two ints, ``int64``. Without `ordered`, they are spread below a million."""
        found = self.state.read_value()
        self.state.assign(tf.add(found, [0, 1]) if ordered else (found + 1) * 5387 % 933199)
        return found

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` makes another one of; the state does not belong to it."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The generator of a config."""
        return cls(**config)

    def __deepcopy__(self, memo: Any) -> Any:
        return self._with_state(self.get_config(), self.state.numpy())

    def __reduce__(self) -> Any:
        return self._with_state, (self.get_config(), self.state.numpy())

    @classmethod
    def _with_state(cls, config: dict[str, Any], state: Any) -> Any:
        """A generator in the state of another one, as a copy needs it."""
        made = cls(**config)
        made.state.assign(state)
        return made


OPERATIONS.enter("random.SeedGenerator", SeedGenerator)


def _seeds(seed: Any) -> Any:
    """The two int32 that TensorFlow draws with: of an int, always the same; of a generator, the next ones."""
    if seed is None:  # TensorFlow's own state: `set_random_seed` sets it, and it needs no variable in tf.function
        return tf.random.uniform([2], maxval=_LARGEST, dtype="int32")
    if isinstance(seed, int):
        found = tf.constant([seed, 0], "int64")
    elif callable(getattr(seed, "next", None)):  # also that of a Keras 3 without `beta`
        found = tf.convert_to_tensor(seed.next())
    else:
        raise ValueError(f"seed expects an int, a keras_buildfix.random.SeedGenerator or None; got {describe(seed)}.")
    return found if found.dtype == tf.int32 else tf.cast(tf.math.floormod(found, _LARGEST), "int32")


def _add(function: Callable[..., Any]) -> Callable[..., Any]:
    """Enters a function, which refuses symbolic tensors as Keras 3 does: they would get the same draw each time."""

    @functools.wraps(function)
    def drawn(*args: Any, **kwargs: Any) -> Any:
        if any(map(is_symbolic, tf.nest.flatten((args, kwargs)))):
            raise ValueError(
                f"random.{function.__name__} got a symbolic tensor (a KerasTensor), which keras.random does not take "
                "either. Call it in the `call` of a layer."
            )
        return function(*args, **kwargs)

    OPERATIONS.enter(f"random.{function.__name__}", drawn)
    return drawn


def _dtype(dtype: Any, function: str, allowed: tuple[str, ...]) -> str:
    """The name of a dtype; a ValueError if the function does not draw such numbers."""
    name = name_of(dtype)
    if name not in allowed:
        kind = "a floating" if allowed is _FLOATS else "an integer"
        raise ValueError(f"random.{function} expects {kind} dtype; got {name}.")
    return name


def _shape(shape: Any) -> Any:
    """A shape of ints and scalar tensors as TensorFlow takes it."""
    if isinstance(shape, (list, tuple)) and any(tf.is_tensor(size) for size in shape):
        return tf.stack([tf.cast(size, "int32") for size in shape])
    return shape


@_add
def normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    dtype = _dtype(dtype, "normal", _FLOATS)
    mean, stddev = tensor(mean, dtype), tensor(stddev, dtype)
    return tf.random.stateless_normal(_shape(shape), _seeds(seed), mean, stddev, dtype)


@_add
def truncated_normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    dtype = _dtype(dtype, "truncated_normal", _FLOATS)
    mean, stddev = tensor(mean, dtype), tensor(stddev, dtype)
    return tf.random.stateless_truncated_normal(_shape(shape), _seeds(seed), mean, stddev, dtype)


@_add
def uniform(shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    dtype = _dtype(dtype, "uniform", _FLOATS)
    minval, maxval = tensor(minval, dtype), tensor(maxval, dtype)
    return tf.random.stateless_uniform(_shape(shape), _seeds(seed), minval, maxval, dtype)


@_add
def randint(shape: Any, minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None) -> Any:
    dtype = _dtype(dtype, "randint", _INTS)
    drawn = dtype if dtype in ("int32", "int64") else "int64"
    minval, maxval = (
        x if isinstance(x, int) else tensor(x, drawn) for x in (minval, maxval)
    )  # an int may need 64 bits
    return tf.cast(tf.random.stateless_uniform(_shape(shape), _seeds(seed), minval, maxval, drawn), dtype)


@_add
def categorical(logits: Any, num_samples: Any, dtype: Any = "int32", seed: Any = None) -> Any:
    logits = tensor(logits)
    if logits.shape.rank != 2:
        raise ValueError(f"random.categorical expects logits of two axes, [batch, classes]; got shape {logits.shape}.")
    return tf.cast(tf.random.stateless_categorical(logits, num_samples, _seeds(seed)), name_of(dtype))


@_add
def dropout(inputs: Any, rate: Any, noise_shape: Any = None, seed: Any = None) -> Any:
    inputs = tensor(inputs)
    if isinstance(rate, (int, float)) and rate in (0, 1):
        return tf.zeros_like(inputs) if rate else inputs
    if noise_shape is not None:  # None stands for the size of the inputs
        noise_shape = [tf.shape(inputs)[i] if size is None else size for i, size in enumerate(noise_shape)]
    return tf.nn.experimental.stateless_dropout(inputs, rate, _seeds(seed), noise_shape=noise_shape)


@_add
def shuffle(x: Any, axis: Any = 0, seed: Any = None) -> Any:
    x = tensor(x)
    order = tf.argsort(tf.random.stateless_uniform([tf.shape(x)[axis]], _seeds(seed)))
    shuffled = tf.gather(x, order, axis=axis)
    shuffled.set_shape(x.shape)
    return shuffled


@_add
def gamma(shape: Any, alpha: Any, dtype: Any = None, seed: Any = None) -> Any:
    dtype = _dtype(dtype, "gamma", _FLOATS)
    return _gamma(_shape(shape), tensor(alpha), dtype, _seeds(seed))


def _gamma(shape: Any, alpha: Any, dtype: str, seeds: Any) -> Any:
    drawn = "float32" if dtype == "bfloat16" else dtype  # TensorFlow draws none in bfloat16
    return tf.cast(tf.random.stateless_gamma(shape, seeds, tf.cast(alpha, drawn), dtype=drawn), dtype)


@_add
def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Any:
    dtype = _dtype(dtype, "beta", _FLOATS)
    seeds, shape = _seeds(seed), _shape(shape)
    alpha, beta = (tf.broadcast_to(tensor(each), shape) for each in (alpha, beta))
    first, second = _gamma(shape, alpha, dtype, seeds), _gamma(shape, beta, dtype, seeds + 12)  # 12 as in Keras
    return first / (first + second)


@_add
def binomial(shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None) -> Any:
    dtype = _dtype(dtype, "binomial", _FLOATS)
    drawn = "float32" if dtype == "bfloat16" else dtype
    counts, probabilities = tensor(counts, "float32"), tensor(probabilities, "float32")
    found = tf.random.stateless_binomial(_shape(shape), _seeds(seed), counts, probabilities, output_dtype=drawn)
    return tf.cast(found, dtype)
