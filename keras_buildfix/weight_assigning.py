"""Assigns values to weights: checks all of them first, then assigns all of them or none."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from keras_buildfix import _variables
from keras_buildfix._entries import Array, Entry, itemsize
from keras_buildfix.weight_report import SkippedWeight

#: Up to this size we keep the old values until all new ones are in place. Above it we rely on the checks before,
#: because keeping them would take the memory twice. (On TensorFlow we keep values in memory anyway: that is free.)
UNDO_BYTES = 256 << 20

Casting = Literal["same_kind", "unsafe"]
CASTINGS = ("same_kind", "unsafe")


@dataclass(frozen=True, eq=False)
class Assignment:
    """A weight and its new value."""

    name: str
    variable: Any
    entry: Entry


def why_not(assignment: Assignment, casting: str) -> str | None:
    """Says why a value does not fit a weight, judged by shape and dtype; None if it fits.

    The one rule for dtypes: floats go into floats of any width (rounded), whole numbers into whole numbers,
    bools into bools, complex into complex; ``check_values`` finds values that are too large.
    ``casting="unsafe"`` lets numbers and bools into anything else that is numeric.
    """
    variable, entry = assignment.variable, assignment.entry
    shape, dtype = _variables.shape_of(variable), _variables.dtype_of(variable)
    if len(shape) != len(entry.shape) or any(size not in (None, given) for size, given in zip(shape, entry.shape)):
        return f"its shape is {_shown(shape)}, the value's {_shown(entry.shape)}"
    if entry.dtype == dtype:
        return None
    given, wanted = _kind(entry.dtype), _kind(dtype)
    if "other" in (given, wanted):
        return f"its dtype is {dtype}, the value's {entry.dtype}, which is not numeric"
    if casting == "unsafe":
        return None
    if given != wanted:
        return f"its dtype is {dtype}, the value's {entry.dtype}; casting='unsafe' casts it"
    return None


def check_values(assignments: Iterable[Assignment]) -> list[SkippedWeight]:
    """Reads what can be checked only by reading it: compressed files, and values that might overflow.

    Raises:
        ValueError: If a value can't be read.
    """
    found = []
    for each in assignments:
        narrower = _narrower(each)
        if each.entry.check is not None and not narrower:
            each.entry.check()
        if narrower and (lost := _overflowing(each)):
            dtype = _variables.dtype_of(each.variable)
            found.append(SkippedWeight(each.name, f"{lost} of its {each.entry.dtype} values are too large for {dtype}"))
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
        id(each): _variables.read(each.entry.variable)
        for each in assignments
        if each.entry.variable is not each.variable and id(each.entry.variable) in targets
    }
    with _interrupts_held_back():
        try:
            for each in assignments:
                _assign(each, moved.get(id(each)), undo, not_finite)
        except BaseException:
            for variable, value in reversed(undo or ()):
                _variables.restore(variable, value)
            raise
    return not_finite


def _is_free_to_keep(assignments: Sequence[Assignment]) -> bool:
    """Whether keeping old values costs no memory: on TensorFlow, where values from another model share theirs."""
    return all(
        each.entry.variable is not None and _variables.backend_of(each.variable) == "tensorflow" for each in assignments
    )


def _assign(each: Assignment, moved: Array, undo: list[tuple[Any, Any]] | None, not_finite: dict[str, int]) -> None:
    variable, entry = each.variable, each.entry
    if entry.variable is variable:
        return
    if entry.variable is not None and moved is None and _variables.same_backend(variable, entry.variable):
        if undo is not None:
            undo.append((variable, _variables.snapshot(variable)))
        _variables.copy(variable, entry.variable)
        return
    value = entry.read() if moved is None else moved
    if count := count_not_finite(value):
        not_finite[each.name] = count
    if undo is not None:
        undo.append((variable, _variables.snapshot(variable)))
    _variables.assign(variable, value.copy() if entry.borrowed else value)


def count_not_finite(value: Array) -> int:
    """How many NaN and infinite values an array has."""
    import numpy as np

    if _kind(str(value.dtype)) not in ("float", "complex"):
        return 0
    with np.errstate(all="ignore"):
        if value.dtype.itemsize > 2 and np.isfinite(value.sum()):  # one pass without extra memory; nearly always enough
            return 0
        return int(value.size - np.count_nonzero(np.isfinite(value)))


def _narrower(each: Assignment) -> bool:
    """Whether values of the entry may be too large for the weight."""
    given, wanted = each.entry.dtype, _variables.dtype_of(each.variable)
    if given == wanted or _kind(given) != _kind(wanted) or _kind(given) not in ("float", "whole"):
        return False
    if _kind(given) == "whole":
        return not _holds(wanted, given)
    return wanted == "float16" or itemsize(wanted) < itemsize(given)


def _overflowing(each: Assignment) -> int:
    """How many finite values of an entry would become infinite or another number."""
    import numpy as np

    value, dtype = each.entry.read(), _variables.dtype_of(each.variable)
    if _kind(dtype) == "whole":
        limits = np.iinfo(dtype)
        return int(np.count_nonzero((value < limits.min) | (value > limits.max)))
    largest = _LARGEST[dtype]
    with np.errstate(all="ignore"):
        return int(np.count_nonzero(np.isfinite(value) & (np.abs(value.astype("float64")) > largest)))


#: The largest value of each dtype that is not rounded to infinity.
_LARGEST = {
    "float16": 65519.0,
    "bfloat16": 3.3961e38,
    "float32": 3.4028235e38,
    "float8_e4m3fn": 448.0,
    "float8_e5m2": 57344.0,
}


def _kind(dtype: str) -> str:
    if dtype == "bool":
        return "bool"
    for kind, start in (("float", ("float", "bfloat")), ("whole", ("int", "uint")), ("complex", ("complex",))):
        if dtype.startswith(start):
            return kind
    return "other"


def _holds(dtype: str, other: str) -> bool:
    """Whether one dtype of whole numbers holds all values of the other."""
    signed, other_signed = dtype.startswith("int"), other.startswith("int")
    if other_signed and not signed:
        return False
    return itemsize(dtype) > itemsize(other) or (itemsize(dtype) == itemsize(other) and signed == other_signed)


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
