"""The first array that is not finite is found, whatever runs the model, and the model stays as it was."""

import dataclasses
import math

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import check_finite, named_weights

#: Keras 3 says so of each model with layers in attributes that is called before it is built.
pytestmark = pytest.mark.filterwarnings(r"ignore:`build\(\)` was called on layer:UserWarning")
layers = KERAS.layers
K2 = INFO.generation == 2
X = np.arange(8, dtype="float32").reshape(2, 4)


def log_of(x):
    if K2:
        import tensorflow as tf

        return tf.math.log(x)
    return KERAS.ops.log(x)


class Log(layers.Layer):
    def call(self, x):
        return log_of(x)


class Two(KERAS.Model):
    """Two layers and a logarithm between them, called line by line."""

    def __init__(self):
        super().__init__()
        self.one = layers.Dense(3, name="one")
        self.log = Log(name="log")
        self.two = layers.Dense(2, name="two")

    def call(self, x):
        x = self.one(x)
        x = self.log(x)
        return {"main": self.two(x), "all": x}


def built():
    model = Two()
    model(X)
    for name, weight in named_weights(model).items():
        weight.assign(np.ones(tuple(weight.shape), "float32") if "kernel" in name else np.zeros(tuple(weight.shape)))
    return model


def kinds(report):
    return [(each.kind, each.layer, each.name) for each in report.findings]


def test_outputs_in_a_dataclass_are_looked_at():
    @dataclasses.dataclass
    class Pair:
        good: object
        bad: object

    class Net(KERAS.Model):
        def call(self, x):
            return Pair(x, x / (x - x))

    report = check_finite(Net(name="net"), np.ones((2, 3), "float32"))
    assert (report.first.kind, report.first.name, report.first.inf) == ("output", ".bad", 6)


def test_a_finite_model_is_ok_and_counts_what_was_looked_at():
    report = check_finite(built(), X)
    assert report.ok
    assert report.first is None
    assert report.checked == 1 + 4 + 3 + 2  # inputs, weights, outputs of layers and of the model
    assert "all finite" in str(report)


def test_the_first_layer_is_named_with_counts_and_place_and_line():
    model = built()
    named_weights(model)["one/bias"].assign(np.array([0.0, -100.0, -6.0], "float32"))
    report = check_finite(model, X)
    first = report.first
    assert (first.kind, first.layer, first.cls, first.name) == ("output", "log", "Log", "")
    assert (first.nan, first.inf, first.size, first.shape) == (2, 1, 6, (2, 3))
    assert first.first_index == (0, 1)
    assert first.source.startswith("test_finite.py:")
    assert kinds(report) == [
        ("output", "log", ""),
        ("output", "two", ""),
        ("output", str(model.name), "['main']"),
        ("output", str(model.name), "['all']"),
    ]
    assert "log" in str(report)
    assert report.to_dict()["findings"][0]["nan"] == 2


def test_a_weight_comes_in_the_order_of_the_calls_before_what_it_spoils():
    model = built()
    named_weights(model)["two/bias"].assign(np.array([math.nan, math.inf], "float32"))
    found = check_finite(model, X).findings
    assert [(each.kind, each.name) for each in found][:2] == [("weight", "two/bias"), ("output", "")]
    assert (found[0].nan, found[0].inf, found[0].first_index) == (1, 1, (0,))


def test_inputs_come_first():
    spoiled = X.copy()
    spoiled[1, 2] = math.nan
    report = check_finite(built(), spoiled)
    assert kinds(report)[0] == ("input", report.model, "[0]")
    assert report.first.first_index == (1, 2)
    assert report.first.source is None


