"""Which of several optimizers trains which weights of a model: only the user's ``train_step`` knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_buildfix import _private_training as private
from keras_buildfix.optimizer_state import innermost
from keras_buildfix.weight_names import weight_tree

#: An attribute of an optimizer: the weights that it has been seen to train, frozen or not.
_KNEW_IN = "_keras_buildfix_knew"


class _Knew:
    """Weights that an optimizer has trained. A copied optimizer starts anew."""

    def __init__(self) -> None:
        self.weights: dict[int, Any] = {}

    def __reduce__(self) -> Any:
        return _Knew, ()


def note_what_is_known(optimizers: Sequence[Any], candidates: Sequence[Any]) -> None:
    """Has each optimizer hold which of these weights it trains, so that they come back to it."""
    if len(optimizers) < 2:
        return
    mine = {id(variable) for variable in candidates}
    for optimizer in map(innermost, optimizers):
        if private.is_built(optimizer) and not private.makes_slots_itself(optimizer):
            knew = vars(optimizer).setdefault(_KNEW_IN, _Knew())
            known = private.known_variables(optimizer, candidates)
            knew.weights.update((id(variable), variable) for variable in known if id(variable) in mine)


def weights_for(
    optimizer: Any, optimizers: Sequence[Any], model: Any, trained: Sequence[Any], wanted: Sequence[Any]
) -> list[Any]:
    """Those of a model's weights that one of its optimizers is to train.

    The only one trains all. Of several each trains what it did; a weight that none of them has seen yet goes to
    those that train the nearest weights: others in its layer, in the layer around that, and so on.

    Args:
        optimizer: One of the optimizers.
        optimizers: All that the model has.
        model: The model.
        trained: The weights that it trained so far.
        wanted: Those that it trains from now on.
    """
    inner = innermost(optimizer)
    if not private.is_built(inner) or private.makes_slots_itself(inner) or optimizers == [model.optimizer]:
        return list(wanted)
    already = {id(variable) for variable in trained}
    come = [v for v in wanted if id(v) not in already and not any(id(v) in _knew(each) for each in optimizers)]
    given = {id(variable) for variable in come if optimizer in _nearest(variable, optimizers, model)} if come else set()
    return [variable for variable in wanted if id(variable) in _knew(optimizer) or id(variable) in given]


def _knew(optimizer: Any) -> dict[int, Any]:
    knew = vars(innermost(optimizer)).get(_KNEW_IN)
    return knew.weights if knew is not None else {}


def _nearest(variable: Any, optimizers: Sequence[Any], model: Any) -> list[Any]:
    """The optimizers that train the weights nearest to one."""
    tree = weight_tree(model)
    node = next((node for node in tree.nodes() if any(variable is own for _, own in node.own)), tree)
    for around in (node, *tree.above()[id(node)]):
        if around is not tree:
            inside = {id(own) for each in around.nodes() for _, own in each.own}
            owners = [optimizer for optimizer in optimizers if not inside.isdisjoint(_knew(optimizer))]
            if owners:
                return owners
    built = [optimizer for optimizer in optimizers if private.is_built(innermost(optimizer))]
    # One that has trained nothing was kept for what was all frozen.
    idle = [optimizer for optimizer in built if not _knew(optimizer)]
    return [optimizer for optimizer in built if optimizer is model.optimizer or optimizer in idle or not idle]
