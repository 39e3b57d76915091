"""``skipped_builds``: finds the layers whose ``build()`` never runs, here or on another Keras, without calling one."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

from keras_buildfix._keras.built import build_has_run
from keras_buildfix._keras.classes import (
    belongs_to_keras,
    build_owner,
    describe,
    layer_base,
    layer_class,
    public_name,
    users_bases,
    written_bases,
)
from keras_buildfix._keras.function_code import attributes_stored, function_code, sees_to_built
from keras_buildfix._keras.info import keras_info
from keras_buildfix._keras.marking import marks_unconditionally
from keras_buildfix._keras.tracking import nested_layers
from keras_buildfix._words import many
from keras_buildfix.building.affected import affected_layers, release_spans
from keras_buildfix.building.deferred import is_fixed, was_deferred
from keras_buildfix.building.importing import Progress, import_all, layers_defined_in
from keras_buildfix.building.installing import is_installed

#: A message names at most this many modules or classes that can't be examined.
_SHOWN = 5

#: Finds the built-ins that make Keras skip the ``build`` of a class, each with the Keras versions, in words.
Judge = Callable[[type], "list[tuple[type, str]]"]


@dataclass(frozen=True)
class SkippedBuild:
    """One ``build()`` that would not run, or has not run.

    Attributes:
        cls: The layer class, as ``module.qualname``.
        base: The built-in that the class subclasses and whose constructor marks the layer as built, by its name in
            ``keras.layers``.
        build_from: The class that ``build`` comes from: `cls` itself or a mixin.
        file: The file with this ``build``; empty if it has none.
        line: The line in that file; 0 if it has none.
        consequence: What goes wrong, in a sentence.
        keras: The Keras versions that skip it, in words, such as ``"keras 3.9.2"`` or ``"Keras 3.6 to 3.9"``.
        layer: The name of the layer that was examined; None if it was a class.
    """

    cls: str
    base: str
    build_from: str
    file: str
    line: int
    consequence: str
    keras: str
    layer: str | None = None

    def __str__(self) -> str:
        own = self.build_from == self.cls
        build = f"{self.build_from.rpartition('.')[2]}.build()"
        of = "" if own else f" in {self.cls}"
        if self.layer is not None:
            of = f" in the layer {self.layer!r}" + ("" if own else f" ({self.cls})")
        above = "above the class" if own else f"above the class {self.cls.rpartition('.')[2]}"
        return (
            f"{shown_file(self.file)}:{self.line}: {build} never runs{of} on {self.keras}: {self.base} marks the layer "
            f"as built in its __init__. {self.consequence} Fix: put @deferred_build (from keras_buildfix) {above}."
        )


def skipped_builds(target: object, *, keras: str | None = None) -> list[SkippedBuild]:
    """Finds the builds that Keras skips or has skipped, without building or calling a layer.

    Args:
        target: A layer class; a layer or model, with all layers inside it; a module, its import name or its path
            (``"layers/pool.py"``); or a package, its name or path. All submodules of a package are imported.
        keras: A Keras version other than the installed one, such as ``"3.9"``; or ``"all"`` for every measured
            version and the installed one. Other versions are judged from ``affected_layers``, by the built-ins
            that a class subclasses.

    Returns:
        One finding for each class (or layer) whose ``build`` Keras skips, in order of file and line. There is
        none for a class that ``deferred_build``, the mixin or ``install()`` has fixed, and none for a class
        whose own ``__init__`` sets ``built`` or builds the layer. A warning names each submodule that can't be
        imported, and each class that can't be judged for another version because it subclasses a private class
        of the installed Keras.

    Raises:
        TypeError: If `target` is none of these.
        ValueError: If the modules have no Keras layer class, so that nothing was examined. If `keras` is not a
            version, or was not measured.
        ModuleNotFoundError: If there is no module of that name or path.
        ImportError: If the module can't be imported.

    Examples:
        >>> import keras
        >>> from keras_buildfix import skipped_builds
        >>> skipped_builds(keras.layers.Dense)
        []
        >>> class Scaled(keras.layers.MaxPooling2D):
        ...     def build(self, input_shape):
        ...         self.scale = self.add_weight(name="scale", shape=())
        >>> [finding.base for finding in skipped_builds(Scaled, keras="3.9")]
        ['MaxPooling2D']

    Source: 7 of about 130 public libraries are hit; in 4 of them ``build`` comes from a mixin.
    """
    if isinstance(target, (str, ModuleType)):
        search = search_modules(target, keras)
        for problem in (search.left_out, search.not_judged):
            if problem:
                warnings.warn(f"skipped_builds: {problem}", stacklevel=2)
        if not search.classes:
            raise ValueError(f"skipped_builds: {search.nothing}")
        return search.findings
    judge = _judge(keras)
    if isinstance(target, type):
        classes = [layer_class(target, "skipped_builds")]
        found = _ordered(_in_classes(classes, judge))
    elif layer_base(type(target)) is None:
        raise TypeError(
            "skipped_builds expects a Keras layer class, a layer, a model, a module, or the name or path of a "
            f"module or package; got {describe(target)}."
        )
    else:
        layers = nested_layers(target)
        classes = list({id(cls): cls for cls in map(type, layers)}.values())
        found = _ordered(_in_layers(layers, judge if keras is not None else None))
    if keras is not None and (unclear := _not_judged(classes)):
        warnings.warn(f"skipped_builds: {unclear}", stacklevel=2)
    return found


@dataclass(frozen=True)
class ModuleSearch:
    """The result of a search through the modules of a package.

    Attributes:
        name: The name of the module or package.
        findings: As from ``skipped_builds``.
        classes: How many layer classes were examined.
        modules: How many modules were examined.
        unimportable: Modules that can't be imported here, each with the error.
        not_judged: The classes that can't be judged for another Keras version, in a line; empty if all can.
    """

    name: str
    findings: list[SkippedBuild]
    classes: int
    modules: int
    unimportable: list[str]
    not_judged: str = ""

    @property
    def left_out(self) -> str:
        """The modules that were not examined, in a line; empty if all were."""
        number = len(self.unimportable)
        everything = f"{self.name}: {number} of {self.modules + number} modules can't be imported here: "
        return everything + _some(self.unimportable, "; ") if number else ""

    @property
    def nothing(self) -> str:
        """A line that says that there was nothing to examine."""
        return f"{self.name}: there is no layer class in it ({many(self.modules, 'module')}), so nothing was examined"


def search_modules(target: str | ModuleType, keras: str | None = None, progress: Progress = None) -> ModuleSearch:
    """Searches a module, or a package with all its submodules, for skipped builds.

    Raises:
        ModuleNotFoundError: If there is no module of that name or path.
        ImportError: If it can't be imported.
        ValueError: If `keras` was not measured.
    """
    judge = _judge(keras)  # first, so that a wrong version is an error before anything is imported
    modules, failed = import_all(target, progress)
    classes = layers_defined_in(modules)
    findings = _ordered(_in_classes(classes, judge))
    unclear = _not_judged(classes) if keras is not None else ""
    return ModuleSearch(modules[0].__name__, findings, len(classes), len(modules), failed, unclear)


def _in_classes(classes: Iterable[type], judge: Judge) -> Iterator[SkippedBuild]:
    for cls in classes:
        for marker, where in judge(cls):
            yield _finding(cls, marker, where)


def _in_layers(layers: Iterable[Any], judge: Judge | None) -> Iterator[SkippedBuild]:
    """The builds of layers that did not run on the installed Keras; with `judge`, those that another one would skip."""
    for layer in layers:
        if judge is not None:
            for found, where in judge(type(layer)):
                yield _finding(type(layer), found, where, layer=layer.name)
        elif (finding := skipped_build(layer)) is not None:
            yield finding


def skipped_build(layer: Any) -> SkippedBuild | None:
    """The build of a layer that counts as built, but whose ``build`` has not run; None if nothing was skipped."""
    cls = type(layer)
    marker = skipping_builtin(cls)
    # A fix by `install()` does not count: the layer may have been made before it.
    if marker is None or is_fixed(cls, by_install=False) or not layer.built or build_has_run(layer):
        return None
    return _finding(cls, marker, _at_hand(cls), layer=layer.name)


def _judge(keras: str | None) -> Judge:
    """How to judge a class: by the code of the installed Keras, by the measurements of another version, or by both."""
    if keras is None:
        return _judge_here
    if keras == "all":
        return _judge_all
    version = keras
    affected_layers(version)  # raises if that version was not measured

    def judge(cls: type) -> list[tuple[type, str]]:
        marker = _elsewhere(cls, version)
        return [(marker, f"Keras {version}")] if marker is not None else []

    return judge


def _judge_here(cls: type) -> list[tuple[type, str]]:
    marker = skipping_builtin(cls)
    return [(marker, _at_hand(cls))] if marker is not None and not is_fixed(cls) else []


def _judge_all(cls: type) -> list[tuple[type, str]]:
    spans: dict[type, list[str]] = {}
    for span, marker in release_spans(lambda first: _elsewhere(cls, first)):
        if marker is not None:
            spans.setdefault(marker, []).append(span)
    found = [(marker, f"Keras {' and '.join(texts)}") for marker, texts in spans.items()]
    here = _judge_here(cls)
    known = _elsewhere(cls, keras_info(cls).version) is not None
    return found if known else here + found


def _at_hand(cls: type) -> str:
    info = keras_info(cls)
    return f"{info.package} {info.version}"


def skipping_builtin(cls: type) -> type | None:
    """The built-in that makes the installed Keras skip a user's ``build``; None if there is none.

    It is the nearest built-in that the user's classes subclass, and that marks the layer in its own or a base's
    constructor. A user's ``__init__`` that sets ``built`` itself counts as fixed.
    """

    def subclassed(base: type) -> type | None:
        if not marks_unconditionally(base):
            return None
        return next((each for each in written_bases(cls) if base in each.__mro__), base)

    return _first_marker(cls, subclassed)


def skipping_elsewhere(cls: type, version: str) -> type | None:
    """The built-in that makes another Keras version skip a user's ``build``, as measured there; None if there is none.

    It is one of the built-ins that the user's classes subclass.
    """
    affected, written = affected_layers(version), written_bases(cls)
    return _first_marker(cls, lambda base: base if base in written and public_name(base) in affected else None)


def _first_marker(cls: type, look: Callable[[type], type | None]) -> type | None:
    """What `look` finds first among the built-ins of a class with a user's ``build``; None if a user sets ``built``."""
    if build_owner(cls) is None:
        return None
    for base in cls.__mro__:
        if belongs_to_keras(base):
            found = look(base)
            if found is not None:
                return found
        elif _sees_to_built(vars(base).get("__init__")):
            return None
    return None


