"""Finds and imports modules and what is in them by name, ``package.module:Class``, or by path, ``module.py:Class``."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Optional

from keras_buildfix._keras.classes import belongs_to_keras, layer_base, layer_classes, loaded_layer_bases

Progress = Optional[Callable[[int, int], None]]


def import_one(target: str) -> ModuleType:
    """A module or package, by its import name or its path; ``sys.path`` is unchanged afterwards.

    Raises:
        ModuleNotFoundError: If there is no module of that name or path.
        ImportError: If it can't be imported; its cause is the error that its code raised.
    """
    folder, name = _place(target) if _is_path(target) else (None, target)
    with _looked_in(folder):
        module = _imported(name)
    if folder is not None:
        _check_same(module, target)
    return module


def import_all(target: str | ModuleType, progress: Progress = None) -> tuple[list[ModuleType], list[str]]:
    """Imports a module and all its submodules; returns them, and the submodules that failed, each with its error."""
    top = import_one(target) if isinstance(target, str) else target
    folder = _place(target)[0] if isinstance(target, str) and _is_path(target) else None
    modules, failed = [top], list[str]()
    number = _count_files(top)

    def import_below(package: ModuleType) -> None:
        for found in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
            if found.name.rpartition(".")[2] == "__main__":
                continue  # importing it would run a program
            if progress is not None:
                progress(len(modules) + len(failed), max(number, len(modules) + len(failed)))
            try:
                modules.append(importlib.import_module(found.name))
            except (Exception, SystemExit) as error:
                failed.append(f"{found.name} ({type(error).__name__}: {error})")
            else:
                import_below(modules[-1])

    with _looked_in(folder):
        import_below(top)
    return modules, failed


def import_class(target: str) -> type:
    """A layer class by ``package.module:Class``, ``package.module.Class`` or ``path.py:Class``.

    Raises:
        ModuleNotFoundError: If there is no such module.
        ImportError: If it can't be imported.
        ValueError: If it has no layer class of that name.
    """
    module, name = _module_and_name(target)
    value = _named(module, name)
    if isinstance(value, type) and layer_base(value) is not None:
        return value
    classes = {cls.__qualname__: cls for cls in layers_defined_in([module])}
    known = sorted(known for known, cls in classes.items() if _named(module, known) is cls)  # none inside a function
    near = difflib.get_close_matches(name, known, n=3)
    listed = f" The nearest: {', '.join(near)}." if near else f" It has: {', '.join(known[:5])}."
    listed = listed if known else " It has none."
    what = f"has no layer class {name!r}" if name else "is a module: name a layer class in it, after a colon"
    raise ValueError(f"{module.__name__} {what}.{listed}")


def import_object(target: str) -> object:
    """What a module has by ``package.module:NAME``, ``package.module.NAME`` or ``path.py:NAME``.

    Raises:
        ModuleNotFoundError: If there is no such module.
        ImportError: If it can't be imported.
        ValueError: If it has nothing of that name.
    """
    module, name = _module_and_name(target)
    if not name:
        raise ValueError(f"{module.__name__} is a module: name something in it, after a colon.")
    value = _named(module, name)
    if value is None:
        near = difflib.get_close_matches(name, [known for known in vars(module) if not known.startswith("_")], n=3)
        listed = f" The nearest: {', '.join(near)}." if near else ""
        raise ValueError(f"{module.__name__} has nothing called {name!r}.{listed}")
    return value


def _module_and_name(target: str) -> tuple[ModuleType, str]:
    """The module of ``package.module:NAME``, ``package.module.NAME`` or ``path.py:NAME``, and the name in it."""
    where, colon, name = target.rpartition(":")
    if not colon or os.sep in name:
        where, name = target, ""
    if name or _is_path(where):
        return import_one(where), name
    return _longest_module(where)


def _named(module: ModuleType, name: str) -> object:
    """What a module has by a dotted name; None if it has nothing."""
    value: object = module
    for part in filter(None, name.split(".")):
        value = getattr(value, part, None)
    return value


def layers_defined_in(modules: Iterable[ModuleType]) -> list[type]:
    """The users' layer classes that these modules define; for a single module, also those that it imports."""
    modules = list(modules)
    names = {module.__name__ for module in modules}
    found = {
        id(cls): cls
        for base in loaded_layer_bases()
        for cls in layer_classes(base)
        if cls.__module__ in names and not belongs_to_keras(cls)
    }
    if len(modules) == 1:
        for value in list(vars(modules[0]).values()):
            if layer_base(value) is not None and not belongs_to_keras(value):
                found[id(value)] = value
    return list(found.values())


def _imported(name: str) -> ModuleType:
    if not name:
        raise ModuleNotFoundError("There is no module without a name: give an import name or a path.")
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = getattr(error, "name", None) or ""
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{missing}."):
            raise  # the module itself is missing
        raise ImportError(f"{name} can't be imported here: {type(error).__name__}: {error}", name=name) from error


def _longest_module(dotted: str) -> tuple[ModuleType, str]:
    """The longest module that a dotted name begins with, and the rest of the name."""
    at = dotted
    while True:
        try:
            return _imported(at), dotted[len(at) + 1 :]
        except ModuleNotFoundError:
            at = at.rpartition(".")[0]
            if not at and dotted and "." not in dotted:
                raise ModuleNotFoundError(
                    f"There is no module {dotted!r}. Name a class as package.module:{dotted}.", name=dotted
                ) from None
            if not at:
                raise


def _is_path(target: str) -> bool:
    return target.endswith(".py") or target in (".", "..") or any(s in target for s in ("/", os.sep))


def _place(path: str) -> tuple[str, str]:
    """The folder from which to import a module or package, and its import name."""
    full = os.path.abspath(path)
    if not os.path.exists(full):
        raise ModuleNotFoundError(f"There is no file or folder {path!r} in {os.getcwd()}.")
    if os.path.isdir(full) and not _is_package(full):
        inside = [name for name in sorted(os.listdir(full)) if _is_package(os.path.join(full, name))]
        found = f" Packages in it: {', '.join(os.path.join(path, name) for name in inside[:5])}." if inside else ""
        raise ModuleNotFoundError(
            f"{path} is a folder without an __init__.py, so it is no package: give a package or a .py file.{found}"
        )
    if os.path.isfile(full) and not full.endswith(".py"):
        raise ModuleNotFoundError(f"{path} is no Python module: give a package or a .py file.")
    full = full[: -len(".py")] if os.path.isfile(full) else full
    folder, last = os.path.split(full)
    parts = [] if last == "__init__" else [last]
    while _is_package(folder):
        folder, part = os.path.split(folder)
        parts.insert(0, part)
    return folder, ".".join(parts)


def _is_package(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, "__init__.py"))


@contextlib.contextmanager
def _looked_in(folder: str | None) -> Iterator[None]:
    """A block in which imports look in this folder first."""
    if folder is None:
        yield
        return
    importlib.invalidate_caches()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _check_same(module: ModuleType, path: str) -> None:
    """Raises an ImportError if Python imported another module of this name than the one at the path."""
    full = os.path.join(path, "__init__.py") if os.path.isdir(path) else path
    file = getattr(module, "__file__", None)
    if file is None or not os.path.samefile(file, full):
        raise ImportError(
            f"{path} has the import name {module.__name__}, but Python finds {file or 'a built-in module'} under it: "
            "rename it, or run this where Python does not find the other one."
        )


def _count_files(top: ModuleType) -> int:
    """About how many modules a package has."""
    walks = [os.walk(folder) for folder in getattr(top, "__path__", ())]
    return sum(name.endswith(".py") for walk in walks for _, _, names in walk for name in names)
