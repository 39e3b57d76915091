"""The tree of layers inside a layer, with a name for each weight that is the same on every Keras."""

from __future__ import annotations

import functools
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import belongs_to_keras, is_functional, is_model, layer_base
from keras_buildfix._keras.tracking import direct_sublayers, own_weights, tracks_again

#: A name that Keras made up: the prefix that a wrapper added, the name itself, and the number after it.
_COUNTED = re.compile(r"(?P<prefix>(?:forward_|backward_)?)(?P<base>.*?)(?:_(?P<number>\d+))?")

#: The names that Keras makes up for functional models.
_OF_MODELS = ("model", "functional")

#: An attribute of a backend's unnamed variable: a name made from the place in which a portable layer holds it.
PLACE_NAME = "_keras_buildfix_place_name"

#: Weights to which Keras 2 and Keras 3 give different names -> Keras 3's name.
#: Measured on 2.12 to tf_keras 2.21 against 3.0 to nightly by ``tests/layer_tree/test_weight_names.py``.
_NAMES_SINCE_KERAS_3 = {
    "DepthwiseConv1D": {"depthwise_kernel": "kernel"},
    "DepthwiseConv2D": {"depthwise_kernel": "kernel"},
}
_RENAMED = frozenset(name for names in _NAMES_SINCE_KERAS_3.values() for name in names)


@dataclass(eq=False)
class LayerNode:
    """A layer at its place in a model: its path, whether Keras made its name up, its weights, the layers it holds.

    `held` also has layers that are not in `children`, because another place of them is nearer to the top. A node keeps
    the names once it has made them.
    """

    layer: Any
    path: tuple[str, ...]
    made_up: bool
    trainable: list[tuple[str, Any]]
    non_trainable: list[tuple[str, Any]]
    children: list[LayerNode] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)
    _names: dict[int, str] | None = None
    _weights: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Its name among its siblings; empty for the top."""
        return self.path[-1] if self.path else ""

    @property
    def own(self) -> list[tuple[str, Any]]:
        """Its own weights by name, in the order in which Keras saves them."""
        return [*self.trainable, *self.non_trainable]

    def weights(self) -> dict[str, Any]:
        """Name -> variable for it and all below it, in Keras's order."""
        if self._weights is None:
            names = self.names()
            self._weights = {names[id(variable)]: variable for variable in _own_order(self)}
        return dict(self._weights)

    def names(self) -> dict[int, str]:
        """The ``id`` of each weight in it and below -> its name, nearest first."""
        if self._names is None:
            self._names = {}
            taken: dict[str, int] = {}
            for node in self.nodes():
                start = "".join(f"{name}/" for name in node.path[len(self.path) :])
                for own, variable in node.own:
                    if id(variable) not in self._names:
                        self._names[id(variable)] = unique(start + own, taken)
        return dict(self._names)

    def nodes(self) -> Iterator[LayerNode]:
        """It and all nodes below it, nearest first."""
        waiting = deque([self])
        while waiting:
            node = waiting.popleft()
            yield node
            waiting.extend(node.children)

    def above(self) -> dict[int, tuple[LayerNode, ...]]:
        """The ``id`` of each node in it -> the nodes that enclose that one, nearest first."""
        found: dict[int, tuple[LayerNode, ...]] = {id(self): ()}
        for node in self.nodes():
            for child in node.children:
                found[id(child)] = (node, *found[id(node)])
        return found


def weight_tree(layer: Any, path: tuple[str, ...] = ()) -> LayerNode:
    """Builds the tree of the layers in a layer: each layer once, at the place nearest to the top."""
    root = _node(layer, path)
    waiting, seen = deque([root]), {id(layer)}
    while waiting:
        node = waiting.popleft()
        node.held = children = direct_sublayers(node.layer)
        if not children:
            continue
        layers = [child for child in children if not _is_own_module(node.layer, child)]
        paths = {id(child): (*node.path, name) for child, name in zip(layers, sibling_names(layers))}
        taken = {name: 0 for name, _ in node.own}
        for child in children:
            if id(child) not in seen:
                seen.add(id(child))
                found = paths.get(id(child))
                node.children.append(_node(child, node.path, taken) if found is None else _node(child, found))
        waiting.extend(node.children)
    return root


def _is_own_module(layer: Any, held: Any) -> bool:
    """Whether `held` is a ``tf.Module`` in a portable layer: its weights are named as the layer's, as on Keras 3."""
    return tracks_again(layer) and layer_base(type(held)) is None


def sibling_names(layers: Sequence[Any]) -> list[str]:
    """Unique names of sibling layers; names that Keras made up are numbered among these siblings only."""
    split = [_made_up(layer) for layer in layers]
    order: dict[str, list[int]] = {}
    for at, (base, number) in enumerate(split):
        if number is not None:
            order.setdefault(base, []).append(at)
    names: dict[int, str] = {}
    taken: dict[str, int] = {}
    for at, (base, number) in enumerate(split):
        if number is None:
            names[at] = unique(base, taken)
    for base, places in order.items():
        for at in sorted(places, key=lambda at: split[at][1] or 0):
            names[at] = unique(base, taken)
    return [names[at] for at in range(len(layers))]


def unique(name: str, taken: dict[str, int]) -> str:
    """Returns `name`, or `name` with the first free number after it, and marks that as taken.

    `taken` has the last number that was tried for each name, so that a thousand equal names cost a thousand steps.
    """
    free, number = name, taken.get(name, 0)
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken[name], taken[free] = number, 0 if free != name else number
    return free


def counted(name: str) -> tuple[str, int]:
    """A name without the number at its end, and that number (0 if there is none): ``("dense", 7)``."""
    prefix, base, number = _parts(name)
    return prefix + base, number


