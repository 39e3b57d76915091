"""Works with TensorFlow's graphs and AutoGraph, Keras's symbolic calls, and the stateless scope of Keras 3."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from keras_buildfix._keras.autocasting import converts_call
from keras_buildfix._keras.built import wraps_build


def outside_scratch_graphs(layer: Any) -> Any:
    """A block in which a ``build`` makes TensorFlow variables that last, also while Keras 3 traces a layer around it.

    Keras 2 (2.12 to tf_keras 2.21) does this itself, with ``tf_utils.maybe_init_scope``.
    """
    tensorflow = sys.modules.get("tensorflow")
    if not wraps_build(type(layer)) or tensorflow is None or tensorflow.executing_eagerly():
        return contextlib.nullcontext()
    return tensorflow.init_scope()


def inbound_nodes(layer: Any) -> list[Any]:
    """The symbolic calls of a layer. ``_inbound_nodes``: 2.12 to nightly."""
    return list(getattr(layer, "_inbound_nodes", ()))


def not_for_autograph(function: Any) -> None:
    """Makes AutoGraph leave a function of ours unconverted. ``autograph_info__``: TensorFlow 2.12 to 2.21."""
    function.autograph_info__ = {}


def as_autograph_has_it(function: Callable[..., Any], base: type | None) -> Callable[..., Any]:
    """A function as plain Keras or TensorFlow would run it here: converted by AutoGraph, or unchanged.

    ``tf.__internal__.autograph``: TensorFlow 2.12 to 2.21. In a graph, Keras 2 converts ``call``, and Keras 3
    does not. A bare function (`base` is None) is converted where a ``tf.function`` calls it.
    """
    tf = sys.modules.get("tensorflow")
    if tf is None or not hasattr(tf, "executing_eagerly") or tf.executing_eagerly():
        return function
    autograph = tf.__internal__.autograph
    context = autograph.control_status_ctx()
    convert = context.status.name == "ENABLED" if base is None else converts_call(base)
    return autograph.tf_convert(function, context) if convert else function


def runs_without_state(package: str) -> bool:
    """Whether Keras is now in a stateless scope, where it takes the values of weights from elsewhere.

    ``keras.src.backend.common.stateless_scope.in_stateless_scope``: 3.0.0 to nightly. Keras uses the scope to find
    the shapes of a model's outputs: a new weight has no value there, so Keras reads what its initializer returns.
    Always False on Keras 2.
    """
    module = sys.modules.get(f"{package}.src.backend.common.stateless_scope")
    asked = getattr(module, "in_stateless_scope", None)
    return bool(asked()) if asked is not None else False


def outside_graphs() -> Any:
    """A block outside of TensorFlow's graphs: an assignment must not become part of a graph that is being traced."""
    init_scope = getattr(sys.modules.get("tensorflow"), "init_scope", None)
    return init_scope() if init_scope is not None else contextlib.nullcontext()
