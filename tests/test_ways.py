"""`build()` runs exactly once, before first use, whichever way a layer is built (issue 2, points 1 and 2)."""

import itertools
import re

import pytest
import zoo
from conftest import INFO

from keras_buildfix.testing.building import WAYS, ways_here

#: What Keras itself can't do: layers, ways, first and last release, why. Plain Keras fails just so.
EVERY = ".*"
UPSTREAM = [
    (EVERY, "deepcopy_.*|pickled_.*", (3, 0), (3, 2), "a layer's trackers can't be copied; mended in 3.3"),
    ("ReLU", "pickled_model", (2, 12), (2, 12), "its config holds numpy scalars, which pickle reads as dicts"),
    (
        "Discretization",
        "keras_file.*|weights_file|deepcopy_built|pickled_.*",
        (3, 0),
        (9, 9),
        "Discretization.load_own_variables reads no weights, whatever the file holds",
    ),
]


def cases():
    found = []
    for name, entry, way in itertools.product(zoo.affected_anywhere(), zoo.ENTRIES, ways_here(INFO)):
        marks = [
            pytest.mark.xfail(reason=f"Keras {first} to {last}: {reason}")
            for names, ways, first, last, reason in UPSTREAM
            if re.fullmatch(names, name) and re.fullmatch(ways, way) and zoo.in_range(first, last)
        ]
        found.append(pytest.param(name, entry, way, marks=marks))
    return found


@pytest.mark.parametrize(("name", "entry", "way"), cases())
def test_build_runs_once_and_its_weights_stay(name, entry, way, case):
    with zoo.active(entry):
        built = WAYS[way](case(lambda: zoo.make(name, entry), zoo.ARGUMENTS[name][1]))
    assert built
    assert [(layer.builds, len(layer.trainable_weights), layer.built) for layer in built] == [(1, 1, True)] * len(built)


def test_every_way_is_gone_on_some_environment(info):
    assert set(ways_here(info)) <= set(WAYS)
    assert len(ways_here(info)) >= 15
