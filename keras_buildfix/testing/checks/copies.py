"""Checks that layers can be copied, share nothing, and do the same again: on other inputs, devices, in threads."""

from __future__ import annotations

import contextlib
import copy
import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from keras_buildfix._keras.classes import belongs_to_keras
from keras_buildfix._keras.tracking import attributes, nested_layers
from keras_buildfix._words import short
from keras_buildfix.testing.case import arrays_in
from keras_buildfix.testing.subject import (
    CheckError,
    NotHere,
    Subject,
    check,
    check_same,
    give_weights,
    values,
)

_PLAIN_STATE = "Keep nothing in attributes that Python can't copy, such as a lambda, a module, a lock or an open file."


def _check_copy(subject: Subject, layer: Any, again: Any, what: str) -> None:
    if any(mine is theirs for mine in layer.weights for theirs in again.weights):
        raise CheckError(f"{what} uses the weights of the original")
    check_same(values(layer.weights), values(again.weights), f"the weights of {what}")
    x = subject.x(seed=11)
    check_same(subject.infer(layer, x), subject.infer(again, x), f"the outputs of {what}")


def _known(subject: Subject) -> Any:
    """Keras 3 copies a layer through its file format, so it must know the class, registered or not."""
    if subject.info.generation == 2:
        raise NotHere("Keras 2 itself can't copy layers with losses, dicts or threads' own state")
    try:
        copy.deepcopy(subject.keras.layers.Dropout(0.5))
    except Exception as error:  # 3.0 to 3.2
        raise NotHere(f"{subject.info} can't copy its own Dropout") from error
    return subject.keras.utils.custom_object_scope(subject.custom())


@check("keras_file", "set_weights_before_build", advice=_PLAIN_STATE)
def deepcopy(subject: Subject) -> None:
    """`copy.deepcopy` of a layer fails, or gives another layer."""
    layer = subject.built()
    with _known(subject):
        again = copy.deepcopy(layer)
    _check_copy(subject, layer, again, "a deep copy")


@check("deepcopy", advice=_PLAIN_STATE + " Define the class at the top of a module.")
def pickling(subject: Subject) -> None:
    """A layer can't be sent to another process, or is another there."""
    layer = subject.built()
    with _known(subject):
        again = pickle.loads(pickle.dumps(layer))
    _check_copy(subject, layer, again, "a pickled layer")


@check("tracking", advice="Make lists, dicts and layers in __init__, not in the class or as a default argument.")
def instances_share_nothing(subject: Subject) -> None:
    """Two layers of one class change each other."""
    cls = type(subject.make())
    noted = _mutable_state(cls)
    first, second = subject.built(), subject.built()
    shared = {id(weight) for weight in first.weights} & {id(weight) for weight in second.weights}
    if shared:
        names = [weight.name for weight in first.weights if id(weight) in shared]
        raise CheckError(f"two layers have the same weights: {short(', '.join(names), 200)}")
    inner = {id(each): each for each in nested_layers(first)[1:]}
    common = [inner[id(each)].name for each in nested_layers(second) if id(each) in inner]
    if common:
        raise CheckError(f"two layers hold the same sub-layers: {', '.join(common)}")
    for name, value in attributes(first).items():
        other = attributes(second).get(name)
        if not name.startswith("_") and value is other and isinstance(value, (list, dict, set)):
            raise CheckError(f"two layers hold the same {type(value).__name__} as {name!r}")
    for place, before in noted.items():
        after = _mutable_state(cls).get(place)
        if before != after:
            raise CheckError(f"making and calling layers changed {place} from {short(before)} to {short(after)}")


def _mutable_state(cls: type) -> dict[str, str]:
    """The lists, dicts, sets and numbers that a class, not a layer, holds, and default arguments, as text."""
    found = {}
    for base in (each for each in cls.__mro__ if each is not object and not belongs_to_keras(each)):
        for name, value in vars(base).items():
            if isinstance(value, (list, dict, set, int, float)) and not name.startswith("__"):
                found[f"{base.__name__}.{name}"] = repr(value)
            for parameter in inspect.signature(value).parameters.values() if inspect.isfunction(value) else ():
                if isinstance(parameter.default, (list, dict, set)):
                    place = f"the default of `{parameter.name}` in {base.__name__}.{name}()"
                    found[place] = repr(parameter.default)
    return found


