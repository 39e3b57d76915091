"""Finds which weight each entry of a file of places belongs to: ``.weights.h5`` and ``.keras``.

Keras stores a layer under the attribute that holds it, or, in a list or dict, under its class with a number;
its weights are ``vars/0``, ``vars/1``, ... . Keras 3.9 and later also note each layer's name. Keras stores a layer
that is held in several places in the first one only. Which one is first differs between versions, and so do the
numbers: up to 2.14 each layer of a model counts twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from keras_buildfix._keras.classes import belongs_to_keras, is_model, is_model_class, layer_base
from keras_buildfix._keras.tracking import dicts_of, direct_sublayers
from keras_buildfix.extra_weights.trial_saving import is_by_users_hand, saves_by_hand
from keras_buildfix.layer_tree.tree import LayerNode, counted, kind_of, snake_case
from keras_buildfix.weight_files.entry import Entries, Entry, is_structural
from keras_buildfix.weights.matching.by_name import match_names, plain_name
from keras_buildfix.weights.matching.groups_in_files import Group, has_name_of_state, is_state, may_be_seed, parse
from keras_buildfix.weights.matching.match import Match, OwnLoad, match_into

#: Where Keras stores a model's layers: on 2.15 to nightly, and on 2.12 to 2.14.
_LAYERS = ("layers", "_layer_checkpoint_dependencies")


def match_structure(entries: Entries, root: LayerNode) -> Match:
    """Finds the weights of `root` that the entries of a file of places belong to.

    An entry that was renamed to the name of a weight belongs to that weight; the others keep their places.
    """
    places = {name: entry for name, entry in entries.items() if is_structural([name])}
    renamed = {name: entry for name, entry in entries.items() if name not in places}
    match = match_names(renamed, root) if renamed else Match()
    search = _Search(root, given=set(match.pairs))
    search.layer(parse(places), root.layer)
    match_into(match, search.match)
    return match


class _Search:
    """Walks down the groups of a file and the layers of a model together."""

    def __init__(self, root: LayerNode, given: set[int]) -> None:
        self.match = Match()
        self.nodes = {id(node.layer): node for node in root.nodes()}
        self.given = given  # weights that have an entry already
        self.unclaimed = self.with_weights(root.layer)

    def with_weights(self, layer: Any) -> set[int]:
        """The ids of all layers that have a weight to find or hold such a layer; all holders of a shared one count."""
        known: dict[int, bool] = {}

        def has(layer: Any) -> bool:
            key = id(layer)
            if key not in known:
                known[key] = any(id(variable) not in self.given for _, variable in self.nodes[key].own)
                below = [has(child) for child in direct_sublayers(layer)]
                known[key] = known[key] or any(below)
            return known[key]

        has(layer)
        return {key for key, whether in known.items() if whether}

    def to_find(self, layer: Any) -> list[Any]:
        """The weights in a layer and below that have no entry yet."""
        nodes = self.nodes[id(layer)].nodes()
        return [variable for node in nodes for _, variable in node.own if id(variable) not in self.given]

    def layer(self, group: Group, layer: Any) -> None:
        self.unclaimed.discard(id(layer))
        self.weights(group.weights, layer)
        left: list[Group] = []
        held = {name: _attribute(layer, name) for name in group.groups}
        # Keras stores a layer under its own attribute first; only what no attribute holds is in the list of all layers.
        for name, value in sorted(held.items(), key=lambda pair: (_is_list(pair[1]), pair[0] in _LAYERS)):
            inner = group.groups[name]
            if name in _LAYERS and not self.is_clear(inner, layer):
                self.left_over(inner.entries(), [self.nodes[id(each)] for each in value if id(each) in self.nodes])
            elif id(value) in self.nodes:
                self.layer(inner, self.checked(inner, value, layer))
            elif _is_list(value) and not (has_name_of_state(inner) and not self.holds_layers(value)):
                self.container(inner, value)
            elif not (_is_no_weight(inner) or hasattr(value, "variables")):
                left.append(inner)
        self.rest(left, layer)

    def checked(self, group: Group, held: Any, layer: Any) -> Any:
        """Returns the layer that an attribute holds. If the file calls it like a sibling, ``note_order`` notes that."""
        name = group.layer_name
        if name is not None and plain_name(name) != plain_name(held.name):
            beside = [child.layer.name for child in self.nodes[id(layer)].children if not child.made_up]
            if plain_name(name) in map(plain_name, beside):
                self.note_order(group, name, held)
        return held

    def note_order(self, group: Group, there: str, layer: Any) -> None:
        """Notes that only order or shapes matched a group to a layer, and that the file calls the layer `there`."""
        self.match.by_order.update({entry.name: (there, layer.name) for entry in group.entries()})

    def holds_layers(self, value: Any) -> bool:
        return any(id(each) in self.nodes for each in (value.values() if isinstance(value, dict) else value))

    def is_clear(self, group: Group, layer: Any) -> bool:
        """Whether the file surely has a model's layers in the model's order.

        Keras 3 takes the layers of a dict in its order, Keras 2 sorts them by key. A file with the names of layers
        comes from Keras 3.
        """
        if not is_model(layer) or all(each.layer_name is not None for each in group.groups.values()):
            return True
        for value in dicts_of(layer):
            if all(isinstance(key, str) for key in value):
                kinds = [type(each).__name__ for _, each in value.items() if id(each) in self.unclaimed]
                if list(value) != sorted(value) and len(set(kinds)) != len(kinds):
                    return False
        return True

    def weights(self, filed: Mapping[str, Entry], layer: Any) -> None:
        """Matches a layer's own weights: by its own code, by name, or by position."""
        if filed and is_by_users_hand(layer):
            self.match.own.append(OwnLoad(layer, self.nodes[id(layer)], dict(filed)))
            return
        own = [(name, variable) for name, variable in self.nodes[id(layer)].own if id(variable) not in self.given]
        by_name = dict(own)
        if filed and all(name in by_name for name in filed):
            for name, entry in filed.items():
                self.match.pair(by_name[name], entry)
            return
        # ExtraWeightsMixin stores those weights by name to which Keras gives no position.
        named = {name for name in filed if name in by_name and not name.isdigit()}
        for name in named:
            self.match.pair(by_name[name], filed[name])
        in_order = [filed[name] for name in sorted(filed, key=_position) if name not in named]
        own = [pair for pair in own if pair[0] not in named]
        if writes_by_hand(layer) is not None and any(name in _MADE_BY_BUILTINS for name, _ in own):
            # From 3.2.1 on Keras 3 stores only what the built-in itself made (Dense, Embedding, ...), in this order.
            made = [pair for pair in own if pair[0] in _MADE_BY_BUILTINS]
            made.sort(key=lambda pair: _MADE_BY_BUILTINS.index(pair[0]))
            own = made if len(made) == len(in_order) else own
        if len(in_order) == len(own):
            for (_, variable), entry in zip(own, in_order):
                self.match.pair(variable, entry)
        else:
            self.left_over(in_order, [self.nodes[id(layer)]])

    def container(self, group: Group, value: Any) -> None:
        """Matches the layers in a list, tuple or dict, nested or not."""
        values = list(value.values()) if isinstance(value, dict) else list(value)
        layers = list({id(each): each for each in values if id(each) in self.unclaimed}.values())
        inner = [each for each in values if isinstance(each, (list, tuple, dict))]
        nested = [each for each in group.groups.values() if each.kind == "container"]
        groups = [each for each in group.groups.values() if each not in nested]
        if len(inner) == len(nested):
            for each, filed in zip(inner, sorted(nested, key=lambda filed: counted(filed.name)[1])):
                self.container(filed, each)
        else:
            self.left_over([entry for each in nested for entry in each.entries()], [])
        others = {_kind(each) for each in values if id(each) not in self.nodes and hasattr(each, "variables")}
        others -= {_kind(layer) for layer in layers}
        groups = [each for each in groups if each.kind not in others]  # the others are metrics in the list
        self.alike(sorted(groups, key=lambda each: counted(each.name)[1]), layers)

    def alike(self, groups: list[Group], layers: list[Any]) -> None:
        """Matches layers in one list: by given names, then by class and order, then by their shapes."""
        there = Counter(plain_name(group.given_name) for group in groups if group.given_name is not None)
        named = [layer for layer in layers if not self.nodes[id(layer)].made_up]
        here = Counter(plain_name(layer.name) for layer in named)
        by_name = {plain_name(layer.name): layer for layer in named}
        pairs: list[tuple[Group, Any]] = []
        for group in groups:
            name = plain_name(group.given_name or "")
            if there[name] == here[name] == 1:
                pairs.append((group, by_name[name]))
        groups, layers = _without(groups, [group for group, _ in pairs]), _without(layers, [each for _, each in pairs])
        for kind in dict.fromkeys(group.kind for group in groups):
            filed = [group for group in groups if group.kind == kind]
            same = [layer for layer in layers if _kind(layer) == kind]
            if len(filed) != len(same):
                filed = [group for group in filed if not _is_no_weight(group)]
            if len(filed) == len(same):
                pairs += [(group, self.noted(group, layer)) for group, layer in zip(filed, same)]
                groups = [group for group in groups if group.kind != kind]
                layers = [layer for layer in layers if _kind(layer) != kind]
        groups = [group for group in groups if not _is_no_weight(group)] if len(groups) != len(layers) else groups
        of_other_class = self.by_shapes(groups, layers)
        pairs += [(group, self.noted(group, layer)) for group, layer in of_other_class]
        layers = _without(layers, [layer for _, layer in of_other_class])
        for group in _without(groups, [group for group, _ in of_other_class]):
            # If no layer here has the group's given name, there is nothing to choose from.
            nodes = [self.nodes[id(layer)] for layer in layers] if group.given_name is None else []
            self.left_over(group.entries(), self.like(group, nodes))
        for group, layer in pairs:
            self.layer(group, layer)

    def noted(self, group: Group, layer: Any) -> Any:
        """Returns the layer that order or shapes gave. If the file calls it otherwise, ``note_order`` notes that."""
        if group.given_name is not None and plain_name(group.given_name) != plain_name(layer.name):
            self.note_order(group, group.given_name, layer)
        return layer

    def by_shapes(self, groups: list[Group], layers: list[Any]) -> list[tuple[Group, Any]]:
        """Pairs layers whose class has changed, if shapes tell all of them apart or agree in their order."""
        if len(groups) != len(layers):
            return []
        there = [_shapes(entry.shape for entry in group.entries()) for group in groups]
        here = [_shapes(v.shape for v in self.to_find(layer)) for layer in layers]
        if sorted(there) != sorted(here):
            return []
        if len({str(shapes) for shapes in there}) == len(there):
            return [(group, layers[here.index(shapes)]) for group, shapes in zip(groups, there)]
        kinds = len({group.kind for group in groups}), len({_kind(layer) for layer in layers})
        return list(zip(groups, layers)) if kinds == (1, 1) and there == here else []

    def like(self, group: Group, nodes: list[LayerNode]) -> list[LayerNode]:
        """The layers whose weights have the shapes of a group."""
        filed = _shapes(entry.shape for entry in group.entries())
        return [node for node in nodes if _shapes(v.shape for v in self.to_find(node.layer)) == filed]

    def rest(self, groups: list[Group], layer: Any) -> None:
        """Matches groups whose name is no attribute of the layer: by layer names, or by shapes if these differ."""
        children = [child for child in direct_sublayers(layer) if id(child) in self.unclaimed]
        nodes = [self.nodes[id(child)] for child in children]
        filed = [_shapes(entry.shape for entry in group.entries()) for group in groups]
        for group, shapes in zip(groups, filed):
            name = plain_name(group.layer_name or "")
            same_name = [node for node in nodes if not node.made_up and plain_name(node.layer.name) == name]
            alike = self.like(group, nodes)
            if len(same_name) == 1:
                self.layer(group, same_name[0].layer)
            elif len(alike) == 1 and filed.count(shapes) == 1:
                if not _is_builtin_with_layers(layer):  # the user's own attribute has another name now
                    self.note_order(group, group.name, alike[0].layer)
                self.layer(group, alike[0].layer)
            else:
                self.left_over(group.entries(), alike)

    def left_over(self, entries: list[Entry], nodes: list[LayerNode]) -> None:
        """Notes entries as ambiguous if several layers remain to choose from, else as unexpected."""
        for entry in entries:
            if len(nodes) > 1:
                self.match.ambiguous[entry.name] = ["/".join(node.path) or node.layer.name for node in nodes]
            else:
                self.match.unexpected.append(entry.name)