def _elsewhere(cls: type, version: str) -> type | None:
    """The result of ``skipping_elsewhere``, but None if ``deferred_build``, the mixin or ``install()`` fixes it."""
    marker = skipping_elsewhere(cls, version)
    return None if marker is None or is_fixed_elsewhere(cls, marker) else marker


def is_fixed_elsewhere(cls: type, marker: type) -> bool:
    """Whether ``deferred_build``, the mixin or ``install()`` makes ``build`` run, although `marker` sets the mark."""
    return is_installed() or _was_deferred(cls, marker)


def _was_deferred(cls: type, builtin: type) -> bool:
    """Whether a class, or a base of it that subclasses this built-in, was decorated or has the mixin."""
    return any(was_deferred(each) and builtin in each.__mro__ for each in users_bases(cls))


def _not_judged(classes: Iterable[type]) -> str:
    """A line with the classes that subclass a private Keras class, and so can't be judged for another version."""
    unclear = [
        f"{_name(cls)} (on {_name(base)})"
        for cls in classes
        if build_owner(cls) is not None
        for base in written_bases(cls)
        if public_name(base) is None and not _was_deferred(cls, base)
    ]
    if not unclear:
        return ""
    measured = "only public built-ins were measured, so nothing is known for other Keras versions about: "
    return measured + _some(unclear, ", ")


