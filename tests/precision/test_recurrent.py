"""Stateful recurrent layers under mixed precision: subclasses with the mixin run as stateless ones do."""

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import MixedPrecisionMixin, PortableLayerMixin

L = KERAS.layers
register = (KERAS.saving if hasattr(KERAS, "ops") else KERAS.utils).register_keras_serializable("test_recurrent")
X = np.random.default_rng(0).normal(size=(5, 6, 3)).astype("float32")
VERSION = tuple(int(part) for part in INFO.version.split(".")[:2])
#: Not on JAX: after `predict` and `fit` the states are zero, of plain float32 layers too (3.15.1, 3.16.0.dev).
TRAINER_KEEPS_STATES = INFO.backend != "jax"
#: Keras's own, of plain layers, too: JAX's `zeros_like` takes no variable there (3.2 to 3.9 with jax 0.6.0; on 3.10
#: with 0.4.30 it only warns, which is an error in these tests). 3.12 and newer reset, with jax 0.10.
RESET_FAILS = INFO.backend == "jax" and VERSION <= (3, 10)
#: How far two ways to the same values may be apart.
NEAR = {"mixed_float16": 8e-3, "mixed_bfloat16": 3e-2}


@register
class OurLSTM(MixedPrecisionMixin, L.LSTM):
    pass


@register
class OurGRU(MixedPrecisionMixin, L.GRU):
    pass


@register
class OurSimpleRNN(PortableLayerMixin, L.SimpleRNN):
    pass


@register
class OurRNN(PortableLayerMixin, L.RNN):
    pass


@register
class OurBidirectional(MixedPrecisionMixin, L.Bidirectional):
    pass


@register
class PortableBidirectional(PortableLayerMixin, L.Bidirectional):
    pass


MADE = {
    "LSTM": lambda **k: OurLSTM(4, **k),
    "GRU": lambda **k: OurGRU(4, **k),
    "SimpleRNN": lambda **k: OurSimpleRNN(4, **k),
    "RNN": lambda dtype=None, **k: OurRNN(L.LSTMCell(4, dtype=dtype), dtype=dtype, **k),
    "Bidirectional": lambda dtype=None, **k: OurBidirectional(OurGRU(4, dtype=dtype, **k), dtype=dtype),
    "Bidirectional of a plain layer": lambda dtype=None, **k: OurBidirectional(
        L.LSTM(4, dtype=dtype, **k), dtype=dtype
    ),
    "both ours": lambda dtype=None, **k: PortableBidirectional(OurLSTM(4, dtype=dtype, **k), dtype=dtype),
}
PLAIN = {
    "plain LSTM": lambda **k: L.LSTM(4, **k),
    "plain Bidirectional": lambda dtype=None, **k: L.Bidirectional(L.GRU(4, dtype=dtype, **k), dtype=dtype),
}


def model_of(name, **kwargs):
    inputs = KERAS.Input(batch_shape=(5, None, 3))
    model = KERAS.Model(inputs, {**MADE, **PLAIN}[name](**kwargs)(inputs))
    state = np.random.RandomState(1)
    model.set_weights([v if v.shape[0] == 5 else state.uniform(-0.6, 0.6, v.shape) for v in model.get_weights()])
    return model


def as_array(tensor):
    return np.array(
        KERAS.ops.convert_to_numpy(KERAS.ops.cast(tensor, "float32")) if INFO.version[0] == "3" else tensor, "float32"
    )


def predicted(model, x):
    return as_array(model(x))


def recurrent(model):
    """The recurrent layers of a model: of a Bidirectional, the two in it."""
    layer = model.layers[-1]
    return [layer.forward_layer, layer.backward_layer] if hasattr(layer, "forward_layer") else [layer]


def states_of(model):
    found = [layer.states for layer in recurrent(model)]
    return [state for each in found for state in (each if isinstance(each, (list, tuple)) else [each])]


def states(model):
    return [as_array(state) for state in states_of(model)]


def reset(model):
    layer = model.layers[-1]
    own = layer.reset_state if hasattr(layer, "reset_state") else layer.reset_states
    if not RESET_FAILS:
        own()
        return
    with pytest.raises((ValueError, DeprecationWarning), match="dtype"):
        own()
    for state in states_of(model):
        state.assign(np.zeros(state.shape))


def forward(name, values):
    """The half that goes on where it has stopped: the backward one starts at the other end."""
    return values[:, :4] if "idirectional" in name or "both" in name else values


