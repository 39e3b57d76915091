"""The private names of Keras layers that this package uses: each in one function, with its versions.

A test checks that these names exist there, and that no other module uses them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def wraps_build(base: type) -> bool:
    """Whether this ``Layer`` wraps ``build`` for each layer, to mark it built: Keras 3.

    ``Layer._lock_state``, which the wrapper calls: 3.0.0 to nightly, not on Keras 2.
    """
    return hasattr(base, "_lock_state")


def lock_for_others(cls: type) -> dict[str, Callable[[Any], None]]:
    """The attribute that lets a user's constructor make state after a built-in's constructor has locked the layer.

    ``Layer._lock_state``: 3.0.0 to nightly; constructors call it through ``_build_at_init`` (3.10.0 on).
    The layer is locked and built as usual. If its constructor then makes a weight or sub-layer, the layer
    is unlocked and counts as not built, like any layer that makes state in ``__init__``.
    """
    if not wraps_build(cls):
        return {}
    name = "_lock_state"

    def _lock_state(self: Any) -> None:
        """Locks the layer's state, if it is built (keras_buildfix)."""
        if self.built:
            getattr(super(cls, self), name)()
            if not build_has_run(self):
                _unlock_on_demand(self)

    return {name: _lock_state}


def _unlock_on_demand(layer: Any) -> None:
    """Makes a layer's tracker accept state from its constructor. ``Tracker.add_to_store``: 3.0.0 to nightly."""
    tracker = layer._tracker
    add_to_store = tracker.add_to_store

    def add_from_constructor(*args: Any) -> None:
        if tracker.locked and _is_being_constructed(layer):
            del tracker.add_to_store
            unlock_state(layer)
            layer.built = False
        add_to_store(*args)

    tracker.add_to_store = add_from_constructor


def _is_being_constructed(layer: Any) -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__init__" and code.co_varnames and frame.f_locals.get(code.co_varnames[0]) is layer:
            return True
        frame = frame.f_back
    return False


def lock_state(layer: Any) -> None:
    """Makes Keras note the weights of a layer that is now built, and refuse new ones.

    ``_post_build`` (the torch backend registers parameters there), ``_lock_state``: 3.0.0 to nightly.
    """
    for name in ("_post_build", "_lock_state"):
        if hasattr(layer, name):
            getattr(layer, name)()
    vars(getattr(layer, "_tracker", layer)).pop("add_to_store", None)


def unlock_state(layer: Any) -> None:
    """Makes Keras accept new weights and sub-layers. ``Layer._tracker``: 3.0.0 to nightly."""
    tracker = getattr(layer, "_tracker", None)
    if tracker is not None:
        tracker.locked = False  # `unlock()` does just this, but 3.0 does not have it


def forget_build(layer: Any) -> None:
    """Makes Keras forget that ``build`` ran and with which shapes: it would save them. See ``build_has_run``."""
    if hasattr(layer, "_build_shapes_dict"):
        layer._build_shapes_dict = None


def build_has_run(layer: Any) -> bool:
    """Whether ``build`` of a layer has run. ``_build_shapes_dict``: 3.0.0 to nightly, set after ``build``.

    On Keras 2 it is ``built``: there only a build marks a layer.
    """
    if hasattr(layer, "_build_shapes_dict"):
        return layer._build_shapes_dict is not None
    return bool(layer.built)


def state_in_attributes(layer: Any) -> list[Any]:
    """The weights and sub-layers that Keras 3 tracks for a layer and that its attributes hold.

    ``Layer._tracker``: 3.0.0 to nightly. Empty on Keras 2, which forgets a weight by itself when the
    attribute that holds it (not a list or dict) is set again. Keras's own lists, and TensorFlow's
    (``_self_...``), do not count as attributes.
    """
    config = getattr(getattr(layer, "_tracker", None), "config", {})
    lists = [config[store][1] for store in ("trainable_variables", "non_trainable_variables", "layers") if config]
    tracked = {id(value): value for values in lists for value in values}
    own_lists = {id(store) for _, store in config.values()}
    waiting = [held for name, held in vars(layer).items() if not name.startswith("_self_")]
    found = {}
    while waiting:
        held = waiting.pop()
        if id(held) in tracked:
            found[id(held)] = held
        elif isinstance(held, dict):
            waiting.extend(held.values())
        elif isinstance(held, (list, tuple)) and id(held) not in own_lists:
            waiting.extend(held)
    return [value for key, value in tracked.items() if key in found]


