"""Reads the bytecode of a function, without running it: which attributes it assigns, and whether it sets ``built``.

Only reports need it. Where the bytecode of a new Python can't be read, classes are still fixed: then also those that
do not need it.
"""

from __future__ import annotations

import functools
import sys
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dis

#: An attribute of each ``build`` function that this package made: it marks the layer as built.
MARKS_BUILT = "_keras_buildfix_marks_built"


def stores_built(code: CodeType) -> bool | None:
    """Whether code assigns ``something.built``, other than by a plain ``= False``.

    None if it may, but the bytecode of this Python can't be read. `dis` is imported only for code that
    mentions ``built``: importing it takes as long as all else at the first use of this package.
    """
    if "built" in code.co_consts:  # setattr(self, "built", ...)
        return True
    if "built" not in code.co_names:
        return False
    return _stores_built(code) if can_read_code() else None


def _stores_built(code: CodeType) -> bool:
    steps = _steps(code)
    for at, step in enumerate(steps):
        if step.opname == "STORE_ATTR" and step.argval == "built":
            value = steps[at - 2]  # between them, `self` is loaded
            if not (value.opname == "LOAD_CONST" and value.argval is False):
                return True
    return False


@functools.cache
def can_read_code() -> bool:
    """Whether this module understands the bytecode of this Python: it tests that on three functions of its own."""

    def marks(self: Any) -> None:
        self.built = True

    def takes_back(self: Any) -> None:
        self.built = False

    def builds(self: Any) -> None:
        self.build()

    try:
        stored = [_stores_built(each.__code__) for each in (marks, takes_back, builds)]
        seen = [_sees_to_built(each.__code__) for each in (marks, takes_back, builds)]
    except Exception:  # whatever another Python's `dis` does
        return False
    return stored == [True, False, False] and seen == [True] * 3 and _attributes_stored(marks.__code__) == {"built"}


def _check_readable() -> None:
    if not can_read_code():
        python = sys.version.split()[0]
        raise RuntimeError(
            f"a report on build() reads the bytecode of functions, and can't read that of Python {python}. "
            "Ask for it under another Python. deferred_build, the mixin and install() work on this one too."
        )


def _steps(code: CodeType) -> list[dis.Instruction]:
    import dis

    return [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG", "NOP")]


def sees_to_built(code: CodeType) -> bool:
    """Whether a method assigns ``self.built``, calls ``self.build``, or calls ``mark_built`` or ``reset_built``."""
    _check_readable()
    return _sees_to_built(code)


def _sees_to_built(code: CodeType) -> bool:
    if {"mark_built", "reset_built", "_build_at_init"}.intersection(code.co_names):
        return True
    if "built" in code.co_consts:
        return True
    this = code.co_varnames[:1]
    before: Any = None
    for step in _steps(code):
        wanted = {"STORE_ATTR": "built", "LOAD_ATTR": "build", "LOAD_METHOD": "build"}.get(step.opname)
        if wanted is not None and step.argval == wanted and before is not None:
            loaded = before.argval if isinstance(before.argval, tuple) else (before.argval,)
            if before.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) and loaded[-1:] == this:
                return True
        before = step
    return False


def attributes_stored(code: CodeType) -> set[str]:
    """The names of the attributes that code assigns."""
    _check_readable()
    return _attributes_stored(code)


def _attributes_stored(code: CodeType) -> set[str]:
    return {step.argval for step in _steps(code) if step.opname == "STORE_ATTR"}


#: An attribute that holds the user's function, on a function of ours that replaces it without ``__wrapped__``.
WRAPS = "_keras_buildfix_wraps"


def plain_function(function: Any) -> Any:
    """The function under its decorators, as far as they used ``functools.wraps``."""
    seen = {id(function)}
    while (inner := getattr(function, "__wrapped__", None)) is not None and id(inner) not in seen:
        function = inner
        seen.add(id(function))
    return function


def function_code(function: Any) -> CodeType | None:
    """The code of the function under its decorators, whether or not they used ``functools.wraps``."""
    function = plain_function(function)
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
