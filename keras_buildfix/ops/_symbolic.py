"""``symbolically``: lets a function over real tensors take the symbolic ones of functional models, on every Keras."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from keras_buildfix._keras.classes import package_of
from keras_buildfix._keras.graphs import not_for_autograph
from keras_buildfix._structures import map_structure
from keras_buildfix.ops._finding import keras_in_use


def is_symbolic(x: Any) -> bool:
    """Whether a value is a symbolic tensor of a functional model, of any Keras."""
    return type(x).__name__.endswith("KerasTensor") and package_of(type(x).__module__) is not None


def symbolically(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that becomes one operation of a functional model, if there are symbolic tensors in its arguments.

    For what can't be put together of functions that take them: control flow, and a backend's own functions.
    """

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        if not any(map(is_symbolic, leaves((args, kwargs)))):
            return function(*args, **kwargs)
        keras = keras_in_use()
        if hasattr(keras, "ops"):

            def run_all(*tensors: Any) -> Any:  # only tensors are its arguments: JAX takes nothing else there
                now = iter(tensors)
                both = mapped(lambda leaf: next(now) if is_symbolic(leaf) else leaf, (args, kwargs))
                return function(*both[0], **both[1])

            return _operation_class(keras)(run_all)(*filter(is_symbolic, leaves((args, kwargs))))
        tf = sys.modules["tensorflow"]
        given = tf.nest.flatten((args, kwargs))
        free = [at for at, leaf in enumerate(given) if is_symbolic(leaf)]
        kept: list[Any] = []  # the result; a layer returns only tensors

        def run(tensors: Any) -> Any:
            now = dict(zip(free, tensors))
            all_, named = tf.nest.pack_sequence_as((args, kwargs), [now.get(*each) for each in enumerate(given)])
            kept[:] = [function(*all_, **named)]
            return [leaf for leaf in tf.nest.flatten(kept) if tf.is_tensor(leaf)]

        found = iter(_layer_class(keras)(run, function.__name__)([given[at] for at in free]))
        return tf.nest.map_structure(lambda leaf: next(found) if tf.is_tensor(leaf) else leaf, kept)[0]

    not_for_autograph(called)
    return called


def following(*values: Any) -> tuple[Any, ...]:
    """Values over TensorFlow, where each variable that meets a symbolic tensor is a symbolic tensor that reads it.

    Read at once, it would be a constant in the functional model: the value that it has now.
    """
    tf = sys.modules["tensorflow"]
    if all(isinstance(x, tf.Tensor) for x in values):
        return values
    symbolic = next(filter(is_symbolic, values), None)
    if symbolic is None or not any(isinstance(x, tf.Variable) for x in values):
        return values

    def read(x: Any) -> Any:
        return _layer_class(keras_in_use())(lambda _: tf.convert_to_tensor(x), "variable")(symbolic)

    return tuple(read(x) if isinstance(x, tf.Variable) else x for x in values)


def leaves(structure: Any) -> list[Any]:
    """The leaves of dicts, lists and tuples, in order."""
    found: list[Any] = []
    map_structure(found.append, structure)
    return found


def mapped(function: Callable[..., Any], structure: Any, *others: Any) -> Any:
    """A structure with what a function gives for each leaf, and the leaves of the others there; None stays."""
    if isinstance(structure, dict):
        return type(structure)(
            {key: mapped(function, item, *(each[key] for each in others)) for key, item in structure.items()}
        )
    if isinstance(structure, (list, tuple)):
        items = [mapped(function, *each) for each in zip(structure, *others)]
        return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)
    return None if structure is None else function(structure, *others)


@functools.cache
def _operation_class(keras: Any) -> Any:
    """The operation of Keras 3 that calls a function."""

    class Function(keras.Operation):  # type: ignore[misc]
        def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
            super().__init__(name=name)
            self.function = function

        def call(self, *args: Any, **kwargs: Any) -> Any:
            return self.function(*args, **kwargs)

    return Function


@functools.cache
def _layer_class(keras: Any) -> Any:
    """The layer of Keras 2 that calls a function. It is no Lambda: that one warns of the variables in a closure."""

    class Function(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, function: Callable[..., Any], called: str) -> None:
            called = called if called.isidentifier() else "function"
            super().__init__(name=f"{called}_{keras.backend.get_uid(called)}", autocast=False)
            self.function = function

        @sys.modules["tensorflow"].autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
        def call(self, inputs: Any, **_: Any) -> Any:
            return self.function(inputs)

    return Function