def forget(layer: Any, values: list[Any]) -> None:
    """Removes these from the state that Keras 3 tracks for a layer. ``_tracker.untrack``: 3.0.0 to nightly."""
    for value in values:
        layer._tracker.untrack(value)
    if values and hasattr(layer, "_post_build"):
        layer._post_build()


def nested_layers(layer: Any) -> list[Any]:
    """The layer and all layers inside it. ``_flatten_layers``: 2.12 to nightly, both generations."""
    return list(layer._flatten_layers())


def track_again(layer: Any) -> None:
    """Makes a portable layer track what Keras does not know of yet: variables that a ``tf.Module`` in it made late."""
    if tracks_again(layer):
        layer._keras_buildfix_track_again()


def tracks_again(layer: Any) -> bool:
    """Whether a layer is a portable one, which tracks what a ``tf.Module`` in it makes late."""
    return hasattr(type(layer), "_keras_buildfix_track_again")


def own_weights(layer: Any) -> tuple[list[Any], list[Any]]:
    """The weights that a layer itself made, trainable and not, each in order; what is frozen now makes no difference.

    ``_trainable_variables``: 3.0.0 to nightly (without seeds and metrics); ``_trainable_weights``: Keras 2.
    For a plain ``tf.Module`` in a Keras 2 layer, these are its public lists.
    """
    track_again(layer)
    kind = "variables" if wraps_build(type(layer)) else "weights"
    if not hasattr(layer, f"_trainable_{kind}"):
        trainable = list(getattr(layer, "trainable_variables", ()))
        known = {id(variable) for variable in trainable}
        return trainable, [variable for variable in getattr(layer, "variables", ()) if id(variable) not in known]
    trainable, rest = list(getattr(layer, f"_trainable_{kind}")), list(getattr(layer, f"_non_trainable_{kind}"))
    alone = frozen_alone(layer)
    kept = {id(variable) for variable in alone}
    return trainable + alone, [variable for variable in rest if id(variable) not in kept]


def frozen_alone(layer: Any) -> list[Any]:
    """Those of a layer's own weights that ``freeze_alone`` froze; Keras 2 only, as on Keras 3 each weight has a flag.

    A weight in ``_non_trainable_weights`` that is ``trainable`` by itself can only come from ``freeze_alone``.
    """
    if wraps_build(type(layer)):
        return []
    return [
        variable for variable in getattr(layer, "_non_trainable_weights", ()) if getattr(variable, "trainable", False)
    ]


def freeze_alone(layer: Any, frozen: list[Any]) -> None:
    """Freezes exactly these of a layer's own weights, on Keras 2, where a weight has no flag of its own.

    They move from ``_trainable_weights`` to the front of ``_non_trainable_weights`` (2.12 to tf_keras
    2.21). The order of the layer's weights, by which files are read, stays if they are the last trainable ones.
    """
    trainable, rest = own_weights(layer)
    moved = {id(variable) for variable in frozen}
    # Change the lists in place: Keras would search a newly set attribute for weights to train.
    layer._trainable_weights[:] = [variable for variable in trainable if id(variable) not in moved]
    layer._non_trainable_weights[:] = [variable for variable in trainable if id(variable) in moved] + rest


def let_tape_watch(variable: Any) -> None:
    """Makes TensorFlow's tape watch a weight that will be trained.

    ``_value``, and ``_trainable`` of a ``tf.Variable``. If a weight got its value while its layer was frozen, after
    the model was traced, its ``tf.Variable`` is not trainable, and Keras does not change that (3.0.0 to nightly).
    """
    value: Any = getattr(variable, "_value", None)
    if type(value).__module__.startswith("tensorflow."):
        for part in getattr(value, "values", ()) or (value,):  # a strategy has one for each device
            if getattr(part, "trainable", True) is False and hasattr(part, "_trainable"):
                part._trainable = True


def set_trainable_alone(layer: Any, trainable: bool) -> None:
    """Sets a layer's flag and leaves those of the layers inside it. ``_trainable``: 2.12 to nightly."""
    layer._trainable = trainable


