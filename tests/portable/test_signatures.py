"""Bodies with the signatures of one Keras, on every Keras: the built-in's result, times two, from the same weights."""

import functools

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import PortableLayerMixin
from keras_buildfix.portable.signatures import which

L = KERAS.layers
K2 = INFO.generation == 2
pytestmark = [
    *([pytest.mark.filterwarnings("ignore::RuntimeWarning")] if INFO.backend == "numpy" else []),
    pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning"),
]
RANDOM = np.random.default_rng(0)


def array(*shape):
    return RANDOM.normal(size=shape).astype("float32")


def values(tensor):
    if isinstance(tensor, (list, tuple)):
        return [values(each) for each in tensor]
    return np.asarray(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor)


class Scaled:
    def scale(self):
        self.s = self.add_weight(name="s", shape=(), initializer="ones")


def of_keras_2(base):
    class OfKeras2(Scaled, PortableLayerMixin, base):
        def build(self, input_shape):
            self.scale()
            super().build(input_shape)

        def call(self, inputs, mask=None, training=None, initial_state=None):
            out = super().call(inputs, mask=mask, training=training, initial_state=initial_state)
            return out * 2.0 * self.s

    return OfKeras2


def of_keras_3(base):
    class OfKeras3(Scaled, PortableLayerMixin, base):
        def build(self, sequences_shape, initial_state_shape=None):
            self.scale()
            super().build(sequences_shape)

        def call(self, sequences, initial_state=None, mask=None, training=False):
            out = super().call(sequences, initial_state=initial_state, mask=mask, training=training)
            return out * 2.0 * self.s

    return OfKeras3


def short(base):
    class Short(Scaled, PortableLayerMixin, base):
        def build(self, input_shape):
            self.scale()
            super().build(input_shape)

        def call(self, inputs):
            return super().call(inputs) * 2.0 * self.s

    return Short


def with_any(base):
    class WithAny(Scaled, PortableLayerMixin, base):
        def build(self, shape):
            self.scale()
            super().build(shape)

        def call(self, inputs, **kwargs):
            return super().call(inputs, **kwargs) * 2.0 * self.s

    return WithAny


def without_build(base):
    class WithoutBuild(PortableLayerMixin, base):
        def call(self, x, training=None):
            return super().call(x, training=training) * 2.0

    return WithoutBuild


def by_place_as_keras_2(base):
    class ByPlaceAsKeras2(PortableLayerMixin, base):
        def call(self, inputs, mask=None, training=None, initial_state=None):
            return super().call(inputs, mask, training, initial_state) * 2.0

    return ByPlaceAsKeras2


def by_place_as_keras_3(base):
    class ByPlaceAsKeras3(PortableLayerMixin, base):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            return super().call(sequences, initial_state, mask, training) * 2.0

    return ByPlaceAsKeras3


def by_name(base):
    class ByName(PortableLayerMixin, base):
        def call(self, x, *, initial_state=None, constants=None, training=None, mask=None):
            out = super().call(inputs=x, initial_state=initial_state, constants=constants, training=training, mask=mask)
            return out * 2.0

    return ByName


BODIES = [of_keras_2, of_keras_3, short, with_any, without_build]
BY_PLACE = [by_place_as_keras_2, by_place_as_keras_3, by_name]
BUILTINS = {
    "LSTM": lambda cls: cls(3),
    "GRU": lambda cls: cls(3),
    "SimpleRNN": lambda cls: cls(3),
    "RNN": lambda cls: cls(L.LSTMCell(3)),
    "Bidirectional": lambda cls: cls(L.LSTM(3)),
    "ConvLSTM1D": lambda cls: cls(2, 3),
}


@functools.cache
def reference(name):
    """Inputs and states, and what a built-in makes of each, with its weights; built once for all bodies."""
    builtin = BUILTINS[name](getattr(L, name))
    data = array(2, 3, 5, 4) if name == "ConvLSTM1D" else array(2, 4, 4)
    states = [array(2, 3) for _ in range(4 if name == "Bidirectional" else 2)]
    expected = values(builtin(data))
    takes_two = name in ("LSTM", "Bidirectional")
    from_states = None if not takes_two else values(builtin(data, initial_state=list(map(tensor, states))))
    return data, states, builtin.get_weights(), expected, from_states


def tensor(value):
    return KERAS.ops.convert_to_tensor(value) if not K2 else __import__("tensorflow").constant(value)


def with_weights(layer, weights):
    """A layer made of a built-in, with that one's weights, and 1 for its own scale."""
    rest = iter(weights)
    layer.set_weights([next(rest) if value.shape else np.ones((), "float32") for value in layer.get_weights()])
    assert next(rest, None) is None
    return layer


