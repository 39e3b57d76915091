"""`mark_built` and `reset_built`: a layer is built, or is built again, and what its weights are then."""

import numpy as np
import pytest
from environment import INFO, KERAS
from test_build import BASES, Counting, weights

from keras_buildfix import deferred_build, get_weights, mark_built, reset_built, set_weights

layers = KERAS.layers
x4 = np.ones((2, 4), "float32")


@pytest.fixture(params=BASES, ids=lambda base: base[0])
def base(request):
    name, arguments = request.param
    return getattr(layers, name), arguments


def test_mark_built_keeps_build_from_running(base):
    cls, arguments = base

    class Marked(cls):
        def __init__(self, *args):
            super().__init__(*args)
            mark_built(self)

        def build(self, input_shape):
            raise AssertionError("marked built")

        def call(self, x):
            return x

    layer = deferred_build(Marked)(*arguments)
    assert layer.built
    layer(x4)


def test_reset_built_in_init_has_build_run(base):
    cls, arguments = base

    class Reset(Counting, cls):
        def __init__(self, *args):
            super().__init__(*args)
            reset_built(self)

    layer = Reset(*arguments)
    layer(x4)
    assert (layer.builds, len(layer.weights)) == (1, 1)


def test_reset_built_builds_again_for_another_shape_and_drops_what_is_replaced():
    class Kept(layers.Dense):
        def __init__(self, units):
            super().__init__(units)
            self.kept = self.add_weight(name="kept", shape=(), initializer="ones")
            self.parts = []

        def build(self, input_shape):
            super().build(input_shape)
            if INFO.generation == 3:
                self.inner = layers.Dense(1)
                self.inner.build(input_shape)

    layer = Kept(3)
    layer.build((None, 2))
    layer.kept.assign(7.0)
    count = len(layer.weights)
    reset_built(layer)
    assert not layer.built
    layer(x4)
    assert layer.built
    assert len(layer.weights) == count
    assert ("kernel", (4, 3)) in weights(layer)
    assert ("kernel", (2, 3)) not in weights(layer)
    assert float(np.asarray(layer.get_weights()[[w.name.split(":")[0] for w in layer.weights].index("kept")])) == 7
    layer(x4)
    assert len(layer.weights) == count


def test_reset_built_builds_the_layers_inside_again():
    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(3)

        def build(self, input_shape):
            self.inner.build(input_shape)
            self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
            super().build(input_shape)

        def call(self, x):
            return self.inner(x * self.scale)

    layer = Outer()
    for size in (4, 4, 6):
        layer(np.ones((2, size), "float32"))
        assert weights(layer) == [("bias", (3,)), ("kernel", (size, 3)), ("scale", (size,))]
        reset_built(layer)


@pytest.mark.skipif(
    INFO.backend == "numpy", reason="Keras has no recurrent layers on NumPy before 3.5, slow ones since"
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_reset_built_builds_a_recurrent_layer_for_another_size(wrapped):
    layer = layers.Bidirectional(layers.LSTM(2)) if wrapped else layers.LSTM(2)
    for size in (3, 5):
        layer(np.ones((2, 4, size), "float32"))
        assert len(layer.weights) == (6 if wrapped else 3)
        assert ("kernel", (size, 8)) in weights(layer)
        reset_built(layer)


def test_reset_built_accepts_new_state():
    layer = layers.Dense(3)
    layer.build((None, 4))
    reset_built(layer)
    layer.adapter = layer.add_weight(name="adapter", shape=(4,), initializer="ones")
    layer(x4)
    assert ("adapter", (4,)) in weights(layer)
    assert len(layer.weights) == 3


# --- Values of weights that are made again -----------------------------------------------------


class Parts(layers.Layer):
    """Builds its parts in `build`; makes one of them there."""

    def __init__(self):
        super().__init__()
        self.body, self.head = layers.Dense(4, name="body"), layers.Dense(3, name="head")

    def build(self, input_shape):
        self.inner = layers.Dense(input_shape[-1], name="inner")
        self.inner.build(input_shape)
        self.body.build(input_shape)
        self.head.build((None, 4))
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, inputs):
        return self.head(self.body(self.inner(inputs))) * self.scale


