"""``export_saved_model`` writes what TensorFlow alone can run, with the model's values, or nothing."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import PortableLayerMixin, deferred_build, export_saved_model

layers = KERAS.layers
ON_TENSORFLOW = INFO.backend == "tensorflow"
on_tensorflow = pytest.mark.skipif(not ON_TENSORFLOW, reason="only TensorFlow can export")

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
IDS = np.array([[1, 2], [3, 0]], "int32")


class Scale(PortableLayerMixin, layers.Layer):
    def build(self, input_shape):
        self.factor = self.add_weight(name="factor", shape=(input_shape[-1],), initializer="uniform")
        super().build(input_shape)

    def call(self, inputs):
        return inputs * self.factor


@deferred_build
class SoftmaxOfScaled(layers.Softmax):
    def build(self, input_shape):
        self.factor = self.add_weight(name="factor", shape=(input_shape[-1],), initializer="uniform")
        super().build(input_shape)

    def call(self, inputs):
        return super().call(inputs * self.factor)


class Branches(PortableLayerMixin, KERAS.Model):
    """Takes and returns a dict; its dropout is off and its normalization uses its statistics in inference."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [layers.Dense(3), layers.BatchNormalization(), layers.Dropout(0.5)]

    def call(self, inputs, training=None):
        x = self.blocks[0](inputs["x"])
        for block in self.blocks[1:]:
            x = block(x, training=training)
        return {"y": x, "parts": [inputs["x"], x + 1]}


class AsksNothing(KERAS.Model):
    """Its `call` takes no `training`, so it can't be told that this is inference."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.dropout = layers.Dense(2), layers.Dropout(0.5)

    def call(self, inputs):
        return self.dropout(self.dense(inputs))


def functional():
    """Two inputs, one with a name, and two outputs."""
    a, b = KERAS.Input((3,), name="a"), KERAS.Input((3,))
    x = SoftmaxOfScaled()(Scale()(layers.Concatenate()([a, b])))
    model = KERAS.Model([a, b], [layers.Dense(2)(x), x])
    first, second = model([X, X + 1])
    return model, None, {"a": X, "input_1": X + 1}, {"output_0": first, "output_1": second}


def dicts():
    a = KERAS.Input((3,), name="a")
    model = KERAS.Model({"a": a}, {"u": layers.Dense(2)(a), "same": a})
    return model, None, {"a": X}, {"u": model({"a": X})["u"], "same": X}


def subclassed():
    model = Branches()
    found = model({"x": X})
    return model, {"x": X}, {"x": X}, {"y": found["y"], "parts_0": X, "parts_1": found["parts"][1]}


def without_training():
    model = AsksNothing()
    return model, KERAS.Input((3,)), {"input_0": X}, {"output_0": model(X)}


def nested_in_mixed_precision():
    policy = {"dtype": "mixed_float16"}
    inner = KERAS.Sequential([KERAS.Input((3,)), layers.Dense(3, **policy), Scale(**policy)])
    model = KERAS.Sequential([KERAS.Input((3,)), inner, layers.Dropout(0.5), layers.Dense(2, **policy)])
    return model, None, {"input_0": X}, {"output_0": model(X)}


def recurrent():
    embedding = layers.Embedding(5, 4, mask_zero=True)
    model = KERAS.Sequential([KERAS.Input((None,), dtype="int32", name="ids"), embedding, layers.LSTM(3)])
    return model, None, {"ids": IDS}, {"output_0": model(IDS)}


def lookup():
    model = KERAS.Sequential(
        [KERAS.Input((1,), dtype="string", name="word"), layers.StringLookup(vocabulary=["p", "q"])]
    )
    return model, None, {"word": np.array([["q"], ["z"]])}, {"output_0": np.array([[2], [0]])}


MODELS = {
    make.__name__: make
    for make in (functional, dicts, subclassed, without_training, nested_in_mixed_precision, recurrent, lookup)
}


def small():
    return KERAS.Sequential([KERAS.Input((3,)), layers.Dense(2)])


def signature_of(path):
    """The function that TensorFlow finds in the directory; it keeps what it needs alive."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(**data):
        tensors = {name: tf.constant(array) for name, array in data.items()}
        return {name: each.numpy() for name, each in loaded.signatures["serving_default"](**tensors).items()}

    return run


