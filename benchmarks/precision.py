"""Measures what the casting rule costs: ratios against casts by hand, in one run.

    tox run -e bench          (or: python benchmarks/precision.py, on the Keras of that Python)

It compares with what people write today: ``tf.cast(x, self.compute_dtype)`` where it is needed.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from build import graph_ops, ratio, row  # beside this file

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


def pair(peer: type, ours: type, policy: str, *inputs: Any) -> tuple[Any, Any]:
    """A built layer of each class."""
    layers = peer(dtype=policy), ours(dtype=policy)
    for layer in layers:
        layer(*inputs)
    return layers


def compiled(layer: Any, *inputs: Any) -> Any:
    """A compiled call of the layer; None if the backend compiles nothing."""
    if INFO.backend == "jax":
        import jax

        state = [variable.value for variable in layer.variables]
        function = jax.jit(lambda values, *xs: layer.stateless_call(values, [], *xs)[0])
        return lambda: function(state, *inputs)
    if INFO.backend == "tensorflow":
        import tensorflow as tf

        function = tf.function(lambda *xs: layer(*xs))
        return lambda: function(*inputs)
    return None


def tracing(layer: Any, *inputs: Any) -> float:
    """Seconds to trace a call: the fastest of several."""
    import tensorflow as tf

    times = []
    for _ in range(15):
        start = time.perf_counter()
        tf.function(lambda *xs: layer(*xs)).get_concrete_function(*inputs)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    print(f"{INFO}; Python {sys.version.split()[0]}; medians\n")
    row("what", "by hand", "ours", "ratio", "aim")
    x: Any = np.ones((8, 3), "float32")
    x = keras.ops.convert_to_tensor(x) if INFO.generation == 3 else OPS.constant(x)
    for policy in ("float32", "mixed_bfloat16"):
        cases = [("one input", pair(ByHand, Ours, policy, x), (x,))]
        cases.append(("two inputs, float32 softmax", pair(TwoByHand, TwoOurs, policy, x, x), (x, x)))
        for name, (hand, our), inputs in cases:
            peer, ours = ratio(lambda: hand(*inputs), lambda: our(*inputs), 80, 40)  # noqa: B023
            aim = "<= 1.05" if (policy, name) == ("float32", "one input") else "about 1"
            what = f"{name}, {policy}"
            row(f"{what}, eager (us)", f"{peer * 1e6:.1f}", f"{ours * 1e6:.1f}", f"{ours / peer:.3f}", aim)
            calls = compiled(hand, *inputs), compiled(our, *inputs)
            if calls[0] is not None:
                peer, ours = ratio(*calls, 40, 20)
                shown = f"{peer * 1e6:.1f}", f"{ours * 1e6:.1f}", f"{ours / peer:.3f}"
                row(f"{what}, compiled (us)", *shown, "about 1")
            if len(inputs) == 1:
                counts = graph_ops(hand, np.ones((8, 3), "float32")), graph_ops(our, np.ones((8, 3), "float32"))
                row(f"{what}, operations", *counts, "equal" if counts[0] == counts[1] else "DIFFERS", "equal")
            if INFO.backend == "tensorflow":
                peer, ours = tracing(hand, *inputs), tracing(our, *inputs)
                row(f"{what}, tracing (ms)", f"{peer * 1e3:.2f}", f"{ours * 1e3:.2f}", f"{ours / peer:.3f}", "-")
    dense = keras.layers.Dense(3, dtype="float32")
    half = OPS.cast(x, "bfloat16")
    peer, ours = ratio(lambda: OPS.cast(dense(OPS.cast(half, "float32")), "bfloat16"), lambda: safe_call(dense, half))
    row("safe_call, eager (us)", f"{peer * 1e6:.1f}", f"{ours * 1e6:.1f}", f"{ours / peer:.3f}", "about 1")


if __name__ == "__main__":
    main()
