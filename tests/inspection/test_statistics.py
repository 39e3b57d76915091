"""Statistics of weights: right for every dtype and size, of layers, models and files."""

import json

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import freeze, named_weights, save_weights, weight_stats
from keras_buildfix.inspection import statistics

layers = KERAS.layers


def of_array(value, tmp_path):
    """The statistics of an array, which go through a file."""
    np.savez(tmp_path / "one.npz", w=value)
    return weight_stats(tmp_path / "one.npz").weights[0]


@pytest.fixture
def model():
    made = KERAS.Sequential([KERAS.Input((3,)), layers.Dense(2), layers.BatchNormalization(name="norm")])
    made.layers[0].kernel.assign([[1.0, -2.0], [0.0, np.nan], [5.0, np.inf]])
    return made


def test_a_model_has_a_line_for_each_weight_under_its_canonical_name(model):
    freeze(model, "norm")
    told = []
    found = weight_stats(model, progress=lambda done, total: told.append((done, total)))
    assert [each.name for each in found.weights] == list(named_weights(model))
    kernel, bias = found.weights[:2]
    assert (kernel.name, kernel.shape, kernel.dtype, kernel.bytes) == ("dense/kernel", (3, 2), "float32", 24)
    assert (kernel.min, kernel.max, kernel.mean, kernel.zeros, kernel.nan, kernel.inf) == (-2.0, 5.0, 1.0, 1, 1, 1)
    assert kernel.std == np.std([1.0, -2.0, 0.0, 5.0])
    assert (bias.min, bias.max, bias.zeros, bias.trainable) == (0.0, 0.0, 2, True)
    assert [each.name for each in found.weights if not each.trainable] == [
        "norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance"
    ]  # fmt: skip
    assert found.memory == 4 * (8 + 8)
    assert (found.file, found.not_built) == (None, ())
    assert told[0] == (24, 64)
    assert told[-1] == (64, 64)
    assert "not JSON" not in json.dumps(found.to_dict(), allow_nan=False)
    assert str(found).splitlines()[-2:] == [
        "6 weights, 64 bytes in memory",
        "min, max, mean and std are those of the finite values",
    ]


def test_a_file_has_the_values_of_its_model(model, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(model, path)
    found, of_model = weight_stats(path), weight_stats(model)
    assert (found.memory, found.file) == (of_model.memory, path.stat().st_size)
    for one, other in zip(found.weights, of_model.weights):
        assert {**vars(one), "trainable": None} == {**vars(other), "trainable": None}
        assert one.trainable is None


@pytest.mark.at_length  # arrays only: the same on every Keras
@pytest.mark.parametrize("chunk", [3, 1 << 20])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64", "bool", "complex64"])
def test_the_numbers_are_numpys(dtype, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "_CHUNK", chunk)
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(7, 5)) * 100).astype("complex64" if dtype == "complex64" else "float64")
    value = np.asfortranarray((values > 0 if dtype == "bool" else np.abs(values)).astype(dtype))
    value[0, :2] = 0
    found = of_array(value, tmp_path)
    wide = (np.abs(value) if dtype == "complex64" else value).astype("float64")
    assert (found.dtype, found.shape, found.bytes) == (dtype, (7, 5), value.nbytes)
    assert (found.min, found.max) == (wide.min(), wide.max())
    np.testing.assert_allclose([found.mean, found.std], [wide.mean(), wide.std()], rtol=1e-12)
    assert (found.zeros, found.nan, found.inf) == (np.count_nonzero(wide == 0), 0, 0)


@pytest.mark.at_length
def test_values_at_the_ends_of_a_dtype_are_right(tmp_path):
    whole = of_array(np.array([2**64 - 1, 2**63 + 1], "uint64"), tmp_path)
    assert (whole.min, whole.max) == (2**63 + 1, 2**64 - 1)
    huge = of_array(np.array([1.7e308, -1.7e308, 1.7e308]), tmp_path)
    assert huge.mean == pytest.approx(1.7e308 / 3)
    assert huge.std == pytest.approx(1.7e308 * np.std([1, -1, 1]))
    tiny = of_array(np.array([1e-300, 3e-300]), tmp_path)
    assert (tiny.mean, tiny.std) == (pytest.approx(2e-300), pytest.approx(1e-300))
    half = of_array(np.full(40_000, 60_000, "float16"), tmp_path)  # a sum in float16 overflows
    assert (half.mean, half.std) == (float(np.float16(60_000)), 0.0)


@pytest.mark.at_length
def test_an_array_without_finite_values_has_no_range(tmp_path):
    for value, nan, inf in (
        (np.full((2, 2), np.nan), 4, 0),
        (np.array([np.inf, -np.inf]), 0, 2),
        (np.zeros((0, 3)), 0, 0),
    ):
        found = of_array(value, tmp_path)
        assert (found.min, found.max, found.mean, found.std) == (None, None, None, None)
        assert (found.zeros, found.nan, found.inf, found.bytes) == (0, nan, inf, value.nbytes)
    scalar = of_array(np.float32(3), tmp_path)
    assert (scalar.shape, scalar.min, scalar.mean, scalar.std) == ((), 3.0, 3.0, 0.0)


def test_bfloat16_is_read_in_full(tmp_path):
    layer = layers.Dense(2, dtype="bfloat16")
    layer.build((None, 3))
    cast = KERAS.backend.cast if INFO.generation == 2 else KERAS.ops.cast
    layer.kernel.assign(cast(np.array([[1.0, 2.0], [3.0, 4.0], [-300.0, 0.0]]), "bfloat16"))
    kernel = weight_stats(layer).weights[0]
    assert (kernel.dtype, kernel.bytes, kernel.min, kernel.max) == ("bfloat16", 12, -300.0, 4.0)
    assert kernel.mean == -290.0 / 6


def test_layers_that_are_not_built_are_said():
    with pytest.raises(ValueError, match=r"'fresh' \(Dense\) has no weights. These layers are not built yet: fresh"):
        weight_stats(layers.Dense(2, name="fresh"))
    half = KERAS.Sequential([layers.Dense(2, name="one"), layers.Dense(2, name="two")])
    half.layers[0].build((None, 3))
    found = weight_stats(half)
    assert [each.name for each in found.weights] == ["one/kernel", "one/bias"]
    assert all(each.trainable for each in found.weights)
    assert found.not_built == ("two",)
    assert str(found).endswith("not built yet: two")


def test_what_has_no_weights_is_one_clear_error(tmp_path):
    for wrong in (layers.Dense, 3, None, [1]):
        with pytest.raises(TypeError, match="weight_stats expects a Keras layer or model"):
            weight_stats(wrong)
    (tmp_path / "broken.h5").write_text("no weights")
    with pytest.raises(ValueError, match=r"broken\.h5"):
        weight_stats(tmp_path / "broken.h5")
    with pytest.raises(FileNotFoundError):
        weight_stats(tmp_path / "missing.h5")


@pytest.mark.skipif(INFO.backend != "tensorflow", reason="only TensorFlow has variables of text")
def test_a_weight_of_text_is_named():
    import tensorflow as tf

    class Words(layers.Layer):
        def __init__(self):
            super().__init__(name="words")
            self.text = tf.Variable("a", trainable=False, name="text")
            self.kernel = self.add_weight(shape=(2,), name="kernel")

    if INFO.generation == 2:
        with pytest.raises(ValueError, match=r"the weight 'text' of the layer 'words' .* is of dtype string"):
            weight_stats(Words())
    else:  # Keras 3 does not track it
        assert [each.name for each in weight_stats(Words()).weights] == ["kernel"]
