"""Finding what is wrong: where a NaN comes from, and why a weight does not train.

    python examples/debugging.py

Plain Keras has nothing for either that works on every release and backend.
"""
# ruff: noqa: D102 - Keras says what call is

import keras
import numpy as np
from running import run

from keras_buildfix import check_finite, check_gradients, freeze

X = np.random.RandomState(0).rand(8, 3).astype("float32")
Y = X.sum(axis=1, keepdims=True)


class SkipsOne(keras.Model):
    """A model that makes three layers and forgets to use the output of one."""

    def __init__(self, **options):
        super().__init__(**options)
        self.body = keras.layers.Dense(4, activation="tanh", name="body")
        self.forgotten = keras.layers.Dense(4, name="forgotten")
        self.top = keras.layers.Dense(1, name="top")

    def call(self, x):
        x = self.body(x)
        self.forgotten(x)
        return self.top(x)


def new_model():
    """Two dense layers."""
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, activation="tanh", name="body"),
            keras.layers.Dense(1, name="top"),
        ]
    )


def a_nan_in_the_data():
    """The finding names the input and the place in it, not the last layer where the NaN was seen."""
    model = new_model()
    assert check_finite(model, X).ok
    x = X.copy()
    x[2, 1] = np.nan
    first = check_finite(model, x).first
    assert first.kind == "input"
    assert first.nan == 1
    assert tuple(first.first_index) == (2, 1)


def a_nan_in_a_weight():
    """The finding names the weight."""
    model = new_model()
    kernel, bias = model.layers[-1].get_weights()
    kernel[0] = np.inf
    model.layers[-1].set_weights([kernel, bias])
    first = check_finite(model, X).first
    assert (first.kind, first.inf) == ("weight", 1)
    assert "top" in first.name or "top" in first.layer


def gradients():
    """Each weight of a sound model has a gradient; a frozen layer and one without a part in the loss are named."""
    model = SkipsOne()
    model(X)
    freeze(model, "body")
    report = check_gradients(model, X, Y, "mse")
    verdicts = {weight.name: weight.verdict for weight in report.weights}
    assert verdicts["top/kernel"] == "ok"
    assert verdicts["body/kernel"] == "not trained"
    assert verdicts["forgotten/kernel"] in ("none", "zero")


FORMS = (a_nan_in_the_data, a_nan_in_a_weight, gradients)
TRAIN = (gradients,)

if __name__ == "__main__":
    run(FORMS)
