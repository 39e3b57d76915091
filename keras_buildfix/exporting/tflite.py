"""``export_tflite``: writes a model as a file for TensorFlow Lite, in a process of its own that may die."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from keras_buildfix._keras.classes import describe_layer
from keras_buildfix._keras.info import keras_info
from keras_buildfix._keywords import NOT_GIVEN, answers
from keras_buildfix.exporting.report import ExportedTensor, ExportReport
from keras_buildfix.exporting.saved_model import report_of, write_saved_model
from keras_buildfix.exporting.signature import check_can_export

#: An operation of TensorFlow in a message of the converter: ``'tf.Lgamma' op``, ``["TensorListReserve:", ...``.
_OPERATION = re.compile(r"\btf\.([A-Z]\w*)|\"([A-Z]\w*):\"")
#: The converter says so if an operation is missing in TensorFlow Lite, but is in its addition of TensorFlow's own.
_IN_SELECT = "TF Select ops"
#: The last characters of what a process printed before it died.
_TAIL = 1500


@answers(
    filepath="the file is the second argument, path.",
    format="this function writes a TensorFlow Lite file; export_saved_model writes a directory.",
    optimizations="optimize=True is tf.lite.Optimize.DEFAULT. For others, convert the directory of export_saved_model.",
)
def export_tflite(
    model: Any,
    path: str | os.PathLike[str],
    *,
    optimize: bool = True,
    select_tf_ops: bool = False,
    inputs: Any = None,
    batch_size: int | None = NOT_GIVEN,
    overwrite: bool = True,
) -> ExportReport:
    """Writes the inference of a model to a file for TensorFlow Lite. An old file stays until the new one is complete.

    The model is written with ``export_saved_model`` to a temporary directory, which a new process converts: if the
    converter kills that process, this one gets the reason. That process imports TensorFlow, which takes seconds.
    The names of inputs and outputs are as in ``export_saved_model``: see ``Interpreter.get_signature_runner()``.

    Args:
        model: A built model or layer on the TensorFlow backend.
        path: The file, by custom with the ending ``.tflite``. Its folder must exist.
        optimize: If True, large weights are stored in 8 bits (``tf.lite.Optimize.DEFAULT``): results differ slightly.
            Weights of less than 1,024 numbers stay as they are.
        select_tf_ops: Whether the file may use operations of TensorFlow itself where TensorFlow Lite has none. Such a
            file runs only where the interpreter has them (in the ``tensorflow`` package it does).
        inputs: As in ``export_saved_model``: needed for a subclassed model.
        batch_size: As in ``export_saved_model``. A recurrent layer that is not unrolled needs a fixed size, such as 1.
        overwrite: If False, a file that exists already is an error.

    Returns:
        A report that prints as a table of the inputs and outputs.

    Raises:
        TypeError: If `model` is not a Keras layer, or `inputs` has something that is not an array or tensor.
        ValueError: As in ``export_saved_model``; and if TensorFlow Lite can't hold the model. The error names the
            operations. Nothing has been written then.
        RuntimeError: If the converter kills its process, or can't be started. Nothing has been written then.
        OSError: If `path` can't be written, or is there and `overwrite` is False.

    Example:
        >>> import keras, os, tempfile
        >>> from keras_buildfix import export_tflite
        >>> layer = keras.layers.Dense(2, name="head")
        >>> path = os.path.join(tempfile.mkdtemp(), "model.tflite")
        >>> try:
        ...     export_tflite(layer, path)
        ... except ValueError:  # it is not built; only on TensorFlow it could be exported
        ...     print("nothing written")
        nothing written

    Source: ``TFLiteConverter.from_keras_model`` ends the process on Keras 3 with TensorFlow 2.16: docs/exporting.md.
    """
    tf = check_can_export(model, "export_tflite")
    shown, target = os.fsdecode(path), os.path.realpath(os.fsdecode(path))
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(f"export_tflite: there is no folder {os.path.dirname(target)!r} to write in.")
    if os.path.isdir(target):
        raise IsADirectoryError(f"export_tflite: {shown} is a folder; a TensorFlow Lite model is a file.")
    if not overwrite and os.path.lexists(target):
        raise FileExistsError(f"export_tflite: {shown} is there already; nothing was written.")
    with tempfile.TemporaryDirectory(prefix=".tflite.", suffix=".tmp", dir=os.path.dirname(target)) as beside:
        folder, written = os.path.join(beside, "model"), os.path.join(beside, "model.tflite")
        tensors = write_saved_model(model, folder, inputs, batch_size, tf, "export_tflite")
        error, message = _converted(folder, written, optimize, select_tf_ops)
        if error is not None:
            raise error(_refusal(model, tensors, message, select_tf_ops))
        size = os.path.getsize(written)
        os.replace(written, target)
    return report_of(shown, "tflite", tensors, size)


def _converted(
    folder: str, target: str, optimize: bool, select_tf_ops: bool
) -> tuple[type[ValueError | RuntimeError] | None, str]:
    """Converts a SavedModel in a new process. Returns the error to raise, and what was wrong."""
    answer = os.path.join(os.path.dirname(target), "answer.json")
    task = {
        "folder": folder,
        "target": target,
        "answer": answer,
        "optimize": bool(optimize),
        "select_tf_ops": bool(select_tf_ops),
        "sys_path": [os.path.abspath(each) for each in sys.path],
    }
    if not sys.executable:
        return RuntimeError, "this program does not say which Python runs it (sys.executable), so none was started"
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("_converting.py")), json.dumps(task)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        # It only converts: it must not take the memory of the GPU, on which this process may be.
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    if not os.path.exists(answer):
        lines = f"; it printed last:\n{done.stdout[-_TAIL:].strip()}" if done.stdout.strip() else ""
        return RuntimeError, f"the process of the converter died with code {done.returncode}{lines}"
    with open(answer, encoding="utf-8") as file:
        found = json.load(file)
    if not found and os.path.exists(target):
        return None, ""
    return ValueError, f"{found.get('kind')}: {found.get('message')}"


def _refusal(model: Any, tensors: list[ExportedTensor], message: str, select_tf_ops: bool) -> str:
    """Why a model can't be converted: the operations at fault, a way out, and the start of the converter's words."""
    operations = operations_in(message)
    named = f" because of {', '.join(operations)}" if operations else ""
    ways = []
    free = [each.name for each in tensors if each.kind == "input" and each.shape and each.shape[0] is None]
    if free and any(name.startswith("TensorList") for name in operations):
        ways.append("A recurrent layer needs a fixed batch size: pass batch_size=1, or make the layer with unroll=True.")
    if _IN_SELECT in message and not select_tf_ops:
        ways.append("TensorFlow itself has them: pass select_tf_ops=True, if the interpreter has TensorFlow's own, too.")
    if not ways:
        ways.append("export_saved_model writes the model for TensorFlow itself.")
    words = message if len(message) <= _TAIL else f"{message[:_TAIL]}..."
    return (
        f"export_tflite: TensorFlow Lite can't hold {describe_layer(model)} ({keras_info(model)}){named}. "
        f"{' '.join(ways)} Nothing was written.\n{words}"
    )


def operations_in(message: str) -> list[str]:
    """The names of TensorFlow's operations that the converter complains of, each once."""
    errors = [line for line in message.splitlines() if "error:" in line or line.lstrip().startswith("tf.")]
    found = [first or second for first, second in _OPERATION.findall("\n".join(errors or [message]))]
    calls = ("PartitionedCall", "StatefulPartitionedCall")
    return [name for name in dict.fromkeys(found) if name not in calls]