@pytest.mark.parametrize("name", [*BUILTINS])
@pytest.mark.parametrize("body", BODIES)
def test_a_recurrent_body_computes_what_the_built_in_does(name, body):
    data, _, weights, expected, _ = reference(name)
    layer = BUILTINS[name](body(getattr(L, name)))
    assert tuple(layer(KERAS.Input(data.shape[1:])).shape)[1:] == expected.shape[1:]
    np.testing.assert_allclose(values(with_weights(layer, weights)(data)), 2 * expected, atol=1e-5)


# Keras 2 itself hands the states to `call` by name if they are data, which a short one does not take.
STARTED = [*BODIES[: 2 if K2 else 3], with_any, *BY_PLACE]


@pytest.mark.parametrize(
    ("body", "name"), [*((body, "LSTM") for body in STARTED), *((body, "Bidirectional") for body in BODIES[:2])]
)
def test_a_recurrent_body_starts_from_the_states_it_is_given(name, body):
    data, states, weights, _, expected = reference(name)
    layer = BUILTINS[name](body(getattr(L, name)))
    inputs = [KERAS.Input((4, 4)), *(KERAS.Input((3,)) for _ in states)]
    model = KERAS.Model(inputs, layer(inputs[0], initial_state=inputs[1:]))
    with_weights(layer, weights)
    np.testing.assert_allclose(values(model([data, *states])), 2 * expected, atol=1e-5)
    by_data = layer(data, initial_state=list(map(tensor, states))) if body is not short else model([data, *states])
    np.testing.assert_allclose(values(by_data), 2 * expected, atol=1e-5)


@pytest.mark.parametrize("body", [of_keras_2, of_keras_3, with_any, *BY_PLACE])
def test_a_recurrent_body_leaves_out_masked_steps(body):
    data, _, weights, expected, _ = reference("LSTM")
    longer = np.concatenate([data, np.zeros((2, 2, 4), "float32")], 1)
    layer = body(L.LSTM)(3)
    layer.build((None, 6, 4))
    made = with_weights(layer, weights)(L.Masking()(longer))
    np.testing.assert_allclose(values(made), 2 * expected, atol=1e-5)


@pytest.mark.parametrize("body", [of_keras_2, of_keras_3, with_any])
def test_a_recurrent_body_leaves_out_masked_steps_from_given_states_on(body):
    data, states, weights, _, expected = reference("LSTM")
    longer = np.concatenate([data, np.zeros((2, 2, 4), "float32")], 1)
    layer = body(L.LSTM)(3)
    layer.build((None, 6, 4))
    made = with_weights(layer, weights)(L.Masking()(longer), initial_state=list(map(tensor, states)))
    np.testing.assert_allclose(values(made), 2 * expected, atol=1e-5)


@pytest.mark.skipif(INFO.backend == "numpy", reason="no training on NumPy")
@pytest.mark.parametrize("body", [of_keras_2, with_any, by_place_as_keras_2, by_place_as_keras_3])
def test_a_recurrent_body_drops_in_training(body):
    data, _, weights, expected, _ = reference("LSTM")
    layer = body(L.LSTM)(3, dropout=0.9)
    layer.build((None, 4, 4))
    with_weights(layer, weights)
    np.testing.assert_allclose(values(layer(data, training=False)), 2 * expected, atol=1e-5)
    assert np.abs(values(layer(data, training=True)) - 2 * expected).max() > 1e-4


@pytest.mark.parametrize("body", BODIES)
def test_a_recurrent_body_inside_bidirectional(body):
    data, _, weights, expected, _ = reference("Bidirectional")
    cls = body(L.LSTM)
    with KERAS.utils.custom_object_scope({cls.__name__: cls}):
        both = L.Bidirectional(cls(3))
    assert tuple(both(KERAS.Input((4, 4))).shape) == (None, 6)
    np.testing.assert_allclose(values(with_weights(both, weights)(data)), 2 * expected, atol=1e-5)


@pytest.mark.skipif(K2, reason="Keras 2 gives such a body its states in a list or by name")
def test_states_of_which_a_body_makes_nothing_are_an_error():
    class Alone(PortableLayerMixin, L.LSTM):
        def call(self, inputs):
            return inputs[:, 0] * 1.0

    data, states, *_ = reference("LSTM")
    with pytest.raises(TypeError, match="ignores initial_state"):
        Alone(3)(data, initial_state=list(map(tensor, states)))
    assert values(Alone(4)(data)).shape == (2, 4)


