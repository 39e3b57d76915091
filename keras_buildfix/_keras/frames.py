"""Finds, in the frames of the callers, whether a layer's constructor is running and who sets one of its attributes.

It looks at the module and the arguments of each running function. It reads no bytecode, so it works the same on
every Python, and also under a debugger, a profiler or coverage.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from keras_buildfix._keras.classes import package_of


def arguments(frame: FrameType) -> list[Any]:
    """What the positional arguments of a running function hold now."""
    code, values = frame.f_code, frame.f_locals
    found = [values.get(name) for name in code.co_varnames[: code.co_argcount]]
    if code.co_flags & 4:  # it has `*args`: `inspect.CO_VARARGS`
        found += values.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount]) or ()
    return found


def is_run_for(layer: Any, frame: FrameType) -> bool:
    """Whether a frame runs a method of this very layer: its first argument is the layer."""
    given = arguments(frame)
    return bool(given) and given[0] is layer


def is_being_constructed(layer: Any) -> bool:
    """Whether a constructor of the layer is running, Keras's or the user's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not (frame.f_code.co_name == "__init__" and is_run_for(layer, frame)):
        frame = frame.f_back
    return frame is not None


def setting_frame(layer: Any, name: str, frame: FrameType | None) -> FrameType | None:
    """The frame of the statement ``layer.name = ...``, found from a frame inside that assignment.

    For such a statement Python runs ``type(layer).__setattr__``, which may run others (Keras's, TensorFlow's).
    So the statement is in the caller of that function. An assignment may also go past it, for example with
    ``object.__setattr__``. Then the statement is in the nearest caller that is not called ``__setattr__`` itself.
    """
    entry = getattr(type(layer).__setattr__, "__code__", None)
    at = frame
    while entry is not None and at is not None:
        if at.f_code is entry and is_run_for(layer, at):
            if name in arguments(at)[1:2]:
                return at.f_back
            break  # it sets another attribute, and something in it sets this one
        at = at.f_back
    while frame is not None and frame.f_code.co_name == "__setattr__" and name in arguments(frame)[1:2]:
        frame = frame.f_back
    return frame


#: The methods that really build a layer: if one of them sets ``built``, that is right.
_REALLY_BUILD = frozenset({"build", "__call__", "call"})


def is_set_by_keras_constructor(layer: Any, name: str, frame: FrameType | None) -> bool:
    """Whether Keras's own constructor of the layer makes the assignment ``layer.name = ...`` in which `frame` runs.

    The statement must be in that constructor, or in a function of Keras that the constructor runs for this layer.
    An assignment in a user's function does not count, even if Keras's constructor calls that function: the user
    wants it. An assignment in a ``build`` does not count either: that layer is built.
    """
    frame = setting_frame(layer, name, frame)
    while frame is not None and package_of(frame.f_globals.get("__name__") or "") and is_run_for(layer, frame):
        function = frame.f_code.co_name
        if function == "__init__" or function in _REALLY_BUILD:
            return function == "__init__"
        frame = frame.f_back
    return False
