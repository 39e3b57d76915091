"""Functions that reduce, sort and count, which Keras got after 3.0: ``nansum``, ``percentile``, ``unique``..."""

from __future__ import annotations

from typing import Any

from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()


def quantile_of(name: str, x: Any, q: Any, axis: Any, method: str, keepdims: bool, skip_nan: bool = False) -> Any:
    """The quantiles of floats."""
    raise NotImplementedError(name)
