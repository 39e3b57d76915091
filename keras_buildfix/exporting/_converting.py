"""A program of its own that turns a SavedModel into a TensorFlow Lite file, so that only it dies if the converter does.

``export_tflite`` runs this file. It needs TensorFlow and nothing of this package.
"""

from __future__ import annotations

import json
import sys
from typing import Any

#: Sizes to try for an axis of any size, after the batch, until the SavedModel takes them.
_SIZES = (8, 64)


def main(task: dict[str, Any]) -> None:
    """Converts the SavedModel and tries the result; writes the file and the difference, or what was wrong."""
    sys.path[:] = task["sys_path"]
    answer: dict[str, Any] = {}
    try:
        import tensorflow as tf

        content = _converted(tf, task)
        with open(task["target"], "wb") as file:
            file.write(content)
        if task["check"]:
            answer["wrong"], answer["difference"] = _tried(tf, task, content)
    except Exception as error:
        answer = {"kind": type(error).__name__, "message": str(error)}
    with open(task["answer"], "w", encoding="utf-8") as written:
        json.dump(answer, written)


def _converted(tf: Any, task: dict[str, Any]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(task["folder"], signature_keys=["serving_default"])
    if task["optimize"]:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if task["select_tf_ops"]:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    content: bytes = converter.convert()
    return content


def _tried(tf: Any, task: dict[str, Any], content: bytes) -> tuple[str, float | None]:
    """Runs the SavedModel and the file on the same random data.

    Returns:
        What is wrong with the file, empty if nothing is; and the largest difference, in relation to the largest
        number of that output. None if there is nothing to compare.
    """
    loaded = tf.saved_model.load(task["folder"])  # kept: its signature holds no reference to its weights
    function = loaded.signatures["serving_default"]
    specs = function.structured_input_signature[1]
    found = _data_that_fits(tf, function, specs)
    if found is None or not hasattr(tf.lite, "Interpreter"):
        return "", None
    data, expected = found
    try:
        outputs = tf.lite.Interpreter(model_content=content).get_signature_runner("serving_default")(**data)
    except Exception as error:
        if task["select_tf_ops"] and "Select TensorFlow op" in str(error):
            return "", None  # this interpreter has none of TensorFlow's own operations; another one may
        return f"TensorFlow Lite's interpreter can't run the file: {type(error).__name__}: {error}", None
    largest = 0.0
    for name, right in expected.items():
        got = outputs[name]
        if tuple(got.shape) != tuple(right.shape):
            return f"{name} has the shape {tuple(got.shape)} in place of {tuple(right.shape)}", None
        largest = max(largest, _difference(got, right))
    limit = task["limit"]
    if largest > limit:
        return f"the results differ from the model's by {largest:.3g} of the largest number (limit {limit})", largest
    return "", largest


def _data_that_fits(tf: Any, function: Any, specs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Random inputs that the SavedModel takes, and its results; None if we find none, or an input is of strings."""
    import numpy as np

    if any(spec.dtype == tf.string or spec.shape.rank is None for spec in specs.values()):
        return None
    for size in _SIZES:
        rng, data = np.random.default_rng(0), {}
        for name, spec in specs.items():
            shape = [(size if at else 2) if axis is None else axis for at, axis in enumerate(spec.shape)]
            numbers = rng.normal(size=shape) if spec.dtype.is_floating else rng.integers(0, 2, size=shape)
            data[name] = numbers.astype(spec.dtype.as_numpy_dtype)
        try:
            outputs = function(**{name: tf.constant(each) for name, each in data.items()})
        except Exception:  # the model needs other sizes or numbers
            continue
        return data, {name: each.numpy() for name, each in outputs.items()}
    return None


def _difference(got: Any, right: Any) -> float:
    """The largest difference of two arrays, divided by the largest number; infinite where only one is NaN or Inf."""
    import numpy as np

    if right.dtype.kind not in "fV":  # V: bfloat16
        return 0.0  # a quantized model may choose another class
    got, right = got.astype("float64"), right.astype("float64")
    finite = np.isfinite(right)
    if not right[finite].size:
        return 0.0
    if not np.isfinite(got[finite]).all():
        return float("inf")
    return float(np.abs(got[finite] - right[finite]).max() / max(np.abs(right[finite]).max(), 1e-3))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
