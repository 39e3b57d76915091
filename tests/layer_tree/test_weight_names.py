"""Names of weights: the same on every Keras, backend and way of building. The names are in ``data/``."""

import json
from pathlib import Path

import numpy as np
import pytest
import weight_zoo
from environment import INFO, KERAS

from keras_buildfix import named_weights

EXPECTED = json.loads((Path(__file__).resolve().parents[1] / "data" / "weight_names.json").read_text("utf-8"))
L = KERAS.layers

#: Every built-in with weights: how to make it, and the shapes of its inputs.
BUILTINS = {
    "AdditiveAttention": (lambda: L.AdditiveAttention(), [(1, 3, 4), (1, 3, 4)]),
    "Attention": (lambda: L.Attention(use_scale=True), [(1, 3, 4), (1, 3, 4)]),
    "BatchNormalization": (lambda: L.BatchNormalization(), [(1, 3)]),
    "Bidirectional": (lambda: L.Bidirectional(L.GRU(2)), [(1, 3, 4)]),
    "Bidirectional-RNN": (lambda: L.Bidirectional(L.RNN(L.LSTMCell(2))), [(1, 3, 4)]),
    "Conv1D": (lambda: L.Conv1D(2, 2), [(1, 5, 3)]),
    "Conv2D": (lambda: L.Conv2D(2, 2), [(1, 5, 5, 3)]),
    "Conv3D": (lambda: L.Conv3D(2, 2), [(1, 5, 5, 5, 3)]),
    "Conv1DTranspose": (lambda: L.Conv1DTranspose(2, 2), [(1, 5, 3)]),
    "Conv2DTranspose": (lambda: L.Conv2DTranspose(2, 2), [(1, 5, 5, 3)]),
    "Conv3DTranspose": (lambda: L.Conv3DTranspose(2, 2), [(1, 3, 3, 3, 4)]),
    "ConvLSTM1D": (lambda: L.ConvLSTM1D(2, 3), [(1, 3, 5, 4)]),
    "ConvLSTM2D": (lambda: L.ConvLSTM2D(2, 3), [(1, 3, 5, 5, 4)]),
    "Dense": (lambda: L.Dense(3), [(1, 3)]),
    "DepthwiseConv1D": (lambda: L.DepthwiseConv1D(2), [(1, 5, 3)]),
    "DepthwiseConv2D": (lambda: L.DepthwiseConv2D(2), [(1, 5, 5, 3)]),
    "EinsumDense": (lambda: L.EinsumDense("ab,bc->ac", 4, bias_axes="c"), [(1, 3)]),
    "Embedding": (lambda: L.Embedding(3, 4), [(1, 3)]),
    "GRU": (lambda: L.GRU(2, reset_after=False), [(1, 3, 4)]),
    "GroupNormalization": (lambda: L.GroupNormalization(1), [(1, 3)]),
    "LSTM": (lambda: L.LSTM(2), [(1, 3, 4)]),
    "LayerNormalization": (lambda: L.LayerNormalization(), [(1, 3)]),
    "MultiHeadAttention": (lambda: L.MultiHeadAttention(2, 2), [(1, 3, 4), (1, 3, 4)]),
    "Normalization": (lambda: L.Normalization(), [(4, 3)]),
    "PReLU": (lambda: L.PReLU(), [(1, 3)]),
    "RNN": (lambda: L.RNN([L.SimpleRNNCell(2), L.LSTMCell(2)]), [(1, 3, 4)]),
    "SeparableConv1D": (lambda: L.SeparableConv1D(2, 2), [(1, 5, 3)]),
    "SeparableConv2D": (lambda: L.SeparableConv2D(2, 2), [(1, 5, 5, 3)]),
    "SimpleRNN": (lambda: L.SimpleRNN(2), [(1, 3, 4)]),
    "SpectralNormalization": (lambda: L.SpectralNormalization(L.Dense(2)), [(1, 3)]),
    "TimeDistributed": (lambda: L.TimeDistributed(L.Conv2D(2, 2)), [(1, 3, 5, 5, 4)]),
}


def names_and_shapes(layer):
    return {name: list(weight.shape) for name, weight in named_weights(layer).items()}


