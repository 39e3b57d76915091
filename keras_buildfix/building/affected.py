"""``affected_layers``: which built-in layers break their subclasses on a Keras version, from a measured table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from packaging.version import InvalidVersion, Version

from keras_buildfix._keras.facts import BUILT_TWICE, LOCKED_STATE, SKIPPED_BUILD
from keras_buildfix._keras.info import keras_info

_Found = TypeVar("_Found")

Symptom = Literal["skipped_build", "locked_state", "built_twice"]

_TABLES = {
    "skipped_build": SKIPPED_BUILD,
    "locked_state": LOCKED_STATE,
    "built_twice": BUILT_TWICE,
}


def affected_layers(version: str | None = None, *, symptom: Symptom = "skipped_build") -> tuple[str, ...]:
    """The built-in layers whose subclasses break on a Keras version, as measured on each version.

    Args:
        version: A version of Keras, tf_keras or ``tf.keras``, such as ``"3.9.2"``; without one, that of
            the Keras that this process has or would import. A release between two measured ones counts as
            the older one, and a release after all of them as the newest.
        symptom: ``"skipped_build"``: the ``build()`` of a subclass does not run. ``"locked_state"``: a
            subclass without a ``build`` can't make weights or sub-layers in its own ``__init__``.
            ``"built_twice"``: ``build()`` runs again at the first call after an explicit ``layer.build(shape)``.

    Returns:
        Names in ``keras.layers``, sorted; empty where nothing breaks.

    Raises:
        ValueError: If `version` is not a version, or is older than 2.12, the oldest that was measured; or if
            `symptom` is none of these.

    Examples:
        >>> from keras_buildfix import affected_layers
        >>> affected_layers("3.4.1")
        ('Softmax',)
        >>> affected_layers("2.15")
        ()

    Source: ``tools/measure_facts.py`` measured it, and the tests compare it with the behaviour.
    """
    if symptom not in _TABLES:
        raise ValueError(f"symptom must be one of {', '.join(map(repr, _TABLES))}; got {symptom!r}.")
    version = version if version is not None else keras_info().version
    asked = _release(version)
    rows = _TABLES[symptom]
    if asked < _release(rows[0][0]):
        raise ValueError(
            f"Keras {version} was not measured: the table begins at {rows[0][0]}. The nearest is "
            f"`affected_layers({rows[0][0]!r})`."
        )
    return next(names for first, names in reversed(rows) if _release(first) <= asked)


def release_spans(look: Callable[[str], _Found]) -> list[tuple[str, _Found]]:
    """What `look` finds on each release where a table changes; neighbours with the same result become one span.

    Args:
        look: A function that gets the first release of a row, such as ``"3.6"``.

    Returns:
        Pairs of the releases in words, such as ``"3.6 to 3.9"``, and what was found there.
    """
    starts = sorted({first for rows in _TABLES.values() for first, _ in rows}, key=_release)
    found: list[tuple[str, _Found]] = []
    for first in starts:
        seen = look(first)
        if not found or found[-1][1] != seen:
            found.append((first, seen))
    ends: Sequence[str | None] = [*(first for first, _ in found[1:]), None]
    return [(_span(first, end), seen) for (first, seen), end in zip(found, ends)]


def _span(first: str, following: str | None) -> str:
    """In words: the releases from `first` up to the one before `following`."""
    if following is None:
        return f"{first} and later"
    major, minor = map(int, following.split("."))
    if minor == 0:  # the next generation begins there
        return f"{first} to the last 2.x"
    last = f"{major}.{minor - 1}"
    return first if last == first else f"{first} to {last}"


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version: a nightly of 3.16 counts as 3.16."""
    if not isinstance(version, str):
        raise ValueError(f"pass a version of Keras as text, such as '3.9'; got {version!r} without quotes.")
    try:
        return Version(version).release
    except InvalidVersion:
        raise ValueError(f"{version!r} is not a version of Keras, such as '3.9.2'.") from None
