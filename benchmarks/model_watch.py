"""Measures what ``ModelWatch`` costs: a fit with it against the same fit without, in one run.

    tox run -e bench          (or: python benchmarks/model_watch.py, on the Keras of that Python)

The model is small (four layers of 64, batches of 32), so a step takes little. In a real one it takes longer, and the
share of the callback is smaller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from measuring import CPU, Result, main, versus  # beside this file

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


def fit(model: Any, callbacks: list[Any]) -> None:
    """An epoch of 100 batches."""
    model.fit(X, Y, batch_size=32, epochs=1, verbose=0, callbacks=callbacks)


def measure(quick: bool = False) -> Iterator[Result]:
    """A row for each setting."""
    if INFO.backend == "numpy":
        return  # it can't train
    settings: list[tuple[str, dict[str, Any], str]] = [
        ("finite, every=100", {"check": "finite"}, "<= 1.05"),
        ("finite, every=1", {"check": "finite", "every": 1}, "-"),
        ("finite and gradients, every=100", {}, "<= 1.1"),
        ("finite and gradients, every=1", {"every": 1}, "-"),
        ("finite and gradients, every=100, with data", {"data": (X[:32], Y[:32])}, "-"),
    ]
    for name, chosen, aim in settings[:1] if quick else settings:
        model, watch = compiled(), ModelWatch(**chosen)
        works = (lambda: fit(model, []), lambda: fit(model, [watch]))  # noqa: B023
        yield versus(f"epoch of 100 batches, {name}", "no callback", works, "ms", 1 if quick else 7, 1, CPU, aim)
        assert watch.report is None, watch.message


if __name__ == "__main__":
    main(measure)
