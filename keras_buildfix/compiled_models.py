"""Compiled models that hold a layer, and how they take note at once of what is trainable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from keras_buildfix import _keras, _private
from keras_buildfix import _private_training as private
from keras_buildfix.known_models import models_of
from keras_buildfix.optimizer_owners import note_what_is_known, weights_for
from keras_buildfix.optimizer_state import Slots, slots_of, train_only
from keras_buildfix.traced_steps import FUNCTIONS, Flags, State, kept_slots, knows_flags, switch

#: Optimizers, each with what it has for its weights.
Remembered = Sequence[tuple[Any, Slots]]


def compiled_models_with(layers: Iterable[Any]) -> list[CompiledModel]:
    """Every model in the process that holds one of these layers, directly or nested, and that has stepped or will.

    That is one with an optimizer, or a traced ``predict``. The models among the layers come first.
    """
    wanted = {id(layer): layer for layer in layers}
    bases = {id(base): base for base in map(_keras.layer_base, map(type, wanted.values())) if base is not None}
    models = {id(layer): layer for layer in wanted.values() if _keras.is_model(layer)}
    models.update((id(model), model) for base in bases.values() for model in models_of(base))
    found = []
    for model in models.values():
        if any(id(layer) in wanted for layer in _private.nested_layers(model)):
            optimizers = private.optimizers_in(model)
            if optimizers or any(getattr(model, name, None) is not None for name in FUNCTIONS):
                found.append(CompiledModel(model, optimizers))
    return found


class CompiledModel:
    """A compiled model, as it was before what is trainable in it changes."""

    def __init__(self, model: Any, optimizers: list[Any]) -> None:
        private.take_state_back(model)
        self.model = model
        self.optimizers = optimizers
        flags = Flags.of(model)
        self.trained = flags.trained
        self.variables = [*flags.trained, *flags.others]
        note_what_is_known(self.optimizers, self.trained, self.variables)
        self.slots: Remembered = [(optimizer, slots_of(optimizer, self.variables)) for optimizer in self.optimizers]
        self.state = State.of(self.optimizers, flags)
        self.agreed = knows_flags(model) or (private.flags_are_compiled(model) and self._knows_what_is_trained())

    def _knows_what_is_trained(self) -> bool:
        """Whether the optimizer trains what the flags say: nobody changed one by hand after the first step."""
        for optimizer, slots in self.slots:
            if optimizer is getattr(self.model, "optimizer", None):
                plain = all(layer.trainable for layer in _private.nested_layers(self.model) if not layer.weights)
                return plain and list(slots) == [id(variable) for variable in self.trained]
        return False

    def follow(self, changed: bool = True, remembered: Remembered = ()) -> None:
        """Has its next step train what is trainable now: nothing else that ``compile`` set is touched.

        What is traced is only traced anew if flags have `changed`, or had been by hand before, and what is trainable
        now was not trained before.
        """
        model = self.model
        flags = Flags.of(model)
        kept = kept_slots(model, flags)
        others = False
        for optimizer in self.optimizers:
            others |= train_only(
                model,
                optimizer,
                self.trained,
                weights_for(optimizer, self.optimizers, model, self.trained, flags.trained),
                self.variables,
                _of(optimizer, self.slots),
                _of(optimizer, remembered),
                _not_in_blocks(_of(optimizer, kept)),
            )
        switch(model, self.state, self.slots, State.of(self.optimizers, flags), changed or others, self.agreed)


#: What the blocks that are open remember, to be put back at their end.
_open_blocks: list[Remembered] = []


@contextlib.contextmanager
def remembering(slots: Remembered) -> Iterator[None]:
    """A block in which no other value is given to these variables."""
    _open_blocks.append(slots)
    try:
        yield
    finally:
        _open_blocks[:] = [each for each in _open_blocks if each is not slots]


def _not_in_blocks(slots: Slots) -> Slots:
    remembered = {
        id(slot.variable) for block in _open_blocks for _, of in block for each in of.values() for slot in each.values()
    }
    return {key: each for key, each in slots.items() if not any(id(s.variable) in remembered for s in each.values())}


def _of(optimizer: Any, remembered: Remembered) -> Slots:
    return next((slots for of, slots in remembered if of is optimizer), {})
