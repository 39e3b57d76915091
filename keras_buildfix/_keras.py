"""Answers questions about layer classes: whether Keras defines a class, and whether its constructor sets ``built``.

The private names of Keras are in ``_private*.py``. Nothing here imports Keras: each class leads to its own.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import weakref
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType
from typing import Any

from keras_buildfix._code import MARKS_BUILT, function_code, is_assigning_built, stores_built
from keras_buildfix._private import wraps_build

#: Top-level packages that are a Keras. TensorFlow's own old copy has a longer path.
PACKAGES = ("keras", "tf_keras")
_VENDORED = "tensorflow.python.keras"

#: Built-ins that no call ever builds, so that nothing is skipped when they mark themselves built:
#: placeholders, TensorFlow ops turned into layers, and metrics, which are layers on Keras 2.
_BUILT_OTHERWISE = frozenset({"InputLayer", "TensorFlowOpLayer", "ReloadedLayer", "Metric"})


# --- Whose class is it -------------------------------------------------------------------------


def package_of(module_name: str) -> str | None:
    """The Keras package of a module: ``keras``, ``tf_keras``, TensorFlow's copy, or None."""
    root = module_name.partition(".")[0]
    if root in PACKAGES:
        return root
    return _VENDORED if (module_name + ".").startswith(_VENDORED + ".") else None


def belongs_to_keras(cls: type) -> bool:
    """Whether Keras itself defines this class."""
    return package_of(getattr(cls, "__module__", None) or "") is not None


#: An attribute of a function that replaces a method and only calls the next class's method.
HANDS_OVER = "_keras_buildfix_hands_over"


def brings(cls: type, name: str) -> bool:
    """Whether a class has a method of its own, which does more than call the next class's method."""
    return name in vars(cls) and not hasattr(vars(cls)[name], HANDS_OVER)


def layer_base(cls: object) -> type | None:
    """Keras's own ``Layer`` among the bases of `cls`; None if `cls` is not a layer class.

    The last one counts: Keras 2's ``legacy_tf_layers.base.Layer`` is a ``Layer`` above the real one.
    """
    if not isinstance(cls, type):
        return None
    found = None
    for base in cls.__mro__:
        if base.__name__ == "Layer" and belongs_to_keras(base):
            found = base
    return found


def layer_class(cls: object, wanted_by: str) -> type:
    """`cls`, if it is a Keras layer class; otherwise a TypeError that says what was passed."""
    if layer_base(cls) is None:
        raise TypeError(
            f"{wanted_by} expects a Keras layer class, a subclass of keras.layers.Layer; got {describe(cls)}"
            f"{'; pass the class itself' if layer_base(type(cls)) else ''}."
        )
    assert isinstance(cls, type)
    return cls


def layer_instance(layer: object, wanted_by: str) -> Any:
    """`layer`, if it is a Keras layer; otherwise a TypeError that says what was passed."""
    if layer_base(type(layer)) is None:
        first = " The layer or model comes first." if isinstance(layer, (str, os.PathLike, dict, list)) else ""
        raise TypeError(f"{wanted_by} expects a Keras layer (an instance); got {describe(layer)}.{first}")
    return layer


def is_model(layer: object) -> bool:
    """Whether a layer is a Keras model of any kind."""
    return is_model_class(type(layer))


def is_model_class(cls: type) -> bool:
    """Whether a class is a Keras model class of any kind."""
    return has_base(cls, "Model")


def is_functional(layer: object) -> bool:
    """Whether a layer is a functional model."""
    return has_base(type(layer), "Functional")


def is_sequential(layer: object) -> bool:
    """Whether a layer is a sequential model."""
    return has_base(type(layer), "Sequential")


def has_base(cls: type, name: str) -> bool:
    """Whether a class has a base of this name that Keras defines."""
    return any(base.__name__ == name and belongs_to_keras(base) for base in cls.__mro__)


def describe(thing: object) -> str:
    """What a thing is, in words for an error message."""
    if isinstance(thing, type):
        return f"the {'Keras layer ' if layer_base(thing) else ''}class {_type_name(thing)}"
    if inspect.ismodule(thing):
        return f"the module {thing.__name__}"
    if inspect.isroutine(thing):
        return f"the function {getattr(thing, '__qualname__', thing)}"
    kind = _type_name(type(thing))
    if layer_base(type(thing)) is not None:
        return f"an instance of the Keras layer class {kind}"
    return "None" if thing is None else f"{short(thing)} ({'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind})"


def short(thing: object, most: int = 60) -> str:
    """The ``repr`` of a thing on one line; a long one is cut and ends in ``...``."""
    try:
        shown = " ".join(repr(thing).split())
    except Exception:  # a user's __repr__ may raise
        return "something"
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def _type_name(cls: type) -> str:
    """The name of a class, with its module unless it is a builtin."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def loaded_layer_bases() -> Iterator[type]:
    """The ``Layer`` class of each Keras that this process has finished importing."""
    for package in PACKAGES:
        module = sys.modules.get(package)
        layers = getattr(module, "layers", None)
        base = layer_base(getattr(layers, "Layer", None))
        if base is not None:
            yield base


def layer_classes(base: type) -> Iterator[type]:
    """Every loaded subclass of this ``Layer``: Keras's own, legacy ones too, and the users'."""
    seen = {id(base)}  # by identity: a metaclass may have made its classes unhashable
    waiting = [base]
    while waiting:
        subclasses: list[type] = type.__subclasses__(waiting.pop())
        for cls in subclasses:
            if id(cls) not in seen:
                seen.add(id(cls))
                waiting.append(cls)
                yield cls


def builtin_layers(base: type) -> Iterator[type]:
    """Every layer class that Keras itself defines on this ``Layer``."""
    return filter(belongs_to_keras, layer_classes(base))


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


def build_owner(cls: type) -> type | None:
    """The user's class that ``cls.build`` comes from; None if it comes from Keras."""
    for base in cls.__mro__:
        if brings(base, "build"):
            return None if belongs_to_keras(base) else base
    return None


def users_bases(cls: type) -> Iterator[type]:
    """The classes that users wrote, up to Keras's ``Layer``: `cls`, its parents and mixins."""
    end = layer_base(cls)
    for base in cls.__mro__:
        if base is end:
            return
        if not belongs_to_keras(base):
            yield base


def written_bases(cls: type) -> list[type]:
    """The Keras layer classes that the ``class`` statements of `cls` and its users' bases name, nearest first."""
    written = {id(base) for above in cls.__mro__ if not belongs_to_keras(above) for base in above.__bases__}
    return [base for base in cls.__mro__ if id(base) in written and belongs_to_keras(base) and layer_base(base)]


def public_name(builtin: type) -> str | None:
    """The name of a built-in in ``keras.layers`` or ``keras``; None for a private class."""
    module = sys.modules.get(package_of(builtin.__module__) or "")
    spaces = [vars(space) for space in (getattr(module, "layers", None), module) if space is not None]
    names = [name for space in spaces for name, value in list(space.items()) if value is builtin]
    return builtin.__name__ if builtin.__name__ in names else min(names, default=None)


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
