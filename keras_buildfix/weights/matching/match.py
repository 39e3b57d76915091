"""``Match``: which entry of a source belongs to which weight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from keras_buildfix.layer_tree.tree import LayerNode
from keras_buildfix.weight_files.entry import Entry


@dataclass(frozen=True)
class OwnLoad:
    """The part of a file that a layer reads with its class's own ``load_own_variables``."""

    layer: Any
    node: LayerNode
    filed: dict[str, Entry]

    @property
    def ids(self) -> list[int]:
        """The ``id`` of each weight that the layer itself made."""
        return [id(variable) for _, variable in self.node.own]


@dataclass
class Match:
    """The result of a search: which entry belongs to which weight of a layer.

    Attributes:
        pairs: The ``id`` of a weight -> the weight and its entry.
        unexpected: Names of entries that belong nowhere.
        ambiguous: The name of an entry -> the weights that it could mean.
        again: Further entries for a weight that has one already.
        by_order: The name of an entry that was matched only by order, although its layer has another given name
            in the source -> that name, and the name here.
        own: The parts that layers read by their own code.
    """

    pairs: dict[int, tuple[Any, Entry]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    again: list[tuple[Any, Entry]] = field(default_factory=list)
    by_order: dict[str, tuple[str, str]] = field(default_factory=dict)
    own: list[OwnLoad] = field(default_factory=list)

    def pair(self, variable: Any, entry: Entry) -> None:
        """Notes a pair. A file has a shared layer once for each place that uses it; the values should be equal."""
        if self.pairs.setdefault(id(variable), (variable, entry))[1] is not entry:
            self.again.append((variable, entry))


def match_into(match: Match, other: Match) -> None:
    """Adds the result of another search to `match`."""
    for variable, entry in other.pairs.values():
        match.pair(variable, entry)
    match.again += other.again
    match.unexpected += other.unexpected
    match.ambiguous |= other.ambiguous
    match.by_order |= other.by_order
    match.own += other.own
