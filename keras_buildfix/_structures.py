"""``map_structure``: changes each thing in nested lists, tuples and dicts, and keeps the structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def map_structure(change: Callable[[Any], Any], value: Any, is_one: Callable[[Any], bool] = lambda value: False) -> Any:
    """New lists, tuples and dicts of the same structure, with the result of `change` for each thing in them.

    Args:
        change: Gets each thing.
        value: The structure, or a single thing.
        is_one: Whether a list, tuple or dict counts as one thing, such as a shape.

    Examples:
        >>> from keras_buildfix._structures import map_structure
        >>> map_structure(str, {"a": [1, 2], "b": (3, [4])})
        {'a': ['1', '2'], 'b': ('3', ['4'])}
    """
    if isinstance(value, (dict, list, tuple)) and not is_one(value):
        if isinstance(value, dict):
            return {key: map_structure(change, item, is_one) for key, item in value.items()}
        inner = [map_structure(change, item, is_one) for item in value]
        if isinstance(value, list):
            return inner
        return type(value)(*inner) if hasattr(value, "_fields") else tuple(inner)
    return change(value)
