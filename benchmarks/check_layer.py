"""Measures what all checks on one layer cost, after the import of Keras: a ratio to what one fit, save and load cost.

    python benchmarks/check_layer.py      (on the Keras of that Python)

The peer is what an author writes by hand: a model of the layer, one step of ``fit``, ``predict``, ``save``, ``load``.
"""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_buildfix import keras_info
from keras_buildfix.testing import check_layer, layer_checks

keras: Any = __import__(keras_info().package)
ROUNDS = 5


def by_hand() -> None:
    """A model of the layer that is trained, saved and loaded."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    model.compile(optimizer="sgd", loss="mse")
    x = np.ones((2, 4), "float32")
    model.fit(x, np.ones((2, 3), "float32"), verbose=0)
    expected = model.predict(x, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        loaded = keras.models.load_model(f"{folder}/model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, rtol=1e-5)


def seconds(run: Callable[[], Any]) -> float:
    """The seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Prints the seconds of both, the first time and later, their ratio, and the checks that take longest."""
    warnings.simplefilter("ignore")
    checks: Callable[[], Any] = lambda: check_layer(keras.layers.Dense, {"units": 3}, (4,))  # noqa: E731
    print(keras_info(keras))
    first = seconds(by_hand), seconds(checks)
    later = [(seconds(by_hand), seconds(checks)) for _ in range(ROUNDS)]
    peer, ours = (sorted(each)[ROUNDS // 2] for each in zip(*later))
    print(f"the first time: by hand {first[0]:.2f} s, all checks {first[1]:.2f} s, ratio {first[1] / first[0]:.1f}")
    print(f"later, median of {ROUNDS}: by hand {peer:.2f} s, all checks {ours:.2f} s, ratio {ours / peer:.1f}")
    each = Counter({check.name: seconds(check.run) for check in layer_checks(keras.layers.Dense, {"units": 3}, (4,))})
    print("the longest:", ", ".join(f"{name} {took * 1000:.0f} ms" for name, took in each.most_common(6)))


if __name__ == "__main__":
    main()
