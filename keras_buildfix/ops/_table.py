"""``Operations``: the functions of ``ops`` that a file writes itself, by the names that Keras gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from keras_buildfix._keras.graphs import not_for_autograph
from keras_buildfix.ops._names import OPS

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Operations(dict[str, Callable[..., Any]]):
    """Name -> function."""

    def add(self, function: _Function) -> _Function:
        """Above a function: enters it by its own name, without the ``_`` that keeps it apart from a builtin."""
        name = function.__name__.rstrip("_")
        function.__name__ = function.__qualname__ = name
        self.enter(name, function)
        return function

    def enter(self, name: str, function: Callable[..., Any]) -> None:
        """Enters a function by a name."""
        if name in self:
            raise ValueError(f"{name} is there twice")
        of_keras = name if name.startswith("random.") else f"ops.{name}"
        if function.__doc__ is None:
            function.__doc__ = f"What ``keras.{of_keras}`` of the newest Keras does: see its documentation."
        function.__module__ = _home_of(name)  # where pickle finds it
        not_for_autograph(function)  # as it leaves Keras's own: the code of `ops` takes tensors as it is
        self[name] = function


def _home_of(name: str) -> str:
    """The module in which users find a function."""
    if name.startswith("random."):
        return "keras_buildfix.random"
    spaces = OPS.get(name, ("", ("",)))[1]
    return "keras_buildfix.ops" if "" in spaces else f"keras_buildfix.ops.{spaces[0]}"
