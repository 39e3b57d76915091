"""Checks that a layer is made, called and built in each way, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_buildfix._keras.classes import belongs_to_keras, build_owner
from keras_buildfix._keras.tracking import attributes, nested_layers
from keras_buildfix._keras.variables import is_variable, stored
from keras_buildfix._words import short
from keras_buildfix.testing.case import arrays_in, leaves, recorded
from keras_buildfix.testing.subject import (
    CheckError,
    NotHere,
    Subject,
    check,
    check_same,
    give_weights,
    randomise,
)

_BUILD_RUNS = (
    "Decorate the class with keras_buildfix.deferred_build, or list DeferredBuildMixin first among its bases. Make all "
    "weights in build(), and end it with super().build(input_shape)."
)


@check(advice="Take **kwargs in __init__ and pass them to super().__init__(**kwargs); let Keras choose the name.")
def construction(subject: Subject) -> None:
    """Two layers of a class can't be made, or can't be in one model: both have the same name."""
    first, second = subject.make(), subject.make()
    if first is second:
        raise CheckError("the factory returns the same layer twice", "Make a new layer at each call.")
    if "name" not in subject.init_kwargs and first.name == second.name:
        raise CheckError(f"two layers have the same name, {first.name!r}, so they can't be in one model")


@check("construction", advice="Make call() work on a batch of this shape, and return finite values.")
def call(subject: Subject) -> None:
    """The layer can't be used at all."""
    import numpy as np

    owner = _own_build(subject.cls)
    with recorded(subject.cls, "build") as builds:
        layer = subject.make()
        try:
            outputs = leaves(subject.call(layer, subject.x(seed=1)))
        except Exception as error:
            if owner and not [1 for each in builds if each["self"] is layer] and layer.built:
                raise CheckError(
                    f"{owner.__name__}.build() never ran before call(), which then raised "
                    f"{type(error).__name__}: {short(error, 200)}",
                    _BUILD_RUNS,
                ) from error
            raise
    if not outputs:
        raise CheckError("call() returns nothing", "Return a tensor, or tensors in a list, tuple or dict.")
    arrays = subject.infer(layer, subject.x(seed=1))
    bad = [array for array in arrays if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if bad:
        raise CheckError(
            f"call() returns values that are not finite: {short(bad[0].ravel()[:6])}",
            "Guard the division, logarithm or root; if the layer takes only some values, say so with `within`.",
        )


def _own_build(cls: type) -> type | None:
    """The class that defines ``build``, if it is not Keras's."""
    owner = build_owner(cls)
    return None if owner is None or belongs_to_keras(owner) else owner


@check("call", advice="Draw random numbers only if `training` is true, pass it to inner layers, keep no state.")
def inference(subject: Subject) -> None:
    """The layer returns something else each time, so no result can be trusted or repeated."""
    layer, x = subject.make(), subject.x(seed=1)
    check_same(subject.infer(layer, x), subject.infer(layer, x), "two calls on the same input, outside training")


@check("inference", advice="Take the size of the batch from the input in call(), and keep it nowhere.")
def batch_size(subject: Subject) -> None:
    """The last batch of an epoch, or a single example, can't be computed."""
    layer = subject.make()
    follows = [bool(array.ndim) and len(array) == subject.batch for array in subject.infer(layer, subject.x(seed=1))]
    for size in (1, 3, 5):
        for output, same in zip(subject.infer(layer, subject.x(batch=size, seed=size)), follows):
            if same and len(output) != size:
                raise CheckError(f"a batch of {subject.batch} gives {subject.batch} rows, one of {size} {len(output)}")


@check("batch_size", advice=_BUILD_RUNS)
def build_runs_once(subject: Subject) -> None:
    """Weights are missing without an error, or are made twice and the first ones are lost."""
    owner = _own_build(subject.cls)
    shapes: dict[str, Any] = {}
    for name, way in _WAYS.items():
        with recorded(subject.cls, "build") as builds:  # before a layer is made: Keras 3 wraps the method then
            layer = subject.make()
            try:
                way(subject, layer)
            except Exception:  # the check of this way reports it
                continue
            subject.call(layer, subject.x(seed=1))
        ran = sum(each["self"] is layer for each in builds)
        if owner and ran != 1:
            raise CheckError(f"{owner.__name__}.build() ran {_times(ran)}, not once, after {name}")
        shapes[name] = [tuple(weight.shape) for weight in layer.weights]
        first, found = next(iter(shapes.values())), shapes[name]
        if found != first:
            raise CheckError(f"after {name} it has weights of the shapes {found}, after {next(iter(shapes))} {first}")


def _times(count: int) -> str:
    return {0: "never", 2: "twice"}.get(count, f"{count} times")


def _output_shape(subject: Subject, layer: Any) -> None:
    if isinstance(subject.shape, dict):
        raise NotHere("its inputs are in a dict")
    layer.compute_output_shape(subject.with_batch)


#: The ways in which a layer gets built, in words for a message.
_WAYS: dict[str, Callable[[Subject, Any], Any]] = {
    "a call on an array": lambda subject, layer: None,
    "a call on keras.Input": lambda subject, layer: subject.call(layer, subject.symbolic()),
    "compute_output_shape and a call": _output_shape,
}


@check(
    "build_runs_once",
    advice="Use add_weight(), keep sub-layers in attributes, or inherit PortableLayerMixin first.",
)
def tracking(subject: Subject) -> None:
    """A variable or sub-layer is missing from the layer's weights: nothing trains or saves it, and no error says so."""
    layer, other = subject.built(), subject.built()
    stray = _stray_variables(layer)
    if stray:
        raise CheckError(f"{', '.join(stray[:5])} can be trained, but is not among the layer's weights")
    give_weights(other, layer, "another layer of the class")
    x = subject.x(seed=4)
    check_same(subject.infer(layer, x), subject.infer(other, x), "two layers with the same weights and input")


def _stray_variables(layer: Any) -> list[str]:
    """The trainable variables that a layer's attributes hold and Keras does not know of, by their place."""
    known = {id(weight) for each in nested_layers(layer) for weight in each.weights}
    known |= {id(stored(weight)) for each in nested_layers(layer) for weight in each.weights}
    found: list[str] = []
    seen: set[int] = set()

    def look(place: str, thing: Any, depth: int) -> None:
        if id(thing) in seen or depth > 5:
            return
        seen.add(id(thing))
        if _is_trainable(thing):
            found.extend([place] if id(thing) not in known else [])
        elif isinstance(thing, dict):
            for key, each in [*thing.items()]:
                look(f"{place}[{key!r}]", each, depth + 1)
        elif isinstance(thing, (list, tuple)):
            for at, each in enumerate(thing):
                look(f"{place}[{at}]", each, depth + 1)
        elif hasattr(thing, "trainable_weights"):
            own_of_torch = thing.named_parameters(recurse=False) if hasattr(thing, "named_parameters") else ()
            for name, each in [*attributes(thing).items(), *own_of_torch]:
                if not name.startswith("_"):
                    look(f"{place}.{name}", each, depth + 1)

    look("self", layer, 0)
    return found


def _is_trainable(thing: Any) -> bool:
    if type(thing).__name__ == "Parameter" and type(thing).__module__.startswith("torch."):
        return bool(thing.requires_grad)
    return is_variable(thing) and getattr(thing, "trainable", False) is True


@check("build_runs_once", advice="Make all weights in build(), from the input's shape; call() must make none.")
def explicit_build(subject: Subject) -> None:
    """`layer.build(shape)` leaves weights out, so a file is loaded into too few."""
    if isinstance(subject.shape, dict):
        raise NotHere("its inputs are in a dict")
    owner = _own_build(subject.cls)
    with recorded(subject.cls, "build") as builds:
        layer = subject.make()
        layer.build(subject.with_batch)
        early = [tuple(weight.shape) for weight in layer.weights]
        subject.call(layer, subject.x(seed=1))
    late = [tuple(weight.shape) for weight in layer.weights]
    ran = sum(each["self"] is layer for each in builds)
    if owner and ran != 1:
        raise CheckError(
            f"{owner.__name__}.build() ran {_times(ran)}, not once, in layer.build(shape) and a call",
            "End build() with super().build(input_shape).",
        )
    if early != late:
        raise CheckError(f"after layer.build(shape) it has weights of the shapes {early}, after a call {late}")
    if not layer.built:
        raise CheckError("layer.built is False after layer.build(shape) and a call")


@check("build_runs_once", "compute_output_shape", advice="call() must use nothing but its input and the weights.")
def sequential(subject: Subject) -> None:
    """The layer can't be in a Sequential model, or computes something else there."""
    subject.needs_one_input("a Sequential model")
    if len(leaves(subject.call(subject.make(), subject.x(seed=1)))) > 1:
        raise NotHere("a layer in a Sequential model has one output")
    layer = subject.make()
    # As a layer: Keras 2 takes no tensor there.
    first = subject.keras.layers.InputLayer(subject.shape, dtype=subject.dtype)
    _check_in_model(subject, subject.keras.Sequential([first, layer]), layer)


@check("sequential", "compute_output_shape", advice="call() must use nothing but its input and the weights.")
def functional(subject: Subject) -> None:
    """The layer can't be in a Functional model, or computes something else there."""
    layer = subject.make()
    model, _ = subject.model(layer)
    _check_in_model(subject, model, layer)


@check("build_runs_once", advice="call() must use nothing but its input and the weights.")
def subclassed_model(subject: Subject) -> None:
    """The layer can't be an attribute of a model that is a subclass of Model, or computes something else there."""
    layer = subject.make()

    class Subclassed(subject.keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = layer

        def call(self, x: Any, training: Any = None) -> Any:
            # Without this parameter, some Kerases (3.9 on torch) do not tell the inner layer that it is not training.
            return subject.call(self.inner, x)

    _check_in_model(subject, Subclassed(), layer)


def _check_in_model(subject: Subject, model: Any, layer: Any) -> None:
    """Checks that a model has all weights of its one layer, and computes what the layer does."""
    x = subject.x(seed=1)
    model(x)
    randomise(layer)
    held = {id(weight) for weight in model.weights}
    lost = [weight.name for weight in layer.weights if id(weight) not in held]
    if lost:
        raise CheckError(f"the model does not have the layer's weights {short(lost, 200)}")
    check_same(subject.infer(layer, x), arrays_in(model(x, training=False)), "the layer alone and in the model")
