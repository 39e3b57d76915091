"""Counts, sizes, values and the nearest names in words, for reports and messages."""

from __future__ import annotations

from collections.abc import Iterable


def short(thing: object, most: int = 60) -> str:
    """The ``repr`` of a thing on one line; a long one is cut and ends in ``...``."""
    try:
        shown = " ".join(repr(thing).split())
    except Exception:  # a user's __repr__ may raise
        return "something"
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def many(count: int, what: str) -> str:
    """A number of things: ``1 weight``, ``2 weights``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


#: An error shows this many lines of a kind, and says how many more there are.
SHOWN = 20


def in_bytes(size: int) -> str:
    """A number of bytes as readable text: ``1.2 MB``."""
    amount, units = float(size), iter(("kB", "MB", "GB"))
    unit = "bytes"
    while amount >= 1000 and unit != "GB":
        amount, unit = amount / 1000, next(units)
    return f"{size} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def nearest_names(names: Iterable[str], others: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The most similar names on the other side, for the first few names."""
    import difflib  # these two are imported here, as only a report needs them
    import heapq

    candidates = [(other, set(other.split("/"))) for other in others]
    found = {}
    for name in list(names)[:SHOWN]:
        parts, letters = set(name.split("/")), set(name)
        # Comparing letter by letter is slow, so we do that only for the candidates with most in common.
        common = [(len(parts & theirs), len(letters & set(other)), other) for other, theirs in candidates]
        likely = [other for _, _, other in heapq.nlargest(50, common)]
        near = difflib.get_close_matches(name, [other for other in likely if other != name], 3, 0.5)
        if near:
            found[name] = tuple(near)
    return found


def some_of(lines: Iterable[str]) -> list[str]:
    """The first lines, and a line that says how many more there are."""
    every = list(lines)
    more = [f"  ... and {len(every) - SHOWN} more"] if len(every) > SHOWN else []
    return every[:SHOWN] + more
