"""Files of models that were trained: metrics, optimizers, losses and seeds in them are no weights, and no surprise."""

import functools

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import get_weights, load_weights, save_weights

layers = KERAS.layers
pytestmark = pytest.mark.skipif(INFO.backend == "numpy", reason="the NumPy backend does not train")
EAGERLY = INFO.backend != "jax"  # what is faster
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")


class Plain(KERAS.Model):
    """Layers in an attribute and a list."""

    def __init__(self):
        super().__init__()
        self.first = layers.Dense(3)
        self.parts = [layers.Dense(4), layers.Dropout(0.5), layers.Dense(4)]

    def call(self, inputs, training=None):
        for part in self.parts:
            inputs = part(inputs)
        return self.first(inputs)


class OwnMetrics(Plain):
    """Metrics as attributes and in a list, as a `train_step` of one's own needs them."""

    def __init__(self):
        super().__init__()
        self.tracker = KERAS.metrics.Mean(name="tracked")
        self.more = [KERAS.metrics.Mean(name="one"), KERAS.metrics.MeanSquaredError(name="two")]

    @property
    def metrics(self):
        return [self.tracker, *self.more]


class OwnOptimizers(Plain):
    """Two optimizers that only the model's own code knows, made when it is compiled."""

    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)
        self.d_optimizer = KERAS.optimizers.Adam()
        self.g_opt = KERAS.optimizers.SGD(momentum=0.9)
        for optimizer, part in ((self.d_optimizer, self.parts[0]), (self.g_opt, self.first)):
            # What `keras.optimizers` has on 2.12 are the optimizers that later releases call legacy.
            build = getattr(optimizer, "build", None) or optimizer._create_all_weights
            build(part.trainable_variables)


def two_outputs():
    inputs = KERAS.Input((4,))
    body = layers.BatchNormalization()(layers.Dense(4)(inputs))
    return KERAS.Model(inputs, [layers.Dense(2, name="left")(body), layers.Dense(1, name="right")(body)])


def made(kind):
    if kind == "two outputs":
        return two_outputs()
    if kind == "sequential":
        parts = [layers.Dense(4), layers.Dropout(0.5), layers.LSTM(3), layers.Dense(3)]
        return KERAS.Sequential([KERAS.Input((4,)), parts[0], layers.Reshape((2, 2)), *parts[1:]])
    model = {"plain": Plain, "own metrics": OwnMetrics, "own optimizers": OwnOptimizers}[kind]()
    model(X)
    return model


def has_two(model):
    return len(getattr(model, "outputs", None) or "1") == 2


def compiled(model, metrics=True):
    if has_two(model):
        more = {"left": ["mae"], "right": [KERAS.metrics.RootMeanSquaredError()]} if metrics else None
        weighted = {"left": ["mse"]} if metrics else None
        losses = {"left": "mse", "right": "mae"}
        model.compile("adam", losses, metrics=more, weighted_metrics=weighted, run_eagerly=EAGERLY)
    else:
        more = ["mae", KERAS.metrics.RootMeanSquaredError()] if metrics else None
        model.compile("adam", "mse", metrics=more, weighted_metrics=["mse"] if metrics else None, run_eagerly=EAGERLY)
    return model


def fitted(model, metrics=True):
    target = [X[:, :2], X[:, :1]] if has_two(model) else X[:, :3]
    compiled(model, metrics).fit(X, target, epochs=1, verbose=0)
    return model


READERS = {
    "not compiled": lambda model: model,
    "compiled": lambda model: compiled(model, metrics=False),
    "fitted": fitted,
}
KINDS = ["sequential", "two outputs", "plain", "own metrics", "own optimizers"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Gives the weights of a model that was fitted, and the paths of files of it in all formats."""

    @functools.cache
    def fitted_files(kind):
        model, folder = fitted(made(kind)), tmp_path_factory.mktemp("fitted")
        weights_h5, whole, *ours = (
            str(folder / f"model{end}") for end in (".weights.h5", ".keras", ".h5", ".safetensors", ".npz")
        )
        model.save_weights(weights_h5)
        paths = [weights_h5, *ours]
        for path in ours:
            save_weights(model, path)
        if kind in ("sequential", "two outputs"):
            model.save(path := str(folder / "whole.h5"))
            paths.append(path)
        if kind in ("sequential", "two outputs") or not INFO.version.startswith("2.12"):
            model.save(whole)  # 2.12 saves functional models only
            paths.append(whole)
        return get_weights(model), paths

    return fitted_files


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fitted_model_is_read_strictly(kind, reader, files):
    expected, paths = files(kind)
    model = READERS[reader](made(kind))
    for path in paths:
        assert load_weights(model, path).complete, path
        for name, value in get_weights(model).items():
            np.testing.assert_array_equal(value, expected[name], err_msg=f"{path}: {name}")


def test_the_state_of_what_the_reader_does_not_have_is_no_surprise(files):
    """The file of a model with metrics and optimizers of its own, into one of the same layers without them."""
    for kind in ("own metrics", "own optimizers"):
        expected, paths = files(kind)
        model = made("plain")
        model.more = None
        assert load_weights(model, paths[0]).complete
        assert all(np.array_equal(value, expected[name]) for name, value in get_weights(model).items())


def test_a_layer_that_is_called_like_a_metric_is_one_that_is_missed(tmp_path):
    """What holds weights is never taken for state, whatever its name."""

    class Named(KERAS.Model):
        def __init__(self, names):
            super().__init__()
            self.names = names
            for name in names:
                setattr(self, name, layers.Dense(4))

        def call(self, inputs):
            for name in self.names:
                inputs = getattr(self, name)(inputs)
            return inputs

    model, other = Named(["body", "loss_tracker", "own_metric", "my_optimizer"]), Named(["body"])
    model(X), other(X)
    model.save_weights(path := str(tmp_path / "model.weights.h5"))
    with pytest.raises(ValueError, match="nothing was changed"):
        load_weights(other, path)
    again = Named(["body", "loss_tracker", "own_metric", "my_optimizer"])
    again(X)
    load_weights(again, path)
    assert all(np.array_equal(value, get_weights(again)[name]) for name, value in get_weights(model).items())
