"""What a layer holds is found by trial: for Keras's layers and users', built or not; and trials leave no trace."""

import json
import random
import sys

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import deferred_build, freeze, get_weights, layer_state
from keras_buildfix._keras.seeds import same_seeds
from keras_buildfix._keras.trials import own_global_state

layers = KERAS.layers
K2 = INFO.generation == 2

TRAINED, STATISTICS, FIXED, RANDOM = "trainable weights", "statistics", "fixed weights", "random state"
SHARING = "yes, sharing weights"


class Block(layers.Layer):
    """Layers in a layer, made in its constructor, built by its call."""

    def __init__(self, units=6, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = layers.Dense(units)
        self.norm = layers.BatchNormalization()
        self.drop = layers.Dropout(0.5)

    def call(self, inputs):
        return self.drop(self.norm(self.dense(inputs)))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Counts(layers.Layer):
    """Counts its calls in a weight."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, inputs):
        self.calls.assign(self.calls + 1.0)
        return inputs


class CountsInPython(layers.Layer):
    """Counts its calls in an attribute, on which its output depends."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = 0

    def call(self, inputs):
        self.calls += 1
        return inputs * float(self.calls)


class MadeAtOnce(layers.Layer):
    """Makes its weight in the constructor, for inputs with 5 features."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.kernel = self.add_weight(shape=(5, 3), initializer="ones", name="kernel")

    def call(self, inputs):
        return inputs @ self.kernel


class Flat(layers.Layer):
    """Its kernel has a row for each number of an example."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flatten, self.dense = layers.Flatten(), layers.Dense(2)

    def call(self, inputs):
        return self.dense(self.flatten(inputs))


class Pair(layers.Layer):
    """Takes two inputs, and makes a weight for both."""

    def build(self, input_shape):
        first, _ = input_shape
        self.scale = self.add_weight(shape=(first[-1],), initializer="ones", name="scale")

    def call(self, inputs):
        return inputs[0] * self.scale + inputs[1]


@deferred_build
class Scaled(layers.Dropout):
    """A subclass of a built-in, with a build of its own."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, inputs, training=None):
        return super().call(inputs * self.scale, training=training)


def a_functional_model():
    inputs = KERAS.Input((5,))
    return KERAS.Model(inputs, layers.Dense(2)(layers.Dense(4)(inputs)))


#: What a layer is: may it serve several places, on which axes do its weights depend, and what does it hold?
KINDS = {
    "Dense": (lambda: layers.Dense(3), SHARING, (-1,), (TRAINED,)),
    "Conv2D": (lambda: layers.Conv2D(2, 3), SHARING, (-1,), (TRAINED,)),
    "EinsumDense": (lambda: einsum_dense()("abc,cd->abd", (None, 6)), SHARING, (-1,), (TRAINED,)),
    "Embedding": (lambda: layers.Embedding(9, 2), SHARING, (), (TRAINED,)),
    "stateful": (lambda: layers.SimpleRNN(3, stateful=True), "no", (-1,), (TRAINED, STATISTICS)),
    "BatchNormalization": (lambda: layers.BatchNormalization(), "no", (-1,), (TRAINED, STATISTICS)),
    "of axis 1": (lambda: layers.BatchNormalization(axis=1), "no", (1,), (TRAINED, STATISTICS)),
    "LayerNormalization": (lambda: layers.LayerNormalization(), SHARING, (-1,), (TRAINED,)),
    "GroupNormalization": (lambda: layers.GroupNormalization(), SHARING, (-1,), (TRAINED,)),
    "Normalization": (lambda: layers.Normalization(), SHARING, (-1,), (FIXED,)),
    "PReLU": (lambda: layers.PReLU(), SHARING, (1, 2), (TRAINED,)),
    "Dropout": (lambda: layers.Dropout(0.5), "yes", (), (RANDOM,)),
    "no Dropout": (lambda: layers.Dropout(0.0), "yes", (), ()),
    "GaussianNoise": (lambda: layers.GaussianNoise(0.5), "yes", (), (RANDOM,)),
    "MaxPooling2D": (lambda: layers.MaxPooling2D(), "yes", (), ()),
    "Flatten": (lambda: layers.Flatten(), "yes", (), ()),
    "Add": (lambda: layers.Add(), "yes", (), ()),
    "MultiHeadAttention": (lambda: layers.MultiHeadAttention(2, 3), SHARING, (-1,), (TRAINED,)),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(2)), SHARING, (-1,), (TRAINED,)),
    "a block": (lambda: Block(), "no", (-1,), (TRAINED, STATISTICS, RANDOM)),
    "a counter": (lambda: Counts(), "no", (), (STATISTICS,)),
    "a counter in Python": (lambda: CountsInPython(), "no", (), (STATISTICS,)),
    "made at once": (lambda: MadeAtOnce(), SHARING, (), (TRAINED,)),
    "flat": (lambda: Flat(), SHARING, (1, 2), (TRAINED,)),
    "a pair": (lambda: Pair(), SHARING, (-1,), (TRAINED,)),
    "deferred": (lambda: Scaled(0.5), SHARING, (-1,), (TRAINED, RANDOM)),
    "sequential": (lambda: KERAS.Sequential([layers.Dense(2), layers.Dropout(0.5)]), SHARING, (-1,), (TRAINED, RANDOM)),
    "functional": (a_functional_model, SHARING, (), (TRAINED,)),
}


def einsum_dense():
    return getattr(layers, "EinsumDense", None) or layers.experimental.EinsumDense


@pytest.mark.in_turns
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_told_what_a_layer_holds_and_whether_it_may_be_shared(kind):
    make, reusable, axes, holds = KINDS[kind]
    found = layer_state(make())
    assert (found.reusable, found.axes, found.holds) == (reusable, axes, holds)
    assert found.tried
    assert found.random is (RANDOM in holds)
    assert bool(found.trainable) is (TRAINED in holds)


def test_weights_have_names_kinds_and_shapes_in_which_the_open_sizes_show():
    found = layer_state(Block(name="block"))
    assert (found.layer, found.cls) == ("block", "Block")
    assert [(each.name, each.shape, each.kind) for each in found.weights] == [
        ("dense/kernel", (None, 6), "trainable"),
        ("dense/bias", (6,), "trainable"),
        ("batch_normalization/gamma", (6,), "trainable"),
        ("batch_normalization/beta", (6,), "trainable"),
        ("batch_normalization/moving_mean", (6,), "statistics"),
        ("batch_normalization/moving_variance", (6,), "statistics"),
    ]
    assert found.statistics == ("batch_normalization/moving_mean", "batch_normalization/moving_variance")
    lines = str(found).splitlines()
    assert lines[2].split() == ["dense/kernel", "[None,", "6]", "trainable"]
    assert lines[-3:] == [
        "block (Block) holds: trainable weights, statistics, random state",
        "one instance for several places: no",
        "Calls change batch_normalization/moving_mean and batch_normalization/moving_variance, so that places would "
        "mix theirs: make a layer for each place. The shapes of its weights depend on the size of axis -1 of the "
        "input.",
    ]
    assert json.loads(json.dumps(found.to_dict()))["weights"][0]["shape"] == [None, 6]
    assert layer_state(CountsInPython()).attributes == ("calls",)
    assert "It refuses inputs of another size on axis 2" in layer_state(MadeAtOnce()).why
    assert "the size of axes 1 and 2 of an input with 3 axes" in layer_state(Flat()).why


def test_a_built_a_frozen_and_a_fresh_layer_are_told_alike():
    fresh = layer_state(layers.BatchNormalization(name="norm"))
    layer = layers.BatchNormalization(name="norm")
    layer.build((None, 4))
    freeze(layer)
    assert layer_state(layer) == fresh


@pytest.mark.in_turns
def test_a_built_and_a_fresh_layer_of_layers_are_told_alike():
    block = Block(name="block")
    block(np.ones((2, 4), "float32"))
    assert layer_state(block) == layer_state(Block(name="block"))


def test_a_class_is_made_with_simple_arguments():
    assert layer_state(layers.BatchNormalization) == layer_state(layers.BatchNormalization())
    found = layer_state(layers.Conv1D)
    assert (found.layer, found.reusable, found.axes) == ("conv1d", SHARING, (-1,))
    assert found.why.endswith("(This is of Conv1D(filters=4, kernel_size=1).)")
    assert layer_state(Block).reusable == "no"


class Needy(layers.Layer):
    def __init__(self, recipe, **kwargs):
        super().__init__(**kwargs)
        self.recipe = recipe
        self.norm = layers.BatchNormalization()

    def call(self, inputs):
        return self.recipe(self.norm(inputs))


class Fails(layers.Layer):
    def __init__(self, **kwargs):
        raise RuntimeError("not today")


def test_what_can_not_be_told_is_one_error_with_a_way_out():
    with pytest.raises(ValueError, match=r"its constructor needs 'recipe'. Pass an instance: layer_state\(Needy\("):
        layer_state(Needy)
    with pytest.raises(ValueError, match=r"Fails\(\) raises RuntimeError \('not today'\). Pass an instance"):
        layer_state(Fails)
    for wrong in (3, "dense", dict, None):
        with pytest.raises(TypeError, match="layer_state expects a Keras layer or layer class; got"):
            layer_state(wrong)


def test_a_layer_that_can_not_be_copied_is_judged_by_what_it_shows():
    found = layer_state(Needy(lambda tensor: tensor))
    assert not found.tried
    assert (found.reusable, found.axes) == ("no", None)
    assert found.statistics == ("batch_normalization/moving_mean", "batch_normalization/moving_variance")
    assert "We went by what the layer shows now, as its get_config() raises NotImplementedError" in found.why

    class Hidden(layers.Layer):
        def __init__(self, recipe, **kwargs):
            super().__init__(**kwargs)
            self.recipe = recipe

        def build(self, input_shape):
            self.mean = self.add_weight(shape=(input_shape[-1],), trainable=False, name="mean")
            self.built = True

    layer = Hidden(print)
    assert layer_state(layer).reusable == "no"
    assert "It is not built yet" in layer_state(layer).why
    layer.build((None, 3))
    found = layer_state(layer)
    assert [(each.name, each.shape, each.kind) for each in found.weights] == [("mean", (3,), "unknown")]
    assert (found.reusable, found.holds) == ("no", ("unknown weights",))
    assert "mean is not trained, so calls may change what is in there" in found.why


def drawn():
    """A number of each source of random numbers, without a seed of its own."""
    numbers = [random.random(), float(np.random.rand())]
    if K2:
        import tensorflow as tf

        numbers += [float(tf.random.uniform(())), *get_weights(built(layers.Dense(2)))["kernel"].ravel()]
    else:
        numbers += [float(KERAS.ops.convert_to_numpy(KERAS.random.uniform(()))) for _ in range(2)]
        if INFO.backend == "torch":
            import torch

            numbers.append(float(torch.rand(())))
    return numbers


def built(layer):
    layer.build((None, 3))
    return layer


class Draws(layers.Layer):
    """Draws from all that has no seed of its own, and makes layers without names in its build."""

    def build(self, input_shape):
        self.inner = layers.Dense(2)
        self.inner.build(input_shape)

    def call(self, inputs):
        drawn()
        return self.inner(inputs)


@pytest.fixture
def seeded():
    """Sets all seeds, and takes that back after the test. (On Keras 2, `set_random_seed` could not be taken back.)"""
    tf = sys.modules.get("tensorflow") if INFO.backend == "tensorflow" else None

    def seed():
        random.seed(7)
        np.random.seed(7)
        if tf is not None:
            tf.random.set_seed(7)
        if not K2:
            KERAS.utils.set_random_seed(7)

    with same_seeds(INFO.package):
        yield seed
    if tf is not None:
        tf.random.set_seed(None)


def test_trials_leave_the_layer_the_random_numbers_and_the_names_as_they_were(seeded):
    layer = built(layers.BatchNormalization())
    before, config = get_weights(layer), layer.get_config()

    def after(trial):
        with own_global_state(INFO.package):  # before 3.9, `set_random_seed` leaves Keras's generator as it is
            seeded()
            drawn()
            if trial:
                layer_state(layer)
                layer_state(Block)
                assert layer_state(Draws()).reusable == SHARING
            return drawn()

    assert after(trial=True) == after(trial=False)
    number = int(layers.Dense(1).name.rpartition("_")[2])
    layer_state(Block)
    assert layers.Dense(1).name == f"dense_{number + 1}"
    assert layer.get_config() == config
    assert all(np.array_equal(value, get_weights(layer)[name]) for name, value in before.items())


def test_a_weight_that_only_inference_changes_is_a_statistic():
    class Last(layers.Layer):
        def build(self, shape):
            self.last = self.add_weight(name="last", shape=(shape[-1],), initializer="zeros", trainable=False)
            super().build(shape)

        def call(self, x, training=False):
            if not training:
                self.last.assign(x[0])
            return x + self.last

    assert layer_state(Last()).statistics == ("last",)
