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
#: How far the file's results may be from the model's on random data, in relation to the largest number: with weights in
#: 8 bits, and without. Wrong files that we have seen are far off: by a shape, or by a factor of 10 ** 14.
_LIMITS = {True: 0.5, False: 0.05}
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
    check: bool = True,
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
            file runs only where the interpreter has them, too (the "Flex delegate").
        inputs: As in ``export_saved_model``: needed for a subclassed model.
        batch_size: As in ``export_saved_model``. A recurrent layer that is not unrolled needs a fixed size, such as 1.
        check: Whether the new process also runs the file on random data, and compares the results with those of the
            SavedModel. A file with other shapes or far other numbers is refused: the converter and the interpreter
            have bugs that say nothing. Set it to False for a model that is random in inference.
        overwrite: If False, a file that exists already is an error.

    Returns:
        A report that prints as a table of the inputs and outputs; its `difference` is the largest that the check saw.

    Raises:
        TypeError: If `model` is not a Keras layer, or `inputs` has something that is not an array or tensor.
        ValueError: As in ``export_saved_model``; and if TensorFlow Lite can't hold the model. The error names the
            operations. Nothing has been written then.
        RuntimeError: If the converter kills its process, or can't be started. Nothing has been written then.
        OSError: If `path` can't be written, or is there and `overwrite` is False.

    Examples:
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
        task = {
            "folder": folder,
            "target": written,
            "answer": os.path.join(beside, "answer.json"),
            "optimize": bool(optimize),
            "select_tf_ops": bool(select_tf_ops),
            "check": bool(check),
            "limit": _LIMITS[bool(optimize)],
            "sys_path": [os.path.abspath(each) for each in sys.path],
        }
        answer = _answer_of_new_process(task)
        if "died" in answer:
            raise RuntimeError(f"export_tflite: {describe_layer(model)}: {answer['died']}")
        if answer.get("wrong"):
            raise ValueError(_wrong(model, answer["wrong"]))
        if "message" in answer:
            message = f"{answer['kind']}: {answer['message']}"
            raise ValueError(_refusal(model, tensors, message, select_tf_ops))
        size = os.path.getsize(written)
        os.replace(written, target)
    return report_of(shown, "tflite", tensors, size, answer.get("difference"))


def _answer_of_new_process(task: dict[str, Any]) -> dict[str, Any]:
    """Runs ``_converting.py``; returns what it found, or with the key ``died`` why it could not end."""
    if not sys.executable:
        return {"died": "sys.executable is empty, so no Python could be started to convert it. Nothing was written."}
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
    if done.returncode or not os.path.exists(task["answer"]):
        printed = done.stdout.strip()
        lines = f" It printed last:\n{printed[-_TAIL:]}" if printed else ""
        return {
            "died": f"the process that converts it died with code {done.returncode}, and this one goes on. Nothing was "
            f"written. export_saved_model writes the model for TensorFlow itself.{lines}"
        }
    with open(task["answer"], encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


def _wrong(model: Any, what: str) -> str:
    """Why a file that was converted is refused all the same."""
    return (
        f"export_tflite: TensorFlow Lite's file of {describe_layer(model)} ({keras_info(model)}) is wrong on random "
        f"data: {what}. Try a fixed batch_size=1, or optimize=False; check=False writes it all the same. Nothing was "
        "written."
    )


def _refusal(model: Any, tensors: list[ExportedTensor], message: str, select_tf_ops: bool) -> str:
    """Why a model can't be converted: the operations at fault, a way out, and the start of the converter's words."""
    operations = operations_in(message)
    named = f" because of {', '.join(operations)}" if operations else ""
    ways = []
    free = [each.name for each in tensors if each.kind == "input" and each.shape and each.shape[0] is None]
    if free and any(name.startswith("TensorList") for name in operations):
        ways.append(
            "A recurrent layer needs a fixed batch size: pass batch_size=1, or make the layer with unroll=True."
        )
    if _IN_SELECT in message and not select_tf_ops:
        ways.append("TensorFlow itself has them: pass select_tf_ops=True, if your interpreter has the Flex delegate.")
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
