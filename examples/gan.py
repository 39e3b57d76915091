"""A GAN: its two parts train in turns, each while the other is frozen.

    python examples/gan.py

One step of each part at a time, on models that are compiled once.
"""

import keras
import numpy as np
from running import run

from keras_buildfix import frozen, get_weights


def in_turns():
    """Two models are compiled once each: the discriminator, and both parts as one.

    Plain, no one way is right everywhere. `discriminator.trainable = False` between the two `compile` is right on
    Keras 2, where `compile` remembers the flag; on Keras 3 the discriminator then never trains. The flag set around
    each step, as here, has no effect on Keras 2.
    """
    keras.utils.set_random_seed(0)
    layers = keras.layers
    generator = keras.Sequential([keras.Input((2,)), layers.Dense(8, activation="relu"), layers.Dense(2)])
    discriminator = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(8, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    both = keras.Sequential([keras.Input((2,)), generator, discriminator])
    both.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")
    # The part is compiled last: on Keras 3.6, to compile a model takes the loss away from the models in it.
    discriminator.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")

    draw = np.random.RandomState(0)
    real, noise = (draw.normal(shift, 1.0, (16, 2)).astype("float32") for shift in (3.0, 0.0))
    ones, zeros = np.ones((16, 1), "float32"), np.zeros((16, 1), "float32")
    for _ in range(2):
        before = get_weights(generator), get_weights(discriminator)
        discriminator.train_on_batch(real, ones)
        discriminator.train_on_batch(generator.predict_on_batch(noise), zeros)
        after = get_weights(generator), get_weights(discriminator)
        assert not differ(before[0], after[0])
        assert differ(before[1], after[1])

        with frozen(discriminator):
            both.train_on_batch(noise, ones)
        assert differ(after[0], get_weights(generator))
        assert not differ(after[1], get_weights(discriminator))
    assert len(discriminator.trainable_weights) == 4


def differ(one, other):
    """Whether any weight differs."""
    return any((value != other[name]).any() for name, value in one.items())


FORMS = (in_turns,)
TRAIN = (in_turns,)

if __name__ == "__main__":
    run(FORMS)
