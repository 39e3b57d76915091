"""The shapes of a layer after a call with keywords, and after a call on data."""

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import MixedPrecisionMixin, PortableLayerMixin, get_input_shape, get_output_shape

L = KERAS.layers
K2 = INFO.generation == 2
pytestmark = [  # Keras 3 on NumPy finds shapes by computing with arrays that were never filled
    *([pytest.mark.filterwarnings("ignore::RuntimeWarning")] if INFO.backend == "numpy" else [])
]


def ones(*shape):
    return np.ones(shape, "float32")


class First(L.Layer):
    def call(self, a, b=None):
        return a[:, :2]


class Pair(L.Layer):
    def build(self, a_shape, b_shape):
        self.built = True

    def call(self, a, b):
        return a[:, :2], {"b": b}


class Rest(L.Layer):
    def call(self, **inputs):
        return inputs["a"]


@pytest.mark.skipif(K2, reason="Keras 2 takes the first argument by position only")
@pytest.mark.parametrize("mixins", [(), (PortableLayerMixin,)])
def test_the_input_is_the_first_argument_of_call_whatever_keyword_is_written_first(mixins):
    layer = type("Keywords", (*mixins, First), {})()
    layer(b=KERAS.Input((5,)), a=KERAS.Input((3,)))
    assert get_input_shape(layer) == (None, 3)
    rest = Rest()
    rest(a=KERAS.Input((3,)), b=KERAS.Input((5,)))
    assert get_input_shape(rest) == (None, 3)


@pytest.mark.parametrize("mixins", [(), (MixedPrecisionMixin,), (PortableLayerMixin,)])
def test_the_output_of_a_layer_without_compute_output_shape_is_known_after_a_call_on_data(mixins):
    layer = type("Cut", (*mixins, First), {})(dtype="mixed_bfloat16")
    layer(ones(4, 3))
    assert (get_input_shape(layer), get_output_shape(layer)) == ((4, 3), (4, 2))
    assert get_output_shape(layer).as_list() == [4, 2]


@pytest.mark.skipif(K2, reason="Keras 2 builds for one argument only")
def test_the_output_for_several_arguments_is_known_after_a_call_on_data():
    layer = Pair()
    layer(ones(4, 3), ones(4, 5))
    assert get_input_shape(layer) == (4, 3)
    assert get_output_shape(layer) == ((4, 2), {"b": (4, 5)})


def test_the_output_of_a_structure_is_known_after_a_call_on_data():
    class Inner(L.Layer):
        def call(self, inputs):
            return {"sum": inputs["a"][:, :1] + inputs["b"][0]}

    layer = Inner()
    layer({"a": ones(4, 3), "b": [ones(4, 1)]})
    assert get_input_shape(layer) == {"a": (4, 3), "b": [(4, 1)]}
    assert get_output_shape(layer) == {"sum": (4, 1)}


@pytest.mark.parametrize("make", [lambda: L.Dropout(0.1, name="l"), lambda: L.ReLU(name="l")])
def test_a_built_in_that_was_called_on_data_has_its_shape_or_an_error_that_is_true(make):
    layer = make()
    layer(ones(4, 3))
    noted = getattr(layer, "get_build_config", lambda: "2.12")()
    if noted:
        assert (get_input_shape(layer), get_output_shape(layer)) == ((4, 3), (4, 3))
    else:
        assert not K2
        why = r"input shape of the layer 'l' .* never called on a keras.Input, .* built when it is made"
        with pytest.raises(ValueError, match=why):
            get_input_shape(layer)
        with pytest.raises(ValueError, match=r"Call it on a keras.Input first, or ask layer.compute_output_shape"):
            get_output_shape(layer)
    layer(KERAS.Input((3,)))  # the way out
    assert (get_input_shape(layer), get_output_shape(layer)) == ((None, 3), (None, 3))


def test_an_output_that_can_not_be_worked_out_is_an_error_with_the_reason():
    class Picky(L.Layer):
        def call(self, x, mode):
            return x if mode == "same" else x[:, :1]

    layer = Picky(name="picky")
    layer(ones(4, 3), mode="same")
    with pytest.raises(
        ValueError, match=r"(?s)output shape of the layer 'picky' .* can't be computed .*Give it a comp"
    ):
        get_output_shape(layer)
