"""``select=`` and ``exclude=``: finds the layers and weights of a model by name, instance, class or function."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, Union

from keras_buildfix._keras.classes import describe, describe_layer, layer_base, layer_class
from keras_buildfix._keras.info import keras_info
from keras_buildfix._words import nearest_names
from keras_buildfix.layer_tree.after_build import is_to_build
from keras_buildfix.layer_tree.tree import LayerNode


class Trainable(Protocol):
    """What type checkers know of a layer or weight of any Keras."""

    @property
    def trainable(self) -> Any:
        """Whether it is trained."""


#: A glob or compiled regular expression over canonical names of layers and weights, a layer, a weight, a layer class,
#: a function that gets each layer and returns whether it is selected, or a sequence of those.
Select = Union[str, "re.Pattern[str]", type, Callable[[Any], Any], Collection[Any], "Trainable"]


@dataclass
class Selection:
    """What is selected, by ``id``: layers, each with all layers inside it, and single weights."""

    layers: set[int] = field(default_factory=set)
    weights: set[int] = field(default_factory=set)
    #: The parts of the request that match nothing, by their position: each in words.
    unmatched: dict[int, str] = field(default_factory=dict)


def find_selected(tree: LayerNode, wanted: Select, wanted_by: str, *, partly: bool = False) -> Selection:
    """What `wanted` selects in a layer or model.

    With `partly`, `tree` is only a part of the model, so a layer or weight that is not in it is no error.

    Raises:
        TypeError: If it is or contains something that can't select anything.
        ValueError: If it has a layer or weight that is not in this layer or model.
    """
    found = Selection()
    start = "".join(f"{name}/" for name in tree.path)
    names = {key: start + name for key, name in tree.names().items()}
    node_of = {id(node.layer): node for node in tree.nodes()}
    parts = list(_parts(wanted))
    if not parts:
        raise ValueError(f"{wanted_by}: {wanted!r} selects nothing in {tree.layer.name!r}. Nothing was changed.")
    for at, part in enumerate(parts):
        if isinstance(part, (str, re.Pattern)):
            if not _select_by_name(tree, names, part, found):
                found.unmatched[at] = nothing_called(tree, part, is_pattern=True)
        elif id(part) in names:
            found.weights.add(id(part))
        elif _is_layer(part) and id(part) in node_of:
            _add(node_of[id(part)], found)
        elif _is_layer(part) or (hasattr(part, "assign") and not isinstance(part, type)):
            if not partly:
                kind = "layer" if _is_layer(part) else "weight"
                which = getattr(part, "name", part)
                raise ValueError(f"{wanted_by}: the {kind} {which!r} is not in {tree.layer.name!r}.")
        elif reason := _select_by_kind(tree, part, found, wanted_by):
            found.unmatched[at] = reason
    for node in tree.nodes():  # if all weights of a layer without inner layers are selected, so is the layer
        if node.own and not node.children and all(id(variable) in found.weights for _, variable in node.own):
            found.layers.add(id(node.layer))
    return found


def find_excluded(tree: LayerNode, wanted: Select | None, wanted_by: str, *, partly: bool = False) -> Selection:
    """What `wanted` excludes, found as ``find_selected`` does it. None and an empty sequence exclude nothing."""
    if wanted is None or not any(True for _ in _parts(wanted)):
        return Selection()
    return find_selected(tree, wanted, wanted_by, partly=partly)


def is_everything(select: Select, exclude: Select | None) -> bool:
    """Whether a selection is the default: all weights."""
    return isinstance(select, str) and select == "*" and exclude is None


@dataclass(frozen=True)
class Part:
    """The selected weights of a layer or model.

    Attributes:
        ids: The ``id`` of each weight.
        layers: The names of the layers that are selected as a whole; an empty name means the whole model.
    """

    ids: frozenset[int]
    layers: tuple[str, ...]

    def holds(self, name: str) -> bool:
        """Whether a weight of that name would be in one of these layers."""
        return any(not layer or name.startswith(f"{layer}/") for layer in self.layers)


def part_of(tree: LayerNode, select: Select, exclude: Select | None, wanted_by: str, *, built: bool = False) -> Part:
    """The weights that are selected and not excluded; with `built`, the whole model must be built.

    Raises:
        TypeError: If `select` or `exclude` can't select layers or weights.
        ValueError: If a part of them matches nothing, if no weights are left, or if a selected layer is not built yet.
    """
    model = f"{tree.layer.name!r} ({keras_info(tree.layer)})"
    where = f"in {model}. Nothing was changed."
    unbuilt = [node for node in tree.nodes() if is_to_build(node.layer)]
    if built and unbuilt:
        raise ValueError(
            f"{wanted_by}: select= and exclude= need a built model, and the layer "
            f"{unbuilt[-1].layer.name!r} of {model} is not built yet. Nothing was changed. Call it on data first."
        )
    chosen = find_selected(tree, select, wanted_by)
    left_out = find_excluded(tree, exclude, wanted_by)
    if unmatched := in_words(chosen.unmatched, left_out.unmatched):
        raise ValueError(f"{wanted_by}: {unmatched} {where}")
    for node in unbuilt:
        if id(node.layer) in chosen.layers - left_out.layers:
            raise ValueError(
                f"{wanted_by}: the layer {node.layer.name!r} is selected and not built yet {where} "
                "Call it on data first."
            )
    ids = {
        id(variable)
        for node in tree.nodes()
        for _, variable in node.own
        if (id(node.layer) in chosen.layers or id(variable) in chosen.weights)
        and id(node.layer) not in left_out.layers
        and id(variable) not in left_out.weights
    }
    if not ids:
        raise ValueError(f"{wanted_by}: the selection has no weights {where}")
    whole: dict[int, str] = {}
    for node in reversed(list(tree.nodes())):  # inner layers come before the layers around them
        meant = id(node.layer) in chosen.layers and all(id(variable) in ids for _, variable in node.own)
        if meant and id(node.layer) not in left_out.layers and all(id(child) in whole for child in node.children):
            whole[id(node)] = "/".join(node.path)
    return Part(frozenset(ids), tuple(whole.values()))


def in_words(chosen: dict[int, str], left_out: dict[int, str]) -> str:
    """The parts that match nothing, of the selection and of what is excluded, as one text."""
    return "; ".join((*chosen.values(), *(f"exclude: {why}" for why in left_out.values())))


def nothing_called(tree: LayerNode, wanted: str | re.Pattern[str], *, is_pattern: bool = False) -> str:
    """Says that there is no such name, with the nearest ones; `is_pattern`: it may also be a glob or an expression."""
    if isinstance(wanted, re.Pattern):
        return f"no layer or weight has a name that the regular expression {wanted.pattern!r} matches"
    names = [*("/".join(node.path) for node in tree.nodes() if node.path), *tree.names().values()]
    near = nearest_names([wanted], names).get(wanted, ())
    hints = [f"nearest: {', '.join(near)}"] if near else []
    if is_pattern and _is_regular_expression(wanted, names):
        hints.append(f"text is a glob; a regular expression is re.compile({wanted!r})")
    return f"no layer or weight is called {wanted!r}" + (f" ({'; '.join(hints)})" if hints else "")


def _is_regular_expression(text: str, names: Iterable[str]) -> bool:
    """Whether a text looks like a regular expression, and matches names as one."""
    try:
        return bool(re.search(r"[\^$\\+(|]|\.[*?]", text)) and any(re.search(text, name) for name in names)
    except re.error:
        return False


def _parts(wanted: Select) -> Iterable[Any]:
    if isinstance(wanted, (list, tuple, set, frozenset)):
        for part in wanted:
            yield from _parts(part)
    else:
        yield wanted


def _is_layer(part: object) -> bool:
    return not isinstance(part, type) and layer_base(type(part)) is not None


def _answer(function: Callable[[Any], Any], wanted_by: str, layer: Any) -> bool:
    """Whether a user's function selects a layer; if it raises, a ValueError names the function and the layer."""
    try:
        return bool(function(layer))
    except Exception as error:
        raise ValueError(
            f"{wanted_by}: {getattr(function, '__qualname__', function)} raises {type(error).__name__} for "
            f"{describe_layer(layer)}: {error}. It must work for every layer. Nothing was changed."
        ) from error


