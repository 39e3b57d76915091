"""A `call` or `train_step` under the user's own tf.function trains as without it."""

import warnings

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import TFFunctionMixin, get_weights
from keras_buildfix._keras.graphs import runs_without_state

ON_TENSORFLOW = INFO.backend == "tensorflow"
tensorflow_only = pytest.mark.skipif(not ON_TENSORFLOW, reason="tf.function needs TensorFlow")
if ON_TENSORFLOW:
    import tensorflow as tf

X = np.random.RandomState(0).rand(8, 3).astype("float32")
Y = np.random.RandomState(1).rand(8, 2).astype("float32")


def decorated(function, **options):
    return tf.function(function, **options)


def as_it_is(function, **options):
    return function


def dense(units, **options):
    return KERAS.layers.Dense(units, kernel_initializer="ones", **options)


def small_model(call_by=as_it_is, step_by=as_it_is, bases=(TFFunctionMixin,), **options):
    """A model whose layers are made in ``__init__`` and built by its first call."""

    class Small(*bases, KERAS.Model):
        def __init__(self):
            super().__init__()
            self.hidden = dense(4, activation="tanh")
            self.top = dense(2)

        def call(self, x, training=False):
            hidden = self.hidden(x)
            if training:
                hidden = hidden * 0.5
            return self.top(hidden)

        call = call_by(call, **options)

        def train_step(self, data):
            return super().train_step(data)

        train_step = step_by(train_step)

    return Small()


def inner_model(call_by=as_it_is, bases=(TFFunctionMixin,), **options):
    """A layer of the user's in a Sequential."""

    class Inner(*bases, KERAS.layers.Layer):
        def __init__(self):
            super().__init__()
            self.hidden = dense(4, activation="tanh")

        def call(self, x):
            return self.hidden(x)

        call = call_by(call, **options)

    return KERAS.Sequential([Inner(), dense(2)])


def two_input_model(call_by=as_it_is, bases=(TFFunctionMixin,), **options):
    class Two(*bases, KERAS.Model):
        def __init__(self):
            super().__init__()
            self.left, self.right = dense(2), dense(2, use_bias=False)

        def call(self, inputs):
            left, right = inputs["left"], inputs["right"]
            # The second needs TensorFlow's autograph, which the decorator brings.
            if call_by is as_it_is or tf.reduce_sum(left) > -1.0:
                left = left * 2.0
            return self.left(left) + self.right(right)

        call = call_by(call, **options)

    return Two()


def trained(model, x=X, **options):
    model.compile(KERAS.optimizers.SGD(0.1), "mse", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a Sequential without Input, a layer without build: not what is tested
        history = model.fit(x, Y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    return get_weights(model), history.history["loss"]


def assert_trains_alike(model, reference, x=X, **options):
    weights, losses = trained(model, x, **options)
    expected, expected_losses = trained(reference, x, **{k: v for k, v in options.items() if k != "jit_compile"})
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    assert losses[1] < losses[0]
    np.testing.assert_allclose(model.predict(x, verbose=0), reference.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


if ON_TENSORFLOW:
    SIGNATURE = [tf.TensorSpec([None, 3], "float32")]
    CASES = {
        "call": (lambda by: small_model(by), {}),
        "jit_compile": (lambda by: small_model(by, jit_compile=True), {}),
        "model compiled": (lambda by: small_model(by), {"jit_compile": True}),
        "run_eagerly": (lambda by: small_model(by), {"run_eagerly": True}),
        "train_step": (lambda by: small_model(step_by=by), {}),
        "both": (lambda by: small_model(by, by), {}),
        "layer": (lambda by: inner_model(by), {}),
        "signature": (lambda by: inner_model(by, **({} if by is as_it_is else {"input_signature": SIGNATURE})), {}),
    }
else:
    CASES = {}


@tensorflow_only
@pytest.mark.parametrize("name", CASES)
def test_it_trains_as_without_the_function(name):
    make, options = CASES[name]
    assert_trains_alike(make(decorated), make(as_it_is), **options)


@tensorflow_only
def test_several_inputs_and_control_flow():
    x = {"left": X, "right": X[:, :2].copy()}
    assert_trains_alike(two_input_model(decorated), two_input_model(), x)


@tensorflow_only
def test_a_call_that_the_constructor_puts_under_a_function():
    def of(by):
        model = small_model()
        model.call = by(model.call)
        return model

    assert_trains_alike(of(decorated), of(as_it_is))


@tensorflow_only
def test_a_class_that_inherits_such_a_call():
    model = small_model(decorated, bases=())
    fixed = type("Fixed", (TFFunctionMixin, type(model)), {})
    assert_trains_alike(fixed(), small_model())


@tensorflow_only
def test_the_function_is_still_one():
    model = small_model(decorated)
    trained(model)
    concrete = model.call.get_concrete_function(tf.TensorSpec([None, 3], "float32"))
    np.testing.assert_allclose(concrete(tf.constant(X)), model.predict(X, verbose=0), rtol=1e-5)
    assert callable(type(model).call.python_function)
    outputs = model(KERAS.Input((3,)))
    assert tuple(outputs.shape) == (None, 2)


@tensorflow_only
@pytest.mark.skipif(INFO.generation == 2, reason="a bug of Keras 3")
@pytest.mark.xfail(strict=True, raises=ValueError, reason="Keras 3: No gradients provided for any variable")
def test_plain_keras_3_cannot():
    trained(small_model(decorated, bases=()))


@tensorflow_only
@pytest.mark.skipif(INFO.generation == 3, reason="Keras 2 is right without help")
def test_on_keras_2_the_class_is_left_alone():
    assert type(type(small_model(decorated)).__dict__["call"]) is type(tf.function(len))


@pytest.mark.skipif(ON_TENSORFLOW, reason="about the other backends")
def test_on_other_backends_it_is_a_clear_error():
    class Function:
        """What a tf.function looks like, for an environment that has no TensorFlow."""

        def __init__(self, function):
            self.python_function = function

        def get_concrete_function(self):
            raise NotImplementedError

        def __get__(self, layer, cls=None):
            return self

    class Own(TFFunctionMixin, KERAS.layers.Layer):
        call = Function(lambda self, x: x)

    with pytest.raises(RuntimeError, match=r"`call` of Own .* tf.function.* backend is .* Remove the decorator"):
        Own(name="own")(X)


def test_the_mixin_in_a_wrong_place_is_a_clear_error():
    with pytest.raises(TypeError, match="TFFunctionMixin comes after the Keras class Layer in Wrong: list it first"):
        type("Wrong", (KERAS.layers.Layer, TFFunctionMixin), {})


def test_the_private_name_is_where_its_room_says():
    assert not runs_without_state("keras")
    if INFO.generation == 3:
        with KERAS.StatelessScope():
            assert runs_without_state("keras")
        assert not runs_without_state("keras")
