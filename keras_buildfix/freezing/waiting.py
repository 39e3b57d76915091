"""Lets ``freeze`` and ``unfreeze`` wait for layers that are not built yet, and applies them once these are built."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import is_sequential
from keras_buildfix.freezing.flags import Trainability, flag_of
from keras_buildfix.freezing.rules import Rule
from keras_buildfix.layer_tree.after_build import AfterBuild, Refusal, is_to_build, waiting_for
from keras_buildfix.layer_tree.selecting import in_words
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree


class WaitingFreeze:
    """Applies a rule to layers that are not built yet, as soon as their ``build`` has run."""

    def __init__(self, tree: LayerNode, rule: Rule) -> None:
        self.top, self.rule = tree.layer, rule
        self.hooks: dict[int, AfterBuild] = {}
        #: The flags as the rule left them. If one differs later, the user has set it by hand, so the rule leaves it.
        self.flags: dict[int, bool] = {}
        self.chosen, self.left_out = rule.selected(tree)
        #: The parts of the selection, and of what is excluded, that have matched nothing so far.
        self.pending = (set(self.chosen.unmatched), set(self.left_out.unmatched))

    def start(self, tree: LayerNode) -> None:
        """Waits for every layer that is not built yet."""
        self._hook(tree, ())

    def stop(self) -> None:
        """Stops waiting."""
        for hook in self.hooks.values():
            hook.remove()
        self.hooks = {}

    def _hook(self, tree: LayerNode, around: tuple[LayerNode, ...]) -> None:
        above = tree.above()
        for node in tree.nodes():
            self.flags[id(node.layer)] = flag_of(node.layer)
            if is_to_build(node.layer) and id(node.layer) not in self.hooks:
                then = functools.partial(self._built, path=node.path, around=(*above[id(node)], *around))
                self.hooks[id(node.layer)] = AfterBuild(node.layer, then, self)

    def _built(self, layer: Any, path: tuple[str, ...], around: tuple[LayerNode, ...]) -> None:
        if self.hooks.pop(id(layer), None) is None:
            return  # it was stopped while another AfterBuild hid this one
        tree = weight_tree(layer, path)
        if self.flags[id(layer)] == flag_of(layer):
            chosen, left_out = self.rule.selected(tree, partly=True)
            for selection, at_start in ((chosen, self.chosen), (left_out, self.left_out)):
                if id(layer) in at_start.layers:
                    selection.layers |= {id(node.layer) for node in tree.nodes()}
            frozen_around = self.rule.action == "unfreeze" and not all(node.layer.trainable for node in around)
            # A layer around it that becomes trainable makes all layers inside it trainable: so set those too.
            nodes = list((weight_tree(self.top) if frozen_around else tree).nodes())
            state = Trainability.of(nodes)
            self.rule.apply(tree, chosen, left_out, state, around if frozen_around else ())
            refused = state.refusal(tree.nodes())
            if refused:
                raise ValueError(f"{self.rule.wanted_by}: {refused}")
            state.put(nodes)
            take_note(nodes)
        self._hook(tree, around)
        for selection, pending in zip(self.rule.selected(tree, partly=True), self.pending):
            pending &= set(selection.unmatched)
        if not self.hooks:
            self._settle(around)

    def _settle(self, around: tuple[LayerNode, ...]) -> None:
        """Called when all layers are built: raises a ValueError if a part of the selection has matched nothing."""
        now = self.rule.selected(weight_tree(self.top))
        unmatched = in_words(
            *(
                {at: why for at, why in selection.unmatched.items() if at in pending}
                for selection, pending in zip(now, self.pending)
            )
        )
        self.pending = (set(), set())
        if not unmatched:
            return
        back = "unfreeze" if self.rule.action == "freeze" else "freeze"
        message = (
            f"{self.rule.wanted_by}: {unmatched} in {self.top.name!r}, now that it is built. The rest was done; "
            f"{back}() takes it back."
        )
        if any(not wraps_build(type(node.layer)) and is_sequential(node.layer) for node in around):
            # Sequential on Keras 2 hides errors of its build, so every call of each layer must raise this one.
            Refusal(message, [node.layer for node in weight_tree(self.top).nodes()], self)
        raise ValueError(message)


def forget_refusals(nodes: Iterable[LayerNode]) -> None:
    """Makes layers callable again that refuse calls because a freeze failed: a new rule has replaced that one."""
    for node in nodes:
        refusal = vars(node.layer).get("call")
        if isinstance(refusal, Refusal) and isinstance(refusal.owner, WaitingFreeze):
            refusal.end()


def waiting_in(nodes: Iterable[LayerNode]) -> list[WaitingFreeze]:
    """The rules that wait for layers to be built."""
    found: dict[int, WaitingFreeze] = {}
    for node in nodes:
        for owner in waiting_for(node.layer):
            if isinstance(owner, WaitingFreeze):
                found[id(owner)] = owner
    return list(found.values())


def stop_all(waiting: Iterable[WaitingFreeze]) -> None:
    """Stops these rules: they no longer apply to layers that are built from now on."""
    for each in waiting:
        each.stop()


def take_note(nodes: Iterable[LayerNode]) -> None:
    """Tells the waiting rules that another rule has set these flags: the user did not set them by hand."""
    nodes = list(nodes)
    for waiting in waiting_in(nodes):
        for node in nodes:
            if id(node.layer) in waiting.flags:
                waiting.flags[id(node.layer)] = flag_of(node.layer)