#: Names of the weights of built-ins that save them by hand, in the order in which Keras stores them.
_MADE_BY_BUILTINS = ("kernel", "bias", "embeddings", "kernel_scale", "embeddings_scale")


def _without(things: list[Any], others: list[Any]) -> list[Any]:
    taken = set(map(id, others))
    return [each for each in things if id(each) not in taken]


def _is_no_weight(group: Group) -> bool:
    return is_state(group) or may_be_seed(group)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, dict, set))


def _kind(layer: Any) -> str:
    return kind_of(snake_case(type(layer).__name__))


def _is_builtin_with_layers(layer: Any) -> bool:
    """Whether a layer is, or derives from, a built-in that may hold layers: then Keras has named its attributes."""
    base = next((base for base in type(layer).__mro__ if belongs_to_keras(base)), None)
    return base not in (None, layer_base(type(layer))) and not is_model_class(base)


def writes_by_hand(layer: Any) -> type | None:
    """The class that gives a layer its own ``save_own_variables``; None if the layer has ``Layer``'s."""
    return None if is_model(layer) else saves_by_hand(layer)


def _attribute(layer: Any, name: str) -> Any:
    """What a layer holds under a name that Keras 2 or 3 stores it by (``_query_dense``, ``query_dense``)."""
    if name in _LAYERS and is_model(layer):
        return list(layer.layers)
    for known in (name, f"_{name}", name.lstrip("_")):
        try:
            value = getattr(layer, known, None)
        except Exception:  # a user's property may raise anything
            continue
        if value is not None:
            return value
    return None


def _shapes(shapes: Iterable[Any]) -> list[str]:
    return sorted(str(tuple(shape)) for shape in shapes)


def _position(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (1 << 62, name)
