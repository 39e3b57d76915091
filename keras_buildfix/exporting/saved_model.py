"""``export_saved_model``: writes a model as a SavedModel directory, which needs only TensorFlow to run."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from keras_buildfix._keras.tracking import nested_layers
from keras_buildfix._keywords import NOT_GIVEN, answers
from keras_buildfix.exporting.report import ExportedTensor, ExportReport, exported_tensor
from keras_buildfix.exporting.signature import check_can_export, traced


@answers(
    filepath="the directory is the second argument, path.",
    format="this function writes a SavedModel only; export_tflite writes a file for TensorFlow Lite.",
    input_signature="pass inputs=: a batch of data, or keras.Input tensors.",
    input_shapes="pass inputs=: a batch of data, or keras.Input tensors.",
    signatures="the directory has one signature, serving_default.",
)
def export_saved_model(
    model: Any,
    path: str | os.PathLike[str],
    *,
    inputs: Any = None,
    batch_size: int | None = NOT_GIVEN,
    overwrite: bool = True,
) -> ExportReport:
    """Writes the inference of a model to a directory that any program with TensorFlow can load, without Keras.

    The directory has one signature, ``serving_default``. Its inputs have the names of their ``keras.Input`` or their
    keys in a dict, else ``input_0``, ``input_1``; its outputs have their keys in a dict, else ``output_0``,
    ``output_1``. These names are the same on every Keras. The model stays as it is.

    Args:
        model: A built model or layer on the TensorFlow backend.
        path: The directory. Its parent must exist. It appears when all of it is written.
        inputs: What the model takes: a batch of data (only shapes and dtypes are used; the first axis becomes any
            batch size, and float64 becomes float32), or ``keras.Input`` tensors, in lists or dicts as the model takes
            them. Needed for a subclassed model. A functional model, or a Sequential with an ``Input``, knows it.
        batch_size: The size of the first axis of each input; None for any. By default it is as declared in
            ``keras.Input``. A ``Sequential`` without an ``Input`` has the batch size of its first data there.
        overwrite: If False, anything at `path` is an error. If True, an old SavedModel or an empty directory there
            is replaced; other things stay, and are an error.

    Returns:
        A report that prints as a table of the inputs and outputs.

    Raises:
        TypeError: If `model` is not a Keras layer, or `inputs` has something that is not an array or tensor.
        ValueError: If the backend is not TensorFlow, the model is not built, its inputs are not known, or TensorFlow
            can't trace it. Nothing has been written then.
        OSError: If `path` can't be written, or is there and must not be replaced.

    Examples:
        >>> import keras, os, tempfile
        >>> from keras_buildfix import export_saved_model, keras_info
        >>> model = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2)])
        >>> path = os.path.join(tempfile.mkdtemp(), "model")
        >>> if keras_info(model).backend == "tensorflow":
        ...     report = export_saved_model(model, path)
        ...     assert [(each.name, each.shape) for each in report.inputs] == [("x", (None, 3))]
        ... else:  # TensorFlow itself writes the directory
        ...     assert not os.path.exists(path)

    Source: ``model.export`` and ``tf.saved_model.save(model)`` measured on Keras 2.12 to nightly: docs/exporting.md.
    """
    tf = check_can_export(model, "export_saved_model")
    target = _checked_target(path, overwrite)
    with replacing_folder(target) as folder:
        tensors = write_saved_model(model, folder, inputs, batch_size, tf, "export_saved_model")
        size = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)
    return report_of(os.fsdecode(path), "saved_model", tensors, size)


def write_saved_model(
    model: Any, folder: str, inputs: Any, batch_size: Any, tf: Any, wanted_by: str
) -> list[ExportedTensor]:
    """Writes the SavedModel of a checked model to a folder, and returns its inputs and outputs.

    Nothing of Keras goes in: with ``tf.saved_model.save(model)`` and TensorFlow 2.16 and 2.21, the TFLite converter
    dies or gives wrong values.
    """
    if batch_size is not NOT_GIVEN and batch_size is not None and (type(batch_size) is not int or batch_size < 1):
        raise ValueError(f"{wanted_by}: batch_size is a positive int, or None for any; got {batch_size!r}.")
    function, specs, outputs = traced(model, inputs, batch_size, tf, wanted_by)
    module = tf.Module()
    module.kept = [*function.variables, *_resources(model, tf)]
    tf.saved_model.save(module, folder, signatures={"serving_default": function})
    return [
        *(exported_tensor("input", name, spec) for name, spec in specs.items()),
        *(exported_tensor("output", name, outputs[name]) for name in outputs),
    ]


def report_of(
    path: str, form: str, tensors: list[ExportedTensor], size: int, difference: float | None = None
) -> ExportReport:
    """The report of an export."""
    inputs = tuple(each for each in tensors if each.kind == "input")
    outputs = tuple(each for each in tensors if each.kind == "output")
    return ExportReport(path, form, inputs, outputs, size, difference)


def _resources(model: Any, tf: Any) -> list[Any]:
    """The tables in the layers of a model, such as the vocabulary of a ``StringLookup``."""
    kind = tf.saved_model.experimental.TrackableResource
    return [value for layer in nested_layers(model) for value in vars(layer).values() if isinstance(value, kind)]


def _checked_target(path: str | os.PathLike[str], overwrite: bool) -> str:
    """The directory to write, with links followed.

    Raises:
        OSError: If its parent is missing, or something is there that must stay.
    """
    shown, target = os.fsdecode(path), os.path.realpath(os.fsdecode(path))
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(f"export_saved_model: there is no folder {os.path.dirname(target)!r} to write in.")
    if os.path.lexists(target):
        if not overwrite:
            raise FileExistsError(f"export_saved_model: {shown} is there already; nothing was written.")
        if not os.path.isdir(target) or (os.listdir(target) and not _is_saved_model(target)):
            raise FileExistsError(
                f"export_saved_model: {shown} is there already and is no SavedModel, so it is not replaced; nothing "
                "was written. Take another path, or remove it."
            )
    return target


def _is_saved_model(folder: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, f"saved_model.{ending}")) for ending in ("pb", "pbtxt"))


@contextlib.contextmanager
def replacing_folder(target: str) -> Iterator[str]:
    """Yields a folder beside `target` to write to. If the block ends well, it takes the place of `target`.

    A process that is killed in the middle leaves a folder ``.NAME.XXXX.tmp``.
    """
    parent, name = os.path.split(target)
    beside = tempfile.mkdtemp(prefix=f".{name[:50]}.", suffix=".tmp", dir=parent)
    try:
        written, old = os.path.join(beside, "new"), os.path.join(beside, "old")
        yield written
        if os.path.isdir(target):
            os.rename(target, old)
        try:
            os.rename(written, target)
        except BaseException:
            if os.path.isdir(old):
                os.rename(old, target)
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
