"""Makes an optimizer train other weights than before, and keeps its state for every weight, to the bit."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from keras_buildfix._keras import training
from keras_buildfix._keras.variables import copy_value


class Slot(NamedTuple):
    """A variable that an optimizer keeps for one weight, such as Adam's first moment.

    Attributes:
        variable: The variable.
        filed: Whether the optimizer saves it.
        key: Its key, if the optimizer keeps it in a dict.
    """

    variable: Any
    filed: bool
    key: Any = None


#: By the ``id`` of a weight: its variables in an optimizer, by the attribute that holds them.
Slots = dict[int, dict[str, Slot]]


def innermost(optimizer: Any) -> Any:
    """The optimizer inside an optimizer with a loss scale; otherwise the optimizer itself."""
    while getattr(optimizer, "inner_optimizer", None) is not None:
        optimizer = optimizer.inner_optimizer
    return optimizer


def slots_of(optimizer: Any, candidates: Sequence[Any]) -> Slots:
    """The variables of a built optimizer for each weight: its moments, moving average, accumulated gradient."""
    optimizer = innermost(optimizer)
    if not training.is_built(optimizer):
        return {}
    known = training.known_variables(optimizer, candidates)
    elsewhere = {id(variable) for variable in known if isinstance(variable, training.Elsewhere)}
    return {key: slots for key, slots in _slots(optimizer, known).items() if key not in elsewhere}


def train_only(
    model: Any, optimizer: Any, trained: Sequence[Any], wanted: Sequence[Any], variables: Sequence[Any], had: Slots
) -> bool:
    """Makes an optimizer train these weights, and keeps its state for every weight that it ever trained.

    Args:
        model: The model of the optimizer: new variables are made in the scope of its strategy.
        optimizer: An optimizer of Keras 2 or 3, also a legacy one or one with a loss scale.
        trained: The weights that the model trained so far.
        wanted: The weights that it trains from now on, in the model's order.
        variables: All weights of the model; the optimizer may also train weights outside it.
        had: The variables of the optimizer, from ``slots_of``.

    Returns:
        Whether the optimizer trained other weights before.

    Raises:
        ValueError: If it is not clear which variables of the optimizer belong to which weight. Nothing is changed then.
    """
    inner = innermost(optimizer)
    if training.makes_slots_itself(inner):
        return _set_aside_legacy(inner, trained, wanted)
    if not training.is_built(inner):
        return bool(_without(trained, wanted))
    known = training.known_variables(inner, [*variables, *wanted])
    mine = {id(variable) for variable in (*variables, *wanted)}
    wanted = [*wanted, *(variable for variable in known if id(variable) not in mine)]
    if [id(variable) for variable in wanted] == [id(variable) for variable in known]:
        return False
    _train(model, inner, list(wanted), known, had if len(had) == len(known) else _slots(inner, known))
    while optimizer is not inner:
        training.know_only(optimizer, list(wanted))
        optimizer = optimizer.inner_optimizer
    return True


def _train(model: Any, optimizer: Any, wanted: list[Any], known: Sequence[Any], had: Slots) -> None:
    """Makes a built optimizer that trains the `known` weights, with the variables `had`, train the `wanted` ones."""
    old, singles = training.own_variables(optimizer), training.single_variables(optimizer)
    _refuse_unclear(optimizer, old, had, singles)
    aside = vars(optimizer).get(_ASIDE_IN) or _Aside()
    files = max(aside.files, _Files(len(known), _order(old, known, had, singles)), key=lambda each: each.of)
    slots = {**aside.for_weights(wanted), **had}
    lists = set(training.per_variable_lists(optimizer, len(known)) if known else ())
    notes = training.notes(optimizer)

    added = [variable for variable in wanted if id(variable) not in slots]
    if added:
        fresh, files = _built_for(model, optimizer, added, known, files)
        slots.update(fresh)
        lists |= set(training.per_variable_lists(optimizer, len(added)))

    now = training.notes(optimizer)
    attributes = {name: {**notes[name], **now[name]} for name in notes if name in now and notes[name] != now[name]}
    attributes.update(_by_attribute(optimizer, lists.union(*slots.values()), wanted, slots))
    attributes.update({name: single for name, single in singles.items() if vars(optimizer).get(name) is not single})
    in_slots = {id(slot.variable) for each in slots.values() for slot in each.values()}
    base = [variable for variable in old if id(variable) not in in_slots]
    aside.files = files
    aside.exchange(wanted, known, had)
    vars(optimizer)[_ASIDE_IN] = aside
    training.hand_over(optimizer, wanted, _filed(base, files.loops, wanted, slots, singles), attributes)


def _by_attribute(optimizer: Any, names: Iterable[str], wanted: Sequence[Any], slots: Slots) -> dict[str, Any]:
    """The variables of the weights, as the optimizer's attributes hold them: by key, or one for each weight."""
    attributes: dict[str, Any] = {}
    for name in names:
        if isinstance(vars(optimizer).get(name), dict):
            kept = [slots[id(variable)][name] for variable in wanted if name in slots[id(variable)]]
            attributes[name] = {slot.key: slot.variable for slot in kept}
        else:
            attributes[name] = [slots[id(variable)].get(name, Slot(None, False)).variable for variable in wanted]
    return attributes


