"""An extension of griffe, which reads the docstrings for the site: names in them become links, signatures readable."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras_buildfix
import keras_buildfix.testing

#: Each public name -> where its entry is.
PLACES = {name: f"keras_buildfix.{name}" for name in keras_buildfix.__all__}
PLACES.update({name: f"keras_buildfix.testing.{name}" for name in keras_buildfix.testing.__all__})

#: A name in a docstring, perhaps with arguments; not where it says "plain", which means Keras's own of that name.
_NAME = re.compile(r"(?<!plain )``(?P<text>@?(?P<name>\w+)(?:\([^`]*\))?)``")
_SEEN = re.compile(rf"(?<=\bsee ){_NAME.pattern}")


class Reference(griffe.Extension):
    """Links each public name in a docstring to its entry; writes out short types and private defaults."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Changes the objects of the package once all are read."""
        for each in _all_of(pkg):
            if each.docstring:
                each.docstring.value = linked(each.docstring.value, each.name)
            if each.is_class and "Args:" not in getattr(each.docstring, "value", ""):
                _hide_constructor(each)
            for parameter in getattr(each, "parameters", ()):
                parameter.annotation = _written_out(parameter.annotation)
                parameter.default = _shown(parameter)
            if each.is_attribute:
                each.annotation = _written_out(each.annotation)


def linked(text: str, own: str) -> str:
    """A docstring with links. What follows "Source:" is about Keras, unless it says "see"."""
    about, source, rest = text.partition("\nSource:")

    def link(found: re.Match[str]) -> str:
        name = found["name"]
        return f"[`{found['text']}`][{PLACES[name]}]" if name in PLACES and name != own else found[0]

    return _NAME.sub(link, about) + source + _SEEN.sub(link, rest)


def _hide_constructor(cls: griffe.Object) -> None:
    """Removes the constructor of a class that users get and do not make, before griffe adds that of a dataclass."""
    cls.members.pop("__init__", None)
    cls.decorators = []


def _all_of(holder: griffe.Object) -> Iterator[griffe.Object]:
    for each in holder.members.values():
        if not each.is_alias:
            yield each
            yield from _all_of(each)


#: Short names of types that stay: a parameter of these types is explained in words.
_EXPLAINED = ("Names", "Rename", "Select")


def _written_out(annotation: Any) -> Any:
    """A type with each short name of ours for several types or values replaced by what it stands for."""
    if isinstance(annotation, griffe.ExprBinOp):
        annotation.left, annotation.right = map(_written_out, (annotation.left, annotation.right))
    elif isinstance(annotation, griffe.ExprName) and annotation.name not in _EXPLAINED:
        value = _value(annotation)
        if isinstance(value, griffe.ExprSubscript) and str(value.left) in ("Literal", "Optional", "Union"):
            return value.modernize()
    return annotation


def _shown(parameter: griffe.Parameter) -> Any:
    """A parameter's default: the value of a private constant; ``...`` for "not given"; none for ``*args``."""
    default = parameter.default
    if parameter.kind in (griffe.ParameterKind.var_positional, griffe.ParameterKind.var_keyword):
        return None
    if str(default) == "NOT_GIVEN":
        return "..."
    private = isinstance(default, griffe.ExprName) and default.name.startswith("_")
    return _value(default) or default if private else default


def _value(name: griffe.ExprName) -> Any:
    """What stands for a name in the package; None if it is not a constant there."""
    try:
        found = name.parent.modules_collection[name.canonical_path]  # type: ignore[union-attr]
    except (KeyError, AttributeError, griffe.AliasResolutionError):
        return None
    return getattr(found, "value", None)
