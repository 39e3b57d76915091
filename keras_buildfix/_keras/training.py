"""Reads and changes what compiled models and their optimizers keep for training."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from keras_buildfix._keras.tracking import attributes

#: The attributes of an optimizer: its own variables, the weights of the model that it trains, and their positions.
#: 3.0.0 to nightly; Keras 2 (from 2.11 on, not ``optimizers.legacy``) has no list of the model's weights.
_VARIABLES, _KNOWN, _PLACES_3, _PLACES_2 = (
    "_variables",
    "_trainable_variables",
    "_trainable_variables_indices",
    "_index_dict",
)


#: The attribute of an optimizer with the moving averages of the weights. 2.12 to nightly.
AVERAGE = "_model_variables_moving_average"


class Elsewhere:
    """A weight that a Keras 2 optimizer knows by its key only: it is not among the model's weights."""

    def __init__(self, key: Any) -> None:
        self.key = key


def take_state_back(model: Any) -> None:
    """Writes the values of a model in training back into its variables. ``jax_state_sync``: JAX, 3.0.0 to nightly.

    On JAX, ``fit`` passes the values from step to step, split into trainable and not; the variables are out of date.
    """
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def respect_flags(model: Any, noted: dict[str, Any]) -> None:
    """Makes a compiled model train by the ``trainable`` flags as they are now.

    `noted` is what ``noted_for_flags`` returned when the flags were the same before; empty if they never were.
    ``_compiled_trainable_state``: Keras 2, where ``fit`` restores the flags that ``compile`` saw.
    ``_record_training_state_sharding_spec``: JAX, 3.0.0 to 3.11, keeps a list with an item per trainable weight.
    """
    if hasattr(model, "_get_trainable_state"):
        vars(model)["_compiled_trainable_state"] = model._get_trainable_state()  # so that TensorFlow does not track it
    if noted:
        vars(model).update(noted)
    elif hasattr(model, "_trainable_variable_shardings"):
        model._record_training_state_sharding_spec()


def noted_for_flags(model: Any) -> dict[str, Any]:
    """The attributes of a model that fit its present ``trainable`` flags only; empty if it has none at the moment.

    ``_..._variable_shardings``: JAX, 3.0.0 to 3.11.
    """
    noted = {name: held for name, held in vars(model).items() if name.endswith("_variable_shardings")}
    return {} if any(held is None for held in noted.values()) else noted


def flags_are_compiled(model: Any) -> bool:
    """Whether a model trains by its present ``trainable`` flags. ``_compiled_trainable_state``: Keras 2.

    Always True on Keras 3, which uses the flags that it finds when it traces a step.
    """
    if not hasattr(model, "_get_trainable_state"):
        return True
    return bool(model._get_trainable_state() == vars(model).get("_compiled_trainable_state"))


def can_be_put_back(model: Any, name: str) -> bool:
    """Whether a function of a model, such as ``train_function``, may be kept and put back later.

    Keras must have made and traced it. A function that a user made may hold anything.
    """
    return _is_keras(getattr(type(model), f"make_{name}", None)) and not model.run_eagerly


def put_function(model: Any, name: str, function: Any) -> None:
    """Makes a model use this ``train_function`` or the like. ``train_tf_function``: Keras 2, for TensorBoard."""
    setattr(model, name, function)
    if name == "train_function" and getattr(model, "train_tf_function", None) is not None:
        model.train_tf_function = function


def make_function(model: Any, name: str, step: Any) -> None:
    """Makes a model's function again, with ``make_train_function`` and the like, and with this step if it is given."""
    setattr(model, name, None)
    attributes, method = vars(model), name.replace("function", "step")
    before = attributes.get(method)
    if step is not None:
        attributes[method] = step
    try:
        made = getattr(model, f"make_{name}")()  # without `force`: some that users write do not take it
    finally:
        if before is not None:
            attributes[method] = before
        elif step is not None:
            del attributes[method]
    if getattr(model, name) is None:
        setattr(model, name, made)


def is_built(optimizer: Any) -> bool:
    """Whether an optimizer has made its variables. ``_built``: Keras 2; ``built``: 3.0.0 to nightly."""
    return bool(getattr(optimizer, "built", False) or getattr(optimizer, "_built", False))


def own_variables(optimizer: Any) -> list[Any]:
    """All variables of an optimizer itself, in the order in which it saves them. ``_variables``: 2.12 to nightly."""
    return list(getattr(optimizer, _VARIABLES, ()))


def known_variables(optimizer: Any, candidates: Sequence[Any]) -> list[Any]:
    """The weights for which an optimizer was built, in its order; ``Elsewhere`` for one that is not a candidate."""
    if hasattr(optimizer, _KNOWN):
        return list(getattr(optimizer, _KNOWN))
    by_key = {optimizer._var_key(variable): variable for variable in candidates}
    places = getattr(optimizer, _PLACES_2)
    return [by_key[key] if key in by_key else Elsewhere(key) for key in sorted(places, key=places.get)]


