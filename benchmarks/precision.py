"""Measures what the casting rule costs: ratios against casts by hand, in one run.

    tox run -e bench          (or: python benchmarks/precision.py, on the Keras of that Python)

It compares with what people write today: ``tf.cast(x, self.compute_dtype)`` where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from measuring import CPU, Result, graph_ops, main, same, versus  # beside this file

from keras_buildfix import MixedPrecisionMixin, full_precision, keras_info, safe_call

keras: Any = __import__(keras_info().package)
INFO = keras_info(keras)


def ops() -> Any:
    """The module with the operations that the layers here need: Keras 2 takes them from TensorFlow."""
    if INFO.generation == 3:
        return keras.ops
    import tensorflow as tf

    return tf


OPS = ops()
SOFTMAX = OPS.softmax if INFO.generation == 3 else OPS.nn.softmax


class Scaled(keras.layers.Layer):  # type: ignore[misc]
    """A layer with a weight by which to multiply."""

    def build(self, input_shape: Any) -> None:
        """Makes the weight."""
        self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
        self.built = True


class ByHand(Scaled):
    """One input: there is nothing to cast by hand, as Keras casts it."""

    def call(self, x: Any) -> Any:
        """The layer's work."""
        return x * self.scale


class Ours(MixedPrecisionMixin, Scaled):
    """The same with the mixin."""

    def call(self, x: Any) -> Any:
        """The layer's work."""
        return x * self.scale


class TwoByHand(Scaled):
    """Two inputs and a softmax in float32, cast by hand."""

    def call(self, x: Any, y: Any) -> Any:
        """The layer's work."""
        y = OPS.cast(y, self.compute_dtype)
        z = OPS.cast(x * self.scale + y, "float32")
        return OPS.cast(SOFTMAX(z), self.compute_dtype)


class TwoOurs(MixedPrecisionMixin, Scaled):
    """The same with the mixin and ``full_precision``."""

    @full_precision
    def softmax(self, z: Any) -> Any:
        """A softmax in float32."""
        return SOFTMAX(z)

    def call(self, x: Any, y: Any) -> Any:
        """The layer's work."""
        return self.softmax(x * self.scale + y)


def model_of(layer: Any, inputs: int) -> Any:
    """A compiled model of the layer: a layer alone is cast less than in use."""
    tensors = [keras.Input((3,)) for _ in range(inputs)]
    model = keras.Model(tensors if inputs > 1 else tensors[0], layer(*tensors))
    model.compile("sgd", "mse", **({"jit_compile": False} if INFO.backend == "tensorflow" else {}))
    return model


def case(name: str, peer: type, our: type, inputs: int, policy: str, quick: bool) -> Iterator[Result]:
    """A layer by hand and ours, each in a model: eagerly, steps, and the compiled graph."""
    one, two = (model_of(kind(dtype=policy), inputs) for kind in (peer, our))
    array = np.ones((8, 3), "float32")
    x, tensor = ([value] * inputs if inputs > 1 else value for value in (array, OPS.convert_to_tensor(array)))
    rounds, each = (1, 1) if quick else (40, 10)
    what, by = f"{name}, {policy}", "casts by hand"
    aim = "<= 1.05" if (policy, inputs) == ("float32", 1) else "about 1"
    yield versus(f"{what}, eager", by, (lambda: one(tensor), lambda: two(tensor)), "us", rounds, each, CPU, aim)
    works = (lambda: one.predict_on_batch(x), lambda: two.predict_on_batch(x))
    yield versus(f"{what}, a step of `predict`", by, works, "us", rounds, each, CPU, "about 1")
    if INFO.backend != "numpy":
        steps = (lambda: one.train_on_batch(x, array), lambda: two.train_on_batch(x, array))
        yield versus(f"{what}, a step of `fit`", by, steps, "us", rounds, each, CPU, "about 1")
    graphs = [graph_ops(model, INFO.backend, x) for model in (one, two)]
    if graphs[0] is not None and graphs[1] is not None:
        yield same(f"{what}, compiled graph of the model", by, graphs[0], graphs[1])


def measure(quick: bool = False) -> Iterator[Result]:
    """One and two inputs under two policies."""
    for policy in ("float32", "mixed_bfloat16"):
        yield from case("one input", ByHand, Ours, 1, policy, quick)
        yield from case("two inputs, float32 softmax", TwoByHand, TwoOurs, 2, policy, quick)
    dense = keras.layers.Dense(3, dtype="float32")
    half = OPS.cast(OPS.convert_to_tensor(np.ones((8, 3), "float32")), "bfloat16")
    works = (lambda: OPS.cast(dense(OPS.cast(half, "float32")), "bfloat16"), lambda: safe_call(dense, half))
    yield versus("`safe_call`, eager", "casts by hand", works, "us", 1 if quick else 40, 10, CPU, "about 1")


if __name__ == "__main__":
    main(measure)
