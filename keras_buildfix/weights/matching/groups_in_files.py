"""The groups in a ``.weights.h5`` or ``.keras``: which weights each one has, and which entries are not weights."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from keras_buildfix.layer_tree.tree import kind_of
from keras_buildfix.weight_files.entry import Entries, Entry

#: Names under which some release of Keras stores what is not a weight.
_STATE = ("optimizer", "metrics", "loss_tracker", "compile_metrics", "compile_loss", "seed_generator")
#: Names that users like to give to metrics and optimizers. A group is one only if its content also looks like one.
_METRIC_BY_HABIT = re.compile(
    r"(.*_)?(metrics?|tracker|loss|accuracy|acc|mean|sum|mean_metric_wrapper|error|score|crossentropy|hinge)(_\d+)?"
)
_THRESHOLDS_BY_HABIT = re.compile(r"(.*_)?(precision|recall|auc|(true|false)_(positives|negatives))(_at_\w+)?(_\d+)?")
_OPTIMIZER_BY_HABIT = re.compile(r"(.*_)?(optimizer|optim|opt)(_\w+)?|(adam|sgd|rmsprop)\w*")


@dataclass(eq=False)
class Group:
    """A group in the file: the weights of a layer (or none), and further groups.

    Attributes:
        name: The group's name: the attribute that holds the layer; in a list, the class and a number.
        layer_name: The layer's name, if the file says it.
        given_name: The layer's name, if it does not come from the class as its place does: then somebody gave it.
            Use it only in a list or dict, because an attribute's place never comes from the class.
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
    """Puts entries, whose names are places, into groups as in the file, and returns the top group."""
    root = Group()
    for name, entry in entries.items():
        path = name.split("/")
        at = len(path) - 1 - path[::-1].index("vars", 1)
        places, names = entry.name.split("/")[:at], entry.layer_names
        if len(names) != at:  # the file has no names, or the entry was renamed to a place at another depth
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
    """Whether a group holds a seed, metrics, or an optimizer's state and no weights, judged by its name."""
    name, entries = group.name.lstrip("_"), group.entries()
    if has_name_of_state(group):
        return True
    if all("seed_generator" in entry.name.split("/") for entry in entries):
        return True
    if _OPTIMIZER_BY_HABIT.fullmatch(name):  # an optimizer's first variable counts the steps
        first = group.weights.get("0")
        return first is not None and first.shape == () and first.dtype in ("int32", "int64", "uint32")
    if group.groups:
        return not group.weights and all(is_state(each) for each in group.groups.values())
    if _THRESHOLDS_BY_HABIT.fullmatch(name):
        return all(len(entry.shape) < 2 for entry in entries)
    return bool(_METRIC_BY_HABIT.fullmatch(name)) and all(entry.shape == () for entry in entries)


def has_name_of_state(group: Group) -> bool:
    """Whether a group has a name under which Keras stores metrics, an optimizer or a seed."""
    return group.name.lstrip("_") in _STATE


def may_be_seed(group: Group) -> bool:
    """Whether a group's content looks like the state of a random generator (a weight may look like that too)."""
    return all(entry.shape == (2,) and entry.dtype in ("uint32", "int32", "int64") for entry in group.entries())


def without_state(entries: Entries) -> dict[str, Entry]:
    """The entries that are weights, judged by their places in the file."""
    found: set[int] = set()
    waiting = [parse(entries)]
    while waiting:
        group = waiting.pop()
        found.update(map(id, group.weights.values()))
        waiting += [each for each in group.groups.values() if not is_state(each)]
    return {name: entry for name, entry in entries.items() if id(entry) in found}
