"""``full_precision``: makes a part of a half-precision layer compute in float32."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from keras_buildfix._keras.autocasting import reading_weights, weights_dtype
from keras_buildfix._keras.classes import describe, layer_base, loaded_layer_bases
from keras_buildfix._keras.graphs import as_autograph_has_it
from keras_buildfix._running_call import RUNNING, Running, run_as
from keras_buildfix.precision.casting import casting_dtype
from keras_buildfix.precision.tensors import HALVES, cast, first_dtype, has_dtype
from keras_buildfix.precision.wrapping import home_of, presented, refuse_pausing

_Callable = TypeVar("_Callable", bound=Callable[..., Any])


def full_precision(function: _Callable) -> _Callable:
    """Makes a function compute in float32 and return the compute dtype: for a softmax, a norm, an exp, a loss.

    Use it on a function of tensors or on a method of a layer, in a ``mixed_precision_safe`` ``call`` or not.
    Arguments of float16 and bfloat16, also nested ones, become float32; float64 stays. The function reads
    weights in float32 too. (On Keras 2, a layer whose policy is plain ``"float16"`` or ``"bfloat16"`` keeps
    its weights in that dtype, so they have no more precision than that.) Layers that the function calls keep
    their own policy.

    Args:
        function: The function or method.

    Returns:
        The wrapped function. If its first argument is a layer, floating tensors in its result have the
        compute dtype of that layer; otherwise they have the dtype of the first float16 or bfloat16 argument.
        Without either, the result stays as computed.

    Raises:
        TypeError: If `function` is not a function (for example a layer), or is a generator or async function.

    Examples:
        >>> import numpy as np
        >>> from keras_buildfix import full_precision
        >>> @full_precision
        ... def total(x):
        ...     return x.cumsum()[-1]
        >>> ones = np.ones(3000, "float16")
        >>> float(total(ones)), total(ones).dtype.name, float(ones.cumsum()[-1])
        (3000.0, 'float16', 2048.0)

    Source: ``keras.layers.Softmax`` and libraries do this by hand, with a cast before and one after.
    """
    layer = layer_base(function) or layer_base(type(function))
    if layer or isinstance(function, (type, staticmethod, classmethod)) or not callable(function):
        raise TypeError(f"full_precision expects a function or method; got {describe(function)}.{_way_out(function)}")
    refuse_pausing("full_precision", function)

    @functools.wraps(function)
    def precise(*args: Any, **kwargs: Any) -> Any:
        base = home_of(type(args[0])).base if args else None
        dtype = casting_dtype(args[0]) if base is not None else None
        if dtype is None:
            dtype = first_dtype((args, kwargs), HALVES)
        run = as_autograph_has_it(function, base)
        with _reading_float32(base, dtype):
            args = cast(args, "float32", base, HALVES)
            if kwargs:
                kwargs = cast(kwargs, "float32", base, HALVES)
            result = run_as(_as_running(args, dtype), run, *args, **kwargs)
        return result if dtype is None or has_dtype(result, dtype) else cast(result, dtype, base)

    return presented(precise, function)  # type: ignore[no-any-return]


def _way_out(thing: object) -> str:
    """What to do instead, for things that people are likely to pass by mistake."""
    if layer_base(thing) is not None:
        return " Put @full_precision above a method of it, such as call; or make the layer with dtype='float32'."
    if layer_base(type(thing)) is not None:
        return " Make the layer with dtype='float32', so that it computes in float32; or give a function that calls it."
    if isinstance(thing, (staticmethod, classmethod)):
        return f" Put @full_precision below @{type(thing).__name__}."
    return ""


def _as_running(args: tuple[Any, ...], dtype: str | None) -> Running:
    """What runs now, for ``ops``: the call of the layer that is the first argument, or the one in which this runs."""
    home = home_of(type(args[0])) if args else None
    dtype = "float64" if dtype == "float64" else "float32"
    if home is None or home.base is None:
        return RUNNING.package, dtype, None, None
    return home.package, dtype, home.weights_dtype, home.weights_dtype()


def _reading_float32(base: type | None, dtype: str | None) -> AbstractContextManager[Any]:
    """A block in which half-precision weights are read in float32; for every loaded Keras if `base` is None."""
    if base is not None:
        reading = reading_weights
        return reading(base, "float32") if dtype in HALVES else contextlib.nullcontext()
    scopes = contextlib.ExitStack()
    for each in loaded_layer_bases():
        if weights_dtype(each)() in HALVES:
            scopes.enter_context(reading_weights(each, "float32"))
    return scopes
