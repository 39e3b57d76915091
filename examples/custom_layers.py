"""Custom layers: a dense layer with its configuration, attention over a sequence, subclasses of built-ins.

    python examples/custom_layers.py

What is derived from `Layer` itself is written for all releases with a little care: weights by `add_weight` with
keywords, `get_config` for each argument. Subclasses of built-ins need keras_buildfix.
"""
# ruff: noqa: D102 - Keras says what build, call and get_config are

import os
import tempfile

import keras
import numpy as np
from running import as_numpy, run

from keras_buildfix import PortableLayerMixin, deferred_build, get_weights


@keras.utils.register_keras_serializable("examples")
class Affine(keras.layers.Layer):
    """x @ kernel + bias, and an activation by name or as a function."""

    def __init__(self, units, activation=None, **options):
        super().__init__(**options)
        self.units = units
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        shape = (input_shape[-1], self.units)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        return self.activation(x @ self.kernel + self.bias)

    def get_config(self):
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "units": self.units, "activation": activation}


class SelfAttention(keras.layers.Layer):
    """Each step of a sequence looks at all steps. It uses layers only, as Keras 2 has no `keras.ops`."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.query, self.key, self.value = (keras.layers.Dense(units, name=n) for n in ("query", "key", "value"))
        self.scores, self.softmax = keras.layers.Dot(axes=2), keras.layers.Softmax(axis=-1)
        self.sum = keras.layers.Dot(axes=(2, 1))

    def build(self, input_shape):
        for layer in (self.query, self.key, self.value):
            layer.build(input_shape)  # so that the weights are there before the first call, on Keras 3 too
        super().build(input_shape)

    def call(self, x):
        attention = self.softmax(self.scores([self.query(x), self.key(x)]) / self.query.units**0.5)
        return self.sum([attention, self.value(x)])


@deferred_build  # Keras 3.6 to 3.9 never runs the build of a subclass of MaxPooling2D
class ScaledPool(keras.layers.MaxPooling2D):
    """A pooling with a weight for each channel."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return super().call(x) * self.scale


class ScaledDense(PortableLayerMixin, keras.layers.Dense):
    """A Dense with a weight more. Keras 3's Dense saves its own weights only; the mixin makes it save this one too."""

    def build(self, input_shape):
        super().build(input_shape)
        self.scale = self.add_weight(name="scale", shape=(self.units,), initializer="ones")

    def call(self, x):
        return super().call(x) * self.scale


class WrittenForKeras2(PortableLayerMixin, keras.layers.Layer):
    """A layer in the manner of Keras 2: name first, `as_list`. Keras 3 takes neither without the mixin."""

    def build(self, input_shape):
        self.scale = self.add_weight("scale", input_shape.as_list()[-1:], initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


def dense_with_activation_and_config():
    """The layer is made again from its configuration, alone and from a `.keras` file."""
    layer = Affine(2, "relu", name="affine")
    again = Affine.from_config(layer.get_config())
    assert (again.units, again.activation, again.name) == (2, keras.activations.relu, "affine")

    model = keras.Sequential([keras.Input((3,)), layer])
    x = np.random.RandomState(0).randn(4, 3).astype("float32")
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(as_numpy(model(x)), np.maximum(x @ kernel + bias, 0.0), rtol=1e-4, atol=1e-5)
    loaded = through_a_file(model)
    np.testing.assert_allclose(as_numpy(loaded(x)), as_numpy(model(x)), rtol=1e-5)


def attention_over_a_sequence():
    """The same step gets the same output wherever it stands, and the weights of attention sum to 1."""
    layer = SelfAttention(4)
    layer.build((None, 5, 3))
    assert len(layer.weights) == 6
    x = np.random.RandomState(0).rand(2, 5, 3).astype("float32")
    assert np.shape(layer(x)) == (2, 5, 4)
    np.testing.assert_allclose(as_numpy(layer(x[:, ::-1]))[:, ::-1], as_numpy(layer(x)), rtol=1e-4, atol=1e-5)
    layer.value.set_weights([np.zeros((3, 4)), np.ones(4)])  # each value is 1: so is their mean
    np.testing.assert_allclose(as_numpy(layer(x)), np.ones((2, 5, 4)), rtol=1e-5)


def subclass_of_a_pooling():
    """`build` runs, once, on every Keras. Plain: on 3.6 to 3.9 the layer has no weight."""
    model = keras.Sequential([keras.Input((4, 4, 3)), ScaledPool()])
    assert len(model.trainable_weights) == 1
    model.set_weights([np.full(3, 2.0)])
    np.testing.assert_allclose(as_numpy(model(np.ones((1, 4, 4, 3), "float32"))), np.full((1, 2, 2, 3), 2.0))


def subclass_of_a_dense():
    """The added weight goes into files and back. Plain: Keras 3 leaves it out of the file."""
    model = keras.Sequential([keras.Input((3,)), ScaledDense(2, name="scaled")])
    model.layers[-1].scale.assign([5.0, 7.0])
    loaded = through_a_file(model, {"ScaledDense": ScaledDense})
    np.testing.assert_allclose(get_weights(loaded)["scaled/scale"], [5.0, 7.0])


def a_layer_written_for_keras_2():
    """Its `add_weight` and shapes work everywhere. Plain: Keras 3 raises."""
    model = keras.Sequential([keras.Input((3,)), WrittenForKeras2()])
    assert [tuple(weight.shape) for weight in model.trainable_weights] == [(3,)]
    np.testing.assert_allclose(as_numpy(model(np.ones((2, 3), "float32"))), np.ones((2, 3)))


def through_a_file(model, custom_objects=None):
    """The model, saved and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        return keras.models.load_model(path, custom_objects=custom_objects)


FORMS = (
    *(dense_with_activation_and_config, attention_over_a_sequence, subclass_of_a_pooling, subclass_of_a_dense),
    a_layer_written_for_keras_2,
)
TRAIN = ()

if __name__ == "__main__":
    run(FORMS)
