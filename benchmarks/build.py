"""Measures what deferred build costs: ratios against plain Keras, in one run.

    tox run -e bench          (or: python benchmarks/build.py, on the Keras of that Python)

It compares with what people write today: a subclass that sets ``self.built = False`` by hand.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_buildfix import deferred_build, keras_info

keras: Any = __import__(keras_info().package)
INFO = keras_info(keras)


def bases() -> tuple[type, type, tuple[Any, ...]]:
    """The same layer twice, on a built-in that is affected here: with today's workaround, and decorated."""
    for name, arguments in (("MaxPooling2D", (2,)), ("Reshape", ((16, 12),))):
        base = getattr(keras.layers, name)

        class Body(base):  # type: ignore[misc, valid-type]
            def build(self, input_shape: Any) -> None:
                self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
                super().build(input_shape)

            def call(self, x: Any) -> Any:
                return super().call(x) * self.scale

        if Body(*arguments).built or name == "Reshape":

            class ByHand(Body):
                def __init__(self, *args: Any) -> None:
                    super().__init__(*args)
                    self.built = False

            class Decorated(Body):
                def __init__(self, *args: Any) -> None:
                    super().__init__(*args)

            return ByHand, deferred_build(Decorated), arguments
    raise AssertionError


def ratio(peer: Callable[[], Any], ours: Callable[[], Any], rounds: int = 60, each: int = 40) -> tuple[float, float]:
    """Median seconds of one call of each, measured in turns so that a slow moment of the machine affects both."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for which in (0, 1) if turn % 2 else (1, 0):
            start = time.perf_counter()
            for _ in range(each):
                (peer, ours)[which]()
            times[which].append((time.perf_counter() - start) / each)
    return statistics.median(times[0]), statistics.median(times[1])


def in_new_process(code: str, times: int = 15) -> list[str]:
    """Runs a piece of code in several new processes; returns what each prints."""
    return [subprocess.check_output([sys.executable, "-c", code], text=True).strip() for _ in range(times)]


def importing(statement: str) -> tuple[float, int]:
    """Median seconds of an import in a new process, and how many modules it loads."""
    code = (
        "import sys, time; before = set(sys.modules); start = time.perf_counter();"
        f"{statement}; print(time.perf_counter() - start, len(set(sys.modules) - before))"
    )
    seconds, modules = zip(*(line.split() for line in in_new_process(code)))
    return statistics.median(map(float, seconds)), int(modules[0])


def graph_ops(layer: Any, x: Any) -> int | None:
    """How many operations the compiled graph of a call has; None if the backend has no graph."""
    if INFO.backend == "jax":
        import jax

        state = [variable.value for variable in layer.variables]
        call = jax.make_jaxpr(lambda values, inputs: layer.stateless_call(values[:1], values[1:], inputs)[0])
        return len(call(state, x).eqns)
    if INFO.backend == "tensorflow":
        import tensorflow as tf

        traced = tf.function(lambda inputs: layer(inputs)).get_concrete_function(tf.constant(x))
        return len(traced.graph.get_operations())
    return None


def row(what: str, peer: object, ours: object, found: object, aim: str) -> None:
    print(f"{what:44}{peer!s:>16}{ours!s:>16}{found!s:>10}   {aim}")


def main() -> None:
    by_hand, decorated, arguments = bases()
    x = np.ones((2, 8, 8, 3), "float32")
    print(f"{INFO}; Python {sys.version.split()[0]}; subclasses of {decorated.__mro__[2].__name__}; medians\n")
    row("what", "by hand", "ours", "ratio", "aim")

    peer, ours = ratio(lambda: by_hand(*arguments), lambda: decorated(*arguments))
    row("make a layer (us)", f"{peer * 1e6:.1f}", f"{ours * 1e6:.1f}", f"{ours / peer:.3f}", "<= 1.05")

    layers = by_hand(*arguments), decorated(*arguments)
    tensor = keras.ops.convert_to_tensor(x) if INFO.generation == 3 else x
    for layer in layers:
        layer(tensor)
    peer, ours = ratio(lambda: layers[0](tensor), lambda: layers[1](tensor))
    row("call it eagerly (us)", f"{peer * 1e6:.1f}", f"{ours * 1e6:.1f}", f"{ours / peer:.3f}", "about 1")
    ops = [graph_ops(layer, x) for layer in layers]
    row("operations in the compiled graph", *ops, "equal" if ops[0] == ops[1] else "DIFFERS", "equal")

    empty, _ = importing("pass")
    for statement in ("import keras_buildfix", "from keras_buildfix import deferred_build"):
        seconds, modules = importing(statement)
        row(f"{statement} (ms)", "-", f"{(seconds - empty) * 1e3:.2f}", f"{modules} mod.", "< 15 ms")
    code = (
        f"import time; import {INFO.package}; from keras_buildfix.building.installing import install, uninstall\n"
        "start = time.perf_counter(); install(); first = time.perf_counter() - start\n"
        "uninstall(); start = time.perf_counter(); install(); print(first, time.perf_counter() - start)"
    )
    first, again = zip(*(map(float, line.split()[-2:]) for line in in_new_process(code, 5)))
    row("install() on a loaded Keras (ms)", "-", f"{statistics.median(first) * 1e3:.2f}", "-", "< 5 ms")
    row("install() again after uninstall() (ms)", "-", f"{statistics.median(again) * 1e3:.2f}", "-", "< 5 ms")


if __name__ == "__main__":
    main()
