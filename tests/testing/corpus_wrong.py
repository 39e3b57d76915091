"""Layers that are wrong in one way each, as people report it, with the check that must say so."""

import os
import time
import types

import numpy as np
from corpus import Entry, between, cast, everywhere, keras2, keras3, mean, on, ones, reshape, sqrt, stop_gradient
from environment import INFO, KERAS

layers = KERAS.layers
KERAS_ISSUE = "keras-team/keras#"
TF_ISSUE = "tensorflow/tensorflow#"


class Same(layers.Layer):
    """For layers whose output has the shape of the input: Keras 3 does not find that out for `compute_output_shape`."""

    def compute_output_shape(self, input_shape):
        return input_shape


class WithFactor(Same):
    """What many of the layers below share: one argument, and a right config of it."""

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class WithWeight(Same):
    """The same with one weight, whose initial values are always the same."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


# construction


class HardCodedName(Same):
    def __init__(self):
        super().__init__(name="scale")

    def call(self, x):
        return x * 2.0


class SwallowsKwargs(Same):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__()
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


# call


class NoSuperInit(layers.Layer):
    def __init__(self, factor=2.0):
        self.factor = factor

    def call(self, x):
        return x * self.factor


class DividesByZero(WithWeight):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="zeros", trainable=False)
        self.built = True

    def call(self, x):
        return x / self.scale


class PositionalName(Same):
    def build(self, input_shape):
        self.scale = self.add_weight("scale", (input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


class AsListOfShape(Same):
    def build(self, input_shape):
        width = input_shape.as_list()[-1]
        self.scale = self.add_weight(name="scale", shape=(width,), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


class AsksForInputShape(Same):
    def call(self, x):
        return x * float(self.input_shape[-1])


class BackendFunction(Same):
    def call(self, x):
        return KERAS.backend.int_shape(x)[-1] * x


class BuildWithoutShape(Same):
    def build(self):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    def call(self, x):
        return x * self.scale


class SuperBuildWithoutShape(Same):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        super().build()

    def call(self, x):
        return x * self.scale


class BuildWithMoreArguments(Same):
    def build(self, input_shape, units):
        self.scale = self.add_weight(name="scale", shape=(units,), initializer="ones")

    def call(self, x):
        return x * self.scale


class MarksItself(Same):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.scale


class LateWeight(Same):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scale = None

    def call(self, x):
        if self.scale is None:
            self.scale = self.add_weight(name="scale", shape=(x.shape[-1],), initializer="ones")
        return x * self.scale


class WeightInEachCall(Same):
    def call(self, x):
        return x * self.add_weight(name="scale", shape=(x.shape[-1],), initializer="ones")


class BuildsInCall(Same):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        self.build(x.shape)
        return x * self.scale


class SkippedPooling(layers.MaxPooling1D):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return super().call(x) * self.scale


class SkippedActivation(layers.Activation):
    def build(self, input_shape):
        self.slope = layers.Dense(1)
        self.slope.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return super().call(self.slope(x))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 1)


class SkippedSoftmax(layers.Softmax):
    def build(self, input_shape):
        self.temperature = self.add_weight(name="temperature", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return super().call(x * self.temperature)


# build_runs_once


class SkippedDropout(layers.Dropout):
    scale = None

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x, training=None):
        x = super().call(x, training=training)
        return x if self.scale is None else x * self.scale


class SkippedReshape(layers.Reshape):
    scale = None

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        x = super().call(x)
        return x if self.scale is None else x * self.scale


class MarksItselfSilently(Same):
    scale = None

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        return x if self.scale is None else x * self.scale


class NoSuperBuild(Same):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.scale


class WeightOfBatchSize(Same):
    def build(self, input_shape):
        self.state = self.add_weight(name="state", shape=(input_shape[0], 1), initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, x):
        return x + self.state


class BuildNeedsCall(Same):
    """Its `build` takes the width from an attribute that only `__call__` sets."""

    def __call__(self, x, *args, **kwargs):
        self.width = x.shape[-1]
        return super().__call__(x, *args, **kwargs)

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(self.width,), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


# explicit_build


class BuildLeavesSublayers(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def build(self, input_shape):
        self.width = input_shape[-1]
        super().build(input_shape)

    def call(self, x):
        return self.dense(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


class SublayersWithoutBuild(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


# sequential, functional, subclassed_model


class NumpyInCall(layers.Layer):
    def call(self, x):
        return x * np.exp(np.asarray(x))


class PythonIf(layers.Layer):
    def call(self, x):
        if float(mean(mean(x, -1), 0)) > 0:
            return x * 2.0
        return x * 3.0


class LayerInCall(layers.Layer):
    def call(self, x):
        return layers.Dense(3)(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


class CountsCalls(Same):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = 0

    def call(self, x):
        self.calls += 1
        return x * float(self.calls)


class KeepsItsInput(Same):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.last = None

    def call(self, x):
        last, self.last = self.last, mean(x, 0)
        return x if last is None else x + last


class BatchInPython(layers.Layer):
    def call(self, x):
        return reshape(x, (int(x.shape[0]), -1))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] * input_shape[2])


class NoiseAtInference(Same):
    def call(self, x):
        return x + np.random.default_rng().normal(size=(1, x.shape[-1])).astype("float32")


# compute_output_shape, compute_output_spec, batch_size


class WrongOutputShape(layers.Layer):
    def call(self, x):
        return x[:, :2]

    def compute_output_shape(self, input_shape):
        return input_shape


class OutputShapeWithoutBatch(layers.Layer):
    def call(self, x):
        return x[:, :2]

    def compute_output_shape(self, input_shape):
        return (2,)


class OutputShapeInParts(layers.Layer):
    def call(self, x):
        return x[:, None, :]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], (1, input_shape[-1]))


class OutputShapeOfAFixedBatch(layers.Layer):
    def call(self, x):
        return x * 2.0

    def compute_output_shape(self, input_shape):
        return (32, *input_shape[1:])


class OutputShapeAddsAList(layers.Layer):
    def call(self, x):
        return x[:, :2]

    def compute_output_shape(self, input_shape):
        width = [2]
        return tuple(input_shape[:-1]) + width


class WrongOutputSpec(layers.Layer):
    def call(self, x):
        return x[:, :2]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2)

    def compute_output_spec(self, x):
        return KERAS.KerasTensor(x.shape, x.dtype)


class OutputOfAnotherDtype(layers.Layer):
    def call(self, x):
        return cast(x, "float64" if INFO.backend == "tensorflow" else "float16")

    def compute_output_shape(self, input_shape):
        return input_shape


class HardCodedBatch(layers.Layer):
    def call(self, x):
        return x + cast(ones((2, 1)) * 0.5, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


class FirstBatchSize(layers.Layer):
    """Keeps the size of the first real batch."""

    size = None

    def call(self, x):
        if self.size is None and isinstance(x.shape[0], int):
            self.size = x.shape[0]
        return reshape(x, (self.size or -1, x.shape[1]))

    def compute_output_shape(self, input_shape):
        return input_shape


# config, config_keeps_arguments, clone_model


class Settings:
    """An object that no JSON can hold."""

    factor = 2.0


class NoConfig(Same):
    """An argument that JSON can't hold, and no get_config()."""

    def __init__(self, settings, **kwargs):
        super().__init__(**kwargs)
        self.settings = settings

    def call(self, x):
        return x * self.settings.factor


