"""Finds which of a layer's own weights its ``save_own_variables`` writes and its ``load_own_variables`` reads.

It runs these methods on a stand-in for the layer. The stand-in has the layer's attributes and notes which
weights the methods ask for. Nothing is written to a file, and no weight changes.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import belongs_to_keras, layer_base, package_of
from keras_buildfix._keras.saving import SAVING, saving_methods, without_count_check
from keras_buildfix._keras.tracking import own_weights


@dataclass
class OwnSaving:
    """What happens to the weights of a layer when Keras saves it and loads it again.

    Attributes:
        stored: The values that are written, by key; in a class with a mixin of ours, those that the classes
            after the mixin write.
        weight_of: By key, the weight that is written unchanged.
        own: The weights that the layer itself made, in the order in which ``Layer`` writes them.
        unsaved: Those that are not written.
        unread: Those that are written but not read back.
        keys: All keys that are written.
        written: All values that are written.
        by_mixin: Whether saving reaches a mixin of ours, which writes the unsaved weights.
        asked: By key, the weight to which a built-in's own ``load_own_variables`` assigns the value, if any weight
            is unsaved.
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
        """A version with the keys that the built-in's own load reads, if its save writes fewer than these.

        This happens on 3.15 with Dense and EinsumDense of the modes "gptq" and "awq": the load reads ``kernel_zero``.
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
        """Whether ``Layer`` itself would write the same: every weight, with its place as the key."""
        written = {key: id(variable) for key, variable in self.weight_of.items()}
        return written == {str(at): id(variable) for at, variable in enumerate(self.own)} and len(self.keys) == len(
            self.own
        )


def saves_by_hand(layer: Any) -> type | None:
    """The nearest class that has a ``save_own_variables`` of its own; None if it is the one of ``Layer``."""
    return _owner(layer, 0)


def loads_by_hand(layer: Any) -> type | None:
    """The nearest class that has a ``load_own_variables`` of its own; None if it is the one of ``Layer``."""
    return _owner(layer, 1)


def is_by_users_hand(layer: Any) -> bool:
    """Whether a user's class saves or loads the layer's own weights: then only its code knows the keys."""
    owners = [saves_by_hand(layer), loads_by_hand(layer)]
    return any(owner is not None and not belongs_to_keras(owner) for owner in owners)


def own_saving(layer: Any) -> OwnSaving:
    """Finds what happens to each weight of a layer itself; the layers in it do not count.

    Raises:
        Exception: What the layer's ``save_own_variables`` raises.
    """
    base = layer_base(type(layer))
    assert base is not None
    own = [variable for variables in own_weights(layer) for variable in variables]
    save, load = saving_methods(base)
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
    if owner is not None and belongs_to_keras(owner) and saves_by_hand(layer) is None:
        unread = _unread(layer, load, own, everything)  # a class with its own save also has the load that fits it
    known = {id(variable): variable for variable in own}
    weight_of = {key: known[id(value)] for key, value in stored.items() if id(value) in known}
    asked = _asked(layer, load, own) if unsaved and owner is not None and belongs_to_keras(owner) else {}
    written = list(everything.values())
    return OwnSaving(stored, weight_of, own, unsaved, unread, set(everything), written, by_mixin, asked)


def is_stand_in(layer: object) -> bool:
    """Whether a layer is a stand-in that this module made: a mixin of ours then adds nothing to what is saved."""
    return isinstance(layer, _StandIn)


def note_stored(stand_in: Any, stored: dict[str, Any]) -> None:
    """Tells a stand-in what the classes after a mixin of ours write."""
    object.__getattribute__(stand_in, "__dict__")[_WATCH].stored = stored


def _saved(layer: Any, save: str, own: list[Any]) -> tuple[_Watch, dict[str, Any]]:
    """What a layer's ``save_own_variables`` asks for, and what it writes."""
    watch = _Watch(own)
    everything: dict[str, Any] = {}
    try:
        getattr(_stand_in(layer, watch), save)(everything)
    except Exception:
        if wraps_build(type(layer)):
            raise
        return _saved_in_memory(layer, save, own)
    return watch, everything


def _saved_in_memory(layer: Any, save: str, own: list[Any]) -> tuple[_Watch, dict[str, Any]]:
    """What ``_saved`` returns, from an HDF5 file in memory: a Keras 2 layer may use methods of h5py that dicts lack."""
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
#: Attributes that each class has of its own, and that must not be copied to another class.
_OF_EACH_CLASS = ("__dict__", "__weakref__", "__slots__", "__module__", "__doc__", "__new__", "__init_subclass__")


@dataclass
class _Watch:
    """Notes what a method asks for while it saves or loads a stand-in."""

    own: list[Any]
    stored: dict[str, Any] | None = None
    asked_for: set[int] = field(default_factory=set)
    in_lists: set[int] = field(default_factory=set)
    replaced: dict[int, Any] | None = None

    def __post_init__(self) -> None:
        self.ids = {id(variable) for variable in self.own}

    def note(self, value: Any, frame: FrameType) -> Any:
        """Notes that a value was asked for, and returns what the method gets."""
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
        """The weights that are parameters of a torch module (`TorchModuleWrapper`), which saves them itself."""
        module = getattr(getattr(sys.modules.get("torch"), "nn", None), "Module", None)
        if module is None or not isinstance(value, module) or layer_base(type(value)) is not None:
            return set()
        parameters = {id(parameter) for parameter in value.parameters()}
        return {id(variable) for variable in self.own if id(variable.value) in parameters}

    def unsaved(self, stored: dict[str, Any]) -> list[Any]:
        written = self.asked_for | {id(value) for value in stored.values()}
        if len(stored) >= len(self.own):  # so the method went through the whole list
            written |= self.in_lists
        return [variable for variable in self.own if id(variable) not in written]


