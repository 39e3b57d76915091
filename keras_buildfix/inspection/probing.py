"""Finds by trial what a layer does: copies of it are built at several input shapes, and called in training."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from keras_buildfix._arrays import Array, kind_of_dtype
from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import (
    belongs_to_keras,
    is_functional,
    is_sequential,
    keras_of,
    layer_base,
    users_bases,
)
from keras_buildfix._keras.defaults import is_default
from keras_buildfix._keras.tracking import nested_layers
from keras_buildfix._keras.trials import own_global_state
from keras_buildfix._keras.variables import assign_value, dtype_of, is_variable, read_value, shape_of
from keras_buildfix._structures import map_structure
from keras_buildfix.layer_tree.tree import weight_tree


class Spec(NamedTuple):
    """The shape and dtype of an input."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Inputs:
    """What a layer is called on: structures of `Spec`.

    Attributes:
        args: Those by position.
        kwargs: Those by keyword.
        called: Whether the layer is called; if not, only its ``build`` gets the shapes.
        real: Whether it is called on arrays, and its weights get values, also on Keras 3.
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    called: bool = True
    real: bool = False

    def changed(self, change: Callable[[Spec], Any]) -> Inputs:
        """The same structure with something else for each `Spec`."""
        args, kwargs = map_structure(change, [list(self.args), self.kwargs], lambda one: isinstance(one, Spec))
        return replace(self, args=tuple(args), kwargs=kwargs)

    def specs(self) -> list[Spec]:
        """All of them, in order."""
        found: list[Spec] = []
        self.changed(found.append)
        return found

    @property
    def rank(self) -> int:
        """The largest number of axes."""
        return max((len(spec.shape) for spec in self.specs()), default=0)

    def resized(self, axis: int, times: int) -> Inputs:
        """The same with a multiple of the size of an axis, in each input that has this axis."""

        def resize(spec: Spec) -> Spec:
            sizes = [size * times if at == axis else size for at, size in enumerate(spec.shape)]
            return Spec(tuple(sizes), spec.dtype)

        return self.changed(resize)


@dataclass(frozen=True)
class Weight:
    """A weight as a build made it."""

    shape: tuple[int | None, ...]
    trainable: bool


Weights = dict[str, Weight]


@dataclass
class Probed:
    """What trials have shown.

    Attributes:
        weights: Name -> the weight; None in its shape for each size that depends on the input.
        axes: The axes of the input on which the shapes of weights depend.
        refused: The axes on which the layer refuses inputs of another size.
        changing: The names of weights, and of numbers in attributes, that calls change.
        random: Whether it draws random numbers.
        rank: The number of axes for which `axes` is true; None if it is true for any that the layer takes.
        called: Whether it could be called; if not, `changing` and `random` are not known.
    """

    weights: Weights
    axes: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()
    changing: frozenset[str] = frozenset()
    random: bool = False
    rank: int | None = None
    called: bool = False


def weights_of(layer: Any) -> Weights:
    """The weights that a layer has now. What is frozen makes no difference."""
    tree = weight_tree(layer)
    trainable = {id(variable) for node in tree.nodes() for _, variable in node.trainable}
    return {name: Weight(shape_of(each), id(each) in trainable) for name, each in tree.weights().items()}


def probe(make: Callable[[], Any], layer: Any) -> Probed | None:
    """What trials with new layers show; None if no inputs are found on which such a layer can be built.

    Args:
        make: Makes a new layer.
        layer: A layer of this kind, from which we read what inputs it takes; nothing in it is changed.
    """
    made_before = weights_of(make())
    found = _first_that_builds(make, layer)
    if found is None:
        return None
    inputs, built = found
    probed = Probed(weights_of(built))
    if made_before if is_sequential(layer) else is_functional(layer):
        probed.refused = _fixed_axes(layer)
    elif probed.weights:
        known = _known_inputs(layer)
        _find_axes(make, inputs, probed, known is not None and known.specs() == inputs.specs())
    if _can_only_compute(built):
        probed.called = True
    else:
        _run(make(), inputs, probed)
    return probed


def _can_only_compute(layer: Any) -> bool:
    """Whether a built layer can't keep or draw anything in a call: a call of a large one would take memory and time.

    All that Keras 3's own layers change is in weights that are not trained, in seeds, or in what ``stateful`` tells.
    """
    parts = nested_layers(layer)
    return (
        wraps_build(type(layer))
        and all(belongs_to_keras(type(each)) and not getattr(each, "stateful", False) for each in parts)
        and all(each.trainable for each in weights_of(layer).values())
        and not _seeds(layer)
        and not any(hasattr(each, "function") for each in parts)  # a Lambda runs a user's code
    )


#: We try this many inputs at most; most layers take one of the first few.
_MOST, _LIKELIEST = 80, 6


def _first_that_builds(make: Callable[[], Any], layer: Any) -> tuple[Inputs, Any] | None:
    """The first of the likely inputs on which a new layer can be built, and that layer."""
    likely = list(itertools.islice(_candidates(layer), _MOST))
    modes = (False, True) if wraps_build(type(layer)) else (True,)
    for part, real in itertools.product((likely[:_LIKELIEST], likely[_LIKELIEST:]), modes):
        for inputs in part:
            built = _built_at(make, replace(inputs, real=real))
            if built is not None:
                return replace(inputs, real=real), built
    return None


def _built_at(make: Callable[[], Any], inputs: Inputs) -> Any:
    """A new layer after a call on such inputs; None if it refuses them.

    On Keras 3 the call is symbolic and the weights get no values, so that a large layer takes neither time nor memory;
    unless it refuses that, as some do: those that make variables of values in their ``build``.
    """
    layer = make()
    keras = keras_of(type(layer))
    try:
        if not inputs.real:
            with own_global_state(keras.__name__), keras.StatelessScope(initialize_variables=False):
                _call(layer, inputs, lambda spec: keras.Input(batch_shape=spec.shape, dtype=spec.dtype))
        else:
            _call(layer, inputs, _array)
    except Exception:  # a layer may raise anything for inputs that are not for it
        return None
    return layer


def _call(layer: Any, inputs: Inputs, tensor: Callable[[Spec], Any]) -> None:
    """Calls a layer on tensors for these inputs, or only builds it.

    With a layer around it, also a symbolic call runs its ``call``: Keras 3 alone asks its ``compute_output_shape``,
    which may have nothing against inputs that ``call`` refuses.
    """
    if inputs.called:
        _called_within(layer, inputs.changed(tensor))
    else:
        layer.build(*(spec.shape for spec in inputs.specs()))


def _called_within(layer: Any, given: Inputs, training: bool | None = None) -> Any:
    """The outputs of a layer, called by a layer around it that tells all layers inside whether this is training."""
    base = layer_base(type(layer))
    assert base is not None
    takes = "training" in inspect.signature(layer.call).parameters
    kwargs = {} if training is None else {"training": training}
    around = _around(base)(name="keras_buildfix_around", dtype=layer.dtype)
    around.built = True
    around.inner = lambda inputs: layer(*inputs["args"], **inputs["kwargs"], **(kwargs if takes else {}))
    return around({"args": list(given.args), "kwargs": given.kwargs}, **kwargs)


@functools.lru_cache(maxsize=8)
def _around(base: type) -> type:
    """A layer class of this Keras whose ``call`` calls the function `inner`."""

    def call(self: Any, inputs: Any, training: Any = None) -> Any:
        return self.inner(inputs)

    return type("Around", (base,), {"call": call})


def _array(spec: Spec) -> Array:
    """An input of this shape: the same numbers each time, below 1 so that they are valid indices when cast."""
    import numpy as np

    if kind_of_dtype(spec.dtype) in ("whole", "bool"):
        return np.zeros(spec.shape, spec.dtype)
    dtype = "float32" if spec.dtype == "bfloat16" else spec.dtype
    return np.random.default_rng(0).uniform(0.1, 0.9, spec.shape).astype(dtype)


def _other_array(spec: Spec) -> Array:
    """Another input of this shape."""
    array = _array(spec)
    return array if array.dtype.kind in "iub" else array / 2


def _candidates(layer: Any) -> Iterator[Inputs]:
    """Likely inputs of a layer, the likeliest first."""
    known = _known_inputs(layer)
    if known is not None:
        yield known
    needed, ranks = _inputs_needed(layer), _ranks(layer)
    if "states" in needed:  # a cell of a recurrent layer: its build does not need the states
        yield Inputs((Spec((2, 32), "float32"),), called=False)
        return
    forms = [len(needed)] if len(needed) > 1 else [1, -2, -3]  # negative: so many in a list
    for dtype in ("float32", "int32"):
        for form in forms:
            for size, other in _sizes(layer):
                for rank in ranks:
                    spec = Spec((2, *[other] * (rank - 2), *[size] * (rank > 1)), dtype)
                    yield Inputs((spec,) * form if form > 0 else ([spec] * -form,))
    if not is_default(layer.build):
        for rank in ranks:
            yield Inputs((Spec((2, *[32] * (rank - 1)), "float32"),), called=False)


def _inputs_needed(layer: Any) -> list[str]:
    """The names of the arguments of ``call`` that are inputs; one without a name if that is not known."""
    try:
        parameters = inspect.signature(layer.call).parameters.values()
    except (TypeError, ValueError, AttributeError):
        return [""]
    needed = [
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        and each.default is each.empty
        and each.name not in ("training", "mask")
    ]
    return needed or [""]


def _ranks(layer: Any) -> list[int]:
    """The numbers of axes to try: those that ``input_spec`` allows, the likeliest first."""
    ranks = [3, 4, 2, 5, 1]
    spec = getattr(layer, "input_spec", None)
    if spec is None or isinstance(spec, (list, tuple, dict)):
        return ranks
    if getattr(spec, "ndim", None):
        return [spec.ndim]
    least, most = getattr(spec, "min_ndim", None) or 1, getattr(spec, "max_ndim", None) or 5
    return [rank for rank in ranks if least <= rank <= most] or ranks


def _sizes(layer: Any) -> list[tuple[int, int]]:
    """The sizes to try, of the last axis and of those before: first some that most kernels and group counts allow.

    Then those that the layer's weights and arguments have.
    """
    found = [size for weight in weights_of(layer).values() for size in weight.shape if size]
    try:
        waiting = [layer.get_config()]
    except Exception:  # a user's class may have none
        waiting = []
    while waiting:
        held = waiting.pop(0)
        if isinstance(held, dict):
            waiting.extend(held.values())
        elif isinstance(held, (list, tuple)):
            waiting.extend(held)
        elif isinstance(held, int) and not isinstance(held, bool):
            found.append(held)
    likely = dict.fromkeys([*(size for size in found if 1 < size <= 1024), 3])
    return [(32, 8), (32, 32), *((size, min(size, 32)) for size in list(likely)[:6])]


def _known_inputs(layer: Any) -> Inputs | None:
    """The inputs at which a layer was built, or which a functional model declares; None if we can't know."""
    if getattr(layer, "built", False) if is_sequential(layer) else is_functional(layer):
        try:
            specs = [_spec(each.shape, dtype_of(each)) for each in layer.inputs]
        except (AttributeError, TypeError, ValueError):
            return None
        return Inputs((specs[0] if len(specs) == 1 else specs,)) if specs else None
    if not getattr(layer, "built", False):
        return None
    try:
        config = layer.get_build_config() or {}
        if config.get("input_shape") is not None:
            return Inputs((_specs(config["input_shape"]),))
        named = {key.rpartition("_shape")[0]: _specs(shape) for key, shape in config.get("shapes_dict", {}).items()}
    except Exception:  # users may have their own
        named = {}
    return Inputs((), named) if named else _inputs_of_spec(getattr(layer, "input_spec", None))


