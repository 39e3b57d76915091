"""Subclasses of every built-in that is affected on some Keras, each with a weight made in ``build``.

There are three of each: with the decorator, with the mixin, and with neither (for ``install()``). Each is an
attribute of this module, because pickle and Keras's files look classes up by name.
"""

import concurrent.futures
import contextlib
import importlib.metadata
import types

from environment import INFO, KERAS

from keras_buildfix import DeferredBuildMixin, deferred_build, installed
from keras_buildfix._keras.facts import LOCKED_STATE, SKIPPED_BUILD

layers = KERAS.layers

#: The built-ins without aliases: the arguments to make one, the shape of an input.
ARGUMENTS = {
    "Activation": (("relu",), (4,)),
    "ActivityRegularization": ((), (4,)),
    "AlphaDropout": ((0.5,), (4,)),
    "AveragePooling1D": ((2,), (8, 3)),
    "AveragePooling2D": ((2,), (8, 8, 3)),
    "AveragePooling3D": ((2,), (4, 4, 4, 2)),
    "Discretization": ({"bin_boundaries": [0.0, 0.5], "output_mode": "one_hot", "dtype": "float32"}, (4,)),
    "Dropout": ((0.5,), (4,)),
    "ELU": ((), (4,)),
    "GaussianDropout": ((0.5,), (4,)),
    "GaussianNoise": ((0.1,), (4,)),
    "GlobalAveragePooling1D": ((), (8, 3)),
    "GlobalAveragePooling2D": ((), (8, 8, 3)),
    "GlobalAveragePooling3D": ((), (4, 4, 4, 2)),
    "GlobalMaxPooling1D": ((), (8, 3)),
    "GlobalMaxPooling2D": ((), (8, 8, 3)),
    "GlobalMaxPooling3D": ((), (4, 4, 4, 2)),
    "Identity": ((), (4,)),
    "LeakyReLU": ((), (4,)),
    "Masking": ((), (4, 3)),
    "MaxPooling1D": ((2,), (8, 3)),
    "MaxPooling2D": ((2,), (8, 8, 3)),
    "MaxPooling3D": ((2,), (4, 4, 4, 2)),
    "ReLU": ((), (4,)),
    "Reshape": (((2, 2),), (4,)),
    "Softmax": ((), (4,)),
    "SpatialDropout1D": ((0.5,), (8, 3)),
    "SpatialDropout2D": ((0.5,), (8, 8, 3)),
    "SpatialDropout3D": ((0.5,), (4, 4, 4, 2)),
    "UnitNormalization": ((), (4,)),
}

#: One for each kind of constructor, because the constructor decides how a layer is built: see `kind` in
#: tests/building/test_ways.py.
OF_EACH_KIND = (
    "GaussianNoise",  # 3.0 to 3.2: has a seed, and its constructor does not mark it
    "Activation",  # marks itself, in its own constructor: most layers do
    "Softmax",  # the only one that marks itself on 3.3-3.5
    "MaxPooling2D",  # a private base class marks it
    "GlobalAveragePooling1D",  # the same; and on Keras 2 its build runs twice
    "Dropout",  # has a seed generator by then
    "SpatialDropout1D",  # its base marks it, and the base's base before that
    "Discretization",  # is no plain layer: works on data outside a graph too
    "Reshape",  # marks itself unconditionally; others check something first
    "UnitNormalization",  # on Keras 2 its build runs twice
)


class ScaledMixin:
    """Builds one weight and counts its builds."""

    def build(self, input_shape):
        self.builds = getattr(self, "builds", 0) + 1
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones", dtype="float32")
        super().build(input_shape)

    def call(self, x):
        return super().call(x) * self.scale


class ScaledInputMixin(ScaledMixin):
    """For Discretization, whose output has no gradient: scales its input, and does not call Discretization."""

    def call(self, x):
        return x * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape


class UnmaskedMixin(ScaledInputMixin):
    """For Masking: makes no mask. On JAX Keras 3 keeps masks by the id of a tensor, which another may get later."""

    def compute_mask(self, inputs, mask=None):
        return None


#: Built-ins whose own `call` the subclasses do not use; each mixin says why.
MIXINS = {"Discretization": ScaledInputMixin, "Masking": UnmaskedMixin}


def subclass(base_name, entry):
    """A subclass of a built-in that makes a weight in ``build``, for one of the three `ENTRIES`."""
    base = getattr(layers, base_name)
    mixin = MIXINS.get(base_name, ScaledMixin)
    bases = (DeferredBuildMixin, mixin, base) if entry == "mixin" else (mixin, base)
    cls = type(f"{entry.title()}{base_name}", bases, {"__module__": __name__})
    if entry == "decorator":
        cls = deferred_build(cls)
    return KERAS.utils.register_keras_serializable("zoo")(cls)


def affected_anywhere():
    """The built-ins that are affected on some measured Keras and are there on this one, without aliases."""
    names = {name for table in (SKIPPED_BUILD, LOCKED_STATE) for _, row in table for name in row}
    return sorted({getattr(layers, name).__name__ for name in names if hasattr(layers, name)})


ENTRIES = ("decorator", "mixin", "install")
CLASSES = {(name, entry): subclass(name, entry) for name in affected_anywhere() for entry in ENTRIES}
globals().update({cls.__name__: cls for cls in CLASSES.values()})


def active(entry):
    """The context in which classes of an entry work: ``installed()`` for "install"."""
    return installed() if entry == "install" else contextlib.nullcontext()


def make(name, entry):
    """Makes a new layer of the zoo."""
    arguments = ARGUMENTS[name][0]
    return CLASSES[name, entry](**arguments) if isinstance(arguments, dict) else CLASSES[name, entry](*arguments)


def in_threads(work, count=8):
    """Runs `work` in several threads at once; raises the first error that one of them had."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work) for _ in range(count)]:
            done.result()


def in_range(first, last):
    """Whether this Keras lies between two releases, both included."""
    release = tuple(int(part) for part in INFO.version.split(".")[:2])
    return first <= release <= last


def has_both():
    """Whether Keras 3 and tf_keras are both installed."""
    names = {dist.metadata["Name"].lower().replace("-", "_") for dist in importlib.metadata.distributions()}
    return {"keras", "tf_keras"} <= names


def made_by_keras(name, bases, methods):
    """A class as if Keras defined it: its module is Keras's, and so is that of its functions, in which they run."""
    module = "keras.src.layers.new"
    functions = {
        attribute: types.FunctionType(
            each.__code__.replace(co_name=attribute),
            {"__name__": module, "KERAS": KERAS, "setattr": setattr},
            attribute,
        )
        for attribute, each in methods.items()
    }
    return type(name, bases, {**functions, "__module__": module})
