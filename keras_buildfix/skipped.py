"""Find the builds that are skipped here, without calling a layer."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

from keras_buildfix import _keras, _private
from keras_buildfix._code import attributes_stored, function_code, sees_to_built
from keras_buildfix.build import is_mended

#: So many modules that can't be imported are named in a message.
_SHOWN = 5


@dataclass(frozen=True)
class SkippedBuild:
    """One ``build()`` that would not run, or has not run, on the Keras at hand.

    Attributes:
        cls: The layer class, as ``module.qualname``.
        base: The built-in whose constructor marks the layer built.
        build_from: The class that ``build`` comes from: `cls` itself or a mixin.
        file: The file that this ``build`` is in; empty if it has none.
        line: Its line there; 0 if it has none.
        consequence: What goes wrong, in words.
        layer: The name of the layer that was looked at; None if it was a class.
    """

    cls: str
    base: str
    build_from: str
    file: str
    line: int
    consequence: str
    layer: str | None = None

    def __str__(self) -> str:
        named = f" (layer {self.layer!r})" if self.layer is not None else ""
        return (
            f"{self.file}:{self.line}: {self.cls}{named}: build() of {self.build_from} "
            f"is skipped, {self.base} marks the layer built; {self.consequence}"
        )


def skipped_builds(target: object) -> list[SkippedBuild]:
    """Which builds would be, or were, skipped on the Keras at hand; no layer is called or built for it.

    Args:
        target: A layer class; a layer or model, with all layers inside it; a module or the name of one; or
            a package or its name, all submodules of which are imported.

    Returns:
        One finding for each class (or layer) whose ``build`` Keras passes over, in order of file and
        line. None for those that ``deferred_build``, the mixin or ``install()`` has mended, nor for
        those whose own ``__init__`` says what ``built`` is to be or builds by itself. A submodule that
        can't be imported is named in a warning.

    Raises:
        TypeError: If `target` is none of these.
        ValueError: If no class of a Keras layer is in the modules: nothing was looked at then.
        ModuleNotFoundError: If there is no package of that name.

    Example:
        >>> import keras
        >>> from keras_buildfix import skipped_builds
        >>> skipped_builds(keras.layers.Dense)
        []

    Source: 7 of about 130 public libraries are hit; in 4 of them ``build`` comes from a mixin.
    """
    if isinstance(target, (str, ModuleType)):
        search = search_modules(target)
        if search.unimportable:
            warnings.warn(f"skipped_builds: {search.left_out}", stacklevel=2)
        if not search.classes:
            raise ValueError(f"skipped_builds: {search.nothing}")
        return search.findings
    if isinstance(target, type):
        return _ordered(_in_classes([_keras.layer_class(target, "skipped_builds")]))
    if _keras.layer_base(type(target)) is None:
        raise TypeError(
            "skipped_builds expects a Keras layer class, a layer, a model, a module or the name of an "
            f"installed package; got {_keras.describe(target)}."
        )
    return _ordered(_in_layers(_private.nested_layers(target)))


@dataclass(frozen=True)
class ModuleSearch:
    """What came of a search through the modules of a package.

    Attributes:
        name: Its name.
        findings: As ``skipped_builds`` gives them.
        classes: How many layer classes were looked at.
        modules: How many modules were.
        unimportable: Modules that can't be imported here, each with the error.
    """

    name: str
    findings: list[SkippedBuild]
    classes: int
    modules: int
    unimportable: list[str]

    @property
    def left_out(self) -> str:
        """What was not looked at, in a line."""
        shown = "; ".join(self.unimportable[:_SHOWN])
        more = f"; and {len(self.unimportable) - _SHOWN} more" if len(self.unimportable) > _SHOWN else ""
        whole = self.modules + len(self.unimportable)
        return f"{self.name}: {len(self.unimportable)} of {whole} modules can't be imported here: {shown}{more}"

    @property
    def nothing(self) -> str:
        """That there was nothing to look at, in a line."""
        return f"{self.name}: there is no layer class in it ({self.modules} modules); nothing was looked at"


def search_modules(target: str | ModuleType) -> ModuleSearch:
    """Looks for skipped builds in a module, or in a package with all its submodules, by name or as a module.

    Raises:
        ModuleNotFoundError: If there is no module of that name.
    """
    modules, failed = _import_all(target)
    classes = _layer_classes(modules)
    return ModuleSearch(modules[0].__name__, _ordered(_in_classes(classes)), len(classes), len(modules), failed)


def _in_classes(classes: Iterable[type]) -> Iterator[SkippedBuild]:
    for cls in classes:
        marker = _skipping_builtin(cls)
        if marker is not None and not is_mended(cls):
            yield _finding(cls, marker)


def _in_layers(layers: Iterable[Any]) -> Iterator[SkippedBuild]:
    for layer in layers:
        marker = _skipping_builtin(type(layer))
        # Those that only `install()` mends too: the layer may have been made before it.
        mended = is_mended(type(layer), by_install=False)
        if marker is not None and not mended and layer.built and not _private.build_has_run(layer):
            yield _finding(type(layer), marker, layer.name)


def _skipping_builtin(cls: type) -> type | None:
    """The built-in that has the user's ``build`` skipped, unless a user's ``__init__`` sees to it."""
    if _keras.build_owner(cls) is None:
        return None
    for base in cls.__mro__:
        if _keras.belongs_to_keras(base):
            if _keras.marks_unconditionally(base):
                return base
        elif _sees_to_built(vars(base).get("__init__")):
            return None
    return None


def _sees_to_built(init: object) -> bool:
    """Whether a constructor sets ``built`` of its layer, whatever to, or has the layer built."""
    return isinstance(init, FunctionType) and sees_to_built(inspect.unwrap(init).__code__)


def _finding(cls: type, marker: type, layer: str | None = None) -> SkippedBuild:
    owner = _keras.build_owner(cls)
    assert owner is not None
    code = function_code(vars(owner)["build"])
    return SkippedBuild(
        cls=_name(cls),
        base=_name(marker),
        build_from=_name(owner),
        file=code.co_filename if code else "",
        line=code.co_firstlineno if code else 0,
        consequence=_consequence(cls),
        layer=layer,
    )


def _consequence(cls: type) -> str:
    """What skipping the ``build`` does, as far as the code of the user's classes tells."""
    codes = {(base, name): code for base in _keras.users_bases(cls) for name, code in _functions(base)}
    skipped = {code for (_, name), code in codes.items() if name == "build"}
    made = set().union(*map(attributes_stored, skipped))
    for (_, name), code in codes.items():
        if name == "__init__":
            made -= attributes_stored(code)
    adds_weight = any({"add_weight", "add_variable", "Variable"}.intersection(code.co_names) for code in skipped)
    missing = "its weights are missing, from saved files too" if adds_weight else "what it would set is missing"
    for (_, name), code in codes.items():
        if code in skipped:
            continue
        if asked := sorted(made.intersection(c for c in code.co_consts if isinstance(c, str))):
            return f"{missing}; {name}() asks whether there is {', '.join(asked)}, and takes another branch"
        if read := sorted(made.intersection(code.co_names)):
            return f"{missing}; {name}() reads {', '.join('self.' + attribute for attribute in read)}: AttributeError"
    return f"{missing}, perhaps without an error"


