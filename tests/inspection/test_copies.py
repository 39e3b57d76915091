"""Copies of a layer: of the same configuration, with weights of their own and names that are always the same."""

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import deferred_build, get_weights, independent_copies, load_weights, named_weights, save_weights

layers = KERAS.layers


class Scale(layers.Layer):
    """A layer with a weight of its own, and a `get_config` that tells all."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
        self.built = True

    def call(self, inputs):
        return inputs * self.scale * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def test_copies_have_the_configuration_and_nothing_else_in_common():
    layer = layers.Dense(4, activation="tanh", use_bias=False, trainable=False, name="block")
    layer.build((None, 3))
    before = get_weights(layer)
    copies = independent_copies(layer, 3)
    assert [each.name for each in copies] == ["block-0", "block-1", "block-2"]
    for each in copies:
        assert type(each) is layers.Dense
        assert not each.built
        assert {**each.get_config(), "name": "block"} == layer.get_config()
        each.build((None, 5))
    first, second = (get_weights(each)["kernel"] for each in copies[:2])
    assert first.shape == (5, 4)
    assert not np.array_equal(first, second)  # initial values of their own
    assert layer.name == "block"
    np.testing.assert_array_equal(get_weights(layer)["kernel"], before["kernel"])


def test_copies_of_a_layer_with_a_seed_begin_with_equal_weights():
    copies = independent_copies(layers.Dense(2, kernel_initializer=KERAS.initializers.RandomNormal(seed=1)), 2)
    for each in copies:
        each.build((None, 3))
    np.testing.assert_array_equal(*(get_weights(each)["kernel"] for each in copies))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: layers.Dense(2), "dense"),
        (lambda: layers.MaxPooling2D(), "max_pooling2d"),
        (lambda: layers.ConvLSTM2D(2, 1), "conv_lstm2d"),
        (
            lambda: layers.Dense(2, name="a/b" if INFO.generation == 2 else "a.b"),
            "a/b" if INFO.generation == 2 else "a.b",
        ),
        (lambda: Scale(2.0), "scale"),
        (lambda: KERAS.Sequential([layers.Dense(2)]), "sequential"),
    ],
)
def test_names_do_not_depend_on_the_layers_made_before(make, name):
    for _ in range(2):
        assert [each.name for each in independent_copies(make(), 2)] == [f"{name}-0", f"{name}-1"]


def test_names_are_like_no_name_that_keras_makes_up():
    layer = layers.Dense(2)
    copies = independent_copies(layer, 2)
    others = [layers.Dense(2) for _ in range(3)]
    names = [each.name for each in (layer, *copies, *others)]
    assert len({*names}) == len(names)
    assert [each.name for each in independent_copies(copies[1], 2)] == ["dense-1-0", "dense-1-1"]
    assert [each.name for each in independent_copies(others[0], 1, name="other")] == ["other-0"]


def stack(before):
    """A functional model of copies of a model in a loop, after some other layers were made."""
    for _ in range(before):
        layers.Dense(1)
    block = KERAS.Sequential(
        [KERAS.Input((4,)), layers.Dense(4, name="inner"), Scale(2.0), layers.BatchNormalization()]
    )
    inputs = x = KERAS.Input((4,))
    for each in independent_copies(block, 3, name="block"):
        x = each(x)
    for each in independent_copies(layers.Dense(4), 2):
        x = each(x)
    return KERAS.Model(inputs, x)


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_a_file_of_a_model_of_copies_is_loaded_by_name(ending, tmp_path):
    model, other = stack(0), stack(3)
    names = list(named_weights(model))
    assert names == list(named_weights(other))
    assert {name.split("/")[0] for name in names} == {"block-0", "block-1", "block-2", "dense-0", "dense-1"}
    assert "block-1/inner/kernel" in names
    assert "block-2/batch_normalization/moving_mean" in names
    assert len(names) == 3 * 7 + 2 * 2
    save_weights(model, tmp_path / f"w{ending}")
    load_weights(other, tmp_path / f"w{ending}")
    x = np.ones((2, 4), "float32")
    np.testing.assert_allclose(np.array(model.predict(x, verbose=0)), np.array(other.predict(x, verbose=0)), rtol=1e-6)
    assert all(np.array_equal(value, get_weights(other)[name]) for name, value in get_weights(model).items())


def test_a_built_in_that_was_made_deferred_is_copied():
    @deferred_build
    class Own(layers.Dropout):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), name="scale")

    copies = independent_copies(Own(0.25), 2)
    assert [each.rate for each in copies] == [0.25, 0.25]
    copies[0](np.ones((2, 3), "float32"))
    assert list(named_weights(copies[0])) == ["scale"]
    assert list(named_weights(copies[1])) == []


class NoConfig(layers.Layer):
    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function


class Forgets(layers.Dense):
    def __init__(self, units, gain=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.gain = gain


class NoName(layers.Layer):
    def __init__(self, size):
        super().__init__()
        self.size = size


class Fails(Scale):
    @classmethod
    def from_config(cls, config):
        raise RuntimeError("not today")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoConfig(print), r"\(NoConfig\) can't be copied: its get_config\(\) raises NotImplementedError"),
        (lambda: Forgets(2, gain=3.0), r"get_config\(\) of Forgets leaves out 'gain'"),
        (lambda: KERAS.Sequential([Forgets(2, gain=3.0)]), r"get_config\(\) of Forgets leaves out 'gain'"),
        (lambda: NoName(3), r"the constructor of NoName takes no name.*\*\*kwargs"),
        (lambda: Fails(), r"Fails.from_config\(its configuration\) raises RuntimeError \(not today\)"),
    ],
)
def test_what_can_not_be_copied_is_one_error_with_a_way_out(make, message):
    with pytest.raises(ValueError, match=message) as error:
        independent_copies(make(), 2)
    assert "call the constructor yourself" in str(error.value) or "Let its __init__" in str(error.value)


def test_an_argument_with_its_default_may_be_left_out():
    assert independent_copies(Forgets(2), 1)[0].gain == 1.0


def test_wrong_arguments_are_clear_errors():
    layer = layers.Dense(2)
    for wrong in (2.0, "3", None, True):
        with pytest.raises(TypeError, match="n is how many copies to make, a whole number; got"):
            independent_copies(layer, wrong)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"at least 1; got {wrong}"):
            independent_copies(layer, wrong)
    with pytest.raises(TypeError, match="independent_copies expects a Keras layer"):
        independent_copies(layers.Dense, 2)
    with pytest.raises(TypeError, match="name is what the names of the copies begin with"):
        independent_copies(layer, 2, name="")
    assert len(independent_copies(layer, np.int64(2))) == 2
