"""Checks that a layer trains, can be frozen, and gets `training` and masks."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

from keras_buildfix._keras.tracking import nested_layers
from keras_buildfix._keras.variables import assign_value, stored
from keras_buildfix._structures import map_structure
from keras_buildfix._words import short
from keras_buildfix.testing.case import arrays_in, recorded, takes
from keras_buildfix.testing.subject import (
    CheckError,
    NotHere,
    Subject,
    check,
    check_same,
    outputs_to_train,
    values,
)

_TRAINS = (
    "Compute with tensors of Keras or the backend all the way from the weight to the output. If a weight must not "
    "train, make it with add_weight(..., trainable=False)."
)


def probe(subject: Subject) -> Any:
    """A layer with a trainable weight that changes its input: it trains only if gradients get through what follows."""

    class Probe(subject.keras.layers.Layer):  # type: ignore[misc, name-defined]
        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight(name="scale", shape=(), initializer="zeros")
            super().build(input_shape)

        def call(self, x: Any) -> Any:
            return x + self.scale * x * x  # no layer that normalizes takes this away

    return Probe()


def fit(
    subject: Subject, layer: Any, *, probed: str = "before", steps: int = 2, **options: Any
) -> tuple[Any, list[Any]]:
    """Trains a model of the layer by SGD for some steps on random targets; returns the model and its probes.

    Args:
        subject: What is checked.
        layer: The layer.
        probed: Where the probes are: ``"before"`` the layer, ``"after"`` it, or ``""``.
        steps: The number of steps.
        options: Arguments of ``compile``; without them, it runs eagerly.
    """
    import numpy as np

    subject.needs_training()
    probes: list[Any] = []

    def through(symbol: Any) -> Any:
        probes.append(probe(subject))
        return probes[-1](symbol)

    inputs = subject.symbolic()
    before = probed == "before" and "float" in subject.dtype
    outputs = outputs_to_train(subject.call(layer, map_structure(through, inputs) if before else inputs))
    outputs = [through(output) for output in outputs] if probed == "after" else outputs
    model = subject.keras.Model(inputs, outputs)
    random = np.random.default_rng(5)
    options = options or {"run_eagerly": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about weights without gradients: the checks say it better
        model.compile(optimizer=subject.keras.optimizers.SGD(0.1), loss="mse", **options)
        shapes = [array.shape for array in arrays_in(model(subject.x(seed=20)))]
        if any(not shape or shape[0] != subject.batch for shape in shapes):
            raise NotHere("its output has no axis of the batch, so no loss can be computed")
        for step in range(steps):
            targets = [random.uniform(0, 1, shape).astype("float32") for shape in shapes]
            model.train_on_batch(subject.x(seed=20 + step), targets if len(targets) > 1 else targets[0])
    return model, probes


@check("functional", "tracking", "instances_share_nothing", advice=_TRAINS)
def weights_train(subject: Subject) -> None:
    """A weight stays at its initial value for ever, without an error."""
    layer = subject.built()
    subject.needs_weights(layer, "trainable_weights")
    weights = list(layer.trainable_weights)
    before = values(weights)
    fit(subject, layer, probed="", steps=3)
    same = [weight for weight, old, new in zip(weights, before, values(weights)) if (old == new).all()]
    cut_off = [weight.name for weight in same if _must_train(subject, layer, weight)]
    if cut_off:
        raise CheckError(
            f"three steps of SGD do not change the trainable weight{'s' * (len(cut_off) > 1)} "
            f"{short(', '.join(cut_off), 200)}"
        )


def _must_train(subject: Subject, layer: Any, weight: Any) -> bool:
    """Whether a weight without a gradient should have one: it is never used, or the outputs in training depend on it.

    They may not: a bias before a BatchNormalization, and that of an attention's keys, have no effect, rightly.
    """
    import numpy as np

    def outputs(change: float) -> list[Any]:
        with subject.seeded(21):
            for variable, value in zip(layer.variables, state):  # of seeds too, so that dropout drops the same
                assign_value(variable, value)
            assign_value(weight, held + np.asarray(change, held.dtype))
            training = {"training": True} if takes(layer, "training") else {}
            return arrays_in(subject.call(layer, subject.x(seed=21), **training))

    if not _is_used(subject, layer, weight):
        return True
    state, held = values(layer.variables), values([weight])[0]
    changed, plain = outputs(0.5), outputs(0.0)
    return any(
        np.abs(old - new).max(initial=0) > 1e-4 * (1 + np.abs(old).max(initial=0))
        for old, new in zip(plain, changed)
        if old.dtype.kind == "f"
    )


def _is_used(subject: Subject, layer: Any, weight: Any) -> bool:
    """Whether the outputs are computed from a weight at all, after a step of training."""
    import numpy as np

    x = subject.x(seed=22)
    if subject.info.backend == "torch":
        return stored(weight).grad is not None
    if subject.info.backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            outputs = outputs_to_train(subject.call(layer, x))
        return tape.gradient(outputs, stored(weight)) is not None
    held = values([weight])[0]
    assign_value(weight, held * np.asarray(float("nan"), held.dtype))  # it shows in all that is computed from it
    poisoned = subject.infer(layer, x)
    assign_value(weight, held)
    return any(array.dtype.kind == "f" and np.isnan(array).any() for array in poisoned)


@check("weights_train", advice=_TRAINS)
def gradients_reach(subject: Subject) -> None:
    """Layers before this one do not train, or become NaN."""
    import numpy as np

    if "float" not in subject.dtype:
        raise NotHere("its inputs are integers")
    layer = subject.make()
    _, probes = fit(subject, layer)
    for at, each in enumerate(probes):
        if (values(each.weights)[0] == 0).all():
            raise CheckError(f"no gradient reaches input {at}: what comes before it can't train")
    for weight, value in zip(layer.weights, values(layer.weights)):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise CheckError(f"{weight.name} is not finite after two steps of SGD")


@check("weights_train", advice="Leave `trainable`, `trainable_weights` and `non_trainable_weights` to Keras.")
def freeze(subject: Subject) -> None:
    """A layer that a user froze goes on training."""
    layer = subject.built()
    subject.needs_weights(layer, "trainable_weights")
    weights = list(layer.trainable_weights)
    layer.trainable = False
    if layer.trainable_weights:
        names = ", ".join(weight.name for weight in layer.trainable_weights)
        raise CheckError(f"after layer.trainable = False these weights are still trainable: {short(names, 200)}")
    before = values(weights)
    fit(subject, layer, probed="after")
    changed = [weight.name for weight, old, new in zip(weights, before, values(weights)) if (old != new).any()]
    if changed:
        raise CheckError(f"training changes the frozen weights {short(', '.join(changed), 200)}")
    layer.trainable = True
    if len(layer.trainable_weights) != len(weights):
        raise CheckError(f"layer.trainable = True gives {len(layer.trainable_weights)} of {len(weights)} weights back")


@check(
    "functional",
    "weights_train",
    "tf_function",
    advice="Give call() a parameter `training=None` and pass it to all inner layers that take it.",
)
def training_argument(subject: Subject) -> None:
    """The layer behaves in inference as in training, or the other way round."""
    layer = subject.built()
    x = subject.x(seed=6)
    model, _ = subject.model(layer)
    predicted = arrays_in(model.predict_on_batch(x))
    check_same(subject.infer(layer, x), predicted, "predict() and call(training=False)")
    trained = [each for each in nested_layers(layer) if takes(each, "training")]
    if not trained:
        return
    with contextlib.ExitStack() as stack:
        classes = {type(each) for each in trained}
        records = [stack.enter_context(recorded(cls, "call")) for cls in classes]
        fit(subject, layer, probed="after", steps=1)
    for each in trained:
        got = [call.get("training") for record in records for call in record if call["self"] is each]
        if got and not any(_is_true(value) for value in got):
            whose = "the layer" if each is layer else f"its inner layer {each.name!r}"
            raise CheckError(f"in training {whose} gets training={short(got[-1])}")


def _is_true(value: Any) -> bool:
    return value is True or (value is not None and not isinstance(value, bool) and hasattr(value, "dtype"))


@check("functional", advice="Take `mask=None` in call() and set self.supports_masking = True in __init__.")
def mask(subject: Subject) -> None:
    """Padding counts as data: the mask of an Embedding or Masking layer is lost."""
    subject.needs_one_input("a layer after Masking")
    layer = subject.make()
    if len(subject.shape) < 2 or "float" not in subject.dtype:
        raise NotHere("only sequences of floating numbers have a mask here")
    if not takes(layer, "mask") and not layer.supports_masking:
        raise NotHere("it takes no mask, and does not say that it supports masking")
    got: list[Any] = []

    class After(subject.keras.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.supports_masking = True

        def call(self, x: Any, mask: Any = None) -> Any:
            got.append(mask)
            return x

    x = subject.x(seed=7)
    x[:, -1] = 0
    with recorded(type(layer), "call") as calls:
        masked = subject.keras.layers.Masking()(x)
        out = layer(masked)
    arrived = [each.get("mask") for each in calls if each["self"] is layer]
    if takes(layer, "mask") and all(each is None for each in arrived):
        raise CheckError("the mask of a Masking layer before it does not reach call()")
    passes = type(layer).compute_mask is subject.keras.layers.Layer.compute_mask and layer.supports_masking
    if passes:
        After()(out)
        if all(each is None for each in got):
            raise CheckError("it says supports_masking = True, but the layer after it gets no mask")
        if tuple(got[0].shape) != tuple(out.shape)[: len(got[0].shape)]:
            raise CheckError(
                f"it passes on a mask of the shape {tuple(got[0].shape)} with an output of {tuple(out.shape)}",
                "Define compute_mask() if call() changes the length of the sequence.",
            )