def _counts(frame: FrameType | None) -> bool:
    """Whether the code that asks for a weight is about to write it.

    Keras's own code writes what it asks for, or merges it into what it writes (LoRA). So does a user's
    ``save_own_variables``. If a built-in's ``save_own_variables`` reads a user's property, such as ``kernel``, that
    property may ask for weights that are not written: it may scale the kernel by another weight.
    """
    module = frame.f_globals.get("__name__", "") if frame is not None else ""
    if package_of(module) is not None:
        return True
    while frame is not None:
        if frame.f_code.co_name in SAVING:
            return package_of(frame.f_globals.get("__name__", "")) is None
        frame = frame.f_back
    return True


class _StandIn:
    """The first base of a stand-in: it tells the watch which attributes are read, and keeps what is set.

    Its ``__class__`` is the layer's class, so that ``super()`` and ``isinstance`` accept it.
    """

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object.__getattribute__(self, "__dict__")[_KIND]
        value = super().__getattribute__(name)
        return value if name.startswith("__") else _noted(self, value, sys._getframe(1))

    def __getattr__(self, name: str) -> Any:
        above = getattr(super(), "__getattr__", None)  # torch finds its modules only through this
        if above is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return _noted(self, above(name), sys._getframe(1))

    def __setattr__(self, name: str, value: Any) -> None:
        object.__getattribute__(self, "__dict__")[name] = value


def _noted(stand_in: Any, value: Any, frame: FrameType) -> Any:
    watch: _Watch = object.__getattribute__(stand_in, "__dict__")[_WATCH]
    return watch.note(value, frame)


def _stand_in(layer: Any, watch: _Watch) -> Any:
    """Makes a stand-in for a layer.

    Its class is not a subclass of the layer's class: the user's metaclass would make such a class, and could
    register it.
    """
    kind = type(layer)
    looks = type(kind.__name__, (), {"__module__": __name__})
    attributes = {_KIND: kind, _WATCH: watch, **vars(layer)}
    for cls in reversed(kind.__mro__[:-1]):
        for name, value in vars(cls).items():
            if inspect.ismemberdescriptor(value):  # a descriptor of __slots__ reads real layers only
                with contextlib.suppress(AttributeError):  # no value yet
                    attributes[name] = getattr(layer, name)
            elif name not in _OF_EACH_CLASS:
                setattr(looks, name, value)  # one by one, so that no `__set_name__` is called with this class
    stand_in: Any = object.__new__(type(kind.__name__, (_StandIn, looks), {"__module__": __name__}))
    object.__getattribute__(stand_in, "__dict__").update(attributes)
    return stand_in


class _Unassigned:
    """Stands in for a weight: it can be read, but ``assign`` only notes the value."""

    def __init__(self, variable: Any) -> None:
        self._variable = variable
        self._given: list[Any] = []

    def assign(self, value: Any, *args: Any, **kwargs: Any) -> None:
        self._given.append(value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._variable, name)


def _given(layer: Any, load: str, own: list[Any], store: Any) -> list[list[Any]] | None:
    """The values that a built-in's ``load_own_variables`` assigns to each weight; None if it raises an error."""
    dummies = {id(variable): _Unassigned(variable) for variable in own}
    stand_in = _stand_in(layer, _Watch(own, replaced=dummies))
    with contextlib.suppress(Exception):
        getattr(stand_in, load)(store)
        return [dummies[id(variable)]._given for variable in own]
    return None


def _unread(layer: Any, load: str, own: list[Any], stored: dict[str, Any]) -> list[Any]:
    """The weights to which a built-in's load assigns nothing."""
    # After an error none counts as unread: the file may have another number of weights, or the load computes with them.
    given = _given(layer, load, own, dict(stored))
    return [variable for variable, values in zip(own, given or ()) if not values]


class _Asked(dict[str, str]):
    """A store whose value for every key is the key itself."""

    def __missing__(self, key: str) -> str:
        return key


def _asked(layer: Any, load: str, own: list[Any]) -> dict[str, Any]:
    """By key, the weight to which a built-in's load assigns the value under that key, unchanged."""
    with without_count_check(layer):
        given = _given(layer, load, own, _Asked())
    # A value that is not a key did not come from the store, like the zeros of LoRA.
    return {key: variable for variable, values in zip(own, given or ()) for key in values if isinstance(key, str)}


def _ids(variables: Iterable[Any]) -> set[int]:
    return {id(variable) for variable in variables}


def _owner(layer: Any, which: int) -> type | None:
    base = layer_base(type(layer))
    if base is None:  # a tf.Module inside a Keras 2 layer
        return None
    name = saving_methods(base)[which]
    for cls in type(layer).__mro__:
        if cls is base:
            return None
        if name in vars(cls) and not cls.__module__.startswith("keras_buildfix."):
            return cls
    return None
