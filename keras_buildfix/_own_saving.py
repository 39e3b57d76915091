"""Which of a layer's own weights its ``save_own_variables`` writes, and its ``load_own_variables`` reads.

Found out by running them on a stand-in for the layer, which has the layer's attributes and notes which
weights are asked for. Nothing is written to a file, and no weight is given another value.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from keras_buildfix import _keras, _private, _private_state


@dataclass
class OwnSaving:
    """What becomes of the weights of a layer when Keras saves it and loads it again.

    Attributes:
        stored: What is written, by its key: in a class with a pausing mixin, by the classes after it.
        weight_of: By key, the weight that is written just as it is.
        own: The weights that the layer itself made, in the order in which ``Layer`` writes them.
        unsaved: Those that are written nowhere.
        unread: Those that are written, but not read back.
        keys: All keys that are written.
        written: All values that are written.
        by_mixin: Whether a mixin of ours is come to, which writes what is unsaved.
        asked: By key, the weight that a built-in's own ``load_own_variables`` gives the value to, if one is unsaved.
    """

    stored: dict[str, Any]
    weight_of: dict[str, Any]
    own: list[Any]
    unsaved: list[Any]
    unread: list[Any]
    keys: set[str]
    written: list[Any]
    by_mixin: bool
    asked: dict[str, Any]

    def as_it_loads(self) -> OwnSaving:
        """The same with what the built-in's own load asks for in the place of what its save writes, if that is less.

        So it is on 3.15 with Dense and EinsumDense of the modes "gptq" and "awq": the load reads ``kernel_zero``.
        """
        unsaved, asked = _ids(self.unsaved), _ids(self.asked.values())
        whole = len(self.weight_of) == len(self.stored) and _ids(self.weight_of.values()) <= asked
        if not (whole and asked & unsaved and asked <= _ids(self.own)):
            return self
        left = [variable for variable in self.unsaved if id(variable) not in asked]
        keys = (self.keys - set(self.stored)) | set(self.asked)
        return replace(self, stored=self.asked, weight_of=self.asked, unsaved=left, keys=keys)

    @property
    def is_plain(self) -> bool:
        """Whether it is what ``Layer`` itself would write: every weight under its place."""
        written = {key: id(variable) for key, variable in self.weight_of.items()}
        return written == {str(at): id(variable) for at, variable in enumerate(self.own)} and len(self.keys) == len(
            self.own
        )


def saves_by_hand(layer: Any) -> type | None:
    """The nearest class that has a ``save_own_variables`` of its own; None if it is the plain one of every layer."""
    return _owner(layer, 0)


def loads_by_hand(layer: Any) -> type | None:
    """The nearest class that has a ``load_own_variables`` of its own; None if it is the plain one of every layer."""
    return _owner(layer, 1)


def is_by_users_hand(layer: Any) -> bool:
    """Whether a class of the user's saves or loads the layer's own weights: only its code knows which is which."""
    owners = [saves_by_hand(layer), loads_by_hand(layer)]
    return any(owner is not None and not _keras.belongs_to_keras(owner) for owner in owners)


def own_saving(layer: Any) -> OwnSaving:
    """Finds out what becomes of each weight of a layer, other than those of the layers in it.

    Raises:
        Exception: What the layer's ``save_own_variables`` raises.
    """
    base = _keras.layer_base(type(layer))
    assert base is not None
    own = [variable for variables in _private.own_weights(layer) for variable in variables]
    save, load = _private_state.saving_methods(base)
    if saves_by_hand(layer) is None:
        stored = everything = {str(at): variable for at, variable in enumerate(own)}
        unsaved, by_mixin = [], False
    else:
        watch, everything = _saved(layer, save, own)
        by_mixin = watch.stored is not None
        stored = everything if watch.stored is None else watch.stored
        unsaved = watch.unsaved(everything)
    owner = loads_by_hand(layer)
    unread: list[Any] = []
    if owner is not None and _keras.belongs_to_keras(owner) and saves_by_hand(layer) is None:
        unread = _unread(layer, load, own, everything)  # what is saved by hand is read back by the same hand
    known = {id(variable): variable for variable in own}
    weight_of = {key: known[id(value)] for key, value in stored.items() if id(value) in known}
    asked = _asked(layer, load, own) if unsaved and owner is not None and _keras.belongs_to_keras(owner) else {}
    written = list(everything.values())
    return OwnSaving(stored, weight_of, own, unsaved, unread, set(everything), written, by_mixin, asked)


def is_stand_in(layer: object) -> bool:
    """Whether a layer is but the stand-in that finds out: a mixin of ours then stands back."""
    return isinstance(layer, _StandIn)


def note_stored(stand_in: Any, stored: dict[str, Any]) -> None:
    """Notes what the classes after a mixin of ours write."""
    object.__getattribute__(stand_in, "__dict__")[_WATCH].stored = stored


def _saved(layer: Any, save: str, own: list[Any]) -> tuple[_Watch, dict[str, Any]]:
    """What a layer's ``save_own_variables`` asks for, and what it writes."""
    watch = _Watch(own)
    everything: dict[str, Any] = {}
    try:
        getattr(_stand_in(layer, watch), save)(everything)
    except Exception:
        if _private.wraps_build(type(layer)):
            raise
        return _saved_in_memory(layer, save, own)
    return watch, everything


