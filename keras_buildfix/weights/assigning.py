"""Assigns values to weights: checks all of them first, then assigns all of them or none."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from keras_buildfix._arrays import LARGEST, Array, holds_all_of, itemsize, kind_of_dtype, numpy_name
from keras_buildfix._keras.variables import (
    assign_value,
    backend_of,
    copy_value,
    dtype_of,
    read_value,
    restore_snapshot,
    same_backend,
    shape_of,
    take_snapshot,
)
from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weights.report import SkippedWeight

#: Up to this size we keep the old values until all new ones are in place, so that an error undoes everything. Above it
#: we rely on the earlier checks, because the old values would take as much memory again. ``_is_free_to_keep`` knows
#: where they take none.
UNDO_BYTES = 256 << 20

Casting = Literal["same_kind", "unsafe"]
CASTINGS = ("same_kind", "unsafe")


@dataclass(eq=False)
class Assignment:
    """A weight, its new value, and the dtype in which the weight is kept."""

    name: str
    variable: Any
    entry: Entry
    dtype: str = field(init=False)

    def __post_init__(self) -> None:
        self.dtype = dtype_of(self.variable)


def why_not(assignment: Assignment, casting: str) -> str | None:
    """Says why a value does not fit a weight, judged by shape and dtype; None if it fits.

    The one rule for dtypes: floats go into floats of any width (rounded), whole numbers into whole numbers,
    bools into bools, complex into complex; ``check_values`` finds values that are too large.
    ``casting="unsafe"`` lets numbers and bools into anything else that is numeric.
    """
    entry, shape, dtype = assignment.entry, shape_of(assignment.variable), assignment.dtype
    if shape == entry.shape and dtype == entry.dtype:
        return None
    if len(shape) != len(entry.shape) or any(size not in (None, given) for size, given in zip(shape, entry.shape)):
        return f"its shape is {_shown(shape)}, the value's {_shown(entry.shape)}"
    if entry.dtype == dtype:
        return None
    given, wanted = kind_of_dtype(entry.dtype), kind_of_dtype(dtype)
    if "other" in (given, wanted):
        return f"its dtype is {dtype}, the value's {entry.dtype}, which is not numeric"
    if casting == "unsafe":
        return None
    if given != wanted:
        return f"its dtype is {dtype}, the value's {entry.dtype}; casting='unsafe' casts it"
    return None


def check_values(assignments: Iterable[Assignment]) -> list[SkippedWeight]:
    """Returns the weights for which some values are too large. Also reads the data that only reading can check.

    Raises:
        ValueError: If a value can't be read.
    """
    found = []
    for each in assignments:
        narrower = _narrower(each)
        if each.entry.check is not None and not narrower:
            each.entry.check()
        if narrower and (lost := _overflowing(each)):
            reason = f"{lost} of its {each.entry.dtype} values are too large for {each.dtype}"
            found.append(SkippedWeight(each.name, reason))
    return found


def assign_all(assignments: Sequence[Assignment]) -> dict[str, int]:
    """Assigns all values; if one fails, gives the weights their old values back.

    Returns:
        Name -> how many NaN and infinite values the weight got, for values that came through the host.
    """
    size = sum(each.entry.size for each in assignments)
    undo: list[tuple[Any, Any]] | None = [] if size <= UNDO_BYTES or _is_free_to_keep(assignments) else None
    not_finite: dict[str, int] = {}
    targets = {id(each.variable) for each in assignments}
    # Weights of one model may swap their values: read all of those before writing any.
    moved = {
        id(each): read_value(each.entry.variable)
        for each in assignments
        if each.entry.variable is not each.variable and id(each.entry.variable) in targets
    }
    with _interrupts_held_back():
        try:
            for each in assignments:
                _assign(each, moved.get(id(each)), undo, not_finite)
        except BaseException:
            for variable, value in reversed(undo or ()):
                restore_snapshot(variable, value)
            raise
    return not_finite


def _is_free_to_keep(assignments: Sequence[Assignment]) -> bool:
    """Whether old values cost no extra memory: on TensorFlow, if the new ones share the memory of another model."""
    return all(each.entry.variable is not None and backend_of(each.variable) == "tensorflow" for each in assignments)


def _assign(each: Assignment, moved: Array, undo: list[tuple[Any, Any]] | None, not_finite: dict[str, int]) -> None:
    variable, entry = each.variable, each.entry
    if entry.variable is variable:
        return
    if entry.variable is not None and moved is None and same_backend(variable, entry.variable):
        if undo is not None:
            undo.append((variable, take_snapshot(variable)))
        copy_value(variable, entry.variable)
        return
    value = entry.read() if moved is None else moved
    if count := count_not_finite(value):
        not_finite[each.name] = count
    if undo is not None:
        undo.append((variable, take_snapshot(variable)))
    assign_value(variable, value.copy() if entry.borrowed else value)


def count_not_finite(value: Array) -> int:
    """How many NaN and infinite values an array has."""
    import numpy as np

    if kind_of_dtype(numpy_name(value.dtype)) not in ("float", "complex"):
        return 0
    if value.size < _FEW:
        return int(value.size - np.count_nonzero(np.isfinite(value)))
    with np.errstate(all="ignore"):
        if value.dtype.itemsize > 2 and np.isfinite(value.sum()):  # then all values are finite; needs no extra memory
            return 0
        return int(value.size - np.count_nonzero(np.isfinite(value)))


#: For fewer values than this an array of bools takes less time than the attempt to do without one.
_FEW = 4096


def _narrower(each: Assignment) -> bool:
    """Whether values of the entry may be too large for the weight."""
    given, wanted = each.entry.dtype, each.dtype
    if (
        given == wanted
        or kind_of_dtype(given) != kind_of_dtype(wanted)
        or kind_of_dtype(given) not in ("float", "whole")
    ):
        return False
    if kind_of_dtype(given) == "whole":
        return not holds_all_of(wanted, given)
    return wanted == "float16" or itemsize(wanted) < itemsize(given)


def _overflowing(each: Assignment) -> int:
    """How many finite values of an entry would become infinite or another number."""
    import numpy as np

    value, dtype = each.entry.read(), each.dtype
    if kind_of_dtype(dtype) == "whole":
        limits = np.iinfo(dtype)
        return int(np.count_nonzero((value < limits.min) | (value > limits.max)))
    largest = LARGEST[dtype]
    with np.errstate(all="ignore"):
        return int(np.count_nonzero(np.isfinite(value) & (np.abs(value.astype("float64")) > largest)))


def _shown(shape: Iterable[int | None]) -> str:
    return str(tuple(shape))


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Delays Ctrl-C until the end: a half-set model is worse than one more second."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[Any] = []
    old = signal.getsignal(signal.SIGINT)
    if old is None:  # C code has set the handler, which we can't restore
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)
        if came and callable(old):
            old(*came[0])