def _set_aside_legacy(optimizer: Any, trained: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Does what ``train_only`` does, for a legacy optimizer of Keras 2.

    Such an optimizer keeps its variables by weight, and makes missing ones itself at its next step.
    """
    aside = vars(optimizer).setdefault(_ASIDE_IN, _Aside())
    come, gone = _without(wanted, trained), _without(trained, wanted)
    back = aside.for_weights(come)
    had, aside.order = training.exchange_legacy_slots(
        optimizer, gone, [(v, back[id(v)]) for v in come if id(v) in back], aside.order
    )
    aside.exchange(wanted, gone, had)
    return bool(come or gone)


def _built_for(
    model: Any, optimizer: Any, added: Sequence[Any], known: Sequence[Any], files: _Files
) -> tuple[Slots, _Files]:
    """Makes an optimizer's variables for weights that it never trained; if that fails, the optimizer is unchanged."""
    before = {
        **training.per_variable_lists(optimizer, len(known)),
        **training.per_variable_dicts(optimizer),
        **training.notes(optimizer),
        **training.single_variables(optimizer),
    }
    own = training.own_variables(optimizer)
    try:
        with training.tensorflow_scope(model):
            training.build_for(optimizer, list(added))
    except BaseException:
        training.hand_over(optimizer, list(known), own, before)
        raise
    fresh = _slots(optimizer, added)
    for variable in added:  # Keras 3 starts a moving average at zero, and sets it only at the optimizer's first step
        average = fresh[id(variable)].get(training.AVERAGE)
        if average is not None:
            copy_value(average.variable, variable)
    if len(added) > files.of:
        made = training.own_variables(optimizer)
        files = _Files(len(added), _order(made, added, fresh, training.single_variables(optimizer)))
    return fresh, files


class _Files(NamedTuple):
    """For how many weights an optimizer was built at once, and in which order it saved its variables then.

    The build for the most weights shows the order best: for a single weight, two loops over weights look like one.
    """

    of: int
    loops: list[list[str] | str]


#: An attribute of an optimizer: its state for weights that it does not train now.
_ASIDE_IN = "_keras_buildfix_aside"


class _Aside:
    """An optimizer's state for frozen weights, kept until they are trained again. A copied optimizer has none."""

    def __init__(self) -> None:
        self.of: dict[int, tuple[weakref.ref[Any], Any]] = {}
        self.files = _Files(0, [])
        #: For a legacy optimizer: all variables that it ever had, in the order in which it saves them.
        self.order: list[Any] = []

    def __reduce__(self) -> Any:
        return _Aside, ()

    def for_weights(self, weights: Iterable[Any]) -> dict[int, Any]:
        """The state kept here for these weights."""
        held = ((weight, self.of.get(id(weight))) for weight in weights)
        return {id(weight): each[1] for weight, each in held if each is not None and each[0]() is weight}

    def exchange(self, trained: Iterable[Any], known: Iterable[Any], had: dict[int, Any]) -> None:
        """Removes the state of weights that are trained now, and keeps that of weights that no longer are."""
        taken = {id(weight) for weight in trained}
        self.of = {key: each for key, each in self.of.items() if key not in taken and each[0]() is not None}
        for weight in known:
            if id(weight) not in taken and id(weight) in had:
                self.of[id(weight)] = (weakref.ref(weight), had[id(weight)])


def _without(variables: Iterable[Any], others: Iterable[Any]) -> list[Any]:
    gone = {id(variable) for variable in others}
    return [variable for variable in variables if id(variable) not in gone]


def _slots(optimizer: Any, known: Sequence[Any]) -> Slots:
    found: Slots = {id(variable): {} for variable in known}
    filed = {id(variable) for variable in training.own_variables(optimizer)}
    if known:
        for name, values in training.per_variable_lists(optimizer, len(known)).items():
            for variable, held in zip(known, values):
                if held is not None:
                    found[id(variable)][name] = Slot(held, id(held) in filed)
    by_key = {key: variable for variable in known for key in training.keys_of(optimizer, variable)}
    for name, held in training.per_variable_dicts(optimizer).items():
        for key, variable in held.items():
            if key not in by_key:
                raise ValueError(
                    f"The optimizer {type(optimizer).__name__} keeps variables in the dict {name!r}, and its key "
                    f"{key!r} is not the path or key of a weight: {_WAY_OUT}"
                )
            found[id(by_key[key])][name] = Slot(variable, True, key)
    return found


#: What to do about an optimizer that keeps its variables in an unknown way.
_WAY_OUT = (
    "it is not clear to which weight they belong. Nothing was changed. Keep them in lists with one for each weight, "
    "or compile the model again with a new optimizer after freezing."
)


def _refuse_unclear(optimizer: Any, own: Sequence[Any], slots: Slots, singles: dict[str, Any]) -> None:
    """Raises a ValueError if an optimizer has variables that may belong to a weight, but it is not clear to which."""
    clear = {id(slot.variable) for each in slots.values() for slot in each.values()}
    clear |= {id(variable) for variable in singles.values()}
    unclear = [str(getattr(variable, "path", variable.name)) for variable in own if id(variable) not in clear]
    if unclear:
        raise ValueError(
            f"The optimizer {type(optimizer).__name__} keeps variables ({', '.join(unclear[:5])}) that are neither an "
            f"attribute nor in a list with one for each weight: {_WAY_OUT}"
        )
    wrapped = [name for name, value in vars(optimizer).items() if training.is_optimizer(value)]
    if wrapped:
        raise ValueError(
            f"The optimizer {type(optimizer).__name__} wraps another one in {wrapped[0]!r}: only `inner_optimizer` is "
            "followed. Nothing was changed. Compile the model again with a new optimizer after freezing."
        )


def _order(own: Sequence[Any], known: Sequence[Any], slots: Slots, singles: dict[str, Any]) -> list[list[str] | str]:
    """The order in which ``build`` makes variables: a list of the attributes that it fills, for each loop.

    A plain name is a variable that ``build`` makes between two loops (Nadam's product, with a moving average).
    """
    place = {
        id(slot.variable): (name, at) for at, variable in enumerate(known) for name, slot in slots[id(variable)].items()
    }
    name_of = {id(single): name for name, single in singles.items()}
    loops: list[list[str] | str] = []
    last = len(known)
    for variable in own:
        if id(variable) in place:
            name, at = place[id(variable)]
            if at < last or isinstance(loops[-1], str):
                loops.append([])
            loop = loops[-1]
            assert isinstance(loop, list)
            if name not in loop:
                loop.append(name)
            last = at
        elif loops and id(variable) in name_of:
            loops.append(name_of[id(variable)])
    return loops


def _filed(
    base: list[Any], loops: list[list[str] | str], wanted: Sequence[Any], slots: Slots, singles: dict[str, Any]
) -> list[Any]:
    """All variables, in the order in which an optimizer that was built for these weights would save them."""
    between = {id(singles[name]) for name in loops if isinstance(name, str)}
    filed = [variable for variable in base if id(variable) not in between]
    for loop in loops:
        if isinstance(loop, str):
            filed.append(singles[loop])
            continue
        for variable in wanted:
            own = slots[id(variable)]
            filed += [own[name].variable for name in loop if name in own and own[name].filed]
    seen = {id(variable) for variable in filed}
    for variable in wanted:  # variables that are in no loop, because the weights so far had none of their kind
        filed += [
            each.variable for each in slots[id(variable)].values() if each.filed and id(each.variable) not in seen
        ]
    return filed
