"""Your own `@tf.function` on `call`: for TensorFlow only, as the other backends compile in their own way.

    python examples/tf_function.py

Keras 2 trains such a model, Keras 3 does with `TFFunctionMixin`.
"""
# ruff: noqa: D102 - Keras says what call is

import keras
import numpy as np
from running import run

from keras_buildfix import TFFunctionMixin, get_weights, keras_info

ON_TENSORFLOW = keras_info(keras).backend == "tensorflow"
if ON_TENSORFLOW:
    import tensorflow as tf


class Compiled(TFFunctionMixin, keras.Model):
    """A model whose call is traced by TensorFlow, with control flow that depends on a value."""

    def __init__(self, **options):
        super().__init__(**options)
        self.hidden = keras.layers.Dense(4, activation="tanh")
        self.top = keras.layers.Dense(1)

    def call(self, x):
        if tf.reduce_sum(x) > 0.0:  # tf.function makes a part of the graph of it
            x = x * 2.0
        return self.top(self.hidden(x))

    if ON_TENSORFLOW:
        call = tf.function(call)  # as `@tf.function` above it


def call_under_a_function():
    """The model trains, and all its weights change.

    Plain Keras 3: "No gradients provided for any variable", as TensorFlow keeps the trace of a run without weights.
    """
    if not ON_TENSORFLOW:
        return "needs TensorFlow"
    keras.utils.set_random_seed(0)
    x = np.random.RandomState(0).rand(16, 3).astype("float32")
    model = Compiled()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    first = model.fit(x, x[:, :1], verbose=0).history["loss"]
    before = get_weights(model)
    second = model.fit(x, x[:, :1], verbose=0).history["loss"]
    assert second < first
    assert all((value != before[name]).any() for name, value in get_weights(model).items())
    return None


FORMS = (call_under_a_function,)
TRAIN = ()

if __name__ == "__main__":
    run(FORMS)
