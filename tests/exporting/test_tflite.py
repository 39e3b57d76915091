"""``export_tflite`` writes a file with the model's values, or says why not; this process lives on."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import PortableLayerMixin, export_tflite
from keras_buildfix.exporting import _converting, tflite

layers = KERAS.layers
ON_TENSORFLOW = INFO.backend == "tensorflow"
on_tensorflow = pytest.mark.skipif(not ON_TENSORFLOW, reason="only TensorFlow can export")

RNG = np.random.default_rng(0)


class Scale(PortableLayerMixin, layers.Layer):
    def build(self, input_shape):
        self.factor = self.add_weight(name="factor", shape=(input_shape[-1],), initializer="uniform")
        super().build(input_shape)

    def call(self, inputs):
        return inputs * self.factor


class OfTensorFlow(PortableLayerMixin, layers.Layer):
    """Calls a function of ``tf.math``."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs):
        return getattr(sys.modules["tensorflow"].math, self.function)(inputs)


def small():
    return KERAS.Sequential([KERAS.Input((3,)), layers.Dense(2)])


def results(path, **data):
    """What TensorFlow Lite's interpreter gives."""
    return sys.modules["tensorflow"].lite.Interpreter(str(path)).get_signature_runner("serving_default")(**data)


@on_tensorflow
@pytest.mark.filterwarnings("ignore:(?s).*tf.lite.Interpreter is deprecated:UserWarning")  # TensorFlow 2.20 and later
@pytest.mark.in_turns  # a process that imports TensorFlow
def test_a_network_in_8_bits_gives_nearly_the_same(tmp_path):
    """With convolution, batch normalization, dropout, a layer of ours, two inputs and two outputs."""
    image, other = KERAS.Input((8, 8, 3), name="image"), KERAS.Input((5,))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(64, 3)(image)))
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    x = layers.Concatenate()([x, Scale()(other)])
    model = KERAS.Model([image, other], [layers.Dense(20)(x), layers.Dense(2, activation="softmax")(x)])
    report = export_tflite(model, tmp_path / "model.tflite")
    data = {
        "image": RNG.normal(size=(2, 8, 8, 3)).astype("float32"),
        "input_1": RNG.normal(size=(2, 5)).astype("float32"),
    }
    found = results(tmp_path / "model.tflite", **data)
    expected = [np.asarray(each) for each in model(list(data.values()))]
    assert sorted(found) == ["output_0", "output_1"]
    np.testing.assert_allclose(found["output_0"], expected[0], atol=0.05 * np.abs(expected[0]).max())
    np.testing.assert_allclose(found["output_1"], expected[1], atol=0.05)
    assert not np.array_equal(found["output_0"], expected[0])  # it is in 8 bits
    assert 0 < report.difference < 0.05
    assert report.size == os.path.getsize(tmp_path / "model.tflite") < 12_000  # 3,000 weights
    assert os.listdir(tmp_path) == ["model.tflite"]


@on_tensorflow
@pytest.mark.filterwarnings("ignore:(?s).*tf.lite.Interpreter is deprecated:UserWarning")  # TensorFlow 2.20 and later
@pytest.mark.in_turns  # a process that imports TensorFlow
def test_a_recurrent_layer_goes_with_a_fixed_batch_size(tmp_path):
    model = KERAS.Sequential([KERAS.Input((5, 3)), layers.LSTM(4), layers.Dense(2)])
    report = export_tflite(model, tmp_path / "model.tflite", batch_size=1, optimize=False)
    data = RNG.normal(size=(1, 5, 3)).astype("float32")
    found = results(tmp_path / "model.tflite", input_0=data)["output_0"]
    np.testing.assert_allclose(found, np.asarray(model(data)), rtol=1e-4, atol=1e-5)
    assert report.inputs[0].shape == (1, 5, 3)
    assert report.difference < 1e-4


