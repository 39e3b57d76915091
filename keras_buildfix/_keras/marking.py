"""Which built-in layer's constructor marks a layer as built, found by reading the code of the constructor."""

from __future__ import annotations

import contextlib
import functools
import inspect
import weakref
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType
from typing import Any

from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import belongs_to_keras, brings, layer_base, package_of
from keras_buildfix._keras.function_code import MARKS_BUILT, function_code, is_assigning_built, stores_built

#: Built-ins that no call ever builds, so that nothing is skipped when they mark themselves built:
#: placeholders, TensorFlow ops turned into layers, and metrics, which are layers on Keras 2.
_BUILT_OTHERWISE = frozenset({"InputLayer", "TensorFlowOpLayer", "ReloadedLayer", "Metric"})


# --- Who marks a layer built -------------------------------------------------------------------


@functools.cache
def marking_code(builtin: type) -> tuple[CodeType, frozenset[CodeType]] | None:
    """The code in which a built-in's own constructor marks a layer built, if it does.

    That is its ``__init__``, and the helper methods of Keras that ``__init__`` calls for it
    (``_build_at_init`` on 3.10 and later, keras PR #20880). It is read from the code itself, not from a
    version. So a built-in that starts to do this tomorrow is found too.
    """
    init = vars(builtin).get("__init__")
    base = layer_base(builtin)
    if base in (None, builtin) or builtin.__name__ in _BUILT_OTHERWISE or not belongs_to_keras(builtin):
        return None
    if not isinstance(init := inspect.unwrap(init) if callable(init) else None, FunctionType):
        return None
    helpers = frozenset(_called_code_that_marks(builtin, init.__code__, set()))
    return (init.__code__, helpers) if helpers or stores_built(init.__code__) else None


def marking_builtins(cls: type) -> list[type]:
    """The built-ins among the bases of `cls` whose constructor marks the layer built, nearest first."""
    return [base for base in cls.__mro__ if belongs_to_keras(base) and marking_code(base) is not None]


def marks_unconditionally(builtin: type) -> bool:
    """Whether a built-in marks a layer built without asking first if a subclass overrides ``build``.

    Then the subclass's ``build`` is skipped. ``_build_at_init`` does ask (3.10.0 to nightly,
    `utils.is_default`); a plain ``self.built = True`` does not (3.0-3.9, and Reshape from 3.12 on, keras PR
    #21568).
    """
    marking = marking_code(builtin)
    if marking is None:
        return False
    init, helpers = marking
    return stores_built(init) or any("is_default" not in helper.co_names for helper in helpers)


def marks_through_helper(builtin: type) -> bool:
    """Whether a helper method of Keras sets the mark: it may do more than that, such as lock the state."""
    marking = marking_code(builtin)
    return marking is not None and bool(marking[1])


def is_marked_by_builtin(layer: Any, frame: FrameType | None) -> bool:
    """Whether a built-in's constructor makes the assignment to ``built`` in which `frame` runs.

    It walks out of every ``__setattr__`` of Keras, the backend and the user, to the statement
    ``self.built = True``, and from there out of Keras's helpers. If it ends elsewhere than in such a
    constructor, the assignment is the user's and counts.
    """
    inits, helpers = _marking_code_above(type(layer))
    inner = frame
    while frame is not None and not is_assigning_built(frame):
        frame = frame.f_back
    if frame is None:  # somebody called setattr(): take the first function that is no __setattr__
        frame = inner
        while frame is not None and frame.f_code.co_name == "__setattr__":
            frame = frame.f_back
    while frame is not None and frame.f_code in helpers:
        frame = frame.f_back
    return frame is not None and frame.f_code in inits


def leaves_unbuilt(cls: type) -> bool:
    """Whether a layer of `cls` is still not marked as built after its ``build`` was called; Keras 2 only.

    There only ``Layer.build`` sets the mark. A ``build`` that does not call ``super().build`` never gets
    there: that of many users, of Keras's own `UnitNormalization` (2.12 to tf_keras 2.16) and of global
    poolings (2.13 on). The first call then builds again. Keras 3 wraps ``build`` of each layer and sets the mark.
    """
    base = layer_base(cls)
    if base is None or wraps_build(base):
        return False
    for above in cls.__mro__[: cls.__mro__.index(base)]:
        if brings(above, "build"):
            build = vars(above)["build"]
            code = function_code(build)
            if code is None or stores_built(code) or hasattr(build, MARKS_BUILT):
                return False
            if not {"build", "super"} <= {*code.co_names}:
                return True
    return False


def _marking_code_above(cls: type) -> tuple[set[CodeType], set[CodeType]]:
    """The code of all constructors of a class and its bases that mark a layer built, and the code of their helpers."""
    with contextlib.suppress(KeyError, TypeError):  # TypeError: a metaclass made its classes unhashable
        return _marking_codes[cls]
    marking = [marking_code(base) for base in marking_builtins(cls)]
    inits = {each[0] for each in marking if each}
    helpers = {code for each in marking if each for code in each[1]}
    with contextlib.suppress(TypeError):
        _marking_codes[cls] = (inits, helpers)
    return inits, helpers


#: Remembered for as long as the class lives, since it is needed for each layer that is made.
_marking_codes: weakref.WeakKeyDictionary[type, tuple[set[CodeType], set[CodeType]]] = weakref.WeakKeyDictionary()


def _called_code_that_marks(builtin: type, code: CodeType, seen: set[str]) -> Iterator[CodeType]:
    """The code of the Keras methods that `code` calls and that, directly or through others, mark the layer built."""
    for name in code.co_names:
        # `build` really builds; the `__init__` of another base is examined separately.
        if name in seen or name in ("build", "__init__", "__call__", "call"):
            continue
        seen.add(name)
        method = getattr(builtin, name, None)
        if isinstance(method, FunctionType) and package_of(method.__module__) is not None:
            deeper = list(_called_code_that_marks(builtin, method.__code__, seen))
            yield from deeper
            if deeper or stores_built(method.__code__):
                yield method.__code__
