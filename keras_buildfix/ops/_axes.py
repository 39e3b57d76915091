"""Axes as numbers from 0, and errors for those that a tensor does not have."""

from __future__ import annotations

from typing import Any


def axis_of(axis: Any, rank: int, name: str = "") -> int:
    """An axis as a number from 0.

    Raises:
        ValueError: If a tensor of this rank has no such axis. `name` is the function's, for the message.
    """
    if not -rank <= axis < rank:
        raise ValueError(f"{_of(name)}axis {axis} is out of bounds for a tensor of rank {rank}")
    return int(axis) % rank


def axes_of(axis: Any, rank: int, name: str = "") -> list[int]:
    """One axis, several, or all (None), as different numbers from 0, in the order given.

    Raises:
        ValueError: If a tensor of this rank has no such axis, or if one is there twice.
    """
    if axis is None:
        return list(range(rank))
    several = isinstance(axis, (list, tuple, range)) or bool(getattr(axis, "ndim", 0))
    axes = [axis_of(each, rank, name) for each in (axis if several else [axis])]
    if len({*axes}) < len(axes):
        raise ValueError(f"{_of(name)}an axis is there twice: {axis}")
    return axes


def _of(name: str) -> str:
    return f"ops.{name}: " if name else ""
