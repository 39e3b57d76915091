"""Sequential models: from a list, by `add`, with `Input`, with `input_shape=`, and without either.

    python examples/sequential.py

Plain Keras does the first four alike, on every release from 2.12 to nightly. The last one needs keras_buildfix.
"""

import keras
import numpy as np
from running import as_numpy, run

from keras_buildfix import get_weights, set_weights

X = np.random.RandomState(0).rand(32, 4).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def from_a_list():
    """A list of layers with `Input` first: the model is built at once, and trains."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    assert model.built
    assert model.count_params() == 4 * 8 + 8 + 8 * 1 + 1
    model.compile("adam", "mse")
    before = model.evaluate(X, Y, verbose=0)
    model.fit(X, Y, epochs=3, verbose=0)
    assert model.evaluate(X, Y, verbose=0) < before


def by_add():
    """Layers added and removed one at a time."""
    model = keras.Sequential(name="by_add")
    model.add(keras.Input((4,)))
    for units in (8, 4, 2):
        model.add(keras.layers.Dense(units, activation="relu"))
    model.pop()
    model.add(keras.layers.Dense(1, name="head"))
    assert [layer.units for layer in model.layers] == [8, 4, 1]
    assert np.shape(model(X)) == (32, 1)


def with_input_shape():
    """The old way: the first layer gets `input_shape=`. Keras 3 warns, and does what it always did."""
    model = keras.Sequential([keras.layers.Dense(8, input_shape=(4,)), keras.layers.Dense(1)])
    assert model.built
    assert len(model.weights) == 4
    assert np.shape(model(X)) == (32, 1)


def with_several_axes():
    """An image in, a class out: Input says height, width and channels, never the batch."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    assert tuple(model.output_shape) == (None, 10)
    classes = np.asarray(model.predict(np.ones((2, 8, 8, 3), "float32"), verbose=0))
    np.testing.assert_allclose(classes.sum(axis=1), [1.0, 1.0], rtol=1e-5)


def without_an_input_shape():
    """No shape is given: the layers are built by the first call, and values for the weights are given before it.

    Plain: `model.set_weights` of such a model raises, on Keras 2 and 3. `set_weights` of keras_buildfix keeps the
    values until the weights are there.
    """
    trained = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model = keras.Sequential([keras.layers.Dense(8), keras.layers.Dense(1)])
    report = set_weights(model, get_weights(trained))
    assert len(report.waiting) == 4
    np.testing.assert_allclose(as_numpy(model(X)), as_numpy(trained(X)), rtol=1e-5)


FORMS = (from_a_list, by_add, with_input_shape, with_several_axes, without_an_input_shape)
TRAIN = (from_a_list,)

if __name__ == "__main__":
    run(FORMS)
