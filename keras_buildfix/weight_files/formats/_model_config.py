"""Finds the names of a saved model's layers in its config, for the groups in its file of weights.

Before Keras 3.9 the file of weights in a ``.keras`` has no names, only classes and numbers in the order of
the model's layers (measured on 2.12 to 3.8). The config beside it lists the same layers in the same order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

#: Where Keras stores the layers of a model: on 2.13 to nightly, and on 2.12.
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")


def layer_names(config: bytes, paths: Iterable[str]) -> dict[str, str]:
    """The names of layers in functional and sequential models, also in nested ones.

    Args:
        config: A model's ``config.json``. Anything in it that Keras would not write is ignored.
        paths: All paths in the file of weights.

    Returns:
        The path of a layer's group -> its name.
    """
    children: dict[str, list[str]] = {}
    for path in paths:
        parent, _, name = path.rpartition("/")
        children.setdefault(parent, []).append(name)
    found: dict[str, str] = {}
    try:
        waiting: list[tuple[str, Any]] = [("", json.loads(config))]
    except (ValueError, RecursionError):
        return {}
    while waiting:
        at, model = waiting.pop()
        layers = _layers(model)
        for container in _CONTAINERS:
            place = f"{at}{container}"
            groups: dict[str, dict[int, str]] = {}
            for name in children.get(place, ()):
                kind, number = _counted(name)
                groups.setdefault(kind, {})[number] = f"{place}/{name}"
            if all(_is_told(groups[kind], layers.get(kind, [])) for kind in groups):
                for kind, paths_of in groups.items():
                    step = 1 if max(paths_of) < len(layers[kind]) else 2
                    for number, path in paths_of.items():
                        layer = layers[kind][number // step]
                        found[path] = _name(layer) or ""
                        waiting.append((f"{path}/", layer))
    return found


def _layers(model: Any) -> dict[str, list[Any]]:
    """The layers in a model's config, by their class, spelled as in the names of groups in the file of weights."""
    layers = _get(_get(model, "config"), "layers")
    found: dict[str, list[Any]] = {}
    for layer in layers if isinstance(layers, list) else ():
        cls = _get(layer, "class_name")
        if not isinstance(cls, str) or _name(layer) is None:
            return {}
        found.setdefault(re.sub(r"\W|_", "", cls).lower(), []).append(layer)
    return found


def _name(layer: Any) -> str | None:
    """The name of a layer. A functional model's config has it even if the config of the layer's class does not."""
    name = _get(layer, "name") or _get(_get(layer, "config"), "name")
    return name if name and isinstance(name, str) else None


def _is_told(numbers: Collection[int], layers: Sequence[Any]) -> bool:
    """Whether the numbers of a class's groups say which layer each group is.

    2.13 counts in steps of two. A layer that is also held elsewhere may have no group; then even numbers could
    follow either way of counting.
    """
    if max(numbers) >= len(layers):
        return sorted(numbers) == list(range(0, 2 * len(layers), 2))
    return max(numbers) < 2 or len(numbers) == len(layers) or any(number % 2 for number in numbers)


def _counted(group: str) -> tuple[str, int]:
    """The class and the number in a group's name: ``conv2d_1`` is the second of its class."""
    base, _, number = group.rpartition("_")
    if base and number.isdecimal():
        return base.replace("_", ""), int(number)
    return group.replace("_", ""), 0


def _get(thing: Any, key: str) -> Any:
    return thing.get(key) if isinstance(thing, dict) else None
