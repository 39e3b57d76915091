"""Measures what freezing costs, compared with a plain recompile, in one run.

    tox run -e bench          (or: python benchmarks/freezing.py, on the Keras of that Python)

It compares with what people write today: ``layer.trainable = False`` for each layer, and ``compile`` with a new
optimizer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from measuring import Result, alone, compared, in_turns, main  # beside this file

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


def seconds(do: Callable[[], Any]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


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


def halves(quick: bool) -> Iterator[Result]:
    """Freezing half of a model: alone, and against compiling again."""
    for count in (250,) if quick else (250, 1000, 2000):
        model = model_of(count)
        half, times = first_half(model), []
        for _ in range(1 if quick else 7):
            times.append(seconds(lambda model=model, half=half: freeze(model, half)))  # type: ignore[misc]
            unfreeze(model)
        yield alone(f"freeze half of {count} layers", times, "ms", "< 50 ms" if count == 1000 else "linear")
    count, x = 30, np.ones((8, 4), "float32")
    steps: dict[str, list[float]] = {"freeze": [], "recompile": []}
    for turn in range(1 if quick else 6):
        for way in sorted(steps, reverse=bool(turn % 2)):
            model = model_of(count)
            model.compile("adam", "mse")
            model.train_on_batch(x, x)
            change = by_hand if way == "recompile" else lambda model: freeze(model, first_half(model))
            steps[way].append(seconds(lambda model=model, change=change: (change(model), model.train_on_batch(x, x))))
    what = f"freeze half of {count} layers, and the next step"
    yield compared(what, "compile again", steps["recompile"], steps["freeze"], "ms", "<= 1")


def measure(quick: bool = False) -> Iterator[Result]:
    """Freezing half of a model, and a discriminator and a generator in turns."""
    if INFO.backend == "numpy":
        return  # it can't train
    yield from halves(quick)
    ways = {toggle: turns(toggle) for toggle in ("", "frozen", "freeze")}
    first = {toggle: seconds(one) for toggle, one in ways.items()}
    times = in_turns(ways, 1 if quick else 30)
    for toggle, name in (("frozen", "`with frozen(D)`"), ("freeze", "`freeze`, `unfreeze` of D")):
        what = f"D and G in turns, {name}"
        yield compared(what, "nothing frozen", times[""], times[toggle], "ms", "<= 2")
        yield compared(f"{what}: the first round, traced", "nothing frozen", [first[""]], [first[toggle]], "ms")


if __name__ == "__main__":
    main(measure)
