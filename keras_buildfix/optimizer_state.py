"""An optimizer for other weights than before: what it knows of those that stay is kept, to the bit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from keras_buildfix import _private_training as private
from keras_buildfix import _variables


class Slot(NamedTuple):
    """A variable that an optimizer has for a weight; whether it is filed, and its key where it is kept by key."""

    variable: Any
    filed: bool
    key: Any = None


#: For the ``id`` of a weight, its variables in an optimizer, by the attribute that lists them.
Slots = dict[int, dict[str, Slot]]


def innermost(optimizer: Any) -> Any:
    """The optimizer that a loss scale's optimizer wraps; otherwise itself."""
    while getattr(optimizer, "inner_optimizer", None) is not None:
        optimizer = optimizer.inner_optimizer
    return optimizer


def slots_of(optimizer: Any, candidates: Sequence[Any]) -> Slots:
    """What a built optimizer keeps for each weight: its moments, moving average, accumulated gradient."""
    optimizer = innermost(optimizer)
    if not private.is_built(optimizer):
        return {}
    known = private.known_variables(optimizer, candidates)
    elsewhere = {id(variable) for variable in known if isinstance(variable, private.Elsewhere)}
    return {key: slots for key, slots in _slots(optimizer, known).items() if key not in elsewhere}


def train_only(
    model: Any,
    optimizer: Any,
    trained: Sequence[Any],
    wanted: Sequence[Any],
    variables: Sequence[Any],
    had: Slots,
    remembered: Slots,
    reusable: Slots,
) -> bool:
    """Has an optimizer train these weights, without losing what it has for those it trains already.

    Args:
        model: The model that it is compiled into, whose strategy new variables are made under.
        optimizer: An optimizer of Keras 2 or 3, legacy ones and those with a loss scale included.
        trained: The weights that the model trained so far.
        wanted: Those that it trains from now on, in the model's order.
        variables: All weights of the model; an optimizer may train others besides.
        had: What it has, as ``slots_of`` gives it.
        remembered: What it had for weights that come back; others start afresh.
        reusable: Variables for those others, which a step was traced with. Their values are not used.

    Returns:
        Whether it trained others so far.

    Raises:
        ValueError: If it can't be told which of its variables belong to which weight. Nothing is changed then.
    """
    inner = innermost(optimizer)
    gone = _without(trained, wanted)
    if private.forget_slots(inner, gone) or not private.is_built(inner):
        return bool(gone)
    known = private.known_variables(inner, [*variables, *wanted])
    mine = {id(variable) for variable in (*variables, *wanted)}
    wanted = [*wanted, *(variable for variable in known if id(variable) not in mine)]
    now_has = had if len(had) == len(known) else _slots(inner, known)
    same = all(_same(now_has[key], slots) for key, slots in remembered.items() if key in now_has)
    if same and [id(variable) for variable in wanted] == [id(variable) for variable in known]:
        return False
    old, singles = private.own_variables(inner), private.single_variables(inner)
    _refuse_unclear(inner, old, now_has, singles)
    loops = _order(old, known, now_has, singles)
    slots = {**now_has, **remembered}
    names = set(private.per_variable_lists(inner, len(known)) if known else ())
    notes = private.notes(inner)

    slots.update(_refreshed(inner, [v for v in wanted if id(v) not in slots], reusable))
    added = [variable for variable in wanted if id(variable) not in slots]
    if added:
        before = {
            **private.per_variable_lists(inner, len(known)),
            **private.per_variable_dicts(inner),
            **notes,
            **singles,
        }
        try:
            with private.tensorflow_scope(model):
                private.build_for(inner, added)
        except BaseException:
            private.hand_over(inner, known, old, before)
            raise
        fresh = _slots(inner, added)
        names |= set(private.per_variable_lists(inner, len(added)))
        for variable in added:  # Keras 3 starts a moving average at zero, and overwrites it at the first step of all
            average = fresh[id(variable)].get(private.AVERAGE)
            if average is not None:
                _variables.copy(average.variable, variable)
        if len(added) > len(known):
            loops = _order(private.own_variables(inner), added, fresh, private.single_variables(inner))
        slots.update(_reused(inner, added, fresh, reusable))

    now = private.notes(inner)
    attributes: dict[str, Any] = {
        name: {**notes[name], **now[name]} for name in notes if name in now and notes[name] != now[name]
    }
    for name in names.union(*(slots[id(variable)] for variable in wanted)):
        held = [slots[id(variable)].get(name, Slot(None, False)).variable for variable in wanted]
        if isinstance(vars(inner).get(name), dict):
            kept = [slots[id(variable)][name] for variable in wanted if name in slots[id(variable)]]
            attributes[name] = {slot.key: slot.variable for slot in kept}
        else:
            attributes[name] = held
    attributes.update({name: single for name, single in singles.items() if vars(inner).get(name) is not single})
    in_slots = {id(slot.variable) for each in (*slots.values(), *now_has.values()) for slot in each.values()}
    base = [variable for variable in old if id(variable) not in in_slots]
    private.hand_over(inner, list(wanted), _filed(base, loops, wanted, slots, singles), attributes)
    while optimizer is not inner:
        private.know_only(optimizer, list(wanted))
        optimizer = optimizer.inner_optimizer
    return True


#: An attribute of an optimizer: with what its variables for a weight start, where that is one number.
_STARTS_IN = "_keras_buildfix_starts"


