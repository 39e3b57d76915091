"""Tells Keras's classes from users' classes, finds layer and model classes, and checks that a mixin is listed first.

Nothing here imports Keras: a class says in ``__module__`` which Keras it comes from, and ``sys.modules`` has that one.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from typing import Any

from keras_buildfix._words import short

#: The top-level packages that are a Keras; and TensorFlow's own old copy of Keras, a package inside TensorFlow.
PACKAGES = ("keras", "tf_keras")
_VENDORED = "tensorflow.python.keras"


@functools.lru_cache(maxsize=4096)
def package_of(module_name: str) -> str | None:
    """The Keras package that a module is in: ``keras``, ``tf_keras`` or TensorFlow's copy; None if it is in none."""
    root = module_name.partition(".")[0]
    if root in PACKAGES:
        return root
    return _VENDORED if (module_name + ".").startswith(_VENDORED + ".") else None


def belongs_to_keras(cls: type) -> bool:
    """Whether Keras itself defines this class."""
    return package_of(getattr(cls, "__module__", None) or "") is not None


def keras_of(cls: type) -> Any:
    """The top-level module of the Keras that defines a class, or that defines the nearest of its bases."""
    packages = (package_of(base.__module__) for base in cls.__mro__)
    return sys.modules[next(filter(None, packages))]


#: An attribute of a function that replaces a method and only calls the next class's method.
HANDS_OVER = "_keras_buildfix_hands_over"


def brings(cls: type, name: str) -> bool:
    """Whether a class has a method of its own, which does more than call the next class's method."""
    return name in vars(cls) and not hasattr(vars(cls)[name], HANDS_OVER)


def layer_base(cls: object) -> type | None:
    """Keras's own ``Layer`` among the bases of `cls`; None if `cls` is not a layer class.

    The last one counts: Keras 2's ``legacy_tf_layers.base.Layer`` is a ``Layer`` above the real one.
    """
    bases = cls.__mro__ if isinstance(cls, type) else ()
    return next((base for base in reversed(bases) if base.__name__ == "Layer" and belongs_to_keras(base)), None)


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


def describe_layer(layer: Any) -> str:
    """A layer by its name and class, in words for a message."""
    return f"the layer {getattr(layer, 'name', '')!r} ({type(layer).__name__})"


def describe(thing: object) -> str:
    """What a thing is, in words for an error message."""
    if isinstance(thing, type):
        return f"the {'Keras layer ' if layer_base(thing) else ''}class {_type_name(thing)}"
    import inspect  # here, for it takes longer to import than this package

    if inspect.ismodule(thing):
        return f"the module {thing.__name__}"
    if inspect.isroutine(thing):
        return f"the function {getattr(thing, '__qualname__', thing)}"
    kind = _type_name(type(thing))
    if layer_base(type(thing)) is not None:
        return f"an instance of the Keras layer class {kind}"
    return "None" if thing is None else f"{short(thing)} ({'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind})"


def _type_name(cls: type) -> str:
    """The name of a class, with its module unless it is a builtin."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def loaded_layer_bases() -> Iterator[type]:
    """The ``Layer`` class of each Keras that this process has finished importing, once, if two names mean one Keras."""
    seen: list[type] = []
    for package in PACKAGES:
        module = sys.modules.get(package)
        layers = getattr(module, "layers", None)
        base = layer_base(getattr(layers, "Layer", None))
        if base is not None and not any(base is other for other in seen):
            seen.append(base)
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
    """The Keras layer classes that a user wrote as bases of `cls` or its parents, nearest first."""
    written = {id(base) for above in cls.__mro__ if not belongs_to_keras(above) for base in above.__bases__}
    return [base for base in cls.__mro__ if id(base) in written and belongs_to_keras(base) and layer_base(base)]


def public_name(builtin: type) -> str | None:
    """The name of a built-in in ``keras.layers`` or ``keras``; None for a private class."""
    module = sys.modules.get(package_of(builtin.__module__) or "")
    spaces = [vars(space) for space in (getattr(module, "layers", None), module) if space is not None]
    names = [name for space in spaces for name, value in list(space.items()) if value is builtin]
    return builtin.__name__ if builtin.__name__ in names else min(names, default=None)


class ListedFirst:
    """The base of our mixins: it refuses a class that lists a Keras layer class before one of them."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_listed_first(cls)


def _check_listed_first(cls: type) -> None:
    """Raises a TypeError if a Keras layer class comes before one of our mixins: the mixin would do nothing.

    A Keras class that is not a layer may come first: Keras makes models from a ``Trainer`` and a layer.
    """
    bases = iter(cls.__mro__)
    first = next(filter(_is_keras_layer, bases), None)
    mixin = next((base for base in bases if ListedFirst in base.__mro__), None)
    if first is not None and mixin is not None:
        listed = [base for base in cls.__bases__ if mixin not in base.__mro__]
        mixins = [base for base in cls.__bases__ if mixin in base.__mro__]
        order = ", ".join(base.__name__ for base in mixins + listed)
        raise TypeError(
            f"{mixin.__name__} comes after the Keras class {first.__name__} in {cls.__name__}: "
            f"list it first, as in `class {cls.__name__}({order})`."
        )


def _is_keras_layer(cls: type) -> bool:
    return belongs_to_keras(cls) and layer_base(cls) is not None


def is_users(cls: type) -> bool:
    """Whether a class is neither Keras's nor Python's."""
    return cls is not object and not belongs_to_keras(cls)
