"""Write a Keras layer once; it builds, loads, freezes and runs the same on every Keras.

Write portable layers:
    PortableLayerMixin       all of the mixins below at once; your methods may have any Keras's signatures
    raw_weight               makes a raw variable a weight of its layer: trained and saved
    TFFunctionMixin          makes a ``call`` under your own ``tf.function`` train
    ops                      the functions of ``keras.ops``, on every Keras
    random                   the functions of ``keras.random``, on every Keras
    Shape                    the shape that ``build`` gets: a tuple, with ``as_list()``
    get_input_shape          the shape of a layer's input, which Keras 3 no longer has as an attribute
    get_output_shape         the shape of its output

Make ``build()`` run:
    deferred_build           above a class: its ``build()`` runs, once, before first use
    DeferredBuildMixin       the same for all subclasses
    install                  does it for classes that can't be edited, in the whole process
    uninstall                takes ``install`` back
    installed                ``install`` for a ``with`` block only
    mark_built               tells Keras that a layer is built
    reset_built              makes Keras build a layer again
    ResetReport              what ``reset_built`` did
    skipped_builds           which builds are skipped, in a class, layer, model, module or package
    SkippedBuild             one skipped build
    explain_layer            who marks the layers of one class as built, on which Keras version
    LayerExplanation         what ``explain_layer`` found
    affected_layers          the built-ins whose subclasses break on a Keras version

Weights and files:
    named_weights            the variables of a layer or model, with the same names on every Keras
    get_weights              the values of its weights, or of a part of them
    set_weights              sets values, by name or order, all or nothing
    transfer_weights         copies values from one layer or model to another
    share_weights            makes a layer use the variables of another
    save_weights             writes a file, whole or not at all
    load_weights             loads a file that any Keras version wrote
    read_weights             looks into a file; needs no Keras
    convert_weights          writes the weights of a file to another format
    diff_weights             what differs between files, layers or models
    lost_weights             what Keras would leave out of a file
    ExtraWeightsMixin        makes Keras save what a subclass adds to a built-in
    WeightReport             what happened to each weight
    SkippedWeight            a weight that did not fit
    SaveReport               what was written
    WeightFile               an open file
    WeightDiff               what ``diff_weights`` found
    BadFileError             raised for a file that can't be read

Train a part:
    freeze                   stops the training of layers or weights, in compiled models too
    unfreeze                 resumes their training
    freeze_up_to             freezes from the first layer up to a named one
    frozen                   freezes for a ``with`` block
    FreezeReport             what these functions changed
    trainable_summary        what is trained and what is frozen, by layer
    TrainableSummary         the table of ``trainable_summary``
    LayerTrainability        a line of that table

Mixed precision:
    MixedPrecisionMixin      one casting rule for ``call`` on every Keras
    mixed_precision_safe     that rule as a decorator
    full_precision           makes a function compute in float32
    safe_call                applies the rule to a call of a layer that can't be edited
    cast_inputs              casts tensors to the dtype in which a layer computes
    compute_dtype            the dtype in which a layer computes
    variable_dtype           the dtype in which a layer keeps its weights
    dtype_policy_scope       sets the policy of new layers for a ``with`` block
    set_dtype_policy         sets the policy of new layers
    get_dtype_policy         the policy that new layers get

Look inside a model:
    layer_state              what a layer holds, and whether one instance may serve several places
    trace_calls              which layer is called how often, from which line, with which shapes
    check_reuse              layers that are shared where they must not be
    independent_copies       layers of the same configuration, with stable names
    intermediate_outputs     the outputs of layers inside a model, by name
    weight_stats             range, mean, spread and bytes of each weight, in a model or file
    check_finite             the first layer whose weights or output hold NaN or Inf
    check_gradients          which weights get no gradient, a zero, huge or vanishing one, and why
    ModelWatch               a callback that stops ``fit`` with such a finding
    LayerState               what ``layer_state`` found
    LayerWeight              a weight in it
    CallTrace                what ``trace_calls`` saw
    LayerCall                a call in it
    ReuseReport              what ``check_reuse`` found
    ReuseFinding             a shared layer in it
    WeightStats              the table of ``weight_stats``
    WeightStatistics         a weight in it
    FiniteReport             what ``check_finite`` found
    NotFinite                an array with NaN or Inf
    GradientReport           what ``check_gradients`` found
    WeightGradient           the gradient of a weight
    plot_weights             histograms of weights, by layer
    plot_gradients           the norms of gradients, by depth
    plot_calls               a picture of the calls, with shared layers marked
    plot_affected_layers     the built-ins that break, over the Keras versions

Hand a model on:
    export_saved_model       writes a directory for TensorFlow, with a signature, on every Keras
    export_tflite            writes a model for TensorFlow Lite
    ExportReport             what they wrote
    ExportedTensor           an input or output in it

Which Keras:
    keras_info               the Keras of an object, or of the process
    KerasInfo                its package, version, generation and backend

Importing this package imports no Keras and nothing heavy: each public name is loaded on first use.
(To pytest: PYTEST_DONT_REWRITE, or it warns when this package was imported before its plugin.)
"""

