"""`build()` runs exactly once, before first use, whichever way a layer is built (issue 2, points 1 and 2)."""

import itertools
import re

import pytest
import zoo
from conftest import INFO, KERAS

from keras_buildfix.testing.building import WAYS, ways_here

#: What Keras itself can't do: layers, ways, backends, first and last release, why.
EVERY = ".*"
UPSTREAM = [
    (EVERY, "deepcopy_unbuilt", EVERY, (3, 0), (3, 2), "the copy's build is the original's; mended in 3.3"),
    (EVERY, "pickled_.*", EVERY, (3, 0), (3, 2), "trackers hold lambdas, which can't be pickled; mended in 3.3"),
    (EVERY, "deepcopy_built", "tensorflow", (3, 0), (3, 2), "trackers are copied locked; mended in 3.3"),
    (
        ".*Dropout.*|GaussianNoise|Discretization",
        "deepcopy_built",
        "jax|torch|numpy",
        (3, 0),
        (3, 2),
        "seed generators and data layers hold a module, which can't be copied; mended in 3.3",
    ),
    ("ReLU", "pickled_model", EVERY, (2, 12), (2, 12), "its config holds numpy scalars, which pickle reads as dicts"),
    (
        "Discretization",
        "keras_file.*|weights_file|deepcopy_built|pickled_.*",
        EVERY,
        (3, 0),
        (9, 9),
        "Discretization.load_own_variables reads no weights, whatever the file holds",
    ),
]


def upstream(name, way):
    """Why Keras itself can't build this layer this way; empty if it can."""
    return [
        f"Keras {first} to {last}: {reason}"
        for names, ways, backends, first, last, reason in UPSTREAM
        if re.fullmatch(names, name) and re.fullmatch(ways, way)
        if re.fullmatch(backends, INFO.backend) and zoo.in_range(first, last)
    ]


def cases():
    found = []
    for name, entry, way in itertools.product(zoo.affected_anywhere(), zoo.ENTRIES, ways_here(INFO)):
        marks = [pytest.mark.xfail(reason=reason) for reason in upstream(name, way)]
        found.append(pytest.param(name, entry, way, marks=marks))
    return found


@pytest.mark.parametrize(("name", "entry", "way"), cases())
def test_build_runs_once_and_its_weights_stay(name, entry, way, case):
    with zoo.active(entry):
        built = WAYS[way](case(lambda: zoo.make(name, entry), zoo.ARGUMENTS[name][1]))
    assert built
    assert [(layer.builds, len(layer.trainable_weights), layer.built) for layer in built] == [(1, 1, True)] * len(built)


@KERAS.utils.register_keras_serializable("ways")
class OfTheBaseClass(zoo.ScaledMixin, KERAS.layers.Layer):
    """Sound on every Keras: what it can't do, Keras can't."""

    def call(self, x):
        return x * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize("way", ways_here(INFO))
def test_plain_keras_goes_the_same_ways(way, case):
    plain = case(OfTheBaseClass, (4,))
    if upstream("OfTheBaseClass", way):
        with pytest.raises(Exception, match=r"."):
            WAYS[way](plain)
    else:
        assert all(layer.builds == 1 for layer in WAYS[way](plain))
