"""Measures what ``trace_calls`` costs against one eager forward pass of the same model.

    tox run -e bench          (or: python benchmarks/trace_calls.py, on the Keras of that Python)

The models are chains of small dense layers, which are the worst case: a layer that computes more makes the ratio
smaller.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from build import row  # beside this file

from keras_buildfix import check_reuse, keras_info, trace_calls

keras: Any = __import__(keras_info().package)
INFO = keras_info(keras)


class Chain(keras.Model):  # type: ignore[misc]
    """Dense layers in a list, called one after the other."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.steps = [keras.layers.Dense(64) for _ in range(count)]

    def call(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return x


def milliseconds(do: Callable[[], Any]) -> float:
    """The shortest of several runs."""
    found = []
    for _ in range(5):
        start = time.perf_counter()
        do()
        found.append((time.perf_counter() - start) * 1e3)
    return min(found)


def main() -> None:
    """Prints a row for each size."""
    x = np.ones((32, 64), "float32")
    print(f"{INFO}; Python {sys.version.split()[0]}; shortest of 5, in milliseconds\n")
    row("what", "forward", "ours", "ratio", "aim")
    for count in (100, 1000):
        model = Chain(count)
        plain = milliseconds(lambda model=model: model(x))  # type: ignore[misc]
        for name, function in (("trace_calls", trace_calls), ("check_reuse", check_reuse)):
            ours = milliseconds(lambda model=model, function=function: function(model, x))  # type: ignore[misc]
            row(f"{name}, {count} layers", f"{plain:.1f}", f"{ours:.1f}", f"{ours / plain:.2f}", "2")


if __name__ == "__main__":
    main()
