"""Helpers for wrappers around a layer's methods: facts about the layer's Keras, and the signature of the method."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import weakref
from typing import Any

from keras_buildfix._keras.autocasting import converts_call, weights_dtype
from keras_buildfix._keras.classes import describe, layer_base, package_of
from keras_buildfix._keras.graphs import not_for_autograph


class Home:
    """Facts about the Keras of a layer class that a wrapper needs at each call."""

    def __init__(self, cls: type) -> None:
        self.base: Any = layer_base(cls)
        if self.base is not None:
            self.converts = converts_call(self.base)
            self.weights_dtype = weights_dtype(self.base)
            self.package = package_of(self.base.__module__)
            _look_up_ops_for(self.package)


def _look_up_ops_for(package: str | None) -> None:
    """Makes ``ops`` look up its functions again, for the first layer of a Keras."""
    finding = sys.modules.get("keras_buildfix.ops._finding")
    if package not in _packages and finding is not None:
        finding.forget_all()
    _packages.add(package)


_packages: set[str | None] = set()


def home_of(cls: type) -> Home:
    """The ``Home`` of a class, remembered for as long as the class lives."""
    try:
        return _homes[cls]
    except KeyError:
        found = _homes[cls] = Home(cls)
        return found
    except TypeError:  # a metaclass made its classes unhashable
        return Home(cls)


_homes: weakref.WeakKeyDictionary[type, Home] = weakref.WeakKeyDictionary()


def refuse_pausing(wrapper: str, function: Any) -> None:
    """Raises a TypeError for a generator or an ``async def``: its body runs after the function has returned."""
    inner = function
    while isinstance(inner, (functools.partial, functools.partialmethod)):
        inner = inner.func
    is_async = inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
    if is_async or inspect.isgeneratorfunction(inner):
        what = "an async function" if is_async else "a generator"
        raise TypeError(
            f"{wrapper} expects a function that computes and returns; {describe(function)} is {what}, whose "
            "body runs later, when the casting is over. Decorate a plain function that computes each value."
        )


def presented(wrapper: Any, function: Any) -> Any:
    """Gives a wrapper the signature of the function that it wraps: Keras 2 does not look at ``__wrapped__``."""
    with contextlib.suppress(ValueError, TypeError):  # a builtin may have no signature
        wrapper.__signature__ = inspect.signature(function)
    not_for_autograph(wrapper)
    return wrapper
