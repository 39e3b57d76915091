"""Notes what a layer and the objects in it hold, attribute by attribute, and puts it back after a run."""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from typing import Any

from keras_buildfix._keras.classes import belongs_to_keras
from keras_buildfix._keras.variables import backend_of, is_variable, restore_snapshot, stored, take_snapshot

#: The types whose values never change.
_FIXED = frozenset((str, int, float, bool, bytes, complex, type(None), type, type(len), type(lambda: None)))

#: Classes of Keras whose objects are many and that no eager run changes: the graph of a functional model.
_OF_GRAPHS = frozenset(("Node", "KerasTensor", "KerasHistory", "InputSpec", "TensorSpec"))

#: Other bases whose objects hold layers, weights or lists of them: of TensorFlow and torch.
_HOLDERS = frozenset(("AutoTrackable", "Module", "_ObjectIdentityWrapper", "ObjectIdentityDictionary", "ListWrapper"))

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
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._others: list[tuple[Any, Any]] = []
        self._wrappers: list[tuple[Any, dict[str, Any]]] = []
        self._variables: list[tuple[Any, Any]] = []
        self._descends: dict[type, bool] = {}

    def add(self, layer: Any) -> None:
        """Notes what a layer holds, unless it is noted already."""
        waiting = [] if id(layer) in self._seen else [layer]
        seen = self._seen
        while waiting:
            held = waiting.pop()
            if type(held) in _FIXED or id(held) in seen:
                continue
            seen[id(held)] = held
            self._note(held, waiting)

    def restore(self) -> None:
        """Puts everything back."""
        for held, before in self._dicts:
            _restore_dict(held, before)
        for held, before in self._others:
            _restore_other(held, before)
        for held, noted in self._wrappers:
            for name, value in noted.items():
                if getattr(held, name) is not value:
                    setattr(held, name, value)
        for variable, value in self._variables:
            _restore_variable(variable, value)

    def _note(self, held: Any, waiting: list[Any]) -> None:
        kind = type(held)
        bases = kind.__mro__
        if tuple in bases:
            waiting.extend(held)
            return
        if dict in bases:
            self._note_dict(held, waiting)
        elif list in bases or set in bases or deque in bases:
            base = list if list in bases else set if set in bases else deque
            copied: Any = base.copy(held)
            self._others.append((held, copied))
            waiting.extend(copied)
        elif hasattr(kind, "__wrapped__") and isinstance(held, dict):  # TensorFlow's wrapper of a dict
            waiting.append(getattr(held, "__wrapped__"))  # noqa: B009
            self._note_wrapper(held, waiting)
            return
        elif is_variable(held):
            self._variables.append((held, take_snapshot(held)))
            return
        elif not self._descend(kind):
            return
        own = getattr(held, "__dict__", None)
        if own:
            self._note_dict(own, waiting)

    def _note_dict(self, held: dict[Any, Any], waiting: list[Any]) -> None:
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

    def _descend(self, kind: type) -> bool:
        """Whether objects of a class may hold a layer's state in their attributes."""
        if kind not in self._descends:
            names = {base.__name__ for base in kind.__mro__}
            keras = any(map(belongs_to_keras, kind.__mro__))
            self._descends[kind] = bool(names & _HOLDERS) or (keras and not names & _OF_GRAPHS)
        return self._descends[kind]


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