def direct_sublayers(layer: Any) -> list[Any]:
    """The layers that a layer holds, also in lists and dicts, in order, without metrics.

    ``_flatten_layers``: 3.0.0 to nightly; ``_flatten_modules``, which also finds a plain ``tf.Module``: Keras 2.
    """
    flatten = getattr(layer, "_flatten_modules", None) or getattr(layer, "_flatten_layers", None)
    return list(flatten(recursive=False, include_self=False)) if flatten is not None else []


def is_initialized(variable: Any) -> bool:
    """Whether a weight has a value yet. ``_value``: 3.0.0 to nightly.

    A Keras 3 weight that is made while a model is traced gets its value after the trace.
    """
    return getattr(variable, "_value", variable) is not None


def set_initial_value(variable: Any, value: Any, tensor: Callable[..., Any]) -> None:
    """Sets the first value of a weight that has no value yet. ``_initializer``: 3.0.0 to nightly.

    Keras calls `tensor` later to make a tensor of it: while it traces a model on torch, that is on no device.
    """

    def initializer(shape: Any, dtype: Any = None) -> Any:
        return tensor(value, dtype=dtype)

    variable._initializer = initializer


#: Keras's own lists of a layer's weights.
_OWN_LISTS = ("trainable_variables", "non_trainable_variables", "trainable_weights", "non_trainable_weights")


def is_held(layer: Any, variable: Any) -> bool:
    """Whether an attribute of a layer holds a variable, also in lists, tuples and dicts."""
    waiting = [value for name, value in vars(layer).items() if name.lstrip("_") not in _OWN_LISTS]
    while waiting:
        held = waiting.pop()
        if held is variable:
            return True
        if isinstance(held, (list, tuple, dict)):
            waiting.extend(held.values() if isinstance(held, dict) else held)
    return False


def _replaced(held: Any, old: Any, new: Any) -> Any:
    """A structure with one variable replaced by another: lists and dicts are changed in place, tuples are copied."""
    if held is old:
        return new
    if isinstance(held, tuple):
        items = [_replaced(item, old, new) for item in held]
        if all(item is before for item, before in zip(items, held)):
            return held
        return type(held)(*items) if hasattr(held, "_fields") else tuple(items)
    if isinstance(held, (list, dict)):
        for key in list(held) if isinstance(held, dict) else range(len(held)):
            item = _replaced(held[key], old, new)
            if item is not held[key]:
                held[key] = item
    return held


def replace_weight(layer: Any, old: Any, new: Any) -> None:
    """Replaces one of a layer's own variables by another, everywhere in the layer.

    ``_tracker`` with ``stored_ids``: 3.0.0 to nightly; the lists of ``own_weights``. Every attribute that holds the
    variable is changed too: a property of Keras (``kernel``) reads such an attribute (``_kernel``).
    """
    tracker = getattr(layer, "_tracker", None)
    kind = "variables" if tracker is not None else "weights"
    for store in (f"trainable_{kind}", f"non_trainable_{kind}"):
        held = getattr(layer, f"_{store}")
        for at, variable in enumerate(held):
            if variable is old:
                list.__setitem__(held, at, new)
                if tracker is not None:
                    tracker.stored_ids[store].discard(id(old))
                    tracker.stored_ids[store].add(id(new))
    locked = getattr(tracker, "locked", False)
    if locked:
        unlock_state(layer)
    for name, value in list(vars(layer).items()):
        if name.lstrip("_") not in _OWN_LISTS and (changed := _replaced(value, old, new)) is not value:
            setattr(layer, name, changed)
    if hasattr(layer, "_post_build"):
        layer._post_build()
    if tracker is not None and locked:
        tracker.locked = True


def has_default_build(layer: Any) -> bool:
    """Whether a layer has no ``build`` that could make weights. ``_is_default`` on Keras's: 2.12 to nightly.

    ``BaseRandomLayer.build`` only makes a seed. Dropout and its kind have it on Keras 2, and are built by a call.
    """
    build = layer.build
    return hasattr(build, "_is_default") or getattr(build, "__qualname__", "") == "BaseRandomLayer.build"
