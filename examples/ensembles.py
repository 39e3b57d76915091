"""Ensembles: the average of models, and a mean whose weights are learned.

    python examples/ensembles.py

Layers and models in a list of a model are tracked; a raw variable is, with keras_buildfix.
"""
# ruff: noqa: D102 - Keras says what call is

import keras
import numpy as np
from running import run

from keras_buildfix import PortableLayerMixin, frozen, get_weights, raw_weight

X = np.random.RandomState(0).rand(32, 3).astype("float32")


class Mixture(PortableLayerMixin, keras.Model):
    """The sum of what its members say, each times a number that is learned.

    A `tf.Variable` in such a place is a weight on Keras 2 only. Keras 3 neither trains nor saves it, without a word.
    """

    def __init__(self, members, **options):
        super().__init__(**options)
        self.members = list(members)
        self.shares = [raw_weight(1.0 / len(self.members), name=f"share_{at}") for at in range(len(self.members))]

    def call(self, x):
        total = 0.0
        for member, share in zip(self.members, self.shares):
            total = total + member(x) * share
        return total


def constant(value):
    """A model that says `value` times the sum of its input."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.full((3, 1), value)])
    return model


def average():
    """A Functional model of models. Plain Keras does this alike everywhere."""
    members = [constant(value) for value in (1.0, 2.0, 6.0)]
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Average()([member(inputs) for member in members]))
    np.testing.assert_allclose(model.predict(X, verbose=0), 3.0 * X.sum(axis=1, keepdims=True), rtol=1e-5)


def learned_weights():
    """The members stay as they are; their shares are trained, and go to the better member."""
    model = Mixture([constant(1.0), constant(-1.0)])
    model(X)
    assert len(model.weights) == 4
    y = X.sum(axis=1, keepdims=True)  # the first member is right
    with frozen(model, keras.Sequential):
        assert len(model.trainable_weights) == 2
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(X, y, epochs=5, verbose=0)
    weights = get_weights(model)
    first, second = (float(value) for name, value in weights.items() if "share" in name)
    assert first > 0.6
    assert second < 0.4
    kernels = [float(value[0, 0]) for name, value in weights.items() if "kernel" in name]
    assert kernels == [1.0, -1.0]


FORMS = (average, learned_weights)
TRAIN = (learned_weights,)

if __name__ == "__main__":
    run(FORMS)
