"""Portable layers without ``compute_output_shape`` or ``build``: shapes found from ``call``, copies, files."""

import copy
import pickle

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import PortableLayerMixin

L = KERAS.layers
K2 = INFO.generation == 2
pytestmark = [  # Keras 3 on NumPy finds shapes by computing with arrays that were never filled
    *([pytest.mark.filterwarnings("ignore::RuntimeWarning")] if INFO.backend == "numpy" else [])
]
register = KERAS.utils.register_keras_serializable("portable_shapes")


def array(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def values(tensor):
    return np.asarray(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor)


class Halved(PortableLayerMixin, L.Layer):
    """Has no ``compute_output_shape``."""

    def build(self, input_shape):
        self.w = self.add_weight(name="w", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return (x * self.w)[..., : x.shape[-1] // 2]


class Said(Halved):
    def compute_output_shape(self, input_shape):
        assert input_shape.as_list()[-1] == 4
        return (*input_shape[:-1], 77)


def test_the_output_shape_is_found_from_call():
    layer = Halved()
    assert tuple(layer.compute_output_shape((None, 5, 4))) == (None, 5, 2)
    assert [tuple(weight.shape) for weight in layer.weights] == [(4,)]
    assert tuple(layer.compute_output_shape((3, 4))) == (3, 2)


def test_a_users_own_compute_output_shape_is_what_counts():
    assert tuple(Said().compute_output_shape((None, 4))) == (None, 77)


def test_the_dtype_of_what_call_returns_is_kept_in_a_model():
    class Places(PortableLayerMixin, L.Layer):
        def call(self, x):
            return x > 0

    outputs = Places(autocast=False)(KERAS.Input((3,)))
    assert "bool" in str(outputs.dtype)


@pytest.mark.parametrize("cls", [Halved])
def test_time_distributed_runs_it_at_each_step(cls):
    data = array(2, 3, 4)
    layer = L.TimeDistributed(cls())
    assert tuple(layer(KERAS.Input((3, 4))).shape) == (None, 3, 2)
    assert tuple(layer.compute_output_shape((None, 3, 4))) == (None, 3, 2)
    np.testing.assert_allclose(values(layer(data)), data[..., :2], atol=1e-6)


@register
class Recurrent(PortableLayerMixin, L.Layer):
    """What ``Bidirectional`` asks of a layer, and no ``compute_output_shape``."""

    def __init__(self, units, go_backwards=False, **kwargs):
        super().__init__(**kwargs)
        self.units, self.go_backwards = units, go_backwards
        self.return_sequences, self.return_state, self.stateful = False, False, False
        self.supports_masking = True
        self.inner = L.SimpleRNN(units, go_backwards=go_backwards)

    def build(self, input_shape):
        self.inner.build(input_shape)
        super().build(input_shape)

    def call(self, inputs, initial_state=None, mask=None, training=None):
        return self.inner(inputs)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "go_backwards": self.go_backwards}


def test_bidirectional_runs_it_both_ways():
    layer = L.Bidirectional(Recurrent(3))
    assert tuple(layer(KERAS.Input((5, 4))).shape) == (None, 6)
    data = array(2, 5, 4)
    made = values(layer(data))
    for part, inner in enumerate((layer.forward_layer.inner, layer.backward_layer.inner)):
        np.testing.assert_allclose(made[:, 3 * part : 3 * part + 3], values(inner(data)), atol=1e-6)


# --- composites --------------------------------------------------------------------------------


@register
class Inner(PortableLayerMixin, L.Layer):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.k = L.Dense(units, bias_initializer="random_normal")

    def call(self, x):
        return self.k(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register
class Composite(PortableLayerMixin, L.Layer):
    """The usual style of Keras 2: no ``build``, layers made in ``__init__``."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.blocks = [Inner(units), L.Dense(units)]
        self.norm = L.LayerNormalization()

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register
class Two(PortableLayerMixin, L.Layer):
    """One more input, of another size, so that ``call`` can't be traced with the first alone."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a, self.b = L.Dense(2), L.Dense(2)

    def call(self, x, y):
        return self.a(x) + self.b(y)


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda layer: pickle.loads(pickle.dumps(layer))}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("made_by", ["data", "input"])
def test_a_copy_of_a_composite_computes_the_same(how, made_by):
    data = array(2, 4)
    layer = Composite()
    layer(data if made_by == "data" else KERAS.Input((4,)))
    copied = COPIES[how](layer)
    assert [tuple(w.shape) for w in copied.weights] == [tuple(w.shape) for w in layer.weights]
    assert len(copied.weights) == 6
    for mine, theirs in zip(copied.get_weights(), layer.get_weights()):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(values(copied(data)), values(layer(data)), atol=1e-6)
    layer.set_weights([value + 1 for value in layer.get_weights()])
    assert np.abs(copied.get_weights()[0] - layer.get_weights()[0]).min() > 0.5


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_a_composite_of_two_inputs_computes_the_same(how):
    layer = Two()
    expected = values(layer(array(2, 4), array(2, 5)))
    copied = COPIES[how](layer)
    np.testing.assert_allclose(values(copied(array(2, 4), array(2, 5))), expected, atol=1e-6)


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_what_was_never_called_is_built_by_its_first_call(how):
    layer = Composite(5)
    copied = COPIES[how](layer)
    assert (len(copied.weights), copied.units) == (0, 5)
    assert tuple(copied(array(2, 4)).shape) == (2, 5)
    assert (len(copied.weights), len(layer.weights)) == (6, 0)


@pytest.mark.skipif(INFO.version.startswith("2.12"), reason="its .keras files are of another kind")
@pytest.mark.parametrize("cls", [Composite, Two])
def test_a_model_with_a_composite_is_saved_and_loaded(cls, tmp_path):
    inputs = [KERAS.Input((4,)), KERAS.Input((5,))][: 2 if cls is Two else 1]
    data = [array(2, 4), array(2, 5)][: len(inputs)]
    model = KERAS.Model(inputs, cls()(*inputs))
    model.save(str(tmp_path / "model.keras"))
    loaded = KERAS.models.load_model(str(tmp_path / "model.keras"))
    np.testing.assert_allclose(loaded.predict(data, verbose=0), model.predict(data, verbose=0), atol=1e-6)


@pytest.mark.skipif(K2, reason="Keras 2 makes the weights of the layers inside at the first call")
def test_build_by_hand_builds_the_layers_inside():
    layer = Composite()
    layer.build((None, 4))
    assert len(layer.weights) == 6
    assert layer.built
    names = [weight.path for weight in layer.weights] if hasattr(layer.weights[0], "path") else []
    called = Composite(name=layer.name)
    called(array(2, 4))
    assert [name.split("/")[0] for name in names] == [layer.name] * len(names)


def test_the_output_shape_of_a_composite_is_found_from_call():
    assert tuple(Composite(5).compute_output_shape((None, 7, 4))) == (None, 7, 5)
    assert tuple(L.TimeDistributed(Composite(5))(KERAS.Input((7, 4))).shape) == (None, 7, 5)
