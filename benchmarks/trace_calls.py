"""Measures what ``trace_calls`` costs against one eager forward pass of the same model.

    tox run -e bench          (or: python benchmarks/trace_calls.py, on the Keras of that Python)

The models are chains of small dense layers, which are the worst case: a layer that computes more makes the ratio
smaller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from measuring import CPU, Result, main, versus  # beside this file

from keras_buildfix import check_reuse, keras_info, trace_calls

keras: Any = __import__(keras_info().package)


class Chain(keras.Model):  # type: ignore[misc]
    """Dense layers in a list, called one after the other."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.steps = [keras.layers.Dense(64) for _ in range(count)]

    def call(self, x: Any) -> Any:
        """The last layer's output."""
        for step in self.steps:
            x = step(x)
        return x


def measure(quick: bool = False) -> Iterator[Result]:
    """A row for each size."""
    x = np.ones((32, 64), "float32")
    for count in (10,) if quick else (100, 1000):
        model = Chain(count)
        for name, function in (("trace_calls", trace_calls), ("check_reuse", check_reuse)):
            works = (lambda: model(x), lambda: function(model, x))  # noqa: B023
            yield versus(f"`{name}`, {count} layers", "a forward pass", works, "ms", 1 if quick else 7, 1, CPU, "<= 2")


if __name__ == "__main__":
    main(measure)
