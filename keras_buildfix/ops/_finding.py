"""Finds the function for a name of ``ops``: Keras's own, one written with newer releases in mind, or TensorFlow's.

Nothing is imported before the first name is asked for. A name is then found once, and kept in its module.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

from keras_buildfix._keras.classes import PACKAGES
from keras_buildfix._keras.info import keras_info
from keras_buildfix._running_call import RUNNING
from keras_buildfix.ops._making import MAKERS, in_compute_dtype
from keras_buildfix.ops._names import OPS, RANDOM, SUBMODULES

_lock = threading.RLock()
#: What TensorFlow, or the backend of Keras 2, calls a function.
_OF_OTHERS = {
    "batch_dot": "einsum matmul",
    "batch_flatten": "reshape",
    "concat": "concatenate",
    "constant": "convert_to_tensor",
    "flatten": "ravel",
    "gather": "take",
    "int_shape": "shape",
    "l2_normalize": "normalize",
    "permute_dimensions": "transpose",
    "pow": "power",
    "range": "arange",
    "reduce_all": "all",
    "reduce_any": "any",
    "reduce_logsumexp": "logsumexp",
    "reduce_max": "max",
    "reduce_mean": "mean",
    "reduce_min": "min",
    "reduce_prod": "prod",
    "reduce_std": "std",
    "reduce_sum": "sum",
    "reduce_variance": "var",
    "reverse": "flip",
}


class Space:
    """The names of one module: of ``ops`` itself (its name is empty), of one of its submodules, or of ``random``."""

    every: ClassVar[dict[str, Space]] = {}

    def __init__(self, name: str, module: dict[str, Any]) -> None:
        self.name = name
        self.module = module
        self.table = RANDOM if name == "random" else OPS
        self.kept: dict[str, Any] = {}
        Space.every[name] = self

    def public(self) -> list[str]:
        """All names of the newest Keras, in order."""
        return sorted(self._all_names())

    def names(self) -> list[str]:
        """All names of the newest Keras, with what Python itself keeps in the module."""
        own = {name for name in self.module if name.startswith("__") and name != "__builtins__"}
        return sorted({*own, *self._all_names()})

    def _all_names(self) -> list[str]:
        found = [name for name in self.table if self.has(name)]
        return [*found, *SUBMODULES] if self.name == "" else found

    def has(self, name: str) -> bool:
        """Whether the newest Keras has a name in this module."""
        return ("" if self.name == "random" else self.name) in self.table.get(name, ("", ()))[1]

    def find(self, name: str) -> Any:
        """The function for a name, for the Keras that is in use."""
        if name.startswith("_"):  # Python and tools ask for such names; no Keras is loaded for them
            raise AttributeError(f"module {self._called()!r} has no attribute {name!r}")
        if self.name == "" and name in SUBMODULES:
            return importlib.import_module(f"keras_buildfix.ops.{name}")
        with _lock:
            keras = keras_in_use()
            found = _function(keras.__name__, self, name) or self._missing(keras, name)
            if _only_one_is_loaded():
                self.module[name] = self.kept[name] = found
            return found

    def forget(self) -> None:
        """Forgets what was found: from now on it is looked up again."""
        for name, found in self.kept.items():
            if self.module.get(name) is found:
                del self.module[name]
        self.kept.clear()

    def _called(self) -> str:
        return "keras_buildfix.random" if self.name == "random" else f"keras_buildfix.ops.{self.name}".rstrip(".")

    def _missing(self, keras: Any, name: str) -> Any:
        """Raises the AttributeError for a name that this Keras does not have and that can't be written with it."""
        info = keras_info(keras)
        if self.has(name):
            raise AttributeError(
                f"{self._called()}.{name} can't be had on {info}: Keras has it since {self.table[name][0]}, and it "
                f"can't be written with what this one has. Upgrade Keras, or test `hasattr(ops, {name!r})` first."
            )
        near = _OF_OTHERS.get(name, "").split() or difflib.get_close_matches(name, self._all_names(), 3, 0.6)
        near = [each for each in near if each in self._all_names()]
        homes = [f"keras_buildfix.ops.{space}".rstrip(".") for space in OPS.get(name, ("", ()))[1]]
        if homes and self.name != "random":
            hint = f" It is in {' and '.join(homes)}."
        else:
            hint = f" Did you mean {' or '.join(near)}?" if near else " dir() lists the names."
        keras_s = "random" if self.name == "random" else f"ops.{self.name}".rstrip(".")
        raise AttributeError(f"module {self._called()!r} has no attribute {name!r}; no keras.{keras_s} has it.{hint}")