from __future__ import annotations

__version__ = "0.1.0.dev0"

TYPE_CHECKING = False  # type checkers take it for true; `typing` itself would cost more than this package
if TYPE_CHECKING:
    from keras_buildfix import ops as ops
    from keras_buildfix import random as random
    from keras_buildfix._keras.info import KerasInfo as KerasInfo
    from keras_buildfix._keras.info import keras_info as keras_info
    from keras_buildfix.building.affected import affected_layers as affected_layers
    from keras_buildfix.building.deferred import DeferredBuildMixin as DeferredBuildMixin
    from keras_buildfix.building.deferred import deferred_build as deferred_build
    from keras_buildfix.building.explain import LayerExplanation as LayerExplanation
    from keras_buildfix.building.explain import explain_layer as explain_layer
    from keras_buildfix.building.installing import install as install
    from keras_buildfix.building.installing import installed as installed
    from keras_buildfix.building.installing import uninstall as uninstall
    from keras_buildfix.building.mark_built import mark_built as mark_built
    from keras_buildfix.building.skipped import SkippedBuild as SkippedBuild
    from keras_buildfix.building.skipped import skipped_builds as skipped_builds
    from keras_buildfix.exporting.report import ExportedTensor as ExportedTensor
    from keras_buildfix.exporting.report import ExportReport as ExportReport
    from keras_buildfix.exporting.saved_model import export_saved_model as export_saved_model
    from keras_buildfix.exporting.tflite import export_tflite as export_tflite
    from keras_buildfix.extra_weights.mixin import ExtraWeightsMixin as ExtraWeightsMixin
    from keras_buildfix.freezing.freezing import freeze as freeze
    from keras_buildfix.freezing.freezing import freeze_up_to as freeze_up_to
    from keras_buildfix.freezing.freezing import frozen as frozen
    from keras_buildfix.freezing.freezing import unfreeze as unfreeze
    from keras_buildfix.freezing.summary import FreezeReport as FreezeReport
    from keras_buildfix.freezing.summary import LayerTrainability as LayerTrainability
    from keras_buildfix.freezing.summary import TrainableSummary as TrainableSummary
    from keras_buildfix.freezing.summary import trainable_summary as trainable_summary
    from keras_buildfix.inspection.calls import CallTrace as CallTrace
    from keras_buildfix.inspection.calls import LayerCall as LayerCall
    from keras_buildfix.inspection.calls import trace_calls as trace_calls
    from keras_buildfix.inspection.copies import independent_copies as independent_copies
    from keras_buildfix.inspection.finite import FiniteReport as FiniteReport
    from keras_buildfix.inspection.finite import NotFinite as NotFinite
    from keras_buildfix.inspection.finite import check_finite as check_finite
    from keras_buildfix.inspection.gradients import GradientReport as GradientReport
    from keras_buildfix.inspection.gradients import WeightGradient as WeightGradient
    from keras_buildfix.inspection.gradients import check_gradients as check_gradients
    from keras_buildfix.inspection.outputs import intermediate_outputs as intermediate_outputs
    from keras_buildfix.inspection.plotting import plot_affected_layers as plot_affected_layers
    from keras_buildfix.inspection.plotting import plot_calls as plot_calls
    from keras_buildfix.inspection.plotting import plot_gradients as plot_gradients
    from keras_buildfix.inspection.plotting import plot_weights as plot_weights
    from keras_buildfix.inspection.reuse import ReuseFinding as ReuseFinding
    from keras_buildfix.inspection.reuse import ReuseReport as ReuseReport
    from keras_buildfix.inspection.reuse import check_reuse as check_reuse
    from keras_buildfix.inspection.state import LayerState as LayerState
    from keras_buildfix.inspection.state import LayerWeight as LayerWeight
    from keras_buildfix.inspection.state import layer_state as layer_state
    from keras_buildfix.inspection.statistics import WeightStatistics as WeightStatistics
    from keras_buildfix.inspection.statistics import WeightStats as WeightStats
    from keras_buildfix.inspection.statistics import weight_stats as weight_stats
    from keras_buildfix.inspection.watch import ModelWatch as ModelWatch
    from keras_buildfix.portable.known_shapes import get_input_shape as get_input_shape
    from keras_buildfix.portable.known_shapes import get_output_shape as get_output_shape
    from keras_buildfix.portable.mixin import PortableLayerMixin as PortableLayerMixin
    from keras_buildfix.portable.plain_shapes import Shape as Shape
    from keras_buildfix.portable.raw_variables import raw_weight as raw_weight
    from keras_buildfix.portable.tf_function import TFFunctionMixin as TFFunctionMixin
    from keras_buildfix.precision.calls import MixedPrecisionMixin as MixedPrecisionMixin
    from keras_buildfix.precision.calls import mixed_precision_safe as mixed_precision_safe
    from keras_buildfix.precision.calls import safe_call as safe_call
    from keras_buildfix.precision.casting import cast_inputs as cast_inputs
    from keras_buildfix.precision.casting import compute_dtype as compute_dtype
    from keras_buildfix.precision.casting import variable_dtype as variable_dtype
    from keras_buildfix.precision.in_float32 import full_precision as full_precision
    from keras_buildfix.precision.policies import dtype_policy_scope as dtype_policy_scope
    from keras_buildfix.precision.policies import get_dtype_policy as get_dtype_policy
    from keras_buildfix.precision.policies import set_dtype_policy as set_dtype_policy
    from keras_buildfix.weight_files.converting import convert_weights as convert_weights
    from keras_buildfix.weight_files.formats._bytes import BadFileError as BadFileError
    from keras_buildfix.weight_files.reading import WeightFile as WeightFile
    from keras_buildfix.weight_files.reading import read_weights as read_weights
    from keras_buildfix.weights.comparing import WeightDiff as WeightDiff
    from keras_buildfix.weights.comparing import diff_weights as diff_weights
    from keras_buildfix.weights.losing import lost_weights as lost_weights
    from keras_buildfix.weights.reading import get_weights as get_weights
    from keras_buildfix.weights.reading import named_weights as named_weights
    from keras_buildfix.weights.rebuilding import ResetReport as ResetReport
    from keras_buildfix.weights.rebuilding import reset_built as reset_built
    from keras_buildfix.weights.report import SaveReport as SaveReport
    from keras_buildfix.weights.report import SkippedWeight as SkippedWeight
    from keras_buildfix.weights.report import WeightReport as WeightReport
    from keras_buildfix.weights.saving import save_weights as save_weights
    from keras_buildfix.weights.setting import load_weights as load_weights
    from keras_buildfix.weights.setting import set_weights as set_weights
    from keras_buildfix.weights.setting import transfer_weights as transfer_weights
    from keras_buildfix.weights.sharing import share_weights as share_weights

