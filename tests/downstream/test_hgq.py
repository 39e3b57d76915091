"""HGQ2 0.2.0, unmodified, on a Keras that skips the builds of its pooling layers (3.9.2)."""

import keras
import numpy as np
import pytest
from hgq.layers import QMaxPooling2D, QUnaryFunctionLUT

from keras_buildfix import installed, keras_info, skipped_builds

x = np.random.default_rng(0).random((16, 8, 8, 3), "float32")
y = x.sum((1, 2, 3))[:, None]


def pool_model():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), QMaxPooling2D(2, name="pool"), keras.layers.Flatten(), keras.layers.Dense(1)]
    )


def test_this_is_a_keras_that_skips_them():
    assert keras_info().version == "3.9.2"


def test_without_us_a_fit_raises():
    model = pool_model()
    pool = model.get_layer("pool")
    assert pool.built
    assert pool.weights == []
    model.compile("adam", "mse")
    with pytest.raises(AttributeError, match="'QMaxPooling2D' object has no attribute 'n_parallel'"):
        model.fit(x, y, epochs=1, verbose=0)


def test_with_install_alone_it_fits_and_its_weights_go_through_files(tmp_path):
    with installed():
        model = pool_model()
        pool = model.get_layer("pool")
        assert len(pool.weights) == 6
        model.compile("adam", "mse")
        losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
        assert losses[-1] < losses[0]

        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        model.save_weights(tmp_path / "model.weights.h5")
        other = pool_model()
        other.load_weights(tmp_path / "model.weights.h5")
    for again in (loaded, other):
        assert len(again.get_layer("pool").weights) == 6
        for before, after in zip(model.get_weights(), again.get_weights()):
            np.testing.assert_array_equal(after, before)
        np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)


@pytest.mark.parametrize("fixed", [False, True])
def test_the_layer_that_resets_built_by_hand_stays_right(fixed):
    if fixed:
        with installed():
            layer = QUnaryFunctionLUT("tanh")
            assert not layer.built
            layer(x)
    else:
        layer = QUnaryFunctionLUT("tanh")
        assert not layer.built
        layer(x)
    assert layer.built
    assert len(layer.weights) == 9


def test_skipped_builds_finds_its_pooling_layers_and_nothing_else():
    with pytest.warns(
        UserWarning, match="8 of 63 modules can't be imported here: .*; and 3 more"
    ):  # optional parts of HGQ2
        found = skipped_builds("hgq")
    assert len(found) == 12
    assert {finding.build_from for finding in found} == {"hgq.layers.pooling.QBasePooling"}
    assert {finding.file.rpartition("/")[2] for finding in found} == {"pooling.py"}
    for finding in found:
        assert "weights are missing" in finding.consequence
        assert "_compute_ebops() will fail on self.n_parallel" in finding.consequence
