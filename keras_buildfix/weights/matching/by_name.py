"""Finds by name which weight of a layer each entry of a source belongs to; where it can't be sure, it says so."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from keras_buildfix.layer_tree.tree import PLACE_NAME, LayerNode, counted, kind_of, own_name, weight_tree
from keras_buildfix.weight_files.entry import Entries, Entry
from keras_buildfix.weights.matching.match import Match, match_into

Parts = tuple[str, ...]


def match_names(
    entries: Entries, root: LayerNode, *, canonical: bool = True, only: Collection[int] | None = None
) -> Match:
    """Finds the weights of `root` that named entries belong to.

    It knows canonical names (those of ``named_weights``) and Keras's own (``dense_7/kernel:0``,
    ``sequential/dense_7/kernel``). Names that Keras made up match by their order among their siblings, if both
    sides have equally many.

    Args:
        entries: The entries by name.
        root: The layer or model.
        canonical: Whether a made-up name in the source may be a canonical one.
        only: The ``id`` of each wanted weight. If names can be read in two ways, we take the way that gives
            exactly these.
    """
    match = Match()
    weights, own = root.weights(), _keras_names(root)
    keys = {key: key.partition(":")[0] for key in entries}
    as_canonical = {key: weights[name] for key, name in keys.items() if canonical and name in weights}
    as_own = {key: own[name] for key, name in keys.items() if name in own}
    whole = [found for found in (as_canonical, as_own) if len(found) == len(keys)]
    if only is not None and len(whole) == 2:
        just = [found for found in whole if {id(variable) for variable in found.values()} == set(only)]
        whole = just if len(just) == 1 else whole
    if len(whole) == 2 and any(as_canonical[key] is not as_own[key] for key in keys):
        _note_two_meanings(match, as_canonical, as_own, root)
    elif whole:
        for key, variable in whole[0].items():
            if id(variable) in match.pairs:
                match.ambiguous[key] = [f"the same weight as {match.pairs[id(variable)][1].name}"]
            match.pair(variable, entries[key])
    elif len(set(keys.values())) < len(keys):
        match.ambiguous |= {key: [name] for key, name in keys.items() if key != name and name in keys}
    else:
        parts = {tuple(name.split("/")): entries[key] for key, name in keys.items()}
        _Descent(match, canonical).descend(_without_root(parts, root), root)
    return match


def match_layer_groups(entries: Entries, root: LayerNode) -> Match:
    """Finds the weights that the entries of a legacy ``.h5`` belong to: layers first, then the weights in each.

    An entry that was renamed to the name of a weight belongs to that weight. Any other renamed entry belongs to
    the layer with which its new name begins.
    """
    match, weights = Match(), _keras_names(root) | root.weights()
    groups: dict[str, dict[str, Entry]] = {}
    for key, entry in entries.items():
        if key != entry.name and key in weights:
            match.pair(weights[key], entry)
        elif key != entry.name:
            groups.setdefault(_layer_in(key, root.children), {})[key] = entry
        else:
            groups.setdefault(entry.layer or "", {})[key] = entry
    match_into(match, match_names(groups.pop("", {}), _only_own(root), canonical=False))
    children = [child for child in root.children if not _all_given(child, match)]
    pairs, unpaired = pair_siblings(groups, children, canonical=False, match=None)
    left = [child for child in children if has_weights(child) and child not in pairs.values()]
    by_order = _by_shapes({name: groups[name] for name in unpaired}, left)
    for name, child in by_order.items():
        match.by_order.update({entry.name: (name, child.name) for entry in groups[name].values()})
    for name, group in groups.items():
        if name in pairs or name in by_order:
            match_into(match, _match_group(name, group, {**pairs, **by_order}[name].layer))
        else:
            match.unexpected += [entry.name for entry in group.values()]
    return match


def _layer_in(key: str, children: Iterable[LayerNode]) -> str:
    """The layer that a weight's name begins with. On Keras 2 a layer's name may have a slash in it."""
    whole = [child.layer.name for child in children if key.startswith(f"{child.layer.name}/")]
    return max(whole, key=len, default=key.partition("/")[0] if "/" in key else "")


def _all_given(node: LayerNode, match: Match) -> bool:
    """Whether renamed entries cover all weights of a layer."""
    weights = weight_tree(node.layer).weights().values()
    return bool(weights) and all(id(variable) in match.pairs for variable in weights)


def plain_name(name: str) -> str:
    """A layer's name as every Keras allows it: ``out/logits``, which only Keras 2 allows, becomes ``out_logits``."""
    return name.replace("/", "_")


