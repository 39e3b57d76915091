"""``layer_state``: what a layer holds, and whether one instance may serve several places of a model."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from keras_buildfix._keras.classes import describe, layer_base, package_of
from keras_buildfix._keras.defaults import has_default_build
from keras_buildfix._keras.trials import without_trace
from keras_buildfix._tables import Table
from keras_buildfix._words import SHOWN, many, short
from keras_buildfix.inspection.copies import CopyError, copy_of, stable_name
from keras_buildfix.inspection.probing import Probed, Weight, probe, weights_of
from keras_buildfix.layer_tree.tree import weight_tree


@dataclass(frozen=True)
class LayerWeight:
    """A weight that a layer holds, or will hold once it is built.

    Attributes:
        name: Its name, as in ``named_weights``.
        shape: Its sizes; None for each that depends on the input's shape.
        kind: ``"trainable"`` (frozen or not); ``"statistics"`` if calls change it, such as a moving mean; ``"fixed"``
            if it is not trained and calls do not change it; ``"unknown"`` if it is not trained and could not be tried.
    """

    name: str
    shape: tuple[int | None, ...]
    kind: str


@dataclass(frozen=True)
class LayerState(Table):
    """What ``layer_state`` found. It prints as a table of the weights, with what follows from them.

    Attributes:
        layer: The layer's name; of a class, the name that Keras makes up.
        cls: The name of the class.
        reusable: Whether one instance may serve several places: ``"yes"`` (it keeps nothing),
            ``"yes, sharing weights"`` or ``"no"``.
        why: The reason, in words.
        holds: What it holds, of ``"trainable weights"``, ``"statistics"``, ``"fixed weights"``, ``"unknown weights"``
            and ``"random state"``; empty if it holds nothing.
        axes: The axes of the input on whose sizes the shapes of its weights depend; None if that could not be tried.
        weights: Its weights.
        attributes: Numbers in attributes of users' layers that a call changes, such as a counter.
        tried: Whether copies of it could be called; if not, `why` says what we went by.
    """

    layer: str
    cls: str
    reusable: str
    why: str
    holds: tuple[str, ...]
    axes: tuple[int, ...] | None
    weights: tuple[LayerWeight, ...]
    attributes: tuple[str, ...] = ()
    tried: bool = True

    @property
    def trainable(self) -> tuple[str, ...]:
        """The names of the trainable weights."""
        return self._called("trainable")

    @property
    def statistics(self) -> tuple[str, ...]:
        """The names of the weights that calls change."""
        return self._called("statistics")

    @property
    def random(self) -> bool:
        """Whether it draws random numbers."""
        return "random state" in self.holds

    def _called(self, kind: str) -> tuple[str, ...]:
        return tuple(each.name for each in self.weights if each.kind == kind)

    def _rows(self) -> Sequence[LayerWeight]:
        return self.weights

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        rows = [(each.name, str(list(each.shape)), each.kind) for each in self.weights]
        return ("weight", "shape", "what it is"), rows

    def _notes(self) -> Sequence[str]:
        return (
            f"{self.layer} ({self.cls}) holds: {', '.join(self.holds) or 'nothing'}",
            f"one instance for several places: {self.reusable}",
            self.why,
        )


def layer_state(layer_or_class: Any) -> LayerState:
    """Tells what a layer holds, and so whether one instance may be called at several places of a model.

    We find out by trial: layers of the same configuration are built at several input shapes and called in training
    mode on some numbers, and we look which weights there are, whose shapes differ, and which of them calls change. The
    layer itself, the random state of the process, and the names that Keras makes up next stay as they are. A layer
    that is frozen now is told as if it were not.

    Args:
        layer_or_class: A layer, built or not; or a class, of which we make a layer with simple arguments.

    Returns:
        Its weights and their kinds, the axes on which their shapes depend, whether one instance may serve several
        places, and why.

    Raises:
        TypeError: If it is not a Keras layer or layer class.
        ValueError: If no layer of the class can be made: pass an instance.

    Examples:
        >>> import keras
        >>> from keras_buildfix import layer_state
        >>> layer_state(keras.layers.Flatten()).reusable
        'yes'
        >>> layer_state(keras.layers.Dense(4)).reusable
        'yes, sharing weights'
        >>> print(layer_state(keras.layers.BatchNormalization(name="bn")))
        weight           shape   what it is
        -----------------------------------
        gamma            [None]  trainable
        beta             [None]  trainable
        moving_mean      [None]  statistics
        moving_variance  [None]  statistics
        bn (BatchNormalization) holds: trainable weights, statistics
        one instance for several places: no
        Calls change moving_mean and moving_variance, so that places would mix theirs: make a layer for each place. \
