"""``install()``: fixes the built-in layers themselves, for layer classes that nobody can edit.

It gives the fix of ``deferred_build`` to each built-in that marks itself built. So every subclass has
it, also those defined before the call. An import hook fixes a Keras that is imported later.
``uninstall()`` takes all of it away again.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator

from keras_buildfix._blocks import block
from keras_buildfix._keras.classes import PACKAGES, builtin_layers, loaded_layer_bases
from keras_buildfix._keras.marking import marking_code
from keras_buildfix.building.after_import import AfterImport, is_initializing
from keras_buildfix.building.deferred import repairs

_lock = threading.Lock()
_replaced: list[tuple[type, str, object, object]] = []  # class, attribute, our value, the value before
_ABSENT = object()


def install() -> None:
    """Fixes every affected built-in layer of each Keras in the process, and of one imported later.

    It imports no Keras. A second call does nothing. On a Keras version that needs no repair it changes
    nothing. Layers that exist already stay as they are.

    Raises:
        RuntimeError: If it is called from inside the import of Keras, when its layers are not complete.

    Examples:
        >>> import keras_buildfix
        >>> keras_buildfix.install()
        >>> import keras
        >>> class Scaled(keras.layers.Reshape):
        ...     def build(self, input_shape):
        ...         self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        >>> Scaled((4,)).built
        False
        >>> keras_buildfix.uninstall()

    Source: see ``deferred_build``.
    """
    with _lock:
        if _hook not in sys.meta_path:
            sys.meta_path.insert(0, _hook)
    # Not under our lock: a thread that is importing Keras needs that lock in our hook, and we wait for this thread.
    for package in PACKAGES:
        _wait_for_import(package)
    _fix_loaded()


def uninstall() -> None:
    """Takes back all that ``install()`` did; does nothing if ``install()`` is not on.

    Examples:
        >>> import keras_buildfix
        >>> keras_buildfix.install()
        >>> keras_buildfix.uninstall()

    Source: see ``deferred_build``.
    """
    with _lock:
        if _hook in sys.meta_path:
            sys.meta_path.remove(_hook)
        while _replaced:
            cls, name, ours, before = _replaced.pop()
            if vars(cls).get(name) is not ours:  # somebody else has replaced it since: it is not ours to remove
                continue
            if before is _ABSENT:
                delattr(cls, name)
            else:
                setattr(cls, name, before)


@block
def installed() -> Iterator[None]:
    """A ``with`` block in which built-ins are fixed; it changes nothing inside another one or after ``install()``.

    Use it with ``with``: without it, nothing is fixed. ``install()`` fixes built-ins for good.

    Examples:
        >>> import keras, keras_buildfix
        >>> with keras_buildfix.installed():
        ...     pass
    """
    already = is_installed()
    try:
        install()
        yield
    finally:
        if not already:
            uninstall()


def is_installed() -> bool:
    """Whether ``install()`` is on."""
    return _hook in sys.meta_path


def _fix_loaded() -> None:
    with _lock:
        if _hook not in sys.meta_path:  # uninstalled while a Keras was being imported
            return
        for base in loaded_layer_bases():
            for cls in builtin_layers(base):
                if marking_code(cls) is not None or "build" in vars(cls):
                    for name, value in repairs(cls).items():
                        _replaced.append((cls, name, value, vars(cls).get(name, _ABSENT)))
                        setattr(cls, name, value)


def _wait_for_import(package: str) -> None:
    """Waits until another thread that is importing `package` has finished."""
    module = sys.modules.get(package)
    if module is None or not is_initializing(module):
        return
    importlib.import_module(package)  # takes the module's import lock; it is in sys.modules already
    if is_initializing(module):
        raise RuntimeError(
            f"install() was called from inside the import of {package}, when its layers are not complete: "
            "call it before that import or after it."
        )


_hook = AfterImport(_fix_loaded)
