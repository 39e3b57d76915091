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
    from keras_buildfix.extra_weights import ExtraWeightsMixin as ExtraWeightsMixin
    from keras_buildfix.extra_weights import lost_weights as lost_weights
    from keras_buildfix.info import KerasInfo as KerasInfo
    from keras_buildfix.info import keras_info as keras_info
    from keras_buildfix.installing import install as install
    from keras_buildfix.installing import installed as installed
    from keras_buildfix.installing import uninstall as uninstall
    from keras_buildfix.sharing import share_weights as share_weights
    from keras_buildfix.skipped import SkippedBuild as SkippedBuild
    from keras_buildfix.skipped import skipped_builds as skipped_builds
    from keras_buildfix.weight_diff import WeightDiff as WeightDiff
    from keras_buildfix.weight_diff import diff_weights as diff_weights
    from keras_buildfix.weight_files import WeightFile as WeightFile
    from keras_buildfix.weight_files import convert_weights as convert_weights
    from keras_buildfix.weight_files import read_weights as read_weights
    from keras_buildfix.weight_names import named_weights as named_weights
    from keras_buildfix.weight_report import SkippedWeight as SkippedWeight
    from keras_buildfix.weight_report import WeightReport as WeightReport
    from keras_buildfix.weights import get_weights as get_weights
    from keras_buildfix.weights import load_weights as load_weights
    from keras_buildfix.weights import save_weights as save_weights
    from keras_buildfix.weights import set_weights as set_weights
    from keras_buildfix.weights import transfer_weights as transfer_weights

_HOME = {
    "DeferredBuildMixin": "build",
    "ExtraWeightsMixin": "extra_weights",
    "KerasInfo": "info",
    "SkippedBuild": "skipped",
    "SkippedWeight": "weight_report",
    "WeightDiff": "weight_diff",
    "WeightFile": "weight_files",
    "WeightReport": "weight_report",
    "affected_layers": "affected",
    "convert_weights": "weight_files",
    "deferred_build": "build",
    "diff_weights": "weight_diff",
    "get_weights": "weights",
    "install": "installing",
    "installed": "installing",
    "keras_info": "info",
    "load_weights": "weights",
    "lost_weights": "extra_weights",
    "mark_built": "build",
    "named_weights": "weight_names",
    "read_weights": "weight_files",
    "reset_built": "build",
    "save_weights": "weights",
    "set_weights": "weights",
    "share_weights": "sharing",
    "skipped_builds": "skipped",
    "transfer_weights": "weights",
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
