"""One layer that uses another's variables: tied embeddings, Siamese towers."""

import numpy as np
import pytest
import weight_zoo
from environment import INFO, KERAS

from keras_buildfix import get_weights, load_weights, named_weights, save_weights, set_weights, share_weights

L = KERAS.layers
TRAINS = INFO.backend not in ("numpy", "openvino")


def dense(units=3, size=3, build=True, **kwargs):
    layer = L.Dense(units, **kwargs)
    if build:
        layer.build((None, size))
    return layer


def outputs_of(layer, inputs):
    return weight_zoo.as_numpy(KERAS, layer(inputs))


ONES = np.ones((2, 3), "float32")


@pytest.mark.parametrize("built", ["both", "source", "target", "none"])
def test_the_target_uses_the_sources_variables(built):
    source = dense(build=built in ("both", "source"))
    target = dense(build=built in ("both", "target"))
    report = share_weights(source, target)
    if built == "both":
        assert report.assigned == ("kernel", "bias")
    else:
        assert report.waiting
    for layer in (source, target):
        if not layer.built:
            layer.build((None, 3))
    assert target.kernel is source.kernel
    assert target.bias is source.bias
    assert [id(w) for w in target.weights] == [id(w) for w in source.weights]
    set_weights(source, {"kernel": 2 * np.eye(3), "bias": np.ones(3)})
    np.testing.assert_array_equal(outputs_of(target, ONES), np.full((2, 3), 3.0))


def siamese():
    inputs = KERAS.Input((3,))
    left, right = dense(build=False, name="left"), dense(build=False, name="right")
    outputs = L.Add()([left(inputs), right(inputs)])
    share_weights(left, right)
    return KERAS.Model(inputs, outputs), left, right


def test_a_shared_weight_is_counted_once():
    model, _, _ = siamese()
    assert len(model.weights) == 2
    assert len(model.trainable_weights) == 2
    assert model.count_params() == 12
    assert list(named_weights(model)) == ["left/kernel", "left/bias"]


@pytest.mark.skipif(not TRAINS, reason="a backend that only predicts")
def test_both_layers_train_the_same_weights():
    model, left, right = siamese()
    before = get_weights(model)
    model.compile(KERAS.optimizers.SGD(0.1), "mse")
    model.fit(ONES, np.zeros((2, 3), "float32"), epochs=2, verbose=0)
    assert not np.array_equal(get_weights(model)["left/kernel"], before["left/kernel"])
    np.testing.assert_array_equal(get_weights(left)["kernel"], get_weights(right)["kernel"])
    np.testing.assert_array_equal(outputs_of(left, ONES), outputs_of(right, ONES))


@pytest.mark.skipif(not TRAINS, reason="a backend that only predicts")
def test_a_shared_weight_gets_the_gradients_of_both():
    """As one layer used twice: the same weights after the same step."""
    inputs = KERAS.Input((3,))
    twice = dense(build=False)
    plain = KERAS.Model(inputs, L.Add()([twice(inputs), twice(inputs)]))
    model, left, _ = siamese()
    set_weights(left, [np.eye(3), np.zeros(3)])
    set_weights(twice, [np.eye(3), np.zeros(3)])
    for each in (plain, model):
        each.compile(KERAS.optimizers.SGD(0.1), "mse")
        each.fit(ONES, np.zeros((2, 3), "float32"), verbose=0)
    np.testing.assert_allclose(get_weights(left)["kernel"], get_weights(twice)["kernel"], rtol=1e-6)


@pytest.mark.parametrize("form", [".safetensors", ".npz", ".weights.h5", ".h5"])
def test_shared_weights_are_right_after_save_and_load(form, tmp_path):
    model, left, _ = siamese()
    set_weights(left, [2 * np.eye(3), np.ones(3)])
    path = str(tmp_path / f"model{form}")
    save_weights(model, path)
    fresh, _, right = siamese()
    load_weights(fresh, path)
    np.testing.assert_array_equal(get_weights(right)["kernel"], 2 * np.eye(3))
    np.testing.assert_array_equal(outputs_of(fresh, ONES), outputs_of(model, ONES))
    assert len(fresh.weights) == 2


@pytest.mark.parametrize("form", [".weights.h5", ".h5"])
def test_plain_keras_loads_shared_weights_too(form, tmp_path):
    if form == ".h5" and INFO.generation == 2:
        pytest.skip("plain Keras 2 wants the names in both groups, see .weights.h5")
    model, left, _ = siamese()
    set_weights(left, [2 * np.eye(3), np.ones(3)])
    path = str(tmp_path / f"model{form}")
    save_weights(model, path)
    fresh, _, right = siamese()
    fresh.load_weights(path)
    np.testing.assert_array_equal(get_weights(right)["kernel"], 2 * np.eye(3))


def test_whole_towers_are_shared():
    def tower():
        return KERAS.Sequential([KERAS.Input((3,)), L.Dense(4), L.BatchNormalization(), L.Dense(2)])

    source, target = tower(), tower()
    report = share_weights(source, target)
    assert len(report.assigned) == 8
    assert all(one is other for one, other in zip(source.weights, target.weights))
    set_weights(source, {n: weight_zoo.value_for(n, w.shape) for n, w in named_weights(source).items()})
    np.testing.assert_array_equal(outputs_of(source, ONES), outputs_of(target, ONES))


