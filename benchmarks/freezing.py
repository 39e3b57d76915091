"""Measures what freezing costs, compared with a plain recompile, in one run.

    tox run -e bench          (or: python benchmarks/freezing.py, on the Keras of that Python)

It compares with what people write today: ``layer.trainable = False`` for each layer, and ``compile`` with a new
optimizer.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from build import row  # beside this file

from keras_buildfix import freeze, frozen, keras_info, unfreeze

keras: Any = __import__(keras_info().package)
INFO = keras_info(keras)


def model_of(count: int) -> Any:
    """A model of this many dense layers, side by side: Keras can't handle a chain of a thousand."""
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.add([keras.layers.Dense(4)(x) for _ in range(count)]))


def first_half(model: Any) -> list[Any]:
    """The first half of its dense layers."""
    dense = [layer for layer in model.layers if layer.weights]
    return dense[: len(dense) // 2]


def milliseconds(do: Callable[[], Any]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    do()
    return (time.perf_counter() - start) * 1e3


def by_hand(model: Any) -> None:
    """Freezes the first half and compiles again."""
    for layer in first_half(model):
        layer.trainable = False
    model.compile("adam", "mse")


def gan() -> tuple[Any, Any]:
    """A compiled discriminator, and a compiled model of a generator and this discriminator."""
    parts = [
        keras.Sequential([keras.Input((size,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(64), last])
        for size, last in ((8, keras.layers.Dense(16)), (16, keras.layers.Dense(1, "sigmoid")))
    ]
    both = keras.Sequential([keras.Input((8,)), *parts])
    jit = {"jit_compile": False} if INFO.backend == "tensorflow" else {}
    for model in (parts[1], both):
        model.compile("adam", "mse", **jit)
    return parts[1], both


def turns(toggle: str) -> Callable[[], None]:
    """Makes a function that trains a discriminator and then a generator."""
    discriminator, both = gan()
    real, noise, label = np.ones((64, 16), "float32"), np.ones((64, 8), "float32"), np.ones((64, 1), "float32")

    def one() -> None:
        discriminator.fit(real, label, batch_size=64, verbose=0)
        with frozen(discriminator) if toggle == "frozen" else contextlib.nullcontext():
            if toggle == "freeze":
                freeze(discriminator)
            both.fit(noise, label, batch_size=64, verbose=0)
            if toggle == "freeze":
                unfreeze(discriminator)

    return one


def main() -> None:
    x, y = np.ones((8, 4), "float32"), np.ones((8, 4), "float32")
    print(f"{INFO}; Python {sys.version.split()[0]}; medians; for turns, the fastest round\n")
    row("what", "by hand", "ours", "ratio", "aim")
    for count in (250, 500, 1000, 2000):
        model = model_of(count)
        half = first_half(model)
        times = []
        for _ in range(7):
            times.append(milliseconds(lambda model=model, half=half: freeze(model, half)))
            unfreeze(model)
        aim = "< 50 ms" if count == 1000 else "linear"
        row(f"freeze half of {count} layers (ms)", "-", f"{statistics.median(times):.1f}", "-", aim)

    count = 30
    steps: dict[str, list[float]] = {"freeze": [], "recompile": []}
    for turn in range(6):
        for way in sorted(steps, reverse=bool(turn % 2)):
            model = model_of(count)
            model.compile("adam", "mse")
            model.train_on_batch(x, y)
            change = by_hand if way == "recompile" else lambda model: freeze(model, first_half(model))
            steps[way].append(
                milliseconds(lambda model=model, change=change: (change(model), model.train_on_batch(x, y)))
            )
    peer, ours = (statistics.median(steps[way]) for way in ("recompile", "freeze"))
    row(f"freeze half of {count}, and the next step (ms)", f"{peer:.0f}", f"{ours:.0f}", f"{ours / peer:.3f}", "<= 1")

    ways = {toggle: turns(toggle) for toggle in ("", "frozen", "freeze")}
    times: dict[str, list[float]] = {toggle: [] for toggle in ways}
    for _ in range(42):
        for toggle, one in ways.items():
            times[toggle].append(milliseconds(one))
    plain = min(times[""][2:])  # the fastest round: other work on the machine disturbs it least
    for toggle, name in (("frozen", "with frozen(D)"), ("freeze", "freeze, unfreeze D")):
        later = min(times[toggle][2:])
        row(f"D and G in turns, {name} (ms)", f"{plain:.1f}", f"{later:.1f}", f"{later / plain:.2f}", "<= 2")
        first = times[toggle][0]
        row("    the first round, which is traced (ms)", f"{times[''][0]:.0f}", f"{first:.0f}", "-", "-")


if __name__ == "__main__":
    main()