def pair_siblings(
    names: Iterable[str], children: Sequence[LayerNode], *, canonical: bool, match: Match | None
) -> tuple[dict[str, LayerNode], list[str]]:
    """Pairs the names of layers in a source with sibling layers in a model.

    Given names must be equal. Made-up names of one kind are paired as they are if that fits all of them; else by
    their order, if both sides have equally many.

    Returns:
        Name -> layer, and the names without a layer.
    """
    names = list(names)
    pairs = _by_given_names(names, children)
    kinds: dict[str, list[str]] = {}
    for name in names:
        if name not in pairs:
            kinds.setdefault(kind_of(name), []).append(name)
    here: dict[str, list[LayerNode]] = {}
    for child in children:
        if child.made_up and has_weights(child):
            here.setdefault(kind_of(child.name), []).append(child)
    unpaired: list[str] = []
    for kind, alike in kinds.items():
        found = _pair_made_up(alike, here.get(kind, []), canonical)
        pairs |= found
        unpaired += [name for name in alike if name not in found]
        if match is not None and not found and kind in here:
            match.ambiguous |= {name: [child.name for child in here[kind]] for name in alike}
    return pairs, unpaired


def _by_given_names(names: Sequence[str], children: Sequence[LayerNode]) -> dict[str, LayerNode]:
    """Pairs given names: equal ones, then those that are equal once slashes are replaced (``plain_name``)."""
    given = {child.layer.name: child for child in children if not child.made_up}
    pairs = {name: given[name] for name in names if name in given}
    there, here = (_by_plain_name(each for each in every if each not in pairs) for every in (names, given))
    for plain, alike in there.items():
        if len(alike) == len(here.get(plain, ())) == 1:
            pairs[alike[0]] = given[here[plain][0]]
    return pairs


