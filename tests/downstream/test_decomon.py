"""decomon 0.2.1, unmodified: `build` comes from a mixin; silent on 3.6 and 3.9 (weights), 3.12 on (Reshape)."""

import keras
import numpy as np
import pytest
from decomon.layers.decomon_layers import DecomonActivation
from decomon.layers.decomon_reshape import DecomonReshape

from keras_buildfix import affected_layers, installed, skipped_builds

N = 4
AFFECTED = affected_layers()


def inputs():
    """A box, and the linear upper and lower bounds on it: what a decomon layer takes."""
    return [keras.Input(shape) for shape in ((2, N), (N,), (N, N), (N,), (N,), (N, N), (N,))]


def finetuned():
    layer = DecomonActivation("sigmoid", finetune=True)
    symbolic = inputs()
    return keras.Model(symbolic, layer(symbolic)), layer


def test_without_us_finetuning_has_no_weights_and_nothing_says_so():
    _, layer = finetuned()
    assert len(layer.weights) == (0 if "Activation" in AFFECTED else 2)
    assert len(skipped_builds(layer)) == ("Activation" in AFFECTED)


def test_with_install_alone_it_has_them_and_they_go_through_a_file(tmp_path):
    with installed():
        model, layer = finetuned()
        assert sorted(w.name for w in layer.trainable_weights) == ["beta_l_f", "beta_u_f"]
        layer.beta_l_f.assign(np.arange(N, dtype="float32"))
        model.save_weights(tmp_path / "model.weights.h5")
        other, again = finetuned()
        other.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_array_equal(again.beta_l_f.numpy(), np.arange(N))
        np.testing.assert_array_equal(again.beta_u_f.numpy(), np.ones(N))
        assert skipped_builds(model) == []


@pytest.mark.parametrize("fixed", [False, True])
def test_reshape_is_built_by_the_mixin(fixed):
    def built_shape():
        layer = DecomonReshape((2, 2))
        layer(inputs())
        return layer.get_build_config()

    if fixed:
        with installed():
            assert built_shape() is not None
    else:
        assert (built_shape() is None) is ("Reshape" in AFFECTED)
