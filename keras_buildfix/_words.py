"""Counts of things in words, for reports and messages."""

from __future__ import annotations


def many(count: int, what: str) -> str:
    """A number of things: ``1 weight``, ``2 weights``."""
    return f"{count} {what}{'' if count == 1 else 's'}"
