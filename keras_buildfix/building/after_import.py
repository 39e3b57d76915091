"""``AfterImport``: a finder of modules that calls a function each time a part of Keras has been imported."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from keras_buildfix._keras.classes import PACKAGES


class AfterImport(importlib.abc.MetaPathFinder):
    """Finds a Keras as Python would, and calls `after` once it has been imported.

    It does the same for a module that Keras imports later, like the legacy layers of ``tf.keras`` on 3.3 to 3.9.
    It acts while it is in ``sys.meta_path``.
    """

    def __init__(self, after: Callable[[], None]) -> None:
        self._after = after

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec that the finders after this one give, with a loader that then calls `after`."""
        if fullname.partition(".")[0] not in PACKAGES or _is_imported_by_a_package(fullname):
            return None
        finders = list(sys.meta_path)
        # Python has asked those before this one. To ask them again would be endless if one of them does the same.
        later = finders[finders.index(self) + 1 :] if self in finders else []
        for finder in later:
            if hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    if spec.loader is not None:
                        spec.loader = _Loader(spec.loader, self._after)
                    return spec
        return None


class _Loader(importlib.abc.Loader):
    """Stands in for a module's loader until the module has been executed."""

    def __init__(self, loader: importlib.abc.Loader, after: Callable[[], None]) -> None:
        self._loader, self._after = loader, after

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
        self._after()


def is_initializing(module: ModuleType) -> bool:
    """Whether a module is still being imported."""
    return bool(getattr(module.__spec__, "_initializing", False))


def _is_imported_by_a_package(fullname: str) -> bool:
    """Whether a package that holds this module is being imported: the call then waits for the end of that import."""
    parents = [fullname[:at] for at, letter in enumerate(fullname) if letter == "."]
    return any(parent in sys.modules and is_initializing(sys.modules[parent]) for parent in parents)