@on_tensorflow
@pytest.mark.parametrize("name", MODELS)
def test_the_signature_gives_the_values_of_the_model(name, tmp_path):
    model, inputs, data, expected = MODELS[name]()
    report = export_saved_model(model, tmp_path / "model", inputs=inputs)
    found = signature_of(tmp_path / "model")(**data)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], np.asarray(values), rtol=1e-5, atol=1e-6)
    assert {each.name: each.dtype for each in report.inputs} == {
        key: "string" if array.dtype.kind == "U" else array.dtype.name for key, array in data.items()
    }
    assert all(each.shape[0] is None for each in (*report.inputs, *report.outputs))
    assert os.listdir(tmp_path) == ["model"]


ALONE = """
import json, sys
for name in ("keras_buildfix", "keras", "tf_keras"):
    sys.modules[name] = None  # its import fails
import numpy as np, tensorflow as tf
for path, data, wanted in json.load(open(sys.argv[1])):
    loaded = tf.saved_model.load(path)
    function = loaded.signatures["serving_default"]
    specs = function.structured_input_signature[1]
    found = function(**{name: tf.constant(values, specs[name].dtype) for name, values in data.items()})
    assert found.keys() == wanted.keys(), path
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name].numpy(), values, rtol=1e-5, atol=1e-6, err_msg=path)
print("loaded all")
"""


@on_tensorflow
@pytest.mark.in_turns  # a process that imports TensorFlow
def test_a_process_without_keras_and_this_package_gets_the_same_values(tmp_path):
    cases = []
    for name, make in MODELS.items():
        model, inputs, data, expected = make()
        export_saved_model(model, tmp_path / name, inputs=inputs)
        expected = {key: np.asarray(values).tolist() for key, values in expected.items()}
        cases.append([str(tmp_path / name), {key: array.tolist() for key, array in data.items()}, expected])
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path / "cases.json")], capture_output=True, text=True, timeout=300
    )
    assert "loaded all" in done.stdout, done.stderr


@on_tensorflow
def test_a_compiled_model_stays_as_it_is_and_trains_on(tmp_path):
    model = small()
    model.compile("sgd", "mse")
    y = np.zeros((4, 2), "float32")
    model.fit(X, y, verbose=0)
    model.layers[0].trainable = False
    before, step = model.get_weights(), model.train_function
    export_saved_model(model, tmp_path / "model")
    assert model.train_function is step
    assert (len(model.trainable_weights), len(model.non_trainable_weights)) == (0, 2)
    assert all(map(np.array_equal, model.get_weights(), before))
    model.layers[0].trainable = True
    model.compile("sgd", "mse")
    model.fit(X, y, verbose=0)
    assert not np.array_equal(model.get_weights()[0], before[0])
    found = signature_of(tmp_path / "model")(input_0=X)["output_0"]
    np.testing.assert_allclose(found, X @ before[0] + before[1], rtol=1e-5, atol=1e-6)


@on_tensorflow
def test_the_batch_size_is_as_declared_or_as_asked_for(tmp_path):
    declared = KERAS.Input((3,), batch_size=2)
    model = KERAS.Model(declared, layers.Dense(2)(declared))
    shapes = [
        export_saved_model(model, tmp_path / "model", **kwargs).inputs[0].shape
        for kwargs in ({}, {"batch_size": None}, {"batch_size": 7})
    ]
    assert shapes == [(2, 3), (None, 3), (7, 3)]
    with pytest.raises(ValueError, match="batch_size is a positive int, or None for any; got 0"):
        export_saved_model(model, tmp_path / "model", batch_size=0)


