"""Finds which of a model's optimizers trains which weights. No Keras API tells: the user's own step decides it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_buildfix._keras import training
from keras_buildfix.freezing.optimizer_state import innermost
from keras_buildfix.layer_tree.tree import weight_tree

#: An attribute of an optimizer: the weights that this package has seen it train, frozen now or not.
_KNEW_IN = "_keras_buildfix_knew"


class _Knew:
    """Weights that an optimizer has trained. A copied optimizer starts without any."""

    def __init__(self) -> None:
        self.weights: dict[int, Any] = {}
        #: Whether the model trained weights that this optimizer did not. If Keras's own step is used, the optimizer
        #: given to ``compile`` trains all.
        self.some = False

    def __reduce__(self) -> Any:
        return _Knew, ()


def note_what_is_known(optimizers: Sequence[Any], trained: Sequence[Any], candidates: Sequence[Any]) -> None:
    """Stores in each optimizer which of these weights it trains, so that it can train them again after a freeze."""
    if len(optimizers) < 2:
        return
    mine = {id(variable) for variable in candidates}
    for optimizer in map(innermost, optimizers):
        if training.is_built(optimizer) and not training.makes_slots_itself(optimizer):
            knew = vars(optimizer).setdefault(_KNEW_IN, _Knew())
            known = training.known_variables(optimizer, candidates)
            knew.weights.update((id(variable), variable) for variable in known if id(variable) in mine)
            knew.some = knew.some or any(id(variable) not in knew.weights for variable in trained)


def weights_for(
    optimizer: Any, optimizers: Sequence[Any], model: Any, trained: Sequence[Any], wanted: Sequence[Any]
) -> list[Any]:
    """The weights of a model that one of its optimizers will train.

    A single optimizer trains all. Of several, each trains what it trained before. A weight that none of them has
    trained goes to those that train the nearest weights: others in its layer, in the layer around that, and so on.

    Args:
        optimizer: One of the optimizers.
        optimizers: All optimizers of the model.
        model: The model.
        trained: The weights that the model trained so far.
        wanted: The weights that the model trains from now on.
    """
    inner = innermost(optimizer)
    if not training.is_built(inner) or training.makes_slots_itself(inner):
        return list(wanted)
    compiled = getattr(model, "optimizer", None)
    already = {id(variable) for variable in trained}
    if optimizer is compiled and (len(optimizers) == 1 or (training.steps_as_keras(model) and not _knew(inner).some)):
        return list(wanted)
    come = [v for v in wanted if id(v) not in already and not any(id(v) in _knew(o).weights for o in optimizers)]
    given = {id(variable) for variable in come if optimizer in _nearest(variable, optimizers, model)} if come else set()
    return [variable for variable in wanted if id(variable) in _knew(optimizer).weights or id(variable) in given]


def _knew(optimizer: Any) -> _Knew:
    knew: _Knew = vars(innermost(optimizer)).get(_KNEW_IN) or _Knew()
    return knew


def _nearest(variable: Any, optimizers: Sequence[Any], model: Any) -> list[Any]:
    """The optimizers that train the weights nearest to this one."""
    tree = weight_tree(model)
    node = next((node for node in tree.nodes() if any(variable is own for _, own in node.own)), tree)
    around = (node, *tree.above()[id(node)])
    for each in around[:-1]:
        inside = {id(own) for below in each.nodes() for _, own in below.own}
        owners = [optimizer for optimizer in optimizers if not inside.isdisjoint(_knew(optimizer).weights)]
        if owners:
            return owners
    # No optimizer has trained a weight in this part of the model. So the weight goes to the optimizers that have
    # trained nothing yet, if there are any.
    idle = [optimizer for optimizer in optimizers if not _knew(optimizer).weights]
    return idle if idle and len(around) > 1 and around[-2].children else list(optimizers)
