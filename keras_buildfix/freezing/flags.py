"""``Trainability``: what is trainable in a layer and the layers inside it; reads it, plans a change and applies it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import belongs_to_keras
from keras_buildfix._keras.tracking import (
    direct_sublayers,
    freeze_alone,
    frozen_alone,
    let_tape_watch,
    set_trainable_alone,
)
from keras_buildfix.layer_tree.tree import LayerNode

#: Keras's own normalizations that keep statistics of their input while they are trained.
_BATCH_NORMALIZATIONS = ("BatchNormalization", "BatchNormalizationBase", "SyncBatchNormalization")


@dataclass
class Trainability:
    """The flag of each layer, and the frozen weights, by ``id``.

    A layer whose flag is true may have frozen weights of its own: a BatchNormalization that still updates its
    statistics, or a container of a layer that is trained. Its weights are then frozen one by one.
    """

    flags: dict[int, bool]
    frozen: set[int]

    @classmethod
    def of(cls, nodes: Iterable[LayerNode]) -> Trainability:
        """The present state of these layers."""
        found = cls({}, set())
        for node in nodes:
            flag = found.flags.setdefault(id(node.layer), flag_of(node.layer))
            # A plain tf.Module (on Keras 2) has no flag: it is trained if the layer around it is.
            found.flags.update((id(child.layer), flag) for child in node.children if _is_plain_module(child.layer))
            alone = {id(variable) for variable in frozen_alone(node.layer)}
            for _, variable in node.trainable:
                if not flag or id(variable) in alone or not getattr(variable, "trainable", True):
                    found.frozen.add(id(variable))
        return found

    def copy(self) -> Trainability:
        """A copy that can be changed."""
        return Trainability(dict(self.flags), set(self.frozen))

    def for_now(self, tree: LayerNode) -> Trainability:
        """A copy that also covers layers built since: a new layer has the flag of the layer around it."""
        now = Trainability({}, set())
        waiting = [(tree, True)]
        while waiting:
            node, around = waiting.pop()
            flag = now.flags[id(node.layer)] = self.flags.get(id(node.layer), around)
            now.frozen |= {id(v) for _, v in node.trainable if not flag or id(v) in self.frozen}
            waiting += [(child, flag) for child in node.children]
        return now

    def freeze(self, node: LayerNode, weights: Iterable[Any], whole: bool) -> None:
        """Freezes own weights of a layer; with `whole` also the layer itself, if all layers inside it are frozen."""
        self.frozen |= {id(variable) for variable in weights}
        if whole and all(not self.flags[id(child.layer)] for child in node.children):
            self.flags[id(node.layer)] = False

    def unfreeze(self, node: LayerNode, weights: Iterable[Any], above: Iterable[LayerNode]) -> None:
        """Unfreezes own weights of a layer. For that, the layer and all layers around it become trainable.

        The own weights of the layers around it stay unchanged.
        """
        self.frozen -= {id(variable) for variable in weights}
        for each in (node, *above):
            self.flags[id(each.layer)] = True

    def refusal(self, nodes: Iterable[LayerNode]) -> str | None:
        """Why the installed Keras can't do this; None if it can."""
        nodes = list(nodes)
        for node in nodes:
            if _is_plain_module(node.layer) and any(id(variable) in self.frozen for _, variable in node.trainable):
                trained = [each for each in nodes if self._trains_inside(each, node.layer)]
                if trained:
                    return (
                        f"{'/'.join(node.path)!r} is a plain {type(node.layer).__name__}, not a layer: it can only be "
                        f"frozen together with all that {'/'.join(trained[0].path) or trained[0].layer.name!r} holds"
                    )
            if wraps_build(type(node.layer)) or not self.flags.get(id(node.layer), False):
                continue
            names = [name for name, variable in node.trainable if id(variable) in self.frozen]
            last = [name for name, _ in node.trainable][len(node.trainable) - len(names) :]
            if names != last:
                return (
                    f"Keras 2 can't freeze {', '.join(names)} of the layer {'/'.join(node.path)!r} alone: there a "
                    "weight has no setting of its own, and the order of the layer's weights, by which Keras reads "
                    f"files, would change ({', '.join(name for name, _ in node.trainable)}; only the last of them can "
                    "be frozen alone). Freeze the whole layer."
                )
        return None

    def _trains_inside(self, node: LayerNode, module: Any) -> bool:
        """Whether a layer holds a module, and will be trained."""
        trained = self.flags.get(id(node.layer), False) and not _is_plain_module(node.layer)
        return trained and any(held is module for held in direct_sublayers(node.layer))

    def put(self, nodes: list[LayerNode]) -> None:
        """Sets the flags and weights of these layers; those of other layers stay."""
        nodes = [node for node in nodes if not _is_plain_module(node.layer)]
        for node in nodes:
            flag = self.flags.get(id(node.layer))
            if flag is not None and node.layer.trainable != flag:
                node.layer.trainable = flag  # this also sets the layers inside it
        for node in nodes:
            flag = self.flags.get(id(node.layer))
            if flag is not None and node.layer.trainable != flag:  # setting a layer that also holds it changed it
                set_trainable_alone(node.layer, flag)
            self._put_weights(node)

    def _put_weights(self, node: LayerNode) -> None:
        if id(node.layer) not in self.flags:
            return
        frozen = [variable for _, variable in node.trainable if id(variable) in self.frozen]
        if not wraps_build(type(node.layer)):
            # In a frozen layer of Keras 2 the lists stay complete, so that `layer.trainable = True` undoes the freeze.
            alone = frozen if self.flags[id(node.layer)] else []
            if {id(v) for v in alone} != {id(v) for v in frozen_alone(node.layer)}:
                freeze_alone(node.layer, alone)
            return
        for _, variable in node.trainable:
            trained = id(variable) not in self.frozen
            if variable.trainable != trained:
                variable.trainable = trained
            if trained:
                let_tape_watch(variable)


def flag_of(layer: Any) -> bool:
    """A layer's own flag. A plain ``tf.Module`` (on Keras 2) has none and counts as trained."""
    return bool(getattr(layer, "trainable", True))


def _is_plain_module(layer: Any) -> bool:
    """Whether this is a plain ``tf.Module``: only Keras 2 counts it as a part of a layer, and it has no flag."""
    return not hasattr(layer, "trainable")


def is_batch_normalization(layer: Any) -> bool:
    """Whether a layer is Keras's BatchNormalization, or a subclass of it."""
    return any(base.__name__ in _BATCH_NORMALIZATIONS and belongs_to_keras(base) for base in type(layer).__mro__)
