"""Functional models: several inputs and outputs, residual blocks, and a model inside a model.

    python examples/functional.py

Plain Keras does all of this alike, on every release from 2.12 to nightly.
"""

import keras
import numpy as np
from running import run


def several_inputs_and_outputs():
    """A text as word numbers and a vector of facts go in; a price and a kind come out, each with its own loss."""
    keras.utils.set_random_seed(0)
    words = keras.Input((6,), dtype="int32", name="words")
    facts = keras.Input((3,), name="facts")
    text = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(20, 4)(words))
    both = keras.layers.Concatenate()([text, facts])
    price = keras.layers.Dense(1, name="price")(both)
    kind = keras.layers.Dense(2, activation="softmax", name="kind")(both)
    model = keras.Model([words, facts], [price, kind])

    draw = np.random.RandomState(0)
    x = [draw.randint(0, 20, (16, 6)).astype("int32"), draw.rand(16, 3).astype("float32")]
    y = [x[1].sum(axis=1, keepdims=True), (x[0][:, 0] > 9).astype("int32")]
    outputs = model(x)
    assert [tuple(each.shape) for each in outputs] == [(16, 1), (16, 2)]
    model.compile("adam", ["mse", "sparse_categorical_crossentropy"], loss_weights=[1.0, 0.5])
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def residual_blocks():
    """Each block adds what it computes to what it got; a wider block needs a convolution on the short way, too."""

    def block(x, filters):
        short = x
        if x.shape[-1] != filters:
            short = keras.layers.Conv2D(filters, 1, name=f"short_{filters}")(x)
        x = keras.layers.Conv2D(filters, 3, padding="same")(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        x = keras.layers.Conv2D(filters, 3, padding="same")(x)
        return keras.layers.Add()([short, x])

    inputs = keras.Input((8, 8, 3))
    x = block(inputs, 4)
    x = block(x, 4)
    x = block(x, 8)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    assert np.shape(model(np.ones((2, 8, 8, 3), "float32"))) == (2, 8)
    assert [layer.name for layer in model.layers if layer.name.startswith("short")] == ["short_4", "short_8"]


def a_model_as_a_layer():
    """A model is a layer: it is called in another model, and its weights are part of that model."""
    encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="tanh")], name="encoder")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1)(encoder(inputs)))
    assert len(model.weights) == 4
    assert model.get_layer("encoder").layers[-1].units == 3
    x = np.ones((2, 4), "float32")
    before = np.asarray(model.predict(x, verbose=0))
    encoder.set_weights([2.0 * value for value in encoder.get_weights()])
    assert (np.asarray(model.predict(x, verbose=0)) != before).all()


FORMS = (several_inputs_and_outputs, residual_blocks, a_model_as_a_layer)
TRAIN = (several_inputs_and_outputs,)

if __name__ == "__main__":
    run(FORMS)
