"""Finds and sets whether Keras treats a method of a layer as not overridden."""

from __future__ import annotations

from typing import Any


def has_default_build(layer: Any) -> bool:
    """Whether a layer has no ``build`` that could make weights. ``_is_default`` on Keras's own: 2.12 to nightly.

    ``BaseRandomLayer.build`` only makes a seed. On Keras 2 Dropout and similar layers have it, and a call builds them.
    """
    build = layer.build
    return hasattr(build, "_is_default") or getattr(build, "__qualname__", "") == "BaseRandomLayer.build"


def is_default(method: Any) -> bool:
    """Whether Keras treats a method as ``Layer``'s own and not overridden. ``_is_default``: 2.12 to nightly."""
    return hasattr(method, "_is_default")


def as_default(method: Any) -> Any:
    """Makes Keras treat a method as not overridden, like the method of ``Layer`` that it replaces."""
    method._is_default = True
    return method
