"""Makes a portable layer's weights on Keras 3 add in their own dtype, and gives them methods of ``tf.Variable``."""

from __future__ import annotations

import contextlib
import copyreg
import functools
import sys
import types
from collections.abc import Iterator
from typing import Any

from keras_buildfix._keras.autocasting import autocast, reading_uncast
from keras_buildfix._keras.classes import layer_base


def add_in_own_dtype(layer: Any, variable: Any) -> None:
    """Makes ``assign_add`` and ``assign_sub`` of a Keras 3 weight add in its own dtype, even if it is read in another.

    Source: plain Keras 3 adds in the compute dtype: in bfloat16 a counter stops at 256 (measured, 3.0 to nightly).
    """
    _put_in_front(_Adding, layer, variable)


def answer_as(layer: Any, variable: Any, raw: Any) -> None:
    """Makes a weight that stands for a backend's variable add in its own dtype, and gives it the variable's methods."""
    vars(variable)[_RAW] = raw
    _put_in_front(_Answering, layer, variable)


#: An attribute of a weight that stands for a backend's variable: that variable.
_RAW = "_keras_buildfix_raw"
#: Methods that read a ``tf.Variable``: we cast what they return, as Keras casts the weight when it is read.
_READS = ("read_value", "sparse_read", "gather_nd")


class _Adding:
    """A base class that we put in front of a weight's Keras class: with it, the weight adds in its own dtype."""

    _made_of: tuple[Any, ...]

    def assign(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        # Plain Keras on torch would write into a copy in the compute dtype (measured, 3.2 to 3.15): nothing changed.
        with reading_uncast(self._made_of[2]):
            return super().assign(value, *args, **kwargs)  # type: ignore[misc]

    def assign_add(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        with reading_uncast(self._made_of[2]):
            return super().assign_add(value, *args, **kwargs)  # type: ignore[misc]

    def assign_sub(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        with reading_uncast(self._made_of[2]):
            return super().assign_sub(value, *args, **kwargs)  # type: ignore[misc]

    def __reduce_ex__(self, protocol: Any) -> Any:
        how: Any = super().__reduce_ex__(protocol)
        if how[0] is not getattr(copyreg, "__newobj__"):  # noqa: B009  # unknown to typeshed
            return how
        return (_made_again, self._made_of, *how[2:])


class _Answering(_Adding):
    """The base class for a weight that stands for a backend's variable: it adds the methods of that variable."""

    def assign(self, value: Any, use_locking: Any = None, name: Any = None, read_value: Any = True) -> Any:
        return super().assign(value)

    def assign_add(self, value: Any, use_locking: Any = None, name: Any = None, read_value: Any = True) -> Any:
        return super().assign_add(value)

    def assign_sub(self, value: Any, use_locking: Any = None, name: Any = None, read_value: Any = True) -> Any:
        return super().assign_sub(value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __getattr__(self, name: str) -> Any:
        raw = vars(self).get(_RAW)
        if raw is None or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        # Under mixed precision reading gives a tensor, which lacks some names of a variable.
        value = self.value
        if hasattr(value, name):
            return getattr(value, name)
        found = getattr(raw, name)
        if name not in _READS:
            return found
        return lambda *args, **kwargs: autocast(self, found(*args, **kwargs))


def _put_in_front(kind: Any, layer: Any, variable: Any) -> None:
    """Puts `kind` in front of a weight's class. Where Keras refuses subclasses, it only replaces three methods."""
    keras_class: Any = type(variable)
    base = layer_base(type(layer))
    if not _knows_subclasses(keras_class, base):
        for name in ("assign", "assign_add", "assign_sub"):
            vars(variable)[name] = functools.partial(_add_uncast, variable, name, base)
        return
    variable.__class__ = _class(kind, keras_class, base)


@functools.cache
def _knows_subclasses(keras_class: Any, base: Any) -> bool:
    """Whether Keras accepts a subclass of its weight class; on 3.6 with torch it does not, and gives no gradients."""
    torch = sys.modules.get("torch")
    if torch is None or sys.modules["keras"].config.backend() != "torch":
        return True
    one = keras_class(torch.ones(1))
    one.__class__ = _class(_Adding, keras_class, base)
    with contextlib.suppress(Exception):
        return bool(sys.modules["keras"].ops.convert_to_tensor(one).requires_grad)
    return False


def _add_uncast(variable: Any, name: str, base: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
    with reading_uncast(base):
        return getattr(type(variable), name)(variable, value, *args, **kwargs)


@functools.cache
def _class(kind: Any, keras_class: Any, base: Any) -> Any:
    """A class with the bases `kind` and `keras_class`; `base` is the ``Layer`` of the same Keras."""
    if issubclass(keras_class, _Adding):
        return keras_class
    own = {"_made_of": (kind, keras_class, base), "__module__": keras_class.__module__}
    return types.new_class(keras_class.__name__, (kind, keras_class), exec_body=lambda body: body.update(own))


def _made_again(kind: Any, keras_class: Any, base: Any) -> Any:
    cls = _class(kind, keras_class, base)
    return cls.__new__(cls)
