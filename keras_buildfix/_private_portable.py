"""The private names of Keras that ``PortableLayerMixin`` needs: each in one function, with its versions."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

from keras_buildfix import _keras, _private, _private_precision


def is_users(cls: type) -> bool:
    """Whether a class is neither Keras's nor Python's."""
    return cls is not object and not _keras.belongs_to_keras(cls)


def outside_scratch_graphs(layer: Any) -> Any:
    """A block in which a ``build`` makes TensorFlow variables that last, also while Keras 3 traces a layer around it.

    Keras 2 (2.12 to tf_keras 2.21) does this itself, with ``tf_utils.maybe_init_scope``.
    """
    tensorflow = sys.modules.get("tensorflow")
    if not _private.wraps_build(type(layer)) or tensorflow is None or tensorflow.executing_eagerly():
        return contextlib.nullcontext()
    return tensorflow.init_scope()


def share_storage(layer: Any, variable: Any, raw: Any) -> None:
    """Makes a Keras 3 weight keep its value in a variable of the backend that exists already.

    ``_value``: 3.0.0 to nightly; Keras's own ``TorchModuleWrapper`` sets it too. ``_initialize``: 3.0.0 to nightly;
    Keras calls it after a trace, for a weight made during it. ``_torch_params``: torch, 3.0.0 to nightly.
    """
    if _private.is_initialized(variable):
        variable._value = raw
    else:

        def initialize(value: Any) -> None:
            variable._value = raw
            vars(variable).pop("_initialize", None)

        variable._initialize = initialize
    if hasattr(layer, "_torch_params"):
        layer._post_build()


def never_autocast(variable: Any) -> None:
    """Makes Keras read a weight in its own dtype. ``_maybe_autocast``: 3.0.0 to nightly, needed on 3.0 and 3.1.

    From 3.2 on ``add_weight`` takes ``autocast=False``.
    """
    if not hasattr(variable, "_maybe_autocast"):
        raise NotImplementedError("this Keras has no way to read a weight uncast")
    variable._maybe_autocast = _as_it_is


def autocast(variable: Any, value: Any) -> Any:
    """A weight's value, cast to the dtype in which Keras reads it now. ``_maybe_autocast``: 3.0.0 to nightly."""
    return variable._maybe_autocast(value)


def _as_it_is(value: Any) -> Any:
    return value


def reading_uncast(base: type) -> contextlib.AbstractContextManager[Any]:
    """A block in which Keras reads weights in their own dtype. ``AutocastScope(None)``: 3.0.0 to nightly."""
    scope: Any = _private_precision._autocasting(sys.modules[base.__module__]).AutocastScope
    return scope(None)  # type: ignore[no-any-return]


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
def tracking(layer: Any) -> Iterator[None]:
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


def inbound_nodes(layer: Any) -> list[Any]:
    """The symbolic calls of a layer. ``_inbound_nodes``: 2.12 to nightly."""
    return list(getattr(layer, "_inbound_nodes", ()))


def is_locked(layer: Any) -> bool:
    """Whether Keras refuses new weights for a layer. ``_tracker.locked``: 3.0.0 to nightly; never on Keras 2."""
    return bool(getattr(getattr(layer, "_tracker", None), "locked", False))


@contextlib.contextmanager
def unlocked(layer: Any) -> Iterator[None]:
    """A block in which Keras 3 accepts new weights for a built layer. ``_tracker.locked``: 3.0.0 to nightly."""
    locked = is_locked(layer)
    if locked:
        _private.unlock_state(layer)
    try:
        yield
    finally:
        if locked:
            layer._tracker.locked = True


#: The attribute of a Keras 3 layer with the object that tracks its weights: 3.0.0 to nightly.
TRACKER = "_tracker"


def watch(layer: Any, tracker: Any, check: Callable[[Any, Any], None]) -> None:
    """Calls `check(layer, value)` for each value that is put into a list or dict of a locked layer.

    ``Tracker.track``, which Keras's lists and dicts call: 3.0.0 to nightly.
    """
    tracker.track = _Watch(layer, tracker, check).track


class _Watch:
    """Holds the replacement of ``track``, as a bound method: ``copy.deepcopy`` binds that to the copy."""

    def __init__(self, layer: Any, tracker: Any, check: Callable[[Any, Any], None]) -> None:
        self.layer, self.tracker, self.check = layer, tracker, check
        self.track_as_ever = tracker.track

    def track(self, value: Any) -> Any:
        if self.tracker.locked:
            if "add_to_store" in vars(self.tracker) and _private._is_being_constructed(self.layer):
                return self.track_as_ever(value)
            self.check(self.layer, value)
        return self.track_as_ever(value)