@on_tensorflow
@pytest.mark.in_turns  # a process that imports TensorFlow
def test_a_model_that_can_not_be_converted_is_an_error_that_names_the_operations(tmp_path):
    (tmp_path / "model.tflite").write_text("old")
    source = KERAS.Input((3,))
    model = KERAS.Model(source, OfTensorFlow("erfinv")(source), name="inverse")
    with pytest.raises(
        ValueError, match=r"(?s)can't hold the layer 'inverse' .*because of Erfinv\..*Nothing was written"
    ):
        export_tflite(model, tmp_path / "model.tflite")
    assert os.listdir(tmp_path) == ["model.tflite"]
    assert (tmp_path / "model.tflite").read_text() == "old"


def test_the_operations_are_read_from_what_the_converter_says():
    of_2_21 = (
        '<unknown>:0: error: loc(callsite(fused["TensorListReserve:", "lstm/TensorArrayV2_1@__inference_serve_7"] at '
        "callsite(fused[\"StatefulPartitionedCall:\", ...]))): 'tf.TensorListReserve' op requires element_shape to be "
        'static\n<unknown>:0: note: loc(fused["Other:", "x"]): called from'
    )
    assert tflite.operations_in(of_2_21) == ["TensorListReserve"]
    assert tflite.operations_in("TF Select ops: MatMul\nDetails:\n\ttf.MatMul(tensor<?x3xf16>) -> ()") == ["MatMul"]
    assert tflite.operations_in("no operation at all") == []


def started(monkeypatch, code):
    """Lets export_tflite start Python with this code in place of the converter."""
    run = subprocess.run
    monkeypatch.setattr(
        tflite.subprocess, "run", lambda command, **kwargs: run([command[0], "-c", code, command[2]], **kwargs)
    )


@on_tensorflow
def test_if_the_converter_kills_its_process_this_one_says_so(tmp_path, monkeypatch):
    started(monkeypatch, "import os; print('LLVM ERROR: missing attribute', flush=True); os.abort()")
    with pytest.raises(RuntimeError, match=r"(?s)died with code .*Nothing was written.*LLVM ERROR: missing attribute"):
        export_tflite(small(), tmp_path / "model.tflite")
    assert os.listdir(tmp_path) == []


@on_tensorflow
def test_a_file_with_wrong_results_is_refused(tmp_path, monkeypatch):
    answer = json.dumps({"wrong": "output_0 has the shape (0, 3) in place of (2, 3)", "difference": None})
    started(
        monkeypatch,
        "import json, sys; task = json.loads(sys.argv[1]); open(task['target'], 'w').write('x');"
        f"open(task['answer'], 'w').write({answer!r})",
    )
    with pytest.raises(ValueError, match=r"is wrong on random data: output_0 has the shape \(0, 3\).*check=False"):
        export_tflite(small(), tmp_path / "model.tflite")
    assert os.listdir(tmp_path) == []


def test_the_difference_of_results_is_in_relation_to_the_largest():
    right = np.array([1.0, -10.0, np.nan], "float32")
    assert _converting._difference(np.array([1.0, -9.0, 5.0], "float32"), right) == pytest.approx(0.1)
    assert _converting._difference(np.array([np.nan, -10.0, np.nan], "float32"), right) == float("inf")
    assert _converting._difference(np.array([2]), np.array([1])) == 0


def test_bad_arguments_are_one_clear_error(tmp_path):
    with pytest.raises(TypeError, match="export_tflite expects a Keras layer"):
        export_tflite(str(tmp_path), small())
    with pytest.raises(TypeError, match="takes no optimizations=: optimize=True is"):
        export_tflite(small(), tmp_path / "model.tflite", optimizations=[])
    if ON_TENSORFLOW:
        (tmp_path / "old").write_text("old")
        with pytest.raises(FileExistsError, match="is there already; nothing was written"):
            export_tflite(small(), tmp_path / "old", overwrite=False)
        with pytest.raises(IsADirectoryError, match="is a folder"):
            export_tflite(small(), tmp_path)
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            export_tflite(small(), tmp_path / "none" / "model.tflite")


@pytest.mark.skipif(ON_TENSORFLOW, reason="TensorFlow can export")
def test_another_backend_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(
        ValueError, match=rf"runs on {INFO.backend} .*only TensorFlow can write it.*Nothing was written"
    ):
        export_tflite(small(), tmp_path / "model.tflite")
    assert os.listdir(tmp_path) == []