@on_tensorflow
def test_data_says_which_inputs_a_subclassed_model_takes(tmp_path):
    model = AsksNothing()
    model(X)
    with pytest.raises(ValueError, match=r"(?s)'asks_nothing.*does not say the shapes and dtypes.*Pass inputs="):
        export_saved_model(model, tmp_path / "model")
    (found,) = export_saved_model(model, tmp_path / "model", inputs=X.astype("float64")).inputs
    assert (found.name, found.shape, found.dtype) == ("input_0", (None, 3), "float32")
    with pytest.raises(TypeError, match=r"inputs= takes arrays, tensors or keras.Input tensors.*got 3"):
        export_saved_model(model, tmp_path / "model", inputs=[3])


class GivesNone(AsksNothing):
    def call(self, inputs):
        return super().call(inputs), None


class Fails(AsksNothing):
    fails = False

    def call(self, inputs):
        if self.fails:
            raise RuntimeError("broken")
        return super().call(inputs)


@on_tensorflow
def test_what_can_not_be_exported_is_an_error_and_leaves_the_old_directory(tmp_path):
    path, model = tmp_path / "model", small()
    export_saved_model(model, path)
    with pytest.raises(ValueError, match=r"'unbuilt' .*is not built, so it has no weights to export"):
        export_saved_model(KERAS.Sequential([layers.Dense(2)], name="unbuilt"), path)
    gives_none, fails = GivesNone(), Fails()
    gives_none(X), fails(X)
    fails.fails = True
    with pytest.raises(ValueError, match=r"output_1 of the layer 'gives_none.*is None"):
        export_saved_model(gives_none, path, inputs=X)
    with pytest.raises(ValueError, match=r"(?s)can't trace .*for the inputs input_0 \(None, 3\) float32: .*broken"):
        export_saved_model(fails, path, inputs=X)
    np.testing.assert_allclose(signature_of(path)(input_0=X)["output_0"], np.asarray(model(X)), rtol=1e-5, atol=1e-6)
    assert os.listdir(tmp_path) == ["model"]


@on_tensorflow
def test_only_a_saved_model_is_replaced(tmp_path):
    model = small()
    export_saved_model(model, tmp_path / "model")
    with pytest.raises(FileExistsError, match="is there already; nothing was written"):
        export_saved_model(model, tmp_path / "model", overwrite=False)
    (tmp_path / "model" / "old").write_text("x")
    export_saved_model(model, tmp_path / "model")
    assert not (tmp_path / "model" / "old").exists()
    home = tmp_path / "home"
    home.mkdir()
    (home / "letters").write_text("x")
    with pytest.raises(FileExistsError, match="is no SavedModel, so it is not replaced"):
        export_saved_model(model, home)
    assert os.listdir(home) == ["letters"]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        export_saved_model(model, tmp_path / "none" / "model")


@on_tensorflow
def test_the_report_prints_as_a_table(tmp_path):
    report = export_saved_model(small(), tmp_path / "model")
    first, _, line, *_, last = str(report).splitlines()
    assert first.split() == ["serving_default", "name", "shape", "dtype"]
    assert line.split() == ["input", "input_0", "(None,", "3)", "float32"]
    assert last.startswith("saved_model ")
    assert report.to_dict()["outputs"] == [
        {"name": "output_0", "kind": "output", "shape": [None, 2], "dtype": "float32"}
    ]
    assert report.size == sum(file.stat().st_size for file in (tmp_path / "model").rglob("*") if file.is_file())


def test_bad_arguments_are_one_clear_error(tmp_path):
    with pytest.raises(TypeError, match="export_saved_model expects a Keras layer"):
        export_saved_model(str(tmp_path / "model"), small())
    with pytest.raises(TypeError, match="takes no input_signature=: pass inputs="):
        export_saved_model(small(), tmp_path / "model", input_signature=[])
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(ON_TENSORFLOW, reason="TensorFlow can export")
def test_another_backend_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(
        ValueError, match=rf"runs on {INFO.backend} .*only TensorFlow can write it.*Nothing was written"
    ):
        export_saved_model(small(), tmp_path / "model")
    assert os.listdir(tmp_path) == []
