"""Arguments: those of Keras's own functions that somebody will try here, and a default that means none was given."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _NotGiven:
    def __repr__(self) -> str:
        return "<not given>"  # as ``help`` shows it


#: The default of an argument for which None would be a mistake.
NOT_GIVEN: Any = _NotGiven()


def answers(**keywords: str) -> Callable[[_Function], _Function]:
    """A decorator: a keyword that the function does not have is a TypeError that says what to do in place of it."""

    def decorated(function: _Function) -> _Function:
        @functools.wraps(function)
        def answering(*args: Any, **kwargs: Any) -> Any:
            for name in kwargs:
                if name in keywords:
                    raise TypeError(f"{function.__name__} takes no {name}=: {keywords[name]}")
            return function(*args, **kwargs)

        return answering  # type: ignore[return-value]  # it has the signature of the function

    return decorated
