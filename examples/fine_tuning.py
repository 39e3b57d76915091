"""Fine-tuning a ResNet50: freeze it, train a head, unfreeze its last stage, go on.

    python examples/fine_tuning.py

With `weights=None` and images of 32 x 32 it runs anywhere in seconds; `weights="imagenet"` is the real thing.
"""

import keras
import numpy as np
from keras import applications  # Keras 2.12 has no `keras.applications` before this line
from running import run

from keras_buildfix import freeze, get_weights, unfreeze


def head_then_last_stage():
    """The model is compiled once. The head trains first; then the last stage of the base does, too.

    Plain: after a `fit`, no Keras heeds `trainable` until the next `compile`; and to compile again with the same
    optimizer is an error ("Unknown variable" on Keras 3, a KeyError on Keras 2), so that its state is lost.
    """
    keras.utils.set_random_seed(0)
    base = applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg")
    head = keras.layers.Dense(2, activation="softmax", name="head")
    model = keras.Sequential([keras.Input((32, 32, 3)), base, head])
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    x = np.random.RandomState(0).rand(2, 32, 32, 3).astype("float32")
    y = np.array([0, 1])

    freeze(model, base)
    assert changed_by_a_step(model, x, y) == {"head"}

    unfreeze(model, "resnet50/conv5_*")
    steps = changed_by_a_step(model, x, y)
    assert "head" in steps
    assert {name.partition("_")[0] for name in steps - {"head"}} == {"conv5"}


def changed_by_a_step(model, x, y):
    """The names of the layers whose weights change in one step of training."""
    before = get_weights(model)
    model.train_on_batch(x, y)
    changed = [name for name, value in get_weights(model).items() if (value != before[name]).any()]
    return {name.split("/")[-2] for name in changed}


FORMS = (head_then_last_stage,)
TRAIN = (head_then_last_stage,)

if __name__ == "__main__":
    run(FORMS)
