"""Sharing weights: two towers with one encoder, tied embeddings, and which layers may serve two places.

    python examples/sharing.py

One layer in two places is plain Keras. `share_weights` and `check_reuse` are what Keras lacks.
"""
# ruff: noqa: D102 - Keras says what build and call are

import os
import tempfile

import keras
import numpy as np
from running import run

from keras_buildfix import check_reuse, load_weights, named_weights, save_weights, share_weights

if not hasattr(keras, "ops"):
    import tensorflow as tf


class TiedDense(keras.layers.Layer):
    """A dense layer from vectors to words whose kernel is the matrix of an Embedding, transposed."""

    def __init__(self, embedding, **options):
        super().__init__(**options)
        self.embedding = embedding

    def build(self, input_shape):
        if not self.embedding.built:
            self.embedding.build((None, None))
        self.bias = self.add_weight(name="bias", shape=(self.embedding.input_dim,), initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        transpose = keras.ops.transpose if hasattr(keras, "ops") else tf.transpose  # Keras 2 has no keras.ops
        return x @ transpose(self.embedding.embeddings) + self.bias


class LanguageModel(keras.Model):
    """Word numbers in, a score for each word out; the first and the last matrix are one."""

    def __init__(self, words, units, **options):
        super().__init__(**options)
        self.embedding = keras.layers.Embedding(words, units, name="embedding")
        self.pool = keras.layers.GlobalAveragePooling1D()
        self.top = TiedDense(self.embedding, name="top")

    def call(self, numbers):
        return self.top(self.pool(self.embedding(numbers)))


class TwoPlaces(keras.Model):
    """One layer that is called on two inputs, which may have different widths."""

    def __init__(self, layer, **options):
        super().__init__(**options)
        self.shared = layer

    def call(self, inputs):
        left, right = inputs
        return [self.shared(left), self.shared(right)]


def two_towers_with_one_encoder():
    """One layer called twice is one set of weights. Plain Keras does this alike everywhere."""
    encoder = keras.layers.Dense(3, activation="tanh", name="encoder")
    left, right = keras.Input((4,)), keras.Input((4,))
    near = keras.layers.Dot(axes=1, normalize=True)([encoder(left), encoder(right)])
    model = keras.Model([left, right], near)
    assert len(model.weights) == 2
    x = np.random.RandomState(0).rand(5, 4).astype("float32")
    np.testing.assert_allclose(model.predict([x, x], verbose=0), np.ones((5, 1)), rtol=1e-5)


def two_towers_made_apart():
    """Two layers that exist already use one set of variables from now on, and train it together.

    Plain: Keras 2 takes `right.kernel = left.kernel` once both are built; Keras 3 raises.
    """
    keras.utils.set_random_seed(0)
    left, right = keras.layers.Dense(3, name="left"), keras.layers.Dense(3, name="right")
    share_weights(left, right)
    inputs = [keras.Input((4,)), keras.Input((4,))]
    model = keras.Model(inputs, keras.layers.Add()([left(inputs[0]), right(inputs[1])]))
    assert len(model.weights) == 2
    model.compile("sgd", "mse")
    model.train_on_batch([np.ones((2, 4)), np.ones((2, 4))], np.ones((2, 3)))
    np.testing.assert_array_equal(left.get_weights()[0], right.get_weights()[0])


def tied_embeddings():
    """The matrix counts once, gets the gradients of both places, and is still one after loading."""
    keras.utils.set_random_seed(0)
    x = np.random.RandomState(0).randint(0, 6, (8, 5)).astype("int32")
    model = LanguageModel(6, 4)
    assert np.shape(model(x)) == (8, 6)
    assert len(named_weights(model)) == 2
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = model.fit(x, x[:, 0], epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]

    other = LanguageModel(6, 4)
    other(x)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tied.weights.h5")
        save_weights(model, path)
        assert len(load_weights(other, path).assigned) == 2
    np.testing.assert_allclose(other.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-4, atol=1e-6)
    assert other.top.embedding is other.embedding


def a_pooling_at_two_widths():
    """A layer without weights may serve any places. Plain Keras does this alike everywhere."""
    model = TwoPlaces(keras.layers.GlobalAveragePooling1D())
    x = [np.ones((2, 5, 3), "float32"), np.ones((2, 5, 7), "float32")]
    assert [tuple(each.shape) for each in model(x)] == [(2, 3), (2, 7)]


def a_normalization_at_two_widths():
    """A layer whose weights have the width of its input can't: `check_reuse` names it, and both shapes.

    Plain: an error from deep inside, which differs from Keras to Keras and names no place.
    """
    model = TwoPlaces(keras.layers.BatchNormalization(name="norm"))
    (finding,) = check_reuse(model, [np.ones((2, 6), "float32"), np.ones((2, 16), "float32")]).errors
    assert finding.layer == "norm" or finding.layer.endswith("/norm")
    assert finding.cls == "BatchNormalization"
    assert "6" in finding.message
    assert "16" in finding.message

    pooling = TwoPlaces(keras.layers.GlobalAveragePooling1D())
    assert not check_reuse(pooling, [np.ones((2, 5, 6), "float32"), np.ones((2, 5, 16), "float32")]).errors


FORMS = (
    *(two_towers_with_one_encoder, two_towers_made_apart, tied_embeddings, a_pooling_at_two_widths),
    a_normalization_at_two_widths,
)
TRAIN = (two_towers_made_apart, tied_embeddings)

if __name__ == "__main__":
    run(FORMS)
