"""``share_weights``: makes one layer use the weights of another."""

from __future__ import annotations

from typing import Any

from keras_buildfix._keras.classes import layer_instance
from keras_buildfix._keras.info import keras_info
from keras_buildfix._keras.tracking import is_held, replace_weight
from keras_buildfix._keras.variables import dtype_of, shape_of
from keras_buildfix._words import nearest_names
from keras_buildfix.layer_tree.after_build import AfterBuild, layers_to_build
from keras_buildfix.layer_tree.tree import weight_tree
from keras_buildfix.weight_files.renaming import Rename, renamed
from keras_buildfix.weights.report import SkippedWeight, WeightReport
from keras_buildfix.weights.sources import entry_of


def share_weights(source: Any, target: Any, *, rename: Rename | None = None, strict: bool = True) -> WeightReport:
    """Makes a layer use the variables of another: both train the same weights, which count once.

    Use it for tied embeddings and Siamese towers. It matches weights by their names in the two layers
    (``named_weights``). A layer that is not built yet shares its weights as soon as its ``build`` ends.

    Args:
        source: The layer or model whose variables are used.
        target: The layer or model that uses them from now on; it drops its own. If it is part of a compiled
            model, compile that model again.
        rename: How to change the names in `source`, as in ``transfer_weights``.
        strict: If True, it is an error if a weight of `target` has no counterpart of its shape and dtype. If
            False, the weight keeps its own variable.

    Returns:
        A report, whose ``assigned`` lists the shared weights.

    Raises:
        TypeError: If one of the two is not a Keras layer.
        ValueError: If they do not fit, or belong to different Keras packages or backends; nothing has changed then.

    ``.safetensors`` and ``.npz`` hold a shared weight once, under its first name; the other formats hold it for
    both layers. No file and no copy keeps the sharing: a new model (``load_model``, ``deepcopy``) shares if its
    own code calls this function. On TensorFlow, what ran before (``predict``, ``fit``, a ``tf.function``) uses
    the old variables until it is compiled again. The weight of an Embedding is that of a Dense transposed, so
    the two can't share: read ``embedding.embeddings`` in your ``call``.

    Examples:
        >>> import keras
        >>> from keras_buildfix import share_weights
        >>> one, other = keras.layers.Dense(2), keras.layers.Dense(2)
        >>> one.build((None, 3))
        >>> report = share_weights(one, other)  # waits
        >>> other.build((None, 3))
        >>> one.kernel is other.kernel
        True

    Source: ``kernel`` has no setter on Keras 3.0.3 to nightly.
    """
    layer_instance(source, "share_weights")
    layer_instance(target, "share_weights")
    if source is target:
        raise ValueError(f"share_weights: {source.name!r} can't share with itself.")
    unbuilt = [*layers_to_build(weight_tree(source)), *layers_to_build(weight_tree(target))]
    if not unbuilt:
        return _share(source, target, rename, strict)
    waiting = {id(layer) for layer in unbuilt}

    def built(layer: Any) -> None:
        waiting.discard(id(layer))
        if not waiting:
            _share(source, target, rename, strict)

    for layer in unbuilt:
        AfterBuild(layer, built)
    return WeightReport(waiting=tuple(layer.name for layer in unbuilt))


def _share(source: Any, target: Any, rename: Rename | None, strict: bool) -> WeightReport:
    tree = weight_tree(target)
    entries = {name: entry_of(name, weight) for name, weight in weight_tree(source).weights().items()}
    given = {name: entry.variable for name, entry in renamed(entries, rename).items()}
    wanted = tree.weights()
    skipped = [
        SkippedWeight(name, _unlike(variable, given[name], source.name))
        for name, variable in wanted.items()
        if name in given and not _alike(variable, given[name])
    ]
    unfit = {each.name for each in skipped}
    missing = [name for name in wanted if name not in given]
    shared = {id(variable): given[name] for name, variable in wanted.items() if name in given and name not in unfit}
    report = WeightReport(
        assigned=tuple(name for name in wanted if name in given and name not in unfit),
        missing=tuple(missing),
        skipped=tuple(skipped),
        nearest=nearest_names(missing, given),
    )
    if strict and not report.complete:
        raise ValueError(
            f"share_weights: {target.name!r} ({keras_info(target)}) can't use all weights of {source.name!r}; "
            f"nothing was changed.\n{report.refused()}\n"
            "rename= maps names; with strict=False a weight that does not fit keeps its own variable."
        )
    for node in tree.nodes():
        for name, variable in node.own:
            if id(variable) in shared and not is_held(node.layer, variable):
                raise ValueError(
                    f"share_weights: no attribute of {node.layer.name!r} holds its weight {name!r}, so it can't "
                    "be replaced; keep it as an attribute, or in a list, tuple or dict. Nothing was changed."
                )
    for node in tree.nodes():
        for _, variable in node.own:
            if id(variable) in shared and shared[id(variable)] is not variable:
                replace_weight(node.layer, variable, shared[id(variable)])
    return report


def _alike(one: Any, other: Any) -> bool:
    return type(one) is type(other) and shape_of(one) == shape_of(other) and dtype_of(one) == dtype_of(other)


def _unlike(one: Any, other: Any, there: str) -> str:
    """Says how two weights differ that can't be shared."""
    kinds = [f"{dtype_of(each)}{list(shape_of(each))}" for each in (one, other)]
    if type(one) is not type(other):
        kinds = [f"{kind} of {type(each).__module__}" for kind, each in zip(kinds, (one, other))]
    return f"it is {kinds[0]}, and in {there!r} {kinds[1]}"
