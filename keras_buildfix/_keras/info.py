"""``keras_info``: which Keras an object belongs to, or which one this process would import; imports nothing."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from packaging.version import Version

from keras_buildfix._keras.classes import PACKAGES, describe, package_of


@dataclass(frozen=True)
class KerasInfo:
    """Which Keras something belongs to, and its backend.

    Attributes:
        package: The package of its classes: ``"keras"`` (Keras 3, and ``tf.keras`` up to TensorFlow 2.15),
            ``"tf_keras"``, or ``"tensorflow.python.keras"``, TensorFlow's old copy.
        version: The version in the package's own files, for example ``"3.16.0.dev2026102704"``.
        generation: 2 or 3.
        backend: ``"tensorflow"``, ``"jax"``, ``"torch"``, ``"numpy"`` or ``"openvino"``.
    """

    package: str
    version: str
    generation: int
    backend: str

    def __str__(self) -> str:
        return f"{self.package} {self.version} on {self.backend}"


def keras_info(obj: object = None) -> KerasInfo:
    """Which Keras an object, class or module belongs to; without one, the Keras that this process has or would import.

    Args:
        obj: A layer, model, optimizer, variable or other object of Keras or of a subclass; a class;
            a module: ``keras``, ``tf.keras``, ``tf_keras``, or one that defines or imports such things.

    Returns:
        The package, its version, generation and backend. Without `obj` nothing is imported. A Keras that
        is not loaded yet is found as ``import`` would find it. Its version comes from its own files (the
        metadata is wrong where keras-nightly is installed over keras), its backend from ``KERAS_BACKEND``
        or ``keras.json``. ``TF_USE_LEGACY_KERAS=1`` means ``tf_keras``, if that is installed.

    Raises:
        TypeError: If `obj` does not belong to a Keras.
        ModuleNotFoundError: Without `obj`, if no Keras is installed.

    Examples:
        >>> import keras
        >>> from keras_buildfix import keras_info
        >>> keras_info(keras.layers.Dense).generation in (2, 3)
        True

    Source: ``tf.keras.__version__`` is missing on TensorFlow 2.13-2.15; measured on each release.
    """
    if obj is not None:
        return _of_package(_package_of(obj))
    for package in _wanted_packages():
        if package in sys.modules:
            return _of_package(package)
    for package in _wanted_packages():
        found = _on_disk(package)
        if found is not None:
            return found
    raise ModuleNotFoundError(
        "No Keras is installed here: neither keras nor tf_keras can be imported by "
        f"{sys.executable}. To start with a light one: `pip install keras jax`, and set KERAS_BACKEND=jax."
    )


def _package_of(obj: object) -> str:
    """The Keras package that an object, class or module belongs to."""
    if inspect.ismodule(obj):
        values = [obj, *(value for value in list(vars(obj).values()) if isinstance(value, (type, ModuleType)))]
    elif inspect.isroutine(obj):
        home = sys.modules.get(getattr(obj, "__module__", None) or "", sys)
        values = [type(getattr(obj, "__self__", None)), home]
    else:
        values = [obj if isinstance(obj, type) else type(obj)]
    for value in values:
        bases = [value.__name__] if inspect.ismodule(value) else [b.__module__ or "" for b in inspect.getmro(value)]
        for name in bases:
            package = package_of(name)
            if package is not None and package in sys.modules:
                return package
    raise TypeError(f"keras_info expects an object, class or module that uses Keras; got {describe(obj)}.")


def _wanted_packages() -> tuple[str, ...]:
    """The Keras packages in the order in which this process would choose them."""
    legacy = os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true")
    return tuple(reversed(PACKAGES)) if legacy else PACKAGES


def _of_package(package: str) -> KerasInfo:
    """The loaded Keras of this name."""
    module = sys.modules[package]
    # TensorFlow's copy stays at 2.6.0 and lost its `__version__` later (TensorFlow 2.13 has it, 2.21 does not).
    version = getattr(module, "__version__", None) or version_in(module.__path__) or "2.6.0"
    asked = getattr(getattr(module, "backend", None), "backend", None)
    return _info(package, version, asked() if asked is not None else _configured_backend())


def _on_disk(package: str) -> KerasInfo | None:
    """The Keras that ``import package`` would load; None if there is none."""
    spec = importlib.util.find_spec(package)
    version = version_in(spec.submodule_search_locations or ()) if spec is not None else None
    return _info(package, version, _configured_backend()) if version is not None else None


def _info(package: str, version: str, backend: str) -> KerasInfo:
    generation = 3 if Version(version).major >= 3 else 2
    return KerasInfo(package, version, generation, backend if generation == 3 else "tensorflow")


def version_in(folders: Iterable[str]) -> str | None:
    """The version in a package's own files: of Keras 3 in ``src/version.py``, of Keras 2 in ``__init__.py``."""
    for folder in folders:
        for name in ("src/version.py", "__init__.py"):
            file = Path(folder, name)
            if file.is_file():
                stated = re.search(r"""^__version__ = ["']([^"']+)["']""", file.read_text("utf-8"), re.MULTILINE)
                if stated is not None:
                    return stated[1]
    return None


def _configured_backend() -> str:
    return configured_backend()[0]


def configured_backend() -> tuple[str, str]:
    """The backend that Keras 3 would use, and what chooses it: ``KERAS_BACKEND``, ``keras.json`` or Keras's default."""
    chosen = os.environ.get("KERAS_BACKEND")
    if chosen:
        return chosen, "KERAS_BACKEND"
    home = os.path.expanduser("~")
    default = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    file = Path(os.path.expanduser(os.environ.get("KERAS_HOME", default)), "keras.json")
    try:
        config = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        config = None
    if isinstance(config, dict) and "backend" in config:
        return str(config["backend"]), str(file)
    return "tensorflow", "the default of Keras"


def installed_backends() -> tuple[str, ...]:
    """The installed backends on which Keras can train; none of them is imported."""
    return tuple(name for name in _TRAINING if is_backend_installed(name))


def is_backend_installed(name: str) -> bool:
    """Whether the package of a backend is installed."""
    if name not in BACKENDS:
        return False
    if sys.modules.get(name) is not None:
        return True
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # somebody, such as a test, has put a fake module in its place
        return False
    return spec is not None and spec.origin is not None  # a folder that an uninstall left behind has no origin


def missing_backend(info: KerasInfo) -> str:
    """If the backend of a Keras is not installed: what is wrong, and what to set. Otherwise an empty text."""
    if info.package in sys.modules or is_backend_installed(info.backend):
        return ""
    others = installed_backends() if info.generation == 3 else ()
    if info.generation == 3 and info.backend not in BACKENDS:
        wrong = f"which is not a backend of Keras ({', '.join(BACKENDS)} are)"
    else:
        wrong = "which is not installed"
    if not others:
        what = "pip install tensorflow" if info.generation == 2 else f"pip install {info.backend}"
        return f"{wrong}: {what}" if info.backend in BACKENDS else f"{wrong}, and none is installed: pip install jax"
    names = ", ".join(others)
    return f"{wrong}; {names} {'is' if len(others) == 1 else 'are'}: set KERAS_BACKEND={others[0]}"


#: The backends of Keras 3; and those that can train, the lightest first.
BACKENDS = ("tensorflow", "jax", "torch", "numpy", "openvino")
_TRAINING = ("jax", "torch", "tensorflow")
