"""The groups of a ``.weights.h5`` or ``.keras``: the weights and groups in each, and what in them is no weight."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from keras_buildfix._entries import Entries, Entry
from keras_buildfix.weight_names import kind_of

#: Under these names Keras itself files what is no weight, on one release or another.
_STATE = ("optimizer", "metrics", "loss_tracker", "compile_metrics", "compile_loss", "seed_generator")
#: Names that metrics and optimizers have in users' models; their content has to look like it too.
_METRIC_BY_HABIT = re.compile(
    r"(.*_)?(metrics?|tracker|loss|accuracy|acc|mean|sum|mean_metric_wrapper|error|score|crossentropy|hinge)(_\d+)?"
)
_THRESHOLDS_BY_HABIT = re.compile(r"(.*_)?(precision|recall|auc|(true|false)_(positives|negatives))(_at_\w+)?(_\d+)?")
_OPTIMIZER_BY_HABIT = re.compile(r"(.*_)?(optimizer|optim|opt)(_\w+)?|(adam|sgd|rmsprop)\w*")


@dataclass(eq=False)
class Group:
    """A group of the file: the weights of a layer (or nothing), and the groups in it.

    Attributes:
        name: What the group is called: the attribute that holds the layer; in a list, the class and a number.
        layer_name: What the layer was called, where the file says so.
        given_name: The same, if somebody gave it; in a list or dict, where a name that Keras makes up tells the class.
        weights: The layer's own weights, by position or name.
        groups: The groups in it, by their names.
    """

    name: str = ""
    layer_name: str | None = None
    given_name: str | None = None
    weights: dict[str, Entry] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    def entries(self) -> list[Entry]:
        """The weights in it and below."""
        return [*self.weights.values(), *(entry for group in self.groups.values() for entry in group.entries())]

    @property
    def kind(self) -> str:
        """In a list or dict: the class of the layer, as Keras 2 and 3 both write it."""
        return kind_of(self.name)


def parse(entries: Entries) -> Group:
    """The groups that entries with places as names lie in."""
    root = Group()
    for name, entry in entries.items():
        path = name.split("/")
        at = len(path) - 1 - path[::-1].index("vars", 1)
        places, names = entry.name.split("/")[:at], entry.layer_names
        if len(names) != at:  # not noted, or renamed to a place that is deeper or less deep
            places, names = path[:at], (None,) * at
        group = root
        for part, place, layer_name in zip(path[:at], places, names):
            group = group.groups.setdefault(part, Group(part))
            if layer_name is not None:
                group.layer_name = layer_name
                group.given_name = layer_name if kind_of(layer_name) != kind_of(place) else None
        group.weights["/".join(path[at + 1 :])] = entry
    return root


def is_state(group: Group) -> bool:
    """Whether a group holds no weights but a seed, metrics, or an optimizer's state, as its name tells."""
    name, entries = group.name.lstrip("_"), group.entries()
    if has_name_of_state(group):
        return True
    if all("seed_generator" in entry.name.split("/") for entry in entries):
        return True
    if _OPTIMIZER_BY_HABIT.fullmatch(name):  # its first variable counts the steps
        first = group.weights.get("0")
        return first is not None and first.shape == () and first.dtype in ("int32", "int64", "uint32")
    if group.groups:
        return not group.weights and all(is_state(each) for each in group.groups.values())
    if _THRESHOLDS_BY_HABIT.fullmatch(name):
        return all(len(entry.shape) < 2 for entry in entries)
    return bool(_METRIC_BY_HABIT.fullmatch(name)) and all(entry.shape == () for entry in entries)


def has_name_of_state(group: Group) -> bool:
    """Whether a group has a name under which Keras itself files metrics, an optimizer or a seed."""
    return group.name.lstrip("_") in _STATE


def may_be_seed(group: Group) -> bool:
    """Whether what a group holds looks like the state of a random generator; so may a weight."""
    return all(entry.shape == (2,) and entry.dtype in ("uint32", "int32", "int64") for entry in group.entries())


def without_state(entries: Entries) -> dict[str, Entry]:
    """The entries that are weights, as far as the places in the file tell."""
    found: set[int] = set()
    waiting = [parse(entries)]
    while waiting:
        group = waiting.pop()
        found.update(map(id, group.weights.values()))
        waiting += [each for each in group.groups.values() if not is_state(each)]
    return {name: entry for name, entry in entries.items() if id(entry) in found}
