"""Notes what a layer and the objects in it hold, attribute by attribute, and puts it back after a run."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any

from keras_buildfix._keras.classes import belongs_to_keras, keras_of
from keras_buildfix._keras.variables import backend_of, is_variable, restore_snapshot, stored, take_snapshot

#: The types whose values never change.
_FIXED = frozenset((str, int, float, bool, bytes, complex, type(None), type, type(len), type(lambda: None)))

#: The containers that are restored by ``clear`` if they were empty.
_PLAIN = frozenset((list, dict, set, OrderedDict))

#: Classes of Keras whose objects are many and stay as they are: the graph of a functional model, and settings.
_STAY = frozenset(
    (
        "Node",
        "KerasTensor",
        "KerasHistory",
        "InputSpec",
        "TensorSpec",
        "SerializableDict",
        "Config",
        "CallFunctionSpec",
        "DTypePolicy",
        "Policy",
    )
)

#: Other bases whose objects hold layers, weights or lists of them: of TensorFlow and torch.
_HOLDERS = frozenset(("AutoTrackable", "Module", "ListWrapper"))

#: What TensorFlow's wrapper of a dict notes.
_OF_WRAPPERS = (
    "_self_last_wrapped_dict_snapshot",
    "_self_external_modification",
    "_self_non_string_key",
    "_self_unconditional_checkpoint_dependencies",
    "_self_unconditional_dependency_names",
)


class HeldState:
    """What some layers, and the containers, weights and helpers in them, hold now.

    ``restore`` writes the attributes back into ``__dict__``, past ``__setattr__``. There Keras, TensorFlow and torch
    note what they track, so these notes are back too. Lists, dicts and sets are changed in place.
    """

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}  # it keeps the objects, so that no other object gets their ids
        self._empty: list[Any] = []
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._others: list[tuple[Any, Any]] = []
        self._wrappers: list[tuple[Any, dict[str, Any]]] = []
        self._variables: list[tuple[Any, Any]] = []
        self._arrays: list[tuple[Any, Any]] = []
        self._kinds: dict[Any, tuple[str, bool]] = dict.fromkeys(_FIXED, ("", False))

    def add(self, layer: Any) -> None:
        """Notes what a layer holds, unless it is noted already."""
        if id(layer) in self._seen:
            return
        waiting, seen, kinds = [layer], self._seen, self._kinds
        with without_collecting():
            while waiting:
                held = waiting.pop()
                kind, has_dict = kinds.get(type(held)) or self._kind(held)
                if kind and id(held) not in seen:
                    seen[id(held)] = held
                    self._note(held, kind, waiting)
                    if has_dict:
                        self._note_dict(vars(held), waiting)

    def restore(self) -> None:
        """Puts everything back."""
        for held in self._empty:
            if held:
                held.clear()
        for held, before in self._dicts:
            _restore_dict(held, before)
        for held, before in self._others:
            _restore_other(held, before)
        for held, noted in self._wrappers:
            for name, value in noted.items():
                if getattr(held, name) is not value:
                    setattr(held, name, value)
        for array, value in self._arrays:
            if array.flags.writeable:
                array[...] = value
        for variable, value in self._variables:
            _restore_variable(variable, value)

    def _kind(self, held: Any) -> tuple[str, bool]:
        """How objects of a class are noted, and whether their attributes are noted too. Empty: they are not noted."""
        cls: Any = type(held)
        bases, names = cls.__mro__, {base.__name__ for base in cls.__mro__}
        kind, attributes = "", hasattr(cls, "__dict__") and hasattr(held, "__dict__")
        built_in = next((base for base in (tuple, dict, list, set, deque) if base in bases), None)
        if built_in is not None:
            kind = built_in.__name__
            attributes = attributes and kind != "tuple" and not belongs_to_keras(cls)  # Keras's own only add a tracker
        elif hasattr(cls, "__wrapped__") and isinstance(held, dict):  # TensorFlow's wrapper of a dict
            kind, attributes = "wrapper", False
        elif cls.__module__ == "numpy" and cls.__name__ == "ndarray":
            kind, attributes = "array", False
        elif is_variable(held):
            kind, attributes = "variable", False
        elif "ObjectIdentityDictionary" in names:
            kind, attributes = "by identity", False
        elif bool(names & _HOLDERS) or (any(map(belongs_to_keras, bases)) and not names & _STAY):
            kind = "object" if attributes else ""
            if "Initializer" in names and hasattr(keras_of(cls), "ops"):
                kind, attributes = "fixed", False  # Keras 3: its seed may be a weight, and nothing else changes
        self._kinds[cls] = kind, attributes and bool(kind)
        return self._kinds[cls]

    def _note(self, held: Any, kind: str, waiting: list[Any]) -> None:
        if kind == "dict":
            self._note_dict(held, waiting)
        elif kind in ("list", "set", "deque"):
            if not held and type(held) in _PLAIN:
                self._empty.append(held)
                return
            base: Any = {"list": list, "set": set, "deque": deque}[kind]
            copied = base.copy(held)
            self._others.append((held, copied))
            waiting.extend(copied)
        elif kind == "tuple":
            waiting.extend(held)
        elif kind == "array":
            self._arrays.append((held, held.copy()))
        elif kind == "variable":
            self._variables.append((held, take_snapshot(held)))
        elif kind == "fixed":
            waiting.extend(vars(held).values())
        elif kind == "by identity":
            self._note_dict(held._storage, waiting)  # of TensorFlow 2.12 to 2.21
        elif kind == "wrapper":
            waiting.append(held.__wrapped__)
            self._note_wrapper(held, waiting)

    def _note_dict(self, held: dict[Any, Any], waiting: list[Any]) -> None:
        if not held and type(held) in _PLAIN:
            self._empty.append(held)
            return
        copied = dict(held)
        self._dicts.append((held, copied))
        waiting.extend(copied.values())

    def _note_wrapper(self, held: Any, waiting: list[Any]) -> None:
        """Notes what TensorFlow's wrapper of a dict notes itself; its ``__dict__`` is the wrapped dict's.

        ``_self_last_wrapped_dict_snapshot`` and the others: TensorFlow 2.12 to 2.21. TensorFlow refuses to save a
        dict that differs from the snapshot.
        """
        noted = {name: getattr(held, name) for name in _OF_WRAPPERS if hasattr(held, name)}
        self._wrappers.append((held, noted))
        waiting.extend(noted.values())


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """A block without Python's garbage collector: it would look at all that we note, again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _restore_dict(held: dict[Any, Any], before: dict[Any, Any]) -> None:
    if len(held) == len(before) and all(map(_same, held.items(), before.items())):
        return
    kind: Any = OrderedDict if isinstance(held, OrderedDict) else dict
    kind.clear(held)
    for key, value in before.items():
        kind.__setitem__(held, key, value)


