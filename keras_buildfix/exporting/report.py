"""``ExportReport``: what an export wrote, and the names, shapes and dtypes of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_buildfix._tables import Table
from keras_buildfix._words import in_bytes


@dataclass(frozen=True)
class ExportedTensor:
    """An input or output of an exported model.

    Attributes:
        name: Its name in the signature.
        kind: ``"input"`` or ``"output"``.
        shape: Its shape; None for an axis of any size, such as the batch. None as a whole: any shape.
        dtype: The name of its dtype, such as ``"float32"``.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...] | None
    dtype: str


@dataclass(frozen=True)
class ExportReport(Table):
    """What ``export_saved_model`` or ``export_tflite`` wrote. Prints as a table.

    Attributes:
        path: The directory or file.
        format: ``"saved_model"`` or ``"tflite"``.
        inputs: The inputs of the signature ``serving_default``.
        outputs: Its outputs.
        size: How many bytes were written.
        difference: Of a TensorFlow Lite file: how far its results are from the model's on random data, in relation to
            the largest number of an output. None if they were not compared.
    """

    path: str
    format: str
    inputs: tuple[ExportedTensor, ...]
    outputs: tuple[ExportedTensor, ...]
    size: int
    difference: float | None = None

    def _rows(self) -> Sequence[ExportedTensor]:
        return (*self.inputs, *self.outputs)

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        headers = ("serving_default", "name", "shape", "dtype")
        return headers, [
            (each.kind, each.name, "any" if each.shape is None else str(each.shape), each.dtype)
            for each in self._rows()
        ]

    def _notes(self) -> Sequence[str]:
        compared = "" if self.difference is None else f"; results differ by up to {self.difference:.1g} of the largest"
        return (f"{self.format} {self.path}, {in_bytes(self.size)}{compared}",)


def exported_tensor(kind: str, name: str, tensor: Any) -> ExportedTensor:
    """The line of a TensorFlow tensor or ``tf.TensorSpec``."""
    shape = tensor.shape
    return ExportedTensor(name, kind, None if shape.rank is None else tuple(shape), str(tensor.dtype.name))
