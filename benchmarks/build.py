"""Measures what deferred build costs: ratios against plain Keras, in one run.

    tox run -e bench          (or: python benchmarks/build.py, on the Keras of that Python)

It compares with what people write today: a subclass that sets ``self.built = False`` by hand.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from measuring import CPU, Result, alone, graph_ops, main, same, versus  # beside this file

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


def in_new_process(code: str, times: int) -> list[str]:
    """Runs a piece of code in several new processes; returns what each prints."""
    return [subprocess.check_output([sys.executable, "-c", code], text=True).strip() for _ in range(times)]


def importing(statement: str, times: int) -> tuple[list[float], int]:
    """Seconds of an import in a new process, and how many modules it loads."""
    code = (
        "import sys, time; before = set(sys.modules); start = time.perf_counter();"
        f"{statement}; print(time.perf_counter() - start, len(set(sys.modules) - before))"
    )
    seconds, modules = zip(*(line.split() for line in in_new_process(code, times)))
    return [float(each) for each in seconds], int(modules[0])


def model_of(layer: Any) -> Any:
    """A compiled model of the layer: casts and the rest are then as in use."""
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse", **({"jit_compile": False} if INFO.backend == "tensorflow" else {}))
    return model


def importing_rows(rounds: int) -> Iterator[Result]:
    """Imports and installing, in new processes."""
    empty, _ = importing("pass", rounds)
    for statement in ("import keras_buildfix", "from keras_buildfix import deferred_build"):
        seconds, modules = importing(statement, rounds)
        spent = [each - statistics.median(empty) for each in seconds]
        yield alone(f"`{statement}`", spent, "ms", "< 15 ms", f"{modules} modules")
    code = (
        f"import time; import {INFO.package}; from keras_buildfix.building.installing import install, uninstall\n"
        "start = time.perf_counter(); install(); first = time.perf_counter() - start\n"
        "uninstall(); start = time.perf_counter(); install(); print(first, time.perf_counter() - start)"
    )
    lines = in_new_process(code, min(rounds, 3))
    first, again = zip(*(map(float, line.split()[-2:]) for line in lines))
    yield alone("`install()` on a loaded Keras", list(first), "ms", "< 5 ms")
    yield alone("`install()` again after `uninstall()`", list(again), "ms", "< 5 ms")


def measure(quick: bool = False) -> Iterator[Result]:
    """A layer and a model of it, by hand and decorated."""
    by_hand, decorated, arguments = bases()
    rounds, each, peer = (1, 1, "by hand") if quick else (40, 20, "by hand")
    x = np.ones((2, 8, 8, 3), "float32")
    makes = (lambda: by_hand(*arguments), lambda: decorated(*arguments))
    yield versus("make a layer", peer, makes, "us", rounds, each, CPU, "<= 1.05")
    one, two = model_of(by_hand(*arguments)), model_of(decorated(*arguments))
    tensor = keras.ops.convert_to_tensor(x) if INFO.generation == 3 else x
    yield versus(
        "call a model of it eagerly", peer, (lambda: one(tensor), lambda: two(tensor)), "us", rounds, each, CPU
    )
    works = (lambda: one.predict_on_batch(x), lambda: two.predict_on_batch(x))
    yield versus("a step of `predict`", peer, works, "us", rounds, each, CPU, "about 1")
    if INFO.backend != "numpy":
        y = np.zeros_like(one.predict_on_batch(x))
        steps = (lambda: one.train_on_batch(x, y), lambda: two.train_on_batch(x, y))
        yield versus("a step of `fit`", peer, steps, "us", rounds, each, CPU, "about 1")
    ops = [graph_ops(model, INFO.backend, x) for model in (one, two)]
    if ops[0] is not None and ops[1] is not None:
        yield same("compiled graph of the model", peer, ops[0], ops[1])
    if not quick:
        yield from importing_rows(9)


if __name__ == "__main__":
    main(measure)
