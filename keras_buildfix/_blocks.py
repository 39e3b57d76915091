"""``block``: like ``contextlib.contextmanager``, but the result warns if nobody enters it, as it then did nothing."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ContextDecorator, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from typing_extensions import ParamSpec  # in typing from Python 3.10 on

    P = ParamSpec("P")

T = TypeVar("T")


class Block(ContextDecorator, Generic[T]):
    """A context manager that warns, when it is dropped, if it was neither entered nor used as a decorator."""

    def __init__(self, make: Callable[[], AbstractContextManager[T]], name: str) -> None:
        self._make, self._name = make, name
        self._open: list[AbstractContextManager[T]] = []
        self._used = False

    def __enter__(self) -> T:
        self._used = True
        block = self._make()
        value = block.__enter__()
        self._open.append(block)
        return value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._open.pop().__exit__(kind, error, trace)

    def __call__(self, function: Any) -> Any:
        self._used = True
        return super().__call__(function)

    def __del__(self) -> None:
        if not getattr(self, "_used", True):
            message = f"{self._name}(...) did nothing, as it was not entered: write `with {self._name}(...):`."
            warnings.warn(message, RuntimeWarning, stacklevel=2)


def block(function: Callable[P, Iterator[T]]) -> Callable[P, Block[T]]:
    """Like ``contextlib.contextmanager``, for a function that users call: it returns a ``Block``."""
    make = contextmanager(function)

    @functools.wraps(function)
    def made(*args: P.args, **kwargs: P.kwargs) -> Block[T]:
        return Block(lambda: make(*args, **kwargs), function.__name__)

    return made
