"""The marker ``@pytest.mark.keras``: reads what it asks for, and compares that with a Keras."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, Specifier, SpecifierSet
from packaging.version import Version

from keras_buildfix import KerasInfo
from keras_buildfix._keras.info import BACKENDS

#: A marker as one writes it, for messages.
SHOWN = '@pytest.mark.keras(">=3.6,<3.10", backend="jax")'


@dataclass(frozen=True)
class Wanted:
    """What a marker asks for: the versions of Keras, as text (empty: any), and the backends (empty: any)."""

    versions: str
    backends: tuple[str, ...]

    def __str__(self) -> str:
        words = ["Keras", self.versions, "on " + " or ".join(self.backends) if self.backends else ""]
        return " ".join(filter(None, words))

    def is_met_by(self, info: KerasInfo) -> bool:
        """Whether a Keras has one of these versions and one of these backends; 3.16.0.dev counts as 3.16.0."""
        release = Version(info.version).base_version
        right = SpecifierSet(self.versions).contains(release, prereleases=True)
        return right and (not self.backends or info.backend in self.backends)


def read_marker(args: tuple[object, ...], kwargs: Mapping[str, object]) -> Wanted:
    """What the arguments of a marker ask for.

    Args:
        args: Its positional arguments: the versions.
        kwargs: Its keyword arguments: ``backend``.

    Returns:
        The versions and backends that the test needs.

    Raises:
        ValueError: If they are wrong; the message says what to write instead.

    Examples:
        >>> str(read_marker((">=3.6",), {"backend": "jax,torch"}))
        'Keras >=3.6 on jax or torch'
    """
    unknown = [name for name in kwargs if name != "backend"]
    if unknown:
        raise ValueError(f"there is no keyword {unknown[0]!r}, only backend; write {SHOWN}")
    if not args and not kwargs:
        raise ValueError(f"it asks for nothing; write {SHOWN}")
    if len(args) > 1:
        raise ValueError(f"the versions are one text, with commas; write {SHOWN}")
    return Wanted(_versions(args[0]) if args else "", _backends(kwargs["backend"]) if kwargs else ())


def _versions(text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"the versions are a text such as '>=3.6,<3.10'; got {text!r}")
    try:
        parts = list(SpecifierSet(text))
    except InvalidSpecifier:
        raise ValueError(f"{text!r} is not a range of versions; write such as '>=3.6,<3.10' or '==3.9.*'") from None
    for part in parts:
        _check_is_clear(part)
    if not any(all(part.contains(release, prereleases=True) for part in parts) for release in _releases_around(parts)):
        raise ValueError(f"no version is in {text!r}, so the test would run nowhere")
    return text


def _check_is_clear(part: Specifier) -> None:
    """Raises a ValueError where ``3.9`` would be read as ``3.9.0``, as in ``==3.9``: people mean all of 3.9."""
    if part.operator == "===":
        raise ValueError(f"{str(part)!r} compares text; write '==3.9.*' or '==3.9.2'")
    if part.operator not in ("==", "!=", "<=", ">") or part.version.endswith(".*"):
        return
    release = Version(part.version).release
    if len(release) < 3:
        after = ".".join(map(str, (*release[:-1], release[-1] + 1)))
        clear = {"<=": f"<{after}", ">": f">={after}"}.get(part.operator, f"{part}.*")
        first = ".".join(map(str, (*release, 0, 0)[:3]))
        raise ValueError(f"{str(part)!r} would mean {first} only; write {clear!r}, or '{part.operator}{first}'")


def _releases_around(parts: Iterable[Specifier]) -> set[str]:
    """Releases of which one is in each non-empty range that has these bounds: each bound, and what follows it."""
    found: set[tuple[int, ...]] = {(0, 0, 0)}
    for part in parts:
        release = (*Version(part.version.removesuffix(".*")).release, 0, 0)[:3]
        found |= {release, *((*release[:at], release[at] + 1) for at in range(3))}
    return {".".join(map(str, release)) for release in found}


def _backends(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"backend= is a name, or several, such as ('jax', 'torch'); got {value!r}")
    found = tuple(name.strip() for name in names)
    for name in found or ("",):
        if name not in BACKENDS:
            near = "".join(f" did you mean {close!r}?" for close in difflib.get_close_matches(name, BACKENDS, 1))
            raise ValueError(f"{name!r} is not a backend of Keras;{near} There are: {', '.join(BACKENDS)}")
    return found
