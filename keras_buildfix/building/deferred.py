"""``deferred_build`` and ``DeferredBuildMixin``: they make a subclass's ``build()`` run, once, before first use.

How it works, in one paragraph. Some built-ins set ``self.built = True`` at the end of their own
``__init__``, and Keras then never calls ``build``. The fix gives a class a descriptor named ``built``.
The descriptor ignores that one assignment, the built-in's own, and lets every other one through. The
layer then stays unbuilt until Keras builds it like any other layer. The value stays where it always
was, in the instance's ``__dict__``. Nothing is wrapped: ``__init__``, ``build``, ``call`` and the
metaclass stay the user's, and Keras reads the same signatures.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, overload

from keras_buildfix._keras.built import LOCK, lock_for_others
from keras_buildfix._keras.classes import (
    ListedFirst,
    belongs_to_keras,
    build_owner,
    layer_base,
    layer_class,
    users_bases,
)
from keras_buildfix._keras.frames import is_set_by_keras_constructor
from keras_buildfix._keras.function_code import MARKS_BUILT
from keras_buildfix._keras.marking import (
    leaves_unbuilt,
    marking_builtins,
    marks_through_helper,
    marks_unconditionally,
)
from keras_buildfix._keywords import NOT_GIVEN

_Class = TypeVar("_Class", bound=type)


@overload
def deferred_build(cls: _Class) -> _Class: ...
@overload
def deferred_build() -> Callable[[_Class], _Class]: ...
def deferred_build(cls: Any = NOT_GIVEN) -> Any:
    """Makes the ``build()`` of a layer class run, once, where the installed Keras would skip it.

    Use it as ``@deferred_build`` or ``@deferred_build()``, or call it on somebody else's class.
    Subclasses of the class are fixed too.

    Args:
        cls: A subclass of ``keras.layers.Layer`` (of Keras 3, ``tf.keras`` or ``tf_keras``).

    Returns:
        The same class object. It is unchanged where nothing can go wrong with its ``build``. Otherwise it
        gains the attribute ``built`` where a built-in skips ``build``, ``_lock_state`` where a built-in
        locks a class without ``build`` (Keras 3.10 on), or a ``build`` where it may run twice (Keras 2).
        The decorator reads once, from the code itself, which of these applies. So it also finds a built-in
        that starts to mark itself in a Keras version that nobody has measured yet.

    Raises:
        TypeError: If `cls` is not a Keras layer class, or is one of Keras's own.

    Examples:
        >>> import keras
        >>> from keras_buildfix import deferred_build
        >>> @deferred_build
        ... class ScaledPool(keras.layers.MaxPooling2D):
        ...     def build(self, input_shape):
        ...         self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        ...         super().build(input_shape)
        ...     def call(self, x):
        ...         return super().call(x) * self.scale
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), ScaledPool(2)])
        >>> len(model.weights)
        1

    Source: keras #20175 (3.6.0) and #20871 for pooling, activations and others on 3.6-3.9; PR #20880
    (3.10.0, the lock); PR #21568 (3.12.0, Reshape). Measured: ``affected_layers()``.
    """
    if cls is NOT_GIVEN:
        return deferred_build
    if belongs_to_keras(layer_class(cls, "deferred_build")):
        raise TypeError(
            f"deferred_build: {cls.__module__}.{cls.__qualname__} is Keras's own class, and changing it would change "
            "Keras for everybody in this process. Subclass it; or call install(), which uninstall() takes back."
        )
    _fix(cls)
    return cls


class DeferredBuildMixin(ListedFirst):
    """Makes the ``build()`` of every subclass run, once, where the installed Keras would skip it.

    List it before the Keras class. It has no ``__init__`` and no methods of its own. When a subclass is
    defined, it does to that class what ``deferred_build`` does.

    Raises:
        TypeError: At class definition, if a Keras class is listed before it.

    Examples:
        >>> import keras
        >>> from keras_buildfix import DeferredBuildMixin
        >>> class Scaled(DeferredBuildMixin, keras.layers.Reshape):
        ...     def build(self, input_shape):
        ...         self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        >>> Scaled((4,)).built
        False

    Source: see ``deferred_build``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if layer_base(cls) is not None:
            _fix(cls)


