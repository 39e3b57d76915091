"""``Rule``: which layers and weights a call freezes or unfreezes, also in layers that are built later."""

from __future__ import annotations

from dataclasses import dataclass

from keras_buildfix.freezing.flags import Trainability, is_batch_normalization
from keras_buildfix.layer_tree.selecting import Select, Selection, find_excluded, find_selected, in_words
from keras_buildfix.layer_tree.tree import LayerNode


@dataclass(frozen=True)
class Rule:
    """``freeze`` or ``unfreeze``, with its selection."""

    action: str
    select: Select
    exclude: Select | None
    batchnorm: str
    #: The function that the user called, for error messages; by default the action.
    wanted_by: str = ""

    def __post_init__(self) -> None:
        if not self.wanted_by:
            object.__setattr__(self, "wanted_by", self.action)

    def applied(self, tree: LayerNode, before: Trainability, waits: bool) -> Trainability:
        """What will be trained after the rule; it sets nothing yet. `waits`: some layers are not built yet."""
        chosen, left_out = self.selected(tree)
        unmatched = in_words(chosen.unmatched, left_out.unmatched)
        if unmatched and not waits:
            raise ValueError(self._refused(tree, unmatched))
        after = before.copy()
        weights = self.apply(tree, chosen, left_out, after)
        if not weights and not waits:
            raise ValueError(self._refused(tree, "the selection has no weights that could be trained"))
        refused = after.refusal(tree.nodes())
        if refused:
            raise ValueError(self._refused(tree, refused))
        return after

    def selected(self, tree: LayerNode, *, partly: bool = False) -> tuple[Selection, Selection]:
        """The selection, and the part of it that is excluded."""
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
        """Changes `after` for a layer that is inside the layers `around`; returns how many weights are selected."""
        count = 0
        above = tree.above()
        for node in reversed(list(tree.nodes())):  # inner layers first: a layer is frozen once all inside it are
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
