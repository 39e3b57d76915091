"""Stateful recurrent layers under mixed precision on Keras 3, whose states are variables of the variable dtype.

On TensorFlow, 3.0 to 3.7, making them is an error: from zeros in the compute dtype. On torch they never change:
Keras writes into a copy in the compute dtype (measured on 3.15). All names used here are public.
"""

from __future__ import annotations

import functools
import types
from typing import Any

from keras_buildfix._keras.classes import keras_of, layer_base
from keras_buildfix._keras.weight_classes import add_in_own_dtype
from keras_buildfix._structures import map_structure
from keras_buildfix.precision.tensors import cast

_DONE = "_keras_buildfix_states"


def can_keep_states(cls: Any) -> None:
    """Makes a subclass of Keras's recurrent layers, or of ``Bidirectional``, make and keep its states."""
    base = layer_base(cls)
    keras: Any = None if base is None else keras_of(base)
    layers: Any = getattr(keras, "layers", None)  # None while Keras itself is imported
    if not hasattr(layers, "Bidirectional") or not hasattr(keras, "ops"):
        return
    if not issubclass(cls, (layers.RNN, layers.Bidirectional)):
        return
    backend = keras.backend.backend()
    if backend == "tensorflow" and hasattr(cls, "get_initial_state") and not hasattr(cls.get_initial_state, _DONE):
        cls.get_initial_state = _in_variable_dtype(cls.get_initial_state)
    if backend == "tensorflow" and issubclass(cls, layers.Bidirectional) and not hasattr(cls.build, _DONE):
        cls.build = _building_inner_states(cls.build)
    if backend == "torch" and "call" in vars(cls):
        cls.call = _writing_into_states(cls.call)


def _in_variable_dtype(inherited: Any) -> Any:
    """A ``get_initial_state`` that gives what variables are to be made of in the variable dtype."""

    @functools.wraps(inherited)
    def get_initial_state(self: Any, *args: Any, **kwargs: Any) -> Any:
        states = inherited(self, *args, **kwargs)
        if not self.stateful or self.states is not None:
            return states
        return cast(states, self.variable_dtype, layer_base(type(self)))

    setattr(get_initial_state, _DONE, True)
    return get_initial_state


def _building_inner_states(inherited: Any) -> Any:
    """A ``build`` of a ``Bidirectional`` in which plain layers inside it make their states in the variable dtype."""

    @functools.wraps(inherited)
    def build(self: Any, *args: Any, **kwargs: Any) -> Any:
        inner = [layer for layer in (self.forward_layer, self.backward_layer) if not _keeps_states(layer)]
        for layer in inner:
            made = _in_variable_dtype(type(layer).get_initial_state)
            vars(layer)["get_initial_state"] = types.MethodType(made, layer)
        try:
            return inherited(self, *args, **kwargs)
        finally:
            for layer in inner:
                del vars(layer)["get_initial_state"]

    setattr(build, _DONE, True)
    return build


def _keeps_states(layer: Any) -> bool:
    return not hasattr(type(layer), "get_initial_state") or hasattr(type(layer).get_initial_state, _DONE)


def _writing_into_states(following: Any) -> Any:
    """A ``call`` that assigns to the states themselves."""

    @functools.wraps(following)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        for layer in (self, getattr(self, "forward_layer", None), getattr(self, "backward_layer", None)):
            if getattr(layer, "stateful", False):
                map_structure(lambda state: _writes_into_itself(self, state), getattr(layer, "states", None))
        return following(self, *args, **kwargs)

    return call


def _writes_into_itself(layer: Any, state: Any) -> None:
    if state is None or _DONE in vars(state):
        return
    add_in_own_dtype(layer, state)
    vars(state)[_DONE] = True