The shapes of its weights depend on the size of axis -1 of the input.

    Source: Keras tells none of this; ``weights`` is empty before a layer is built.
    """
    is_class = isinstance(layer_or_class, type)
    base = layer_base(layer_or_class if is_class else type(layer_or_class))
    if base is None:
        raise TypeError(f"layer_state expects a Keras layer or layer class; got {describe(layer_or_class)}.")
    with without_trace(package_of(base.__module__) or ""), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a trial warns of is about inputs that we made up
        if is_class:
            make, given = _maker(layer_or_class)
            found = _state_of(make(), make)
            return _with_arguments(found, given)
        return _state_of(layer_or_class, functools.partial(copy_of, layer_or_class, None, "layer_state"))


def _state_of(layer: Any, make: Callable[[], Any]) -> LayerState:
    """The state of a layer; `make` makes another one like it."""
    try:
        make()
    except CopyError as error:
        return _by_its_looks(layer, error.reason)
    probed = probe(make, layer)
    return (
        _by_its_looks(layer, "we found no inputs on which it can be called") if probed is None else _told(layer, probed)
    )


def _told(layer: Any, probed: Probed) -> LayerState:
    weights = tuple(_weight(name, each, probed) for name, each in probed.weights.items())
    attributes = tuple(sorted(name for name in probed.changing if name.startswith("attribute ")))
    holds = _kinds(weights, bool(attributes), probed.random)
    reusable = _reusable(holds)
    why = _why(weights, attributes, holds)
    if probed.weights:
        why += " " + _of_shapes(probed)
    if not probed.called:
        why += " It could be built but not called here, so we do not know what calls change."
    return LayerState(
        stable_name(layer), type(layer).__name__, reusable, why, holds, probed.axes, weights,
        tuple(name.partition(" ")[2] for name in attributes), probed.called,
    )  # fmt: skip


def _weight(name: str, weight: Weight, probed: Probed) -> LayerWeight:
    if weight.trainable:
        kind = "trainable"
    elif name in probed.changing:
        kind = "statistics"
    else:
        kind = "fixed" if probed.called else "unknown"
    return LayerWeight(name, weight.shape, kind)


def _kinds(weights: Sequence[LayerWeight], attributes: bool, random: bool) -> tuple[str, ...]:
    kinds = {each.kind for each in weights} | ({"statistics"} if attributes else set())
    names = [
        kind if kind == "statistics" else f"{kind} weights"
        for kind in ("trainable", "statistics", "fixed", "unknown")
        if kind in kinds
    ]
    return tuple([*names, "random state"] if random else names)


def _reusable(holds: Sequence[str]) -> str:
    if "statistics" in holds or "unknown weights" in holds:
        return "no"
    return "yes, sharing weights" if any(each.endswith("weights") for each in holds) else "yes"


def _why(weights: Sequence[LayerWeight], attributes: Sequence[str], holds: Sequence[str]) -> str:
    """The reason why one instance may serve several places or not."""
    by_kind = {kind: [each.name for each in weights if each.kind == kind] for kind in ("statistics", "unknown")}
    changed = [*by_kind["statistics"], *attributes]
    if changed:
        them = "theirs: make a layer for each place."
        return f"Calls change {_and(changed)}, so that places would mix {them}"
    if by_kind["unknown"]:
        return (
            f"{_and(by_kind['unknown'])} {'is' if len(by_kind['unknown']) == 1 else 'are'} not trained, so calls may "
            "change what is in there: make a layer for each place."
        )
    random = " It draws random numbers: each place gets others." if "random state" in holds else ""
    if not weights:
        return f"It has no weights, and keeps nothing from one call to the next.{random}"
    return f"All places would use the same {many(len(weights), 'weight')}.{random}"


def _and(names: Sequence[str]) -> str:
    shown = list(names[:SHOWN])
    if len(names) > SHOWN:
        shown.append(f"{len(names) - SHOWN} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _of_shapes(probed: Probed) -> str:
    """On which axes the shapes of weights depend, in words."""
    if probed.axes:
        of = "the input" if probed.rank is None else f"an input with {probed.rank} axes"
        return f"The shapes of its weights depend on the size of {_axes(probed.axes)} of {of}."
    text = "The shapes of its weights do not depend on the input."
    return f"{text} It refuses inputs of another size on {_axes(probed.refused)}." if probed.refused else text


def _axes(axes: Sequence[int]) -> str:
    return f"ax{'i' if len(axes) == 1 else 'e'}s {_and([str(axis) for axis in axes])}"


def _by_its_looks(layer: Any, reason: str) -> LayerState:
    """What a layer and the layers in it show when no copy can be tried."""
    own: dict[str, Weight] = weights_of(layer)
    kinds: dict[str, str] = {}
    random, attributes = False, []
    for node in weight_tree(layer).children:
        inner = _state_of(node.layer, functools.partial(copy_of, node.layer, None, "layer_state"))
        kinds.update({f"{node.name}/{each.name}": each.kind for each in inner.weights})
        random = random or inner.random
        attributes += [f"attribute {name} of {node.name}" for name in inner.attributes]
        for each in inner.weights:
            own.setdefault(f"{node.name}/{each.name}", Weight(each.shape, each.kind == "trainable"))
    weights = tuple(
        LayerWeight(name, each.shape, kinds.get(name) or ("trainable" if each.trainable else "unknown"))
        for name, each in own.items()
    )
    holds = _kinds(weights, bool(attributes), random)
    reusable, why = _reusable(holds), _why(weights, attributes, holds)
    if not _is_complete(layer):
        reusable, why = "no", "It is not built yet, and may make weights that change: build it, and ask again."
    why += f" We went by what the layer shows now, as {reason}."
    return LayerState(
        stable_name(layer), type(layer).__name__, reusable, why, holds, None, weights,
        tuple(name.partition(" ")[2] for name in attributes), False,
    )  # fmt: skip


def _is_complete(layer: Any) -> bool:
    """Whether a layer shows all weights of its own: it is built, or has no build that could make any."""
    return bool(getattr(layer, "built", False)) or has_default_build(layer)


#: Simple arguments for parameters of constructors, by their names in Keras: for a class without an instance.
_ARGUMENTS: dict[str, Any] = {
    "units": 4, "filters": 4, "kernel_size": 1, "rate": 0.5, "stddev": 0.5, "input_dim": 8, "output_dim": 4,
    "num_heads": 2, "key_dim": 4, "head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2, "n": 2,
    "dims": (2, 1), "axes": -1, "factor": 0.5, "height": 8, "width": 8, "target_shape": (-1,), "num_bins": 4,
    "num_tokens": 4, "scale": 1.0, "size": 2, "dim": 4,
}  # fmt: skip


def _maker(cls: type) -> tuple[Callable[[], Any], dict[str, Any]]:
    """A function that makes layers of a class, and the arguments that it gives.

    Raises:
        ValueError: If a layer can't be made without knowing more.
    """
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    unknown = [name for name in needed if name not in _ARGUMENTS]
    told = f"layer_state: we can't make a layer of the class {cls.__name__}"
    if unknown:
        raise ValueError(
            f"{told}, as its constructor needs {_and([repr(name) for name in unknown])}. Pass an instance: "
            f"layer_state({cls.__name__}(...))."
        )
    given = {name: _ARGUMENTS[name] for name in needed}
    make = functools.partial(cls, **given)
    try:
        make()
    except Exception as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise ValueError(
            f"{told}: {cls.__name__}({shown}) raises {type(error).__name__} ({short(str(error), 200)}). Pass an "
            f"instance: layer_state({cls.__name__}(...))."
        ) from error
    return make, given


def _with_arguments(found: LayerState, given: dict[str, Any]) -> LayerState:
    """The same, and with which arguments the layer was made."""
    import dataclasses

    if not given:
        return found
    shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return dataclasses.replace(found, why=f"{found.why} (This is of {found.cls}({shown}).)")
