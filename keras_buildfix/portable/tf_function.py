"""``TFFunctionMixin``: makes a ``call`` under the user's own ``@tf.function`` train on Keras 3."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import ListedFirst, brings, layer_base
from keras_buildfix._keras.graphs import runs_without_state


class TFFunctionMixin(ListedFirst):
    """Makes a layer or model train if its ``call`` has the user's own ``@tf.function`` above it.

    On plain Keras 3, ``fit`` of such a model raises "No gradients provided for any variable" if its first call
    makes weights. Keras runs ``call`` once to find the shapes, with the first values of new weights instead of
    the weights. TensorFlow keeps that trace and uses it for all later calls of these shapes: the weights are
    constants in it. With the mixin, such a run gets its own trace, which is thrown away. List the mixin before
    the Keras class. On Keras 2 nothing goes wrong, and it does nothing. It leaves a ``train_step`` under
    ``@tf.function`` alone: that works on every Keras.

    Raises:
        TypeError: At class definition, if a Keras class is listed before it.
        RuntimeError: When such a layer is called and Keras's backend is not TensorFlow.

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import TFFunctionMixin
        >>> on_tensorflow = keras.backend.backend() == "tensorflow"
        >>> function = __import__("tensorflow").function if on_tensorflow else lambda call: call
        >>> class Small(TFFunctionMixin, keras.Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.top = keras.layers.Dense(2)
        ...     @function
        ...     def call(self, x):
        ...         return self.top(x)
        >>> tuple(Small()(np.ones((4, 3), "float32")).shape)
        (4, 2)

    Source: measured on 3.0.5, 3.3.3, 3.8.0, 3.15.1 and nightly; 2.12 and tf_keras 2.21 train as they should.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        base = layer_base(cls)
        if base is None or not wraps_build(base):
            return
        for owner in cls.__mro__:
            if brings(owner, "call"):
                call = vars(owner)["call"]
                if _is_own_function(call):
                    cls.call = _OwnFunction(call)  # type: ignore[attr-defined]
                return

    def __setattr__(self, name: str, value: Any) -> None:
        """Makes ``self.call = tf.function(self.call)`` work too."""
        if name == "call" and _is_own_function(value) and wraps_build(type(self)):
            value = _BoundFunction(self, value, value.python_function)
        super().__setattr__(name, value)


class _OwnFunction:
    """Replaces a ``call`` that is a ``tf.function`` in a class; it passes all other attributes on to the function."""

    def __init__(self, function: Any) -> None:
        self._function = function
        functools.update_wrapper(self, function.python_function)

    def __get__(self, layer: Any, cls: type | None = None) -> Any:
        if layer is None:
            return self
        return _BoundFunction(
            layer, self._function.__get__(layer, cls), self._function.python_function.__get__(layer, cls)
        )

    def __call__(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        return self.__get__(layer, type(layer))(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_function"], name)


class _BoundFunction:
    """The ``call`` of one layer. When Keras runs it only to find shapes, it makes a trace for that run alone."""

    def __init__(self, layer: Any, function: Any, python_function: Callable[..., Any]) -> None:
        self._layer, self._function, self._python_function = layer, function, python_function
        functools.update_wrapper(self, python_function)
        self.__signature__ = inspect.signature(python_function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        keras = sys.modules.get("keras")
        backend = keras.config.backend() if keras is not None else "tensorflow"
        if backend != "tensorflow":
            raise RuntimeError(
                f"The `call` of {type(self._layer).__name__} (layer {self._layer.name!r}) is a tf.function, which "
                f"computes with TensorFlow; Keras's backend is {backend}. Remove the decorator: Keras "
                "compiles the model by itself when it is trained."
            )
        if runs_without_state("keras"):
            passing: Any = sys.modules["tensorflow"].function(self._python_function)
            return passing(*args, **kwargs)
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_function"], name)


def _is_own_function(call: object) -> bool:
    """Whether a thing is a function that ``@tf.function`` has decorated."""
    return hasattr(call, "python_function") and hasattr(call, "get_concrete_function")
