"""Outputs inside a model are found by name, glob or layer, and are what the layers returned."""

import re

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import intermediate_outputs, named_weights

#: Keras 3 says so of each model with layers in attributes that is called before it is built.
pytestmark = pytest.mark.filterwarnings(r"ignore:`build\(\)` was called on layer:UserWarning")
layers = KERAS.layers
K2 = INFO.generation == 2
X = np.arange(8, dtype="float32").reshape(2, 4)


def host(tensor):
    return np.array(tensor.numpy() if K2 else KERAS.ops.convert_to_numpy(tensor))


class Block(layers.Layer):
    """Adds in place where a backend can: that must not change what was taken before."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(3, use_bias=False, name="first")
        self.second = layers.Dense(3, name="second")

    def call(self, x):
        y = self.first(x)
        y += 1.0
        return self.second(self.second(y))

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build((None, 3))
        self.built = True


def filled(model):
    """The model, with 1 in each weight."""
    for weight in named_weights(model).values():
        weight.assign(np.ones(tuple(weight.shape), "float32"))
    return model


def functional():
    x = KERAS.Input((4,))
    y = Block(name="block")(x)
    return filled(KERAS.Model(x, [layers.Dense(1, name="head")(y), y]))


def sequential():
    return filled(KERAS.Sequential([KERAS.Input((4,)), Block(name="block"), layers.Dense(1, name="head")]))


class Subclassed(KERAS.Model):
    def __init__(self):
        super().__init__()
        self.block = Block(name="block")
        self.head = layers.Dense(1, name="head")

    def call(self, x):
        return self.head(self.block(x))


def subclassed():
    model = Subclassed()
    model(X)
    return filled(model)


FIRST = np.tile(X.sum(axis=1, keepdims=True), 3)
SECOND = 3 * (FIRST + 1) + 1


@pytest.mark.parametrize("make", [functional, sequential, subclassed])
def test_each_kind_of_model_gives_outputs_by_name_glob_and_layer(make):
    model = make()
    found = intermediate_outputs(model, "block/first", X)
    assert list(found) == ["block/first"]
    np.testing.assert_allclose(host(found["block/first"]), FIRST)
    found = intermediate_outputs(model, ["block/*", model.get_layer("head")], X)
    assert list(found) == ["block/first", "block/second", "head"]
    twice = found["block/second"]
    assert isinstance(twice, list)
    np.testing.assert_allclose(host(twice[0]), SECOND)
    np.testing.assert_allclose(host(twice[1]), 3 * SECOND + 1)
    np.testing.assert_allclose(host(found["head"]), 9 * SECOND[:, :1] + 3 + 1)
    assert list(intermediate_outputs(model, re.compile("^head$"), X)) == ["head"]
    assert {"block", "head"} <= {*intermediate_outputs(model, "*", X)}


def test_the_models_own_name_is_its_last_output():
    model = sequential()
    found = intermediate_outputs(model, str(model.name), X)
    np.testing.assert_allclose(host(found[str(model.name)]), 9 * SECOND[:, :1] + 4)


def test_a_model_in_a_model_with_inputs_in_a_dict():
    a, b = KERAS.Input((4,), name="a"), KERAS.Input((4,), name="b")
    inner = sequential()
    model = KERAS.Model({"a": a, "b": b}, layers.add([inner(a), inner(b)]))
    name = "sequential/block/first"
    found = intermediate_outputs(model, name, {"a": X, "b": X + 1})
    assert [host(each)[0, 0] for each in found[name]] in ([6.0, 10.0], [10.0, 6.0])


def test_a_model_that_is_not_built_is_run():
    for model in (Subclassed(), KERAS.Sequential([Block(name="block"), layers.Dense(1, name="head")])):
        assert tuple(intermediate_outputs(model, "head", X)["head"].shape) == (2, 1)


def test_nothing_in_the_model_changes():
    model = KERAS.Sequential([KERAS.Input((4,)), layers.BatchNormalization(name="bn"), layers.Dense(1)])
    before = [np.array(value) for value in model.get_weights()]
    intermediate_outputs(model, "bn", X, training=True)
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights()))


def test_a_name_of_nothing_is_an_error_with_the_nearest_before_anything_runs():
    with pytest.raises(ValueError, match=r"nothing in .* is called 'block/frist'. The nearest: block/first"):
        intermediate_outputs(sequential(), "block/frist", "this would fail")
    with pytest.raises(ValueError, match="matches no layer"):
        intermediate_outputs(sequential(), re.compile("^x"), X)
    with pytest.raises(ValueError, match=r"'other' \(Dense\) is not in"):
        intermediate_outputs(sequential(), layers.Dense(1, name="other"), X)
    with pytest.raises(ValueError, match="`names` is empty"):
        intermediate_outputs(sequential(), [], X)
    with pytest.raises(TypeError, match="`names` is a name"):
        intermediate_outputs(sequential(), X, "block")
    with pytest.raises(TypeError, match="intermediate_outputs expects a Keras layer"):
        intermediate_outputs("block", X, X)


def test_a_layer_that_is_not_called_is_an_error():
    model = Subclassed()
    model.unused = layers.Dense(1, name="unused")
    with pytest.raises(ValueError, match="the layer 'unused' was not called"):
        intermediate_outputs(model, ["head", "unused"], X)
    assert list(intermediate_outputs(model, "*ea*", X)) == ["head"]


@pytest.mark.skipif(INFO.backend != "jax", reason="jax.vmap")
def test_a_layer_that_runs_in_vmap_has_no_output():
    import jax

    class Mapped(Subclassed):
        def call(self, x):
            return jax.vmap(self.head)(x[:, None])

    model = Mapped()
    with pytest.raises(ValueError, match="runs while a function is traced"):
        intermediate_outputs(model, "head", X)
