"""Saving and moving: whole models, weights only, from model to model, and TensorFlow's checkpoints.

    python examples/saving.py

Whole models are saved with plain Keras. Weights alone, in parts, or across versions go with keras_buildfix.
"""

import os
import tempfile

import keras
import numpy as np
from running import run

from keras_buildfix import keras_info, load_weights, save_weights, transfer_weights

X = np.random.RandomState(0).rand(4, 3).astype("float32")
Y = np.ones((4, 2), "float32")


def new_model(head="head"):
    """A model with a norm, so that there are weights that are not trained."""
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, activation="tanh", name="body"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(2, name=head),
        ]
    )


def whole_model_as_keras_file():
    """`.keras` holds the architecture, the weights and the state of training. Plain Keras does this alike."""
    model = trained_model()
    loaded = through_a_file(model, "model.keras")
    for _ in range(2):
        np.testing.assert_allclose(predicted(loaded), predicted(model), rtol=1e-4, atol=1e-6)
        for each in (model, loaded):
            each.train_on_batch(X, Y)


def whole_model_as_h5_file():
    """`.h5` is the old format. Keras 3 reads and writes it still, and warns.

    The loss is an object here: Keras 3 can't read the loss "mse" from a `.h5` that it wrote itself. Compile the model
    again after loading: the optimizer that Keras 3 reads from it can't train (it was built without weights).
    """
    model = trained_model()
    loaded = through_a_file(model, "model.h5", compile=False)
    np.testing.assert_allclose(predicted(loaded), predicted(model), rtol=1e-4, atol=1e-6)
    loaded.compile("adam", "mse")
    loaded.train_on_batch(X, Y)
    assert (predicted(loaded) != predicted(model)).any()


def trained_model():
    """A model after a step of training."""
    keras.utils.set_random_seed(0)
    model = new_model()
    model.compile("adam", keras.losses.MeanSquaredError())
    model.train_on_batch(X, Y)
    return model


def through_a_file(model, name, **options):
    """The model, saved and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        model.save(path)
        return keras.models.load_model(path, **options)


def weights_under_any_name():
    """Any Keras writes and reads these names, and the files of the others.

    Plain: Keras 3 takes names that end in `.weights.h5` only. Keras 2 takes all of these, but what it writes as
    `weights` or `weights.npz` is a checkpoint of TensorFlow, which Keras 3 does not read.
    """
    model = new_model()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("weights", "weights.safetensors", "weights.npz", "weights.h5", "model.weights.h5"):
            path = os.path.join(folder, name)
            save_weights(model, path)
            other = new_model()
            assert len(load_weights(other, path).assigned) == 8
            np.testing.assert_allclose(predicted(other), predicted(model), rtol=1e-5)


def from_model_to_model():
    """The weights of one model go into another whose head has another name. Plain: `set_weights` by order."""
    model, other = new_model(), new_model("top")
    transfer_weights(model, other, rename=[("^head/", "top/")])
    np.testing.assert_allclose(predicted(other), predicted(model), rtol=1e-5)


def the_body_only():
    """A part goes through a file into a model with another head. Plain: `by_name` of `.h5` files, on 2 and 3."""
    model, other = new_model(), new_model("top")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "body.safetensors")
        save_weights(model, path, exclude="head")
        assert len(load_weights(other, path, exclude="top").assigned) == 6
    body, other_body = (each.get_weights()[:6] for each in (model, other))
    for value, expected in zip(other_body, body):
        np.testing.assert_array_equal(value, expected)
    assert (other.get_weights()[6] != model.get_weights()[6]).any()


def through_a_checkpoint():
    """`tf.train.Checkpoint` moves the weights, on TensorFlow. Elsewhere `save_weights` is the way."""
    model, other = new_model(), new_model()
    with tempfile.TemporaryDirectory() as folder:
        if keras_info(keras).backend == "tensorflow":
            import tensorflow as tf

            written = tf.train.Checkpoint(model=model).save(os.path.join(folder, "checkpoint"))
            tf.train.Checkpoint(model=other).restore(written).assert_existing_objects_matched()
        else:
            path = os.path.join(folder, "checkpoint.weights.h5")
            save_weights(model, path)
            load_weights(other, path)
    np.testing.assert_allclose(predicted(other), predicted(model), rtol=1e-5)


def predicted(model):
    """What a model says for the data."""
    return np.asarray(model.predict_on_batch(X))


FORMS = (
    *(whole_model_as_keras_file, whole_model_as_h5_file, weights_under_any_name, from_model_to_model, the_body_only),
    through_a_checkpoint,
)
TRAIN = (whole_model_as_keras_file, whole_model_as_h5_file)

if __name__ == "__main__":
    run(FORMS)