def test_weights_in_lists_and_dicts_are_shared():
    class Held(L.Layer):
        def build(self, input_shape):
            self.several = [self.add_weight(shape=(3,), initializer="ones", name=f"w{n}") for n in range(2)]
            self.by_name = {"z": self.add_weight(shape=(3,), initializer="ones", name="z")}
            self.deep = {"t": (self.add_weight(shape=(3,), initializer="ones", name="t"),)}
            self.built = True

        def call(self, inputs):
            return inputs * self.several[0] * self.several[1] * self.by_name["z"] * self.deep["t"][0]

    source, target = Held(), Held()
    source.build((None, 3))
    target.build((None, 3))
    share_weights(source, target)
    set_weights(source, {"w0": [2.0] * 3, "w1": [3.0] * 3, "z": [5.0] * 3, "t": [7.0] * 3})
    np.testing.assert_array_equal(outputs_of(target, ONES), np.full((2, 3), 210.0))
    assert [id(w) for w in target.weights] == [id(w) for w in source.weights]


def test_what_does_not_fit_is_one_error_and_nothing_changes():
    source, target = dense(), dense(units=4, name="wide")
    own = target.kernel
    shown = r"(?s)'wide'.*nothing was changed.*would not   kernel: it is float32\[3, 4\], and in '.*' float32\[3, 3\]"
    with pytest.raises(ValueError, match=shown):
        share_weights(source, target)
    assert target.kernel is own
    bare = dense(use_bias=False)
    with pytest.raises(ValueError, match="missing     bias"):
        share_weights(bare, dense())
    target = dense()
    report = share_weights(bare, target, strict=False)
    assert report.missing == ("bias",)
    assert target.kernel is bare.kernel
    assert [w.shape[-1] for w in target.weights] == [3, 3]


def test_names_are_mapped_on_the_way():
    def stack(name):
        return KERAS.Sequential(
            [KERAS.Input((3,)), KERAS.layers.Dense(3, name=name), KERAS.layers.Dense(3, name="top")]
        )

    source, target = stack("old"), stack("new")
    with pytest.raises(ValueError, match=r"(?s)2 would fit, 2 missing.*missing     new/kernel.*rename= maps names"):
        share_weights(source, target)
    with pytest.raises(ValueError, match=r"rename: the pattern '.odl/' matches none of the 4 names"):
        share_weights(source, target, rename=[("^odl/", "new/")])
    assert target.layers[-2].kernel is not source.layers[-2].kernel
    assert share_weights(source, target, rename=[("^old/", "new/")]).complete
    for one, other in zip(source.layers[-2:], target.layers[-2:]):
        assert other.kernel is one.kernel
        assert other.bias is one.bias


def test_a_layer_can_not_share_with_itself_or_with_no_layer():
    layer = dense(name="alone")
    with pytest.raises(ValueError, match="'alone' can't share with itself"):
        share_weights(layer, layer)
    with pytest.raises(TypeError, match="share_weights expects a Keras layer"):
        share_weights(layer, np.ones(3))


def test_what_waits_to_be_shared_twice_is():
    source, one, other = (dense(build=False) for _ in range(3))
    share_weights(source, one)
    share_weights(source, other)
    for layer in (other, source, one):
        layer.build((None, 3))
    assert one.kernel is source.kernel
    assert other.kernel is source.kernel


def test_values_that_differ_for_a_shared_weight_are_an_error(tmp_path):
    inputs = KERAS.Input((3,))
    outputs = L.Add()([dense(build=False, name="left")(inputs), dense(build=False, name="right")(inputs)])
    path = str(tmp_path / "apart.h5")
    save_weights(KERAS.Model(inputs, outputs), path)
    model, _, _ = siamese()
    before = get_weights(model)
    with pytest.raises(ValueError, match=r"for which .* has another value"):
        load_weights(model, path)
    for name, value in get_weights(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_the_order_of_the_weights_stays():
    source, target = dense(use_bias=False), dense()
    order = [tuple(w.shape) for w in target.weights]
    share_weights(source, target, strict=False)
    assert [tuple(w.shape) for w in target.weights] == order
    assert target.weights[0] is source.kernel


def test_layers_that_only_drop_are_not_waited_for():
    class Dropping(L.Layer):
        def __init__(self):
            super().__init__()
            self.dropout, self.dense = L.Dropout(0.5), L.Dense(3)

        def build(self, input_shape):
            self.dense.build(input_shape)
            self.built = True

        def call(self, inputs):
            return self.dropout(self.dense(inputs))

    source, target = Dropping(), Dropping()
    share_weights(source, target)
    source.build((None, 3))
    target.build((None, 3))
    assert target.dense.kernel is source.dense.kernel
    report = set_weights(target, {"dense/kernel": np.eye(3), "dense/bias": np.ones(3)})
    assert report.complete