#: An attribute of `DeferredBuilt`, by which another copy of this package recognizes it.
DEFERS = "_keras_buildfix_defers"


class DeferredBuilt:
    """The attribute ``built`` of a fixed class: ignores the mark set by a built-in's constructor."""

    _keras_buildfix_defers = True

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        if layer is None:
            return self
        try:
            return layer.__dict__["built"]
        except KeyError:
            raise AttributeError(f"{type(layer).__name__!r} object has no attribute 'built'") from None

    def __set__(self, layer: Any, value: Any) -> None:
        # Only a user's `build` can be skipped. Ask for one first: that is cheaper than a walk through the frames.
        if value and build_owner(type(layer)) and is_set_by_keras_constructor(layer, "built", sys._getframe(1)):
            return
        layer.__dict__["built"] = value

    def __delete__(self, layer: Any) -> None:
        layer.__dict__.pop("built", None)


def repairs(cls: type) -> dict[str, Any]:
    """The attributes that `cls` needs so that its ``build`` runs once; empty if nothing is wrong or it is fixed."""
    found: dict[str, Any] = {}
    brings_build = "build" in vars(cls) if belongs_to_keras(cls) else build_owner(cls) is not None
    if brings_build and leaves_unbuilt(cls):
        found["build"] = _build_and_mark(cls)
    marking = marking_builtins(cls)
    skipping = any(marks_unconditionally(builtin) for builtin in marking)
    # Keras's constructors do not lock a layer whose class has a user's `build`, its own or inherited.
    locked = build_owner(cls) is None or skipping
    if locked and any(marks_through_helper(builtin) for builtin in marking) and not _has(cls, LOCK):
        found.update(lock_for_others(cls))
    if skipping and not _has(cls, "built"):
        found["built"] = DeferredBuilt()
    return found


def _has(cls: type, name: str) -> bool:
    """Whether this package or the user gave a class or a base this attribute; one from ``install()`` does not count."""
    for base in [cls] if belongs_to_keras(cls) else users_bases(cls):
        if name in vars(base):
            return name != "built" or hasattr(vars(base)[name], "__set__")  # a plain value catches no assignment
    return False


def _build_and_mark(cls: type) -> Callable[..., None]:
    """A ``build`` for a Keras 2 class that also marks the layer as built once it has run."""
    import inspect  # here, for it takes longer to import than this package

    build: Callable[..., None] = cls.build  # type: ignore[attr-defined]
    base: Any = layer_base(cls)

    @functools.wraps(build)
    def build_and_mark(self: Any, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        if not self.built:
            base.build(self, next(iter((*args, *kwargs.values())), None))

    build_and_mark.__signature__ = inspect.signature(build)  # type: ignore[attr-defined]
    setattr(build_and_mark, MARKS_BUILT, True)
    return build_and_mark


def is_fixed(cls: type, *, by_install: bool = True) -> bool:
    """Whether builds of `cls` are deferred; with `by_install=False`, ``install()`` does not count."""
    bases = cls.__mro__ if by_install else users_bases(cls)
    return any(hasattr(vars(base).get("built"), DEFERS) for base in bases)


def was_deferred(cls: type) -> bool:
    """Whether this very class was decorated or has the mixin, even where that changed nothing."""
    return _deferred.get(id(cls), _nothing)() is cls


def _nothing() -> None:
    return None


#: By `id`, because a metaclass may have made its classes unhashable. An entry goes when its class does.
_deferred: dict[int, Callable[[], type | None]] = {}


def _fix(cls: type) -> None:
    key = id(cls)
    _deferred[key] = weakref.ref(cls, lambda _: _deferred.pop(key, None))
    for name, value in repairs(cls).items():
        setattr(cls, name, value)
