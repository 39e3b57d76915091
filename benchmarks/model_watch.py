"""Measures what ``ModelWatch`` costs: a fit with it against the same fit without, in one run.

    tox run -e bench          (or: python benchmarks/model_watch.py, on the Keras of that Python)

The model is small (four layers of 64, batches of 32), so a step takes little. In a real one it takes longer, and the
share of the callback is smaller.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from build import row  # beside this file

from keras_buildfix import ModelWatch, keras_info

keras: Any = __import__(keras_info().package)
INFO = keras_info(keras)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3200, 64)).astype("float32")
Y = X[:, :1]


def compiled() -> Any:
    """A model of four dense layers."""
    layers = [keras.layers.Dense(64, "relu") for _ in range(4)]
    model = keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(1)])
    jit = {"jit_compile": False} if INFO.backend == "tensorflow" else {}
    model.compile("sgd", "mse", **jit)
    return model


def seconds(model: Any, callbacks: list[Any]) -> float:
    """How much time of the CPU an epoch takes: what else the machine does counts in it little."""
    start = time.process_time()
    model.fit(X, Y, batch_size=32, epochs=1, verbose=0, callbacks=callbacks)
    return time.process_time() - start


def medians(**settings: Any) -> tuple[float, float]:
    """Milliseconds that an epoch takes without the callback and with it."""
    model, watch = compiled(), ModelWatch(**settings)
    seconds(model, [])  # traces
    seconds(model, [watch])
    with_it, without = [], []
    for _ in range(5):  # in turns: what else the machine does falls on both
        without.append(seconds(model, []))
        with_it.append(seconds(model, [watch]))
    assert watch.report is None, watch.message
    return statistics.median(without) * 1e3, statistics.median(with_it) * 1e3


def main() -> None:
    """Prints a row for each setting."""
    if INFO.backend == "numpy":
        print("ModelWatch: the numpy backend can't train")
        return
    print(f"{INFO}; an epoch of 100 batches in ms of CPU; medians\n")
    row("ModelWatch", "without", "with", "ratio", "aim")
    data = (X[:32], Y[:32])
    settings: list[tuple[str, dict[str, Any], str]] = [
        ("finite, every=100", {"check": "finite"}, "<= 1.05"),
        ("finite, every=1", {"check": "finite", "every": 1}, "-"),
        ("finite and gradients, every=100", {}, "<= 1.1"),
        ("finite and gradients, every=1", {"every": 1}, "-"),
        ("finite and gradients, every=100, with data", {"data": data}, "-"),
    ]
    for name, chosen, aim in settings:
        without, with_it = medians(**chosen)
        row(name, f"{without:.0f}", f"{with_it:.0f}", f"{with_it / without:.2f}", aim)


if __name__ == "__main__":
    sys.exit(main())