@pytest.mark.parametrize("name", sorted(BUILTINS))
def test_a_builtin_has_the_same_names_on_every_keras(name):
    if not hasattr(L, name.partition("-")[0]):
        pytest.skip(f"{name} is not on Keras {INFO.version}")
    make, shapes = BUILTINS[name]
    layer, inputs = make(), [np.ones(shape, "float32") for shape in shapes]
    if name == "MultiHeadAttention":
        layer(*inputs)
    else:
        layer(inputs if len(inputs) > 1 else inputs[0])
    assert names_and_shapes(layer) == EXPECTED["builtins"][name]


@pytest.mark.parametrize("name", sorted(EXPECTED["zoo"]))
def test_a_model_has_the_same_names_on_every_keras_however_often_it_was_made(name):
    make, inputs = weight_zoo.models(KERAS)[name]
    for _ in range(2):  # Keras counts through the whole process
        model = weight_zoo.built(make, inputs)
        assert names_and_shapes(model) == EXPECTED["zoo"][name]
        # Keras 2 counts the state of a metric that is held as an attribute among the model's weights.
        state = {id(variable) for metric in model.metrics for variable in metric.variables}
        listed = [id(weight) for weight in model.weights if id(weight) not in state]
        assert [id(weight) for weight in named_weights(model).values()] == listed


def test_the_order_is_that_of_construction_whatever_is_frozen():
    model, _ = weight_zoo.make(KERAS, "custom")
    before = list(named_weights(model).items())
    for layer in model.layers[1:3]:
        layer.trainable = False
        after = list(named_weights(model).items())
        assert [name for name, _ in after] == [name for name, _ in before]
        assert all(one is other for (_, one), (_, other) in zip(before, after))


def test_names_do_not_depend_on_the_way_of_building():
    shape, found = (None, 4), []
    for build in (
        lambda layer: layer.build(shape),
        lambda layer: layer(np.ones((2, 4), "float32")),
        lambda layer: layer(KERAS.Input((4,))),
        lambda layer: KERAS.Sequential([KERAS.Input((4,)), layer]),
    ):
        layer = L.Dense(2, name="given")
        build(layer)
        found.append(names_and_shapes(layer))
    assert found == [{"kernel": [4, 2], "bias": [2]}] * 4


def test_lazily_built_and_functional_models_agree():
    lazy = KERAS.Sequential([L.Dense(3), L.Dense(2)])
    lazy.build((None, 4))
    eager = KERAS.Sequential([KERAS.Input((4,)), L.Dense(3), L.Dense(2)])
    assert names_and_shapes(lazy) == names_and_shapes(eager)
    assert list(named_weights(lazy)) == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]


def test_a_shared_layer_has_the_name_of_the_shortest_way():
    shared, inputs = L.Dense(4, name="shared"), KERAS.Input((4,))
    inner = KERAS.Sequential([KERAS.Input((4,)), shared], name="inner")
    model = KERAS.Model(inputs, shared(inner(inputs)))
    assert list(named_weights(model)) == ["shared/kernel", "shared/bias"]


def test_equal_and_missing_names_are_counted():
    class Unnamed(L.Layer):
        def build(self, input_shape):
            self.one = self.add_weight(shape=(1,), initializer="zeros", name="w")
            self.other = self.add_weight(shape=(2,), initializer="zeros", name="w")
            self.third = self.add_weight(shape=(3,), initializer="zeros")
            self.built = True

        def call(self, inputs):
            return inputs

    class Twins(L.Layer):
        def __init__(self):
            super().__init__()
            self.layers_by_name = {"b": Unnamed(name="twin"), "a": [Unnamed(name="twin")]}

        def build(self, input_shape):
            self.layers_by_name["b"].build(input_shape)
            self.layers_by_name["a"][0].build(input_shape)
            self.built = True

        def call(self, inputs):
            return inputs

    layer = Twins()
    layer.build((None, 1))
    assert set(named_weights(layer)) == {
        f"{twin}/{name}" for twin in ("twin", "twin_1") for name in ("w", "w_1", "variable")
    }


def test_seeds_metrics_and_optimizers_are_no_weights():
    model = KERAS.Sequential([KERAS.Input((4,)), L.Dropout(0.5), L.Dense(1), L.GaussianNoise(0.1)])
    model.compile("adam", "mse", metrics=["mae"])
    if INFO.backend not in ("numpy", "openvino"):
        model.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0)
    assert list(named_weights(model)) == ["dense/kernel", "dense/bias"]


def test_only_layers_have_weights():
    with pytest.raises(TypeError, match="named_weights expects a Keras layer"):
        named_weights("model.h5")
    assert named_weights(L.Dense(2)) == {}
