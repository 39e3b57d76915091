"""``named_weights`` and ``get_weights``: the weights of a layer or model by name."""

from __future__ import annotations

from typing import Any

from keras_buildfix._arrays import Array
from keras_buildfix._keras.classes import layer_instance
from keras_buildfix._keras.variables import read_value
from keras_buildfix.layer_tree.selecting import Select, is_everything, part_of
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree


def named_weights(layer: Any) -> dict[str, Any]:
    """Returns the weights of a layer or model by name. Each weight has one name, the same on every Keras.

    A name consists of the names of the layers on the way to the weight, and its own:
    ``encoder/block_1/dense/kernel``, ``bn/moving_mean``. Keras numbers the names that it makes up through the
    whole process. Here a layer's number counts only its siblings, in the order in which they were made: if
    ``dense_7`` was made first, it becomes ``dense``. The name of `layer` itself and ``:0`` are left out. If several
    paths lead to a weight (in a shared layer), its name is the shortest path.

    Args:
        layer: A layer or model. A layer that is not built yet has no weights, so it does not show.

    Returns:
        Name -> variable, in Keras's order (that of ``layer.weights`` when nothing is frozen). Random seeds,
        metrics and the optimizer's state are not weights.

    Raises:
        TypeError: If `layer` is not a Keras layer.

    Examples:
        >>> import keras
        >>> from keras_buildfix import named_weights
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(2, name="top")])
        >>> list(named_weights(model))
        ['dense/kernel', 'dense/bias', 'top/kernel', 'top/bias']

    Source: Keras 2 names a weight ``dense/kernel:0``; Keras 3 ``kernel``, with the path ``sequential/dense/kernel``.
    """
    return weight_tree(layer_instance(layer, "named_weights")).weights()


def get_weights(layer: Any, select: Select = "*", *, exclude: Select | None = None) -> dict[str, Array]:
    """Returns the values of a layer's or model's weights, by the names that ``named_weights`` gives.

    Args:
        layer: A layer or model.
        select: Which weights to get. A glob (``"encoder/*"``; ``*`` also matches ``/``) or a compiled regular
            expression (a partial match is enough), compared with the names of layers and weights that
            ``named_weights`` gives; a layer, with all layers inside it; a weight; a layer class; a function that
            returns True for the layers you mean; or a sequence of those, such as ``model.trainable_weights``.
        exclude: Which of the selected weights to leave out.

    Returns:
        Name -> a numpy array, which is a copy, in the weight's dtype (bfloat16 is that of ml_dtypes), in Keras's
        order.

    Raises:
        TypeError: If `layer` is not a Keras layer, or `select` or `exclude` can't mean a layer or weight.
        ValueError: If a part of `select` or `exclude` matches nothing, or no weights are left.

    Examples:
        >>> import keras
        >>> from keras_buildfix import get_weights
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, name="head")])
        >>> list(get_weights(model, exclude="head"))
        ['dense/kernel', 'dense/bias']
        >>> get_weights(model, "*/kernel")["head/kernel"].shape
        (2, 1)

    Source: Keras's own ``get_weights`` returns a list without names; on Keras 2 its order depends on what is frozen.
    """
    tree = weight_tree(layer_instance(layer, "get_weights"))
    weights = selected_weights(tree, select, exclude, "get_weights")
    return {name: read_value(variable) for name, variable in weights.items()}


def selected_weights(tree: LayerNode, select: Select, exclude: Select | None, wanted_by: str) -> dict[str, Any]:
    """The selected weights of a layer or model, by name."""
    if is_everything(select, exclude):
        return tree.weights()
    part = part_of(tree, select, exclude, wanted_by)
    return {name: variable for name, variable in tree.weights().items() if id(variable) in part.ids}