def _some(names: list[str], separator: str) -> str:
    more = f"{separator}and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def _sees_to_built(init: object) -> bool:
    """Whether a constructor sets ``built`` of its layer, to any value, or builds the layer."""
    return isinstance(init, FunctionType) and sees_to_built(inspect.unwrap(init).__code__)


def _finding(cls: type, marker: type, keras: str, layer: str | None = None) -> SkippedBuild:
    owner = build_owner(cls)
    assert owner is not None
    code = function_code(vars(owner)["build"])
    return SkippedBuild(
        cls=_name(cls),
        base=public_name(marker) or _name(marker),
        build_from=_name(owner),
        file=code.co_filename if code else "",
        line=code.co_firstlineno if code else 0,
        consequence=consequence(cls),
        keras=keras,
        layer=layer,
    )


def consequence(cls: type) -> str:
    """What goes wrong when the ``build`` is skipped, in a sentence, as far as the code of the user's classes shows."""
    codes = {(base, name): code for base in users_bases(cls) for name, code in _functions(base)}
    skipped = {code for (_, name), code in codes.items() if name == "build"}
    made = set().union(*map(attributes_stored, skipped))
    for (_, name), code in codes.items():
        if name == "__init__":
            made -= attributes_stored(code)
    adds_weight = any({"add_weight", "add_variable", "Variable"}.intersection(code.co_names) for code in skipped)
    missing = "Its weights are missing, also from saved files" if adds_weight else "The attributes it sets are missing"
    for (_, name), code in codes.items():
        if code in skipped:
            continue
        if asked := sorted(made.intersection(c for c in code.co_consts if isinstance(c, str))):
            return f"{missing}, and {name}() checks for {', '.join(asked)} and takes another branch."
        if read := sorted(made.intersection(code.co_names)):
            return f"{missing}, and {name}() will fail on {', '.join('self.' + attribute for attribute in read)}."
    return f"{missing}, perhaps without an error."


def _functions(cls: type) -> Iterator[tuple[str, CodeType]]:
    """The functions that a class defines, by name."""
    for name, value in vars(cls).items():
        code = function_code(value)
        if code is not None:
            yield name, code


def _ordered(findings: Iterable[SkippedBuild]) -> list[SkippedBuild]:
    return sorted(findings, key=lambda found: (found.file, found.line, found.cls, found.layer or ""))


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def shown_file(file: str) -> str:
    """The path of a file, relative to the current folder if it is in it."""
    here = os.getcwd() + os.sep
    return file[len(here) :] if file.startswith(here) else file
