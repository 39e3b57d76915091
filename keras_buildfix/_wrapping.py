"""What a wrapper around a method of a layer needs: whose Keras the layer is, and how to look like the method."""

from __future__ import annotations

import contextlib
import functools
import inspect
import weakref
from typing import Any

from keras_buildfix import _keras, _private_precision


class Home:
    """What is to be known of the Keras of a layer class, at each call."""

    def __init__(self, cls: type) -> None:
        self.base: Any = _keras.layer_base(cls)
        if self.base is not None:
            self.converts = _private_precision.converts_call(self.base)
            self.weights_dtype = _private_precision.weights_dtype(self.base)


def home_of(cls: type) -> Home:
    """The home of a class, remembered for as long as the class lives."""
    try:
        return _homes[cls]
    except KeyError:
        found = _homes[cls] = Home(cls)
        return found
    except TypeError:  # a metaclass has made its classes unhashable
        return Home(cls)


_homes: weakref.WeakKeyDictionary[type, Home] = weakref.WeakKeyDictionary()


def refuse_pausing(wrapper: str, function: Any) -> None:
    """Raises a TypeError if a function's body runs after the function has returned: a generator, ``async def``."""
    inner = function
    while isinstance(inner, (functools.partial, functools.partialmethod)):
        inner = inner.func
    is_async = inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
    if is_async or inspect.isgeneratorfunction(inner):
        what = "an async function" if is_async else "a generator"
        raise TypeError(
            f"{wrapper} expects a function that computes and returns; {_keras.describe(function)} is {what}, whose "
            "body runs later, when nothing is cast any more. Decorate a plain function that computes each value."
        )


def presented(wrapper: Any, function: Any) -> Any:
    """A wrapper that shows the signature of what it wraps: Keras 2 does not look at ``__wrapped__``."""
    with contextlib.suppress(ValueError, TypeError):  # a builtin may have none
        wrapper.__signature__ = inspect.signature(function)
    _private_precision.not_for_autograph(wrapper)
    return wrapper
