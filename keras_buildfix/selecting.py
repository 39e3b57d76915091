"""Which layers and weights of a model somebody means: by name, instance, class or a function that tells."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, Union

from keras_buildfix import _keras
from keras_buildfix.after_build import is_to_build
from keras_buildfix.info import keras_info
from keras_buildfix.weight_names import LayerNode
from keras_buildfix.weight_report import nearest_names


class Trainable(Protocol):
    """What type checkers know of a layer or weight of any Keras."""

    @property
    def trainable(self) -> Any:
        """Whether it is trained."""


#: A glob or compiled regular expression over canonical names of layers and weights, a layer, a weight, a layer class,
#: a function that is given each layer, or a sequence of those.
Select = Union[str, "re.Pattern[str]", type, Callable[[Any], Any], Collection[Any], "Trainable"]


@dataclass
class Selection:
    """What was meant, by ``id``: layers, each with all below it, and single weights."""

    layers: set[int] = field(default_factory=set)
    weights: set[int] = field(default_factory=set)
    #: The parts of what was asked for that nothing answers to, by their place: each in words.
    unmatched: dict[int, str] = field(default_factory=dict)


def find_selected(tree: LayerNode, wanted: Select, wanted_by: str, *, partly: bool = False) -> Selection:
    """What `wanted` means in a layer or model; `partly`: in a part of the one that was meant.

    Raises:
        TypeError: If it is, or has in it, anything that can't be meant.
        ValueError: If a layer or weight is given that is not in this one.
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
            any_found = _select_where(tree, functools.partial(_answer, part, wanted_by), found)
            reason = f"{getattr(part, '__qualname__', part)} is true of no layer"
        elif hasattr(part, "assign") and partly:
            continue
        elif hasattr(part, "assign"):
            raise ValueError(f"{wanted_by}: the weight {getattr(part, 'name', part)!r} is not in {tree.layer.name!r}.")
        else:
            raise TypeError(
                f"{wanted_by} selects by a name (glob or compiled regular expression), a layer, a weight, a layer "
                f"class, a function of a layer, or a sequence of those; got {_keras.describe(part)}."
            )
        if not any_found:
            found.unmatched[at] = reason
    for node in tree.nodes():  # all weights of a layer that holds no others: the layer
        if node.own and not node.children and all(id(variable) in found.weights for _, variable in node.own):
            found.layers.add(id(node.layer))
    return found


def find_excluded(tree: LayerNode, wanted: Select | None, wanted_by: str, *, partly: bool = False) -> Selection:
    """The same for what is to be left out, which may be nothing: None, or a sequence without a part."""
    if wanted is None or not any(True for _ in _parts(wanted)):
        return Selection()
    return find_selected(tree, wanted, wanted_by, partly=partly)


@dataclass(frozen=True)
class Part:
    """The weights of a layer or model that somebody means.

    Attributes:
        ids: The ``id`` of each weight.
        layers: The names of the layers that are meant as a whole; one of them is empty if all is.
    """

    ids: frozenset[int]
    layers: tuple[str, ...]

    def holds(self, name: str) -> bool:
        """Whether a weight of that name would be in one of these layers."""
        return any(not layer or name.startswith(f"{layer}/") for layer in self.layers)


def part_of(tree: LayerNode, select: Select, exclude: Select | None, wanted_by: str, *, built: bool = False) -> Part:
    """The weights that are selected, and not excluded; `built`: for which all of the model has to be built.

    Raises:
        TypeError: If `select` or `exclude` can't mean a layer or weight.
        ValueError: If a part of them matches nothing, if no weights are left, or if what is meant is not built yet.
    """
    model = f"{tree.layer.name!r} ({keras_info(tree.layer)})"
    where = f"in {model}. Nothing was changed."
    unbuilt = [node for node in tree.nodes() if is_to_build(node.layer)]
    if built and unbuilt:
        raise ValueError(
            f"{wanted_by}: select= and exclude= are for layers that are built, and the layer "
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
        raise ValueError(f"{wanted_by}: what is selected has no weights {where}")
    whole: dict[int, str] = {}
    for node in reversed(list(tree.nodes())):  # what is inside comes before what is around it
        meant = id(node.layer) in chosen.layers and all(id(variable) in ids for _, variable in node.own)
        if meant and id(node.layer) not in left_out.layers and all(id(child) in whole for child in node.children):
            whole[id(node)] = "/".join(node.path)
    return Part(frozenset(ids), tuple(whole.values()))


def in_words(chosen: dict[int, str], left_out: dict[int, str]) -> str:
    """What nothing answers to, of what is meant and of what is left out."""
    return "; ".join((*chosen.values(), *(f"exclude: {why}" for why in left_out.values())))


def nothing_called(tree: LayerNode, wanted: str | re.Pattern[str], *, is_pattern: bool = False) -> str:
    """That there is no such name, and which come nearest; `is_pattern`: it may also be a glob or an expression."""
    if isinstance(wanted, re.Pattern):
        return f"no layer or weight has a name that the regular expression {wanted.pattern!r} matches"
    names = [*("/".join(node.path) for node in tree.nodes() if node.path), *tree.names().values()]
    near = nearest_names([wanted], names).get(wanted, ())
    hints = [f"nearest: {', '.join(near)}"] if near else []
    if is_pattern and _is_regular_expression(wanted, names):
        hints.append(f"text is a glob; a regular expression is re.compile({wanted!r})")
    return f"no layer or weight is called {wanted!r}" + (f" ({'; '.join(hints)})" if hints else "")


def _is_regular_expression(text: str, names: Iterable[str]) -> bool:
    """Whether a text is written as a regular expression, and matches names if it is read so."""
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
    return not isinstance(part, type) and _keras.layer_base(type(part)) is not None


def _answer(function: Callable[[Any], Any], wanted_by: str, layer: Any) -> bool:
    """What a user's function says of a layer."""
    try:
        return bool(function(layer))
    except Exception as error:
        raise ValueError(
            f"{wanted_by}: {getattr(function, '__qualname__', function)} raises {type(error).__name__} for the layer "
            f"{layer.name!r} ({type(layer).__name__}): {error}. It has to answer for every layer. Nothing was changed."
        ) from error


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
