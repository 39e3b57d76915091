"""Pairs the weights of two files that name them differently: one by places, the other by names.

Weights of one layer stand together in both files, in the same order: ``layers/dense/vars/0`` and ``1`` in one,
``stem/kernel`` and ``stem/bias`` in the other. So we pair groups by their values and shapes, then their weights.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from keras_buildfix.layer_tree.tree import kind_of
from keras_buildfix.weight_files.entry import Entries, Entry, is_structural

Groups = dict[str, list[Entry]]
Shapes = tuple[tuple[int, ...], ...]


@dataclass
class Pairing:
    """The result: which weight of the first side is which of the second.

    Attributes:
        pairs: Weights of the first side, each with its partner on the second.
        equal: Names on the first side of pairs that are known to be equal, byte by byte.
        unsure: A group of the first side that could be paired in several ways -> those groups of the second.
        left: Weights that only the first side has.
        left_there: Weights that only the second side has.
    """

    pairs: list[tuple[Entry, Entry]] = field(default_factory=list)
    equal: set[str] = field(default_factory=set)
    unsure: dict[str, list[str]] = field(default_factory=dict)
    left: list[Entry] = field(default_factory=list)
    left_there: list[Entry] = field(default_factory=list)


def paired(first: Entries, second: Entries, told: Callable[[Entry], None], certain: bool = False) -> Pairing:
    """Pairs the weights of two files that name them differently.

    Args:
        first: The weights of one file.
        second: The weights of the other.
        told: A function that is called with each entry after its value was read.
        certain: If True, groups that are equal in every respect are not paired, since they could be swapped.
    """
    search = _Search(first, second, told, certain)
    search.run()
    return search.found


class _Search:
    def __init__(self, first: Entries, second: Entries, told: Callable[[Entry], None], certain: bool) -> None:
        self.found, self.certain = Pairing(), certain
        self.here, self.there = _groups(first), _groups(second)
        self.structural = is_structural(first), is_structural(second)
        sides = (*self.here.items(), *self.there.items())
        self.homes = {id(entry): key for key, group in sides for entry in group}
        self.partners: set[tuple[str, str]] = set()
        forms = [Counter((each.shape, each.dtype) for each in side.values()) for side in (first, second)]
        self.values: dict[int, Hashable] = {}
        self.constant: set[Hashable] = set()
        for entry in (*first.values(), *second.values()):
            form = entry.shape, entry.dtype
            digest: Hashable = id(entry)  # no entry of the other side can be equal
            if all(form in known for known in forms):
                digest, constant = _digest(entry)
                if constant:
                    self.constant.add((form, digest))
            self.values[id(entry)] = (form, digest)
            told(entry)
        ours, theirs = ({_shapes(group) for group in side.values()} for side in (self.here, self.there))
        self.regular = ours & theirs
        orders = [{tuple(sorted(form)) for form in forms - self.regular} for forms in (ours, theirs)]
        #: Whether both sides have the weights of a layer in the same order; other libraries sort them by name.
        self.ordered = not orders[0] & orders[1]

    def run(self) -> None:
        self.given_names()
        here, there = self.side(self.here, True), self.side(self.there, True)
        self.alike_groups(here, there)
        while self.groups_that_share_a_value(here, there):
            pass
        self.groups_of_a_form(here, there)
        here, there = self.side(self.here, False), self.side(self.there, False)
        self.crossing_groups(here, there)
        self.groups_within_groups(here, there)
        self.note_unsure()
        self.found.left, self.found.left_there = _all(self.here), _all(self.there)
        self.found.equal = {one.name for one, other in self.found.pairs if self.value(one) == self.value(other)}

    def side(self, groups: Groups, regular: bool) -> Groups:
        """If `regular`, the groups whose shapes the other side has too; else those that it groups differently."""
        forms = self.regular if self.ordered else set()
        return {key: group for key, group in groups.items() if (_shapes(group) in forms) is regular}

    def value(self, entry: Entry) -> Hashable:
        return self.values[id(entry)]

    def given_names(self) -> None:
        """Pairs layers of equal names, if somebody gave the name or both files have one layer of its kind."""
        ours, theirs = (
            {key: name for key, group in side.items() if (name := _layer_name(key, group, structural))}
            for side, structural in zip((self.here, self.there), self.structural)
        )
        kinds = [Counter(kind_of(name) for name in side.values()) for side in (ours, theirs)]
        counts = [Counter(side.values()) for side in (ours, theirs)]
        where = {name: key for key, name in theirs.items()}
        for key, name in ours.items():
            if counts[0][name] == counts[1][name] == 1:
                places = [place for place, structural in zip((key, where[name]), self.structural) if structural]
                if any(_is_given(place, name) for place in places) or all(kind[kind_of(name)] == 1 for kind in kinds):
                    self.members(key, where[name], one_layer=True)

    def alike_groups(self, here: Groups, there: Groups) -> None:
        """Pairs groups with equal values; among several equal groups any pairing is right."""
        ours: dict[Hashable, list[str]] = {}
        theirs: dict[Hashable, list[str]] = {}
        for side, keys in ((here, ours), (there, theirs)):
            for key, group in side.items():
                if group:
                    keys.setdefault(tuple(map(self.value, group)), []).append(key)
        for value, keys_here in ours.items():
            keys_there = theirs.get(value, [])
            if len(keys_here) == len(keys_there) and not (self.certain and len(keys_here) > 1):
                for key, other in zip(keys_here, keys_there):
                    self.members(key, other)

    def groups_that_share_a_value(self, here: Groups, there: Groups) -> bool:
        """Pairs groups of equal shapes by a value that no other group has. Returns whether there were any."""
        links, back = self.links(here, there)
        found = [
            (key, other)
            for key, others in links.items()
            for other in others
            if len(others) == len(back[other]) == 1 and _shapes(here[key]) == _shapes(there[other])
        ]
        for key, other in found:
            self.members(key, other)
        return bool(found)

    def groups_of_a_form(self, here: Groups, there: Groups) -> None:
        """Pairs two groups if each is the only one left on its side with these shapes."""
        ours, theirs = (Counter(_shapes(group) for group in side.values()) for side in (here, there))
        last = {_shapes(group): key for key, group in there.items()}
        for key, group in here.items():
            form = _shapes(group)
            if group and ours[form] == theirs[form] == 1:
                self.members(key, last[form])

    def crossing_groups(self, here: Groups, there: Groups) -> None:
        """Pairs weights that one side has in two groups and the other in one: first by values, then by shapes."""
        links, back = self.links(here, there)
        for key, others in links.items():
            if len(others) > 1 and any(len(back[other]) > 1 for other in others):
                self.found.unsure[key] = sorted(others)
        if self.found.unsure:
            return
        pairs = [(key, other) for key, others in links.items() for other in sorted(others)]
        for key, other in pairs:
            self.equal_values(here[key], there[other], once=self.certain and len(links[key]) + len(back[other]) > 2)
        self.equal_values(_all(here), _all(there), once=self.certain)
        for key, other in pairs:
            self.single_shapes(here[key], there[other])

    def groups_within_groups(self, here: Groups, there: Groups) -> None:
        """Pairs weights of two groups if one has all shapes of the other, and neither could have another partner."""
        links = self.candidates(here, there)
        back = Counter(other for others in links.values() for other in others)
        for key, others in links.items():
            if len(others) == 1 and back[others[0]] == 1:
                self.single_shapes(here[key], there[others[0]])

    def note_unsure(self) -> None:
        """Notes groups that could still be partners, and groups that still have equal values."""
        homes: dict[Hashable, set[str]] = {}
        for key, group in self.there.items():
            for entry in group:
                homes.setdefault(self.value(entry), set()).add(key)
        for key, others in self.candidates(self.here, self.there).items():
            equal = [homes.get(self.value(entry), set()) for entry in self.here[key]]
            if others := list(dict.fromkeys([*others, *sorted(set().union(*equal))])):
                self.found.unsure[key] = others

    def candidates(self, here: Groups, there: Groups) -> dict[str, list[str]]:
        """For each group, the groups of the other side that could still be its partner, by the remaining shapes."""
        partners: dict[str, list[str]] = {}
        for key, other in self.partners:
            partners.setdefault(key, []).append(other)
        taken = {other for _, other in self.partners}
        free: dict[Shapes, list[str]] = {}
        for other, group in there.items():
            if group and other not in taken:
                free.setdefault(_shapes(group), []).append(other)
        found: dict[str, list[str]] = {}
        for key, group in here.items():
            ours = Counter(_shapes(group))
            if key in partners:
                found[key] = [
                    other for other in partners[key] if other in there and ours & Counter(_shapes(there[other]))
                ]
                continue
            forms = [form for form in free if ours and (not ours - Counter(form) or not Counter(form) - ours)]
            found[key] = [other for form in forms for other in free[form]]
        return found

    def links(self, here: Groups, there: Groups) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """Links groups that share a value which each side has once; and the same links seen from the other side.

        We ignore constants: many weights start as all zeros or ones.
        """
        counts = [Counter(map(self.value, _all(side))) for side in (here, there)]
        homes = {self.value(entry): key for key, group in there.items() for entry in group}
        links: dict[str, set[str]] = {}
        back: dict[str, set[str]] = {}
        for key, group in here.items():
            for value in map(self.value, group):
                if value not in self.constant and counts[0][value] == counts[1][value] == 1:
                    links.setdefault(key, set()).add(homes[value])
                    back.setdefault(homes[value], set()).add(key)
        return links, back

    def members(self, key: str, other: str, one_layer: bool = False) -> None:
        """Pairs the weights of two groups: by order if both sides have the same one, else by value and shape."""
        one, two = self.here[key], self.there[other]
        same = _shapes(one) == _shapes(two) or (one_layer and len(one) == len(two))
        if same and self.ordered:
            self.pair(list(zip(one, two)))
        self.equal_values(one, two, once=self.certain)
        self.single_shapes(one, two)

    def equal_values(self, ones: list[Entry], others: list[Entry], once: bool) -> None:
        """Pairs equal weights, in order, if both sides have equally many; if `once`, only if each has one."""
        theirs: dict[Hashable, list[Entry]] = {}
        for entry in others:
            theirs.setdefault(self.value(entry), []).append(entry)
        ours: dict[Hashable, list[Entry]] = {}
        for entry in ones:
            ours.setdefault(self.value(entry), []).append(entry)
        for value, entries in ours.items():
            if len(entries) == len(theirs.get(value, ())) and not (once and len(entries) > 1):
                self.pair(list(zip(entries, theirs[value])))

    def single_shapes(self, ones: list[Entry], others: list[Entry]) -> None:
        """Pairs weights that are the only ones of their shape."""
        counts = [Counter(entry.shape for entry in entries) for entries in (ones, others)]
        theirs = {entry.shape: entry for entry in others}
        self.pair([(entry, theirs[entry.shape]) for entry in ones if all(count[entry.shape] == 1 for count in counts)])

    def pair(self, pairs: list[tuple[Entry, Entry]]) -> None:
        for one, other in pairs:
            key, home = self.homes[id(one)], self.homes[id(other)]
            self.found.pairs.append((one, other))
            self.partners.add((key, home))
            self.here[key].remove(one)
            self.there[home].remove(other)


def _groups(entries: Entries) -> Groups:
    """Groups weights by the place of their layer, in its order; or by the part before their own name."""
    groups: Groups = {}
    if not is_structural(entries):
        for name, entry in entries.items():
            groups.setdefault(name.rpartition("/")[0], []).append(entry)
        return groups
    places: dict[str, dict[str, Entry]] = {}
    for name, entry in entries.items():
        path = name.split("/")
        at = len(path) - 1 - path[::-1].index("vars", 1)
        places.setdefault("/".join(path[:at]), {})["/".join(path[at + 1 :])] = entry
    for key, filed in places.items():
        groups[key] = [filed[rest] for rest in sorted(filed, key=lambda rest: (not rest.isdigit(), len(rest), rest))]
    return groups


def _all(groups: Mapping[str, list[Entry]]) -> list[Entry]:
    return [entry for group in groups.values() for entry in group]


def _shapes(group: Iterable[Entry]) -> Shapes:
    return tuple(entry.shape for entry in group)


def _layer_name(key: str, group: list[Entry], structural: bool) -> str | None:
    """The layer's name, if the file says it."""
    return group[0].layer_name if structural else key.rpartition("/")[2]


def _is_given(key: str, name: str) -> bool:
    """Whether somebody gave a layer its name: Keras 3 makes places from class names, so a different name was given."""
    parent, _, kind = key.rpartition("/")
    return parent.rpartition("/")[2] == "layers" and kind_of(kind) != kind_of(name)


def _digest(entry: Entry) -> tuple[bytes, bool]:
    """A hash of the bytes, and whether all values are the same."""
    import numpy as np

    values = np.ascontiguousarray(entry.read()).reshape(-1)
    data = values.view("uint8")
    each = data.reshape(len(values), -1) if len(values) else data
    constant = all(bool((part == each[0]).all()) for part in (each[:64], each) if len(each))
    return hashlib.blake2b(data, digest_size=32).digest(), constant
