"""Layers that read their own weights from files, by code of the user's: as plain Keras does, but all or nothing."""

import numpy as np
import pytest
import weight_zoo
from environment import INFO, KERAS

from keras_buildfix import get_weights, load_weights, named_weights, set_weights

layers = KERAS.layers
pytestmark = pytest.mark.skipif(
    not hasattr(layers.Layer, "save_own_variables"), reason="2.12 has no method that a class could write anew"
)


class TiedEmbedding(layers.Embedding):
    """Files the weight that it adds behind the others, as keras-hub's ReversibleEmbedding does."""

    def build(self, input_shape=None):
        super().build(input_shape)
        self.back = self.add_weight(name="back", shape=(4, 5), initializer="zeros")

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if str(len(store.keys()) - 1) != "1":  # Keras 2, and 3 before 3.2, has filed it already
            store["1"] = self.back if INFO.generation == 3 else self.back.numpy()

    def load_own_variables(self, store):
        self.embeddings.assign(store["0"])
        self.back.assign(store[str(len(store.keys()) - 1)])


class Encoded(layers.Layer):
    """Files its one weight as two halves; its code may stop half-way, with other values in place."""

    fails = False

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(4,), initializer="zeros")
        self.inner = layers.Dense(4)
        self.inner.build(input_shape)
        self.built = True

    def call(self, inputs):
        return self.inner(inputs) * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape

    def save_own_variables(self, store):
        value = weight_zoo.as_numpy(KERAS, self.scale)
        store["low"], store["high"] = value[:2], value[2:]

    def load_own_variables(self, store):
        self.scale.assign(np.concatenate([store["low"], store["high"]]))
        if self.fails:
            self.inner.bias.assign(np.full(4, 9.0, "float32"))
            self.state = "half loaded"
            raise KeyError("no such encoding")


class OnlyWrites(layers.Layer):
    """Files its weights the other way round; Keras reads them in their order."""

    def build(self, input_shape):
        self.one = self.add_weight(shape=(4,), initializer="zeros", name="one")
        self.two = self.add_weight(shape=(4,), initializer="ones", name="two")
        self.built = True

    def call(self, inputs):
        return inputs * self.one + self.two

    def compute_output_shape(self, input_shape):
        return input_shape

    def save_own_variables(self, store):
        store["0"], store["1"] = weight_zoo.as_numpy(KERAS, self.two), weight_zoo.as_numpy(KERAS, self.one)


def model(cls, start=0.0, arguments=()):
    if cls is TiedEmbedding:
        inputs, arguments = KERAS.Input((3,), dtype="int32"), (5, 4)
    else:
        inputs = KERAS.Input((4,))
    made = KERAS.Model(inputs, layers.Dense(2, name="head")(cls(*arguments, name="own")(inputs)))
    set_weights(made, {n: weight_zoo.value_for(n, w.shape) + start for n, w in named_weights(made).items()})
    return made


@pytest.mark.parametrize("cls", [TiedEmbedding, Encoded, OnlyWrites])
def test_its_own_code_reads_what_it_wrote_as_plain_keras_has_it(cls, tmp_path):
    path = str(tmp_path / "model.weights.h5")
    model(cls).save_weights(path)
    plain, ours = model(cls, 1.0), model(cls, 2.0)
    plain.load_weights(path)
    report = load_weights(ours, path)
    assert report.complete
    assert sorted(report.assigned) == sorted(named_weights(ours))
    for name, value in get_weights(plain).items():
        np.testing.assert_array_equal(get_weights(ours)[name], value)
    if cls is not OnlyWrites:
        for name, value in get_weights(model(cls)).items():
            np.testing.assert_array_equal(get_weights(ours)[name], value)


def test_code_that_raises_leaves_the_model_as_it_was(tmp_path, monkeypatch):
    path = str(tmp_path / "model.weights.h5")
    model(Encoded).save_weights(path)
    made = model(Encoded, 1.0)
    monkeypatch.setattr(Encoded, "fails", True)
    before = get_weights(made)
    with pytest.raises(ValueError, match=r"(?s)own/scale: load_own_variables of Encoded raises KeyError: 'no such"):
        load_weights(made, path)
    assert all(np.array_equal(value, before[name]) for name, value in get_weights(made).items())
    assert not hasattr(made.get_layer("own"), "state")
    report = load_weights(made, path, strict=False, skip_mismatch=True)
    assert [each.name for each in report.skipped] == ["own/scale"]
    after, expected = get_weights(made), get_weights(model(Encoded))
    assert np.array_equal(after["own/scale"], before["own/scale"])
    for name in ("own/dense/kernel", "own/dense/bias", "head/kernel", "head/bias"):
        np.testing.assert_array_equal(after[name], expected[name])


def test_what_does_not_fit_elsewhere_leaves_its_weights_too(tmp_path):
    """All or nothing: the layer's code does not run if another layer does not fit."""
    path = str(tmp_path / "model.weights.h5")
    model(Encoded).save_weights(path)
    inputs = KERAS.Input((4,))
    wider = KERAS.Model(inputs, layers.Dense(3, name="head")(Encoded(name="own")(inputs)))
    before = get_weights(wider)
    with pytest.raises(ValueError, match="head/kernel: its shape is"):
        load_weights(wider, path)
    assert all(np.array_equal(value, before[name]) for name, value in get_weights(wider).items())


def test_it_is_missing_where_the_file_has_nothing_of_it(tmp_path):
    path = str(tmp_path / "model.weights.h5")
    inputs = KERAS.Input((4,))
    KERAS.Model(inputs, layers.Dense(2, name="head")(layers.Dense(4, name="other")(inputs))).save_weights(path)
    with pytest.raises(ValueError, match="missing     own/scale"):
        load_weights(model(Encoded), path)