class Called(KERAS.Model):
    """Has no `build`: its parts are built when they are called."""

    def __init__(self):
        super().__init__()
        self.body, self.head = layers.Dense(4, name="body"), layers.Dense(3, name="head")

    def call(self, inputs):
        return self.head(self.body(inputs))


def with_values(cls):
    """A layer, built on `x4`, and the values that its weights were given."""
    layer = cls()
    layer(x4)
    given = {
        name: np.full(value.shape, at + 2.0, "float32") for at, (name, value) in enumerate(get_weights(layer).items())
    }
    set_weights(layer, given)
    return layer, given


@pytest.mark.parametrize("cls", [Parts, Called])
def test_a_head_is_replaced_and_the_body_keeps_its_values(cls):
    layer, given = with_values(cls)
    report = reset_built(layer)
    layer.head = layers.Dense(7, name="new_head")
    assert layer(x4).shape == (2, 7)
    got = get_weights(layer)
    kept = {name for name in given if not name.startswith("head/")}
    assert set(got) == kept | {"new_head/kernel", "new_head/bias"}
    for name in kept:
        np.testing.assert_array_equal(got[name], given[name], name)
    assert set(report.kept) == kept
    if cls is Parts:
        assert set(report.new) == {"new_head/kernel", "new_head/bias"}
    assert str(report).startswith(f"{len(kept)} kept (")


@pytest.mark.parametrize("cls", [Parts, Called])
def test_fresh_values_are_made_if_they_are_asked_for(cls):
    layer, given = with_values(cls)
    reset_built(layer)
    report = reset_built(layer, fresh=True)
    layer(x4)
    got = get_weights(layer)
    assert set(got) == set(given) == set(report.new)
    assert report.kept == ()
    assert not any(np.array_equal(got[name], given[name]) for name in given)


def test_a_weight_of_another_shape_is_new():
    layer, given = with_values(lambda: layers.Dense(3))
    report = reset_built(layer)
    assert repr(report) == "0 kept, 0 new"
    layer(np.ones((2, 5), "float32"))
    np.testing.assert_array_equal(get_weights(layer)["bias"], given["bias"])
    assert repr(report) == "1 kept (bias), 1 new (kernel)"


def test_values_that_are_set_meanwhile_are_the_last_word():
    layer, _ = with_values(lambda: layers.Dense(3))
    reset_built(layer)
    set_weights(layer, {"kernel": np.full((4, 3), 9.0), "bias": np.full((3,), 8.0)})
    layer(x4)
    assert [float(value.min()) for value in get_weights(layer).values()] == [9.0, 8.0]


def test_the_layer_has_its_own_build_again_whatever_waited_for_it():
    layer = layers.Dense(3)
    own = vars(layer).get("build")  # Keras 3 wraps it for each layer
    set_weights(layer, {"kernel": np.full((4, 3), 9.0), "bias": np.full((3,), 8.0)}, strict=False)
    reset_built(layer)
    reset_built(layer)
    layer.build((None, 4))
    reset_built(layer)
    reset_built(layer)
    layer.build((None, 4))
    assert vars(layer).get("build") is own
    assert [float(value.min()) for value in get_weights(layer).values()] == [9.0, 8.0]


def test_what_trains_goes_on_training():
    if INFO.backend == "numpy":
        pytest.skip("the NumPy backend does not train")
    model = KERAS.Sequential([KERAS.Input((4,)), layers.Dense(3, name="body"), layers.Dense(1, name="head")])
    before = get_weights(model)
    reset_built(model.layers[0])
    model.layers[0].build((None, 4))
    np.testing.assert_array_equal(get_weights(model)["body/kernel"], before["body/kernel"])
    model.compile("sgd", "mse")
    model.fit(x4, np.full((2, 1), 9.0, "float32"), verbose=0)
    assert not np.array_equal(get_weights(model)["body/kernel"], before["body/kernel"])


# --- Bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [mark_built, reset_built])
def test_marks_say_what_they_expected_and_what_came(act):
    with pytest.raises(TypeError, match=f"{act.__name__} expects a Keras layer .*; got the Keras layer class"):
        act(layers.Dense)
