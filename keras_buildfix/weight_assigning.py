"""Giving weights their values: all is checked first, then all is assigned, or nothing."""

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

#: Up to this size the old values are kept until all new ones are in place. Above it what is checked beforehand
#: has to do, but on TensorFlow for what is in memory, where keeping is free: else it would take the memory twice.
UNDO_BYTES = 256 << 20

Casting = Literal["same_kind", "unsafe"]
CASTINGS = ("same_kind", "unsafe")


@dataclass(frozen=True, eq=False)
class Assignment:
    """A weight and what it is to become."""

    name: str
    variable: Any
    entry: Entry


def why_not(assignment: Assignment, casting: str) -> str | None:
    """Why a value does not fit a weight, as far as its shape and dtype tell; None if it does.

    The one rule for dtypes: floats go into floats of any width (rounded), whole numbers into whole numbers,
    bools into bools, complex into complex; ``check_values`` looks whether they are too large.
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
        return f"its dtype is {dtype}, the value's {entry.dtype}, which is no number"
    if casting == "unsafe":
        return None
    if given != wanted:
        return f"its dtype is {dtype}, the value's {entry.dtype}; casting='unsafe' casts it"
    return None


def check_values(assignments: Iterable[Assignment]) -> list[SkippedWeight]:
    """Reads what has to be read to be sure: files that are compressed, and values that might overflow.

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
    """Assigns; if that fails in the middle, the weights have their old values again.

    Returns:
        Name -> how many NaN and infinite values it got, of the values that came through the host.
    """
    size = sum(each.entry.size for each in assignments)
    undo: list[tuple[Any, Any]] | None = [] if size <= UNDO_BYTES or _is_free_to_keep(assignments) else None
    not_finite: dict[str, int] = {}
    targets = {id(each.variable) for each in assignments}
    # A model whose weights change places with each other: read before any of them is written.
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
    """Whether old values cost nothing to keep: TensorFlow's, replaced by another model's, which share memory."""
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
        if value.dtype.itemsize > 2 and np.isfinite(value.sum()):  # one pass, no memory, nearly always enough
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
    """How many finite values of an entry would become infinite, or another number."""
    import numpy as np

    value, dtype = each.entry.read(), _variables.dtype_of(each.variable)
    if _kind(dtype) == "whole":
        limits = np.iinfo(dtype)
        return int(np.count_nonzero((value < limits.min) | (value > limits.max)))
    largest = _LARGEST[dtype]
    with np.errstate(all="ignore"):
        return int(np.count_nonzero(np.isfinite(value) & (np.abs(value.astype("float64")) > largest)))


#: The largest values that are not rounded to infinity.
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
    """Ctrl-C in the middle is kept until the end: half a model is worse than a second more."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[Any] = []
    old = signal.getsignal(signal.SIGINT)
    if old is None:  # set by something that is not Python
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)
        if came and callable(old):
            old(*came[0])
