"""Freezes and unfreezes layers and weights on every Keras, from the next step on, in compiled models too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

from keras_buildfix._blocks import block
from keras_buildfix._keras.classes import layer_instance
from keras_buildfix.freezing.compiled_models import CompiledModel, compiled_models_with
from keras_buildfix.freezing.flags import Trainability
from keras_buildfix.freezing.rules import Rule
from keras_buildfix.freezing.summary import FreezeReport
from keras_buildfix.freezing.waiting import WaitingFreeze, forget_refusals, stop_all, take_note, waiting_in
from keras_buildfix.layer_tree.after_build import is_to_build, layers_to_build
from keras_buildfix.layer_tree.selecting import Select, nothing_called
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree

Batchnorm = Literal["frozen", "train"]
_KINDS = ("frozen", "train")


def freeze(
    layer: Any, select: Select = "*", *, exclude: Select | None = None, batchnorm: Batchnorm = "frozen"
) -> FreezeReport:
    """Stops the training of layers or weights, from the next step on, in compiled models too.

    It changes every compiled model that holds them, without a new ``compile``. The loss, the metrics and their
    state, the learning rate, the loss scale, and the optimizer's state for all other weights stay. If a callback
    calls it, it applies from the next batch on. A frozen weight does not change by a bit: it gets no weight decay
    and no moving average, and it is in no gradient norm. (A layer that assigns to its own weights in ``call``, like
    SpectralNormalization, still does so.)

    It changes the optimizer given to ``compile``, and those that the model's attributes hold, also in lists and
    dicts. An optimizer keeps what it has for a weight (Adam's moments) until that weight is trained again. A model
    keeps the traced steps of the last eight sets of trained weights until the next ``compile``: if you train sets
    in turns, each is traced only once. Keras saves and copies a layer's flag. It does not save which single weights
    are frozen, nor ``batchnorm="train"``: call ``freeze`` again after loading, and after setting ``trainable`` by
    hand.

    Args:
        layer: A layer or model, built or not. Layers that are not built yet are frozen when they are built.
        select: What to freeze. A glob (``"encoder/*"``; ``*`` also matches ``/``) or a compiled regular
            expression (which may match a part of a name) over the names of layers and weights from
            ``named_weights``; a layer; a weight; a layer class; a function that is true of the layers to
            freeze; or a sequence of those. A layer includes all layers inside it.
        exclude: What to leave unchanged, out of the selection.
        batchnorm: What to do with a selected BatchNormalization. ``"frozen"``: it runs in inference mode and
            its statistics do not change. ``"train"``: it still updates its statistics, and only its ``gamma``
            and ``beta`` are frozen.

    Returns:
        What has changed; prints as ``froze 3 layers, 6 of 8 weights``.

    Raises:
        TypeError: If `layer` is not a Keras layer, or `select` can't select layers.
        ValueError: If a part of `select` or `exclude` matches nothing (the message shows the nearest names), if
            the selection has no weights that could be trained, or, on Keras 2, if weights can't be frozen
            without their layer. Nothing is changed then. For layers that are not built yet, the error comes
            when they are built.

    Examples:
        >>> import keras
        >>> from keras_buildfix import freeze
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, name="head")])
        >>> print(freeze(model, exclude="head"))
        froze 1 layer, 2 of 4 weights
        >>> len(model.trainable_weights)
        2

    Source: after a ``fit``, every Keras ignores ``layer.trainable = False``; Keras 2 ignores it from ``compile``
    on. After unfreezing, Keras 3 raises "Unknown variable" and Keras 2 a KeyError (measured, 2.12 to nightly).
    """
    return _change(layer, Rule("freeze", select, exclude, _kind(batchnorm, "freeze")))


def unfreeze(
    layer: Any, select: Select = "*", *, exclude: Select | None = None, batchnorm: Batchnorm = "train"
) -> FreezeReport:
    """Resumes the training of layers or weights, from the next step on, in compiled models too.

    It works like ``freeze``. The optimizer continues with the state that it had for these weights, or starts
    with new state for weights that it never trained. The layers around them become trainable, because Keras
    needs that; the own weights of those layers stay frozen or trained as before.

    Args:
        layer: A layer or model, built or not.
        select: What to train, as for ``freeze``.
        exclude: What to leave unchanged, out of the selection.
        batchnorm: Whether a selected BatchNormalization is trained (``"train"``) or stays unchanged
            (``"frozen"``).

    Returns:
        What has changed, as for ``freeze``.

    Raises:
        TypeError: If `layer` is not a Keras layer, or `select` can't select layers.
        ValueError: If a part of `select` or `exclude` matches nothing, or the selection has no weights that
            could be trained.

    Examples:
        >>> import keras
        >>> from keras_buildfix import freeze, unfreeze
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, name="head")])
        >>> print(freeze(model))
        froze 2 layers, 4 of 4 weights
        >>> print(unfreeze(model, "head"))
        unfroze 1 layer, 2 of 4 weights
        >>> [len(layer.trainable_weights) for layer in model.layers]
        [0, 2]

    Source: as for ``freeze``.
    """
    return _change(layer, Rule("unfreeze", select, exclude, _kind(batchnorm, "unfreeze")))


def freeze_up_to(model: Any, layer: Any, *, batchnorm: Batchnorm = "frozen") -> FreezeReport:
    """Freezes a model from its first layer up to and including the named one; the layers after it stay unchanged.

    Layers count in the order of ``model.layers``. If the layer is inside a nested model, that model is frozen up
    to the layer, and so is everything before that model.

    Args:
        model: A model, or a layer that holds layers.
        layer: The last layer to freeze, or its name as in ``named_weights`` (``"encoder/block_2"``).
        batchnorm: As for ``freeze``.

    Returns:
        What has changed, as for ``freeze``.

    Raises:
        TypeError: If `model` or `layer` is not a Keras layer.
        ValueError: If the layer is not in the model, or nothing up to it has weights.

    Examples:
        >>> import keras
        >>> from keras_buildfix import freeze_up_to
        >>> model = keras.Sequential([keras.Input((3,)), *(keras.layers.Dense(2) for _ in range(3))])
        >>> print(freeze_up_to(model, "dense_1"))
        froze 2 layers, 4 of 6 weights
        >>> [layer.trainable for layer in model.layers]
        [False, False, True]

    Source: most fine-tuning code has a loop over ``model.layers[:n]`` for this.
    """
    tree = weight_tree(layer_instance(model, "freeze_up_to"))
    inner = [node for node in tree.nodes() if node is not tree]
    if isinstance(layer, str):
        last = next((node for node in inner if "/".join(node.path) == layer), None)
        why = f"{_no_layer_called(tree, layer)} in"
    else:
        layer_instance(layer, "freeze_up_to")
        last = next((node for node in inner if node.layer is layer), None)
        why = f"the layer {layer.name!r} is not in"
    if last is None:
        raise ValueError(f"freeze_up_to: {why} {tree.layer.name!r}. Nothing was changed.")
    chosen, inside = [last.layer], last
    for around in tree.above()[id(last)]:
        at = next(at for at, child in enumerate(around.children) if child is inside)
        chosen += [child.layer for child in around.children[:at]]
        inside = around
    return _change(model, Rule("freeze", chosen, None, _kind(batchnorm, "freeze_up_to"), "freeze_up_to"))


@block
def frozen(
    layer: Any, select: Select = "*", *, exclude: Select | None = None, batchnorm: Batchnorm = "frozen"
) -> Iterator[FreezeReport]:
    """Freezes layers or weights for a ``with`` block, and restores the former state exactly, also after an error.

    Use it with ``with``: without it, nothing is frozen, and a RuntimeWarning says so. What was frozen before the
    block stays frozen after it. One block can be inside another.

    Args:
        layer: As for ``freeze``.
        select: As for ``freeze``.
        exclude: As for ``freeze``.
        batchnorm: As for ``freeze``.

    Yields:
        What was frozen for the block, as for ``freeze``.

    Raises:
        TypeError: As for ``freeze``.
        ValueError: As for ``freeze``.

    Examples:
        >>> import keras
        >>> from keras_buildfix import frozen
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, name="head")])
        >>> with frozen(model, exclude="head"):
        ...     len(model.trainable_weights)
        2
        >>> len(model.trainable_weights)
        4

    Source: most GAN and fine-tuning code does this by hand, and a compiled model ignores it on every Keras.
    """
    tree = weight_tree(layer_instance(layer, "frozen"))
    before = Trainability.of(tree.nodes())
    waited = waiting_in(tree.nodes())
    report = _change(layer, Rule("freeze", select, exclude, _kind(batchnorm, "frozen"), "frozen"), tree)
    try:
        yield report
    finally:
        tree = weight_tree(layer)
        stop_all(each for each in waiting_in(tree.nodes()) if each not in waited)
        models = compiled_models_with(node.layer for node in tree.nodes())
        before.for_now(tree).put(list(tree.nodes()))
        for each in models:
            each.follow()
        take_note(tree.nodes())


def _change(layer: Any, rule: Rule, tree: LayerNode | None = None) -> FreezeReport:
    """Applies a rule. It checks everything first, and restores the former state if something still fails."""
    tree = tree or weight_tree(layer_instance(layer, rule.wanted_by))
    nodes = list(tree.nodes())
    before = Trainability.of(nodes)
    waits = bool(layers_to_build(tree))
    after = rule.applied(tree, before, waits)
    changed = any(_differs(node, before, after) for node in nodes)
    models = compiled_models_with(node.layer for node in nodes)
    try:
        after.put(nodes)
        for each in models:
            each.follow(changed)
    except BaseException:
        before.put(nodes)
        for each in models:
            with contextlib.suppress(Exception):
                CompiledModel(each.model, each.optimizers).follow()
        raise
    forget_refusals(nodes)
    if waits:
        take_note(nodes)
        WaitingFreeze(tree, rule).start(tree)
    return _report(tree, rule, before, after)


def _report(tree: LayerNode, rule: Rule, before: Trainability, after: Trainability) -> FreezeReport:
    """The report of what has changed, and of the layers for which a rule waits."""
    differs = before.frozen ^ after.frozen
    changed = [node for node in tree.nodes() if node.own and _differs(node, before, after)]
    waiting = [node for node in tree.nodes() if is_to_build(node.layer)]
    return FreezeReport(
        "froze" if rule.action == "freeze" else "unfroze",
        tuple(_name(node) for node in changed),
        tuple(name for name, variable in tree.weights().items() if id(variable) in differs),
        len({id(variable) for node in tree.nodes() for _, variable in node.trainable}),
        tuple(_name(node) for node in waiting),
    )


def _no_layer_called(tree: LayerNode, name: str) -> str:
    """Why there is no layer of this name, and which name to pass instead."""
    if name not in tree.weights():
        return nothing_called(tree, name)
    around = name.rpartition("/")[0]
    return f"{name!r} is a weight, not a layer" + (f": pass {around!r}, which is" if around else ",")


def _name(node: LayerNode) -> str:
    return "/".join(node.path) or str(node.layer.name)


def _differs(node: LayerNode, before: Trainability, after: Trainability) -> bool:
    key = id(node.layer)
    if before.flags[key] != after.flags[key]:
        return True
    return any((id(variable) in before.frozen) != (id(variable) in after.frozen) for _, variable in node.trainable)


def _kind(batchnorm: Batchnorm, wanted_by: str) -> Batchnorm:
    if batchnorm not in _KINDS:
        raise ValueError(f"{wanted_by}: batchnorm is one of {', '.join(map(repr, _KINDS))}; got {batchnorm!r}.")
    return batchnorm
