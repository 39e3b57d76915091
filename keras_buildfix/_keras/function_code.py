"""Reads the bytecode of a function, without running it: which attributes it assigns. Knows nothing of Keras."""

from __future__ import annotations

import dis
import inspect
from types import CodeType, FrameType, FunctionType
from typing import Any

#: An attribute that this package sets on its own ``build`` functions: those that mark the layer as built.
MARKS_BUILT = "_keras_buildfix_marks_built"

_STORE_ATTR = dis.opmap["STORE_ATTR"]


def stores_built(code: CodeType) -> bool:
    """Whether code assigns ``something.built``, other than by a plain ``= False``."""
    if "built" in code.co_consts:  # setattr(self, "built", ...)
        return True
    if "built" not in code.co_names:
        return False
    # Look at the raw bytes first: `dis` takes a millisecond for ten functions, and `install()` looks at many.
    raw, index = code.co_code, code.co_names.index("built") & 255
    if not any(raw[at] == _STORE_ATTR and raw[at + 1] == index for at in range(0, len(raw), 2)):
        return False
    if not any(constant is False for constant in code.co_consts):
        return True
    steps = [s for s in dis.get_instructions(code) if s.opname not in ("CACHE", "EXTENDED_ARG", "NOP")]
    for at, step in enumerate(steps):
        if step.opname == "STORE_ATTR" and step.argval == "built":
            value = steps[at - 2]  # between them, `self` is loaded
            if not (value.opname == "LOAD_CONST" and value.argval is False):
                return True
    return False


def is_assigning_built(frame: FrameType) -> bool:
    """Whether a frame is just running the statement ``something.built = ...``."""
    code = frame.f_code
    raw, at = code.co_code, frame.f_lasti
    return (
        "built" in code.co_names
        and 0 <= at < len(raw)
        and raw[at] == _STORE_ATTR
        and raw[at + 1] == code.co_names.index("built") & 255
    )


def sees_to_built(code: CodeType) -> bool:
    """Whether a method assigns ``self.built``, calls ``self.build``, or calls ``mark_built`` or ``reset_built``."""
    if {"mark_built", "reset_built", "_build_at_init"}.intersection(code.co_names):
        return True
    if "built" in code.co_consts:
        return True
    this = code.co_varnames[:1]
    before: Any = None
    for step in dis.get_instructions(code):
        if step.opname in ("CACHE", "EXTENDED_ARG", "NOP"):
            continue
        wanted = {"STORE_ATTR": "built", "LOAD_ATTR": "build", "LOAD_METHOD": "build"}.get(step.opname)
        if wanted is not None and step.argval == wanted and before is not None:
            loaded = before.argval if isinstance(before.argval, tuple) else (before.argval,)
            if before.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) and loaded[-1:] == this:
                return True
        before = step
    return False


def attributes_stored(code: CodeType) -> set[str]:
    """The names of the attributes that code assigns."""
    return {step.argval for step in dis.get_instructions(code) if step.opname == "STORE_ATTR"}


#: An attribute of a function of ours that stands in for a user's and can't have ``__wrapped__``: the user's.
WRAPS = "_keras_buildfix_wraps"


def function_code(function: Any) -> CodeType | None:
    """The code of a function, looking through decorators, with or without ``functools.wraps``."""
    function = inspect.unwrap(function) if callable(function) else function
    function = getattr(function, WRAPS, function)
    for cell in getattr(function, "__closure__", None) or ():
        # The decorator `shape_type_conversion` of Keras 2 leaves no __wrapped__: the function is in a cell.
        try:
            inner = cell.cell_contents
        except ValueError:  # the cell is still empty: it is for the class that is just being made
            continue
        if isinstance(inner, FunctionType) and inner.__name__ == "build":
            return function_code(inner)
    return getattr(function, "__code__", None)
