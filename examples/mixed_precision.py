"""Mixed precision: a model computes in a short float and keeps its weights in float32.

    python examples/mixed_precision.py

`mixed_bfloat16` runs on every processor; `mixed_float16` is for GPUs.
"""
# ruff: noqa: D102 - Keras says what call is

import keras
import numpy as np
from running import run

from keras_buildfix import compute_dtype, dtype_policy_scope, mixed_precision_safe, variable_dtype

X = np.random.RandomState(0).rand(16, 4).astype("float32")
Y = X.sum(axis=1, keepdims=True)


@mixed_precision_safe
class Gate(keras.layers.Layer):
    """x times a gate. Keras 2 casts the first argument only; the decorator casts the gate too."""

    def call(self, x, gate=None):
        return x * gate


class Gated(keras.Model):
    """A dense layer whose output is weighed by another one, which computes in float32."""

    def __init__(self, gate, **options):
        super().__init__(**options)
        self.body = keras.layers.Dense(4, activation="relu")
        self.weigh = keras.layers.Dense(4, activation="sigmoid", dtype="float32")
        self.gate = gate
        self.top = keras.layers.Dense(1, dtype="float32")  # the last layer in float32, or the loss is coarse

    def call(self, x):
        return self.top(self.gate(self.body(x), gate=self.weigh(x)))


def training():
    """Plain Keras does this alike, but for the scope: it sets the policy for the whole process."""
    keras.utils.set_random_seed(0)
    with dtype_policy_scope("mixed_bfloat16"):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8, activation="relu"),
                keras.layers.Dense(1, dtype="float32"),
            ]
        )
    assert (compute_dtype(model.layers[0]), variable_dtype(model.layers[0])) == ("bfloat16", "float32")
    assert compute_dtype(keras.layers.Dense(1)) == "float32"
    model.compile("adam", "mse")
    losses = model.fit(X, Y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def a_layer_with_two_floats():
    """A second floating argument is cast like the first. Plain: on Keras 2 it stays float32, and TensorFlow raises."""
    keras.utils.set_random_seed(0)
    with dtype_policy_scope("mixed_bfloat16"):
        model = Gated(Gate())
    model.compile("adam", "mse")
    losses = model.fit(X, Y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert "float32" in str(model(X).dtype)


FORMS = (training, a_layer_with_two_floats)
TRAIN = (training, a_layer_with_two_floats)

if __name__ == "__main__":
    run(FORMS)