def _is_a(cls: type, layer: Any) -> bool:
    return isinstance(layer, cls)


def _select_by_name(tree: LayerNode, names: dict[int, str], pattern: str | re.Pattern[str], found: Selection) -> bool:
    """Adds the layers and weights that a pattern matches; returns whether there are any."""
    if isinstance(pattern, str):
        exact = pattern in names.values() or any("/".join(node.path) == pattern for node in tree.nodes())
        # A name with `[` or `*` in it is not a glob: it means itself.
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


def _select_by_kind(tree: LayerNode, part: Any, found: Selection, wanted_by: str) -> str:
    """Adds the layers that are of a class, or of which a function is true; returns why, if there are none."""
    if isinstance(part, type):
        layer_class(part, wanted_by)
        known = _select_where(tree, functools.partial(_is_a, part), found)
        return "" if known else f"no layer is a {part.__name__}"
    if callable(part):
        known = _select_where(tree, functools.partial(_answer, part, wanted_by), found)
        return "" if known else f"{getattr(part, '__qualname__', part)} is true of no layer"
    raise TypeError(
        f"{wanted_by} selects by a name (glob or compiled regular expression), a layer, a weight, a layer "
        f"class, a function of a layer, or a sequence of those; got {describe(part)}."
    )


def _select_where(tree: LayerNode, matches: Callable[[Any], Any], found: Selection) -> bool:
    """Adds the layers of which a function is true; returns whether there are any.

    The outermost layer counts only if it holds no layers.
    """
    known = False
    for node in tree.nodes():
        if (node is not tree or not tree.children) and matches(node.layer):
            _add(node, found)
            known = True
    return known


def _add(node: LayerNode, found: Selection) -> None:
    if id(node.layer) not in found.layers:
        found.layers |= {id(each.layer) for each in node.nodes()}
