"""One run of a model is recorded call by call, and leaves nothing behind."""

import numpy as np
import pytest
from conftest import KERAS

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
            raise ZeroDivisionError("mine")

    layer, plain, seen = Breaks(), layers.Layer.__call__, []
    with pytest.raises(ZeroDivisionError):
        record_calls(layer, (X,), {}, on_end=seen.append, wanted_by="test")
    assert isinstance(seen[0].error, ZeroDivisionError)
    assert layers.Layer.__call__ is plain