def keys_of(optimizer: Any, variable: Any) -> list[Any]:
    """The keys under which an optimizer may keep something for a weight: ``_var_key``, its id, its path."""
    return [_key(optimizer, variable), id(variable), *([variable.path] if hasattr(variable, "path") else ())]


#: Keras's own lists of a model: they hold no optimizer, and a search through them takes long. 3.0.0 to nightly.
_LISTS = {
    *("_layers", "_metrics", "_nodes", "_nodes_by_depth", "_operations", "_operations_by_depth", "_inbound_nodes"),
    *("_outbound_nodes", "_trainable_variables", "_non_trainable_variables", "_seed_generators"),
    *("_self_tracked_trackables", "_self_unconditional_checkpoint_dependencies"),
}
#: Types of attributes that hold no optimizer. By their ids, because a metaclass may have made its classes unhashable.
_PLAIN = {id(kind) for kind in (bool, int, float, str, type(None), FunctionType, MethodType, type)}


def is_optimizer(thing: object) -> bool:
    """Whether a thing is an optimizer with variables of its own."""
    return hasattr(thing, "apply_gradients") and hasattr(thing, _VARIABLES)


def optimizers_in(model: Any) -> list[Any]:
    """The optimizer with which a model was compiled, and those in its attributes, also in lists and dicts."""
    compiled = getattr(model, "optimizer", None)
    found = {} if compiled is None else {id(compiled): compiled}
    waiting = [held for name, held in vars(model).items() if name not in _LISTS and id(type(held)) not in _PLAIN]
    seen = set()
    while waiting:
        held = waiting.pop()
        if isinstance(held, (list, tuple, dict)):
            if held and id(held) not in seen:
                seen.add(id(held))
                inside = held.values() if isinstance(held, dict) else held
                waiting += [each for each in inside if id(type(each)) not in _PLAIN]
        elif hasattr(type(held), "apply_gradients"):
            found[id(held)] = held
    return list(found.values())


def variables_of(model: Any, *, trained: bool) -> list[Any]:
    """The variables of a model that are trained, or the others; also of a model that is not built itself."""
    try:
        return list(model.trainable_variables if trained else model.non_trainable_variables)
    except ValueError:  # Keras 2 and 3.5: the model was never called, though its layers were
        found = {id(v): v for layer in model.layers for v in variables_of(layer, trained=True)}
        if trained:
            return list(found.values()) if model.trainable else []
        others = {id(v): v for layer in model.layers for v in variables_of(layer, trained=False)}
        return list(others.values()) if model.trainable else [*found.values(), *others.values()]


def steps_as_keras(model: Any) -> bool:
    """Whether ``fit`` uses Keras's own steps, which train with the optimizer given to ``compile``."""
    return _is_keras(type(model).train_step) and "train_step" not in vars(model)


def _is_keras(function: Any) -> bool:
    return getattr(function, "__module__", "").partition(".")[0] in ("keras", "tf_keras")


class Settings(NamedTuple):
    """The settings of an optimizer that are not variables."""

    objects: list[Any]
    values: tuple[tuple[str, Any], ...]


def settings(optimizer: Any) -> Settings:
    """An optimizer's numbers, and its schedule: they are constants in a traced step."""
    plain, schedules = [], []
    for name, value in vars(optimizer).items():
        if value is None or isinstance(value, (bool, int, float, str)):
            plain.append((name, value))
        elif callable(value) and hasattr(type(value), "get_config"):
            schedules.append(value)
    return Settings(schedules, tuple(plain))


def per_variable_lists(optimizer: Any, count: int) -> dict[str, list[Any]]:
    """The attributes of an optimizer that have a variable, or None, for each of `count` weights.

    Not all of these are among its own variables: Adafactor on Keras 2 keeps placeholders in them.
    """
    return {
        name: list(value)
        for name, value in attributes(optimizer).items()
        if isinstance(value, list) and len(value) == count and name not in (_VARIABLES, _KNOWN)
        if all(item is None or hasattr(item, "assign") for item in value)
    }


def per_variable_dicts(optimizer: Any) -> dict[str, dict[Any, Any]]:
    """The dicts of an optimizer that hold its variables: Muon on 3.10 and 3.11 has one by the weight's path."""
    own = {id(variable) for variable in own_variables(optimizer)}
    return {
        name: dict(value)
        for name, value in attributes(optimizer).items()
        if isinstance(value, dict) and value
        if all(id(item) in own for item in value.values())
    }


def notes(optimizer: Any) -> dict[str, dict[Any, Any]]:
    """The dicts of an optimizer that hold none of its variables: on nightly, ``build`` notes which weights decay."""
    own = {id(variable) for variable in own_variables(optimizer)}
    return {
        name: dict(value)
        for name, value in attributes(optimizer).items()
        if isinstance(value, dict) and name not in (_PLACES_2, _PLACES_3)
        if not any(id(item) in own for item in value.values())
    }


