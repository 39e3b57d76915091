"""Write a Keras layer once; it builds the same on every Keras, from 2.12 to nightly.

Importing this package imports no Keras and nothing heavy: each public name is loaded on first use.
"""

from __future__ import annotations

__version__ = "0.1.0.dev0"

TYPE_CHECKING = False  # type checkers take it for true; `typing` itself would cost more than this package
if TYPE_CHECKING:
    from keras_buildfix.affected import affected_layers as affected_layers
    from keras_buildfix.build import DeferredBuildMixin as DeferredBuildMixin
    from keras_buildfix.build import deferred_build as deferred_build
    from keras_buildfix.build import mark_built as mark_built
    from keras_buildfix.build import reset_built as reset_built
    from keras_buildfix.info import KerasInfo as KerasInfo
    from keras_buildfix.info import keras_info as keras_info
    from keras_buildfix.installing import install as install
    from keras_buildfix.installing import installed as installed
    from keras_buildfix.installing import uninstall as uninstall
    from keras_buildfix.skipped import SkippedBuild as SkippedBuild
    from keras_buildfix.skipped import skipped_builds as skipped_builds

_HOME = {
    "DeferredBuildMixin": "build",
    "KerasInfo": "info",
    "SkippedBuild": "skipped",
    "affected_layers": "affected",
    "deferred_build": "build",
    "install": "installing",
    "installed": "installing",
    "keras_info": "info",
    "mark_built": "build",
    "reset_built": "build",
    "skipped_builds": "skipped",
    "uninstall": "installing",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
