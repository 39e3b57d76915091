"""Autocasting: finds and sets the dtype in which Keras reads weights and casts inputs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any


def never_autocast(variable: Any) -> None:
    """Makes Keras read a weight in its own dtype. ``_maybe_autocast``: 3.0.0 to nightly, needed on 3.0 and 3.1.

    From 3.2 on ``add_weight`` takes ``autocast=False``.
    """
    if not hasattr(variable, "_maybe_autocast"):
        raise NotImplementedError("this Keras has no way to read a weight uncast")
    variable._maybe_autocast = _as_it_is


def autocast(variable: Any, value: Any) -> Any:
    """A weight's value, cast to the dtype in which Keras reads it now. ``_maybe_autocast``: 3.0.0 to nightly."""
    return variable._maybe_autocast(value)


def _as_it_is(value: Any) -> Any:
    return value


def reading_uncast(base: type) -> contextlib.AbstractContextManager[Any]:
    """A block in which Keras reads weights in their own dtype. ``AutocastScope(None)``: 3.0.0 to nightly."""
    scope: Any = _autocasting(sys.modules[base.__module__]).AutocastScope
    return scope(None)  # type: ignore[no-any-return]


def autocasts(layer: Any) -> bool:
    """Whether a layer casts its inputs, as its argument ``autocast`` says.

    ``_autocast``: Keras 2, all versions; ``autocast``: 3.0.0 to nightly. Both are attributes of the instance.
    """
    state = vars(layer)
    return bool(state.get("_autocast", state.get("autocast", True)))


def converts_call(base: type) -> bool:
    """Whether AutoGraph converts the ``call`` of this ``Layer``: only Keras 2 lets it.

    The module of ``Layer`` has ``autocast_variable`` on Keras 2, all versions, and not on Keras 3.
    """
    return hasattr(sys.modules[base.__module__], "autocast_variable")


def weights_dtype(base: type) -> Callable[[], str | None]:
    """A function that returns the dtype in which the Keras of `base` reads weights now; None: each in its own dtype.

    ``get_autocast_scope``: 3.0.0 to nightly. ``autocast_variable._autocast_dtype``, which each thread has of its
    own: Keras 2, all versions. Both are found in the module of ``Layer``.
    """
    module = sys.modules[base.__module__]
    if converts_call(base):
        here = module.autocast_variable._autocast_dtype

        def of_keras_2() -> str | None:
            dtype = getattr(here, "dtype", None)
            return None if dtype is None else dtype.name

        return of_keras_2
    current = _autocasting(module).get_autocast_scope

    def of_keras_3() -> str | None:
        scope = current()
        return None if scope is None else scope.dtype

    return of_keras_3


def reading_weights(base: type, dtype: str) -> AbstractContextManager[Any]:
    """A block in which Keras reads weights that autocast in this floating dtype.

    ``AutocastScope``: 3.0.0 to nightly. ``autocast_variable.enable_auto_cast_variables``: Keras 2,
    all versions; there only weights of a layer with a mixed policy autocast.
    """
    module = sys.modules[base.__module__]
    if converts_call(base):
        dtype = sys.modules["tensorflow"].as_dtype(dtype)
        scope: AbstractContextManager[Any] = module.autocast_variable.enable_auto_cast_variables(dtype)
    else:
        scope = _autocasting(module).AutocastScope(dtype)
    return scope


def _autocasting(module: Any) -> Any:
    """The module with Keras 3's autocasting: the ``backend`` in `module` (3.0.0 to 3.15), `module` itself later."""
    return module if hasattr(module, "get_autocast_scope") else module.backend


def with_mask(tensor: Any, mask_of: Any) -> Any:
    """`tensor` with the mask that Keras keeps on `mask_of`. ``_keras_mask``: 2.12 to nightly."""
    mask = getattr(mask_of, "_keras_mask", None)
    if mask is not None:
        with contextlib.suppress(AttributeError):
            tensor._keras_mask = mask
    return tensor


def casts_arrays_of_integers(base: type) -> bool:
    """Whether this Keras turns NumPy arrays of integers and bools into floats before ``call`` (keras #19629).

    3.0.0 to 3.3.3. From 3.4.0 to nightly ``DTypePolicy.convert_input`` asks ``_should_cast`` first.
    """
    if converts_call(base):
        return False
    policy = sys.modules[base.__module__.partition(".")[0]].DTypePolicy
    return "_should_cast" not in policy.convert_input.__code__.co_names
