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
        #: Whether the model trained others besides, which is not what Keras's own steps do.
        self.some = False

    def __reduce__(self) -> Any:
        return _Knew, ()


def note_what_is_known(optimizers: Sequence[Any], trained: Sequence[Any], candidates: Sequence[Any]) -> None:
    """Has each optimizer hold which of these weights it trains, so that they come back to it."""
    if len(optimizers) < 2:
        return
    mine = {id(variable) for variable in candidates}
    for optimizer in map(innermost, optimizers):
        if private.is_built(optimizer) and not private.makes_slots_itself(optimizer):
            knew = vars(optimizer).setdefault(_KNEW_IN, _Knew())
            known = private.known_variables(optimizer, candidates)
            knew.weights.update((id(variable), variable) for variable in known if id(variable) in mine)
            knew.some = knew.some or any(id(variable) not in knew.weights for variable in trained)


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
    if not private.is_built(inner) or private.makes_slots_itself(inner):
        return list(wanted)
    compiled = getattr(model, "optimizer", None)
    already = {id(variable) for variable in trained}
    if optimizer is compiled and (len(optimizers) == 1 or (private.steps_as_keras(model) and not _knew(inner).some)):
        return list(wanted)
    come = [v for v in wanted if id(v) not in already and not any(id(v) in _knew(o).weights for o in optimizers)]
    given = {id(variable) for variable in come if optimizer in _nearest(variable, optimizers, model)} if come else set()
    return [variable for variable in wanted if id(variable) in _knew(optimizer).weights or id(variable) in given]


def _knew(optimizer: Any) -> _Knew:
    knew: _Knew = vars(innermost(optimizer)).get(_KNEW_IN) or _Knew()
    return knew


def _nearest(variable: Any, optimizers: Sequence[Any], model: Any) -> list[Any]:
    """The optimizers that train the weights nearest to one."""
    tree = weight_tree(model)
    node = next((node for node in tree.nodes() if any(variable is own for _, own in node.own)), tree)
    around = (node, *tree.above()[id(node)])
    for each in around[:-1]:
        inside = {id(own) for below in each.nodes() for _, own in below.own}
        owners = [optimizer for optimizer in optimizers if not inside.isdisjoint(_knew(optimizer).weights)]
        if owners:
            return owners
    # A part of which none has trained anything is that of an optimizer that has trained nothing, if there is one.
    idle = [optimizer for optimizer in optimizers if not _knew(optimizer).weights]
    return idle if idle and len(around) > 1 and around[-2].children else list(optimizers)
