"""Finds every model in the process: once among all objects, later only among new ones."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any, NamedTuple

from keras_buildfix._keras.classes import is_model_class, layer_base, layer_classes


class _Search(NamedTuple):
    """The models that the last search found, and an object made then: a new model is younger than this object."""

    models: list[weakref.ref[Any]]
    mark: list[object]


#: The last search, for the ``Layer`` of each Keras.
_last: dict[type, _Search] = {}


def models_of(base: type) -> list[Any]:
    """Every model whose class derives from this ``Layer``.

    A layer does not know which models hold it, but the garbage collector knows all objects, by age. The first
    search takes 20 to 40 ms. A later one takes 1 ms, because only few objects are younger than the last search.
    """
    last = _last.get(base)
    mark: list[object] = [object()]
    young = _younger_than(last.mark) if last is not None else None
    found = _models_among(young, base) if young is not None else _all_models(base, last)
    models = {id(model): model for model in found}
    for known in last.models if last is not None else ():
        model = known()
        if model is not None:
            models[id(model)] = model
    _last[base] = _Search([weakref.ref(model) for model in models.values()], mark)
    return list(models.values())


def _younger_than(mark: list[object]) -> list[Any] | None:
    """All objects that were made after `mark`; None if the collector no longer keeps them apart from old ones."""
    young: list[Any] = []
    for generation in (0, 1):  # a collection moves its survivors on, so each generation is older than the one before
        young += gc.get_objects(generation=generation)
        if id(mark) in set(map(id, young)):
            return young
    return None


def _all_models(base: type, last: _Search | None) -> list[Any]:
    classes = [cls for cls in layer_classes(base) if is_model_class(cls)]
    known = {id(cls) for cls in classes}  # by id: a metaclass may have made its classes unhashable
    marks = last.mark if last is not None else []
    referrers = gc.get_referrers(*classes, *marks)  # a model refers to its class
    found = [thing for thing in referrers if id(type(thing)) in known]
    was_marked = any(thing is marks for thing in referrers)
    names_class = {id(vars(sys.modules[cls.__module__])) for cls in classes if cls.__module__ in sys.modules}
    if not was_marked and not any(id(thing) in names_class for thing in referrers):
        # Neither the last mark nor a module of Keras was found: gc.freeze() has hidden all objects from the collector.
        found += _models_among(_within_reach(), base)
    return found


def _models_among(things: list[Any], base: type) -> list[Any]:
    # Each class is asked only once: this takes 1 ms for 100,000 objects.
    kinds = dict(zip(map(id, map(type, things)), map(type, things)))
    models = {key for key, cls in kinds.items() if layer_base(cls) is base and is_model_class(cls)}
    return [thing for thing in things if id(type(thing)) in models] if models else []


def _within_reach() -> list[Any]:
    """All objects that can be reached from modules, running functions and young objects. This takes 1 s."""
    waiting: list[Any] = [sys.modules, gc.get_objects()]
    for frame in sys._current_frames().values():
        above: Any = frame
        while above is not None:
            waiting.append(dict(above.f_locals))  # on Python 3.13 it is a proxy, and the collector can't look into it
            above = above.f_back
    seen = {id(thing) for thing in waiting}
    reached = list(waiting)
    while waiting:
        found = []
        for thing in gc.get_referents(*waiting):
            if id(thing) not in seen:
                seen.add(id(thing))
                if gc.is_tracked(thing):
                    found.append(thing)
        reached += found
        waiting = found
    return reached