def _by_plain_name(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(plain_name(name), []).append(name)
    return found


def has_weights(node: LayerNode) -> bool:
    """Whether a layer or one below it has weights."""
    return any(each.own for each in node.nodes())


class _Descent:
    """Walks down the names of a source and the layers of a model together."""

    def __init__(self, match: Match, canonical: bool) -> None:
        self.match, self.canonical = match, canonical

    def descend(self, parts: Mapping[Parts, Entry], node: LayerNode) -> None:
        leaves = {path[0]: entry for path, entry in parts.items() if len(path) == 1}
        groups: dict[str, dict[Parts, Entry]] = {}
        names = {name for child in node.children for name in (child.name, child.layer.name)}
        given = {plain_name(child.layer.name) for child in node.children if not child.made_up}
        for path, entry in parts.items():
            if len(path) > 1:
                depth = 1 if path[0] in names else _length_of_name(path, given)
                groups.setdefault("/".join(path[:depth]), {})[path[depth:]] = entry
        candidates = Match()
        pairs, unpaired = pair_siblings(groups, node.children, canonical=self.canonical, match=candidates)
        if unpaired and not self.canonical:
            pairs |= _deeper(unpaired, node)
            unpaired = [name for name in unpaired if name not in pairs]
        for name, child in pairs.items():
            self.descend(groups[name], child)
        for name in unpaired:
            for entry in groups[name].values():
                if name in candidates.ambiguous:
                    alike = candidates.ambiguous[name]
                    self.match.ambiguous[entry.name] = ["/".join(c.path) for c in node.children if c.name in alike]
                else:
                    self.match.unexpected.append(entry.name)
        self.leaves(leaves, node)

    def leaves(self, leaves: Mapping[str, Entry], node: LayerNode) -> None:
        own = dict(node.own)
        rest = {}
        for name, entry in leaves.items():
            known = own_name(node.layer, name)
            if known in own and known != "variable":
                self.match.pair(own[known], entry)
            else:
                rest[name] = entry
        unnamed = [v for name, v in node.own if counted(name)[0] == "variable" or hasattr(v, PLACE_NAME)]
        nameless = sorted((name for name in rest if re.fullmatch(r"[Vv]ariable(_\d+)?", name)), key=_number)
        if len(unnamed) == len(nameless):
            for name, variable in zip(nameless, unnamed):
                self.match.pair(variable, rest.pop(name))
        below: dict[str, list[tuple[LayerNode, Any]]] = {}
        for each in node.nodes() if rest else ():
            for name, variable in each.own:
                below.setdefault(name, []).append((each, variable))
        for name, entry in rest.items():
            alike = below.get(name, [])
            if len(alike) == 1:  # Keras 2 omits the names of layers that are built by hand
                self.match.pair(alike[0][1], entry)
            elif alike:
                self.match.ambiguous[entry.name] = ["/".join((*each.path, name)) for each, _ in alike]
            else:
                self.match.unexpected.append(entry.name)


def _pair_made_up(names: list[str], children: list[LayerNode], canonical: bool) -> dict[str, LayerNode]:
    ours = {child.name: child for child in children} if canonical else {}
    keras = {child.layer.name: child for child in children}
    readings = [known for known in (ours, keras) if known and set(names) <= set(known)]
    if len(names) == len(children):
        in_order = sorted(children, key=lambda child: _number(child.name))
        return dict(zip(sorted(names, key=_number), in_order))
    if not readings or any(readings[0][name] is not known[name] for known in readings for name in names):
        return {}
    return {name: readings[0][name] for name in names} if canonical else {}


def _length_of_name(path: Parts, given: set[str]) -> int:
    """How many parts of a path make up the name of one layer: Keras 2 allows slashes in it."""
    return next((at for at in range(len(path) - 1, 1, -1) if "_".join(path[:at]) in given), 1)


def _deeper(names: Sequence[str], node: LayerNode) -> dict[str, LayerNode]:
    """Finds layers further down: Keras 2 lists the layers of inner models but omits the models' names.

    A given name must occur only once below. Made-up names are paired in the order of their numbers, because Keras
    counts through all models; both sides must have equally many.
    """
    below = [each for each in node.nodes() if each is not node and has_weights(each)]
    pairs: dict[str, LayerNode] = {}
    kinds: dict[str, list[str]] = {}
    for name in names:
        alike = [each for each in below if not each.made_up and plain_name(each.layer.name) == plain_name(name)]
        if len(alike) == 1:
            pairs[name] = alike[0]
        elif not alike:
            kinds.setdefault(kind_of(name), []).append(name)
    for kind, there in kinds.items():
        here = [each for each in below if each.made_up and kind_of(each.layer.name) == kind]
        if len(here) == len(there):
            pairs |= zip(sorted(there, key=_number), sorted(here, key=lambda each: _number(each.layer.name)))
    return pairs


def _match_group(name: str, group: Entries, layer: Any) -> Match:
    """Matches the weights of one layer of a legacy file by name: their order depends on what was frozen."""
    parts = {tuple(key[len(name) + 1 :].partition(":")[0].split("/")): entry for key, entry in group.items()}
    if len(parts) < len(group):
        return Match(unexpected=[entry.name for entry in group.values()])
    match = Match()
    _Descent(match, canonical=False).descend(parts, weight_tree(layer))
    return match


def trainable_first(tree: LayerNode) -> dict[str, Any]:
    """The weights of a layer in the order of a legacy file that was written with nothing frozen."""
    trainable = {id(variable) for node in tree.nodes() for _, variable in node.trainable}
    return dict(sorted(tree.weights().items(), key=lambda pair: id(pair[1]) not in trainable))


def _by_shapes(groups: Mapping[str, Entries], children: list[LayerNode]) -> dict[str, LayerNode]:
    """Pairs layers that have other names here, if shapes tell all of them apart or agree in their order."""
    there = [sorted(str(entry.shape) for entry in group.values()) for group in groups.values()]
    # The root's tree has a shared layer only at its shortest path. These trees have it in each layer that holds it.
    trees = [weight_tree(child.layer) for child in children]
    here = [sorted(str(tuple(v.shape)) for v in tree.weights().values()) for tree in trees]
    if sorted(there) != sorted(here):
        return {}
    if len({str(shapes) for shapes in here}) == len(here):
        return {name: children[here.index(shapes)] for name, shapes in zip(groups, there)}
    return dict(zip(groups, children)) if there == here else {}


def _only_own(root: LayerNode) -> LayerNode:
    return LayerNode(root.layer, root.path, root.made_up, root.trainable, root.non_trainable)


def _keras_names(root: LayerNode) -> dict[str, Any]:
    """Keras's own names that belong to one weight only, with and without the top layer's name."""
    found: dict[str, Any] = {}
    twice: set[str] = set()
    start = f"{root.layer.name}/"
    for variable in root.weights().values():
        name = str(getattr(variable, "path", variable.name)).partition(":")[0]
        for known in {name, name[len(start) :] if name.startswith(start) else name}:
            if found.setdefault(known, variable) is not variable:
                twice.add(known)
    return {name: variable for name, variable in found.items() if name not in twice}


def _without_root(parts: dict[Parts, Entry], root: LayerNode) -> dict[Parts, Entry]:
    """The paths without the name of the source's top layer, if all begin with a name like that of `root`."""
    first = {path[0] for path in parts if len(path) > 1}
    if len(first) != 1 or any(len(path) == 1 for path in parts):
        return parts
    names = {name for child in root.children for name in (child.name, child.layer.name)}
    (name,) = first
    like_root = name not in names and kind_of(name) == kind_of(root.layer.name)
    return {path[1:]: entry for path, entry in parts.items()} if like_root else parts


def _note_two_meanings(match: Match, one: Mapping[str, Any], other: Mapping[str, Any], root: LayerNode) -> None:
    names = {id(variable): name for name, variable in root.weights().items()}
    for key, variable in one.items():
        if variable is not other[key]:
            match.ambiguous[key] = [names[id(variable)], names[id(other[key])]]


def _number(name: str) -> int:
    return counted(name)[1]
