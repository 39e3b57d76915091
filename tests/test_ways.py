"""`build()` runs exactly once, before first use, whichever way a layer is built (issue 2, points 1 and 2)."""

import pytest
import zoo
from conftest import INFO

from keras_buildfix.testing.building import WAYS, ways_here

#: Ways that Keras itself can't go: the first and last release, why. Plain Keras fails them just so.
UPSTREAM = {
    "deepcopy_built": ((3, 0), (3, 2), "a copied layer shares locked trackers; repaired in 3.3"),
    "deepcopy_unbuilt": ((3, 0), (3, 2), "the copy's build is bound to the original; repaired in 3.3"),
    "pickled_layer": ((3, 0), (3, 2), "trackers hold lambdas, which can't be pickled; repaired in 3.3"),
    "pickled_model": ((3, 0), (3, 2), "trackers hold lambdas, which can't be pickled; repaired in 3.3"),
}


def ways():
    for name in ways_here(INFO):
        first, last, reason = UPSTREAM.get(name, ((9, 9), (9, 9), ""))
        marks = [pytest.mark.xfail(reason=f"Keras {first}-{last}: {reason}")] if zoo.in_range(first, last) else []
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("way", ways())
@pytest.mark.parametrize("entry", zoo.ENTRIES)
@pytest.mark.parametrize("name", zoo.affected_anywhere())
def test_build_runs_once_and_its_weights_stay(name, entry, way, case):
    with zoo.active(entry):
        built = WAYS[way](case(lambda: zoo.make(name, entry), zoo.ARGUMENTS[name][1]))
    assert built
    assert [(layer.builds, len(layer.trainable_weights), layer.built) for layer in built] == [(1, 1, True)] * len(built)


def test_every_way_is_gone_on_some_environment(info):
    assert set(ways_here(info)) <= set(WAYS)
    assert len(ways_here(info)) >= 15
