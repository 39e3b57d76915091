"""One run of a model is recorded call by call, and leaves nothing behind."""

import numpy as np
import pytest
from environment import KERAS

from keras_buildfix.inspection.recording import record_calls, tensors_in

layers = KERAS.layers
X = np.ones((2, 4), "float32")


class Block(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(4)
        self.steps = [layers.Dense(4), layers.Dense(4)]

    def call(self, x, training=None):
        x = self.dense(x)
        for step in self.steps:
            x = step(x)
        return self.dense(x)


class Net(KERAS.Model):
    def __init__(self):
        super().__init__(name="net")
        self.block = Block(name="block")
        self.head = layers.Dense(3, name="head")

    def call(self, x, training=None):
        return self.head(self.block(x))


def a_net():
    net = Net()
    net(X)
    return net


def test_each_call_is_recorded_in_order_with_its_name_place_and_line():
    ended = []
    calls = record_calls(a_net(), (X,), {}, on_end=ended.append, wanted_by="test")
    assert [(call.name, call.depth, call.parent) for call in calls] == [
        ("net", 0, None),
        ("block", 1, 0),
        ("block/dense", 2, 1),
        ("block/dense_1", 2, 1),
        ("block/dense_2", 2, 1),
        ("block/dense", 2, 1),
        ("head", 1, 0),
    ]
    assert [call.number for call in calls] == list(range(7))
    lines = [call.source for call in calls]
    assert all(line.startswith("test_recording.py:") for line in lines)
    assert lines[3] == lines[4] != lines[2] != lines[5]
    assert ended[-1] is calls[0]
    assert all(call.outputs is None for call in calls)


def test_outputs_are_kept_if_wanted_and_seen_at_the_end_of_each_call():
    shapes = []
    calls = record_calls(
        a_net(),
        (X,),
        {},
        on_end=lambda call: shapes.append(tuple(tensors_in(call.outputs)[0].shape)),
        keep_outputs=True,
        wanted_by="test",
    )
    assert shapes == [(2, 4)] * 5 + [(2, 3)] * 2
    assert tuple(calls[0].outputs.shape) == (2, 3)


def test_a_graph_of_layers_has_no_line_of_the_user():
    inputs = KERAS.Input((4,))
    model = KERAS.Model(inputs, layers.Dense(2, name="b")(layers.Dense(3, name="a")(inputs)))
    calls = record_calls(model, (X,), {}, wanted_by="test")
    assert [call.name for call in calls[-2:]] == ["a", "b"]
    assert [call.source for call in calls[-2:]] == [None, None]
    assert calls[0].source.startswith("test_recording.py:") or calls[0].source is None


def test_an_error_is_noted_and_the_class_is_as_it_was():
    class Breaks(layers.Layer):
        def call(self, x):
            if self.built and x.shape[0] == 2:
                raise ZeroDivisionError("mine")
            return x

    layer, plain, seen = Breaks(), layers.Layer.__call__, []
    layer(X[:1])
    with pytest.raises(ZeroDivisionError):
        record_calls(layer, (X,), {}, on_end=seen.append, wanted_by="test")
    assert isinstance(seen[0].error, ZeroDivisionError)
    assert layers.Layer.__call__ is plain


def counts_in(thing, depth=0):
    """How many things are in the attributes of an object, by their path."""
    found = {}
    for name, value in vars(thing).items():
        if isinstance(value, (list, dict, set)):
            found[name] = len(value)
        elif isinstance(value, layers.Layer) and depth < 3:
            found[name] = counts_in(value, depth + 1)
        else:
            found[name] = str(value) if isinstance(value, (str, bool, int)) else id(value)
    return found


def next_names():
    return [layers.Dense(1).name, layers.Dropout(0.5).name]


def made_from(counted):
    name, _, number = counted.rpartition("_")
    return (counted, 0) if not number.isdigit() else (name, int(number))


class Lazy(layers.Layer):
    """Makes a layer in ``build`` and holds layers in a list and a dict."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.steps = [layers.Dense(4), layers.BatchNormalization()]
        self.named = {"last": layers.Dense(2)}
        self.seen = {}
        self.times = 0

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="ones")
        self.inner = layers.Dense(4, name="inner")
        super().build(shape)

    def call(self, x):
        self.times += 1
        self.seen["width"] = x.shape[-1]
        x = self.inner(x * self.scale)
        for step in self.steps:
            x = step(x)
        return self.named["last"](x)


def test_a_model_that_is_not_built_is_not_built_afterwards():
    net = KERAS.Sequential([Lazy(), layers.Dense(1)])
    lazy = net.layers[0]
    before = counts_in(net)
    names = next_names()
    calls = record_calls(net, (X,), {}, wanted_by="test")
    assert [(call.name, call.depth) for call in calls] == [
        (net.name, 0),
        ("lazy", 1),
        ("lazy/inner", 2),
        ("lazy/dense", 2),
        ("lazy/batch_normalization", 2),
        ("lazy/dense_1", 2),
        ("dense", 1),
    ]
    assert counts_in(net) == before
    assert lazy.times == 0
    assert dict(lazy.seen) == {}
    assert not hasattr(lazy, "inner")
    assert [made_from(each)[1] - made_from(last)[1] for each, last in zip(next_names(), names)] == [1, 1]
    assert not net.built
    assert not lazy.built
    assert not lazy.steps[0].built
    assert lazy.weights == []
    net(np.ones((2, 7), "float32"))  # another width: nothing is left of the first
    assert {tuple(weight.shape) for weight in lazy.weights} == {(7,), (7, 4), (4,), (4, 4), (4, 2), (2,)}
    assert len(net.weights) == 1 + 2 + 2 + 4 + 2 + 2
