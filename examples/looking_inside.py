"""Looking inside a model: summary, a drawing, and the outputs of its layers.

    python examples/looking_inside.py

Plain Keras does the first two; the outputs inside a subclassed model need keras_buildfix.
"""
# ruff: noqa: D102 - Keras says what call is

import importlib.util
import io
import os
import shutil
import tempfile

import keras
import numpy as np
from running import as_numpy, run

from keras_buildfix import intermediate_outputs

X = np.random.RandomState(0).rand(4, 3).astype("float32")


class Own(keras.Model):
    """A subclassed model. Keras itself shows the outputs inside a Functional model only."""

    def __init__(self, **options):
        super().__init__(**options)
        self.hidden = keras.layers.Dense(5, activation="relu", name="hidden")
        self.top = keras.layers.Dense(2, name="top")

    def call(self, x):
        return self.top(self.hidden(x))


def new_model():
    """Two dense layers."""
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(5, activation="relu", name="hidden"),
            keras.layers.Dense(2, name="top"),
        ]
    )


def summary():
    """`summary` of any built model, printed or as text. Plain Keras does this alike."""
    model = Own()
    model(X)
    for each in (new_model(), model):
        text = io.StringIO()
        each.summary(print_fn=lambda line, text=text, **_: print(line, file=text))
        assert "hidden" in text.getvalue()
        assert "32" in text.getvalue()  # (3 * 5 + 5) + (5 * 2 + 2) parameters


def drawing():
    """`plot_model` draws the layers. It needs pydot and graphviz."""
    if not (importlib.util.find_spec("pydot") and shutil.which("dot")):
        return "needs pydot and graphviz"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.png")
        keras.utils.plot_model(new_model(), path, show_shapes=True)
        assert os.path.getsize(path) > 0
    return None


def outputs_of_layers():
    """By name, of a Sequential and of a subclassed model.

    Plain: `keras.Model(model.inputs, layer.output)` works for Sequential and Functional models; a subclassed model has
    no such tensors.
    """
    for model in (new_model(), Own()):
        expected = np.asarray(model.predict_on_batch(X))
        found = intermediate_outputs(model, ["hidden", "top"], X)
        assert np.shape(found["hidden"]) == (4, 5)
        np.testing.assert_allclose(as_numpy(found["top"]), expected, rtol=1e-5)


FORMS = (summary, drawing, outputs_of_layers)
TRAIN = ()

if __name__ == "__main__":
    run(FORMS)
