"""The private name of Keras that tells a method of its own from one that a class brings."""

from __future__ import annotations

from typing import Any


def is_default(method: Any) -> bool:
    """Whether a method is ``Layer``'s own, which counts as none. ``_is_default``: 2.12 to nightly."""
    return hasattr(method, "_is_default")


def as_default(method: Any) -> Any:
    """A method that counts as none, like the one of ``Layer`` in whose place it stands."""
    method._is_default = True
    return method
