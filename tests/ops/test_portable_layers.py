"""Five layers written once with `ops`: the same values and the same training on each Keras, in each precision."""

import json
import os

import numpy as np
import ops_cases
import portable_layers
import pytest
from conftest import INFO, KERAS

FILE = ops_cases.DATA / "portable_layers.json"
#: Written with JAX, since numpy cannot train: PORTABLE_LAYERS=record pytest tests/ops/test_portable_layers.py
RECORD = os.environ.get("PORTABLE_LAYERS") == "record"
X = np.random.RandomState(0).uniform(-1, 1, (4, 5, 6)).astype("float32")
X[1, 3:] = 0


def model_of(name, dtype="float32"):
    inputs = KERAS.Input((5, 6))
    model = KERAS.Model(inputs, portable_layers.LAYERS[name](dtype=dtype, name=name.lower())(inputs))
    state = np.random.RandomState(1)
    model.set_weights(
        [w + state.uniform(-0.4, 0.4, w.shape) * (w.ndim > 1) for w in map(np.zeros_like, model.get_weights())]
        if name != "MovingNorm"
        else model.get_weights()
    )
    return model


def trained(model):
    if INFO.backend == "numpy":
        return None
    model.compile(KERAS.optimizers.SGD(0.1), "mse")
    model.fit(X, np.ones((4, 5, model.output_shape[-1]), "float32"), batch_size=4, epochs=5, verbose=0, shuffle=False)
    return [np.asarray(w, "float64").round(6).tolist() for w in model.get_weights()]


def predicted(model):
    return np.asarray(model.predict(X, verbose=0), "float32")


@pytest.mark.parametrize("name", portable_layers.LAYERS)
def test_a_layer_gives_the_same_values_and_trains_the_same(name, tmp_path):
    model = model_of(name)
    values, weights = predicted(model), trained(model)
    if RECORD:
        old = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
        FILE.write_text(json.dumps({**old, name: [values.astype("float64").round(6).tolist(), weights]}), "utf-8")
    expected, after = json.loads(FILE.read_text("utf-8"))[name]
    np.testing.assert_allclose(values, expected, atol=2e-5)
    for found, wanted in zip(weights or [], after):
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    model.save_weights(tmp_path / "model.weights.h5")
    again = model_of(name)
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(predicted(again), predicted(model), atol=1e-6)


@pytest.mark.parametrize("name", portable_layers.LAYERS)
def test_a_layer_runs_and_trains_in_mixed_precision(name):
    model = model_of(name, "mixed_bfloat16")
    expected, after = json.loads(FILE.read_text("utf-8"))[name]
    if name == "Experts":  # rounded, its gate may like another expert
        assert np.isfinite(predicted(model)).all()
        trained(model)
        return
    np.testing.assert_allclose(predicted(model), expected, atol=5e-2)
    for found, wanted in zip(trained(model) or [], after):
        np.testing.assert_allclose(found, wanted, atol=5e-2)
