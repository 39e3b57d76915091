"""Functions of ``keras.random`` that came with Keras 3.1: ``beta`` and ``binomial``, for Keras 3.0."""

from __future__ import annotations

from typing import Any

from keras_buildfix import ops, random
from keras_buildfix.ops._finding import keras_in_use
from keras_buildfix.ops._later._values import over_tensorflow
from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()


def _on_tensorflow(name: str) -> Any:
    """The function that Keras 2 has from us, on TensorFlow: its values are those of Keras 3.1. None elsewhere."""
    if keras_in_use().backend.backend() != "tensorflow":
        return None
    return over_tensorflow(name)


def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Any:
    found = _on_tensorflow("random.beta")
    if found is not None:
        return found(shape, alpha, beta, dtype, seed)
    first = random.gamma(shape, ops.broadcast_to(alpha, shape), dtype, seed)
    other = seed + 12 if isinstance(seed, int) else seed  # two draws, not the same one twice
    return first / (first + random.gamma(shape, ops.broadcast_to(beta, shape), dtype, other))


def binomial(shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None) -> Any:
    found = _on_tensorflow("random.binomial")
    if found is not None:
        return found(shape, counts, probabilities, dtype, seed)
    counts, probabilities = ops.convert_to_tensor(counts), ops.convert_to_tensor(probabilities)
    most = int(ops.max(counts))
    trials = ops.reshape(ops.arange(most), (most, *(1 for _ in shape)))
    drawn = random.uniform((most, *shape), seed=seed) < probabilities
    hits = ops.logical_and(drawn, trials < ops.cast(counts, trials.dtype))
    return ops.cast(ops.sum(ops.cast(hits, "int32"), axis=0), dtype or keras_in_use().backend.floatx())


OPERATIONS.enter("random.beta", beta)
OPERATIONS.enter("random.binomial", binomial)
