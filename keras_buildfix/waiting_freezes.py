"""Rules of what is trained, and layers that are not built yet: the rule holds for what ``build`` makes, too."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from keras_buildfix import _keras, _private
from keras_buildfix.after_build import AfterBuild, Refusal, is_to_build, waiting_for
from keras_buildfix.selecting import Select, Selection, find_excluded, find_selected, in_words
from keras_buildfix.trainable_flags import Trainability, flag_of, is_batch_normalization
from keras_buildfix.weight_names import LayerNode, weight_tree


@dataclass(frozen=True)
class Rule:
    """``freeze`` or ``unfreeze``, and of what."""

    action: str
    select: Select
    exclude: Select | None
    batchnorm: str
    wanted_by: str = ""

    def __post_init__(self) -> None:
        if not self.wanted_by:
            object.__setattr__(self, "wanted_by", self.action)

    def applied(self, tree: LayerNode, before: Trainability, waits: bool) -> Trainability:
        """What is to be trained after it; nothing is set yet. `waits`: more may be built."""
        chosen, left_out = self.selected(tree)
        unmatched = in_words(chosen.unmatched, left_out.unmatched)
        if unmatched and not waits:
            raise ValueError(self._refused(tree, unmatched))
        after = before.copy()
        weights = self.apply(tree, chosen, left_out, after)
        if not weights and not waits:
            raise ValueError(self._refused(tree, "what is selected has no weights that could be trained"))
        refused = after.refusal(tree.nodes())
        if refused:
            raise ValueError(self._refused(tree, refused))
        return after

    def selected(self, tree: LayerNode, *, partly: bool = False) -> tuple[Selection, Selection]:
        """What it is of, and what of that is left out."""
        chosen = find_selected(tree, self.select, self.wanted_by, partly=partly)
        return chosen, find_excluded(tree, self.exclude, self.wanted_by, partly=partly)

    def apply(
        self,
        tree: LayerNode,
        chosen: Selection,
        left_out: Selection,
        after: Trainability,
        around: tuple[LayerNode, ...] = (),
    ) -> int:
        """Changes `after` for a layer, which has the layers `around` it; how many weights were meant."""
        count = 0
        above = tree.above()
        for node in reversed(list(tree.nodes())):  # what is inside first: a layer is frozen once all inside it is
            layer = id(node.layer)
            whole = layer in chosen.layers and layer not in left_out.layers
            meant = [
                variable
                for _, variable in node.trainable
                if (layer in chosen.layers or id(variable) in chosen.weights)
                and layer not in left_out.layers
                and id(variable) not in left_out.weights
            ]
            whole = whole and len(meant) == len(node.trainable)
            count += len(meant)
            normalizes = is_batch_normalization(node.layer)
            if self.action == "freeze":
                if whole or meant:
                    after.freeze(node, meant, whole and not (normalizes and self.batchnorm == "train"))
            elif (whole or meant) and not (normalizes and self.batchnorm == "frozen"):
                after.unfreeze(node, meant, (*above[id(node)], *around))
        return count

    def _refused(self, tree: LayerNode, why: str) -> str:
        return f"{self.wanted_by}: {why} in {tree.layer.name!r}. Nothing was changed."


class WaitingFreeze:
    """Has a rule hold for layers that are not built yet: what their ``build`` makes follows it at once."""

    def __init__(self, tree: LayerNode, rule: Rule) -> None:
        self.top, self.rule = tree.layer, rule
        self.hooks: dict[int, AfterBuild] = {}
        #: What the rule left the layers at: who sets one of them by hand afterwards meant it.
        self.flags: dict[int, bool] = {}
        self.chosen, self.left_out = rule.selected(tree)
        #: The parts of what is meant, and of what is left out, that nothing has answered to so far.
        self.pending = (set(self.chosen.unmatched), set(self.left_out.unmatched))

    def start(self, tree: LayerNode) -> None:
        """Waits for every layer that is to be built."""
        self._hook(tree, ())

    def stop(self) -> None:
        """Waits no more."""
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
            return  # stopped while another one stood in front
        tree = weight_tree(layer, path)
        if self.flags[id(layer)] == flag_of(layer):
            chosen, left_out = self.rule.selected(tree, partly=True)
            for selection, at_start in ((chosen, self.chosen), (left_out, self.left_out)):
                if id(layer) in at_start.layers:
                    selection.layers |= {id(node.layer) for node in tree.nodes()}
            frozen_around = self.rule.action == "unfreeze" and not all(node.layer.trainable for node in around)
            # A layer around it that becomes trainable takes all inside it with it, unless they are set too.
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
        """All is built: raises if there is a name that nothing has got."""
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
            f"{self.rule.wanted_by}: {unmatched} in {self.top.name!r}, now that it is built. The rest of it was "
            f"carried out; {back}() takes it back."
        )
        if any(not _private.wraps_build(type(node.layer)) and _keras.is_sequential(node.layer) for node in around):
            # Sequential on Keras 2 swallows errors while it builds: it raises whenever it is called, layer by layer.
            Refusal(message, [node.layer for node in weight_tree(self.top).nodes()], self)
        raise ValueError(message)


def forget_refusals(nodes: Iterable[LayerNode]) -> None:
    """Has layers that refuse to be called be called again: something else was asked for since."""
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
    """Has these rules hold no more for what is built from now on."""
    for each in waiting:
        each.stop()


def take_note(nodes: Iterable[LayerNode]) -> None:
    """Has the rules that wait know that these flags were set by another rule, not by hand."""
    nodes = list(nodes)
    for waiting in waiting_in(nodes):
        for node in nodes:
            if id(node.layer) in waiting.flags:
                waiting.flags[id(node.layer)] = flag_of(node.layer)
