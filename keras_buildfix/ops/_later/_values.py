"""What the functions written with older ones share: values as tensors of floats, and the backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_buildfix import ops
from keras_buildfix.ops._finding import all_of, floatx, keras_in_use
from keras_buildfix.ops._making import dtype_name
from keras_buildfix.ops._symbolic import following, is_symbolic


def backend() -> str:
    """The backend of the Keras that is in use."""
    keras = keras_in_use()
    return str(keras.backend.backend()) if hasattr(keras, "ops") else "tensorflow"


def over_tensorflow(name: str) -> Callable[..., Any]:
    """The function that Keras 2 gets for a name, which a Keras 3 on TensorFlow may use as well."""
    return all_of("_tensorflow")[name]


def as_tensor(x: Any) -> Any:
    """A value as a tensor; a symbolic one is left as it is."""
    return x if is_symbolic(x) else ops.convert_to_tensor(x)


def followed(*values: Any) -> tuple[Any, ...]:
    """Values, where each variable that meets a symbolic tensor stays one: on Keras 2, it would become a constant."""
    return values if hasattr(keras_in_use(), "ops") else following(*values)


def is_floating(x: Any) -> bool:
    """Whether a tensor is of floats."""
    return "float" in dtype_name(x)


def in_float(x: Any) -> Any:
    """A value as a tensor of floats: ints and bools become ``floatx``."""
    x = as_tensor(x)
    return x if is_floating(x) else ops.cast(x, floatx())


def in_single(function: Callable[[Any], Any], x: Any) -> Any:
    """The result of a function for floats that is computed in float32, where `x` has fewer bits."""
    dtype = dtype_name(x)
    return ops.cast(function(ops.cast(x, "float32")), dtype) if dtype in ("float16", "bfloat16") else function(x)


def scan_length(f: Any, rows: list[Any], length: Any, unroll: Any) -> int | None:
    """The number of steps of `scan` over some tensors; None if it is not known. Errors for arguments that don't fit."""
    if not callable(f):
        raise TypeError(f"ops.scan: f must be a function, not {f!r}.")
    if not isinstance(unroll, int) or (unroll < 1 and unroll is not False):
        raise ValueError(f"ops.scan: unroll must be a bool or a number from 1, not {unroll!r}.")
    if not rows and length is None:
        raise ValueError("ops.scan needs xs or length.")
    known: set[Any] = {x.shape[0] for x in rows} | {None if length is None else int(length)}
    known -= {None}
    if len(known) > 1:
        raise ValueError(f"ops.scan: xs and length must be of one length, not {' and '.join(map(str, sorted(known)))}.")
    return known.pop() if known else None
