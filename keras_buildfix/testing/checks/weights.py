"""Checks that a layer's weights are read and set, before it is built too."""

from __future__ import annotations

import keras_buildfix
from keras_buildfix.testing.subject import Subject, check, check_same, values

_WEIGHTS = "Make weights with add_weight() in build(), and leave get_weights() and set_weights() to Keras."


@check("build_runs_once", "tracking", advice=_WEIGHTS)
def get_and_set_weights(subject: Subject) -> None:
    """Weights that a user sets do not arrive, or are others than those read."""
    layer, other = subject.built(), subject.built()
    subject.needs_weights(layer)
    check_same(values(layer.weights), layer.get_weights(), "what get_weights() returns and the weights hold")
    given = [value + 1 if value.dtype.kind == "f" else value for value in layer.get_weights()]
    other.set_weights(given)
    check_same(given, other.get_weights(), "what set_weights() got and get_weights() returns")
    check_same(given, values(other.weights), "what set_weights() got and the weights hold")


@check("get_and_set_weights", "own_files", "explicit_build", advice=_WEIGHTS)
def set_weights_before_build(subject: Subject) -> None:
    """Weights that are set before the first call are lost, or can't be set."""
    layer, fresh = subject.built(), subject.make()
    subject.needs_weights(layer)
    keras_buildfix.set_weights(fresh, keras_buildfix.get_weights(layer))
    subject.infer(fresh, subject.x(seed=1))  # in training some layers change weights
    check_same(values(layer.weights), values(fresh.weights), "weights that were set before the first call")