class ObjectInConfig(Same):
    def __init__(self, settings=None, **kwargs):
        super().__init__(**kwargs)
        self.settings = settings or Settings()

    def call(self, x):
        return x * self.settings.factor

    def get_config(self):
        return {**super().get_config(), "settings": self.settings}


class RequiredArgumentMissing(WithFactor):
    def __init__(self, factor, power, **kwargs):
        super().__init__(factor, **kwargs)
        self.power = power

    def call(self, x):
        return x * self.factor**self.power


class RenamedInConfig(Same):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "scale_factor": self.factor}


class ConfigIsNotReturned(Same):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        config = super().get_config()
        config["factor"] = self.factor


class ConfigWithoutSuper(Same):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {"factor": self.factor}


class NoKwargs(Same):
    """Keras's own arguments, such as `name`, stand in its config, and its constructor refuses them."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class ConfigGrows(Same):
    def __init__(self, heads=2, size=3, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.size = heads * size

    def call(self, x):
        return x * float(self.size)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads, "size": self.size}


class LambdaInConfig(Same):
    def __init__(self, function=None, **kwargs):
        super().__init__(**kwargs)
        self.function = function or (lambda x: x * 2.0)

    def call(self, x):
        return self.function(x)

    def get_config(self):
        return {**super().get_config(), "function": self.function}


class ConfigNeedsBuild(Same):
    def __init__(self, width=None, **kwargs):
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.width = input_shape[-1]
        super().build(input_shape)

    def call(self, x):
        return x * float(self.width)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


class WrongFromConfig(WithFactor):
    def call(self, x):
        return x * self.factor

    @classmethod
    def from_config(cls, config):
        return cls(config["scale_factor"])


class ForgetsAnArgument(Same):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return super().get_config()


class ForgetsTheBias(layers.Layer):
    def __init__(self, units, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.use_bias = use_bias

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.units), initializer="ones")
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        x = x @ self.kernel
        return x + self.bias if self.use_bias else x

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class WritesTheDefault(Same):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": 2.0}


class LivesTwice(Same):
    """`from_config` returns the layer that already has this name."""

    made = {}

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        type(self).made[self.name] = self

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale

    @classmethod
    def from_config(cls, config):
        return cls.made[config["name"]]


# keras_file, weights_h5_file, own_files, extra_weights


class ExtraWeightOnDense(layers.Dense):
    def build(self, input_shape):
        super().build(input_shape)
        self.built = False
        self.temperature = self.add_weight(name="temperature", shape=(), initializer="ones")
        self.built = True

    def call(self, x):
        return super().call(x) * self.temperature


class ExtraWeightOnConv(layers.Conv1D):
    def build(self, input_shape):
        self.gain = self.add_weight(name="gain", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return super().call(x) * self.gain


class NestedLists(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.branches = [[layers.Dense(3)], [layers.Dense(3)]]

    def build(self, input_shape):
        for branch in self.branches:
            branch[0].build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return self.branches[0][0](x) + self.branches[1][0](x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


class ListsInADict(NestedLists):
    def __init__(self, **kwargs):
        layers.Layer.__init__(self, **kwargs)
        self.branches = {0: [layers.Dense(3)], 1: [layers.Dense(3)]}

    def build(self, input_shape):
        for branch in self.branches.values():
            branch[0].build(input_shape)
        layers.Layer.build(self, input_shape)


class ListCalledLayers(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._layers = [layers.Dense(3), layers.Dense(3)]
        self.steps = lambda: self._layers

    def build(self, input_shape):
        for layer in self._layers:
            layer.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return self._layers[0](x) + self._layers[1](x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


class SavesTooLittle(Same):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        self.shift = self.add_weight(name="shift", shape=(input_shape[-1],), initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale + self.shift

    def save_own_variables(self, store):
        store["scale"] = np.array(self.scale.numpy())

    def load_own_variables(self, store):
        self.scale.assign(store["scale"])


class SavesHalfPrecision(WithWeight):
    """Its files take half the space, and hold other weights."""

    def save_own_variables(self, store):
        store["0"] = np.asarray(self.scale).astype("float16")


class CountedNames(Same):
    made = [0]

    def build(self, input_shape):
        self.made[0] += 1
        self.scale = self.add_weight(name=f"scale_{self.made[0]}", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


class NamesWithChance(Same):
    def build(self, input_shape):
        name = f"scale_{os.urandom(4).hex()}"
        self.scale = self.add_weight(name=name, shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


# get_and_set_weights, set_weights_before_build


class OwnGetWeights(Same):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        self.shift = self.add_weight(name="shift", shape=(input_shape[-1],), initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale + self.shift

    def get_weights(self):
        return super().get_weights()[:1]


class RoundsItsWeights(WithWeight):
    def set_weights(self, weights):
        super().set_weights([np.round(weight) for weight in weights])


class InitialValuesInCall(Same):
    """Sets its weight from its first data, whatever a user or a file has set."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.started = False

    def build(self, input_shape):
        self.shift = self.add_weight(name="shift", shape=(input_shape[-1],), initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        if not self.started:
            self.started = True
            self.shift.assign(cast(mean(x, 0), "float32"))
        return x + self.shift


# weights_train, gradients_reach, freeze


class RawVariable(layers.Layer):
    def __init__(self, width=4, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.scale = raw_variable(np.ones((width,), "float32"))

    def call(self, x):
        return x * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def raw_variable(value):
    if INFO.backend == "tensorflow":
        import tensorflow as tf

        return tf.Variable(value)
    import torch

    return torch.nn.Parameter(torch.from_numpy(value))


class LayerInANamespace(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = types.SimpleNamespace(dense=layers.Dense(3))

    def build(self, input_shape):
        self.inner.dense.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return self.inner.dense(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


class HidesALayer(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        vars(self)["dense"] = layers.Dense(3, kernel_initializer="ones")

    def build(self, input_shape):
        self.dense.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return self.dense(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


class LayerInAFunction(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        dense = layers.Dense(3)
        self.apply_inner = lambda x: dense(x)

    def call(self, x):
        return self.apply_inner(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


class UnusedWeight(WithWeight):
    def build(self, input_shape):
        self.unused = self.add_weight(name="unused", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)


class StopsAtItsWeight(WithWeight):
    def call(self, x):
        return x * stop_gradient(self.scale + 0.0)


class ComparesWithItsWeight(WithWeight):
    def call(self, x):
        return x + cast(x > self.scale, x.dtype)


class CopiesItsWeight(WithWeight):
    def build(self, input_shape):
        super().build(input_shape)
        self.copied = np.ones((input_shape[-1],), "float32")

    def call(self, x):
        return x * self.copied


class StopsAtItsInput(WithWeight):
    def call(self, x):
        return stop_gradient(x) * self.scale


class InfiniteGradient(Same):
    def build(self, input_shape):
        self.shift = self.add_weight(name="shift", shape=(input_shape[-1],), initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        return x + sqrt(self.shift * self.shift)


class UpdatesWhenFrozen(Same):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x, training=False):
        if training:
            self.scale.assign(cast(self.scale * 0.9, "float32"))
        return x * self.scale


class OwnTrainableWeights(WithWeight):
    @property
    def trainable_weights(self):
        return [self.scale] if self.built else []


class OwnTrainable(WithWeight):
    """`trainable` is a constant: setting it does nothing."""

    @property
    def trainable(self):
        return True

    @trainable.setter
    def trainable(self, value):
        pass


# mixed_float16, mixed_bfloat16


class Float32Tensor(Same):
    def call(self, x):
        return x + ones((x.shape[-1],), "float32")


class CastsToFloat32(Same):
    def call(self, x):
        return cast(x, "float32") * 2.0


class NarrowWeight(Same):
    def build(self, input_shape):
        self.scale = self.add_weight(
            name="scale", shape=(input_shape[-1],), initializer="ones", dtype=self.compute_dtype
        )
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


class LargeNegative(Same):
    """The usual mask of attention: 0 times -1e9, which is 0 times -inf in float16."""

    def call(self, x):
        kept = x * 0
        return x + kept * cast(ones((), "float32") * -1e9, x.dtype)


class CastsToFloat16(Same):
    """Written for one policy: it computes in float16 whenever it is not float32."""

    def call(self, x):
        return x * 2.0 if self.compute_dtype == "float32" else cast(x, "float16") * 2.0


# training_argument, mask


class AlwaysTraining(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout = layers.Dropout(0.5)

    def call(self, x, training=None):
        return self.dropout(x, training=True)

    def compute_output_shape(self, input_shape):
        return input_shape


class NeverTraining(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout = layers.Dropout(0.5)

    def call(self, x, training=None):
        return self.dropout(x, training=False)

    def compute_output_shape(self, input_shape):
        return input_shape


class MaskOfAnotherLength(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x):
        return x[:, ::2]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], (input_shape[1] + 1) // 2, *input_shape[2:])


class ComputeMaskWithoutMask(WithFactor):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(factor, **kwargs)
        self.supports_masking = True

    def call(self, x):
        return x * self.factor

    def compute_mask(self, inputs):
        return None


# jit, tf_function, saved_model


class WeightAsNumpy(WithWeight):
    def call(self, x):
        return x * np.asarray(self.scale)


class PythonFunctionInGraph(Same):
    def call(self, x):
        import tensorflow as tf

        y = tf.py_function(lambda value: value * 2.0, [x], x.dtype)
        y.set_shape(x.shape)
        return y


class OtherInGraphs(Same):
    """Has a short cut for debugging, and the rest was never run."""

    def call(self, x):
        import tensorflow as tf

        return x * 2.0 if tf.executing_eagerly() or not x.shape[0] else x * 2.5


class ChecksRealBatches(layers.Layer):
    """Looks at the values of each batch whose size is known: so not while a model is made, but when it is compiled."""

    def call(self, x):
        if x.shape[0] is not None and float(mean(mean(x, -1), 0)) > 100:
            raise ValueError("too large")
        return x * 2.0

    def compute_output_shape(self, input_shape):
        return input_shape


class NumbersAsKeys(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.heads = {0: layers.Dense(3), 1: layers.Dense(3)}

    def build(self, input_shape):
        for head in self.heads.values():
            head.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return self.heads[0](x) + self.heads[1](x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


# deepcopy, pickling, instances_share_nothing


class CopiesShareItsWeights(WithWeight):
    def __deepcopy__(self, memo):
        return self


class ListInTheClass(WithWeight):
    seen = []

    def build(self, input_shape):
        self.seen.append(input_shape[-1])
        super().build(input_shape)


class MutableDefault(WithWeight):
    def __init__(self, history=[], **kwargs):  # noqa: B006
        super().__init__(**kwargs)
        history.append(self.name)

    def get_config(self):
        return super().get_config()


class SharedSublayer(Same):
    shared = {}

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = self.shared.setdefault("dense", None) or layers.Dense(4, kernel_initializer="ones")
        self.shared["dense"] = self.dense

    def build(self, input_shape):
        if not self.dense.built:
            self.dense.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return self.dense(x)


# reuse, threads, determinism


class RebuildsForAnotherWidth(Same):
    def build(self, input_shape):
        self.width = input_shape[-1]
        self.scale = self.add_weight(name="scale", shape=(self.width,), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        if x.shape[-1] != self.width:
            self.build(x.shape)
        return x * self.scale


class ForgetsItsWeights(RebuildsForAnotherWidth):
    """For Keras 3: assigns zeros to a weight that is too large for the new input."""

    def call(self, x):
        if x.shape[-1] != self.width:
            self.scale.assign(np.zeros(self.width, "float32"))
        return x * (self.scale if x.shape[-1] == self.width else 1.0)


class GuardInTheClass(Same):
    """A guard against recursion that stands in the class, so another thread's build is left out."""

    busy = False

    def build(self, input_shape):
        cls = type(self)
        if cls.busy:
            return
        cls.busy = True
        time.sleep(0.05)
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        cls.busy = False
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


class UsesTheBatch(Same):
    """Compares each example with the others of its batch, which is divided among the devices."""

    def call(self, x):
        return x - mean(x, 0)


class UnseededWeights(Same):
    def build(self, input_shape):
        start = KERAS.initializers.Constant(float(np.random.default_rng().uniform()))
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer=start)
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


class SeedFromTheClock(Same):
    def build(self, input_shape):
        start = KERAS.initializers.RandomNormal(seed=time.perf_counter_ns() % 100_000_007)
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer=start)
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


class RandomMatrix(layers.Layer):
    """A random matrix that is no weight: it is another one after loading."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        random = np.random.default_rng()
        self.matrix = random.normal(size=(input_shape[-1], self.units)).astype("float32")
        super().build(input_shape)

    def call(self, x):
        return x @ self.matrix

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def wrong(cls, shape, check, why, source, *, where=everywhere, also="", **kwargs):
    return Entry(cls, shape, kwargs, check, tuple(also.split()), why=why, source=source, where=where)


#: Where a layer is left without weights, its values come from elsewhere, and nothing that copies weights can work.
COPIES = "clone_model keras_file weights_h5_file own_files deepcopy pickling threads determinism several_devices"

WRONG = (
    wrong(
        HardCodedName,
        (4,),
        "construction",
        "its name is fixed, so a model can't have two",
        "deepsphere/deepsphere-cosmo-tf2#2",
    ),
    wrong(
        SwallowsKwargs,
        (4,),
        "config",
        "the constructor takes name and dtype and drops them",
        KERAS_ISSUE + "19899",
        factor=3.0,
    ),
    wrong(
        NoSuperInit,
        (4,),
        "construction",
        "the constructor does not call that of Layer",
        KERAS_ISSUE + "2584",
    ),
    wrong(DividesByZero, (4,), "call", "divides by a weight that is zero at first", "shivram1987/AdaNorm#1"),
    wrong(
        PositionalName,
        (4,),
        "call",
        "add_weight(name, shape) by position, as on Keras 2",
        KERAS_ISSUE + "22253",
        where=keras3,
    ),
    wrong(
        AsListOfShape,
        (4,),
        "call",
        "input_shape.as_list(), which a tuple does not have",
        "philipperemy/keras-tcn#259",
        where=keras3,
    ),
    wrong(
        AsListOfShape,
        (4,),
        "explicit_build",
        "input_shape.as_list(), but build() may also get a tuple",
        "philipperemy/keras-tcn#259",
        where=keras2,
    ),
    wrong(AsksForInputShape, (4,), "call", "uses layer.input_shape, which is not always there", KERAS_ISSUE + "18784"),
    wrong(
        BackendFunction,
        (4,),
        "call",
        "calls a function of Keras 2's backend",
        "measured: 15 of 83 libraries call keras.backend",
        where=keras3,
    ),
    wrong(BuildWithoutShape, (4,), "call", "build() does not take a shape", TF_ISSUE + "26996", where=keras2),
    wrong(
        BuildWithoutShape,
        (4,),
        "explicit_build",
        "build() does not take a shape",
        TF_ISSUE + "26996",
        where=keras3,
    ),
    wrong(SuperBuildWithoutShape, (4,), "call", "super().build() without the shape", KERAS_ISSUE + "4548"),
    wrong(
        BuildWithMoreArguments,
        (4,),
        "call",
        "build() has a parameter that nobody passes",
        "t-kalinowski/deep-learning-with-r-code#17",
    ),
    wrong(
        MarksItself, (4,), "call", "self.built = True in the constructor, so build() never runs", KERAS_ISSUE + "20871"
    ),
    wrong(LateWeight, (4,), "call", "makes its weight in call()", TF_ISSUE + "48878", where=keras3),
    wrong(
        LateWeight,
        (4,),
        "explicit_build",
        "makes its weight in call()",
        TF_ISSUE + "48878",
        where=keras2,
    ),
    wrong(WeightInEachCall, (4,), "call", "makes a new weight in each call", TF_ISSUE + "27120", where=keras3),
    wrong(
        WeightInEachCall,
        (4,),
        "build_runs_once",
        "makes a new weight in each call",
        TF_ISSUE + "27120",
        where=keras2,
    ),
    wrong(BuildsInCall, (4,), "call", "call() calls build() again", TF_ISSUE + "33576", where=keras3),
    wrong(BuildsInCall, (4,), "build_runs_once", "call() calls build() again", TF_ISSUE + "33576", where=keras2),
    wrong(
        SkippedPooling,
        (6, 3),
        "call",
        "this Keras marks pooling layers as built, so build() never runs",
        KERAS_ISSUE + "20871",
        where=between("3.6", "3.9"),
        pool_size=2,
    ),
    wrong(
        SkippedActivation,
        (4,),
        "call",
        "this Keras marks Activation as built, so build() never runs",
        KERAS_ISSUE + "20871",
        where=between("3.6", "3.9"),
        activation="tanh",
    ),
    wrong(
        SkippedSoftmax,
        (4,),
        "call",
        "this Keras marks Softmax as built, so build() never runs",
        "Keras 3.0 to 3.9",
        where=between("3.0", "3.9"),
    ),
    wrong(
        SkippedDropout,
        (4,),
        "build_runs_once",
        "build() never runs, and call() does not notice",
        "Keras 3.0 to 3.2",
        where=between("3.0", "3.2"),
        rate=0.5,
    ),
    wrong(
        SkippedDropout,
        (4,),
        "build_runs_once",
        "build() never runs, and call() does not notice",
        KERAS_ISSUE + "20871",
        where=between("3.6", "3.9"),
        rate=0.5,
    ),
    wrong(
        SkippedReshape,
        (4,),
        "build_runs_once",
        "build() never runs, and call() does not notice",
        KERAS_ISSUE + "21568",
        where=between("3.12"),
        target_shape=(2, 2),
    ),
    wrong(
        MarksItselfSilently,
        (4,),
        "build_runs_once",
        "build() never runs, and call() does not notice",
        KERAS_ISSUE + "20871",
    ),
    wrong(
        NoSuperBuild,
        (4,),
        "explicit_build",
        "build() does not call super().build(), and runs again",
        "Keras 2.12 to 2.15",
        where=keras2,
    ),
    wrong(
        WeightOfBatchSize,
        (4,),
        "batch_size",
        "a weight has the size of the batch",
        KERAS_ISSUE + "12338",
    ),
    wrong(
        BuildNeedsCall,
        (4,),
        "explicit_build",
        "build() needs what only a call sets",
        TF_ISSUE + "32786",
    ),
    wrong(
        BuildLeavesSublayers,
        (4,),
        "explicit_build",
        "build() does not build the sub-layers",
        KERAS_ISSUE + "18823",
    ),
    wrong(
        SublayersWithoutBuild,
        (4,),
        "explicit_build",
        "has sub-layers and no build()",
        KERAS_ISSUE + "19229",
        where=keras2,
    ),
    wrong(
        NumpyInCall,
        (4,),
        "sequential",
        "numpy in call(), which takes no symbolic tensor",
        TF_ISSUE + "51351",
        where=on("tensorflow", "jax"),
        also="functional",
    ),
    wrong(
        PythonIf,
        (4,),
        "sequential",
        "Python's `if` on the value of a tensor",
        TF_ISSUE + "29823",
        where=on("jax"),
        also="functional",
    ),
    wrong(
        LayerInCall,
        (4,),
        "inference",
        "makes a layer in each call, with new weights",
        TF_ISSUE + "33576",
    ),
    wrong(
        CountsCalls,
        (4,),
        "inference",
        "its output depends on how often it was called",
        KERAS_ISSUE + "18404",
    ),
    wrong(
        KeepsItsInput,
        (4,),
        "inference",
        "keeps a tensor of the last call",
        KERAS_ISSUE + "20724",
    ),
    wrong(
        BatchInPython,
        (3, 2),
        "sequential",
        "int() of the batch's size, which is not known yet",
        KERAS_ISSUE + "8627",
        where=on("tensorflow"),
        also="functional saved_model",
    ),
    wrong(
        NoiseAtInference,
        (4,),
        "inference",
        "adds numpy's noise outside training too",
        KERAS_ISSUE + "3188",
    ),
    wrong(
        RandomMatrix,
        (4,),
        "tracking",
        "a random matrix that is no weight",
        KERAS_ISSUE + "19322",
        units=2,
    ),
    wrong(
        WrongOutputShape,
        (4,),
        "compute_output_shape",
        "compute_output_shape() is that of the input",
        KERAS_ISSUE + "11753",
    ),
    wrong(
        OutputShapeWithoutBatch,
        (4,),
        "compute_output_shape",
        "compute_output_shape() leaves the batch out",
        KERAS_ISSUE + "7898",
    ),
    wrong(
        OutputShapeInParts,
        (4,),
        "compute_output_shape",
        "compute_output_shape() puts a shape into a shape",
        KERAS_ISSUE + "19259",
    ),
    wrong(
        OutputShapeOfAFixedBatch,
        (4,),
        "compute_output_shape",
        "compute_output_shape() fixes the batch's size",
        KERAS_ISSUE + "8627",
    ),
    wrong(
        OutputShapeAddsAList,
        (4,),
        "compute_output_shape",
        "compute_output_shape() adds a list to a tuple",
        KERAS_ISSUE + "19259",
    ),
    wrong(
        WrongOutputSpec,
        (4,),
        "compute_output_spec",
        "compute_output_spec() is that of the input",
        KERAS_ISSUE + "20746",
        where=keras3,
    ),
    wrong(
        OutputOfAnotherDtype,
        (4,),
        "compute_output_spec",
        "returns another dtype than it says",
        KERAS_ISSUE + "17420",
        where=lambda info: keras3(info) and info.backend in ("tensorflow", "jax"),
    ),
    wrong(
        HardCodedBatch,
        (4,),
        "batch_size",
        "a constant has the batch's size",
        KERAS_ISSUE + "8627",
    ),
    wrong(
        FirstBatchSize,
        (4,),
        "batch_size",
        "keeps the size of the first batch",
        TF_ISSUE + "43094",
    ),
    wrong(
        NoConfig,
        (4,),
        "config",
        "has an argument that is no JSON, and no get_config()",
        TF_ISSUE + "39793",
        settings=Settings(),
    ),
    wrong(
        ObjectInConfig,
        (4,),
        "config",
        "its config holds an object that JSON can't",
        KERAS_ISSUE + "12971",
    ),
    wrong(
        RequiredArgumentMissing,
        (4,),
        "config",
        "a required argument is not in its config",
        KERAS_ISSUE + "4871",
        factor=3.0,
        power=2.0,
    ),
    wrong(
        RenamedInConfig,
        (4,),
        "config",
        "its config has an argument under another name",
        TF_ISSUE + "54344",
        factor=3.0,
    ),
    wrong(ConfigIsNotReturned, (4,), "config", "get_config() returns nothing", TF_ISSUE + "20805", factor=3.0),
    wrong(
        ConfigWithoutSuper,
        (4,),
        "config",
        "its config lacks name, dtype and trainable",
        TF_ISSUE + "54344",
        factor=3.0,
        name="mine",
    ),
    wrong(NoKwargs, (4,), "config", "its constructor refuses Keras's own arguments", KERAS_ISSUE + "8956", factor=3.0),
    wrong(
        ConfigGrows,
        (4,),
        "config",
        "each copy computes an argument again",
        "measured: heads and size are usual arguments",
        heads=2,
        size=3,
    ),
    wrong(LambdaInConfig, (4,), "config", "its config holds a lambda", KERAS_ISSUE + "7304"),
    wrong(
        ConfigNeedsBuild,
        (4,),
        "config",
        "get_config() needs what build() makes",
        "measured: get_config() reads what build() sets",
    ),
    wrong(
        WrongFromConfig, (4,), "config", "from_config() reads a key that is not there", KERAS_ISSUE + "1927", factor=3.0
    ),
    wrong(
        ForgetsAnArgument,
        (4,),
        "config_keeps_arguments",
        "an argument is not in its config",
        "jkiesele/caloGraphNN#2",
        factor=3.0,
    ),
    wrong(
        ForgetsTheBias,
        (4,),
        "config_keeps_arguments",
        "an argument is not in its config",
        "Benjamin-Etheredge/mlp-mixer-keras#2",
        units=3,
        use_bias=False,
    ),
    wrong(
        WritesTheDefault,
        (4,),
        "config_keeps_arguments",
        "its config has a default and not what it was given",
        KERAS_ISSUE + "15510",
        factor=3.0,
    ),
    wrong(
        LivesTwice,
        (4,),
        "instances_share_nothing",
        "from_config() returns a layer that is already there",
        KERAS_ISSUE + "2365",
    ),
    wrong(
        ExtraWeightOnDense,
        (4,),
        "extra_weights",
        "Keras leaves out what a subclass adds to Dense",
        "measured on Keras 3.2 to nightly",
        where=between("3.2"),
        units=3,
    ),
    wrong(
        ExtraWeightOnConv,
        (6, 3),
        "extra_weights",
        "Keras leaves out what a subclass adds to Conv1D",
        "measured on Keras 3.3 to nightly",
        where=between("3.3"),
        filters=2,
        kernel_size=2,
    ),
    wrong(
        NestedLists,
        (4,),
        "extra_weights",
        "Keras leaves out layers in nested lists",
        KERAS_ISSUE + "20598",
        where=between("3.0", "3.14"),
    ),
    wrong(
        ListsInADict,
        (4,),
        "extra_weights",
        "Keras leaves out layers in lists in a dict",
        TF_ISSUE + "22140",
        where=between("3.0", "3.14"),
    ),
    wrong(
        ListCalledLayers,
        (4,),
        "extra_weights",
        "Keras leaves out a list called _layers",
        KERAS_ISSUE + "20260",
        where=keras3,
    ),
    wrong(
        SavesTooLittle,
        (4,),
        "extra_weights",
        "save_own_variables() leaves a weight out",
        KERAS_ISSUE + "19912",
        where=keras3,
    ),
    wrong(
        SavesHalfPrecision,
        (4,),
        "weights_h5_file",
        "save_own_variables() rounds the weights",
        "no report: made for this check",
        where=lambda info: not info.version.startswith("2.12"),  # which has other .weights.h5 files
        also="keras_file deepcopy pickling",
    ),
    wrong(
        CountedNames,
        (4,),
        "instances_share_nothing",
        "its weights have a number that each layer raises",
        "leondgarse/keras_efficientnet_v2#2",
    ),
    wrong(
        NamesWithChance,
        (4,),
        "own_files",
        "its weights have random names",
        KERAS_ISSUE + "4875",
    ),
    wrong(
        OwnGetWeights,
        (4,),
        "get_and_set_weights",
        "get_weights() leaves a weight out",
        TF_ISSUE + "21034",
    ),
    wrong(
        RoundsItsWeights,
        (4,),
        "get_and_set_weights",
        "set_weights() changes the values",
        TF_ISSUE + "32210",
    ),
    wrong(
        InitialValuesInCall,
        (4,),
        "set_weights_before_build",
        "the first call overwrites what a user set",
        KERAS_ISSUE + "12452",
        where=on("torch", "numpy"),
    ),
    wrong(
        RawVariable,
        (4,),
        "tracking",
        "a raw variable is no weight on Keras 3",
        "keras-team/tf-keras#513",
        where=lambda info: keras3(info) and info.backend in ("tensorflow", "torch"),
    ),
    wrong(
        LayerInANamespace,
        (4,),
        "tracking",
        "Keras does not see a layer in such an attribute",
        TF_ISSUE + "29073",
    ),
    wrong(
        HidesALayer,
        (4,),
        "tracking",
        "puts a layer where Keras does not see it",
        TF_ISSUE + "29073",
    ),
    wrong(
        LayerInAFunction,
        (4,),
        "tracking",
        "Keras does not see a layer that only a function knows",
        TF_ISSUE + "29073",
    ),
    wrong(
        UnusedWeight,
        (4,),
        "weights_train",
        "a trainable weight that call() does not use",
        KERAS_ISSUE + "12521",
    ),
    wrong(
        StopsAtItsWeight,
        (4,),
        "weights_train",
        "no gradient reaches its weight",
        KERAS_ISSUE + "13502",
    ),
    wrong(
        ComparesWithItsWeight,
        (4,),
        "weights_train",
        "a comparison has no gradient",
        KERAS_ISSUE + "13502",
    ),
    wrong(
        CopiesItsWeight,
        (4,),
        "weights_train",
        "computes with a copy of its weight",
        TF_ISSUE + "32729",
    ),
    wrong(
        StopsAtItsInput,
        (4,),
        "gradients_reach",
        "no gradient reaches its input",
        KERAS_ISSUE + "13502",
    ),
    wrong(InfiniteGradient, (4,), "gradients_reach", "the gradient of a root at 0 is not finite", KERAS_ISSUE + "9097"),
    wrong(
        UpdatesWhenFrozen, (4,), "freeze", "changes its weight in training though it is frozen", KERAS_ISSUE + "7085"
    ),
    wrong(
        OwnTrainableWeights,
        (4,),
        "freeze",
        "trainable_weights does not ask whether the layer is frozen",
        KERAS_ISSUE + "2212",
    ),
    wrong(OwnTrainable, (4,), "freeze", "`trainable` can't be changed", KERAS_ISSUE + "4674"),
    wrong(
        Float32Tensor,
        (4,),
        "mixed_float16",
        "a float32 tensor in call()",
        "JanMarcelKezmann/TensorFlow-Advanced-Segmentation-Models#29",
    ),
    wrong(CastsToFloat32, (4,), "mixed_float16", "casts its input to float32", TF_ISSUE + "35883"),
    wrong(
        NarrowWeight,
        (4,),
        "mixed_float16",
        "its weight has the dtype of the computation",
        "tensorlayer/TensorLayer#206",
    ),
    wrong(LargeNegative, (4,), "mixed_float16", "-1e9 is -inf in float16", KERAS_ISSUE + "17571"),
    wrong(CastsToFloat16, (4,), "mixed_bfloat16", "casts to float16 under each policy", TF_ISSUE + "35817"),
    wrong(
        AlwaysTraining,
        (4,),
        "inference",
        "its dropout also drops in inference",
        KERAS_ISSUE + "3188",
    ),
    wrong(NeverTraining, (4,), "training_argument", "its dropout never drops", "keras-team/keras-hub#1500"),
    wrong(MaskOfAnotherLength, (6, 3), "mask", "the mask has more steps than the output", KERAS_ISSUE + "18543"),
    wrong(
        ComputeMaskWithoutMask,
        (5, 3),
        "call",
        "compute_mask() does not take the mask",
        "rstudio/keras3#1225",
        factor=3.0,
    ),
    wrong(
        WeightAsNumpy,
        (4,),
        "sequential",
        "computes with its weight as a numpy array",
        TF_ISSUE + "105728",
        where=on("tensorflow"),
        also="functional weights_train",
    ),
    wrong(
        WeightAsNumpy,
        (4,),
        "weights_train",
        "computes with its weight as a numpy array",
        KERAS_ISSUE + "18574",
        where=on("jax"),
    ),
    wrong(
        PythonFunctionInGraph,
        (4,),
        "jit",
        "XLA can't compile a Python function",
        TF_ISSUE + "51493",
        where=on("tensorflow"),
    ),
    wrong(
        OtherInGraphs,
        (4,),
        "tf_function",
        "computes something else in graphs",
        TF_ISSUE + "38775",
        where=on("tensorflow"),
    ),
    wrong(
        ChecksRealBatches,
        (4,),
        "tf_function",
        "looks at values, which are not there in a compiled model",
        TF_ISSUE + "35403",
        where=on("tensorflow"),
    ),
    wrong(
        NumbersAsKeys,
        (4,),
        "saved_model",
        "numbers are the keys of a dict of layers",
        KERAS_ISSUE + "18398",
        where=on("tensorflow"),
    ),
    wrong(
        CopiesShareItsWeights,
        (4,),
        "deepcopy",
        "a deep copy is the same layer",
        KERAS_ISSUE + "11646",
        where=between("3.3"),
    ),
    wrong(
        ListInTheClass,
        (4,),
        "instances_share_nothing",
        "a list of the class grows with each layer",
        KERAS_ISSUE + "11659",
    ),
    wrong(
        MutableDefault,
        (4,),
        "instances_share_nothing",
        "a list as default argument grows with each layer",
        "Lasagne/Lasagne#490",
    ),
    wrong(
        SharedSublayer,
        (4,),
        "instances_share_nothing",
        "all layers have one sub-layer",
        KERAS_ISSUE + "18821",
    ),
    wrong(
        RebuildsForAnotherWidth, (4,), "reuse", "makes new weights for another width", TF_ISSUE + "27120", where=keras2
    ),
    wrong(
        ForgetsItsWeights,
        (4,),
        "reuse",
        "zeroes its weight when the width changes",
        "measured: use again on another shape",
    ),
    wrong(
        GuardInTheClass,
        (4,),
        "threads",
        "a flag of the class lets another thread's build out",
        "tensorlayer/TensorLayer#214",
    ),
    wrong(
        UsesTheBatch,
        (4,),
        "several_devices",
        "its results depend on the other examples of the batch",
        TF_ISSUE + "39268",
        where=on("tensorflow", keras=lambda info: keras2(info) or between("3.3")(info)),
    ),
    wrong(UnseededWeights, (4,), "determinism", "initial values from an unseeded generator", KERAS_ISSUE + "19322"),
    wrong(SeedFromTheClock, (4,), "determinism", "its seed comes from the clock", KERAS_ISSUE + "15586"),
)