@check("explicit_build", advice="Make weights in build() only; let input_spec refuse inputs that do not fit.")
def reuse(subject: Subject) -> None:
    """A second use of the layer silently makes new weights, and the trained ones are lost."""
    layer = subject.built()
    weights, before = list(layer.weights), values(layer.weights)
    expected = subject.infer(layer, subject.x(seed=12))
    wider = subject.each_shape(lambda shape: (*shape[:-1], (shape[-1] or 4) + 1) if shape else shape)
    with contextlib.suppress(Exception):  # any error will do: the layer refuses the input
        subject.call_in_inference(layer, subject.with_shape(wider).x(seed=12))
    if [id(weight) for weight in weights] != [id(weight) for weight in layer.weights]:
        raise CheckError(
            f"a call on inputs of the shape {wider} after {subject.shape} changed the layer's weights: "
            f"{len(weights)} before, {len(layer.weights)} after"
        )
    check_same(before, values(layer.weights), f"the weights before and after a call on inputs of the shape {wider}")
    check_same(expected, subject.infer(layer, subject.x(seed=12)), "the outputs before and after a call on others")


@check(
    "weights_train", "explicit_build", "tf_function", advice="Use add_weight(), and operations of Keras or the backend."
)
def several_devices(subject: Subject) -> None:
    """The layer can't be used on several devices."""
    layer, x = subject.built(), subject.x(batch=2, seed=13)
    expected = subject.infer(layer, x)
    if subject.info.backend == "jax":
        found = _on_jax_devices(subject, x, layer)
    elif subject.info.backend == "tensorflow":
        found = _on_tensorflow_devices(subject, x, layer)
    else:
        raise NotHere(f"several devices were not measured on {subject.info.backend}")
    check_same(expected, found, "on several devices and on one")


def _on_jax_devices(subject: Subject, x: Any, layer: Any) -> list[Any]:
    import jax

    distribution: Any = getattr(subject.keras, "distribution", None)
    if len(jax.devices()) < 2 or not hasattr(distribution, "DataParallel"):
        raise NotHere("there is one device")
    before = distribution.distribution()
    distribution.set_distribution(distribution.DataParallel())
    try:
        model, again = subject.model(subject.make())
        give_weights(again, layer, "the layer on several devices")
        return arrays_in(model.predict(x, verbose=0))
    finally:
        distribution.set_distribution(before)


def _on_tensorflow_devices(subject: Subject, x: Any, layer: Any) -> list[Any]:
    import tensorflow as tf

    from keras_buildfix.testing.ways import mirrored_strategy

    if len(tf.config.list_logical_devices("CPU")) < 2:
        raise NotHere("there is one device")
    with mirrored_strategy().scope():
        model, again = subject.model(subject.make())
        give_weights(again, layer, "the layer on several devices")
        return arrays_in(model.predict(x, batch_size=2, verbose=0))


@check(
    "instances_share_nothing",
    "functional",
    "tracking",
    advice="Keep nothing in the class or module that layers change.",
)
def threads(subject: Subject) -> None:
    """Layers that several threads make at once lose weights, or compute something else."""
    layer, x = subject.built(), subject.x(seed=14)
    expected = subject.infer(layer, x)

    def use(_: int) -> Any:
        again = subject.make()
        subject.call(again, x)
        return again

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(use, range(8)))
    for again in made:
        give_weights(again, layer, "a layer made in a thread")
        check_same(expected, subject.infer(again, x), "the outputs of a layer made in a thread")


@check("tracking", advice="Take random numbers from Keras (initializers, a SeedGenerator), not from numpy.")
def determinism(subject: Subject) -> None:
    """An experiment can't be repeated, whatever the seed."""
    found = []
    for _ in range(2):
        with subject.seeded(15):
            layer = subject.make()
            outputs = subject.infer(layer, subject.x(seed=1))
            found.append([*values(layer.weights), *outputs])
    check_same(found[0], found[1], "weights and outputs after set_random_seed, twice")
