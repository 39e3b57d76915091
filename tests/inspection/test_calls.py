"""The trace of a model's calls: who is called from where with which shapes, at no cost for the model."""

import random

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import named_weights, trace_calls
from keras_buildfix.inspection import recording

layers = KERAS.layers
K2 = INFO.generation == 2
TRAINS = INFO.backend != "numpy"
X = np.ones((2, 4), "float32")
#: Keras 3 says so of each model that does not call all its layers the first time.
pytestmark = pytest.mark.filterwarnings("ignore:.build... was called on layer 'net':UserWarning")


class Net(KERAS.Model):
    """Two steps from a list, a shared layer, a branch by keyword."""

    def __init__(self, **kwargs):
        super().__init__(name="net", **kwargs)
        self.steps = [layers.Dense(4, name="one"), layers.BatchNormalization(name="two")]
        self.drop = layers.Dropout(0.5, name="drop")
        self.head = layers.Dense(3, name="head")
        self.other = layers.Activation("relu", name="other")

    def call(self, x, wide=False, training=None):
        for step in self.steps:
            x = step(x, training=training) if step.name == "two" else step(x)
        x = self.drop(self.steps[0](x), training=training)
        return self.other(x) if wide else self.head(x)


def values(model):
    return {
        name: np.array(weight.numpy() if K2 else KERAS.ops.convert_to_numpy(weight))
        for name, weight in named_weights(model).items()
    }


def names(trace):
    return [call.layer for call in trace.calls]


def test_each_row_says_who_is_called_from_where_with_what():
    trace = trace_calls(Net(), X)
    assert names(trace) == ["net", "one", "two", "one", "drop", "head"]
    assert [call.parent for call in trace.calls] == [None, 0, 0, 0, 0, 0]
    assert [call.shared for call in trace.calls] == [1, 2, 1, 2, 1, 1]
    assert [call.cls for call in trace.calls[1:4]] == ["Dense", "BatchNormalization", "Dense"]
    assert [call.parameters for call in trace.calls] == [20 + 16 + 15, 20, 16, 20, 0, 15]
    assert trace.calls[0].inputs == (((2, 4), "float32"),)
    assert trace.calls[0].outputs == (((2, 3), "float32"),)
    assert {call.policy for call in trace.calls} == {"float32"}
    assert [call.built_by for call in trace.calls] == ["its layers", "build", "build", "build", "not needed", "build"]
    assert all(call.source.startswith("test_calls.py:") for call in trace.calls)
    assert trace.not_called == ("other",)


def test_keywords_lead_to_the_branch_that_they_name():
    net = Net()
    net(X)
    trace = trace_calls(net, X, wide=True)
    assert names(trace)[-1] == "other"
    assert trace.not_called == ("head",)


def test_it_prints_as_a_table_and_is_data():
    trace = trace_calls(Net(), X)
    text = str(trace)
    assert "head" in text
    assert "called 2 times: one" in text
    assert "never called: other" in text
    assert trace.to_dict()["calls"][1]["outputs"] == [[[2, 4], "float32"]]
    assert len(trace.of("one")) == 2


def test_functional_and_nested_models_need_no_inputs():
    inner_in = KERAS.Input((4,))
    inner = KERAS.Model(inner_in, layers.Dense(5, name="deep")(inner_in), name="inner")
    first, second = KERAS.Input((4,)), KERAS.Input((3,))
    joined = layers.Concatenate(name="join")([inner(first), layers.Dense(2, name="side")(second)])
    trace = trace_calls(KERAS.Model([first, second], joined, name="outer"))
    assert {"outer", "inner", "inner/deep", "side", "join"} <= set(names(trace))
    assert trace.of("join")[0].inputs == (((2, 5), "float32"), ((2, 2), "float32"))
    assert trace.of("inner/deep")[0].source is None


def test_weights_made_in_the_constructor_are_told_from_those_of_a_build():
    class Early(layers.Layer):
        def __init__(self):
            super().__init__(name="early")
            self.scale = self.add_weight(name="scale", shape=(4,), initializer="ones")

        def call(self, x):
            return x * self.scale

    (row,) = trace_calls(Early(), X).calls
    assert row.built_by == "__init__"


def state_of(model):
    return (
        random.getstate(),
        str(np.random.get_state()),
        sorted(vars(model)),
        {name: value.tobytes() for name, value in values(model).items()},
        [layer.built for layer in (model, *model.layers)],
    )


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("raises", [False, True])
def test_nothing_of_the_model_changes(built, raises):
    class Nasty(Net):
        def call(self, x, training=None):
            random.random()
            np.random.random()
            self.count = getattr(self, "count", 0) + 1
            x = super().call(x, training=training)
            for weight in self.head.weights:
                weight.assign(weight * 0 + 7)
            if raises and x.shape[0] == 2:
                raise ZeroDivisionError("mine")
            return x

    model = Nasty()
    if built:
        model(X[:1])
    before = state_of(model)
    if raises:
        with pytest.raises(ZeroDivisionError):
            trace_calls(model, X)
    else:
        trace_calls(model, X)
    assert state_of(model) == before


