"""Lists, replaces and freezes the weights and layers that Keras tracks for a layer."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

from keras_buildfix._keras.built import unlock_state, wraps_build
from keras_buildfix._keras.frames import is_being_constructed

#: The attribute of a Keras 3 layer with the list of all layers in its attributes.
LAYERS = "_layers"


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of a layer or ``tf.Module``, without TensorFlow's own (``_self_...``), which list the others."""
    return {name: value for name, value in vars(thing).items() if not name.startswith("_self_")}


def dicts_of(layer: Any) -> list[dict[Any, Any]]:
    """The dicts that are attributes of a layer, without torch's own (``_modules``: torch, 3.0.0 to nightly)."""
    return [held for name, held in attributes(layer).items() if isinstance(held, dict) and name != "_modules"]


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
    waiting = [*attributes(layer).values()]
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


def untrack(layer: Any, values: list[Any]) -> None:
    """Removes these from the state that Keras 3 tracks for a layer. ``_tracker.untrack``: 3.0.0 to nightly."""
    for value in values:
        layer._tracker.untrack(value)
    if values and hasattr(layer, "_post_build"):
        layer._post_build()


def nested_layers(layer: Any) -> list[Any]:
    """The layer and all layers inside it. ``_flatten_layers``: 2.12 to nightly, both generations."""
    return list(layer._flatten_layers())


def track_again(layer: Any) -> None:
    """Makes a portable layer track the variables that a ``tf.Module`` in it has made by now, which Keras misses."""
    if tracks_again(layer):
        layer._keras_buildfix_track_again()


def tracks_again(layer: Any) -> bool:
    """Whether a layer is a portable one, for which ``track_again`` does something."""
    return hasattr(type(layer), "_keras_buildfix_track_again")


def own_weights(layer: Any) -> tuple[list[Any], list[Any]]:
    """The weights that a layer itself made, trainable and not, each in order; what is frozen now makes no difference.

    ``_trainable_variables``: 3.0.0 to nightly (without seeds and metrics); ``_trainable_weights``: Keras 2.
    For a plain ``tf.Module`` in a Keras 2 layer, these are its public lists.
    """
    track_again(layer)
    is_keras_3 = wraps_build(type(layer))
    kind = "variables" if is_keras_3 else "weights"
    trainable, rest = getattr(layer, f"_trainable_{kind}", None), getattr(layer, f"_non_trainable_{kind}", None)
    if trainable is None or rest is None:
        trainable = list(getattr(layer, "trainable_variables", ()))
        known = {id(variable) for variable in trainable}
        return trainable, [variable for variable in getattr(layer, "variables", ()) if id(variable) not in known]
    if is_keras_3:
        return list(trainable), list(rest)
    alone = frozen_alone(layer)
    kept = {id(variable) for variable in alone}
    return [*trainable, *alone], [variable for variable in rest if id(variable) not in kept]


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
    cls = type(layer)  # asking the layer itself for what it lacks is slow on torch
    flatten = getattr(cls, "_flatten_modules", None) or getattr(cls, "_flatten_layers", None)
    return list(flatten(layer, recursive=False, include_self=False)) if flatten is not None else []


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


#: The lists of a layer's own weights on Keras 2: 2.12 to tf_keras 2.21.
_LISTS_2 = ("_trainable_weights", "_non_trainable_weights")


def has_another_owner(layer: Any, variable: Any) -> bool:
    """Whether another Keras 2 layer tracks a variable: one of its lists of weights holds it.

    The garbage collector finds that list: a variable does not know its layer, and the layer may be anywhere.
    """
    lists = [held for held in gc.get_referrers(variable) if type(held) is list]
    owners = gc.get_referrers(*lists) if lists else []
    for owner in owners:
        names = owner if type(owner) is dict else getattr(owner, "__dict__", {})
        if names is not vars(layer) and any(
            held is each for name in _LISTS_2 for each in lists if (held := names.get(name)) is not None
        ):
            return True
    return False


@contextlib.contextmanager
def tracking_attributes(layer: Any) -> Iterator[None]:
    """A block in which a layer tracks attributes that are set, also where Keras 2 has switched that off.

    ``_self_setattr_tracking`` of TensorFlow: Keras 2.12 to tf_keras 2.21, and Keras 3 on TensorFlow.
    """
    before = vars(layer).get("_self_setattr_tracking")
    if before is not False:
        yield
        return
    layer._self_setattr_tracking = True
    try:
        yield
    finally:
        layer._self_setattr_tracking = before


def keep_out(layer: Any, wanted: Callable[[Any], bool]) -> None:
    """Makes Keras 2 track only those of a layer's own weights for which `wanted` is true."""
    for name in _LISTS_2:
        held = getattr(layer, name)
        if not all(map(wanted, held)):
            held[:] = filter(wanted, held)


#: The attribute of a Keras 3 layer with the object that tracks its weights: 3.0.0 to nightly.
TRACKER = "_tracker"


def watch_when_locked(layer: Any, tracker: Any, check: Callable[[Any, Any], None]) -> None:
    """Calls `check(layer, value)` for each value that is put into a list or dict of a locked layer.

    ``Tracker.track``, which Keras's lists and dicts call: 3.0.0 to nightly.
    """
    tracker.track = _Watch(layer, tracker, check).track


class _Watch:
    """Replaces ``track`` of a tracker by a bound method: ``copy.deepcopy`` of a layer binds it to a copy of this."""

    def __init__(self, layer: Any, tracker: Any, check: Callable[[Any, Any], None]) -> None:
        self.layer, self.tracker, self.check = layer, tracker, check
        self.track_as_ever = tracker.track

    def track(self, value: Any) -> Any:
        if self.tracker.locked:
            if "add_to_store" in vars(self.tracker) and is_being_constructed(self.layer):
                return self.track_as_ever(value)
            self.check(self.layer, value)
        return self.track_as_ever(value)
