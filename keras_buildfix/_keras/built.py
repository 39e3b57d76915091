"""Finds and sets whether Keras counts a layer as built, and whether it is locked: refuses new weights and layers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from keras_buildfix._keras.frames import is_being_constructed

#: The method with which Keras locks a layer, and which ``lock_for_others`` may replace: 3.0.0 to nightly.
LOCK = "_lock_state"


def wraps_build(base: type) -> bool:
    """Whether this ``Layer`` wraps the ``build`` of each layer and then marks the layer as built: Keras 3 does.

    ``Layer._lock_state``, which the wrapper calls: 3.0.0 to nightly, not on Keras 2.
    """
    return hasattr(base, LOCK)


def lock_for_others(cls: type) -> dict[str, Callable[[Any], None]]:
    """The attribute that lets a user's constructor make state after a built-in's constructor has locked the layer.

    It is returned in a dict, by its name; the dict is empty on Keras 2, which locks nothing.
    ``Layer._lock_state``: 3.0.0 to nightly; constructors call it through ``_build_at_init`` (3.10.0 on).
    The layer is locked and built as usual. If its constructor then makes a weight or sub-layer, the layer
    is unlocked and counts as not built, like any layer that makes state in ``__init__``.
    """
    if not wraps_build(cls):
        return {}

    def _lock_state(self: Any) -> None:
        """Locks the layer's state, if it is built (keras_buildfix)."""
        if self.built:
            getattr(super(cls, self), LOCK)()
            if not build_has_run(self):
                _unlock_on_demand(self)

    return {LOCK: _lock_state}


def _unlock_on_demand(layer: Any) -> None:
    """Lets the constructor of a locked layer still make state. ``Tracker.add_to_store``: 3.0.0 to nightly."""
    tracker = layer._tracker
    add_to_store = tracker.add_to_store

    def add_from_constructor(*args: Any) -> None:
        if tracker.locked and is_being_constructed(layer):
            del tracker.add_to_store
            unlock_state(layer)
            layer.built = False
        add_to_store(*args)

    tracker.add_to_store = add_from_constructor


def lock_state(layer: Any) -> None:
    """Makes Keras note the weights of a layer that is now built, and refuse new ones.

    ``_post_build`` (the torch backend registers parameters there), ``_lock_state``: 3.0.0 to nightly.
    """
    for name in ("_post_build", LOCK):
        if hasattr(layer, name):
            getattr(layer, name)()
    vars(getattr(layer, "_tracker", layer)).pop("add_to_store", None)  # ends `_unlock_on_demand`: it stays locked


def unlock_state(layer: Any) -> None:
    """Makes Keras accept new weights and sub-layers. ``Layer._tracker``: 3.0.0 to nightly."""
    tracker = getattr(layer, "_tracker", None)
    if tracker is not None:
        tracker.locked = False  # `unlock()` does just this, but 3.0 does not have it


def forget_build(layer: Any) -> None:
    """Makes Keras forget that ``build`` ran, and its shapes, which Keras would save. See ``build_has_run``."""
    if hasattr(layer, "_build_shapes_dict"):
        layer._build_shapes_dict = None


def build_has_run(layer: Any) -> bool:
    """Whether ``build`` of a layer has run. ``_build_shapes_dict``: 3.0.0 to nightly, set after ``build``.

    On Keras 2 it is ``built``: there only a build marks a layer.
    """
    if hasattr(layer, "_build_shapes_dict"):
        return layer._build_shapes_dict is not None
    return bool(layer.built)


def is_locked(layer: Any) -> bool:
    """Whether Keras refuses new weights for a layer. ``_tracker.locked``: 3.0.0 to nightly; never on Keras 2."""
    return bool(getattr(getattr(layer, "_tracker", None), "locked", False))


@contextlib.contextmanager
def unlocked(layer: Any) -> Iterator[None]:
    """A block in which Keras 3 accepts new weights for a built layer. ``_tracker.locked``: 3.0.0 to nightly."""
    locked = is_locked(layer)
    if locked:
        unlock_state(layer)
    try:
        yield
    finally:
        if locked:
            layer._tracker.locked = True
