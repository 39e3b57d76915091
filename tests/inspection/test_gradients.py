"""Each kind of bad gradient is found and explained on every backend that trains, and nothing is trained."""

import json
import math

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import PortableLayerMixin, check_gradients, freeze, named_weights

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:`build\(\)` was called on layer:UserWarning"),
    pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning"),
]
layers = KERAS.layers
K2 = INFO.generation == 2
TRAINS = INFO.backend != "numpy"
trains = pytest.mark.skipif(not TRAINS, reason="the numpy backend has no gradients")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = RNG.normal(size=(8, 1)).astype("float32")


def on_floats(name, *args):
    """An operation that Keras 3 and TensorFlow call the same, or nearly."""
    if not K2:
        return getattr(KERAS.ops, name)(*args)
    import tensorflow as tf

    return getattr(tf.nn if name == "relu" else tf, name)(*args)


def dense(size=3, name="dense", **kwargs):
    kwargs.setdefault("kernel_initializer", KERAS.initializers.GlorotUniform(seed=1))
    return layers.Dense(size, name=name, **kwargs)


def chain(*inner):
    return KERAS.Sequential([KERAS.Input((4,)), *inner])


def verdicts(report):
    return {each.name: each.verdict for each in report.weights}


def reason(report, name):
    return next(each.reason for each in report.weights if each.name == name)


def mean(x):
    if not K2:
        return KERAS.ops.mean(x)
    import tensorflow as tf

    return tf.reduce_mean(x)


