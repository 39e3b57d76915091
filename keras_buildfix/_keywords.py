"""Errors that show a way out, for keywords of Keras that people try here; ``NOT_GIVEN``, a default for "not passed"."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _NotGiven:
    def __repr__(self) -> str:
        return "<not given>"  # ``help`` shows this


#: The default of an argument for which None would be a mistake.
NOT_GIVEN: Any = _NotGiven()


def answers(**keywords: str) -> Callable[[_Function], _Function]:
    """A decorator: each of these keywords, which the function does not have, raises a TypeError with a way out."""

    def decorated(function: _Function) -> _Function:
        @functools.wraps(function)
        def answering(*args: Any, **kwargs: Any) -> Any:
            for name in kwargs:
                if name in keywords:
                    raise TypeError(f"{function.__name__} takes no {name}=: {keywords[name]}")
            return function(*args, **kwargs)

        return answering  # type: ignore[return-value]  # it has the signature of the function

    return decorated
