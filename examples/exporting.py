"""Handing a model on: a SavedModel with a signature, and a file for TensorFlow Lite. Both need the TensorFlow backend.

    python examples/exporting.py

Neither is plain on every Keras: `model.export` exists from 2.13 on and names its signatures differently, and the
converter of TensorFlow Lite ends the process for a model of Keras 3 on TensorFlow 2.16.
"""

import os
import tempfile

import keras
import numpy as np
from running import run

from keras_buildfix import export_saved_model, export_tflite, keras_info

X = np.random.RandomState(0).rand(2, 8).astype("float32")


def new_model():
    """A model of which one matrix is large enough to be quantized."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8,), name="x"),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def saved_model_with_a_signature():
    """The directory is loaded without Keras; its signature has the name of the Input."""
    if keras_info(keras).backend != "tensorflow":
        return "needs TensorFlow"
    import tensorflow as tf

    model = new_model()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "exported")
        export_saved_model(model, path)
        signature = tf.saved_model.load(path).signatures["serving_default"]
        assert list(signature.structured_input_signature[1]) == ["x"]
        (output,) = signature(x=tf.constant(X)).values()
    np.testing.assert_allclose(output, model.predict_on_batch(X), rtol=1e-4, atol=1e-6)
    return None


def tflite_with_quantization():
    """Large weights are kept in 8 bits: a smaller file, results near those of the model."""
    if keras_info(keras).backend != "tensorflow":
        return "needs TensorFlow"
    import tensorflow as tf

    model = new_model()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.tflite")
        export_tflite(model, path, optimize=True)
        assert os.path.getsize(path) < 4 * model.count_params()
        interpreter = tf.lite.Interpreter(path)
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], X.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], X)
        interpreter.invoke()
        output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(output, model.predict_on_batch(X), atol=0.02)
    return None


FORMS = (saved_model_with_a_signature, tflite_with_quantization)
TRAIN = ()

if __name__ == "__main__":
    run(FORMS)