@pytest.mark.skipif(INFO.backend == "numpy", reason="no training on NumPy")
def test_a_body_that_takes_anything_by_name_normalizes_by_the_batch_in_training():
    class Norm(PortableLayerMixin, L.BatchNormalization):
        def call(self, inputs, **kwargs):
            return super().call(inputs, **kwargs) * 2.0

    data = array(8, 3) + 5.0
    layer = Norm()
    trained = values(layer(data, training=True))
    np.testing.assert_allclose(trained.mean(0), np.zeros(3), atol=1e-3)
    assert np.abs(values(layer(data)).mean(0)).min() > 1.0


def test_a_subclass_of_a_portable_body_may_have_other_names():
    class More(of_keras_2(L.LSTM)):
        def call(self, x, training=None):
            return super().call(x, training=training) * 3.0

    data, _, weights, expected, _ = reference("LSTM")
    layer = More(3)
    assert tuple(layer(KERAS.Input((4, 4))).shape) == (None, 3)
    np.testing.assert_allclose(values(with_weights(layer, weights)(data)), 6 * expected, atol=1e-5)


@pytest.mark.parametrize("body", BODIES)
def test_build_by_hand_and_what_is_made_from_a_config(body):
    layer = body(L.GRU)(3)
    layer.build((None, 5, 4))
    again = type(layer).from_config(layer.get_config())
    again.build((None, 5, 4))
    for each in layer, again:
        assert [value.shape for value in each.get_weights() if value.shape] == [(4, 9), (3, 9), (2, 9)]


# --- attention ---------------------------------------------------------------------------------


def other_size():
    """The size of values for queries of 3; the built-in of some (3.1) wants the same."""
    try:
        L.MultiHeadAttention(2, 3)(KERAS.Input((4, 3)), KERAS.Input((6, 5)))
    except ValueError:
        return 3
    return 5


SIZE = other_size()


class AttentionOfKeras2(Scaled, PortableLayerMixin, L.MultiHeadAttention):
    def build(self, input_shape):
        self.scale()
        super().build(input_shape)

    def call(
        self,
        query,
        value,
        key=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
    ):
        out = super().call(query, value, key, attention_mask, training=training, use_causal_mask=use_causal_mask)
        return out * 2.0 * self.s


class AttentionOfKeras3(Scaled, PortableLayerMixin, L.MultiHeadAttention):
    def build(self, query_shape, value_shape, key_shape=None):
        assert tuple(value_shape)[1:] == (6, SIZE)
        self.scale()
        super().build(query_shape, value_shape, key_shape)

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        training=None,
    ):
        return super().call(query, value, key, query_mask, value_mask, key_mask, attention_mask) * 2.0 * self.s


class OtherNames(PortableLayerMixin, L.MultiHeadAttention):
    def call(self, x, context, training=None):
        return super().call(x, context, training=training) * 2.0


class SelfAttention(PortableLayerMixin, L.MultiHeadAttention):
    def call(self, inputs, training=None):
        return super().call(inputs, inputs, training=training) * 2.0


@pytest.mark.parametrize("cls", [AttentionOfKeras2, AttentionOfKeras3, OtherNames])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_to_something_of_another_size(cls, masked):
    query, value = array(2, 4, 3), array(2, 6, SIZE)
    mask = np.zeros((2, 4, 6), bool)
    mask[:, :, :2] = True
    named = {"attention_mask": mask} if masked and cls is not OtherNames else {}
    layer, builtin = cls(2, 3), L.MultiHeadAttention(2, 3)
    assert tuple(layer(KERAS.Input((4, 3)), KERAS.Input((6, SIZE))).shape) == (None, 4, 3)
    expected = values(builtin(query, value, **named))
    made = values(with_weights(layer, builtin.get_weights())(query, value, **named))
    np.testing.assert_allclose(made, 2 * expected, atol=1e-5)


def test_self_attention_needs_one_input():
    data = array(2, 4, 3)
    layer, builtin = SelfAttention(2, 3), L.MultiHeadAttention(2, 3)
    assert tuple(layer(KERAS.Input((4, 3))).shape) == (None, 4, 3)
    expected = values(builtin(data, data))
    np.testing.assert_allclose(values(with_weights(layer, builtin.get_weights())(data)), 2 * expected, atol=1e-5)


