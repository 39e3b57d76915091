"""`build()` runs exactly once, before first use, whichever way a layer is built.

Each band of releases takes every layer every way by each of the three entries (decorator, mixin, install).
An environment takes half of the layers by one entry, which turns with the layer, the way and its place in
the band; in a band of few environments, and as the only one with its backend, it takes more.
"""

import collections
import functools
import re

import bands
import pytest
import zoo
from environment import ENVIRONMENT, INFO, KERAS

from keras_buildfix._keras.facts import LOCKED_STATE, SKIPPED_BUILD
from keras_buildfix._keras.marking import (
    leaves_unbuilt,
    marking_builtins,
    marking_code,
    marks_through_helper,
    marks_unconditionally,
)
from keras_buildfix.testing.ways import WAYS, ways_here

#: What takes seconds, since it compiles or writes a graph: with one layer of each kind only.
LONG = ("fitted", "exported", "tf_saved_model", "mirrored", "distributed")

#: What Keras itself can't do: layers, ways, backends, first and last release, why.
EVERY = ".*"
UPSTREAM = [
    (EVERY, "deepcopy_unbuilt", EVERY, (3, 0), (3, 2), "the copy's build is the original's; fixed in 3.3"),
    (EVERY, "pickled_.*", EVERY, (3, 0), (3, 2), "trackers hold lambdas, which can't be pickled; fixed in 3.3"),
    (EVERY, "deepcopy_built", "tensorflow", (3, 0), (3, 2), "trackers are copied locked; fixed in 3.3"),
    (
        ".*Dropout.*|GaussianNoise|Discretization",
        "deepcopy_built",
        "jax|torch|numpy",
        (3, 0),
        (3, 2),
        "seed generators and data layers hold a module, which can't be copied; fixed in 3.3",
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


@functools.cache
def turns(environment, way, number):
    return bands.turns(environment, number, lambda other: way in ways_here(bands.info_of(other)))


def entries(environment, name, way):
    """The entries that an environment takes a layer a way by."""
    if bands.FULL or environment not in bands.matrix():
        return zoo.ENTRIES
    start = list(zoo.ARGUMENTS).index(name) + list(WAYS).index(way)
    if way in LONG:  # a part of the layers, each by one entry
        mine = zoo.OF_EACH_KIND.index(name) in turns(environment, way, len(zoo.OF_EACH_KIND))
        return [zoo.ENTRIES[(start + bands.matrix().index(environment)) % len(zoo.ENTRIES)]] if mine else []
    half = list(zoo.ARGUMENTS).index(name) % 2
    mine = turns(environment, way, 2 * len(zoo.ENTRIES))
    return [zoo.ENTRIES[(start + turn) % len(zoo.ENTRIES)] for turn in mine if turn % 2 == half]


def pairs(names, info):
    """The layers, and the ways that each of them goes."""
    return [
        (name, way)
        for name in names
        for way in ways_here(info)
        if bands.FULL or way not in LONG or name in zoo.OF_EACH_KIND
    ]


def cases():
    found = []
    for name, way in pairs(zoo.affected_anywhere(), INFO):
        marks = [pytest.mark.xfail(reason=reason) for reason in upstream(name, way)]
        found += [pytest.param(name, entry, way, marks=marks) for entry in entries(ENVIRONMENT, name, way)]
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


@pytest.mark.in_turns
@pytest.mark.parametrize("way", ways_here(INFO))
def test_plain_keras_goes_the_same_ways(way, case):
    plain = case(OfTheBaseClass, (4,))
    if upstream("OfTheBaseClass", way):
        with pytest.raises(Exception, match=r"."):
            WAYS[way](plain)
    else:
        assert all(layer.builds == 1 for layer in WAYS[way](plain))


def kind(name):
    """What its constructors do to `built` here: in its own or a base's code, at once or asking first, and to what."""
    cls, layer = getattr(zoo.layers, name), zoo.make(name, "install")
    marking = marking_builtins(cls)
    return (
        [(marks_unconditionally(base), marks_through_helper(base)) for base in marking],
        marking_code(cls) is not None,
        leaves_unbuilt(cls),
        bool(layer.variables),
    )


def test_long_ways_are_gone_with_a_layer_of_each_kind_of_constructor():
    kinds = [kind(name) for name in zoo.OF_EACH_KIND if hasattr(zoo.layers, name)]
    assert [name for name in zoo.affected_anywhere() if kind(name) not in kinds] == []


@pytest.mark.at_length  # asks of the plan, which is the same on every environment
def test_each_band_takes_every_layer_every_way_by_every_entry():
    taken, able, here_and_not = set(), set(), collections.Counter()
    for environment in bands.matrix():
        band, info = bands.band_of(environment), bands.info_of(environment)
        for name, way in pairs(zoo.ARGUMENTS, info):
            here = entries(environment, name, way)
            if way in LONG:  # by one entry or more
                able.add((band, name, way))
                taken |= {(band, name, way) for _ in here}
            else:
                here_and_not[environment, way, bool(here)] += 1
                able |= {(band, name, way, entry) for entry in zoo.ENTRIES}
                taken |= {(band, name, way, entry) for entry in here}
    assert able == taken
    assert {name for _, name, *_ in taken} == set(zoo.ARGUMENTS)
    for environment, way, _ in here_and_not:  # each environment takes about half of the layers, or all
        assert here_and_not[environment, way, True] >= here_and_not[environment, way, False] - 1


def test_a_release_that_changes_what_is_built_starts_a_band():
    changes = {tuple(map(int, first.split("."))) for first, _ in (*SKIPPED_BUILD, *LOCKED_STATE)}
    assert changes == {first for first, _ in bands.BANDS}