def stateful_and_not(name, dtype):
    model, stateless = model_of(name, dtype=dtype, stateful=True), model_of(name, dtype=dtype)
    stateless.set_weights([values for values in model.get_weights() if values.shape[0] != 5])
    return model, stateless


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for dtype in NEAR for name in (MADE if dtype == "mixed_float16" else [*MADE][:3])],
)
def test_two_calls_give_what_one_call_of_a_stateless_layer_gives(name, dtype):
    if dtype == "mixed_bfloat16" and INFO.version.startswith("2.12.") and name in ("LSTM", "GRU"):
        with pytest.raises(TypeError, match="bfloat16 not in list of allowed"):  # as plain Keras 2.12
            model_of("plain LSTM", dtype=dtype)
        return
    model, stateless = stateful_and_not(name, dtype)
    near = {"rtol": 0, "atol": NEAR[dtype]}
    whole = forward(name, predicted(stateless, X))
    assert not any(map(np.any, states(model)))
    first, middle = predicted(model, X[:, :3]), states(model)
    second, last = predicted(model, X[:, 3:]), states(model)
    np.testing.assert_allclose(first, predicted(stateless, X[:, :3]), **near)
    np.testing.assert_allclose(forward(name, second), whole, **near)
    assert abs(forward(name, second) - forward(name, predicted(stateless, X[:, 3:]))).max() > NEAR[dtype]
    assert all(map(np.any, middle))
    assert not any(map(np.allclose, middle, last))
    reset(model)
    assert not any(map(np.any, states(model)))
    np.testing.assert_allclose(predicted(model, X[:, :3]), first, **near)
    if dtype == "mixed_float16" and TRAINER_KEEPS_STATES:
        reset(model)
        model.predict(X[:, :3], batch_size=5, verbose=0)
        second = np.asarray(model.predict(X[:, 3:], batch_size=5, verbose=0), "float32")
        np.testing.assert_allclose(forward(name, second), whole, **near)


@pytest.mark.parametrize("name", ["LSTM", "Bidirectional"])
def test_they_are_trained_and_saved(name, tmp_path):
    model, stateless = stateful_and_not(name, "mixed_float16")
    reset(model)
    if INFO.backend != "numpy":
        before = [np.array(weight) for weight in model.get_weights() if weight.shape[0] != 5]
        for each in (model, stateless):
            each.compile(KERAS.optimizers.SGD(0.5), "mse")
            each.fit(X, np.ones((5, each.output_shape[-1])), batch_size=5, epochs=1, verbose=0, shuffle=False)
        after = [weight for weight in model.get_weights() if weight.shape[0] != 5]
        assert not any(map(np.array_equal, before, after))
        for ours, expected in zip(after, stateless.get_weights()):
            np.testing.assert_allclose(ours, expected, atol=8e-3)
        assert all(map(np.any, states(model))) is TRAINER_KEEPS_STATES
    if name == "Bidirectional" and INFO.version.startswith(("3.0", "3.1.", "3.2")):
        return  # seen on 3.2: a file has no weights of the layers in a Bidirectional
    if hasattr(KERAS, "ops"):
        model.save(tmp_path / "model.keras")
        loaded = KERAS.models.load_model(tmp_path / "model.keras")
    else:  # Keras 2.15 loads no model with a stateful subclass, a bare one neither: an IndexError in its `build`
        model.save_weights(tmp_path / "model.weights.h5")
        loaded = model_of(name, dtype="mixed_float16", stateful=True)
        loaded.load_weights(tmp_path / "model.weights.h5")
    reset(model)
    reset(loaded)
    np.testing.assert_allclose(predicted(loaded, X), predicted(model, X), atol=1e-2)


def test_eager_calls_keep_the_compute_dtype():
    layer = MADE["LSTM"](dtype="mixed_float16", stateful=True)
    for _ in range(2):
        assert "float16" in str(layer(X).dtype)


def seen_of_plain(name):
    """What plain Keras does: it raises an error, never changes the states, or keeps them."""
    try:
        model = model_of(name, dtype="mixed_float16", stateful=True)
    except (ValueError, TypeError):
        return "raises"
    predicted(model, X)
    return "keeps" if all(map(np.any, states(model))) else "never changes"


@pytest.mark.parametrize("name", PLAIN)
def test_plain_keras(name):
    expected = "keeps"
    if INFO.backend == "tensorflow" and (3, 0) <= VERSION <= (3, 7):
        expected = "raises"
    elif INFO.backend == "torch" and VERSION < (3, 16):
        expected = "never changes"
    assert seen_of_plain(name) == expected
