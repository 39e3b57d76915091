"""Finds the compiled models that hold a layer, and makes them train what is trainable now, without ``compile``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keras_buildfix._keras import training
from keras_buildfix._keras.classes import is_model, layer_base
from keras_buildfix._keras.tracking import nested_layers
from keras_buildfix.freezing.known_models import models_of
from keras_buildfix.freezing.optimizer_owners import note_what_is_known, weights_for
from keras_buildfix.freezing.optimizer_state import slots_of, train_only
from keras_buildfix.freezing.traced_steps import FUNCTIONS, Flags, State, knows_flags, switch_steps


def compiled_models_with(layers: Iterable[Any]) -> list[CompiledModel]:
    """Every model in the process that holds one of these layers, directly or nested, and depends on their flags.

    A model depends on them if it has an optimizer or a traced step. Models that are among the layers come first.
    """
    wanted = {id(layer): layer for layer in layers}
    bases = {id(base): base for base in map(layer_base, map(type, wanted.values())) if base is not None}
    models = {id(layer): layer for layer in wanted.values() if is_model(layer)}
    models.update((id(model), model) for base in bases.values() for model in models_of(base))
    found = []
    for model in models.values():
        if any(id(layer) in wanted for layer in nested_layers(model)):
            optimizers = training.optimizers_in(model)
            if optimizers or any(getattr(model, name, None) is not None for name in FUNCTIONS):
                found.append(CompiledModel(model, optimizers))
    return found


class CompiledModel:
    """A compiled model, with its state before a change of what is trainable."""

    def __init__(self, model: Any, optimizers: list[Any]) -> None:
        training.take_state_back(model)
        self.model = model
        self.optimizers = optimizers
        flags = Flags.of(model)
        self.trained = flags.trained
        self.variables = [*flags.trained, *flags.others]
        note_what_is_known(self.optimizers, self.trained, self.variables)
        self.slots = [(optimizer, slots_of(optimizer, self.variables)) for optimizer in self.optimizers]
        self.state = State.of(self.optimizers, flags)
        self.agreed = knows_flags(model) or (training.flags_are_compiled(model) and self._knows_what_is_trained())

    def _knows_what_is_trained(self) -> bool:
        """Whether the optimizer trains what the flags say: if not, somebody changed a flag after the first step."""
        for optimizer, slots in self.slots:
            if optimizer is getattr(self.model, "optimizer", None):
                # The optimizer says nothing about layers without weights: trust their flags only if all are true.
                plain = all(layer.trainable for layer in nested_layers(self.model) if not layer.weights)
                return plain and list(slots) == [id(variable) for variable in self.trained]
        return False

    def follow(self, changed: bool = True) -> None:
        """Makes the next step train what is trainable now; everything else that ``compile`` set stays.

        A kept step is used if one trains what is trainable now. Otherwise a step is traced again, but only if flags
        have `changed`, or if somebody had changed them by hand before.
        """
        model = self.model
        flags = Flags.of(model)
        others = False
        for optimizer, had in self.slots:
            wanted = weights_for(optimizer, self.optimizers, model, self.trained, flags.trained)
            others |= train_only(model, optimizer, self.trained, wanted, self.variables, had)
        switch_steps(model, self.state, State.of(self.optimizers, flags), changed or others, self.agreed)