def _saved_in_memory(layer: Any, save: str, own: list[Any]) -> tuple[_Watch, dict[str, Any]]:
    """The same in an HDF5 file in memory: a layer of Keras 2 may use more of h5py than what a dict has."""
    import h5py

    watch = _Watch(own)
    everything: dict[str, Any] = {}

    def note(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset):
            everything[name] = found[()]

    with h5py.File("in memory only", "w", driver="core", backing_store=False) as file:
        getattr(_stand_in(layer, watch), save)(file.create_group("vars"))
        file["vars"].visititems(note)
    return watch, everything


_WATCH, _KIND = "keras_buildfix_watch", "keras_buildfix_kind"
#: What each class has for itself.
_OF_EACH_CLASS = ("__dict__", "__weakref__", "__slots__", "__module__", "__doc__", "__new__", "__init_subclass__")
#: The names of the methods that write, on every Keras.
_SAVING = ("save_own_variables", "_save_own_variables")


@dataclass
class _Watch:
    """What is asked for while a layer is saved."""

    own: list[Any]
    stored: dict[str, Any] | None = None
    asked_for: set[int] = field(default_factory=set)
    in_lists: set[int] = field(default_factory=set)
    replaced: dict[int, Any] | None = None

    def __post_init__(self) -> None:
        self.ids = {id(variable) for variable in self.own}

    def note(self, value: Any, frame: FrameType) -> Any:
        """Notes a value that was asked for, and says what is to be handed out."""
        if id(value) in self.ids:
            if self.replaced is not None:
                return self.replaced[id(value)]
            if _counts(frame):
                self.asked_for.add(id(value))
        elif isinstance(value, (dict, list, tuple)):
            items: Iterable[Any] = value.values() if isinstance(value, dict) else value
            inside = [item for item in items if id(item) in self.ids]
            if inside and self.replaced is not None and not isinstance(value, dict):
                return [self.replaced.get(id(item), item) for item in value]
            self.in_lists.update(map(id, inside))
        else:
            self.asked_for |= self.in_torch_module(value)
        return value

    def in_torch_module(self, value: Any) -> set[int]:
        """The weights that are parameters of a module of torch (`TorchModuleWrapper`), which saves them itself."""
        module = getattr(getattr(sys.modules.get("torch"), "nn", None), "Module", None)
        if module is None or not isinstance(value, module) or _keras.layer_base(type(value)) is not None:
            return set()
        parameters = {id(parameter) for parameter in value.parameters()}
        return {id(variable) for variable in self.own if id(variable.value) in parameters}

    def unsaved(self, stored: dict[str, Any]) -> list[Any]:
        written = self.asked_for | {id(value) for value in stored.values()}
        if len(stored) >= len(self.own):  # all of a list was gone through
            written |= self.in_lists
        return [variable for variable in self.own if id(variable) not in written]


def _counts(frame: FrameType | None) -> bool:
    """Whether the code that asks for a weight is about to write it.

    Keras's is (it merges those of LoRA), and a ``save_own_variables``; not a property of the user's that a
    built-in's ``save_own_variables`` goes through, as a ``kernel`` that is scaled by another weight.
    """
    module = frame.f_globals.get("__name__", "") if frame is not None else ""
    if _keras.package_of(module) is not None:
        return True
    while frame is not None:
        if frame.f_code.co_name in _SAVING:
            return _keras.package_of(frame.f_globals.get("__name__", "")) is None
        frame = frame.f_back
    return True