@functools.lru_cache(maxsize=8192)
def _parts(name: str) -> tuple[str, str, int]:
    """The prefix, the base, and the number (0 if there is none) of a name that Keras may have made up."""
    found = _COUNTED.fullmatch(name)
    assert found is not None  # it matches everything
    return found["prefix"], found["base"], int(found["number"] or 0)


def kind_of(name: str) -> str:
    """The part of a made-up name that Keras 2 and 3 share for layers of one class."""
    base = counted(name)[0].replace("_", "")
    return "functional" if base == "model" else base


def snake_case(name: str) -> str:
    """The layer name that Keras 3 makes up for a class of this name."""
    return _snake_case(name, "[a-z]")


def name_of(layer: Any, variable: Any) -> str:
    """The name that a layer gives to one of its own weights."""
    return getattr(variable, PLACE_NAME, None) or own_name(layer, str(variable.name))


def own_name(layer: Any, keras_name: str) -> str:
    """The name that a layer gives to one of its own weights: the last part of Keras's name, without ``:0``."""
    name = _last_part(keras_name)
    for base in type(layer).__mro__ if name in _RENAMED else ():
        renamed = _NAMES_SINCE_KERAS_3.get(base.__name__, {}).get(name)
        if renamed is not None and belongs_to_keras(base):
            return renamed
    return name


@functools.lru_cache(maxsize=8192)
def _last_part(keras_name: str) -> str:
    """The last part of Keras's name of a weight; ``variable`` for a weight that nobody named."""
    name = keras_name.partition(":")[0].rpartition("/")[2]
    return "variable" if re.fullmatch(r"[Vv]ariable(_\d+)?", name) else name


def _node(layer: Any, path: tuple[str, ...], taken: dict[str, int] | None = None) -> LayerNode:
    """Makes the node of a layer, or of a module that a layer holds; its weights avoid the names in `taken`."""
    known = {} if taken is None else _names_in_layers(layer)
    taken = {} if taken is None else taken
    own: list[list[tuple[str, Any]]] = []
    for variables in own_weights(layer):
        names = [known.get(id(variable)) or name_of(layer, variable) for variable in variables]
        own.append([(unique(name, taken), variable) for name, variable in zip(names, variables)])
    return LayerNode(layer, path, _made_up(layer)[1] is not None, own[0], own[1])


def _names_in_layers(module: Any) -> dict[int, str]:
    """The ``id`` of each weight of the layers in a module -> its name, which begins with the layer's name."""
    layers = [each for each in module.submodules if layer_base(type(each)) is not None]
    inner = {id(each) for layer in layers for each in layer.submodules}
    outer = [layer for layer in layers if id(layer) not in inner]
    return {
        key: f"{name}/{weight}"
        for layer, name in zip(outer, sibling_names(outer))
        for key, weight in weight_tree(layer).names().items()
    }


def _own_order(root: LayerNode) -> list[Any]:
    """The variables in the order of ``layer.weights`` when nothing is frozen."""
    walk = _Walk(root)
    ordered = walk.keras_3(root) if wraps_build(type(root.layer)) else walk.keras_2(root)
    return list({id(variable): variable for variable in ordered}.values())


class _Walk:
    """Walks down the layers in Keras's order. A layer that is held twice counts where Keras meets it first."""

    def __init__(self, root: LayerNode) -> None:
        self.nodes = {id(node.layer): node for node in root.nodes()}
        self.seen: set[int] = set()

    def below(self, node: LayerNode) -> Iterator[LayerNode]:
        for layer in node.held:
            if id(layer) in self.nodes and id(layer) not in self.seen:
                self.seen.add(id(layer))
                yield self.nodes[id(layer)]

    def keras_3(self, node: LayerNode) -> list[Any]:
        found = [variable for _, variable in node.own]
        for child in self.below(node):
            found += self.keras_3(child)
        return found

    def keras_2(self, node: LayerNode) -> list[Any]:
        """Keras 2's order. A layer: trainable weights, then the others. A model: layer by layer, then its own."""
        if not is_model(node.layer):
            trainable, rest = self.halves(node)
            return trainable + rest
        found: list[Any] = []
        for child in self.below(node):
            found += self.keras_2(child)
        return found + [variable for _, variable in node.own]

    def halves(self, node: LayerNode) -> tuple[list[Any], list[Any]]:
        """The trainable weights in a layer of Keras 2 and below it, and the others."""
        own = [variable for _, variable in node.trainable], [variable for _, variable in node.non_trainable]
        below: tuple[list[Any], list[Any]] = ([], [])
        for child in self.below(node):
            for half, part in zip(below, self.halves(child)):
                half.extend(part)
        if is_model(node.layer):
            return below[0] + own[0], below[1] + own[1]
        return own[0] + below[0], own[1] + below[1]


def _made_up(layer: Any) -> tuple[str, int | None]:
    """If Keras made a layer's name up: the name without the number, and the number; else the name and None."""
    name, kind = str(layer.name), type(layer).__name__
    prefix, base, number = _parts(name)
    ours = snake_case(kind)
    as_class = base in (ours, _snake_case(kind, "[a-z0-9]"))  # Keras 2 makes the second: conv_lst_m2d
    if not as_class and not (base in _OF_MODELS and is_functional(layer)):
        return name, None
    if kind in ("Functional", "Model") and is_functional(layer):
        ours = "functional"
    return prefix + ours, number


@functools.lru_cache(maxsize=1024)
def _snake_case(name: str, small: str) -> str:
    name = re.sub(r"\W+", "", name)
    name = re.sub(f"(.)([A-Z]{small}+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
