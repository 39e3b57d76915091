"""Checks that files bring a layer's weights back: Keras's own files, and those of this package."""

from __future__ import annotations

from typing import Any

import keras_buildfix
from keras_buildfix.testing.subject import CheckError, Subject, check, check_same, values

_FILES = (
    "Make all weights in build(), keep sub-layers in attributes or flat lists, and return all arguments from "
    "get_config()."
)


def _check_back(subject: Subject, layer: Any, again: Any, where: str) -> None:
    """Checks that a layer came back from a file: its weights and what it computes."""
    check_same(values(layer.weights), values(again.weights), f"the weights in {where}")
    x = subject.x(seed=2)
    check_same(subject.infer(layer, x), subject.infer(again, x), f"the outputs after {where} was loaded")


@check("clone_model", "weights_h5_file", "explicit_build", advice=_FILES)
def keras_file(subject: Subject) -> None:
    """A model with the layer can't be loaded from its `.keras` file, or has other weights."""
    model, layer = subject.built_model()
    model.save(str(subject.folder / "model.keras"))
    loaded = subject.load(subject.folder / "model.keras")
    _check_back(subject, layer, loaded.get_layer(layer.name), "the .keras file")


@check("instances_share_nothing", "functional", "extra_weights", "explicit_build", advice=_FILES)
def weights_h5_file(subject: Subject) -> None:
    """Weights can't be loaded from a `.weights.h5` file, or are others."""
    model, layer = subject.built_model()
    other, again = subject.model(subject.make())
    model.save_weights(str(subject.folder / "model.weights.h5"))
    other.load_weights(str(subject.folder / "model.weights.h5"))
    _check_back(subject, layer, again, "the .weights.h5 file")


@check("functional", "instances_share_nothing", advice="Give each weight of a layer a name of its own.")
def own_files(subject: Subject) -> None:
    """`keras_buildfix.save_weights` and `load_weights` can't bring the weights back."""
    model, layer = subject.built_model()
    subject.needs_weights(layer)
    other, again = subject.model(subject.make())
    keras_buildfix.save_weights(model, subject.folder / "model.npz")
    keras_buildfix.load_weights(other, subject.folder / "model.npz")
    _check_back(subject, layer, again, "the .npz file")


@check("functional", "tracking", advice="List keras_buildfix.ExtraWeightsMixin first among the bases of the class.")
def extra_weights(subject: Subject) -> None:
    """Keras leaves weights out of its files without a word."""
    model, _ = subject.built_model()
    lost = keras_buildfix.lost_weights(model)
    if lost:
        raise CheckError(f"Keras leaves {', '.join(map(repr, lost))} out of its files")