def test_models_of_several_inputs_in_a_dict_and_models_in_models_are_searched():
    inner = KERAS.Sequential(
        [KERAS.Input((2,)), layers.Dense(2, name="d", use_bias=False), Log(name="log")], name="inner"
    )
    named_weights(inner)["d/kernel"].assign(np.eye(2, dtype="float32"))
    a, b = KERAS.Input((2,), name="a"), KERAS.Input((2,), name="b")
    model = KERAS.Model({"a": a, "b": b}, [inner(a), inner(b)])
    good, bad = np.ones((1, 2), "float32"), np.zeros((1, 2), "float32")
    assert check_finite(model, {"a": good, "b": good}).ok
    report = check_finite(model, {"a": good, "b": bad})
    assert (report.first.layer, report.first.inf) == ("inner/log", 2)
    assert [each.layer for each in report.findings] == ["inner/log", "inner", str(model.name)]
    assert check_finite(model, {"a": good, "b": bad * math.nan}).first.name == "[0]['b']"


def test_the_model_and_its_random_numbers_are_as_before():
    model = KERAS.Sequential([KERAS.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(1)])
    before = [np.array(value) for value in model.get_weights()]
    state = np.random.get_state()[1].copy()
    assert check_finite(model, X, training=True).ok
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights()))
    assert np.array_equal(state, np.random.get_state()[1])


def test_whole_numbers_are_not_looked_at():
    model = KERAS.Sequential([KERAS.Input((3,), dtype="int32"), layers.Embedding(5, 2)])
    assert check_finite(model, np.array([[0, 1, 4]], "int32")).ok


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_an_overflow_in_half_precision_is_found(policy):
    model = KERAS.Sequential([KERAS.Input((1,)), layers.Dense(1, dtype=policy, name="a", use_bias=False)])
    named_weights(model)["a/kernel"].assign(np.full((1, 1), 300.0, "float32"))
    report = check_finite(model, np.full((1, 1), 300.0, "float32"))
    assert report.ok == (policy == "mixed_bfloat16")
    if not report.ok:
        assert (report.first.layer, report.first.inf, report.first.dtype) == ("a", 1, "float16")


@pytest.mark.skipif(INFO.backend != "tensorflow", reason="tf.function")
def test_a_model_under_tf_function_is_searched_line_by_line_and_its_traces_stay():
    import tensorflow as tf

    traces = []

    class Compiled(Two):
        @tf.function
        def call(self, x):
            traces.append(None)
            x = self.one(x)
            return self.two(self.log(x))

    model = Compiled()
    x = tf.constant(X)
    model(x)
    named_weights(model)["one/bias"].assign(np.full(3, -1e6, "float32"))
    count = len(traces)
    assert check_finite(model, x).first.layer == "log"
    model(x)
    assert len(traces) == count + 1  # the one line by line


@pytest.mark.skipif(INFO.backend != "jax", reason="jax.jit")
def test_a_layer_under_jit_is_searched_line_by_line():
    import jax

    class Compiled(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.log = Log(name="log")

        def call(self, x):
            return jax.jit(lambda x: self.log(x) + 1)(x)

    assert check_finite(Compiled(), -X - 1).first.layer == "log"


class Raises(layers.Layer):
    broken = False

    def call(self, x):
        if self.broken:
            raise KeyError("mine")
        return x


class ThenRaises(KERAS.Model):
    def __init__(self):
        super().__init__()
        self.log = Log(name="log")
        self.raises = Raises(name="raises")

    def call(self, x):
        return self.raises(self.log(x))


def test_a_layer_that_raises_is_reported_with_what_came_before_it():
    model = ThenRaises()
    model(X)
    model.raises.broken = True
    with pytest.raises(RuntimeError, match="Before that, the output of the layer 'log'") as raised:
        check_finite(model, -X)
    assert "'raises'" in str(raised.value)
    assert "mine" in str(raised.value)
    assert kinds(raised.value.report)[0] == ("output", "log", "")
    assert raised.value.__cause__ is not None
    with pytest.raises(KeyError, match="mine"):
        check_finite(model, X + 1)


def test_what_is_no_layer_is_an_error():
    with pytest.raises(TypeError, match="check_finite expects a Keras layer"):
        check_finite(X, X)
