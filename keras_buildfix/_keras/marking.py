"""Finds the built-in layers whose constructor marks the layer as built, by reading the code of the constructor.

`building.deferred` leaves a class alone if it has no such base, and reports name the base. In doubt a class is
fixed. That is harmless: `DeferredBuilt` looks, at each assignment of ``built``, who makes it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import CodeType, FunctionType

from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import belongs_to_keras, brings, layer_base, package_of
from keras_buildfix._keras.function_code import MARKS_BUILT, function_code, plain_function, stores_built

#: Built-ins that no call ever builds: placeholders, TensorFlow ops turned into layers, and the metrics of Keras 2.
_BUILT_OTHERWISE = frozenset({"InputLayer", "TensorFlowOpLayer", "ReloadedLayer", "Metric"})


@functools.cache
def marking_code(builtin: type) -> tuple[CodeType, frozenset[CodeType]] | None:
    """The code in which a built-in's own constructor marks a layer built, if it does.

    That is its ``__init__``, and the helper methods of Keras that ``__init__`` calls for it
    (``_build_at_init`` on 3.10 and later, keras PR #20880). No version is compared: the code itself is read. So a
    built-in that starts to do this in a future version is found too.
    """
    init = vars(builtin).get("__init__")
    base = layer_base(builtin)
    if base in (None, builtin) or builtin.__name__ in _BUILT_OTHERWISE or not belongs_to_keras(builtin):
        return None
    if not isinstance(init := plain_function(init), FunctionType):
        return None
    helpers = frozenset(_called_code_that_marks(builtin, init.__code__, set()))
    return (init.__code__, helpers) if helpers or _may_mark(init.__code__) else None


def _may_mark(code: CodeType) -> bool:
    return stores_built(code) is not False


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
    return _may_mark(init) or any("is_default" not in helper.co_names for helper in helpers)


def marks_through_helper(builtin: type) -> bool:
    """Whether a helper method of Keras sets the mark: it may do more than that, such as lock the state."""
    marking = marking_code(builtin)
    return marking is not None and bool(marking[1])


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
            if deeper or _may_mark(method.__code__):
                yield method.__code__
