"""Freeze and unfreeze layers and weights: honoured at the next step, by compiled models too, on every Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

from keras_buildfix import _keras
from keras_buildfix.after_build import is_to_build, layers_to_build
from keras_buildfix.compiled_models import CompiledModel, compiled_models_with
from keras_buildfix.selecting import Select, nothing_called
from keras_buildfix.trainable_flags import Trainability
from keras_buildfix.trainable_report import FreezeReport
from keras_buildfix.waiting_freezes import Rule, WaitingFreeze, forget_refusals, stop_all, take_note, waiting_in
from keras_buildfix.weight_names import LayerNode, weight_tree

Batchnorm = Literal["frozen", "train"]
_KINDS = ("frozen", "train")


def freeze(
    layer: Any, select: Select = "*", *, exclude: Select | None = None, batchnorm: Batchnorm = "frozen"
) -> FreezeReport:
    """Stops the training of layers or weights, from the next step on, in compiled models too.

    Every compiled model that holds them takes note, without being compiled again: loss, metrics and their
    state, the learning rate, the loss scale, and the optimizer's state for all other weights are kept.
    Called from a callback it holds from the next batch on. A frozen weight does not change by a bit: no
    weight decay, no moving average is written to it, it counts in no gradient norm. (What a layer assigns
    to itself in ``call``, as SpectralNormalization does, is that layer's doing.)

    The optimizer that a model was compiled with follows, and those that its attributes hold, in lists and
    dicts too; what an optimizer has for a weight (Adam's moments) is kept for when that is trained again. The
    steps that were traced for the last eight sets of trained weights are kept until the model is compiled
    again: training in turns traces each set once. A layer's flag is saved and copied with it; that single
    weights are frozen is not, nor is ``batchnorm="train"``: say it again after loading, and after setting
    ``trainable`` by hand.

    Args:
        layer: A layer or model, built or not. What is not built yet is frozen when it is built.
        select: What to freeze. A glob (``"encoder/*"``; ``*`` also matches ``/``) or a compiled regular
            expression (it need match a part only) over the names of layers and weights, as ``named_weights``
            has them; a layer; a weight; a layer class; a function that is true of the layers meant; or a
            sequence of those. A layer is meant with all layers inside it.
        exclude: What to leave as it is, of that.
        batchnorm: A BatchNormalization among them runs in inference mode and its statistics stand still
            (``"frozen"``), or goes on with its statistics, and only its ``gamma`` and ``beta`` are frozen
            (``"train"``).

    Returns:
        What has changed; prints as ``froze 3 layers, 6 of 8 weights``.

    Raises:
        TypeError: If `layer` is no Keras layer, or `select` can't mean a layer.
        ValueError: If a part of `select` or `exclude` matches nothing (the nearest names are shown), if what
            is selected has no weights that could be trained, or on Keras 2 for weights that can't be frozen
            without their layer. Nothing is changed then. What matches nothing in layers that are not built
            yet is an error when they are.

    Example:
        >>> import keras
        >>> from keras_buildfix import freeze
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, name="head")])
        >>> print(freeze(model, exclude="head"))
        froze 1 layer, 2 of 4 weights
        >>> len(model.trainable_weights)
        2

    Source: after a ``fit`` every Keras ignores ``layer.trainable = False``, before it Keras 2 does; after
    unfreezing, Keras 3 raises "Unknown variable" and Keras 2 a KeyError (measured, 2.12 to nightly).
    """
    return _change(layer, Rule("freeze", select, exclude, _kind(batchnorm, "freeze")))


def unfreeze(
    layer: Any, select: Select = "*", *, exclude: Select | None = None, batchnorm: Batchnorm = "train"
) -> FreezeReport:
    """Takes up the training of layers or weights again, from the next step on, in compiled models too.

    As for ``freeze``; the optimizer goes on with the state that it had for them, or starts with fresh state for
    weights that it never trained. The layers around them become trainable, which Keras needs for that; weights
    of those layers' own stay as they are.

    Args:
        layer: A layer or model, built or not.
        select: What to train, as for ``freeze``.
        exclude: What to leave as it is, of that.
        batchnorm: A BatchNormalization among them is trained (``"train"``), or stays as it is (``"frozen"``).

    Returns:
        What has changed, as for ``freeze``.

    Raises:
        TypeError: If `layer` is no Keras layer, or `select` can't mean a layer.
        ValueError: If a part of `select` or `exclude` matches nothing, or what is selected has no weights that
            could be trained.

    Example:
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
    """Freezes a model from its first layer up to one, this one included; those after it stay as they are.

    Layers come in the order of ``model.layers``. For a layer inside a nested model, that model is frozen up
    to it, and everything before that model.

    Args:
        model: A model, or a layer that holds layers.
        layer: The last layer to freeze, or its name as in ``named_weights`` (``"encoder/block_2"``).
        batchnorm: As for ``freeze``.

    Returns:
        What has changed, as for ``freeze``.

    Raises:
        TypeError: If `model` or `layer` is no Keras layer.
        ValueError: If the layer is not in the model, or nothing up to it has weights.

    Example:
        >>> import keras
        >>> from keras_buildfix import freeze_up_to
        >>> model = keras.Sequential([keras.Input((3,)), *(keras.layers.Dense(2) for _ in range(3))])
        >>> print(freeze_up_to(model, "dense_1"))
        froze 2 layers, 4 of 6 weights
        >>> [layer.trainable for layer in model.layers]
        [False, False, True]

    Source: the loop over ``model.layers[:n]`` that most fine-tuning code writes by hand.
    """
    tree = weight_tree(_keras.layer_instance(model, "freeze_up_to"))
    inner = [node for node in tree.nodes() if node is not tree]
    if isinstance(layer, str):
        last = next((node for node in inner if "/".join(node.path) == layer), None)
        why = f"{_no_layer_called(tree, layer)} in"
    else:
        _keras.layer_instance(layer, "freeze_up_to")
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


@contextlib.contextmanager
def frozen(
    layer: Any, select: Select = "*", *, exclude: Select | None = None, batchnorm: Batchnorm = "frozen"
) -> Iterator[FreezeReport]:
    """Freezes layers or weights for a block, and puts back exactly what was, after an error too.

    Only for ``with``: called without it, nothing is frozen. What was frozen before stays frozen after it. Blocks
    can stand inside each other.

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

    Example:
        >>> import keras
        >>> from keras_buildfix import frozen
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, name="head")])
        >>> with frozen(model, exclude="head"):
        ...     len(model.trainable_weights)
        2
        >>> len(model.trainable_weights)
        4

    Source: written by hand in most GAN and fine-tuning code; ``compile`` ignores it on every Keras.
    """
    tree = weight_tree(_keras.layer_instance(layer, "frozen"))
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
    """Carries a rule out: everything is checked first, and put back if something fails after all."""
    tree = tree or weight_tree(_keras.layer_instance(layer, rule.wanted_by))
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
    """What has changed, and what a rule waits for."""
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
    """Why there is no layer of a name, and which to give."""
    if name not in tree.weights():
        return nothing_called(tree, name)
    around = name.rpartition("/")[0]
    return f"{name!r} is a weight, and a layer is wanted" + (f": give {around!r}, which is" if around else ",")


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
