"""``watched_builds``: notices, at each call of a layer, that Keras has skipped the layer's ``build()``."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from keras_buildfix._keras.built import build_has_run
from keras_buildfix._keras.classes import build_owner, builtin_layers, loaded_layer_bases
from keras_buildfix._keras.graphs import not_for_autograph
from keras_buildfix._keras.marking import marks_unconditionally
from keras_buildfix.building.after_import import AfterImport
from keras_buildfix.building.skipped import SkippedBuild, skipped_build

_CALL = "__call__"
_lock = threading.RLock()
_watching: list[list[SkippedBuild]] = []
_replaced: dict[type, tuple[Any, Any]] = {}  # class: our `__call__`, and its own; None if it inherited it


@contextlib.contextmanager
def watched_builds() -> Iterator[list[SkippedBuild]]:
    """A block with a list, which gets one finding for each layer that is called although its ``build`` never ran.

    Only built-ins that make Keras skip a ``build`` are watched: dozens on Keras 3.6 to 3.9, three or fewer on others.
    A Keras that is imported inside the block is watched too. Blocks may nest.

    Examples:
        >>> import keras
        >>> from keras_buildfix.building.watching import watched_builds
        >>> with watched_builds() as found:
        ...     _ = keras.layers.Dense(2)(keras.Input((3,)))
        >>> found
        []
    """
    found: list[SkippedBuild] = []
    with _lock:
        _watching.append(found)
        if _hook not in sys.meta_path:
            sys.meta_path.insert(0, _hook)
    try:
        _watch_loaded()
        yield found
    finally:
        with _lock:
            _watching[:] = [other for other in _watching if other is not found]
            if not _watching:
                _stop()


def _stop() -> None:
    if _hook in sys.meta_path:
        sys.meta_path.remove(_hook)
    while _replaced:
        cls, (ours, before) = _replaced.popitem()
        if vars(cls).get(_CALL) is not ours:  # somebody else has replaced it since: it is not ours to remove
            continue
        if before is None:
            delattr(cls, _CALL)
        else:
            setattr(cls, _CALL, before)


def _watch_loaded() -> None:
    with _lock:
        if not _watching:  # the block ended while a Keras was being imported
            return
        for base in loaded_layer_bases():
            for cls in builtin_layers(base):
                if cls not in _replaced and marks_unconditionally(cls):
                    own = vars(cls).get(_CALL)
                    _replaced[cls] = _watched_call(cls, own), own
                    setattr(cls, _CALL, _replaced[cls][0])


def _watched_call(cls: Any, own: Callable[..., Any] | None) -> Callable[..., Any]:
    """A ``__call__`` for a built-in that does what its own or inherited one does, and then notes a skipped build."""

    @functools.wraps(cls.__call__)
    def call_and_note(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        try:
            return own(self, *args, **kwargs) if own is not None else super(cls, self).__call__(*args, **kwargs)
        finally:
            _note(self)

    not_for_autograph(call_and_note)
    return call_and_note


def _note(layer: Any) -> None:
    # `built` is missing where a constructor did not call the one above: Keras has its own error for that.
    if getattr(layer, "built", False) and build_owner(type(layer)) is not None and not build_has_run(layer):
        finding = skipped_build(layer)
        if finding is not None:
            for found in list(_watching):
                if finding not in found:
                    found.append(finding)


_hook = AfterImport(_watch_loaded)
