"""The names under which a file holds the extra weights of a layer: chosen when it is saved, found when it is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keras_buildfix._keras.tracking import own_weights
from keras_buildfix._keras.variables import assign_value, shape_of
from keras_buildfix.extra_weights.trial_saving import OwnSaving
from keras_buildfix.layer_tree.tree import name_of, unique


def extra_keys(layer: Any, saving: OwnSaving) -> dict[int, str]:
    """By the ``id`` of each weight, the key under which it is saved; for an extra weight, a number or its name."""
    keys = {id(variable): key for key, variable in saving.weight_of.items()}
    return {**keys, **(_numbers(saving) if _is_in_plain_order(saving) else _names(layer, saving))}


def _names(layer: Any, saving: OwnSaving) -> dict[int, str]:
    taken = dict.fromkeys(saving.keys, 0)
    keys = {}
    for variable in saving.unsaved:
        name = name_of(layer, variable)
        keys[id(variable)] = unique(f"weight_{name}" if name.isdigit() else name, taken)
    return keys


def _numbers(saving: OwnSaving) -> dict[int, str]:
    return {id(variable): str(at) for at, variable in enumerate(saving.unsaved, len(saving.stored))}


def _is_in_plain_order(saving: OwnSaving) -> bool:
    """Whether the extra weights, put after the others, are where ``Layer`` itself would write them."""
    first = [saving.weight_of.get(str(at)) for at in range(len(saving.stored))]
    in_order = [id(variable) for variable in [*first, *saving.unsaved]]
    return in_order == [id(variable) for variable in saving.own] and saving.keys == set(saving.stored)


def in_plain_order(layer: Any, store: Any) -> Any:
    """A file that holds extra weights by name, in the form that ``Layer`` expects: each weight by its place.

    Such a file comes from a Keras version whose built-in has its own code for saving, and is read by a version
    whose built-in has none.
    """
    own = [variable for variables in own_weights(layer) for variable in variables]
    there = _names_in(store)
    taken: dict[str, int] = {}
    names = [unique(name_of(layer, variable), taken) for variable in own]
    named = [name for name in names if name in there and not name.isdigit()]
    if not named or there != {*named, *(str(at) for at in range(len(own) - len(named)))}:
        return store
    places = iter(range(len(own)))
    return _Renamed(store, {str(at): name if name in named else str(next(places)) for at, name in enumerate(names)})


def _names_in(store: Any) -> set[str]:
    """The names in a mapping, or in a store of Keras 3, which is not a mapping and has no iterator."""
    return {name.decode() if isinstance(name, bytes) else str(name) for name in list(store.keys())}


class Found:
    """Finds a layer's extra weights in a file. `rest` is what the built-in loads, under the keys that it expects."""

    def __init__(self, layer: Any, saving: OwnSaving, store: Any, taken_on: bool) -> None:
        self.taken_on = taken_on  # whether a user's class loads weights too, so that unknown keys may be its own
        self.layer, self.saving, self.store = layer, saving, store
        lost = {id(variable) for variable in [*saving.unsaved, *saving.unread]}
        self.ours = [variable for variable in saving.own if id(variable) in lost]
        self.keys_there = _names_in(store)
        unread = {id(variable) for variable in saving.unread}
        self.expected = [key for key in saving.stored if id(saving.weight_of.get(key)) not in unread]
        self.key_of = self._key_of()
        self.rest = self._rest()

    def assign(self) -> None:
        """Assigns the values of the extra weights: all of them, or none if anything is wrong."""
        if self.missing:
            raise ValueError(self._missing_text())
        values = {}
        for variable in self.ours:
            value = self.store[self.key_of[id(variable)]]
            there, here = tuple(value.shape), shape_of(variable)
            if there != here:
                raise ValueError(
                    f"{self._title}: weight {self._name(variable)!r} has the shape {here}, but its value in "
                    f"the file, {self.key_of[id(variable)]!r}, has {there}."
                )
            values[id(variable)] = value
        import numpy as np

        for variable in self.ours:
            assign_value(variable, np.array(values[id(variable)]))

    @property
    def missing(self) -> list[Any]:
        """The extra weights that the file does not have."""
        return [variable for variable in self.ours if self.key_of.get(id(variable)) not in self.keys_there]

    def _key_of(self) -> dict[int, str]:
        """The key of each extra weight in this file: the one that the mixin writes now, its name, or its place."""
        names = {**extra_keys(self.layer, self.saving), **_names(self.layer, self.saving)}
        count = len(self.expected) + len(self.ours)
        ways = [extra_keys(self.layer, self.saving), names]
        if self.keys_there == {str(at) for at in range(count)}:
            known = {id(variable): key for key, variable in self.saving.weight_of.items()}
            if len(known) == len(self.saving.stored) and count == len(self.saving.own):
                # Plain Keras before 3.2 wrote them as `Layer` does.
                return {id(variable): str(at) for at, variable in enumerate(self.saving.own)}
            ways.append(_numbers(self.saving))
        for keys in ways:
            if all(keys.get(id(variable)) in self.keys_there for variable in self.ours):
                return keys
        return ways[0]

    def _rest(self) -> Mapping[str, Any]:
        """The entries that the built-in loads itself, under the keys that it writes."""
        ours = {self.key_of.get(id(variable)) for variable in self.ours}
        keys = {key: key for key in self.keys_there if key not in ours}
        moved = {
            key: self.key_of[id(variable)]
            for key, variable in self.saving.weight_of.items()
            if key in self.expected and self.key_of.get(id(variable), key) != key
        }
        if moved:
            keys = {key: moved.get(key, key) for key in self.expected}
        lacking = [key for key in self.expected if keys.get(key) not in self.keys_there]
        known = self.saving.keys | set(self.expected)
        unknown = [] if self.taken_on else sorted(set(keys) - known)
        if lacking or unknown:
            raise ValueError(
                f"{self._title}: its {len(self.saving.own)} weights "
                f"({', '.join(repr(self._name(variable)) for variable in self.saving.own)}) are saved under "
                f"{sorted({*self.expected, *extra_keys(self.layer, self.saving).values()})}, "
                f"but the file has {sorted(self.keys_there)}. It was written by another class, or with other arguments."
            )
        return _Renamed(self.store, keys)

    @property
    def _title(self) -> str:
        return f"Layer {self.layer.name!r} ({type(self.layer).__name__})"

    def _name(self, variable: Any) -> str:
        return name_of(self.layer, variable)

    def _missing_text(self) -> str:
        names = ", ".join(f"{self._name(v)!r} {shape_of(v)}" for v in self.missing)
        return (
            f"{self._title}: the file has no value for {names}, only {sorted(self.keys_there)}. Plain Keras "
            "leaves such extra weights of a built-in out of its files. The layer's other weights have been loaded. "
            "To keep the present values of these, load with keras_buildfix.load_weights(model, file, strict=False) or "
            "model.load_weights(file, skip_mismatch=True), and save again."
        )


class _Renamed(Mapping[str, Any]):
    """Some entries of a store, under other keys."""

    def __init__(self, store: Any, keys: Mapping[str, str]) -> None:
        self._store, self._keys = store, keys

    def __getitem__(self, key: str) -> Any:
        return self._store[self._keys[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