_HOME = {
    "BadFileError": "weight_files.formats._bytes",
    "CallTrace": "inspection.calls",
    "DeferredBuildMixin": "building.deferred",
    "ExportReport": "exporting.report",
    "ExportedTensor": "exporting.report",
    "ExtraWeightsMixin": "extra_weights.mixin",
    "FiniteReport": "inspection.finite",
    "FreezeReport": "freezing.summary",
    "GradientReport": "inspection.gradients",
    "KerasInfo": "_keras.info",
    "LayerCall": "inspection.calls",
    "LayerExplanation": "building.explain",
    "LayerState": "inspection.state",
    "LayerTrainability": "freezing.summary",
    "LayerWeight": "inspection.state",
    "MixedPrecisionMixin": "precision.calls",
    "ModelWatch": "inspection.watch",
    "NotFinite": "inspection.finite",
    "PortableLayerMixin": "portable.mixin",
    "ResetReport": "weights.rebuilding",
    "ReuseFinding": "inspection.reuse",
    "ReuseReport": "inspection.reuse",
    "SaveReport": "weights.report",
    "Shape": "portable.plain_shapes",
    "SkippedBuild": "building.skipped",
    "SkippedWeight": "weights.report",
    "TFFunctionMixin": "portable.tf_function",
    "TrainableSummary": "freezing.summary",
    "WeightDiff": "weights.comparing",
    "WeightFile": "weight_files.reading",
    "WeightGradient": "inspection.gradients",
    "WeightReport": "weights.report",
    "WeightStatistics": "inspection.statistics",
    "WeightStats": "inspection.statistics",
    "affected_layers": "building.affected",
    "cast_inputs": "precision.casting",
    "check_finite": "inspection.finite",
    "check_gradients": "inspection.gradients",
    "check_reuse": "inspection.reuse",
    "compute_dtype": "precision.casting",
    "convert_weights": "weight_files.converting",
    "deferred_build": "building.deferred",
    "diff_weights": "weights.comparing",
    "dtype_policy_scope": "precision.policies",
    "explain_layer": "building.explain",
    "export_saved_model": "exporting.saved_model",
    "export_tflite": "exporting.tflite",
    "freeze": "freezing.freezing",
    "freeze_up_to": "freezing.freezing",
    "frozen": "freezing.freezing",
    "full_precision": "precision.in_float32",
    "get_dtype_policy": "precision.policies",
    "get_input_shape": "portable.known_shapes",
    "get_output_shape": "portable.known_shapes",
    "get_weights": "weights.reading",
    "independent_copies": "inspection.copies",
    "install": "building.installing",
    "installed": "building.installing",
    "intermediate_outputs": "inspection.outputs",
    "keras_info": "_keras.info",
    "layer_state": "inspection.state",
    "load_weights": "weights.setting",
    "lost_weights": "weights.losing",
    "mark_built": "building.mark_built",
    "mixed_precision_safe": "precision.calls",
    "named_weights": "weights.reading",
    "ops": "ops",
    "plot_affected_layers": "inspection.plotting",
    "plot_calls": "inspection.plotting",
    "plot_gradients": "inspection.plotting",
    "plot_weights": "inspection.plotting",
    "random": "random",
    "raw_weight": "portable.raw_variables",
    "read_weights": "weight_files.reading",
    "reset_built": "weights.rebuilding",
    "safe_call": "precision.calls",
    "save_weights": "weights.saving",
    "set_dtype_policy": "precision.policies",
    "set_weights": "weights.setting",
    "share_weights": "weights.sharing",
    "skipped_builds": "building.skipped",
    "trace_calls": "inspection.calls",
    "trainable_summary": "freezing.summary",
    "transfer_weights": "weights.setting",
    "unfreeze": "freezing.freezing",
    "uninstall": "building.installing",
    "variable_dtype": "precision.casting",
    "weight_stats": "inspection.statistics",
}

__all__ = sorted(_HOME)


if not TYPE_CHECKING:  # with this in view, a type checker would accept every name, wrong ones too

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        module = importlib.import_module(f"{__name__}.{_HOME[name]}")
        value = module if name in ("ops", "random") else getattr(module, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *_HOME})