def _functions(cls: type) -> Iterator[tuple[str, CodeType]]:
    """The functions that a class defines, by name."""
    for name, value in vars(cls).items():
        code = function_code(value)
        if code is not None:
            yield name, code


def _layer_classes(modules: Iterable[ModuleType]) -> list[type]:
    """The layer classes of the users' that modules define, wherever in them, or, for a lone module, hold."""
    modules = list(modules)
    names = {module.__name__ for module in modules}
    found = {
        id(cls): cls
        for base in _keras.loaded_layer_bases()
        for cls in _keras.layer_classes(base)
        if cls.__module__ in names and not _keras.belongs_to_keras(cls)
    }
    if len(modules) == 1:
        for value in list(vars(modules[0]).values()):
            if _keras.layer_base(value) is not None and not _keras.belongs_to_keras(value):
                found[id(value)] = value
    return list(found.values())


def _import_all(target: str | ModuleType) -> tuple[list[ModuleType], list[str]]:
    """A module and, if it is a package, all its submodules, imported; and those that can't be, each with the error."""
    if not target:
        raise ModuleNotFoundError("There is no module without a name: give the import name of an installed package.")
    top = importlib.import_module(target) if isinstance(target, str) else target
    modules, failed = [top], []
    for found in pkgutil.walk_packages(getattr(top, "__path__", ()), f"{top.__name__}.", onerror=lambda _: None):
        if found.name.rpartition(".")[2] == "__main__":
            continue  # a program, not a place for classes
        try:
            modules.append(importlib.import_module(found.name))
        except (Exception, SystemExit) as error:
            failed.append(f"{found.name} ({type(error).__name__}: {error})")
    return modules, failed


def _ordered(findings: Iterable[SkippedBuild]) -> list[SkippedBuild]:
    return sorted(findings, key=lambda found: (found.file, found.line, found.cls, found.layer or ""))


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
