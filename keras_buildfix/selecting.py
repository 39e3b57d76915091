"""Which layers and weights of a model somebody means: by name, instance, class or a function that tells."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from keras_buildfix import _keras
from keras_buildfix.weight_names import LayerNode
from keras_buildfix.weight_report import nearest_names

#: A glob or compiled regular expression over canonical names of layers and weights, a layer, a weight, a layer class,
#: a function that is given each layer, or a sequence of those.
Select = Union[str, "re.Pattern[str]", type, Callable[[Any], Any], Sequence[Any], Any]


@dataclass
class Selection:
    """What was meant, by ``id``: layers, each with all below it, and single weights."""

    layers: set[int] = field(default_factory=set)
    weights: set[int] = field(default_factory=set)
    #: The parts of what was asked for that nothing answers to, by their place: each in words.
    unmatched: dict[int, str] = field(default_factory=dict)


def select(tree: LayerNode, wanted: Select, wanted_by: str, *, partly: bool = False) -> Selection:
    """What `wanted` means in a layer or model; `partly`: in a part of the one that was meant.

    Raises:
        TypeError: If it is, or has in it, anything that can't be meant.
        ValueError: If a layer or weight is given that is not in this one.
    """
    found = Selection()
    start = "".join(f"{name}/" for name in tree.path)
    names = {key: start + name for key, name in tree.names().items()}
    node_of = {id(node.layer): node for node in tree.nodes()}
    for at, part in enumerate(_parts(wanted)):
        if isinstance(part, (str, re.Pattern)):
            if not _select_by_name(tree, names, part, found):
                found.unmatched[at] = nothing_called(tree, part if isinstance(part, str) else part.pattern)
            continue
        if _is_layer(part):
            if id(part) in node_of:
                _add(node_of[id(part)], found)
            elif not partly:
                raise ValueError(f"{wanted_by}: the layer {part.name!r} is not in {tree.layer.name!r}.")
            continue
        if id(part) in names:
            found.weights.add(id(part))
            continue
        if isinstance(part, type):
            _keras.layer_class(part, wanted_by)
            any_found = _select_where(tree, functools.partial(_is_a, part), found)
            reason = f"no layer is a {part.__name__}"
        elif callable(part) and not hasattr(part, "assign"):
            any_found = _select_where(tree, part, found)
            reason = f"{getattr(part, '__qualname__', part)} is true of no layer"
        elif hasattr(part, "assign") and partly:
            continue
        elif hasattr(part, "assign"):
            raise ValueError(f"{wanted_by}: the weight {getattr(part, 'name', part)!r} is not in {tree.layer.name!r}.")
        else:
            raise TypeError(
                f"{wanted_by} selects by a name (glob or compiled regular expression), a layer, a weight, a layer "
                f"class, a function of a layer, or a sequence of those; got {part!r:.80} (a {type(part).__name__})."
            )
        if not any_found:
            found.unmatched[at] = reason
    for node in tree.nodes():  # all weights of a layer that holds no others: the layer
        if node.own and not node.children and all(id(variable) in found.weights for _, variable in node.own):
            found.layers.add(id(node.layer))
    return found


def nothing_called(tree: LayerNode, name: str) -> str:
    """That there is no such name, and which come nearest."""
    names = ["/".join(node.path) for node in tree.nodes() if node.path]
    near = nearest_names([name], [*names, *tree.names().values()]).get(name, ())
    return f"no layer or weight is called {name!r}" + (f" (nearest: {', '.join(near)})" if near else "")


def _parts(wanted: Select) -> Iterable[Any]:
    if isinstance(wanted, (list, tuple, set, frozenset)):
        for part in wanted:
            yield from _parts(part)
    else:
        yield wanted


def _is_layer(part: object) -> bool:
    return not isinstance(part, type) and _keras.layer_base(type(part)) is not None


def _is_a(cls: type, layer: Any) -> bool:
    return isinstance(layer, cls)


def _select_by_name(tree: LayerNode, names: dict[int, str], pattern: str | re.Pattern[str], found: Selection) -> bool:
    """Adds what a pattern names; whether there is any such thing."""
    if isinstance(pattern, str):
        exact = pattern in names.values() or any("/".join(node.path) == pattern for node in tree.nodes())
        # A name with `[` or `*` in it means itself.
        matches: Callable[[str], Any] = pattern.__eq__ if exact else re.compile(fnmatch.translate(pattern)).match
    else:
        matches = pattern.search
    known = False
    for node in tree.nodes():
        if matches("/".join(node.path)):
            _add(node, found)
            known = True
            continue
        own = [variable for _, variable in node.own if matches(names[id(variable)])]
        if own:
            known = True
            found.weights |= {id(variable) for variable in own}
    return known


def _select_where(tree: LayerNode, matches: Callable[[Any], Any], found: Selection) -> bool:
    """Adds the layers that a function is true of, the layer itself only if it holds none; whether there are any."""
    known = False
    for node in tree.nodes():
        if (node is not tree or not tree.children) and matches(node.layer):
            _add(node, found)
            known = True
    return known


def _add(node: LayerNode, found: Selection) -> None:
    if id(node.layer) not in found.layers:
        found.layers |= {id(each.layer) for each in node.nodes()}
