"""Checks that a layer computes the same when it is compiled or exported."""

from __future__ import annotations

from typing import Any

from keras_buildfix.testing.case import arrays_in
from keras_buildfix.testing.checks.training import fit
from keras_buildfix.testing.subject import NotHere, Subject, check, check_same

_GRAPH = (
    "Use operations of Keras or the backend in call(), not numpy, and no Python `if`, `int()` or loop over the values "
    "of a tensor."
)


def _needs_tensorflow(subject: Subject) -> None:
    if subject.info.backend != "tensorflow":
        raise NotHere(f"the backend is {subject.info.backend}, not TensorFlow")


@check("training_argument", "tf_function", advice=_GRAPH)
def jit(subject: Subject) -> None:
    """`fit` and `predict` fail or compute something else than a call, as they compile the model."""
    if subject.info.backend not in ("tensorflow", "jax"):
        raise NotHere(f"nothing is compiled on {subject.info.backend}")
    layer = subject.built()
    if not getattr(layer, "supports_jit", True):
        raise NotHere("it says supports_jit = False")
    model, _ = fit(subject, layer, probed="after", steps=1, jit_compile=True)
    del model
    x = subject.x(seed=8)
    model, _ = subject.model(layer)
    model.compile(jit_compile=True)
    check_same(subject.infer(layer, x), arrays_in(model.predict_on_batch(x)), "compiled and eager")


@check("functional", "weights_train", advice=_GRAPH)
def tf_function(subject: Subject) -> None:
    """The layer fails inside `tf.function`, or computes something else there."""
    _needs_tensorflow(subject)
    import tensorflow as tf

    layer = subject.built()
    traced = tf.function(lambda x: subject.call_in_inference(layer, x))
    x = subject.x(seed=9)
    check_same(subject.infer(layer, x), arrays_in(traced(_tensors(tf, x))), "in tf.function and eagerly")


def _tensors(tf: Any, x: Any) -> Any:
    return tf.nest.map_structure(tf.constant, x)


@check("tf_function", "tracking", "extra_weights", advice=_GRAPH)
def saved_model(subject: Subject) -> None:
    """The layer can't be exported, or the exported one computes something else."""
    _needs_tensorflow(subject)
    import tensorflow as tf

    layer = subject.built()
    module = tf.Module()
    module.layer = layer
    specs = subject.each_shape(lambda shape: tf.TensorSpec((None, *shape), subject.dtype))
    module.serve = tf.function(lambda x: subject.call_in_inference(layer, x), input_signature=[specs])
    x = subject.x(seed=10)
    tf.saved_model.save(module, str(subject.folder / "saved"), signatures={})
    loaded = tf.saved_model.load(str(subject.folder / "saved"))
    check_same(subject.infer(layer, x), arrays_in(loaded.serve(_tensors(tf, x))), "exported and eager")
