"""Layers of each kind, written once, for what is said of mixed precision; and the operations that both Keras have."""

import numpy as np

from keras_buildfix import (
    MixedPrecisionMixin,
    cast_inputs,
    dtype_policy_scope,
    full_precision,
    keras_info,
    mixed_precision_safe,
    set_weights,
)

#: How far results and updated weights may be from float32, relative to the largest: some units in the last place.
TOLERANCE = {"float32": 1e-5, "mixed_float16": 1e-2, "mixed_bfloat16": 6e-2}


class Ops:
    """Operations by one name: ``keras.ops``, or TensorFlow's for Keras 2."""

    def __init__(self, keras):
        self.of_tensorflow = keras_info(keras).generation == 2
        if self.of_tensorflow:
            import tensorflow as tf

            self._home = tf
        else:
            self._home = keras.ops

    def __getattr__(self, name):
        if not self.of_tensorflow:
            return getattr(self._home, name)
        tf = self._home
        renamed = {
            "mean": tf.reduce_mean,
            "sum": tf.reduce_sum,
            "concatenate": tf.concat,
            "softmax": tf.nn.softmax,
            "relu": tf.nn.relu,
            "take": tf.gather,
        }
        return renamed[name] if name in renamed else getattr(tf, name)


def layer_classes(keras):
    """Name -> class of layer, as a user of this package would write it."""
    ops = Ops(keras)
    base = keras.layers.Layer

    class Attention(MixedPrecisionMixin, base):
        """By tensordot and softmax; the second input is positional."""

        def build(self, input_shape):
            size = input_shape[-1] if isinstance(input_shape[-1], int) else input_shape[0][-1]
            self.query = self.add_weight(name="query", shape=(size, 4), initializer="ones")
            self.key = self.add_weight(name="key", shape=(size, 4), initializer="ones")
            self.built = True

        @full_precision
        def weighting(self, scores):
            return ops.softmax(scores * 0.5, axis=-1)

        def call(self, x, memory):
            queries = ops.tensordot(x, self.query, axes=1)
            keys = ops.tensordot(memory, self.key, axes=1)
            scores = ops.matmul(queries, ops.transpose(keys, (0, 2, 1)))
            return ops.matmul(self.weighting(scores), memory)

    class Ensemble(MixedPrecisionMixin, base):
        """A weighted mean of the inputs, which come in a list."""

        def __init__(self, members=2, **kwargs):
            super().__init__(**kwargs)
            self.members = members

        def build(self, input_shape):
            self.shares = self.add_weight(name="shares", shape=(self.members,), initializer="zeros")
            self.built = True

        @full_precision
        def normed(self):
            return ops.exp(self.shares) / ops.sum(ops.exp(self.shares))

        def call(self, inputs):
            return ops.tensordot(ops.stack(inputs, axis=-1), self.normed(), axes=1)

    class Gate(base):
        """Several inputs: positional, by keyword, by keyword only."""

        def build(self, input_shape):
            size = input_shape[-1] if isinstance(input_shape[-1], int) else input_shape[0][-1]
            self.kernel = self.add_weight(name="kernel", shape=(size, size), initializer="ones")
            self.built = True

        @mixed_precision_safe
        def call(self, x, context, scale=None, *, shift=None):
            gate = ops.sigmoid(ops.matmul(context, self.kernel))
            return x * gate * scale + shift

    @mixed_precision_safe
    class Norm(base):
        """A layer norm by hand, in full precision with its weights."""

        def build(self, input_shape):
            self.gamma = self.add_weight(name="gamma", shape=(input_shape[-1],), initializer="ones")
            self.beta = self.add_weight(name="beta", shape=(input_shape[-1],), initializer="zeros")
            self.built = True

        @full_precision
        def call(self, x):
            centred = x - ops.mean(x, axis=-1, keepdims=True)
            variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
            return centred / ops.sqrt(variance + 1e-5) * self.gamma + self.beta

    class Pairs(MixedPrecisionMixin, base):
        """Dict in and dict out."""

        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
            self.built = True

        def call(self, inputs):
            left, right = inputs["left"] * self.scale, inputs["right"]
            return {"sum": left + right, "product": left * right}

        def compute_output_shape(self, input_shape):
            return {"sum": input_shape["left"], "product": input_shape["left"]}

    class Positions(MixedPrecisionMixin, base):
        """A constant table, kept in float32, of which integers choose rows."""

        def build(self, input_shape):
            self.table = np.sin(np.arange(32, dtype="float32").reshape(8, 4))
            self.scale = self.add_weight(name="scale", shape=(4,), initializer="ones")
            self.built = True

        def call(self, x, places):
            table = cast_inputs(self, self.table)
            return x * self.scale + ops.take(table, places, axis=0)

        def compute_output_shape(self, x_shape, places_shape=None):
            return x_shape

    class Cell(MixedPrecisionMixin, base):
        """A recurrent cell."""

        def __init__(self, units=4, **kwargs):
            super().__init__(**kwargs)
            self.units = self.state_size = self.output_size = units

        def build(self, input_shape):
            self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.units), initializer="ones")
            self.recurrent = self.add_weight(name="recurrent", shape=(self.units, self.units), initializer="ones")
            self.built = True

        def call(self, x, states):
            new = ops.tanh(ops.matmul(x, self.kernel) + ops.matmul(states[0], self.recurrent))
            return new, [new]

        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            zeros = ops.zeros((batch_size, self.units), dtype=self.compute_dtype)
            return zeros if ops.of_tensorflow else [zeros]

    classes = (Attention, Ensemble, Gate, Norm, Pairs, Positions, Cell)
    return {cls.__name__: cls for cls in classes}


