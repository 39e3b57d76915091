"""Measures what all checks on one layer cost, after the import of Keras: a ratio to what one fit, save and load cost.

    python benchmarks/check_layer.py      (on the Keras of that Python)

The peer is what an author writes by hand: a model of the layer, one step of ``fit``, ``predict``, ``save``, ``load``.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from measuring import Result, main, versus  # beside this file

from keras_buildfix import keras_info
from keras_buildfix.testing import check_layer

keras: Any = __import__(keras_info().package)
INFO = keras_info(keras)


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


def measure(quick: bool = False) -> Iterator[Result]:
    """All checks, against one fit, save and load."""
    if INFO.backend == "numpy":
        return  # it can't train
    warnings.simplefilter("ignore")
    works = (by_hand, lambda: check_layer(keras.layers.Dense, {"units": 3}, (4,)))
    peer = "one fit, save and load"
    yield versus("`check_layer` of `Dense(3)`", peer, works, "s", 1 if quick else 5)


if __name__ == "__main__":
    main(measure)
