"""What of a model is trained and what is frozen: counts and bytes, layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from keras_buildfix import _keras
from keras_buildfix._entries import itemsize
from keras_buildfix._variables import dtype_of, shape_of
from keras_buildfix.weight_names import weight_tree


@dataclass(frozen=True)
class LayerTrainability:
    """How much of a layer is trained.

    Attributes:
        name: The layer's canonical name, as ``named_weights`` has it; ``"total"`` in the last line.
        trainable: How many numbers of its own weights are trained.
        trainable_bytes: The bytes that they take.
        frozen: How many are not: frozen ones, and those that are never trained by a gradient.
        frozen_bytes: The bytes that they take.
    """

    name: str
    trainable: int = 0
    trainable_bytes: int = 0
    frozen: int = 0
    frozen_bytes: int = 0


@dataclass(frozen=True)
class TrainableSummary:
    """What of a model is trained, layer by layer. Prints as a table.

    Attributes:
        layers: A line for each layer that has weights of its own.
        total: All of them together; a weight of a shared layer counts once.
        not_built: Names of layers that may get weights when they are built.
    """

    layers: tuple[LayerTrainability, ...]
    total: LayerTrainability
    not_built: tuple[str, ...] = ()

    def __str__(self) -> str:
        width = max(len(each.name) for each in (*self.layers, self.total, LayerTrainability("layer")))
        head = f"{'layer':{width}}{'trainable':>14}{'bytes':>14}{'frozen':>14}{'bytes':>14}"
        lines = [head, "-" * len(head)]
        for each in (*self.layers, self.total):
            numbers = (each.trainable, each.trainable_bytes, each.frozen, each.frozen_bytes)
            lines.append(f"{each.name:{width}}" + "".join(f"{number:>14,}" for number in numbers))
        return "\n".join([*lines, *(f"not built yet: {name}" for name in self.not_built)])


@dataclass(frozen=True, repr=False)
class FreezeReport:
    """What ``freeze``, ``unfreeze``, ``freeze_up_to`` or ``frozen`` has changed. Prints as a line.

    What was so before is in neither list.

    Attributes:
        action: ``"froze"`` or ``"unfroze"``.
        layers: Names of the layers that have weights of their own, of which the layer or a weight has changed.
        weights: Names of the weights that were trained and no longer are, or the other way round.
        of: How many weights there are that could be trained.
        waiting: Names of the layers that are not built yet: the rule holds for what their ``build`` makes.
    """

    action: Literal["froze", "unfroze"]
    layers: tuple[str, ...]
    weights: tuple[str, ...]
    of: int
    waiting: tuple[str, ...] = ()

    def __str__(self) -> str:
        waits = f"waits for {_many(len(self.waiting), 'layer')} to be built" if self.waiting else ""
        if waits and not self.of:
            return f"{self.action} nothing yet, {waits}"
        text = f"{self.action} {_many(len(self.layers), 'layer')}, {len(self.weights)} of {_many(self.of, 'weight')}"
        return f"{text}, {waits}" if waits else text

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def trainable_summary(layer: Any) -> TrainableSummary:
    """What of a layer or model is trained and what is frozen, by layer: counts and bytes.

    Args:
        layer: A layer or model. What is not built yet has no weights, and is named as such.

    Returns:
        A report that prints as a table.

    Raises:
        TypeError: If `layer` is no Keras layer.

    Example:
        >>> import keras
        >>> from keras_buildfix import freeze, trainable_summary
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, name="head")])
        >>> print(freeze(model, "dense"))
        froze 1 layer, 2 of 4 weights
        >>> print(trainable_summary(model))
        layer     trainable         bytes        frozen         bytes
        -------------------------------------------------------------
        dense             0             0             8            32
        head              3            12             0             0
        total             3            12             8            32

    Source: ``model.summary()`` has the totals, in a form that differs from Keras to Keras.
    """
    tree = weight_tree(_keras.layer_instance(layer, "trainable_summary"))
    trained = {id(variable) for variable in _trained(layer)}
    seen: set[int] = set()
    lines, not_built = [], []
    for node in tree.nodes():
        own = [variable for _, variable in node.own if id(variable) not in seen]
        seen |= {id(variable) for variable in own}
        name = "/".join(node.path) or str(node.layer.name)
        if own:
            lines.append(_counted(name, own, trained))
        elif not getattr(node.layer, "built", True) and not node.children:
            not_built.append(name)
    numbers = [
        [getattr(each, name) for each in lines] for name in ("trainable", "trainable_bytes", "frozen", "frozen_bytes")
    ]
    return TrainableSummary(tuple(lines), LayerTrainability("total", *map(sum, numbers)), tuple(not_built))


def _trained(model: Any) -> list[Any]:
    try:
        return list(model.trainable_weights)
    except ValueError:  # Keras 2: a model that is not built yet, though layers in it are
        return [variable for layer in model.layers for variable in layer.trainable_weights] if model.trainable else []


def _counted(name: str, variables: list[Any], trained: set[int]) -> LayerTrainability:
    counts = {True: [0, 0], False: [0, 0]}
    for variable in variables:
        size = math.prod(axis or 0 for axis in shape_of(variable))
        of = counts[id(variable) in trained]
        of[0] += size
        of[1] += int(size * itemsize(dtype_of(variable)))
    return LayerTrainability(name, *counts[True], *counts[False])
