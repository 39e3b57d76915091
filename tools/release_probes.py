"""Small things that authors of subclasses do with plain Keras; each says in a few words what happens.

A probe is a function `probe(keras)`. `PROBES` has them all, each with its words and what to do where it changed.
"""

# ruff: noqa: D103 - the words of a probe say what it does

from __future__ import annotations

import copy
import inspect
import os
import pickle
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, NamedTuple

import numpy as np


class Probe(NamedTuple):
    """What a probe does, in words; the function; and what to do where the outcome has changed."""

    words: str
    run: Callable[[Any], str]
    fix: str


PROBES: dict[str, Probe] = {}
X = np.ones((2, 3), "float32")
IMAGE = np.ones((1, 4, 4, 3), "float32")


def probe(words: str, fix: str) -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
    """Puts a function into `PROBES`."""

    def register(run: Callable[[Any], str]) -> Callable[[Any], str]:
        PROBES[run.__name__] = Probe(words, run, fix)
        return run

    return register


def outcomes(keras: Any) -> dict[str, str]:
    """What all probes say on this Keras."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, each in PROBES.items():
            try:
                found[name] = each.run(keras)
            except Exception as error:
                found[name] = f"raises {type(error).__name__}"
    return found


def backend(keras: Any) -> str:
    """The name of Keras's backend."""
    return keras.backend.backend()


def has(owner: Any, name: str) -> str:
    """Whether there is an attribute."""
    return "there" if hasattr(owner, name) else "not there"


def accepts(run: Callable[..., Any], *args: Any, **options: Any) -> str:
    """Says "works" if a call raises nothing."""
    run(*args, **options)
    return "works"


@contextmanager
def folder() -> Iterator[str]:
    """A new folder, for files."""
    with tempfile.TemporaryDirectory() as path:
        yield path


# --- Builds that are skipped ----------------------------------------------------------------------

SKIPPED = "[`deferred_build`](building.md#decorate-a-class-or-inherit) above the class"


def _add_build_probes() -> None:
    classes = {
        "Dropout": (X, 0.5),
        "Softmax": (X,),
        "Discretization": (X, [0.5]),
        "MaxPooling2D": (IMAGE,),
        "Activation": (X, "relu"),
        "ReLU": (X,),
        "Identity": (X,),
        "Reshape": (X, (3, 1)),
    }
    for name, (x, *args) in classes.items():

        def run(keras: Any, name: str = name, x: Any = x, args: Any = args) -> str:
            ran = []

            def build(self: Any, shape: Any) -> None:
                ran.append(shape)
                base.build(self, shape)

            base = getattr(keras.layers, name)
            type("Sub", (base,), {"build": build})(*args)(x)
            return {0: "skipped", 1: "runs"}.get(len(ran), "runs twice")

        PROBES[f"build_{name}"] = Probe(f"`build` of a subclass of `{name}`", run, SKIPPED)


_add_build_probes()


