"""Compiled models that hold a layer, and how they take note at once of what is trainable."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any

from keras_buildfix import _keras, _private
from keras_buildfix import _private_training as private
from keras_buildfix.optimizer_state import Slots, slots_of, train_only


def compiled_models_with(layers: Iterable[Any]) -> list[CompiledModel]:
    """Every compiled model in the process that holds one of these layers, directly or nested.

    A layer does not know who holds it, so the models are looked for among all objects: 20 to 40 ms.
    """
    wanted = {id(layer): layer for layer in layers}
    kinds = {id(type(layer)): type(layer) for layer in wanted.values()}
    bases = {id(base): base for base in map(_keras.layer_base, kinds.values()) if base is not None}
    classes = [cls for base in bases.values() for cls in _keras.layer_classes(base) if _keras.is_model_class(cls)]
    known = {id(cls) for cls in classes}  # by identity: a metaclass may have made its classes unhashable
    models = [thing for thing in gc.get_referrers(*classes) if id(type(thing)) in known]  # it refers to its class
    return [
        CompiledModel(model)
        for model in models
        if getattr(model, "optimizer", None) is not None
        and any(id(layer) in wanted for layer in _private.nested_layers(model))
    ]


class CompiledModel:
    """A compiled model, as it was before what is trainable in it changes."""

    def __init__(self, model: Any) -> None:
        private.take_state_back(model)
        self.model = model
        self.trained = _trainable_variables(model)

    def slots(self) -> Slots:
        """What the optimizer has for each weight, for ``follow`` to take up again."""
        return slots_of(self.model.optimizer, self.trained)

    def follow(self, changed: bool = True, remembered: Slots | None = None) -> None:
        """Has its next step train what is trainable now: nothing else that ``compile`` set is touched.

        What is traced is only traced anew if flags have `changed`, or had been by hand before.
        """
        model = self.model
        others = train_only(model, model.optimizer, self.trained, _trainable_variables(model), remembered or {})
        private.respect_flags(model)
        for name in ("train_function", "test_function", "predict_function") if changed or others else ():
            if getattr(model, name, None) is not None:
                setattr(model, name, None)
                made = getattr(model, f"make_{name}")()  # some that users write know no `force`
                if getattr(model, name) is None:
                    setattr(model, name, made)


def _trainable_variables(model: Any) -> list[Any]:
    try:
        return list(model.trainable_variables)
    except ValueError:  # Keras 2 and 3.5: not built yet
        return []
