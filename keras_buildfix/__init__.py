"""Write a Keras layer once; it builds, loads, freezes and runs the same on every Keras.

Importing this package imports no Keras and nothing heavy: each public name is loaded on first use.
"""

from __future__ import annotations

__version__ = "0.1.0.dev0"

TYPE_CHECKING = False  # type checkers take it for true; `typing` itself would cost more than this package
if TYPE_CHECKING:
    from keras_buildfix.affected import affected_layers as affected_layers
    from keras_buildfix.build import DeferredBuildMixin as DeferredBuildMixin
    from keras_buildfix.build import deferred_build as deferred_build
    from keras_buildfix.casting import cast_inputs as cast_inputs
    from keras_buildfix.casting import compute_dtype as compute_dtype
    from keras_buildfix.casting import variable_dtype as variable_dtype
    from keras_buildfix.extra_weights import ExtraWeightsMixin as ExtraWeightsMixin
    from keras_buildfix.formats._bytes import BadFileError as BadFileError
    from keras_buildfix.freezing import freeze as freeze
    from keras_buildfix.freezing import freeze_up_to as freeze_up_to
    from keras_buildfix.freezing import frozen as frozen
    from keras_buildfix.freezing import unfreeze as unfreeze
    from keras_buildfix.info import KerasInfo as KerasInfo
    from keras_buildfix.info import keras_info as keras_info
    from keras_buildfix.installing import install as install
    from keras_buildfix.installing import installed as installed
    from keras_buildfix.installing import uninstall as uninstall
    from keras_buildfix.layer_shapes import get_input_shape as get_input_shape
    from keras_buildfix.layer_shapes import get_output_shape as get_output_shape
    from keras_buildfix.losing import lost_weights as lost_weights
    from keras_buildfix.marks import ResetReport as ResetReport
    from keras_buildfix.marks import mark_built as mark_built
    from keras_buildfix.marks import reset_built as reset_built
    from keras_buildfix.own_function import TFFunctionMixin as TFFunctionMixin
    from keras_buildfix.policies import dtype_policy_scope as dtype_policy_scope
    from keras_buildfix.policies import get_dtype_policy as get_dtype_policy
    from keras_buildfix.policies import set_dtype_policy as set_dtype_policy
    from keras_buildfix.portable import PortableLayerMixin as PortableLayerMixin
    from keras_buildfix.precise import full_precision as full_precision
    from keras_buildfix.precision import MixedPrecisionMixin as MixedPrecisionMixin
    from keras_buildfix.precision import mixed_precision_safe as mixed_precision_safe
    from keras_buildfix.precision import safe_call as safe_call
    from keras_buildfix.raw_variables import raw_weight as raw_weight
    from keras_buildfix.sharing import share_weights as share_weights
    from keras_buildfix.skipped import SkippedBuild as SkippedBuild
    from keras_buildfix.skipped import skipped_builds as skipped_builds
    from keras_buildfix.trainable_report import FreezeReport as FreezeReport
    from keras_buildfix.trainable_report import LayerTrainability as LayerTrainability
    from keras_buildfix.trainable_report import TrainableSummary as TrainableSummary
    from keras_buildfix.trainable_report import trainable_summary as trainable_summary
    from keras_buildfix.weight_diff import WeightDiff as WeightDiff
    from keras_buildfix.weight_diff import diff_weights as diff_weights
    from keras_buildfix.weight_files import WeightFile as WeightFile
    from keras_buildfix.weight_files import convert_weights as convert_weights
    from keras_buildfix.weight_files import read_weights as read_weights
    from keras_buildfix.weight_names import named_weights as named_weights
    from keras_buildfix.weight_report import SaveReport as SaveReport
    from keras_buildfix.weight_report import SkippedWeight as SkippedWeight
    from keras_buildfix.weight_report import WeightReport as WeightReport
    from keras_buildfix.weights import get_weights as get_weights
    from keras_buildfix.weights import load_weights as load_weights
    from keras_buildfix.weights import save_weights as save_weights
    from keras_buildfix.weights import set_weights as set_weights
    from keras_buildfix.weights import transfer_weights as transfer_weights

_HOME = {
    "BadFileError": "formats._bytes",
    "DeferredBuildMixin": "build",
    "ExtraWeightsMixin": "extra_weights",
    "FreezeReport": "trainable_report",
    "KerasInfo": "info",
    "LayerTrainability": "trainable_report",
    "MixedPrecisionMixin": "precision",
    "PortableLayerMixin": "portable",
    "ResetReport": "marks",
    "SaveReport": "weight_report",
    "SkippedBuild": "skipped",
    "SkippedWeight": "weight_report",
    "TFFunctionMixin": "own_function",
    "TrainableSummary": "trainable_report",
    "WeightDiff": "weight_diff",
    "WeightFile": "weight_files",
    "WeightReport": "weight_report",
    "affected_layers": "affected",
    "cast_inputs": "casting",
    "compute_dtype": "casting",
    "convert_weights": "weight_files",
    "deferred_build": "build",
    "diff_weights": "weight_diff",
    "dtype_policy_scope": "policies",
    "freeze": "freezing",
    "freeze_up_to": "freezing",
    "frozen": "freezing",
    "full_precision": "precise",
    "get_dtype_policy": "policies",
    "get_input_shape": "layer_shapes",
    "get_output_shape": "layer_shapes",
    "get_weights": "weights",
    "install": "installing",
    "installed": "installing",
    "keras_info": "info",
    "load_weights": "weights",
    "lost_weights": "losing",
    "mark_built": "marks",
    "mixed_precision_safe": "precision",
    "named_weights": "weight_names",
    "raw_weight": "raw_variables",
    "read_weights": "weight_files",
    "reset_built": "marks",
    "safe_call": "precision",
    "save_weights": "weights",
    "set_dtype_policy": "policies",
    "set_weights": "weights",
    "share_weights": "sharing",
    "skipped_builds": "skipped",
    "trainable_summary": "trainable_report",
    "transfer_weights": "weights",
    "unfreeze": "freezing",
    "uninstall": "installing",
    "variable_dtype": "casting",
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
