"""A program of its own that turns a SavedModel into a TensorFlow Lite file, so that only it dies if the converter does.

``export_tflite`` runs this file. It needs TensorFlow and nothing of this package.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main(task: dict[str, Any]) -> None:
    """Converts the SavedModel; writes the file, or what was wrong."""
    sys.path[:] = task["sys_path"]
    answer: dict[str, str] = {}
    try:
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_saved_model(task["folder"], signature_keys=["serving_default"])
        if task["optimize"]:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if task["select_tf_ops"]:
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        content = converter.convert()
        with open(task["target"], "wb") as file:
            file.write(content)
    except Exception as error:
        answer = {"kind": type(error).__name__, "message": str(error)}
    with open(task["answer"], "w", encoding="utf-8") as written:
        json.dump(answer, written)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