def keras_in_use() -> ModuleType:
    """The Keras whose functions ``ops`` gives: of the portable layer that runs now, else of the process.

    If none is loaded, it is the one that ``keras_info()`` finds, and this loads it.
    """
    if RUNNING.package is not None:
        return sys.modules[RUNNING.package]
    loaded = _loaded()
    if len(loaded) == 1:
        return loaded[0]
    package = keras_info().package
    return sys.modules.get(package) or importlib.import_module(package)


def _loaded() -> list[ModuleType]:
    """Each Keras that is loaded, once: Keras 2 may be known by two names."""
    found: list[ModuleType] = []
    for package in PACKAGES:
        module = sys.modules.get(package)
        if module is not None and module not in found:
            found.append(module)
    return found


def floatx() -> str:
    """The name of the default dtype for floats, of the Keras that is in use."""
    return str(keras_in_use().backend.floatx())


def data_format_of(given: Any, name: str) -> str:
    """``"channels_last"`` or ``"channels_first"``; None means the default of the Keras that is in use.

    Raises:
        ValueError: For any other word. `name` is the function's, for the message.
    """
    keras = keras_in_use()
    default = (keras.config if hasattr(keras, "ops") else keras.backend).image_data_format
    found = str(default() if given is None else given).lower()
    if found not in ("channels_last", "channels_first"):
        raise ValueError(f"ops.{name}: data_format is 'channels_last', 'channels_first' or None; got {given!r}")
    return found


def _only_one_is_loaded() -> bool:
    return len(_loaded()) == 1


def forget_all() -> None:
    """Makes ``ops`` look up its functions again, as when a second Keras has come into the process."""
    with _lock:
        for space in Space.every.values():
            space.forget()


def _function(package: str, space: Space, name: str) -> Callable[..., Any] | None:
    """The function for a name of a module, in the Keras of this package; None if there is none."""
    keras = sys.modules[package]
    if not space.has(name):
        return native(keras, space.name, name)  # newer than this package, or nowhere
    key = package, space.table is RANDOM, name
    if key not in _found:
        found = native(keras, space.name, name) or _ours(keras, space.name, name)
        if found is not None and name in MAKERS:
            cast = _function(package, Space.every[""], "cast")
            assert cast is not None
            found = in_compute_dtype(found, cast)
            found.__module__ = "keras_buildfix.random" if key[1] else "keras_buildfix.ops"  # where pickle finds it
        _found[key] = found
    return _found[key]


_found: dict[tuple[str, bool, str], Callable[..., Any] | None] = {}


def native(keras: Any, space: str, name: str) -> Callable[..., Any] | None:
    """Keras's own function of this name; None if it has none, as Keras 2."""
    if not hasattr(keras, "ops"):  # Keras 2; its keras.random, where it has one, is not that of Keras 3
        return None
    if space == "random":
        return getattr(keras.random, name, None)
    # A submodule of Keras may have got a name later than `ops` itself, as searchsorted.
    spaces = (space, *(OPS[name][1] if name in OPS and space in OPS[name][1] else ()))
    homes = (getattr(keras.ops, each, None) if each else keras.ops for each in spaces)
    return next(filter(None, (getattr(home, name, None) for home in homes)), None)


def _ours(keras: Any, space: str, name: str) -> Callable[..., Any] | None:
    """The function that this package writes for a Keras without it: over TensorFlow on Keras 2, else with ``ops``."""
    name = f"random.{name}" if space == "random" else name
    folders = ("_later",) if hasattr(keras, "ops") else ("_tensorflow", "_later")
    return next(filter(None, (all_of(folder).get(name) for folder in folders)), None)


_tables: dict[str, dict[str, Callable[..., Any]]] = {}


def all_of(folder: str) -> dict[str, Callable[..., Any]]:
    """The functions in all files of a folder, by name: of ``"_tensorflow"`` or ``"_later"``."""
    if folder not in _tables:
        package = importlib.import_module(f"keras_buildfix.ops.{folder}")
        table: dict[str, Callable[..., Any]] = {}
        for file in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{file.name}")
            for name, function in getattr(module, "OPERATIONS", {}).items():
                if table.setdefault(name, function) is not function:
                    raise ValueError(f"two files of {folder} have {name}")
        _tables[folder] = table
    return _tables[folder]
