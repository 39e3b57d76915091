"""Functions for `with` warn if they are called as statements, which does nothing."""

import gc

import pytest
from environment import KERAS

from keras_buildfix import dtype_policy_scope, frozen, get_dtype_policy, installed

BLOCKS = {
    "frozen": lambda: frozen(a_layer()),
    "dtype_policy_scope": lambda: dtype_policy_scope("mixed_bfloat16"),
    "installed": installed,
}


def a_layer():
    layer = KERAS.layers.Dense(2)
    layer.build((None, 3))
    return layer


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_that_is_not_entered_warns(name):
    def forget():
        BLOCKS[name]()
        gc.collect()

    with pytest.warns(RuntimeWarning, match=rf"{name}\(...\) did nothing.*write `with {name}\(...\):`"):
        forget()


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_that_is_entered_does_not(name):
    with BLOCKS[name]():
        pass
    gc.collect()  # a warning would be an error


def test_a_block_decorates_a_function_that_is_called_again_and_in_itself():
    layer = a_layer()

    @frozen(layer)
    def trainable(again):
        inner = trainable(False) if again else 0
        return inner + len(layer.trainable_weights)

    assert trainable(True) == trainable(False) == 0
    assert len(layer.trainable_weights) == 2
    before = get_dtype_policy()
    with dtype_policy_scope("mixed_bfloat16") as name:
        assert get_dtype_policy() == name == "mixed_bfloat16"
    assert get_dtype_policy() == before
