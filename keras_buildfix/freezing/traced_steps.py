"""Keeps a model's traced steps while it trains other weights, for when it trains the same weights again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_buildfix._keras import training
from keras_buildfix._keras.tracking import nested_layers

#: For how many sets of trained weights a model keeps its steps, besides the present one.
KEPT = 8
FUNCTIONS = {"train_function": "train_step", "test_function": "test_step", "predict_function": "predict_step"}
#: An attribute of a function: the functions that it replaced. They are kept there so that ``compile``, which drops
#: the function, drops them too. JAX takes equal methods for one, and would otherwise find an old trace.
_KEPT_IN = "_keras_buildfix_kept"
#: An attribute of a model: the flags that this package set last.
_FLAGS_IN = "_keras_buildfix_flags"


class Things(tuple[Any, ...]):
    """A tuple that equals another only if each item is the same object."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Things) and len(self) == len(other) and all(a is b for a, b in zip(self, other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


@dataclass
class Flags:
    """What is trainable in a model: its layers with their flags, its weights, and the settings of its steps."""

    layers: Things
    trained: Things
    others: Things
    values: tuple[Any, ...]

    @classmethod
    def of(cls, model: Any) -> Flags:
        """The present flags of a model."""
        layers = nested_layers(model)
        settings = [getattr(model, name, None) for name in ("run_eagerly", "jit_compile", "steps_per_execution")]
        return cls(
            Things(layers),
            Things(training.variables_of(model, trained=True)),
            Things(training.variables_of(model, trained=False)),
            (*(bool(getattr(layer, "trainable", True)) for layer in layers), *settings),
        )


@dataclass
class State:
    """Everything that a trace depends on: the flags, and the optimizers with their settings."""

    flags: Flags
    #: Each optimizer, with all its variables and settings.
    things: Things
    values: tuple[Any, ...]

    @classmethod
    def of(cls, optimizers: Sequence[Any], flags: Flags) -> State:
        """The present state."""
        things: list[Any] = []
        values: list[Any] = []
        for optimizer in optimizers:
            while optimizer is not None:
                things += [optimizer, *training.own_variables(optimizer)]
                settings = training.settings(optimizer)
                things += settings.objects
                values += [len(things), settings.values]
                optimizer = getattr(optimizer, "inner_optimizer", None)
        return cls(flags, Things(things), tuple(values))


@dataclass
class _Step:
    """A function, and the state for which it was traced."""

    state: State
    function: Any
    #: What the model kept for its flags: ``noted_for_flags``.
    noted: dict[str, Any]
    kept: _Kept


@dataclass
class _Kept:
    """Stored on a function: the flags for which it was made, and the steps that it replaced."""

    flags: Flags
    steps: list[_Step] = field(default_factory=list)
    #: Whether somebody changed flags by hand before the function was traced, so that it does not fit `flags`.
    spoilt: bool = False


def knows_flags(model: Any) -> bool:
    """Whether this package has set the flags of a model before."""
    return _FLAGS_IN in vars(model)


def switch_steps(model: Any, left: State, now: State, make_again: bool, agreed: bool) -> None:
    """Makes a model step with functions that are traced for what is trainable now.

    Args:
        model: A model.
        left: Its state before.
        now: Its state now.
        make_again: Whether to make a function again if it is not known to fit, even if the state seems the same.
        agreed: Whether the optimizer knows of all flags: nobody changed one by hand.
    """
    put, noted, noted_again = vars(model).get(_FLAGS_IN), training.noted_for_flags(model), {}
    for name in FUNCTIONS:
        current = getattr(model, name, None)
        if current is None:
            continue
        kept: _Kept | None = getattr(current, "__dict__", {}).pop(_KEPT_IN, None)
        if kept is not None:
            fits = kept.flags == left.flags and not kept.spoilt
        else:
            fits = agreed if put is None else put == left.flags
        if left == now and (fits if kept is not None else not make_again):
            if kept is not None:
                vars(current)[_KEPT_IN] = kept
            continue
        kept = kept or _Kept(left.flags)
        steps, kept.steps = kept.steps, []
        if fits and training.can_be_put_back(model, name):
            steps.append(_Step(left, current, noted, kept))
        again = next((step for step in steps if step.state == now), None)
        here = _Kept(now.flags) if again is None else again.kept
        here.steps = [step for step in steps if step.state != now][-KEPT:]
        if again is not None:
            training.put_function(model, name, again.function)
            noted_again = again.noted
        else:
            training.make_function(model, name, _watched(model, FUNCTIONS[name], here))
        function = getattr(model, name)
        if hasattr(function, "__dict__"):
            vars(function)[_KEPT_IN] = here
        del current, again
    vars(model)[_FLAGS_IN] = now.flags
    training.respect_flags(model, noted_again)


def _watched(model: Any, name: str, kept: _Kept) -> Callable[..., Any] | None:
    """A step that notes during its trace if the flags differ from those for which it was made.

    It is a new function each time: JAX treats equal methods as one, even if other weights are trainable.
    """
    step = getattr(model, name, None)
    if step is None or model.run_eagerly:
        return None

    def traced_step(*args: Any, **kwargs: Any) -> Any:
        kept.spoilt = kept.spoilt or Flags.of(model) != kept.flags
        return step(*args, **kwargs)

    return traced_step