@probe("`build` without `super().build`, called before the first call: how often it runs", SKIPPED)
def build_twice(keras: Any) -> str:
    ran = []

    class Sub(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            ran.append(shape)

        def call(self, x: Any) -> Any:
            return x

    layer = Sub()
    layer.build((2, 3))
    layer(X)
    return {1: "once", 2: "twice"}[len(ran)]


@probe(
    "a subclass of `Dropout` without `build` makes a weight in `__init__`, after `super().__init__()`",
    SKIPPED + "; see [the error](by_error_message.md#you-cannot-add-new-elements-of-state-variables-or-sub-layers-to-a"
    "-layer-that-is-already-built)",
)
def state_in_init(keras: Any) -> str:
    class Sub(keras.layers.Dropout):
        def __init__(self) -> None:
            super().__init__(0.5)
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    return accepts(Sub)


@probe("a layer makes a weight in its first `call`", "make it in `build`")
def weight_in_call(keras: Any) -> str:
    class Late(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            if not hasattr(self, "scale"):
                self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
            return x * self.scale

    return accepts(Late(), X)


@probe("an attribute that is a layer is set after the first call", "set it in `__init__` or `build`")
def layer_after_call(keras: Any) -> str:
    layer = one_weight(keras)()
    layer(X)
    layer.other = keras.layers.Dense(1)
    return "works"


def one_weight(keras: Any) -> Any:
    """A class of layers with one weight."""

    class One(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
            self.built = True

        def call(self, x: Any) -> Any:
            return x * self.scale

    return One


# --- add_weight -----------------------------------------------------------------------------------

KEYWORDS = (
    "give `name=` and `shape=` as keywords, or [`PortableLayerMixin`](portable_layers.md); see "
    "[the errors](by_error_message.md#could-not-interpret-initializer-identifier)"
)


def _add_weight_probes() -> None:
    ways: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
        "name_first": ('`add_weight("w", (3,))`', ("w", (3,)), {}),
        "shape_first": ("`add_weight((3,))`", ((3,),), {}),
        "shape_and_string": ('`add_weight((3,), "zeros")`', ((3,), "zeros"), {}),
        "int_shape": ('`add_weight(name="w", shape=3)`', (), {"name": "w", "shape": 3}),
        "experimental": (
            "`add_weight(..., experimental_autocast=False)`",
            (),
            {"name": "w", "shape": (3,), "experimental_autocast": False},
        ),
        "autocast": ("`add_weight(..., autocast=False)`", (), {"name": "w", "shape": (3,), "autocast": False}),
        "resource": ("`add_weight(..., use_resource=True)`", (), {"name": "w", "shape": (3,), "use_resource": True}),
        "aggregation": (
            '`add_weight(..., aggregation="mean")`',
            (),
            {"name": "w", "shape": (3,), "aggregation": "mean"},
        ),
    }
    for key, (words, args, options) in ways.items():

        def run(keras: Any, args: Any = args, options: Any = options) -> str:
            return accepts(keras.layers.Layer().add_weight, *args, **options)

        PROBES[f"add_weight_{key}"] = Probe(words, run, FIXES.get(key, KEYWORDS))


FIXES = {
    "int_shape": "write `shape=(3,)`",
    "experimental": "leave it out; see [the error](by_error_message.md#add_weight-got-an-unexpected-keyword-argument)",
    "resource": "leave it out; see [the error](by_error_message.md#add_weight-got-an-unexpected-keyword-argument)",
    "aggregation": "leave it out",
}
_add_weight_probes()


# --- Shapes ---------------------------------------------------------------------------------------

SHAPES = "[`PortableLayerMixin`](portable_layers.md), or `tuple(shape)`"


def built_with(keras: Any, x: Any) -> Any:
    """What `build` receives for an input."""
    got = []

    class Sub(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            got.append(shape)
            self.built = True

        def call(self, x: Any) -> Any:
            return x

    Sub()(x)
    return got[0]


@probe("what `build` receives for a tensor", SHAPES)
def shape_type(keras: Any) -> str:
    return type(built_with(keras, keras.Input((3,)))).__name__


@probe("what `build` receives for a list of tensors", SHAPES)
def shapes_type(keras: Any) -> str:
    shapes = built_with(keras, [keras.Input((3,)), keras.Input((3,))])
    return f"{type(shapes).__name__} of {type(shapes[0]).__name__}"


@probe("`build(self, a_shape, b_shape)` for `call(self, a, b)`", "take one list: `call(self, inputs)`")
def two_shapes(keras: Any) -> str:
    class Sub(keras.layers.Layer):
        def build(self, a_shape: Any, b_shape: Any) -> None:
            self.built = True

        def call(self, a: Any, b: Any) -> Any:
            return a + b

    return accepts(Sub(), X, X)


@probe("`layer.input_shape` after a call in a model", "[`get_input_shape`](portable_layers.md)")
def input_shape(keras: Any) -> str:
    layer = keras.layers.Dense(2)
    layer(keras.Input((3,)))
    return has(layer, "input_shape")


@probe("what `Dense.compute_output_shape` returns", SHAPES)
def output_shape(keras: Any) -> str:
    return type(keras.layers.Dense(2).compute_output_shape((4, 3))).__name__


@probe("type of `weight.shape`", SHAPES)
def weight_shape(keras: Any) -> str:
    return type(keras.layers.Layer().add_weight(name="w", shape=(3,)).shape).__name__


@probe("`layer([1.0, 2.0, 3.0])`, a Python list", "give an array")
def python_list(keras: Any) -> str:
    return accepts(one_weight(keras)(), [1.0, 2.0, 3.0])


# --- Weights --------------------------------------------------------------------------------------


def named(keras: Any) -> Any:
    """A built Dense layer called "d"."""
    layer = keras.layers.Dense(2, name="d")
    layer.build((None, 3))
    return layer


@probe("name of the kernel of a `Dense`", "[`named_weights`](weights.md#names)")
def weight_name(keras: Any) -> str:
    layer = keras.layers.Dense(2, name="d")
    layer(X)
    return f"`{layer.kernel.name}`"


@probe("`weight.path`", "[`named_weights`](weights.md#names)")
def weight_path(keras: Any) -> str:
    return has(named(keras).kernel, "path")


@probe("type of `weight.dtype`", "[`variable_dtype`](mixed_precision.md) of the layer is a string on every Keras")
def weight_dtype(keras: Any) -> str:
    return type(named(keras).kernel.dtype).__name__


@probe("`weight.value`", "don't call it: use the weight itself as a tensor")
def weight_value(keras: Any) -> str:
    return "a method" if callable(named(keras).kernel.value) else "a property"


@probe("`weight.trainable = False`", "[`freeze`](freezing.md)")
def weight_flag(keras: Any) -> str:
    named(keras).kernel.trainable = False
    return "works"


@probe("`layer.kernel = ...` in a subclass of `Dense`", "choose another name")
def kernel_setter(keras: Any) -> str:
    class Sub(keras.layers.Dense):
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(name="kernel", shape=(3, 2))

    return accepts(Sub(2).build, (None, 3))


@probe("order of `weights`: an own non-trainable weight, then a `Dense`", "[`named_weights`](weights.md#names)")
def weight_order(keras: Any) -> str:
    class Sub(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.state = self.add_weight(name="state", shape=(), trainable=False)
            self.dense = keras.layers.Dense(2)
            self.dense.build(shape)
            self.built = True

    layer = Sub()
    layer.build((None, 3))
    return ", ".join(each.name.rpartition("/")[2].partition(":")[0] for each in layer.weights)


@probe("a `tf.Variable` in an attribute", "[`raw_weight`](by_error_message.md#a-tfvariable-is-never-trained-or-saved)")
def raw_variable(keras: Any) -> str:
    if backend(keras) != "tensorflow":
        return "-"
    layer = keras.layers.Layer()
    layer.scale = sys.modules["tensorflow"].Variable([1.0])
    return "a weight" if layer.weights else "no weight"


@probe("variables of a `Dropout`", "compare [`weights`](weights.md#names), not `variables`")
def seed_state(keras: Any) -> str:
    return str(len(keras.layers.Dropout(0.5, seed=1).variables))


@probe("dtype of the state of a `SeedGenerator`", "don't rely on it")
def seed_dtype(keras: Any) -> str:
    if not hasattr(getattr(keras, "random", None), "SeedGenerator"):
        return "not there"
    return str(keras.backend.standardize_dtype(keras.random.SeedGenerator(1).state.dtype))


# --- Configs, copies, files -----------------------------------------------------------------------


@probe('type of `get_config()["dtype"]`', "give it to `super().__init__` as it is")
def config_dtype(keras: Any) -> str:
    return type(keras.layers.Dense(1).get_config()["dtype"]).__name__


@probe("keys in `Dense(1).get_config()`", "take unknown keys with `**kwargs`")
def config_keys(keras: Any) -> str:
    return str(len(keras.layers.Dense(1).get_config()))


@probe(
    "`copy.deepcopy` of a built layer of a class that is not registered",
    "`@keras.utils.register_keras_serializable()`; on 3.0 make a layer with `from_config`, build it, set its weights",
)
def deep_copy(keras: Any) -> str:
    layer = one_weight(keras)()
    layer(X)
    return f"{len(copy.deepcopy(layer).weights)} of 1 weights"


@probe("`pickle` of a built `Dense`", "make a layer with `from_config`, build it, and set its weights")
def pickled(keras: Any) -> str:
    return f"{len(pickle.loads(pickle.dumps(named(keras))).weights)} of 2 weights"


def _add_file_probes() -> None:
    for name, shape, args in (("Dense", (3,), (2,)), ("Conv2D", (4, 4, 3), (2, 2))):

        def run(keras: Any, name: str = name, shape: Any = shape, args: Any = args) -> str:
            def build(self: Any, shape: Any) -> None:
                base.build(self, shape)
                self.extra = self.add_weight(name="extra", shape=(), initializer="ones")

            base = getattr(keras.layers, name)
            model = keras.Sequential([keras.Input(shape), type("Sub", (base,), {"build": build})(*args)])
            with folder() as path:
                model.save_weights(f"{path}/a.weights.h5")
                model.load_weights(f"{path}/a.weights.h5")
            return "works"

        fix = "[`ExtraWeightsMixin`](by_error_message.md#a-file-of-weights-lacks-the-weights-that-a-subclass-adds)"
        PROBES[f"extra_{name}"] = Probe(f"a subclass of `{name}` with one more weight: save and load weights", run, fix)


_add_file_probes()
SAVE = "[`save_weights`](weight_files.md)"


def saving(keras: Any, method: str, name: str, **options: Any) -> str:
    """Whether a model can be written to such a name; what is read back goes through `load_weights`."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with folder() as path:
        file = os.path.join(path, name)
        getattr(model, method)(file)
        if options:
            model.load_weights(file, **options)
    return "works"


@probe('`save_weights("a.h5")`', SAVE)
def weights_h5(keras: Any) -> str:
    return saving(keras, "save_weights", "a.h5")


@probe('`save_weights("a")`', SAVE)
def weights_no_suffix(keras: Any) -> str:
    return saving(keras, "save_weights", "a")


@probe('`load_weights("a.weights.h5", by_name=True)`', "[`load_weights`](weight_files.md)")
def by_name(keras: Any) -> str:
    return saving(keras, "save_weights", "a.weights.h5", by_name=True)


@probe('`save("a")`, a SavedModel', "[`export_saved_model`](exporting.md)")
def saved_model(keras: Any) -> str:
    return saving(keras, "save", "a")


# --- Calls ----------------------------------------------------------------------------------------

CAST = "[`MixedPrecisionMixin`](mixed_precision.md)"


def seen_dtype(keras: Any, way: str, x: Any) -> str:
    """The dtype that `call` sees under mixed precision."""
    got = []

    class Sub(keras.layers.Layer):
        def call(self, a: Any, b: Any = None) -> Any:
            got.append(a if b is None else b)
            return a

    layer = Sub(dtype="mixed_float16")
    {"first": lambda: layer(x), "second": lambda: layer(X, x), "keyword": lambda: layer(X, b=x)}[way]()
    return str(got[0].dtype).replace("torch.", "").replace("<dtype: '", "").replace("'>", "")


@probe("mixed float16: dtype of the second positional argument in `call`", CAST)
def cast_second(keras: Any) -> str:
    return seen_dtype(keras, "second", keras.layers.Flatten()(X))


@probe("mixed float16: dtype of a keyword argument in `call`", CAST)
def cast_keyword(keras: Any) -> str:
    return seen_dtype(keras, "keyword", keras.layers.Flatten()(X))


@probe("mixed float16: dtype of a numpy int32 array in `call`", "[`MixedPrecisionMixin`](mixed_precision.md)")
def cast_ints(keras: Any) -> str:
    return seen_dtype(keras, "first", np.ones((2, 3), "int32"))


@probe("`layer.compute_mask(x, mask)` of such a layer", "set `self.supports_masking = True`, or override it")
def compute_mask(keras: Any) -> str:
    mask = np.ones((2, 3), "bool")
    found = keras.layers.Layer().compute_mask(X, mask)
    return "None" if found is None else "the mask"


@probe("`activity_regularizer` of ones, batch of 2: `losses[0]`", "scale the factor")
def activity_loss(keras: Any) -> str:
    layer = keras.layers.Dense(
        3, kernel_initializer="zeros", bias_initializer="ones", activity_regularizer=keras.regularizers.L2(1.0)
    )
    layer(X)
    return f"{float(layer.losses[0]):.1f}"


@probe("a raw backend function on `keras.Input`", "call it in a layer's `call`, or use [`ops`](ops.md)")
def raw_function(keras: Any) -> str:
    name = {"jax": "jax", "torch": "torch", "tensorflow": "tensorflow", "numpy": "numpy"}[backend(keras)]
    module = sys.modules["jax"].numpy if name == "jax" else sys.modules[name]
    return accepts(module.square, keras.Input((3,)))


# --- Constructors and names -----------------------------------------------------------------------


def _add_constructor_probes() -> None:
    options: dict[str, tuple[Any, str]] = {
        "dynamic": (True, "leave it out"),
        "weights": ([], "[`set_weights`](weights.md#set) after the build"),
        "batch_size": (2, "begin with `keras.Input`"),
    }
    for name, (value, fix) in options.items():

        def run(keras: Any, name: str = name, value: Any = value) -> str:
            return accepts(keras.layers.Layer, **{name: value})

        PROBES[f"init_{name}"] = Probe(f"`Layer({name}={value})`", run, fix)


_add_constructor_probes()


@probe("an attribute that is a layer is set before `super().__init__()`", "call `super().__init__()` first")
def before_super(keras: Any) -> str:
    class Sub(keras.layers.Layer):
        def __init__(self) -> None:
            self.part = keras.layers.Dense(1)
            super().__init__()

    return accepts(Sub)


@probe("`self.path = ...` in `__init__`", "choose another name")
def set_path(keras: Any) -> str:
    class Sub(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.path = "here"

    return accepts(Sub)


@probe("arguments of `SimpleRNNCell.get_initial_state`", "override it with `batch_size=None, **kwargs`")
def initial_state(keras: Any) -> str:
    return ", ".join(list(inspect.signature(keras.layers.SimpleRNNCell.get_initial_state).parameters)[1:])


@probe("`keras.optimizers.legacy.SGD()`", "take the class from `keras.optimizers`")
def legacy_optimizer(keras: Any) -> str:
    return accepts(keras.optimizers.legacy.SGD)


def _add_name_probes() -> None:
    names = {
        "ops": "[`ops`](ops.md)",
        "Layer": "write `keras.layers.Layer`",
        "Variable": "`add_weight`",
        "KerasTensor": "`keras.backend.is_keras_tensor`",
        "backend.sum": "[`ops`](upgrading.md)",
        "backend.learning_phase": "the argument `training` of `call`",
        "layers.Layer.add_update": "assign in `call`",
        "layers.Layer.dynamic": "leave it out",
        "layers.Layer.compute_output_spec": "write `compute_output_shape`",
        "layers.Layer.quantize": "test with `hasattr`",
        "layers.Layer.rematerialized_call": "test with `hasattr`",
        "layers.LocallyConnected1D": "see [upgrading](upgrading.md#nothing-of-this-kind)",
        "layers.ThresholdedReLU": "`ReLU(threshold=...)`",
        "layers.experimental": "take the class from `keras.layers`",
        "optimizers.Optimizer.lr": "write `learning_rate`",
        "dtype_policies": "`keras.mixed_precision`",
        "config": "`floatx`, `epsilon` and `image_data_format` are in `keras.backend` on every Keras",
    }
    for name, fix in names.items():

        def run(keras: Any, name: str = name) -> str:
            owner: Any = keras
            *parents, last = name.split(".")
            for parent in parents:
                owner = getattr(owner, parent, None)
            return has(owner, last)

        PROBES[f"name_{name}"] = Probe(f"`keras.{name}`", run, fix)


_add_name_probes()


def public(module: Any) -> list[str]:
    """The public names of a module that are no modules."""
    return [n for n in dir(module) if n[0] != "_" and not isinstance(getattr(module, n), types.ModuleType)]


@probe("number of names in `keras.ops`", "[`ops`](ops.md)")
def number_of_ops(keras: Any) -> str:
    return str(len(public(keras.ops))) if hasattr(keras, "ops") else "0"


@probe("number of names in `keras.layers`", "test with `hasattr`")
def number_of_layers(keras: Any) -> str:
    return str(len(public(keras.layers)))
