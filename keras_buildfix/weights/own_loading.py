"""Loads layers whose class has a user's ``load_own_variables``: its code runs, and an error undoes everything."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence

from keras_buildfix._keras.classes import layer_base
from keras_buildfix._keras.saving import saving_methods
from keras_buildfix._keras.variables import restore_snapshot, take_snapshot
from keras_buildfix.weights.matching.match import OwnLoad


@contextlib.contextmanager
def loaded_by_own_code(
    loads: Sequence[OwnLoad], only: Collection[int] | None = None
) -> Iterator[list[tuple[OwnLoad, str]]]:
    """Lets layers load their weights with their own code, then runs the block of ``with``.

    If the block raises, all weights of these layers, and of the layers in them, get their old values back. A layer
    whose own code raises keeps its values; the block gets a list of these layers, each with the reason. With `only`,
    weights whose ``id`` is not in it keep their values.
    """
    before = [_Snapshot(load) for load in loads]
    try:
        failed: list[tuple[OwnLoad, str]] = []
        for load, snapshot in zip(loads, before):
            reason = _load(load)
            if reason is not None:
                snapshot.restore()
                failed.append((load, reason))
            elif only is not None:
                snapshot.restore_others(only)
        yield failed
    except BaseException:
        for snapshot in before:
            snapshot.restore()
        raise


def _load(load: OwnLoad) -> str | None:
    """Runs the layer's own code on its part of the file; returns why it failed, or None."""
    base = layer_base(type(load.layer))
    assert base is not None  # only layer classes have such a method
    _, method = saving_methods(base)
    store = {key: entry.read() for key, entry in load.filed.items()}
    try:
        getattr(load.layer, method)(store)
    except Exception as error:
        return f"{method} of {type(load.layer).__name__} raises {type(error).__name__}: {error}"
    return None


class _Snapshot:
    """The values of all weights in a layer, and its attributes: its own code may set those too."""

    def __init__(self, load: OwnLoad) -> None:
        weights = [variable for node in load.node.nodes() for _, variable in node.own]
        self.values = [(variable, take_snapshot(variable)) for variable in weights]
        self.attributes, self.before = vars(load.layer), dict(vars(load.layer))

    def restore(self) -> None:
        for variable, value in self.values:
            restore_snapshot(variable, value)
        for name in self.attributes.keys() - self.before.keys():
            del self.attributes[name]
        self.attributes.update(self.before)

    def restore_others(self, changed: Collection[int]) -> None:
        """Gives all other weights their old values back."""
        kept = [(variable, value) for variable, value in self.values if id(variable) not in changed]
        for variable, value in kept:
            restore_snapshot(variable, value)
