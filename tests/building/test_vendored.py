"""The one file that `keras-buildfix vendor` writes does what the package does, alone and beside others."""

import functools
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import zoo
from environment import INFO, KERAS
from test_build import BASES, Counting

import keras_buildfix
from keras_buildfix.building.deferred import is_fixed
from keras_buildfix.cli.vendor import vendored
from keras_buildfix.testing.ways import WAYS

layers = KERAS.layers
x4 = np.ones((2, 4), "float32")
HERE = Path(__file__).parent


def load(name, text, at):
    """A module of this name with this text."""
    file = Path(at, f"{name}.py")
    file.write_text(text, "utf-8")
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Two copies."""
    at = tmp_path_factory.mktemp("copies")
    return [load(name, vendored(), at) for name in ("first_copy", "second_copy")]


def of_the_copy(name, file, at):
    """One of our test modules, with the copy's decorator and mixin."""
    text = Path(file).read_text("utf-8")
    names = "DeferredBuildMixin, deferred_build"
    assert f"import {names}, installed" in text
    theirs = text.replace(f"import {names}, installed", f"import installed\nfrom first_copy import {names}")
    return load(
        name, theirs.replace('register_keras_serializable("zoo")', 'register_keras_serializable("their_zoo")'), at
    )


#: Tests of `test_build` that ask for what only the package does: it leaves sound classes as they are, has
#: `install()`, and says more about wrong input.
OF_THE_PACKAGE = ("only_affected", "passes_its_build_on", "mixin_says", "decorator_says", "of_keras_itself", "install")
WAYS_HERE = ("eager_call", "symbolic_call", "explicit_build", "sequential_of_list", "functional", "from_config")


def test_it_passes_the_tests_of_the_package(copies, tmp_path):
    """Those of `test_build`, with every built-in, by decorator and by mixin."""
    theirs = of_the_copy("their_test_build", HERE / "test_build.py", tmp_path)
    deselected = " and ".join(f"not {word}" for word in OF_THE_PACKAGE)
    assert pytest.main(["-q", "-p", "no:cacheprovider", "-k", deselected, theirs.__file__]) == 0


def test_a_layer_of_each_kind_goes_every_short_way(copies, tmp_path, case):
    their_zoo = of_the_copy("their_zoo", zoo.__file__, tmp_path)
    for name in (each for each in zoo.OF_EACH_KIND if hasattr(layers, each)):
        for entry in ("decorator", "mixin"):
            for way in WAYS_HERE:
                built = WAYS[way](case(functools.partial(their_zoo.make, name, entry), zoo.ARGUMENTS[name][1]))
                assert [(layer.builds, layer.built) for layer in built] == [(1, True)] * len(built), (name, entry, way)


@pytest.mark.parametrize("base", BASES, ids=lambda base: base[0])
def test_copies_and_the_package_on_one_class_do_not_disturb_each_other(base, copies):
    cls, arguments = getattr(layers, base[0]), base[1]
    every = [keras_buildfix, *copies]
    for first in every:
        for second in every:
            decorated = second.deferred_build(first.deferred_build(type("Decorated", (Counting, cls), {})))
            mixed = second.deferred_build(type("Mixed", (first.DeferredBuildMixin, Counting, cls), {}))
            below = type("Below", (second.DeferredBuildMixin, decorated), {})
            for each in (decorated, mixed, below):
                layer = each(*arguments)
                layer(x4)
                layer(x4)
                assert (layer.builds, len(layer.weights), layer.built) == (1, 1, True)


@pytest.mark.parametrize("base", BASES, ids=lambda base: base[0])
def test_a_copy_works_while_the_package_is_installed(base, copies):
    cls, arguments = getattr(layers, base[0]), base[1]

    class Early(cls):
        def __init__(self, *args):
            super().__init__(*args)
            self.own = self.add_weight(name="own", shape=(), initializer="ones")

        def call(self, x):
            return x * self.own

    with keras_buildfix.installed():
        layer = copies[0].deferred_build(type("Decorated", (Counting, cls), {}))(*arguments)
        early = copies[0].deferred_build(Early)(*arguments)
    layer(x4)
    early(x4)
    assert (layer.builds, len(layer.weights), len(early.weights), early.built) == (1, 1, 1, True)


def test_the_package_knows_a_class_that_a_copy_fixed(copies):
    assert is_fixed(copies[0].deferred_build(type("Own", (Counting, layers.Softmax), {})))


def test_it_says_which_keras_an_object_belongs_to_and_marks_layers(copies):
    copy = copies[0]
    for thing in (layers.Dense(2), layers.Dense, type("Own", (layers.Dense,), {})):
        package, version, generation = copy.keras_of(thing)
        assert (package, generation) == (INFO.package, INFO.generation)
        assert version.partition(".")[0] == INFO.version.partition(".")[0]
    layer = layers.Layer()
    copy.mark_built(layer)
    assert layer.built


def test_it_says_what_it_expected_and_what_came(copies):
    copy = copies[0]
    for wrong in (3, None, layers.Dense(2), int, layers.Dense):
        with pytest.raises(TypeError, match="deferred_build expects a class of yours"):
            copy.deferred_build(wrong)
    with pytest.raises(TypeError, match="mark_built expects a Keras layer"):
        copy.mark_built(layers.Dense)
    with pytest.raises(TypeError, match="keras_of expects"):
        copy.keras_of(3)
    with pytest.raises(TypeError, match="list DeferredBuildMixin before the Keras class Softmax in Wrong"):
        type("Wrong", (layers.Softmax, copy.DeferredBuildMixin), {})
