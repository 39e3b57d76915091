"""``install()``: fixes the built-in layers themselves, for layer classes that nobody can edit.

It gives the fix of ``deferred_build`` to each built-in that marks itself built. So every subclass has
it, also those defined before the call. An import hook fixes a Keras that is imported later.
``uninstall()`` takes all of it away again.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Iterator, Sequence
from types import ModuleType

from keras_buildfix._blocks import block
from keras_buildfix._keras.classes import PACKAGES, builtin_layers, loaded_layer_bases
from keras_buildfix._keras.marking import marking_code
from keras_buildfix.building.deferred import repairs

_lock = threading.Lock()
_replaced: list[tuple[type, str, object, object]] = []  # class, attribute, our value, the value before
_ABSENT = object()


def install() -> None:
    """Fixes every affected built-in layer of each Keras in the process, and of one imported later.

    It imports no Keras. A second call does nothing. On a Keras version that needs no repair it changes
    nothing. Layers that exist already stay as they are.

    Raises:
        RuntimeError: If it is called from inside the import of Keras, when its layers are not complete.

    Example:
        >>> import keras_buildfix
        >>> keras_buildfix.install()
        >>> import keras
        >>> class Scaled(keras.layers.Reshape):
        ...     def build(self, input_shape):
        ...         self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        >>> Scaled((4,)).built
        False
        >>> keras_buildfix.uninstall()
    """
    with _lock:
        if _hook not in sys.meta_path:
            sys.meta_path.insert(0, _hook)
    # Not under our lock: a thread that is importing Keras needs that lock in our hook, and we wait for this thread.
    for package in PACKAGES:
        _wait_for_import(package)
    _fix_loaded()


def uninstall() -> None:
    """Takes back all that ``install()`` did; does nothing if ``install()`` is not on."""
    with _lock:
        if _hook in sys.meta_path:
            sys.meta_path.remove(_hook)
        while _replaced:
            cls, name, ours, before = _replaced.pop()
            if vars(cls).get(name) is not ours:  # somebody else has replaced it since: it is not ours to remove
                continue
            if before is _ABSENT:
                delattr(cls, name)
            else:
                setattr(cls, name, before)


@block
def installed() -> Iterator[None]:
    """A ``with`` block in which built-ins are fixed; it changes nothing inside another one or after ``install()``.

    Use it with ``with``: without it, nothing is fixed. ``install()`` fixes built-ins for good.

    Example:
        >>> import keras, keras_buildfix
        >>> with keras_buildfix.installed():
        ...     pass
    """
    already = is_installed()
    try:
        install()
        yield
    finally:
        if not already:
            uninstall()


def is_installed() -> bool:
    """Whether ``install()`` is on."""
    return _hook in sys.meta_path


def _fix_loaded() -> None:
    with _lock:
        if _hook not in sys.meta_path:  # uninstalled while a Keras was being imported
            return
        for base in loaded_layer_bases():
            for cls in builtin_layers(base):
                if marking_code(cls) is not None or "build" in vars(cls):
                    for name, value in repairs(cls).items():
                        _replaced.append((cls, name, value, vars(cls).get(name, _ABSENT)))
                        setattr(cls, name, value)


def _wait_for_import(package: str) -> None:
    """Waits until another thread that is importing `package` has finished."""
    module = sys.modules.get(package)
    if module is None or not _is_initializing(module):
        return
    importlib.import_module(package)  # takes the module's import lock; it is in sys.modules already
    if _is_initializing(module):
        raise RuntimeError(
            f"install() was called from inside the import of {package}, when its layers are not complete: "
            "call it before that import or after it."
        )


def _is_initializing(module: ModuleType) -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))


def _is_imported_by_a_package(fullname: str) -> bool:
    """Whether a package that holds this module is being imported: the fix then waits for the end of that import."""
    parents = [fullname[:at] for at, letter in enumerate(fullname) if letter == "."]
    return any(parent in sys.modules and _is_initializing(sys.modules[parent]) for parent in parents)


class _Hook(importlib.abc.MetaPathFinder):
    """Finds a Keras as Python would, and fixes its built-ins once it has been imported.

    It does the same for a module that Keras imports later, like the legacy layers of ``tf.keras`` on 3.3 to 3.9.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in PACKAGES or _is_imported_by_a_package(fullname):
            return None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    if spec.loader is not None:
                        spec.loader = _Loader(spec.loader)
                    return spec
        return None


class _Loader(importlib.abc.Loader):
    """Stands in for a module's loader until the module has been executed."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)  # some tools ask for `get_source`, `get_resource_reader` before the import

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Python asks the loader for resources, sources and reloads: from now on it finds the real one.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _fix_loaded()


_hook = _Hook()