@pytest.mark.parametrize("cls", [SelfAttention, AttentionOfKeras2])
def test_attention_does_not_look_at_masked_steps(cls):
    data = array(2, 5, 3)
    data[:, 3:] = 0.0
    masked = L.Masking()(data)
    layer, builtin = cls(2, 3), L.MultiHeadAttention(2, 3)
    inputs = (masked,) if cls is SelfAttention else (masked, masked)
    made = values(layer(*inputs))
    builtin(data, data)
    builtin.set_weights([value for value in layer.get_weights() if value.shape])
    np.testing.assert_allclose(made[:, :3], 2 * values(builtin(data[:, :3], data[:, :3])), atol=1e-5)


def test_what_could_mean_two_things_by_place_is_an_error():
    class Undecided(PortableLayerMixin, L.MultiHeadAttention):
        def call(self, inputs, mask=None):
            return super().call(inputs, inputs, None, mask)

    layer = Undecided(2, 3)
    assert values(layer(array(2, 4, 3))).shape == (2, 4, 3)
    with pytest.raises(
        TypeError, match=r"argument . of super.*, which is .* on Keras 2 and .* on Keras 3\. Pass it by name"
    ):
        layer(array(2, 4, 3), mask=np.ones((2, 4), bool))


# --- layers of the user's own ------------------------------------------------------------------


class Pair(PortableLayerMixin, L.Layer):
    """As Keras 3 lets it be written; Keras 2 hands ``build`` the first shape only."""

    def build(self, a_shape, b_shape):
        self.w = self.add_weight(name="w", shape=(a_shape[-1], b_shape[-1]), initializer="ones")
        super().build(a_shape)

    def call(self, a, b):
        return a[:, :1] * self.w[0, 0] + b[:, :1]


@pytest.mark.parametrize("by_name", [False, True])
def test_build_gets_every_shape_that_it_names(by_name):
    layer = Pair()
    layer(KERAS.Input((3,)), b=KERAS.Input((5,))) if by_name else layer(KERAS.Input((3,)), KERAS.Input((5,)))
    assert [tuple(weight.shape) for weight in layer.weights] == [(3, 5)]
    layer = Pair()
    layer(array(2, 3), array(2, 5))
    assert [tuple(weight.shape) for weight in layer.weights] == [(3, 5)]
    layer = Pair()
    layer.build((None, 3), (None, 5))
    assert [tuple(weight.shape) for weight in layer.weights] == [(3, 5)]


@pytest.mark.skipif(INFO.version.startswith("2.12"), reason="its .keras files are of another kind")
def test_build_gets_every_shape_when_a_file_is_loaded(tmp_path):
    inputs = [KERAS.Input((3,)), KERAS.Input((5,))]
    model = KERAS.Model(inputs, Pair()(*inputs))
    model.set_weights([np.full((3, 5), 7.0, "float32")])
    model.save(str(tmp_path / "model.keras"))
    loaded = KERAS.models.load_model(str(tmp_path / "model.keras"), custom_objects={"Pair": Pair})
    np.testing.assert_array_equal(loaded.get_weights()[0], np.full((3, 5), 7.0))


def test_build_gets_every_shape_inside_another_layer():
    class Outer(PortableLayerMixin, L.Layer):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def call(self, x):
            return self.pair(x, x[:, :2])

    inputs = KERAS.Input((3,))
    model = KERAS.Model(inputs, Outer()(inputs))
    assert [tuple(weight.shape) for weight in model.weights] == [(3, 2)]
    data = array(2, 3)
    np.testing.assert_allclose(model.predict(data, verbose=0), data[:, :1] * 2, atol=1e-6)


def test_build_may_have_defaults_that_are_no_shapes():
    class Own(PortableLayerMixin, L.Layer):
        def build(self, input_shape, initializer="ones"):
            self.w = self.add_weight(name="w", shape=input_shape[-1:], initializer=initializer)
            super().build(input_shape)

        def call(self, x):
            return x * self.w

    layer = Own()
    assert tuple(layer(KERAS.Input((3,))).shape) == (None, 3)
    np.testing.assert_array_equal(values(layer(np.full((2, 3), 2.0, "float32"))), np.full((2, 3), 2.0))


def test_which_argument_is_which():
    recurrent = ["sequences", "initial_state"]
    assert which(recurrent, ["sequences"], ["x", "training"]) == {"sequences": "x"}
    assert which(recurrent, ["sequences"], ["inputs", "mask", "initial_state"]) == {
        "sequences": "inputs",
        "initial_state": "initial_state",
    }
    assert which(["query", "value"], ["query", "value"], ["value", "query"]) == {"query": "query", "value": "value"}
    assert which(["query", "value"], ["query", "value"], ["x", "training"]) == {"query": "x"}
    assert which([], [], ["x"]) == {}
