"""Checks that a layer comes back from its config as it was."""

from __future__ import annotations

import inspect
import json
from typing import Any

from keras_buildfix._keras.classes import belongs_to_keras, is_model
from keras_buildfix._words import many, short
from keras_buildfix.testing.subject import CheckError, Subject, check, check_same, give_weights, in_short

_CONFIG = "Return from get_config() every argument of __init__ in a form that JSON can hold, on top of super()'s."


def _restored(subject: Subject, layer: Any) -> Any:
    """The layer from its config, through JSON, as Keras does it with files."""
    config = subject.keras.layers.serialize(layer)
    try:
        text = json.dumps(config)
    except TypeError as error:
        raise CheckError(f"its config can't be written as JSON: {short(error, 200)}") from error
    return subject.keras.layers.deserialize(json.loads(text), custom_objects=subject.custom())


@check("construction", advice=_CONFIG)
def config(subject: Subject) -> None:
    """Models with the layer can't be saved, loaded or cloned."""
    layer = subject.make()
    try:
        again = _restored(subject, layer)
    except Exception as error:
        if not _works_once_built(subject):
            raise
        raise CheckError(f"before it is built, its config raises {in_short(error)}; afterwards it works") from error
    if type(again) is not type(layer):
        raise CheckError(f"its config gives a {type(again).__name__}")
    before, after = layer.get_config(), again.get_config()
    lost = [repr(name) for name in ("name", "trainable", "dtype") if name not in before and not is_model(layer)]
    if lost and not belongs_to_keras(_owner(layer, "get_config")):
        raise CheckError(f"its config has no {', '.join(lost)}", "Return {**super().get_config(), ...}.")
    for key in {**before, **after}:
        old, new = (short(_as_json(each.get(key)), 200) for each in (before, after))
        if old != new:
            raise CheckError(f"{key!r} in its config is {old}, and {new} in that of the layer made from it")


def _works_once_built(subject: Subject) -> bool:
    try:
        _restored(subject, subject.built())
    except Exception:
        return False
    return True


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=lambda thing: type(thing).__name__)


@check("config", "tracking", "instances_share_nothing", advice=_CONFIG)
def config_keeps_arguments(subject: Subject) -> None:
    """A layer that is loaded or cloned silently has other settings."""
    layer = subject.built()
    if belongs_to_keras(_owner(layer, "from_config")):
        known = layer.get_config()
        lost = [repr(name) for name in subject.init_kwargs if name not in known and _is_set(layer, subject, name)]
        if lost:
            raise CheckError(f"{many(len(lost), 'argument')} of __init__ not in its config: {', '.join(lost)}")
    again = _restored(subject, layer)
    subject.call(again, subject.x(seed=1))
    give_weights(again, layer, "the layer made from its config")
    x = subject.x(seed=2)
    check_same(subject.infer(layer, x), subject.infer(again, x), "the outputs of the layer and of one from its config")


def _owner(layer: Any, method: str) -> type:
    """The class that defines a method of a layer."""
    return next(cls for cls in type(layer).__mro__ if method in vars(cls))


def _is_set(layer: Any, subject: Subject, name: str) -> bool:
    """Whether an argument was given another value than its default, and is not one of Keras's own."""
    parameter = inspect.signature(type(layer).__init__).parameters.get(name)
    if parameter is None or name in ("dtype", "name", "trainable", "autocast", "dynamic", "weights"):
        return False
    given = subject.init_kwargs[name]
    return (
        parameter.default is parameter.empty
        or type(given) is not type(parameter.default)
        or bool(given != parameter.default)
    )


@check("config_keeps_arguments", "functional", "explicit_build", advice=_CONFIG)
def clone_model(subject: Subject) -> None:
    """`clone_model` fails, or the clone computes something else."""
    model, layer = subject.built_model()
    clone = subject.keras.models.clone_model(model)
    again = next((each for each in clone.layers if each.name == layer.name), None)
    if again is None:
        raise CheckError(f"the clone has no layer called {layer.name!r}")
    if any(mine is theirs for mine in layer.weights for theirs in again.weights):
        raise CheckError("the clone uses the weights of the original", "Make weights in build(), not before.")
    give_weights(again, layer, "the clone")
    x = subject.x(seed=2)
    check_same(subject.infer(layer, x), subject.infer(again, x), "the outputs of the layer and its clone")