def _inputs_of_spec(spec: Any) -> Inputs | None:
    """Inputs as the ``input_spec`` of a built layer wants them; None if it does not tell their number of axes."""
    rank = getattr(spec, "ndim", None)
    if not rank:
        return None
    sizes = [2, *[8] * (rank - 1)]
    for axis, size in (getattr(spec, "axes", None) or {}).items():
        if size is not None:
            sizes[axis] = size
    return Inputs((Spec(tuple(sizes), "float32"),))


def _fixed_axes(model: Any) -> tuple[int, ...]:
    """The axes of a functional model's inputs that have a size."""
    shapes = [tuple(each.shape) for each in getattr(model, "inputs", None) or ()]
    return tuple(sorted({at for shape in shapes for at, size in enumerate(shape) if size is not None}))


def _is_shape(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(each is None or isinstance(each, int) for each in value)


def _specs(shapes: Any) -> Any:
    return map_structure(lambda shape: _spec(shape, "float32"), shapes, _is_shape)


def _spec(shape: Any, dtype: str) -> Spec:
    """A spec with a size for each that is not known."""
    sizes = [int(size) if size is not None else 32 for size in shape]
    if sizes and next(iter(shape)) is None:
        sizes[0] = 2
    return Spec(tuple(sizes), dtype)


def _find_axes(make: Callable[[], Any], inputs: Inputs, probed: Probed, known: bool) -> None:
    """Finds the axes on which the shapes of the weights depend, at this number of axes and at another one.

    If it is `known` that the layer is used with this number of axes, the last one is the last one: the configuration of
    a BatchNormalization that was built on Keras 2 says 1 for it.
    """
    axes, refused, loose = _axes_at(make, inputs, dict(probed.weights))
    rank = inputs.rank
    probed.weights = {
        name: Weight(
            tuple(None if (name, at) in loose else size for at, size in enumerate(weight.shape)), weight.trainable
        )
        for name, weight in probed.weights.items()
    }
    probed.refused = tuple(sorted(refused))
    probed.axes = tuple(sorted(axes))
    other = _at_another_rank(make, inputs) if axes else None
    if other is None or (known and axes == {rank - 1}):
        probed.axes = tuple(-1 if axis == rank - 1 > 0 else axis for axis in probed.axes)
        return
    there, weights = other
    axes_there = _axes_at(make, there, weights)[0]
    from_end = {axis - rank for axis in axes}
    if {axis - there.rank for axis in axes_there} == from_end:
        probed.axes = tuple(sorted(from_end))
    elif axes_there != axes:
        probed.rank = rank


def _axes_at(
    make: Callable[[], Any], inputs: Inputs, weights: Weights
) -> tuple[set[int], set[int], set[tuple[str, int]]]:
    """The axes on which weights depend, those on which another size is refused, and which sizes of weights change."""
    axes, refused, loose = set(), set(), set()
    for axis in range(inputs.rank):
        resized = (_built_at(make, inputs.resized(axis, times)) for times in (2, 3))
        built = next((each for each in resized if each is not None), None)
        if built is None:
            refused.add(axis)
        elif (found := weights_of(built)) != weights:
            axes.add(axis)
            for name, weight in weights.items():
                shape = found[name].shape if name in found else ()
                loose |= {(name, at) for at, size in enumerate(weight.shape) if shape[at : at + 1] != (size,)}
    return axes, refused, loose


def _at_another_rank(make: Callable[[], Any], inputs: Inputs) -> tuple[Inputs, Weights] | None:
    """Inputs with one axis more or less on which the layer can be built too, and its weights then."""

    def more(spec: Spec) -> Spec:
        return Spec((spec.shape[0], *spec.shape[1:2], *spec.shape[1:]), spec.dtype)

    def less(spec: Spec) -> Spec:
        return Spec((spec.shape[0], *spec.shape[2:]), spec.dtype)

    for change in (more, less):
        if change is less and min(len(spec.shape) for spec in inputs.specs()) < 3:
            continue
        other = inputs.changed(change)
        built = _built_at(make, other)
        if built is not None:
            return other, weights_of(built)
    return None


#: A layer that draws random numbers may draw the same ones twice: this often we look for others.
_DRAWS = 4


def _run(layer: Any, inputs: Inputs, probed: Probed) -> None:
    """Calls a new layer in inference and in training, and notes what changes in it and whether its outputs differ."""
    if not inputs.called:
        return
    try:
        given = inputs.changed(_array)
        layer.trainable = True  # a frozen normalization keeps its statistics
        layer(*given.args, **given.kwargs)
        layer.trainable = True  # of what the build has made, too
        by_users = any(next(users_bases(type(each)), None) is not None for each in nested_layers(layer))
        before, seeds = _held(layer), _seeds(layer)
        outputs = _in_training(layer, given)
        after = _state(_held(layer))
        probed.changing, random = frozenset(_differing(_state(before), after)), _differing(seeds, _seeds(layer))
        if by_users:  # Keras's own layers change in training only
            others = inputs.changed(_other_array)
            layer(*others.args, **others.kwargs)
            probed.changing |= _differing(after, _state(_held(layer)))
        # Keras 3's own layers note their draws in a seed; on torch Dropout leaves them to torch.
        probed.random = bool(random) or (
            (by_users or not wraps_build(type(layer)) or keras_of(type(layer)).config.backend() == "torch")
            and any(_differ(outputs, _again(layer, given, before)) for _ in range(_DRAWS))
        )
        probed.called = True
    except Exception:  # what a user's layer can't do on these inputs, we can't know
        return


def _seeds(layer: Any) -> dict[str, Any]:
    """The states of the seed generators in a Keras 3 layer: variables that are not weights. A draw changes them."""
    if not wraps_build(type(layer)):
        return {}
    seeds = [each for each in layer.variables if each.name == "seed_generator_state"]
    return {str(number): [read_value(each)] for number, each in enumerate(seeds)}


def _again(layer: Any, given: Inputs, before: list[_Held]) -> list[Array]:
    """The outputs of one more call in training, from what the layer held before the first one."""
    for each in before:
        each.put_back()
    return _in_training(layer, given)


def _in_training(layer: Any, given: Inputs) -> list[Array]:
    """The outputs of a call in training."""
    return _arrays(_called_within(layer, given, training=True), keras_of(type(layer)))


def _arrays(outputs: Any, keras: Any) -> list[Array]:
    """The tensors in some outputs, as arrays in float64."""
    import numpy as np

    found: list[Array] = []

    def add(tensor: Any) -> None:
        if hasattr(tensor, "shape") and hasattr(tensor, "dtype"):
            ops = getattr(keras, "ops", None)
            found.append(np.asarray(tensor if ops is None else ops.convert_to_numpy(tensor)).astype("float64"))

    map_structure(add, outputs)
    return found


def _differ(one: list[Array], other: list[Array]) -> bool:
    """Whether outputs differ by more than an order of summation would explain."""
    import numpy as np

    return any(
        a.shape != b.shape or not np.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True) for a, b in zip(one, other)
    )