def _same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return one[1] is other[1] and (one[0] is other[0] or bool(one[0] == other[0]))


def _restore_other(held: Any, before: Any) -> None:
    if isinstance(held, list):
        if list.__len__(held) != len(before) or any(a is not b for a, b in zip(list.__iter__(held), before)):
            list.__setitem__(held, slice(None), before)
    elif isinstance(held, set):
        if not set.__eq__(held, before):
            set.clear(held)
            set.update(held, before)
    elif list(held) != list(before):
        deque.clear(held)
        deque.extend(held, before)


def _restore_variable(variable: Any, value: Any) -> None:
    """Gives a weight its value back, if it changed: assigning takes longer than to look."""
    held = stored(variable)
    if value is None or held is value:
        return
    backend = backend_of(variable)
    if backend == "torch":
        if held.shape == value.shape and sys.modules["torch"].equal(held.detach(), value):
            return
    elif backend == "tensorflow" and _address(take_snapshot(variable)) == _address(value) is not None:
        return  # the memory that we keep is still the variable's: TensorFlow copies what it would change under us
    restore_snapshot(variable, value)


def _address(tensor: Any) -> int | None:
    """Where a TensorFlow tensor is in the memory of the CPU; None if it is elsewhere."""
    import numpy as np

    if not hasattr(tensor, "numpy") or "CPU" not in str(getattr(tensor, "backing_device", "")):
        return None
    address: int = np.asarray(tensor).__array_interface__["data"][0]
    return address