def seeded(seed):
    if K2:  # Keras 2.12's own function makes it warn from then on, on Python 3.11
        import tensorflow as tf

        tf.random.set_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
    else:
        KERAS.utils.set_random_seed(seed)


def test_random_numbers_come_as_without_the_trace():
    def draws(traced):
        seeded(3)
        model = Net()
        if traced:
            trace_calls(model, X, training=True)
        model(X)
        out = model(X, training=True)
        return [*values(model).values(), np.array(out.numpy() if K2 else KERAS.ops.convert_to_numpy(out))]

    for plain, traced in zip(draws(False), draws(True)):
        np.testing.assert_array_equal(plain, traced)


@pytest.mark.skipif(not TRAINS, reason="the numpy backend can't train")
def test_a_compiled_step_is_not_traced_again():
    traces = []

    class Counts(layers.Layer):
        def call(self, x):
            traces.append(1)
            return x

    model = KERAS.Sequential([KERAS.Input((4,)), Counts(), layers.Dense(1)])
    model.compile("sgd", "mse", **({} if INFO.backend != "torch" else {"jit_compile": False}))
    y = np.ones((2, 1), "float32")
    model.fit(X, y, batch_size=2, verbose=0)
    step = model.train_function
    trace_calls(model, X)
    assert model.train_function is step
    traces.clear()
    model.fit(X, y, batch_size=2, verbose=0)
    assert len(traces) == (1 if INFO.backend == "torch" else 0)


@pytest.mark.skipif(INFO.backend != "tensorflow", reason="tf.function")
def test_a_call_under_tf_function_is_seen_inside():
    import tensorflow as tf

    class Graph(KERAS.Model):
        def __init__(self):
            super().__init__(name="graph")
            self.dense = layers.Dense(2, name="dense")

        @tf.function
        def call(self, x):
            return self.dense(x)

    model = Graph()
    model(X)
    assert names(trace_calls(model, X)) == ["graph", "dense"]
    assert trace_calls(model, X).calls[1].source.startswith("test_calls.py:")
    assert not tf.config.functions_run_eagerly()


@pytest.mark.skipif(INFO.backend != "jax", reason="jax.jit")
def test_a_call_under_jit_is_seen_inside():
    import jax

    class Jitted(KERAS.Model):
        def __init__(self):
            super().__init__(name="jitted")
            self.dense = layers.Dense(2, name="dense")
            self.run = jax.jit(lambda x: self.dense(x))

        def call(self, x):
            return self.run(x)

    model = Jitted()
    model.dense.build((None, 4))
    model(X)
    model(X)
    assert names(trace_calls(model, X)) == ["jitted", "dense"]


def test_a_trace_takes_steps_in_proportion_to_the_layers(monkeypatch):
    looked = []
    plain = recording.weight_tree
    monkeypatch.setattr(recording, "weight_tree", lambda *args: looked.append(1) or plain(*args))

    class Chain(KERAS.Model):
        def __init__(self, count):
            super().__init__()
            self.steps = [layers.Activation("linear") for _ in range(count)]

        def call(self, x):
            for step in self.steps:
                x = step(x)
            return x

    assert len(trace_calls(Chain(300), X).calls) == 301
    assert len(looked) <= 4


def test_wrong_arguments_are_one_clear_error():
    with pytest.raises(ValueError, match=r"trace_calls needs inputs: the layer 'net' \(Net\) is not built"):
        trace_calls(Net())
    net = Net()
    net(X)
    net(X, wide=True)
    with pytest.raises(ValueError, match="does not say which inputs it takes"):
        trace_calls(net)
    with pytest.raises(TypeError, match="trace_calls expects a Keras layer"):
        trace_calls("net.keras")


@pytest.mark.skipif(K2, reason="Keras 2 has no generator for draws without a seed")
def test_keras_draws_the_number_that_it_would_have_drawn():
    class Noisy(layers.Layer):
        def call(self, x):
            return x + KERAS.random.normal((4,))

    noisy = Noisy()

    def draws(traced):
        KERAS.utils.clear_session()  # it forgets the generator, as `set_random_seed` does from 3.9 on
        KERAS.utils.set_random_seed(5)
        KERAS.random.normal((1,))  # Keras makes its generator here
        if traced:
            trace_calls(noisy, X)
        return float(KERAS.ops.convert_to_numpy(KERAS.random.normal((1,)))[0])

    assert draws(True) == draws(False)
