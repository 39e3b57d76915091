"""Makes the functions that create a tensor from nothing give it in the compute dtype, in a portable ``call``."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from keras_buildfix._keras.variables import dtype_of
from keras_buildfix._running_call import RUNNING

_MAKERS = (
    "arange array bartlett blackman convert_to_tensor empty eye full geomspace hamming hanning identity kaiser "
    "linspace logspace multi_hot one_hot ones tri zeros "
    "beta binomial gamma normal truncated_normal uniform"
)
#: The functions that create floating tensors without a tensor to begin with.
MAKERS = frozenset(_MAKERS.split())
_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})


def in_compute_dtype(function: Callable[..., Any], cast: Callable[[Any, str], Any]) -> Callable[..., Any]:
    """`function`, whose floating result comes in the compute dtype of the portable call that runs now.

    It is left as it is outside of such a call, where ``dtype`` is given, and where an argument is a floating tensor:
    that one has a dtype which somebody chose.
    """
    parameters = list(inspect.signature(function).parameters)
    at = parameters.index("dtype") if "dtype" in parameters else len(parameters)

    @functools.wraps(function)
    def made(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        dtype = RUNNING.now[1]
        if dtype is None or kwargs.get("dtype") is not None or (len(args) > at and args[at] is not None):
            return result
        name = dtype_name(result)
        if name == dtype or name not in _FLOATS or _has_floating_tensor((args, kwargs)) or not RUNNING.compute_dtype():
            return result
        return cast(result, dtype)

    return made


def dtype_name(tensor: Any) -> str:
    """The name of the dtype of a tensor of any backend, such as ``"float32"``; empty for what has no dtype."""
    return dtype_of(tensor) if hasattr(tensor, "dtype") else ""


def _has_floating_tensor(value: Any) -> bool:
    """Whether there is a floating tensor, and not only arrays of NumPy, in a structure."""
    if isinstance(value, dict):
        return any(map(_has_floating_tensor, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_floating_tensor, value))
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return False
    return dtype_name(value) in _FLOATS
