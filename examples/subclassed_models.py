"""Subclassed models: an MLP with dropout, residual blocks, layers from a list of sizes, a branch by a keyword.

    python examples/subclassed_models.py

The layers are made in `__init__` and get their weights in the first call. Do not rely on `model.build(shape)`: Keras 2
then builds such a model, Keras 3 only warns and leaves it without weights. Plain Keras does the rest alike everywhere.
"""
# ruff: noqa: D102 - Keras says what call is

import keras
import numpy as np
from running import as_numpy, run

from keras_buildfix import get_weights


class MLP(keras.Model):
    """Two dense layers with dropout between them, which `training` switches on."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.hidden = keras.layers.Dense(units, activation="relu")
        self.dropout = keras.layers.Dropout(0.5)
        self.top = keras.layers.Dense(1)

    def call(self, x, training=False):
        return self.top(self.dropout(self.hidden(x), training=training))


class Block(keras.layers.Layer):
    """conv, norm, conv, norm, plus a short way, which has a strided convolution where the size changes."""

    def __init__(self, filters, strides=1, **options):
        super().__init__(**options)
        self.conv_1 = keras.layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)
        self.norm_1 = keras.layers.BatchNormalization()
        self.conv_2 = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
        self.norm_2 = keras.layers.BatchNormalization()
        self.short = keras.layers.Conv2D(filters, 1, strides) if strides > 1 else None
        self.relu = keras.layers.ReLU()

    def call(self, x, training=False):
        y = self.relu(self.norm_1(self.conv_1(x), training=training))
        y = self.norm_2(self.conv_2(y), training=training)
        return self.relu(y + (x if self.short is None else self.short(x)))


class ResNet(keras.Model):
    """Blocks, then the mean over the image and a dense layer."""

    def __init__(self, **options):
        super().__init__(**options)
        self.blocks = [Block(4), Block(8, strides=2)]
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.top = keras.layers.Dense(2)

    def call(self, x, training=False):
        for block in self.blocks:
            x = block(x, training=training)
        return self.top(self.pool(x))


class FromSizes(keras.Model):
    """A dense layer for each size."""

    def __init__(self, sizes, **options):
        super().__init__(**options)
        self.stack = [keras.layers.Dense(size, activation="tanh") for size in sizes]

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x


class TwoHeads(keras.Model):
    """A body, and the head that the caller picks by a keyword."""

    def __init__(self, **options):
        super().__init__(**options)
        self.body = keras.layers.Dense(4, activation="tanh")
        self.heads = {"left": keras.layers.Dense(1, name="left"), "right": keras.layers.Dense(2, name="right")}
        self.left, self.right = self.heads["left"], self.heads["right"]

    def call(self, x, head="left"):
        return self.heads[head](self.body(x))


def mlp_with_dropout():
    """Dropout acts in training only, and the model learns."""
    keras.utils.set_random_seed(0)
    x = np.random.RandomState(0).rand(32, 4).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model = MLP(16)
    np.testing.assert_array_equal(as_numpy(model(x)), as_numpy(model(x, training=False)))
    assert (as_numpy(model(x, training=True)) != as_numpy(model(x))).any()
    model.compile("adam", "mse")
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=4, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before


def residual_blocks():
    """The strided block halves the image, its short way too; training moves the statistics of each norm."""
    keras.utils.set_random_seed(0)
    x = np.random.RandomState(0).rand(4, 8, 8, 4).astype("float32")
    model = ResNet()
    assert np.shape(model(x)) == (4, 2)
    assert tuple(model.blocks[1](x).shape) == (4, 4, 4, 8)
    before = get_weights(model)
    model.compile("sgd", "mse")
    model.train_on_batch(x, np.ones((4, 2), "float32"))
    changed = {name for name, value in get_weights(model).items() if (value != before[name]).any()}
    statistics = {name for name in before if "moving" in name}
    assert len(statistics) == 8
    assert statistics <= changed


def layers_from_a_list_of_sizes():
    """A list of layers is tracked like single ones: after the first call the model has the weights of all."""
    model = FromSizes([8, 4, 2], name="sizes")
    assert np.shape(model(np.ones((5, 3), "float32"))) == (5, 2)
    shapes = [tuple(weight.shape) for weight in model.weights]
    assert shapes == [(3, 8), (8,), (8, 4), (4,), (4, 2), (2,)]


def a_branch_by_a_keyword():
    """Only the layers of the branches that were called have weights."""
    model = TwoHeads()
    x = np.ones((3, 4), "float32")
    assert np.shape(model(x)) == (3, 1)
    assert not model.right.built
    assert np.shape(model(x, head="right")) == (3, 2)
    assert len(model.weights) == 6


FORMS = (mlp_with_dropout, residual_blocks, layers_from_a_list_of_sizes, a_branch_by_a_keyword)
TRAIN = (mlp_with_dropout, residual_blocks)

if __name__ == "__main__":
    run(FORMS)
