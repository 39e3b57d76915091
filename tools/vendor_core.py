"""Joins the core of the package into the one file that ``keras-buildfix vendor`` writes.

`python tools/vendor_core.py` writes keras_buildfix/cli/vendored.txt again; a test fails while that is stale. The
functions are taken from the package's own modules, with the first paragraph of their docstrings. Only the functions
that decide by bytecode what to fix have a smaller form here (`SMALL`): the copy fixes each subclass of a built-in,
whether it needs it or not.
"""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "keras_buildfix"
TARGET = PACKAGE / "cli" / "vendored.txt"

#: What is taken, by module: first the constants, then the functions, then `SMALL`.
PARTS = {
    "_keras/classes": "PACKAGES _VENDORED package_of belongs_to_keras HANDS_OVER brings layer_base build_owner "
    "users_bases _is_keras_layer",
    "_keras/frames": "arguments is_run_for is_being_constructed setting_frame _REALLY_BUILD "
    "is_set_by_keras_constructor",
    "_keras/built": "LOCK wraps_build lock_for_others _unlock_on_demand lock_state unlock_state build_has_run",
    "_keras/function_code": "MARKS_BUILT",
    "_keras/marking": "_BUILT_OTHERWISE",
    "building/deferred": "DeferredBuilt _build_and_mark",
}

HEADER = '''\
"""Makes the ``build()`` of a Keras layer run, once, on every Keras: the core of keras-buildfix {version}, copied.

Licence: Apache-2.0, https://www.apache.org/licenses/LICENSE-2.0 (the authors of keras-buildfix).
Do not edit it: `keras-buildfix vendor THIS_FILE` refreshes it, and with --check it says whether the file is stale.

    deferred_build       above a class: its build() runs, once, before first use
    DeferredBuildMixin   the same for all subclasses
    mark_built           tells Keras that a layer is built
    keras_of             which Keras an object or class belongs to
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any
'''

SMALL = '''\
def _fix(cls: type) -> None:
    """Gives a class what it may need; on a class that needs none of it, it does nothing."""
    owner = build_owner(cls)
    if owner is not None and not wraps_build(cls) and not hasattr(vars(owner)["build"], MARKS_BUILT):
        cls.build = _build_and_mark(cls)  # type: ignore[attr-defined]
    if marking := [base for base in cls.__mro__ if _may_mark(base)]:
        if not _has(cls, LOCK) and any(hasattr(base, "_build_at_init") for base in marking):  # 3.10.0 to nightly
            for name, value in lock_for_others(cls).items():
                setattr(cls, name, value)
        if not _has(cls, "built"):
            cls.built = DeferredBuilt()  # type: ignore[attr-defined]


def _may_mark(cls: type) -> bool:
    """Whether the constructor of a class may be one of Keras's that mark a layer as built."""
    others = _BUILT_OTHERWISE | {"Model"}
    return _is_keras_layer(cls) and layer_base(cls) is not cls and not others & {each.__name__ for each in cls.__mro__}


def _has(cls: type, name: str) -> bool:
    """Whether the user, or any copy of this code, gave a class or a base this attribute."""
    found = (vars(base)[name] for base in users_bases(cls) if name in vars(base))
    return any(name != "built" or hasattr(value, "__set__") for value in found)


def deferred_build(*cls: Any) -> Any:
    """Makes the ``build()`` of a layer class run, once: ``@deferred_build``, or ``@deferred_build()``."""
    if not cls:
        return deferred_build
    if layer_base(cls[0]) is None or belongs_to_keras(cls[0]):
        raise TypeError(f"deferred_build expects a class of yours that subclasses a Keras layer; got {cls[0]!r}.")
    _fix(*cls)
    return cls[0]


class DeferredBuildMixin:
    """Makes the ``build()`` of every subclass run, once. List it before the Keras class."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        first = next(base for base in cls.__mro__ if base is DeferredBuildMixin or _is_keras_layer(base))
        if first is not DeferredBuildMixin:
            raise TypeError(f"list DeferredBuildMixin before the Keras class {first.__name__} in {cls.__name__}.")
        if layer_base(cls) is not None:
            _fix(cls)


def mark_built(layer: Any) -> None:
    """Tells Keras that a layer is built: Keras will not call its ``build`` any more."""
    if layer_base(type(layer)) is None:
        raise TypeError(f"mark_built expects a Keras layer (an instance); got {layer!r}.")
    layer.built = True
    lock_state(layer)


def keras_of(obj: object) -> tuple[str, str, int]:
    """The package of the Keras that an object or class belongs to, its version, and its generation, 2 or 3."""
    for base in (obj if isinstance(obj, type) else type(obj)).__mro__:
        if package := package_of(base.__module__ or ""):
            version = str(getattr(sys.modules.get(package), "__version__", "2"))
            return package, version, 3 if int(version.partition(".")[0]) >= 3 else 2
    raise TypeError(f"keras_of expects an object or class that uses Keras; got {obj!r}.")
'''


def joined() -> str:
    """The text of the file, with ``{version}`` where the version belongs."""
    taken = [piece for module, names in PARTS.items() for piece in _taken(module, names.split())]
    functions = [piece for piece in taken if "\ndef " in f"\n{piece}" or piece.startswith("class ")]
    constants = [piece for piece in taken if piece not in functions]
    return "\n\n".join([f"{HEADER}\n{''.join(constants)}", *functions, SMALL])


def _taken(module: str, names: list[str]) -> list[str]:
    """The source of these names of a module, in its order, each with the comment above it."""
    source = (PACKAGE / f"{module}.py").read_text("utf-8")
    lines, found = source.splitlines(), {}
    for node in ast.parse(source).body:
        name = _name(node)
        if name in names:
            start = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]) - 1
            while start and lines[start - 1].startswith("#:"):
                start -= 1
            found[name] = "\n".join(_shortened(lines, start, node)) + "\n"
    assert {*found} == {*names}, (module, {*names} - {*found})
    return list(found.values())


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.Assign):
        return getattr(node.targets[0], "id", "")
    if isinstance(node, ast.AnnAssign):
        return getattr(node.target, "id", "")
    return getattr(node, "name", "")


def _shortened(lines: list[str], start: int, node: ast.stmt) -> list[str]:
    """The lines of a statement, with only the first paragraph of its docstrings."""
    kept = lines[:]
    for each in ast.walk(node):
        if isinstance(each, (ast.FunctionDef, ast.ClassDef)) and (text := ast.get_docstring(each)):
            first, last = each.body[0].lineno - 1, each.body[0].end_lineno
            assert last is not None
            paragraph = text.split("\n\n")[0].split("\n")
            indent = " " * each.body[0].col_offset
            kept[first:last] = [None] * (last - first)  # type: ignore[list-item]
            kept[first] = "\n".join([f'{indent}"""{paragraph[0]}', *(indent + line for line in paragraph[1:])]) + '"""'
    return [line for line in kept[start : node.end_lineno] if line is not None]


if __name__ == "__main__":
    TARGET.write_text(joined(), "utf-8")
