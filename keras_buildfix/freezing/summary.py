"""The reports of freezing: what it changed, and how many weights of each layer are trained and frozen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from keras_buildfix._arrays import itemsize
from keras_buildfix._keras.classes import layer_instance
from keras_buildfix._keras.variables import dtype_of, shape_of
from keras_buildfix._words import many
from keras_buildfix.layer_tree.tree import weight_tree


@dataclass(frozen=True)
class LayerTrainability:
    """How much of a layer is trained.

    Attributes:
        name: The layer's canonical name, as in ``named_weights``; ``"total"`` in the last line.
        trainable: How many numbers in its own weights are trained.
        trainable_bytes: The bytes that these take.
        frozen: How many are not trained: in frozen weights, and in weights that no gradient ever trains.
        frozen_bytes: The bytes that these take.
    """

    name: str
    trainable: int = 0
    trainable_bytes: int = 0
    frozen: int = 0
    frozen_bytes: int = 0


@dataclass(frozen=True)
class TrainableSummary:
    """How much of a model is trained, layer by layer. Prints as a table.

    Attributes:
        layers: A line for each layer that has weights of its own.
        total: The sum of these lines; a weight of a shared layer counts once.
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

    The lists leave out what was already frozen or unfrozen before.

    Attributes:
        action: ``"froze"`` or ``"unfroze"``.
        layers: Names of the layers that have weights of their own and whose flag or weights have changed.
        weights: Names of the weights that were trained and no longer are, or the other way round.
        of: How many weights could be trained in all.
        waiting: Names of the layers that are not built yet: the change applies to the weights that they make then.
    """

    action: Literal["froze", "unfroze"]
    layers: tuple[str, ...]
    weights: tuple[str, ...]
    of: int
    waiting: tuple[str, ...] = ()

    def __str__(self) -> str:
        waits = f"waits for {many(len(self.waiting), 'layer')} to be built" if self.waiting else ""
        if waits and not self.of:
            return f"{self.action} nothing yet, {waits}"
        if not self.layers and not self.weights and not waits:
            done = "frozen" if self.action == "froze" else "trained"
            return f"{self.action} nothing: what is selected was {done} already"
        text = f"{self.action} {many(len(self.layers), 'layer')}, {len(self.weights)} of {many(self.of, 'weight')}"
        return f"{text}, {waits}" if waits else text

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def trainable_summary(layer: Any) -> TrainableSummary:
    """Counts the trained and frozen numbers in a layer or model, and their bytes, layer by layer.

    Args:
        layer: A layer or model. Layers that are not built yet have no weights, and are listed separately.

    Returns:
        A report that prints as a table.

    Raises:
        TypeError: If `layer` is not a Keras layer.

    Examples:
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

    Source: ``model.summary()`` has only the totals, in a form that depends on the Keras version.
    """
    tree = weight_tree(layer_instance(layer, "trainable_summary"))
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
    except ValueError:  # Keras 2: the model is not built yet, though layers in it are
        return [variable for layer in model.layers for variable in layer.trainable_weights] if model.trainable else []


def _counted(name: str, variables: list[Any], trained: set[int]) -> LayerTrainability:
    counts = {True: [0, 0], False: [0, 0]}
    for variable in variables:
        size = math.prod(axis or 0 for axis in shape_of(variable))
        of = counts[id(variable) in trained]
        of[0] += size
        of[1] += int(size * itemsize(dtype_of(variable)))
    return LayerTrainability(name, *counts[True], *counts[False])
