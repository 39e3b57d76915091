"""The callback stops ``fit`` with the finding on every Keras that trains, and otherwise changes nothing in it."""

import copy
import pickle
import re
import warnings

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import FiniteReport, GradientReport, ModelWatch

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:`build\(\)` was called on layer:UserWarning"),
    pytest.mark.in_turns,  # each fits a model, which JAX and TensorFlow compile
]
layers = KERAS.layers
TRAINS = INFO.backend != "numpy"
trains = pytest.mark.skipif(not TRAINS, reason="the numpy backend can't train")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = X[:, :1] * 2
BAD = X.copy()
BAD[17, 1] = np.nan  # in the ninth batch of 2


def compiled(model, **kwargs):
    # XLA takes longer to compile these than they take to run.
    jit = {"jit_compile": False} if INFO.backend == "tensorflow" else {}
    model.compile("sgd", "mse", **jit, **kwargs)
    return model


def two_layers():
    return KERAS.Sequential([KERAS.Input((4,)), layers.Dense(3, name="a"), layers.Dense(1)])


class OneOfTwo(KERAS.Model):
    """Calls a layer and leaves its output out."""

    def __init__(self):
        super().__init__()
        self.left = layers.Dense(2, name="left")
        self.used = layers.Dense(1, name="used")

    def build(self, input_shape):
        self.left.build(input_shape)
        self.used.build(input_shape)
        self.built = True

    def call(self, x):
        self.left(x)
        return self.used(x)


def fit(model, watch, x=X, **kwargs):
    kwargs = {"batch_size": 2, "epochs": 2, "verbose": 0, "shuffle": False, **kwargs}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(x, Y, callbacks=[watch] if watch is not None else [], **kwargs)
    return history, [str(each.message) for each in caught if "ModelWatch" in str(each.message)]


@trains
def test_a_good_fit_is_as_without_the_callback_and_nothing_is_traced_again():
    results = []
    for watch in (None, ModelWatch(every=3), ModelWatch(every=3, data=(X[:4], Y[:4]))):
        traced = []

        class Counted(layers.Layer):
            def call(self, x, traced=traced):
                traced.append(None)
                return x

        model = two_layers()
        weights = np.random.default_rng(3)
        model.add(Counted())
        model.set_weights([weights.normal(size=value.shape).astype("float32") for value in model.get_weights()])
        compiled(model)
        history, said = fit(model, watch, validation_data=(X, Y))
        assert said == []
        before = len(traced)
        fit(model, None)
        eager = INFO.backend == "torch"
        results.append((history.history["loss"], [np.array(w).tolist() for w in model.get_weights()]))
        assert eager or len(traced) == before  # fit goes on with what it has traced
        if watch is not None:
            assert (watch.report, watch.message) == (None, "")
            assert isinstance(watch, KERAS.callbacks.Callback)
    assert results[0] == results[1] == results[2]


@trains
@pytest.mark.parametrize("data", [None, (X[:4], Y[:4])])
def test_a_weight_that_is_not_finite_stops_fit_with_a_report(data):
    model, watch = compiled(two_layers()), ModelWatch(every=4, data=data)
    history, (message,) = fit(model, watch, BAD)
    assert len(history.epoch) == 1
    assert message == watch.message
    assert re.search(r"ModelWatch: after batch 12 \(epoch 1\), the weight 'a/kernel' of the layer 'a'", message)
    assert isinstance(watch.report, FiniteReport)
    first = watch.report.first
    assert (first.kind, first.name, first.nan, first.size) == ("weight", "a/kernel", 12, 12)
    assert any(each.kind == "output" for each in watch.report.findings) == (data is not None)


@trains
def test_the_batch_is_found_with_every_1_and_an_error_can_be_raised():
    model, watch = compiled(two_layers()), ModelWatch("finite", every=1, on_finding="raise")
    with pytest.raises(RuntimeError, match=r"after batch 9 .* All weights are like that") as raised:
        fit(model, watch, BAD)
    assert raised.value.report is watch.report
    assert np.isnan(model.get_weights()[0]).all()  # they are there, on JAX too


@trains
def test_a_short_fit_is_looked_at_at_the_end_of_each_epoch():
    model, watch = compiled(two_layers()), ModelWatch("finite", every=1000)
    history, _ = fit(model, watch, BAD, epochs=3)
    assert len(history.epoch) == 1
    assert "after batch 16 (epoch 1)" in watch.message


@trains
@pytest.mark.parametrize("data", [None, (X[:4], Y[:4])])
def test_a_weight_that_no_gradient_reaches_stops_fit_unless_it_is_to_be_ignored(data):
    model, watch = OneOfTwo(), ModelWatch(every=3, data=data)
    model(X)
    compiled(model)
    history, _ = fit(model, watch)
    assert len(history.epoch) == 1
    assert isinstance(watch.report, GradientReport)
    assert {each.name: each.verdict for each in watch.report.findings} == {"left/kernel": "none", "left/bias": "none"}
    assert watch.report.of == ("updates" if data is None else "gradients")
    expected = "'left/kernel' has not changed in 3 batches" if data is None else "no gradient reaches the weight"
    assert expected in watch.message
    ignoring = ModelWatch(every=3, data=data, ignore="left/*")
    history, _ = fit(model, ignoring)
    assert ignoring.report is None
    assert len(history.epoch) == 2
    model.left.trainable = False
    compiled(model)
    fit(model, watch)
    assert watch.report is None  # a frozen weight is no finding, and the callback began anew


@trains
def test_a_bias_before_a_normalization_does_not_stop_fit():
    model = KERAS.Sequential([KERAS.Input((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(1)])
    for data in (None, (X[:4], Y[:4])):
        watch = ModelWatch(every=4, data=data)
        fit(compiled(model), watch)
        assert watch.message == ""


@trains
def test_several_batches_in_a_call_are_counted():
    if INFO.backend == "torch":
        pytest.skip("Keras has no steps_per_execution on torch")
    model, watch = compiled(two_layers(), steps_per_execution=4), ModelWatch("finite", every=4)
    fit(model, watch, BAD)
    assert "after batch 12 (epoch 1)" in watch.message


def test_bad_arguments_are_errors_at_once():
    with pytest.raises(ValueError, match=r"no check 'finit'; there are .* Did you mean 'finite'"):
        ModelWatch(check="finit")
    with pytest.raises(ValueError, match="check is empty"):
        ModelWatch(check=())
    for every in (0, True, 2.5, "3"):
        with pytest.raises(ValueError, match="a number of batches, 1 or more"):
            ModelWatch(every=every)
    with pytest.raises(ValueError, match=r"data is a batch \(x, y\)"):
        ModelWatch(data=X)
    with pytest.raises(ValueError, match="on_finding='print'; it is 'stop' or 'raise'"):
        ModelWatch(on_finding="print")
    with pytest.raises(ValueError, match="factor=0"):
        ModelWatch(factor=0)


@trains
def test_a_copy_has_the_settings_and_no_model():
    watch = ModelWatch("finite", every=7, ignore="a")
    fit(compiled(two_layers()), watch)
    for copied in (copy.deepcopy(watch), pickle.loads(pickle.dumps(watch))):
        assert (copied.check, copied.every, copied.ignore) == (("finite",), 7, ("a",))
        fit(compiled(two_layers()), copied, BAD)
        assert "'a/kernel'" in copied.message
    assert watch.report is None
