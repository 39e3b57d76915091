"""The argument ``rename``: new names for entries, by a mapping, by patterns or by a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Union

from keras_buildfix._words import nearest_names, short
from keras_buildfix.weight_files.entry import Entry

Pairs = Sequence[tuple[Union[str, "re.Pattern[str]"], str]]  # Python 3.9 has no `|` between types at run time
Rename = Union[Mapping[str, str], Pairs, Callable[[str], str]]


def renamed(entries: Mapping[str, Entry], rename: Rename | None) -> dict[str, Entry]:
    """The entries under their new names.

    Raises:
        ValueError: If `rename` is not a mapping, pairs or a function; if a key, pattern or function in it matches
            no name; or if two entries get the same name.
    """
    if rename is None:
        return dict(entries)
    found: dict[str, Entry] = {}
    for (name, entry), to in zip(entries.items(), _new_names(list(entries), rename)):
        if not isinstance(to, str) or not to:
            raise ValueError(f"rename makes {to!r} of {name!r}; it must give a name.")
        if to in found:
            raise ValueError(f"rename makes {to!r} of both {found[to].name!r} and {name!r}.")
        found[to] = entry
    return found


def _new_names(names: list[str], rename: Rename) -> Sequence[Any]:
    if isinstance(rename, Mapping):
        known = set(names)
        for old in rename:
            if old not in known:
                raise ValueError(_no_such_name(old, rename[old], names))
        return [rename.get(name, name) for name in names]
    if callable(rename):
        new = [rename(name) for name in names]
        if new == names:
            raise ValueError(f"rename: the function changes none of {_described(names)}.")
        return new
    for at, (pattern, replacement) in enumerate(_patterns(rename)):
        try:
            replaced = [pattern.subn(replacement, name) for name in names]
        except (re.error, TypeError, IndexError) as error:
            raise ValueError(f"rename can't put {replacement!r} for {pattern.pattern!r}: {error}") from None
        if not any(count for _, count in replaced):
            after = " The pairs before it are applied first." if at else ""
            raise ValueError(_no_match(pattern.pattern, names) + after)
        names = [name for name, _ in replaced]
    return names


def _patterns(rename: Pairs) -> list[tuple[re.Pattern[str], Any]]:
    """The pairs, with each pattern compiled."""
    kinds = "rename is a mapping, a function, or pairs (pattern, replacement)"
    if isinstance(rename, (str, bytes)) or not isinstance(rename, Iterable):
        raise ValueError(f"{kinds}; got {short(rename, 200)}.")
    pairs: list[Any] = list(rename)
    if len(pairs) == 2 and isinstance(pairs[0], (str, re.Pattern)) and not isinstance(pairs[1], (tuple, list)):
        raise ValueError(f"{kinds}; put a single pair into a list: rename=[{tuple(pairs)!r}].")
    compiled = []
    for pair in pairs:
        try:
            if isinstance(pair, (str, bytes)):
                raise TypeError("this is not a pair")
            pattern, replacement = pair
            if not isinstance(pattern, (str, re.Pattern)) or isinstance(getattr(pattern, "pattern", ""), bytes):
                raise TypeError("a pattern is text or a compiled regular expression")
            compiled.append((re.compile(pattern), replacement))
        except (re.error, TypeError, ValueError) as error:
            raise ValueError(f"{kinds}; got {short(pair, 200)}: {error}") from None
    return compiled


def _no_such_name(old: Any, new: Any, names: Sequence[str]) -> str:
    """Says why a key matches nothing, and what to give if the key is the beginning of names, or a pattern."""
    text = f"rename: {old!r} is none of {_described(names)}{_like(str(old), names)}."
    start = f"{old}".rstrip("/") + "/"
    pair = None
    if any(name.startswith(start) for name in names):
        pair = f"^{re.escape(start)}", f"{new}".rstrip("/").replace("\\", r"\\") + "/"
    elif isinstance(old, str) and _matches(old, names):
        pair = old, new
    return text if pair is None else f"{text} A mapping takes whole names; give a pair: rename=[{pair!r}]."


def _no_match(pattern: str, names: Sequence[str]) -> str:
    """Says why a pattern matches nothing."""
    plain = re.sub(r"[\\^$*+?()\[\]{}|]", "", pattern)
    text = f"rename: the pattern {pattern!r} matches none of {_described(names)}{_like(plain, names)}."
    if any(pattern in name for name in names):
        text += f" It is a regular expression; to match the plain text, write {re.escape(pattern)!r}."
    return text


def _matches(pattern: str, names: Iterable[str]) -> bool:
    try:
        return any(re.search(pattern, name) for name in names)
    except re.error:
        return False


def _described(names: Sequence[str]) -> str:
    return f"the {len(names)} names" if len(names) != 1 else f"the one name {names[0]!r}"


def _like(wanted: str, names: Sequence[str]) -> str:
    """The names that look most like the wanted one, as a whole or by their first parts."""
    by_start: dict[str, str] = {}
    for name in names:
        parts = name.split("/")
        for at in range(1, len(parts) + 1):
            by_start.setdefault("/".join(parts[:at]), name)
    starts = nearest_names([wanted.strip("/")], by_start).get(wanted.strip("/"), ())
    near = list(dict.fromkeys(by_start[start] for start in starts))
    if near:
        return f" (nearest: {', '.join(near)})"
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if len(names) > 1 else ""
