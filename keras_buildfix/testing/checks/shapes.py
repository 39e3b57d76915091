"""Checks that a layer's output has the shape and dtype that Keras expects, for batches of each size."""

from __future__ import annotations

from typing import Any

from keras_buildfix.testing.case import dtype_of_tensor, is_shape, leaves
from keras_buildfix.testing.subject import CheckError, NotHere, Subject, check


def _plain(shapes: Any) -> Any:
    """The shapes of outputs, each as a tuple; Keras 2 has a class of shapes."""
    if hasattr(shapes, "as_list"):
        return tuple(shapes.as_list())
    if is_shape(shapes):
        return tuple(shapes)
    return [_plain(shape) for shape in (shapes.values() if isinstance(shapes, dict) else shapes)]


def _compare(claimed: list[tuple[int | None, ...]], outputs: list[Any], batch: int | None, who: str) -> None:
    """Raises an error unless claimed shapes fit those of real outputs; without a batch, only their other axes."""
    real = [tuple(output.shape) for output in outputs]
    if len(claimed) != len(real):
        raise CheckError(f"{who} says {len(claimed)} outputs, call() returns {len(real)}")
    for said, found in zip(claimed, real):
        if len(said) != len(found) or not all(size in (None, other) for size, other in zip(said[1:], found[1:])):
            raise CheckError(f"{who} says {said}, call() returns {found}")
        if batch is None or not found:
            continue
        if found[0] != batch and said[0] not in (None, found[0]):
            raise CheckError(f"{who} says {said}, call() returns {found}")
        if found[0] == batch and said[0] is not None:
            raise CheckError(f"{who} says {said}, but the batch may have any size: it must be None", blocks=False)


@check("build_runs_once", advice="Return from compute_output_shape() what call() returns, with None for the batch.")
def compute_output_shape(subject: Subject) -> None:
    """Layers after this one are built for a wrong shape; TimeDistributed and Sequential models fail."""
    layer = subject.built()
    if type(layer).compute_output_shape is subject.keras.layers.Layer.compute_output_shape:
        raise NotHere("Keras finds the shape by itself")
    outputs = leaves(subject.call(layer, subject.x(batch=5, seed=1)))
    if isinstance(subject.shape, dict):
        raise NotHere("its inputs are in a dict")
    said = _plain(layer.compute_output_shape(subject.with_batch))
    _compare(_in_a_row(said), outputs, 5, "compute_output_shape()")


def _in_a_row(shapes: Any) -> list[Any]:
    """The shapes in nested lists, in order."""
    return [shapes] if is_shape(shapes) else [shape for each in shapes for shape in _in_a_row(each)]


@check(
    "compute_output_shape", "functional", advice="call() must return one shape and dtype for symbolic and real inputs."
)
def compute_output_spec(subject: Subject) -> None:
    """A model is made for another shape or dtype than the layer returns."""
    layer = subject.make()
    symbols = leaves(subject.call(layer, subject.symbolic()))
    outputs = leaves(subject.call(layer, subject.x(batch=5, seed=1)))
    _compare([_plain(symbol.shape) for symbol in symbols], outputs, None, "the symbolic output")
    for symbol, output in zip(symbols, outputs):
        said, found = dtype_of_tensor(symbol), dtype_of_tensor(output)
        if said != found:
            raise CheckError(f"the symbolic output is {said}, call() returns {found}")
