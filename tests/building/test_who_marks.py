"""Whose ``self.built = True`` it is: a built-in's, which is ignored, or a user's, which counts."""

import sys

import numpy as np
import pytest
import zoo
from environment import KERAS
from test_build import Counting

from keras_buildfix import deferred_build, skipped_builds
from keras_buildfix._keras import function_code, marking

layers = KERAS.layers
x4 = np.ones((2, 4), "float32")


def init(self):
    KERAS.layers.Layer.__init__(self)
    self.alpha = 0.5
    self._prepare()
    self.built = True


def prepare(self):
    """Users override it."""


#: Marks itself on each Keras, and runs a method that a subclass may override.
Marking = zoo.made_by_keras("Marking", (layers.Layer,), {"__init__": init, "_prepare": prepare})


class Own(Counting, Marking):
    """Its `build` never runs without us."""

    def call(self, x):
        return x * self.scale


def fixed(base=Own, **methods):
    return deferred_build(type("Fixed", (base,), methods))


def builds_once(cls):
    layer = cls()
    marked = layer.built
    layer(x4)
    layer(x4)
    return (marked, layer.builds, layer.built) == (False, 1, True)


def test_the_mark_of_a_built_in_is_ignored_and_its_layer_is_built_once():
    assert Own().built
    assert builds_once(fixed())


def marks(self, *_):
    self.built = True


def marks_on_alpha(self, name, value):
    super(Own, self).__setattr__(name, value)
    if name == "alpha":
        self.built = True


def marks_on_alpha_going_round_it(self, name, value):
    super(Own, self).__setattr__(name, value)
    if name == "alpha":
        super(Own, self).__setattr__("built", True)


@pytest.mark.parametrize(
    "hook",
    [
        {"_prepare": marks},
        {"_prepare": lambda self: setattr(self, "built", True)},
        {"_prepare": lambda self: self.build((None, 4))},
        {"alpha": property(lambda self: 1, marks)},
        {"__setattr__": marks_on_alpha},
        {"__setattr__": marks_on_alpha_going_round_it},
    ],
    ids=["method", "setattr", "builds", "property", "__setattr__", "round __setattr__"],
)
def test_a_users_hook_that_marks_while_the_constructor_of_a_built_in_runs_counts(hook):
    """Also if the built-in marks the layer after it: that mark alone is ignored."""
    assert fixed(**hook)().built


def test_a_users_constructor_behind_that_of_a_built_in_counts():
    class Behind(layers.Layer):
        def __init__(self):
            super().__init__()
            self.built = True

    init = {"__init__": lambda self: self._behind.__init__(self)}
    front = zoo.made_by_keras("Front", (Marking,), init)
    assert fixed(type("Both", (Counting, front, Behind), {"_behind": Behind}))().built


def test_a_constructor_of_keras_that_somebody_replaced_still_marks_for_keras(monkeypatch):
    original = Marking.__init__
    cls = fixed()
    monkeypatch.setattr(Marking, "__init__", lambda self: original(self))
    assert builds_once(cls)


def test_a_layer_made_while_another_is_constructed_is_judged_by_its_own_constructor():
    def make_inner(self):
        self.inner, self.marked = fixed()(), fixed()()
        self.marked.built = True

    outer = fixed(_prepare=make_inner)()
    assert (outer.built, outer.inner.built, outer.marked.built) == (False, False, True)


# --- Under coverage, a debugger or a profiler --------------------------------------------------


def trace(frame, event, arg):
    """Reads what a debugger reads, at each line and each bytecode."""
    frame.f_trace_opcodes = True
    _ = {**frame.f_locals}
    return trace


@pytest.mark.parametrize("tool", ["settrace", "setprofile"])
def test_it_is_the_same_while_python_is_traced(tool):
    class Afterwards(Own):
        def __init__(self):
            super().__init__()
            self.built = True

    classes = fixed(), fixed(_prepare=marks), fixed(Afterwards)
    before = getattr(sys, tool.replace("set", "get"))()
    getattr(sys, tool)(trace)
    try:
        found = [cls().built for cls in classes]
    finally:
        getattr(sys, tool)(before)
    assert found == [False, True, True]


# --- Where the bytecode can't be read ----------------------------------------------------------


@pytest.fixture
def unreadable(monkeypatch):
    """Another Python, whose bytecode means nothing to us."""
    caches = (function_code.can_read_code, marking.marking_code)
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(function_code, "_steps", lambda code: [])
    yield
    for cache in caches:
        cache.cache_clear()


def test_a_build_runs_once_where_bytecode_can_not_be_read(unreadable):
    assert not function_code.can_read_code()
    assert builds_once(fixed())
    sound = fixed(type("Sound", (Counting, layers.Dense), {"call": lambda self, x: x * self.scale}))
    layer = sound(4)
    layer(x4)
    layer(x4)
    assert (layer.builds, layer.built) == (1, True)


def test_a_report_says_that_bytecode_can_not_be_read(unreadable):
    with pytest.raises(RuntimeError, match=r"can't read that of Python .*\. Ask for it under another Python"):
        skipped_builds(type("Bare", (Counting, layers.Dense), {"__init__": lambda self: None}))