class _StandIn:
    """Put before what a layer's class has: says to a watch which of its attributes are asked for, keeps what is set.

    It says that it is of the layer's class, so that ``super()`` and ``isinstance`` take it for one.
    """

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object.__getattribute__(self, "__dict__")[_KIND]
        value = super().__getattribute__(name)
        return value if name.startswith("__") else _noted(self, value, sys._getframe(1))

    def __getattr__(self, name: str) -> Any:
        above = getattr(super(), "__getattr__", None)  # torch keeps modules out of sight
        if above is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return _noted(self, above(name), sys._getframe(1))

    def __setattr__(self, name: str, value: Any) -> None:
        object.__getattribute__(self, "__dict__")[name] = value


def _noted(stand_in: Any, value: Any, frame: FrameType) -> Any:
    watch: _Watch = object.__getattribute__(stand_in, "__dict__")[_WATCH]
    return watch.note(value, frame)


def _stand_in(layer: Any, watch: _Watch) -> Any:
    """A stand-in for a layer, but no instance: a subclass would be made by the user's metaclass, and be known to it."""
    kind = type(layer)
    looks = type(kind.__name__, (), {"__module__": __name__})
    attributes = {_KIND: kind, _WATCH: watch, **vars(layer)}
    for cls in reversed(kind.__mro__[:-1]):
        for name, value in vars(cls).items():
            if inspect.ismemberdescriptor(value):  # of __slots__, which reads layers only
                with contextlib.suppress(AttributeError):  # no value yet
                    attributes[name] = getattr(layer, name)
            elif name not in _OF_EACH_CLASS:
                setattr(looks, name, value)  # one by one: what has a `__set_name__` is not told of this class
    stand_in: Any = object.__new__(type(kind.__name__, (_StandIn, looks), {"__module__": __name__}))
    object.__getattribute__(stand_in, "__dict__").update(attributes)
    return stand_in


class _Unassigned:
    """A weight that can be read but keeps its value; notes what it was to be given."""

    def __init__(self, variable: Any) -> None:
        self._variable = variable
        self._given: list[Any] = []

    def assign(self, value: Any, *args: Any, **kwargs: Any) -> None:
        self._given.append(value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._variable, name)


def _given(layer: Any, load: str, own: list[Any], store: Any) -> list[list[Any]] | None:
    """What a built-in's ``load_own_variables`` gives each weight from a store; None if it does not run to its end."""
    dummies = {id(variable): _Unassigned(variable) for variable in own}
    stand_in = _stand_in(layer, _Watch(own, replaced=dummies))
    with contextlib.suppress(Exception):
        getattr(stand_in, load)(store)
        return [dummies[id(variable)]._given for variable in own]
    return None


def _unread(layer: Any, load: str, own: list[Any], stored: dict[str, Any]) -> list[Any]:
    """The weights that a built-in's load gives no value to."""
    # An error says nothing of what would be read: the count differs, or more is done with the values.
    given = _given(layer, load, own, dict(stored))
    return [variable for variable, values in zip(own, given or ()) if not values]


class _Asked(dict[str, str]):
    """A store that has for every key the key itself."""

    def __missing__(self, key: str) -> str:
        return key


def _asked(layer: Any, load: str, own: list[Any]) -> dict[str, Any]:
    """By key, the weight that a built-in's load gives what it finds under that key, just as it is."""
    with _private_state.without_count_check(layer):
        given = _given(layer, load, own, _Asked())
    # A value that does not come out of the store, as the zeros of LoRA, is no key.
    return {key: variable for variable, values in zip(own, given or ()) for key in values if isinstance(key, str)}


def _ids(variables: Iterable[Any]) -> set[int]:
    return {id(variable) for variable in variables}


def _owner(layer: Any, which: int) -> type | None:
    base = _keras.layer_base(type(layer))
    if base is None:  # a tf.Module in a layer of Keras 2
        return None
    name = _private_state.saving_methods(base)[which]
    for cls in type(layer).__mro__:
        if cls is base:
            return None
        if name in vars(cls) and not cls.__module__.startswith("keras_buildfix."):
            return cls
    return None
