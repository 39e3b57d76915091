"""Measures what ``keras_buildfix.ops`` costs: ratios in one run, in seconds of the CPU.

    tox run -e bench          (or: python benchmarks/ops.py, on the Keras of that Python)

It compares with what people write today: ``keras.ops`` on Keras 3, TensorFlow's own functions on Keras 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from measuring import CPU, Result, graph_ops, main, same, versus  # beside this file

from keras_buildfix import keras_info, ops

keras: Any = __import__(keras_info().package)
INFO = keras_info(keras)
THEIRS = "`keras.ops`" if INFO.generation == 3 else "TensorFlow"


def against(what: str, aim: str, peer: Any, ours: Any, each: int = 20, rounds: int = 20) -> Result:
    """Measures in seconds of the CPU."""
    return versus(what, THEIRS, (peer, ours), "us", rounds, each, CPU, aim)


def our_body(x: Any, w: Any) -> Any:
    """What a layer might do, with ``ops``."""
    y = ops.softmax(ops.matmul(x, w))
    y = ops.add(y, x)
    y = ops.concatenate([y, x], axis=-1)
    return ops.sum(ops.reshape(y, (-1, 2, w.shape[0])), axis=1)


def body_of_keras(x: Any, w: Any) -> Any:
    """The same with ``keras.ops``."""
    y = keras.ops.softmax(keras.ops.matmul(x, w))
    y = keras.ops.add(y, x)
    y = keras.ops.concatenate([y, x], axis=-1)
    return keras.ops.sum(keras.ops.reshape(y, (-1, 2, w.shape[0])), axis=1)


def body_of_tensorflow(x: Any, w: Any) -> Any:
    """The same with TensorFlow."""
    import tensorflow as tf

    y = tf.nn.softmax(tf.matmul(x, w))
    y = tf.add(y, x)
    y = tf.concat([y, x], axis=-1)
    return tf.reduce_sum(tf.reshape(y, (-1, 2, w.shape[0])), axis=1)


class Body(keras.layers.Layer):  # type: ignore[misc]
    """A layer around a body: what is compiled is measured inside a model."""

    def __init__(self, body: Callable[..., Any]) -> None:
        super().__init__()
        self.body = body

    def build(self, input_shape: Any) -> None:
        """Makes the weight."""
        size = input_shape[-1]
        self.w = self.add_weight(name="w", shape=(size, size), initializer="ones")
        self.built = True

    def call(self, x: Any) -> Any:
        """The body."""
        return self.body(x, self.w)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input's."""
        return input_shape


def model_of(body: Callable[..., Any], size: int) -> Any:
    """A model of such a layer."""
    inputs = keras.Input((size,))
    return keras.Model(inputs, Body(body)(inputs))


def bodies(peer: Callable[..., Any], aim: str, quick: bool) -> Iterator[Result]:
    """The body on small and larger tensors, alone and in a model."""
    for size, each in ((64, 1),) if quick else ((64, 20), (512, 2)):
        array = np.full((size, size), 0.01, "float32")
        x, w = (ops.convert_to_tensor(array) for _ in range(2))
        np.testing.assert_allclose(ops.convert_to_numpy(peer(x, w)), ops.convert_to_numpy(our_body(x, w)), 1e-5)
        calls = (lambda: peer(x, w), lambda: our_body(x, w))  # noqa: B023
        yield against(f"body, {size}x{size}, eager", aim, *calls, each, 1 if quick else 20)
        one, two = model_of(peer, size), model_of(our_body, size)
        steps = (lambda: one.predict_on_batch(array), lambda: two.predict_on_batch(array))  # noqa: B023
        yield against(f"body, {size}x{size}, in a step of `predict`", aim, *steps, each, 1 if quick else 20)
        graphs = [graph_ops(model, INFO.backend, array) for model in (one, two)]
        if graphs[0] is not None and graphs[1] is not None:
            yield same(f"body, {size}x{size}, compiled graph of the model", THEIRS, graphs[0], graphs[1])


def single(theirs: Any) -> Iterator[Result]:
    """Functions one by one, on Keras 2."""
    x = ops.convert_to_tensor(np.full((64, 64), 0.01, "float32"))
    for name, peer, ours in (
        ("matmul", lambda: theirs.matmul(x, x), lambda: ops.matmul(x, x)),
        ("softmax", lambda: theirs.nn.softmax(x), lambda: ops.softmax(x)),
        ("add", lambda: theirs.add(x, x), lambda: ops.add(x, x)),
        ("add, a number", lambda: theirs.add(x, 1.0), lambda: ops.add(x, 1.0)),
        ("exp", lambda: theirs.exp(x), lambda: ops.exp(x)),
        ("sum", lambda: theirs.reduce_sum(x, -1), lambda: ops.sum(x, -1)),
        ("mean", lambda: theirs.reduce_mean(x, -1), lambda: ops.mean(x, -1)),
        ("reshape", lambda: theirs.reshape(x, (32, 128)), lambda: ops.reshape(x, (32, 128))),
        ("concatenate", lambda: theirs.concat([x, x], -1), lambda: ops.concatenate([x, x], -1)),
    ):
        yield against(f"{name}, 64x64, eager", "-", peer, ours)


def measure(quick: bool = False) -> Iterator[Result]:
    """Bodies of layers, and single functions."""
    yield from bodies(body_of_keras if INFO.generation == 3 else body_of_tensorflow, "<= 1.05", quick)
    if quick:
        return
    array = np.ones((64, 64), "float32")
    if INFO.generation == 3:
        x, theirs = keras.ops.convert_to_tensor(array), keras.ops
        yield against("attribute and call: `ndim`", "1.00", lambda: keras.ops.ndim(x), lambda: ops.ndim(x), 200)
    else:
        import tensorflow as theirs

        yield from single(theirs)
    yield against("`ones((64, 64))`", "-", lambda: theirs.ones((64, 64)), lambda: ops.ones((64, 64)))
    convert = theirs.convert_to_tensor
    yield against("`convert_to_tensor(array)`", "-", lambda: convert(array), lambda: ops.convert_to_tensor(array))


if __name__ == "__main__":
    main(measure)
