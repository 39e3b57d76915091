"""The private name with which Keras tells ``Layer``'s own methods from those of a subclass."""

from __future__ import annotations

from typing import Any


def is_default(method: Any) -> bool:
    """Whether Keras treats a method as ``Layer``'s own and not overridden. ``_is_default``: 2.12 to nightly."""
    return hasattr(method, "_is_default")


def as_default(method: Any) -> Any:
    """Makes Keras treat a method as not overridden, like the method of ``Layer`` that it replaces."""
    method._is_default = True
    return method
