"""The rows of docs/upgrading.md: what `ops` has in place of the functions of Keras 2's backend."""

import re
from pathlib import Path

import numpy as np
import ops_cases
import pytest
from environment import KERAS

from keras_buildfix import ops, random

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "upgrading.md").read_text("utf-8")
#: The rows in which both sides are code.
ROWS = [
    (old, new)
    for old, new in re.findall(r"^\| `(K\.[^`]*\))` \| `([^`]*)` \|", PAGE, re.MULTILINE)
    if not old.endswith("(...)")
]


def values():
    """What the examples use."""
    made = {
        "x": ops_cases.f32(2, 3),
        "y": ops_cases.f32(2, 3, seed=1),
        "k": ops_cases.f32(3, 2),
        "batch": ops_cases.f32(2, 3, 4),
        "bias": ops_cases.f32(4),
        "images": ops_cases.f32(1, 4, 4, 2),
        "volumes": ops_cases.f32(1, 4, 4, 4, 2),
        "series": ops_cases.f32(1, 6, 2),
        "k1": ops_cases.f32(2, 2, 2),
        "k2": ops_cases.f32(2, 2, 2, 2),
        "k3": ops_cases.f32(2, 2, 2, 2, 2),
        "depthwise": ops_cases.f32(2, 2, 2, 1),
        "pointwise": ops_cases.f32(1, 1, 2, 3),
        "p": ops_cases.f32(values=[[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]),
        "q": ops_cases.f32(values=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        "m": ops_cases.f32(3),
        "v": ops_cases.f32(3, low=0.5),
        "b": ops_cases.f32(3, seed=2),
        "g": ops_cases.f32(3, seed=3),
        "labels": ops_cases.i32(values=[1, 0]),
        "flags": ops_cases.boolean(2, 3),
    }
    found = {name: value.tensor(ops) for name, value in made.items()}
    layer = KERAS.layers.Dense(2)
    layer.build((None, 3))
    return {**found, "w": layer.weights[0], "K": KERAS.backend, "keras": KERAS, "ops": ops, "random": random}


@pytest.mark.parametrize(("old", "new"), ROWS)
@pytest.mark.filterwarnings("ignore:(?s).*random_binomial. is deprecated:UserWarning")  # Keras 2
def test_what_replaces_a_function_of_the_backend_does_the_same(old, new):
    names = values()
    found = eval(new, names)
    assert found is not None
    if hasattr(KERAS, "ops"):
        return
    before = eval(old, names)
    if not hasattr(before, "shape"):
        assert found == before or str(found) == str(before)
        return
    before, found = np.asarray(before), np.asarray(found)
    assert found.shape == before.shape
    np.testing.assert_allclose(found.astype("float64"), before.astype("float64"), rtol=1e-4, atol=1e-5)


def test_each_function_that_keras_3_dropped_has_a_row():
    rows = {name for line in PAGE.splitlines() if line.startswith("| `K.") for name in re.findall(r"`K\.(\w+)", line)}
    kept = re.search(r"kept 10.*?\)\.", PAGE, re.DOTALL)[0]
    if hasattr(KERAS, "ops"):
        assert not {name for name in rows if name in dir(KERAS.backend)}, "not dropped"
        return
    there = {name for name in dir(KERAS.backend) if not name.startswith("_")}
    unsaid = {name for name in there - rows if f"`{name}`" not in kept}
    assert {name for name in unsaid if not name.startswith("set_")} == set()
    assert unsaid <= {"set_epsilon", "set_floatx", "set_image_data_format"}
