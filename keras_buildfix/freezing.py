"""Freeze and unfreeze layers and weights: honoured at the next step, by compiled models too, on every Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from keras_buildfix import _keras
from keras_buildfix.after_build import layers_to_build
from keras_buildfix.compiled_models import CompiledModel, compiled_models_with
from keras_buildfix.selecting import Select, nothing_called
from keras_buildfix.trainable_flags import Trainability
from keras_buildfix.waiting_freezes import Rule, WaitingFreeze, forget_refusals, stop_all, take_note, waiting_in
from keras_buildfix.weight_names import LayerNode, weight_tree

_KINDS = ("frozen", "train")


def freeze(model: Any, select: Select = "*", *, exclude: Select | None = None, batchnorm: str = "frozen") -> None:
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
        model: A layer or model, built or not. What is not built yet is frozen when it is built.
        select: What to freeze. A glob (``"encoder/*"``; ``*`` also matches ``/``) or a compiled regular
            expression (it need match a part only) over the names of layers and weights, as ``named_weights``
            has them; a layer; a weight; a layer class; a function that is true of the layers meant; or a
            sequence of those. A layer is meant with all layers inside it.
        exclude: What to leave as it is, of that.
        batchnorm: A BatchNormalization among them runs in inference mode and its statistics stand still
            (``"frozen"``), or goes on with its statistics, and only its ``gamma`` and ``beta`` are frozen
            (``"train"``).

    Raises:
        TypeError: If `model` is no Keras layer, or `select` can't mean a layer.
        ValueError: If a part of `select` or `exclude` matches nothing (the nearest names are shown), if what
            is selected has no weights that could be trained, or on Keras 2 for weights that can't be frozen
            without their layer. Nothing is changed then. What matches nothing in layers that are not built
            yet is an error when they are.

    Example:
        >>> import keras
        >>> from keras_buildfix import freeze
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, name="head")])
        >>> freeze(model, exclude="head")
        >>> len(model.trainable_weights)
        2

    Source: after a ``fit`` every Keras ignores ``layer.trainable = False``, before it Keras 2 does; after
    unfreezing, Keras 3 raises "Unknown variable" and Keras 2 a KeyError (measured, 2.12 to nightly).
    """
    _change(model, Rule("freeze", select, exclude, _kind(batchnorm, "freeze")))


def unfreeze(model: Any, select: Select = "*", *, exclude: Select | None = None, batchnorm: str = "train") -> None:
    """Takes up the training of layers or weights again, from the next step on, in compiled models too.

    As for ``freeze``; the optimizer goes on with the state that it had for them, or starts with fresh state for
    weights that it never trained. The layers around them become trainable, which Keras needs for that; weights
    of those layers' own stay as they are.

    Args:
        model: A layer or model, built or not.
        select: What to train, as for ``freeze``.
        exclude: What to leave as it is, of that.
        batchnorm: A BatchNormalization among them is trained (``"train"``), or stays as it is (``"frozen"``).

    Raises:
        TypeError: If `model` is no Keras layer, or `select` can't mean a layer.
        ValueError: If a part of `select` or `exclude` matches nothing, or what is selected has no weights that
            could be trained.

    Example:
        >>> import keras
        >>> from keras_buildfix import freeze, unfreeze
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, name="head")])
        >>> freeze(model)
        >>> unfreeze(model, "head")
        >>> [len(layer.trainable_weights) for layer in model.layers]
        [0, 2]

    Source: as for ``freeze``.
    """
    _change(model, Rule("unfreeze", select, exclude, _kind(batchnorm, "unfreeze")))


def freeze_up_to(model: Any, layer: Any, *, batchnorm: str = "frozen") -> None:
    """Freezes a model from its first layer up to one, this one included; those after it stay as they are.

    Layers come in the order of ``model.layers``. For a layer inside a nested model, that model is frozen up
    to it, and everything before that model.

    Args:
        model: A model, or a layer that holds layers.
        layer: The last layer to freeze, or its name as in ``named_weights`` (``"encoder/block_2"``).
        batchnorm: As for ``freeze``.

    Raises:
        TypeError: If `model` or `layer` is no Keras layer.
        ValueError: If the layer is not in the model, or nothing up to it has weights.

    Example:
        >>> import keras
        >>> from keras_buildfix import freeze_up_to
        >>> model = keras.Sequential([keras.Input((3,)), *(keras.layers.Dense(2) for _ in range(3))])
        >>> freeze_up_to(model, "dense_1")
        >>> [layer.trainable for layer in model.layers]
        [False, False, True]

    Source: the loop over ``model.layers[:n]`` that most fine-tuning code writes by hand.
    """
    tree = weight_tree(_keras.layer_instance(model, "freeze_up_to"))
    inner = [node for node in tree.nodes() if node is not tree]
    if isinstance(layer, str):
        last = next((node for node in inner if "/".join(node.path) == layer), None)
        why = nothing_called(tree, layer) + " in"
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
    _change(model, Rule("freeze", chosen, None, _kind(batchnorm, "freeze_up_to"), "freeze_up_to"))


@contextlib.contextmanager
def frozen(
    model: Any, select: Select = "*", *, exclude: Select | None = None, batchnorm: str = "frozen"
) -> Iterator[None]:
    """Freezes layers or weights for a block, and puts back exactly what was, after an error too.

    What was frozen before stays frozen after it. Blocks can stand inside each other.

    Args:
        model: As for ``freeze``.
        select: As for ``freeze``.
        exclude: As for ``freeze``.
        batchnorm: As for ``freeze``.

    Yields:
        None.

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
    tree = weight_tree(_keras.layer_instance(model, "frozen"))
    before = Trainability.of(tree.nodes())
    waited = waiting_in(tree.nodes())
    _change(model, Rule("freeze", select, exclude, _kind(batchnorm, "frozen"), "frozen"), tree)
    try:
        yield
    finally:
        tree = weight_tree(model)
        stop_all(each for each in waiting_in(tree.nodes()) if each not in waited)
        models = compiled_models_with(node.layer for node in tree.nodes())
        before.for_now(tree).put(list(tree.nodes()))
        for each in models:
            each.follow()
        take_note(tree.nodes())


def _change(model: Any, rule: Rule, tree: LayerNode | None = None) -> None:
    """Carries a rule out: everything is checked first, and put back if something fails after all."""
    tree = tree or weight_tree(_keras.layer_instance(model, rule.wanted_by))
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


def _differs(node: LayerNode, before: Trainability, after: Trainability) -> bool:
    key = id(node.layer)
    if before.flags[key] != after.flags[key]:
        return True
    return any((id(variable) in before.frozen) != (id(variable) in after.frozen) for _, variable in node.trainable)


def _kind(batchnorm: str, wanted_by: str) -> str:
    if batchnorm not in _KINDS:
        raise ValueError(f"{wanted_by}: batchnorm is one of {', '.join(map(repr, _KINDS))}; got {batchnorm!r}.")
    return batchnorm