def zoo(keras):
    """Name -> (function that makes a model of one layer and a head, its inputs)."""
    layers, classes, random = keras.layers, layer_classes(keras), np.random.default_rng(3)
    shapes = {
        "Attention": [(3, 4), (5, 4)],
        "Ensemble": [(4,), (4,)],
        "Gate": [(4,)] * 4,
        "Norm": [(4,)],
        "Pairs": [(4,), (4,)],
        "Positions": [(3, 4), (3,)],
        "Cell": [(3, 4)],
    }
    inside = {
        "Attention": lambda layer, x, y: layer(x, y),
        "Ensemble": lambda layer, x, y: layer([x, y]),
        "Gate": lambda layer, x, y, z, u: layer(x, y, scale=z, shift=u),
        "Norm": lambda layer, x: layer(x),
        "Pairs": lambda layer, x, y: list(layer({"left": x, "right": y}).values()),
        "Positions": lambda layer, x, places: layer(x, places),
        "Cell": lambda layer, x: layers.RNN(layer)(x),
    }

    def make(name):
        types = ["int32" if shape == (3,) else "float32" for shape in shapes[name]]
        inputs = [layers.Input(shape, dtype=dtype) for shape, dtype in zip(shapes[name], types)]
        outputs = inside[name](classes[name](), *inputs)
        if isinstance(outputs, list):
            outputs = layers.Concatenate()(outputs)
        return keras.Model(inputs, layers.Dense(2, name="head", dtype="float32")(layers.Flatten()(outputs)))

    def data(name):
        arrays = [random.normal(size=(8, *shape)).astype("float32") for shape in shapes[name]]
        if name == "Positions":
            arrays[1] = random.integers(0, 8, (8, 3)).astype("int32")
        return arrays

    return {name: (make, data(name)) for name in shapes}


def model_in(keras, name, make, precision):
    """A model of the zoo in a policy, with weights that are the same in each."""
    with dtype_policy_scope(precision, keras=keras):
        model = make(name)
    random = np.random.default_rng(7)
    set_weights(model, [random.normal(size=tuple(weight.shape)).astype("float32") * 0.5 for weight in model.weights])
    return model