class Apply(layers.Layer):
    """A function as a layer."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)


@trains
def test_norms_are_those_of_the_gradient_and_regularization_counts():
    model = chain(dense(1, use_bias=False, kernel_regularizer=KERAS.regularizers.L2(0.5)))
    w = np.array([[1.0], [-2.0], [0.5], [3.0]], "float32")
    named_weights(model)["dense/kernel"].assign(w)
    report = check_gradients(model, X, Y, "mse")
    error = X @ w - Y
    assert report.loss == pytest.approx(float((error**2).mean() + 0.5 * (w**2).sum()), rel=1e-5)
    gradient = 2 * X.T @ error / len(X) + w
    (only,) = report.weights
    assert only.norm == pytest.approx(float(np.linalg.norm(gradient)), rel=1e-5)
    assert only.weight_norm == pytest.approx(float(np.linalg.norm(w)), rel=1e-6)
    assert (only.name, only.shape, only.dtype, only.verdict) == ("dense/kernel", (4, 1), "float32", "ok")
    assert report.ok
    assert json.loads(json.dumps(report.to_dict()))["weights"][0]["verdict"] == "ok"
    assert "dense/kernel" in str(report)


@trains
@pytest.mark.in_turns
def test_a_loss_is_a_name_a_function_an_object_or_the_compiled_one_and_samples_have_weights():
    model = chain(dense(1))
    weights = np.arange(8, dtype="float32")

    def squared(y_true, y_pred):
        return on_floats("square", y_true - y_pred)

    losses = ["mse", squared, KERAS.losses.MeanSquaredError()]
    norms = [check_gradients(model, X, Y, loss).weights[0].norm for loss in losses]
    model.compile("sgd", "mse")
    norms.append(check_gradients(model, X, Y).weights[0].norm)
    np.testing.assert_allclose(norms, norms[0], rtol=1e-5)
    weighted = [check_gradients(model, X, Y, loss, sample_weight=weights).loss for loss in ("mse", None)]
    squares = (model.predict(X, verbose=0) - Y) ** 2
    np.testing.assert_allclose(weighted, float((squares[:, 0] * weights).mean()), rtol=1e-4)


@trains
def test_targets_of_one_dimension_are_not_spread_over_the_batch():
    model = chain(dense(1))
    assert check_gradients(model, X, Y[:, 0], "mse").loss == pytest.approx(check_gradients(model, X, Y, "mse").loss)


class Odd(KERAS.Model):
    """A layer of each kind that gets no gradient."""

    def __init__(self):
        super().__init__()
        self.used = dense(3, "used")
        self.argmax = dense(3, "argmax")
        self.off = dense(3, "off")
        self.side = dense(1, "side")
        self.unused = dense(1, "unused")
        self.head = dense(1, "head")

    def build(self, input_shape):
        for layer in (self.used, self.argmax, self.off, self.side, self.unused):
            layer.build(input_shape)
        self.head.build((None, 3))
        self.built = True

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        return mean(on_floats("square", y_pred["main"] - y))

    def call(self, x):
        y = self.used(x) + on_floats("relu", self.off(x) - 1e6)
        y = y * on_floats("cast", on_floats("argmax", self.argmax(x), -1), "float32")[:, None]
        return {"main": self.head(y), "side": self.side(x)}


@trains
def test_no_gradient_is_told_from_a_zero_with_the_reason():
    model = Odd()
    model(X)
    model.compile("sgd")
    report = check_gradients(model, X, Y)
    assert {name: verdict for name, verdict in verdicts(report).items() if name.endswith("kernel")} == {
        "used/kernel": "ok",
        "argmax/kernel": "none",
        "off/kernel": "zero",
        "side/kernel": "none",
        "unused/kernel": "none",
        "head/kernel": "ok",
    }
    assert "an operation without gradient, such as argmax" in reason(report, "argmax/kernel")
    assert "the layer was not called" in reason(report, "unused/kernel")
    assert "only the output 'side' depends on it" in reason(report, "side/kernel")
    assert "as behind a relu" in reason(report, "off/kernel")
    bad = {name for name, verdict in verdicts(report).items() if verdict != "ok"}
    assert {each.name for each in report.findings} == bad
    assert not report.ok


@trains
def test_frozen_layers_and_weights_are_named_and_are_no_findings():
    model = chain(chain(dense(3, "a")), dense(2, "b"), dense(1, "c"))
    model.layers[-3].trainable = False
    freeze(model, "b/bias")
    report = check_gradients(model, X, Y, "mse")
    inner = next(each.name for each in report.weights).partition("/")[0]
    assert verdicts(report) == {
        f"{inner}/a/kernel": "not trained",
        f"{inner}/a/bias": "not trained",
        "b/kernel": "ok",
        "b/bias": "not trained",
        "c/kernel": "ok",
        "c/bias": "ok",
    }
    assert f"the layer {inner!r} has trainable=False" in reason(report, f"{inner}/a/kernel")
    assert reason(report, "b/bias") == "the weight itself is frozen"
    assert report.ok


@trains
def test_statistics_and_counts_are_not_listed():
    class Counts(layers.Layer):
        def build(self, input_shape):
            self.count = self.add_weight(name="count", shape=(), dtype="int32", initializer="zeros", trainable=False)

        def call(self, x):
            return x

    model = chain(layers.BatchNormalization(name="bn"), Counts(name="counts"), layers.Dropout(0.5), dense(1))
    assert {*verdicts(check_gradients(model, X, Y, "mse"))} == {"bn/gamma", "bn/beta", "dense/kernel", "dense/bias"}


@pytest.mark.skipif(K2 or INFO.backend not in ("tensorflow", "torch"), reason="Keras 2 tracks a tf.Variable")
def test_a_raw_variable_is_a_finding_with_a_way_out():
    class Scales(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            if INFO.backend == "torch":
                import torch

                self.scale = torch.nn.Parameter(torch.ones(4))
            else:
                import tensorflow as tf

                self.scale = tf.Variable([1.0] * 4)

        def call(self, x):
            return x * self.scale

    report = check_gradients(chain(Scales(name="scales"), dense(1)), X, Y, "mse")
    (raw,) = report.findings
    assert (raw.name, raw.shape, raw.raw, raw.verdict) == ("scales/scale", (4,), True, "not trained")
    assert "PortableLayerMixin" in raw.reason

    class Portable(PortableLayerMixin, Scales):
        pass

    report = check_gradients(chain(Portable(name="scales"), dense(1)), X, Y, "mse")
    assert report.ok
    assert "scales/scale" in verdicts(report)


@trains
@pytest.mark.in_turns
def test_exploding_and_vanishing_are_measured_against_the_rest():
    model = chain(dense(3, "a"), dense(3, "b"), dense(3, "c"), Apply(lambda x: x * 1e-6), dense(1, "d"))
    report = check_gradients(model, X, Y, "mse")
    assert [(each.name, each.verdict) for each in report.findings] == [("d/bias", "exploding")]
    assert "times the median" in report.findings[0].reason
    assert check_gradients(model, X, Y, "mse", factor=1e12).ok

    x = KERAS.Input((4,))
    y = layers.add([Apply(lambda x: x * 1e-6)(dense(4, "a")(x)), x])
    model = KERAS.Model(x, dense(1, "d")(dense(3, "c")(dense(3, "b")(y))))
    report = check_gradients(model, X, Y, "mse")
    found = [(each.name, each.verdict) for each in report.findings]
    assert found == [("a/kernel", "vanishing"), ("a/bias", "vanishing")]


@trains
def test_nan_says_whether_the_loss_or_only_its_derivative_is_not_finite():
    def length(x):
        return on_floats("sqrt", x * x)

    model = chain(dense(2, "a", kernel_initializer="zeros"), Apply(length), dense(1, "b"))
    report = check_gradients(model, X, Y, "mse")
    assert verdicts(report) == {"a/kernel": "nan", "a/bias": "nan", "b/kernel": "zero", "b/bias": "ok"}
    assert "8 of 8 values are not finite; the loss is finite" in reason(report, "a/kernel")
    report = check_gradients(model, np.where(X > 1, np.nan, X), Y, "mse")
    assert math.isnan(report.loss)
    assert {*verdicts(report).values()} == {"nan"}
    assert "check_finite(model, x)" in reason(report, "b/bias")


@trains
@pytest.mark.parametrize("scaled", [False, True])
def test_what_float16_rounds_to_zero_is_told_from_a_real_zero_and_the_loss_is_scaled_as_in_fit(scaled):
    model = chain(
        dense(2, "a", dtype="mixed_float16"),
        dense(1, "b", dtype="mixed_float16"),
        Apply(lambda x: x * 1e-8, dtype="float32"),
    )
    if scaled:
        model.compile(_scaling("sgd"), loss=_as_it_is)
    report = check_gradients(model, X, Y, None if scaled else _as_it_is)
    assert {*verdicts(report).values()} == {"ok" if scaled else "zero"}
    assert report.loss_scale == (2.0**15 if scaled else 1)
    if not scaled:
        assert "too small for float16: with the loss scale 32768" in reason(report, "a/kernel")


def _as_it_is(y_true, y_pred):
    return mean(y_pred)


def _scaling(name):
    if K2:
        import tensorflow as tf

        home = tf.keras if KERAS.__name__ == "keras" else KERAS
        return home.mixed_precision.LossScaleOptimizer(home.optimizers.get(name))
    return KERAS.optimizers.LossScaleOptimizer(KERAS.optimizers.get(name))


@trains
@pytest.mark.in_turns
def test_several_outputs_have_their_own_losses_and_inputs_may_be_a_dict():
    a, b = KERAS.Input((4,), name="a"), KERAS.Input((4,), name="b")
    shared = dense(2, "shared")
    outputs = [dense(1, "c")(shared(a)), dense(1, "d")(shared(b))]
    model = KERAS.Model({"a": a, "b": b}, outputs)
    report = check_gradients(model, {"a": X, "b": X}, [Y, Y + 1], ["mse", "mae"])
    c, d = model.predict({"a": X, "b": X}, verbose=0)
    assert report.loss == pytest.approx(float(((c - Y) ** 2).mean() + abs(d - Y - 1).mean()), rel=1e-4)
    assert report.ok
    model.compile("sgd", ["mse", "mae"])
    assert check_gradients(model, {"a": X, "b": X}, [Y, Y + 1]).loss == pytest.approx(report.loss)


@trains
@pytest.mark.in_turns
def test_nothing_changes_and_fit_goes_on_as_without_the_check():
    losses, counted = [], []
    for checks in (False, True):
        drop = [] if K2 else [layers.Dropout(0.5, seed=1)]  # Keras 2 draws other numbers in each model
        model = chain(dense(3, "a"), layers.BatchNormalization(), *drop, dense(1, "b"))
        model.compile("adam", "mse", **({"jit_compile": False} if INFO.backend == "tensorflow" else {}))
        values = [np.array(value) for value in model.get_weights()]
        if checks:
            step = model.train_function
            check_gradients(model, X, Y)
            assert all(np.array_equal(old, new) for old, new in zip(values, model.get_weights()))
            assert model.train_function is step
            assert model.optimizer.iterations == 0
            if INFO.backend == "torch":
                assert all(parameter.grad is None for parameter in model.parameters())
        losses.append(model.fit(X, Y, epochs=2, verbose=0, shuffle=False).history["loss"])
        counted.append(model.evaluate(X, Y, verbose=0))
    assert losses[0] == losses[1]
    assert counted[0] == counted[1]


@trains
def test_bad_input_is_one_clear_error():
    with pytest.raises(ValueError, match=r"not built: it has no weights yet. Call it once"):
        check_gradients(KERAS.Sequential([dense(1)]), X, Y, "mse")
    with pytest.raises(ValueError, match=r"got no loss, and the layer .* is not compiled with one"):
        check_gradients(chain(dense(1)), X, Y)
    with pytest.raises(ValueError, match="factor=1; it must be above 1"):
        check_gradients(chain(dense(1)), X, Y, "mse", factor=1)
    with pytest.raises(TypeError, match="check_gradients expects a Keras layer"):
        check_gradients(X, Y, "mse")


@pytest.mark.skipif(TRAINS, reason="this backend has gradients")
def test_a_backend_without_gradients_is_an_error():
    with pytest.raises(RuntimeError, match=r"needs gradients, which the backend numpy of keras .* does not have"):
        check_gradients(chain(dense(1)), X, Y, "mse")


@trains
def test_two_models_that_differ_by_one_number_have_different_gradients():
    """JAX keeps compiled functions: a number in an array of many must count."""

    def norm(number):
        factors = np.ones(2000, "float32")
        factors[1000] = number
        times = Apply(lambda x: x * (factors if K2 else KERAS.ops.convert_to_tensor(factors)))
        model = chain(dense(2000, kernel_initializer="zeros"), times)
        report = check_gradients(model, X, np.ones((8, 2000), "float32"), "mae")
        return next(each.norm for each in report.weights if each.name == "dense/bias")

    found = [norm(2.0), norm(30.0), norm(2.0)]
    np.testing.assert_allclose(found, np.sqrt([1999 + 4.0, 1999 + 900.0, 1999 + 4.0]) / 2000, rtol=1e-4)


@trains
def test_a_dead_weight_is_a_finding_and_a_bias_before_a_normalization_is_none():
    class Gated(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(name="kernel", shape=(4, 3), initializer="ones")
            self.gate = self.add_weight(name="gate", shape=(3,), initializer="ones")
            super().build(shape)

        def call(self, x):
            return on_floats("matmul", x, self.kernel) + on_floats("relu", -self.gate)

    dead = check_gradients(chain(Gated(name="gated"), dense(1)), X, Y, "mse")
    assert [each.name for each in dead.findings] == ["gated/gate"]
    normal = check_gradients(chain(dense(3), layers.BatchNormalization(), dense(1, name="top")), X, Y, "mse")
    assert normal.ok


@pytest.mark.skipif(INFO.backend != "jax", reason="only JAX traces the model")
def test_a_model_that_looks_at_values_is_one_clear_error_on_jax():
    class Looks(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.dense = dense(1)

        def call(self, x):
            x = self.dense(x)
            return x if float(KERAS.ops.max(x)) > 0 else -x

    model = Looks()
    model(X)
    with pytest.raises(ValueError, match="JAX can't differentiate it, and fit can't either"):
        check_gradients(model, X, Y, "mse")
