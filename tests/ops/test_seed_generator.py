"""`random.SeedGenerator` in a layer: each draw differs, and it is no weight that a file or a copy could miss."""

import copy
import pickle

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import PortableLayerMixin, get_weights, ops, random

IS_KERAS_2 = not hasattr(KERAS, "ops")
only_keras_2 = pytest.mark.skipif(not IS_KERAS_2, reason="Keras 3 has its own")
X = np.ones((4, 8), "float32")
register = (KERAS.saving if hasattr(KERAS, "ops") else KERAS.utils).register_keras_serializable


@register("test_seed_generator")
class Noisy(PortableLayerMixin, KERAS.layers.Layer):
    """Adds noise in training; `always` also in inference."""

    def __init__(self, always=False, **kwargs):
        super().__init__(**kwargs)
        self.always = always
        self.seed_generator = random.SeedGenerator(1337)

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, inputs, training=False):
        noise = random.normal(ops.shape(inputs), seed=self.seed_generator) if training or self.always else 0.0
        return inputs * self.scale + noise

    def get_config(self):
        return {**super().get_config(), "always": self.always}


def model_of(always=False):
    inputs = KERAS.Input((8,))
    return KERAS.Model(inputs, KERAS.layers.Dense(2)(Noisy(always, name="noisy")(inputs)))


def plain_models_are_pickled():
    """Not on 3.0, nor, after `fit`, on 3.2 with torch."""
    model = KERAS.Sequential([KERAS.Input((8,)), KERAS.layers.Dense(2)])
    try:
        pickle.dumps(model)
    except Exception:
        return False
    return True


def test_draws_differ_and_go_on():
    first, second, again = random.SeedGenerator(3), random.SeedGenerator(3), random.SeedGenerator(4)
    one, two = (ops.convert_to_numpy(random.uniform((4,), seed=first)) for _ in range(2))
    assert not np.allclose(one, two)
    np.testing.assert_array_equal(ops.convert_to_numpy(random.uniform((4,), seed=second)), one)
    assert not np.allclose(ops.convert_to_numpy(random.uniform((4,), seed=again)), one)
    assert random.SeedGenerator.from_config(first.get_config()).get_config() == first.get_config()


def test_a_layer_keeps_one_that_is_no_weight(tmp_path):
    model = model_of()
    layer = model.get_layer("noisy")
    assert [weight.shape for weight in layer.weights] == [(8,)]
    assert len(get_weights(model)) == 3 == len(model.get_weights())
    if INFO.backend != "numpy":
        model.compile("sgd", "mse")
        model.fit(X, X[:, :2], verbose=0)
    expected = model.predict(X, verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = KERAS.models.load_model(tmp_path / "model.keras")
    cloned = KERAS.models.clone_model(model)
    cloned.load_weights(tmp_path / "model.weights.h5")
    pickled = [pickle.loads(pickle.dumps(model))] if plain_models_are_pickled() else []
    for each in (loaded, cloned, *pickled):
        np.testing.assert_allclose(each.predict(X, verbose=0), expected, rtol=1e-6)
        assert len(each.get_layer("noisy").weights) == 1


def test_seeds_that_are_none_are_refused():
    for seed in ("7", 1.5, [1, 2]):
        with pytest.raises(ValueError, match="seed"):
            random.normal((2,), seed=seed)
        with pytest.raises(ValueError, match="seed"):
            random.SeedGenerator(seed)
    with pytest.raises(ValueError, match="flavour"):
        random.SeedGenerator(1, flavour="sweet")
    with pytest.raises(ValueError, match="int32"):
        random.uniform((2,), dtype="int32")
    with pytest.raises(ValueError, match="float32"):
        random.randint((2,), 0, 3, dtype="float32")


@only_keras_2
def test_the_state_advances_in_a_function_and_copies_go_on_alone():
    import tensorflow as tf

    generator = random.SeedGenerator(3)
    draw = tf.function(lambda: random.uniform((4,), seed=generator))
    one, two = draw().numpy(), draw().numpy()
    fresh = random.SeedGenerator(3)
    np.testing.assert_array_equal(random.uniform((4,), seed=fresh), one)
    np.testing.assert_array_equal(random.uniform((4,), seed=fresh), two)
    assert generator.state.numpy().tolist() == [3, 2]
    for copied in (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        assert copied.get_config() == generator.get_config()
        following = random.uniform((4,), seed=copied).numpy()
        assert generator.state.numpy().tolist() == [3, 2]
    np.testing.assert_array_equal(random.uniform((4,), seed=generator), following)
    unseeded = tf.function(lambda: random.uniform((4,)))
    assert not np.allclose(unseeded(), unseeded())
    tf.random.set_seed(5)
    one = random.normal((4,)).numpy()
    tf.random.set_seed(5)
    np.testing.assert_array_equal(random.normal((4,)), one)


@only_keras_2
def test_a_saved_model_and_a_checkpoint_have_the_state(tmp_path):
    import tensorflow as tf

    model = model_of(always=True)
    one, two = model.predict(X, verbose=0), model.predict(X, verbose=0)
    assert not np.allclose(one, two)
    model.save_weights(tmp_path / "checkpoint" if INFO.version < "2.16" else tmp_path / "c.weights.h5")
    model.save(tmp_path / "saved", save_format="tf")
    served = tf.saved_model.load(str(tmp_path / "saved"))
    three = served(X).numpy()
    np.testing.assert_allclose(model.predict(X, verbose=0), three, rtol=1e-5)
    loaded = KERAS.models.load_model(tmp_path / "saved")
    np.testing.assert_allclose(loaded.predict(X, verbose=0), three, rtol=1e-5)


@only_keras_2
def test_a_symbolic_tensor_is_refused():
    with pytest.raises(ValueError, match="Call it in the `call`"):
        random.dropout(KERAS.Input((3,)), 0.5, seed=3)