def single_variables(optimizer: Any) -> dict[str, Any]:
    """The attributes of an optimizer that are a variable themselves, such as the count of steps."""
    own = {id(variable) for variable in own_variables(optimizer)}
    return {name: value for name, value in vars(optimizer).items() if id(value) in own}


def build_for(optimizer: Any, variables: list[Any]) -> None:
    """Makes an optimizer that is already built build itself again, for these weights only. Then call ``hand_over``."""
    _set(optimizer, {_PLACES_3 if hasattr(optimizer, _PLACES_3) else _PLACES_2: {}})
    _set_built(optimizer, False)
    try:
        optimizer.build(variables)
    finally:
        _set_built(optimizer, True)


def _set_built(optimizer: Any, built: bool) -> None:
    for name in ("built", "_built"):
        if hasattr(optimizer, name):
            setattr(optimizer, name, built)


def hand_over(optimizer: Any, known: list[Any], own: list[Any], attributes: dict[str, Any]) -> None:
    """Sets which weights an optimizer trains, in this order, with its own variables and attributes for them."""
    places = {_key(optimizer, variable): at for at, variable in enumerate(known)}
    if hasattr(optimizer, _KNOWN):
        attributes = {**attributes, _KNOWN: list(known), _PLACES_3: places}
    else:
        attributes = {**attributes, _PLACES_2: places}
    _set(optimizer, {**attributes, _VARIABLES: own})
    tracker = getattr(optimizer, "_tracker", None)
    if tracker is not None:  # 3.0.0 to nightly
        accepts, _ = tracker.config["variables"]
        tracker.config["variables"] = (accepts, getattr(optimizer, _VARIABLES))
        tracker.stored_ids["variables"] = {id(variable) for variable in own}
    # Keras 2 keeps a traced update for each weight, and the trace holds the old variables.
    update: Any = getattr(type(optimizer), "_update_step_xla", None)
    getattr(update, "_descriptor_cache", {}).pop(optimizer, None)


def know_only(optimizer: Any, known: list[Any]) -> None:
    """Sets which weights an optimizer trains, if it only wraps another one, as ``LossScaleOptimizer`` does."""
    if hasattr(optimizer, _KNOWN):
        hand_over(optimizer, known, own_variables(optimizer), {})


def makes_slots_itself(optimizer: Any) -> bool:
    """Whether an optimizer makes missing variables by itself. ``_slots``: ``optimizers.legacy`` of Keras 2."""
    return hasattr(optimizer, "_slots")


def exchange_legacy_slots(
    optimizer: Any, gone: Sequence[Any], come: Sequence[tuple[Any, dict[str, Any]]], order: Sequence[Any]
) -> tuple[dict[int, dict[str, Any]], list[Any]]:
    """Takes the variables for some weights out of a legacy optimizer of Keras 2, and puts those for others back.

    ``_slots``, ``_weights``: ``optimizers.legacy``, 2.12 to tf_keras 2.21.

    Args:
        optimizer: The optimizer.
        gone: The weights that it no longer trains.
        come: Weights that it trains again, with their variables.
        order: All variables that it ever had, in the order in which it saves them.

    Returns:
        What it had for each weight in `gone`, by the weight's ``id``; and `order` with its new variables.
    """
    filed = list(optimizer._weights)
    here = {id(variable) for variable in order}
    order = [*order, *(variable for variable in filed if id(variable) not in here)]
    had = {id(weight): optimizer._slots.pop(_legacy_key(weight), {}) for weight in gone}
    optimizer._slots.update({_legacy_key(weight): slots for weight, slots in come})
    now = {id(variable) for variable in filed} - {id(slot) for slots in had.values() for slot in slots.values()}
    now |= {id(slot) for _, slots in come for slot in slots.values()}
    optimizer._weights = [variable for variable in order if id(variable) in now]
    return {key: slots for key, slots in had.items() if slots}, order


def _legacy_key(variable: Any) -> Any:
    return variable._unique_id


def _key(optimizer: Any, variable: Any) -> Any:
    return variable.key if isinstance(variable, Elsewhere) else optimizer._var_key(variable)


def _set(optimizer: Any, attributes: dict[str, Any]) -> None:
    """Sets attributes so that TensorFlow tracks them but Keras 3 does not: its lists would hold them twice."""
    tracker = vars(optimizer).pop("_tracker", None)
    try:
        for name, value in attributes.items():
            setattr(optimizer, name, value)
    finally:
        if tracker is not None:
            vars(optimizer)["_tracker"] = tracker


def tensorflow_scope(model: Any) -> Any:
    """The scope of the strategy in which a model was made: new variables must be made in it."""
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None or "tensorflow" not in sys.modules:
        return contextlib.nullcontext()
    return strategy.scope()
