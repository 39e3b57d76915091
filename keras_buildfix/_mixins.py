"""Checks that a class lists our mixins before its Keras class."""

from __future__ import annotations

from keras_buildfix import _keras


def check_listed_first(cls: type, mixin: type) -> None:
    """Raises a TypeError if a class lists a Keras layer class before one of our mixins: the mixin would do nothing.

    A Keras class that is not a layer may come first: Keras makes models from a ``Trainer`` and a layer.
    """
    first = next(base for base in cls.__mro__ if base is mixin or _is_keras_layer(base))
    if first is not mixin:
        listed = [base for base in cls.__bases__ if not issubclass(base, mixin)]
        mixins = [base for base in cls.__bases__ if issubclass(base, mixin)]
        order = ", ".join(base.__name__ for base in mixins + listed)
        raise TypeError(
            f"{mixin.__name__} comes after the Keras class {first.__name__} in {cls.__name__}: "
            f"list it first, as in `class {cls.__name__}({order})`."
        )


def _is_keras_layer(cls: type) -> bool:
    return _keras.belongs_to_keras(cls) and _keras.layer_base(cls) is not None