class _Starts:
    """For the ``id`` of a weight: itself, the optimizer's settings, and the number that each slot starts with.

    A copied optimizer begins anew.
    """

    def __init__(self) -> None:
        self.of: dict[int, tuple[Any, Any, dict[str, float]]] = {}

    def __reduce__(self) -> Any:
        return _Starts, ()


def _refreshed(optimizer: Any, added: Sequence[Any], reusable: Slots) -> Slots:
    """Variables that an optimizer had for these weights, with fresh values, as far as those are known."""
    starts = vars(optimizer).get(_STARTS_IN, _Starts()).of
    now = private.settings(optimizer).values
    found: Slots = {}
    fresh: list[tuple[Any, float]] = []
    for variable in added:
        weight, settings, numbers = starts.get(id(variable), (None, None, {}))
        slots = reusable.get(id(variable), {})
        if weight is variable and settings == now and set(numbers) == set(slots):
            for name, slot in slots.items():
                if name == private.AVERAGE:
                    _variables.copy(slot.variable, variable)
                else:
                    fresh.append((slot.variable, numbers[name]))
            found[id(variable)] = slots
    _variables.fill(fresh)
    return found


def _reused(optimizer: Any, added: Sequence[Any], fresh: Slots, reusable: Slots) -> Slots:
    """Fresh slots with other variables in the place of their own, as far as these fit: they get the fresh values."""
    found: Slots = {}
    settings = private.settings(optimizer).values
    for variable in added:
        slots, old = fresh[id(variable)], reusable.get(id(variable), {})
        fits = set(slots) == set(old) and all(_alike(old[name], slot) for name, slot in slots.items())
        found[id(variable)] = old if fits else slots
        if not fits:
            continue
        numbers = {}
        for name, slot in slots.items():
            number = _variables.only_number(slot.variable)
            if name == private.AVERAGE or number is not None:
                numbers[name] = number or 0.0
            _variables.copy(old[name].variable, slot.variable)
        vars(optimizer).setdefault(_STARTS_IN, _Starts()).of[id(variable)] = (variable, settings, numbers)
    return found


def _same(slots: dict[str, Slot], others: dict[str, Slot]) -> bool:
    return {name: id(s.variable) for name, s in slots.items()} == {name: id(s.variable) for name, s in others.items()}


def _alike(old: Slot, new: Slot) -> bool:
    return (
        _variables.shape_of(old.variable) == _variables.shape_of(new.variable)
        and _variables.dtype_of(old.variable) == _variables.dtype_of(new.variable)
        and (old.filed, old.key) == (new.filed, new.key)
    )


def _without(variables: Iterable[Any], others: Iterable[Any]) -> list[Any]:
    gone = {id(variable) for variable in others}
    return [variable for variable in variables if id(variable) not in gone]


def _slots(optimizer: Any, known: Sequence[Any]) -> Slots:
    found: Slots = {id(variable): {} for variable in known}
    filed = {id(variable) for variable in private.own_variables(optimizer)}
    if known:
        for name, values in private.per_variable_lists(optimizer, len(known)).items():
            for variable, held in zip(known, values):
                if held is not None:
                    found[id(variable)][name] = Slot(held, id(held) in filed)
    by_key = {key: variable for variable in known for key in private.keys_of(optimizer, variable)}
    for name, held in private.per_variable_dicts(optimizer).items():
        for key, variable in held.items():
            if key not in by_key:
                raise ValueError(
                    f"The optimizer {type(optimizer).__name__} has variables by key in {name!r}, and {key!r} is no "
                    f"weight's path or key: {_WAY_OUT}"
                )
            found[id(by_key[key])][name] = Slot(variable, True, key)
    return found


#: What to do about an optimizer that keeps its variables in a way of its own.
_WAY_OUT = (
    "which weight they belong to can't be told. Nothing was changed. Keep them in lists with one for each weight, "
    "or compile the model again with a new optimizer after freezing."
)


def _refuse_unclear(optimizer: Any, own: Sequence[Any], slots: Slots, singles: dict[str, Any]) -> None:
    """Raises if an optimizer has variables that may belong to a weight, and it can't be told to which."""
    clear = {id(slot.variable) for each in slots.values() for slot in each.values()}
    clear |= {id(variable) for variable in singles.values()}
    unclear = [str(getattr(variable, "path", variable.name)) for variable in own if id(variable) not in clear]
    if unclear:
        raise ValueError(
            f"The optimizer {type(optimizer).__name__} keeps variables ({', '.join(unclear[:5])}) in no attribute"
            f" and no list with one for each weight: {_WAY_OUT}"
        )
    wrapped = [name for name, value in vars(optimizer).items() if private.is_optimizer(value)]
    if wrapped:
        raise ValueError(
            f"The optimizer {type(optimizer).__name__} wraps another one in {wrapped[0]!r}: only `inner_optimizer` is "
            "followed. Nothing was changed. Compile the model again with a new optimizer after freezing."
        )


def _order(own: Sequence[Any], known: Sequence[Any], slots: Slots, singles: dict[str, Any]) -> list[list[str] | str]:
    """How ``build`` makes variables: the loops over the weights, each with the attributes it adds to at a weight.

    A name by itself is a variable that is made between two loops (Nadam's product, with a moving average).
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
    """All variables in the order in which an optimizer that is built for these weights files them."""
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
    for variable in wanted:  # what none of the loops had, since the weights so far had none
        filed += [
            each.variable for each in slots[id(variable)].values() if each.filed and id(each.variable) not in seen
        ]
    return filed
