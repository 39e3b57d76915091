"""Axes and the like as lists, as numbers from 0, and errors for axes that a tensor does not have."""

from __future__ import annotations

from typing import Any


def as_list(value: Any) -> list[Any]:
    """An axis, size or the like, or several, as a list: of a list, a tuple, an array, or TensorFlow's shape."""
    several = isinstance(value, (list, tuple, range)) or hasattr(value, "as_list") or bool(getattr(value, "ndim", 0))
    return list(value) if several else [value]


def axis_of(axis: Any, rank: int, name: str) -> int:
    """An axis as a number from 0.

    Raises:
        ValueError: If a tensor of this rank has no such axis. `name` is the function's, for the message.
    """
    if axis is None or not -rank <= axis < rank:
        raise ValueError(f"ops.{name}: axis {axis} is out of bounds for a tensor of rank {rank}")
    return int(axis) % rank


def axes_of(axis: Any, rank: int, name: str) -> list[int]:
    """One axis or several, as different numbers from 0, in the order given.

    Raises:
        ValueError: If a tensor of this rank has no such axis, or if one is there twice.
    """
    axes = [axis_of(each, rank, name) for each in as_list(axis)]
    if len({*axes}) < len(axes):
        raise ValueError(f"ops.{name}: an axis is there twice: {axis}")
    return axes


def axes_or_all(axis: Any, rank: int, name: str) -> list[int]:
    """The same, where None stands for all axes."""
    return list(range(rank)) if axis is None else axes_of(axis, rank, name)