@dataclass(frozen=True)
class _Held:
    """A value that a layer holds, and a function that gives it back."""

    name: str
    value: Any
    put_back: Callable[[], None]


def _held(layer: Any) -> list[_Held]:
    """The values of a layer's weights; and of what its attributes hold: variables, and numbers if a user wrote it."""
    weights = weight_tree(layer).weights()
    found = [_held_in(name, each) for name, each in weights.items()]
    known = {id(each) for each in weights.values()}
    for each in nested_layers(layer):
        by_user = next(users_bases(type(each)), None) is not None
        for key, held in list(vars(each).items()):
            name = f"attribute {key.lstrip('_')}"
            if by_user and isinstance(held, (int, float)) and not key.startswith("_") and key != "training":
                found.append(_Held(name, held, functools.partial(setattr, each, key, held)))
            for part in held if isinstance(held, (list, tuple)) else [held]:
                if is_variable(part) and id(part) not in known:
                    known.add(id(part))
                    found.append(_held_in(name, part))
    return found


def _held_in(name: str, variable: Any) -> _Held:
    value = read_value(variable)
    return _Held(name, value, functools.partial(assign_value, variable, value))


def _state(held: list[_Held]) -> dict[str, Any]:
    """The values by name; the states of a recurrent layer are several of one name."""
    found: dict[str, Any] = {}
    for each in held:
        found.setdefault(each.name, []).append(each.value)
    return found


def _differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """The names of what differs."""
    import numpy as np

    equal = functools.partial(np.array_equal, equal_nan=True)
    return {
        name
        for name, values in other.items()
        if len(one.get(name, ())) != len(values) or not all(map(equal, one[name], values))
    }
