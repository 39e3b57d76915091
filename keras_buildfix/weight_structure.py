"""The same for files that have positions instead of names: ``.weights.h5`` and ``.keras``.

Keras files a layer under the attribute that holds it, or, in a list or dict, under its class with a number;
its weights are ``vars/0``, ``vars/1``, ... . A layer held in several places is filed in the first one only,
which differs between versions, and so does the counting: up to 2.14 each layer of a model counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_buildfix import _keras, _private
from keras_buildfix._entries import Entries, Entry
from keras_buildfix._own_saving import saves_by_hand
from keras_buildfix.weight_matching import Match
from keras_buildfix.weight_names import LayerNode, counted, kind_of, snake_case

#: Where a model's layers are filed: 2.15 to nightly, and 2.12 to 2.14.
_LAYERS = ("layers", "_layer_checkpoint_dependencies")


@dataclass
class _Group:
    """A group of the file: the weights of a layer (or nothing), and the groups in it."""

    weights: dict[str, Entry] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)

    def entries(self) -> list[Entry]:
        return [*self.weights.values(), *(entry for group in self.groups.values() for entry in group.entries())]

    @property
    def layer_name(self) -> str | None:
        return next((entry.layer_name for entry in self.weights.values()), None)


def match_structure(entries: Entries, root: LayerNode) -> Match:
    """Finds the weights of `root` that the entries of such a file are meant for."""
    search = _Search(root)
    search.layer(_parse(entries), root.layer)
    return search.match


class _Search:
    def __init__(self, root: LayerNode) -> None:
        self.match = Match()
        self.nodes = {id(node.layer): node for node in root.nodes()}
        self.unclaimed = _with_weights(root.layer, self.nodes, {})

    def layer(self, group: _Group, layer: Any) -> None:
        self.unclaimed.discard(id(layer))
        self.weights(group.weights, layer)
        left: list[_Group] = []
        held = {name: _attribute(layer, name) for name in group.groups}
        # What an attribute holds is filed there first, and what is in the list of all layers is in no other.
        for name, value in sorted(held.items(), key=lambda pair: (_is_list(pair[1]), pair[0] in _LAYERS)):
            inner = group.groups[name]
            if name in _LAYERS and not self.is_clear(inner, layer):
                self.left_over(inner.entries(), [self.nodes[id(each)] for each in value])
                continue
            if id(value) in self.nodes:
                self.layer(inner, value)
            elif _is_list(value):
                self.container(inner, value)
            elif not (_is_state(name, inner) or hasattr(value, "variables")):
                left.append(inner)
        self.rest(left, layer)

    def is_clear(self, group: _Group, layer: Any) -> bool:
        """Whether the order of a model's layers is that of the file.

        Layers in a dict are in its order on Keras 3, by their keys on Keras 2; names in a file are Keras 3's.
        """
        if not _keras.is_model(layer) or all(entry.layer_name is not None for entry in group.entries()):
            return True
        for value in vars(layer).values():
            if isinstance(value, dict) and all(isinstance(key, str) for key in value):
                kinds = [type(each).__name__ for _, each in value.items() if id(each) in self.unclaimed]
                if list(value) != sorted(value) and len(set(kinds)) != len(kinds):
                    return False
        return True

    def weights(self, filed: Mapping[str, Entry], layer: Any) -> None:
        own = self.nodes[id(layer)].own
        by_name = dict(own)
        if filed and all(name in by_name for name in filed):
            for name, entry in filed.items():
                self.match.pair(by_name[name], entry)
            return
        writer = writes_by_hand(layer)
        if writer is None or _keras.belongs_to_keras(writer):  # ExtraWeightsMixin files by name what has no place
            named = {name for name in filed if name in by_name and not name.isdigit()}
            for name in named:
                self.match.pair(by_name[name], filed[name])
            filed = {name: entry for name, entry in filed.items() if name not in named}
            own = [pair for pair in own if pair[0] not in named]
        in_order = [filed[name] for name in sorted(filed, key=_position)]
        if writer is not None and not _keras.belongs_to_keras(writer):
            self.left_over(in_order, [self.nodes[id(layer)]])  # only its own code knows which is which
            return
        if writer is not None and any(name in _MADE_BY_BUILTINS for name, _ in own):
            # Keras 3 files of Dense, Embedding, ... only what the built-in itself made (3.2.1 on), in this order.
            made = [pair for pair in own if pair[0] in _MADE_BY_BUILTINS]
            made.sort(key=lambda pair: _MADE_BY_BUILTINS.index(pair[0]))
            own = made if len(made) == len(in_order) else own
        if len(in_order) == len(own):
            for (_, variable), entry in zip(own, in_order):
                self.match.pair(variable, entry)
        else:
            self.left_over(in_order, [self.nodes[id(layer)]])

    def container(self, group: _Group, value: Any) -> None:
        """A list, tuple or dict of layers, or of such lists."""
        values = list(value.values()) if isinstance(value, dict) else list(value)
        layers = list({id(each): each for each in values if id(each) in self.nodes}.values())
        inner = [each for each in values if isinstance(each, (list, tuple, dict))]
        here: dict[str, list[Any]] = {}
        for layer in layers:
            if id(layer) in self.unclaimed:
                here.setdefault(kind_of(snake_case(type(layer).__name__)), []).append(layer)
        there: dict[str, list[str]] = {}
        for name in group.groups:
            there.setdefault(kind_of(name), []).append(name)
        for kind, names in there.items():
            if len(names) != len(here.get(kind, ())):
                names = [name for name in names if not _is_state(name, group.groups[name])]
            names.sort(key=lambda name: counted(name)[1])
            filed_groups = [group.groups[name] for name in names]
            if kind == "container" and len(inner) == len(names):
                for each, filed in zip(inner, filed_groups):
                    self.container(filed, each)
            else:
                self.alike(filed_groups, here.get(kind, []))

    def alike(self, groups: list[_Group], layers: list[Any]) -> None:
        """Layers of one class: by the names in the file if they are given ones, else by their order."""
        names = {layer.name: layer for layer in layers if not self.nodes[id(layer)].made_up}
        named = [(group, names.pop(group.layer_name)) for group in groups if group.layer_name in names]
        taken = {id(layer) for _, layer in named}
        done = {id(group) for group, _ in named}
        groups = [group for group in groups if id(group) not in done]
        layers = [layer for layer in layers if id(layer) not in taken]
        if len(groups) == len(layers):
            named += zip(groups, layers)
        else:
            self.left_over(
                [entry for group in groups for entry in group.entries()], [self.nodes[id(layer)] for layer in layers]
            )
        for group, layer in named:
            self.layer(group, layer)

    def rest(self, groups: list[_Group], layer: Any) -> None:
        """Groups under names that are no attribute here: by their shapes, if these tell them apart."""
        children = [child for child in _private.direct_sublayers(layer) if id(child) in self.unclaimed]
        shapes = [_shapes(v.shape for v in _weights_of(self.nodes[id(child)])) for child in children]
        filed = [_shapes(entry.shape for entry in group.entries()) for group in groups]
        for group, here in zip(groups, filed):
            if filed.count(here) == 1 and shapes.count(here) == 1:
                self.layer(group, children[shapes.index(here)])
            else:
                self.left_over(group.entries(), [self.nodes[id(child)] for child in children])

    def left_over(self, entries: list[Entry], nodes: list[LayerNode]) -> None:
        for entry in entries:
            if nodes:
                self.match.ambiguous[entry.name] = ["/".join(node.path) or node.layer.name for node in nodes]
            else:
                self.match.unexpected.append(entry.name)


#: Names of the weights that the built-ins make which file them by hand, in their order.
_MADE_BY_BUILTINS = ("kernel", "bias", "embeddings", "kernel_scale", "embeddings_scale")


def _parse(entries: Entries) -> _Group:
    root = _Group()
    for name, entry in entries.items():
        path = name.split("/")
        at = len(path) - 1 - path[::-1].index("vars", 1)
        group = root
        for part in path[:at]:
            group = group.groups.setdefault(part, _Group())
        group.weights["/".join(path[at + 1 :])] = entry
    return root


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, dict, set))


def writes_by_hand(layer: Any) -> type | None:
    """The class whose own ``save_own_variables`` a layer has; None if that is the plain one of every layer."""
    return None if _keras.is_model(layer) else saves_by_hand(layer)


def _attribute(layer: Any, name: str) -> Any:
    """What a layer holds under a name that Keras 2 or 3 files it by (``_query_dense``, ``query_dense``)."""
    if name in _LAYERS and _keras.is_model(layer):
        return list(layer.layers)
    for known in (name, f"_{name}", name.lstrip("_")):
        try:
            value = getattr(layer, known, None)
        except Exception:  # a property of the user's
            continue
        if value is not None:
            return value
    return None


def _with_weights(layer: Any, nodes: Mapping[int, LayerNode], known: dict[int, bool]) -> set[int]:
    """The layers, by id, that have weights or hold a layer that does, wherever that one is nearest."""

    def has(layer: Any) -> bool:
        key = id(layer)
        if key not in known:
            known[key] = bool(nodes[key].own)
            below = [has(child) for child in _private.direct_sublayers(layer)]
            known[key] = known[key] or any(below)
        return known[key]

    has(layer)
    return {key for key, whether in known.items() if whether}


def _is_state(name: str, group: _Group) -> bool:
    """Whether a group holds no weights: seeds, metrics, an optimizer."""
    if name.lstrip("_") in ("optimizer", "metrics", "loss_tracker", "compile_metrics", "seed_generator"):
        return True
    entries = group.entries()
    return all("seed_generator" in entry.name.split("/") for entry in entries) or all(
        entry.shape == (2,) and entry.dtype in ("uint32", "int64") for entry in entries
    )


def _weights_of(node: LayerNode) -> list[Any]:
    return list(node.weights().values())


def _shapes(shapes: Iterable[Any]) -> list[tuple[Any, ...]]:
    return sorted((tuple(shape) for shape in shapes), key=str)


def _position(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (1 << 62, name)
