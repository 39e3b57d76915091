"""Small models that every Keras can make, for what is said of their weights and files.

Each environment writes each of them in every format, and reads what the others wrote.
"""

import hashlib
import zlib
from pathlib import Path

import numpy as np

from keras_buildfix import keras_info, load_weights, named_weights, save_weights, set_weights

#: Endings of the files. Plain Keras writes the first four, this package the others.
FORMATS = (".h5", ".w.h5", ".weights.h5", ".keras", ".safetensors", ".npz", ".ours.h5")


def models(keras):
    """Name -> (function that makes the model, inputs to call it with)."""
    layers, random = keras.layers, np.random.default_rng(0)

    class Scale(layers.Layer):
        """Own weights, trainable and not, interleaved, and a sub-layer between them."""

        def build(self, input_shape):
            self.total = self.add_weight(shape=(), initializer="zeros", trainable=False, name="total")
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
            self.norm = layers.BatchNormalization()
            self.norm.build(input_shape)
            self.offset = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="offset")
            self.built = True

        def call(self, inputs):
            return self.norm(inputs) * self.scale + self.offset + self.total

        def compute_output_shape(self, input_shape):
            return input_shape

    class Block(layers.Layer):
        """Sub-layers as attributes, out of alphabetical order."""

        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.second = layers.Dense(units)
            self.first = layers.Dense(units, activation="tanh")

        def build(self, input_shape):
            self.first.build(input_shape)
            self.second.build((input_shape[0], self.first.units))
            self.built = True

        def call(self, inputs):
            return self.second(self.first(inputs))

        def compute_output_shape(self, input_shape):
            return (*input_shape[:-1], self.second.units)

    class Nested(keras.Model):
        """A functional model, a list of layers and a shared layer in a subclassed model."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            inner = keras.Input((4,))
            self.encoder = keras.Model(inner, layers.Dense(4)(Scale()(inner)), name="encoder")
            self.blocks = [Block(4) for _ in range(11)]
            self.head = layers.Dense(2, name="head")
            self.again = self.blocks[0]

        def call(self, inputs):
            outputs = self.encoder(inputs)
            for block in self.blocks:
                outputs = outputs + block(outputs)
            return self.head(self.again(outputs))

    def cnn():
        return keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Conv2D(4, 3),
                layers.BatchNormalization(),
                layers.DepthwiseConv2D(3),
                layers.SeparableConv2D(4, 2),
                layers.BatchNormalization(),
                layers.Dropout(0.5),
                layers.Conv2DTranspose(3, 2),
                layers.Flatten(),
                layers.Dense(3),
            ]
        )

    def recurrent():
        tokens = keras.Input((5,), dtype="int32")
        outputs = layers.Embedding(7, 4)(tokens)
        outputs = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(outputs)
        outputs = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(outputs)
        outputs = layers.TimeDistributed(layers.Dense(4))(outputs)
        outputs = layers.RNN([layers.GRUCell(3), layers.GRUCell(2)], return_sequences=True)(outputs)
        return keras.Model(tokens, layers.GRU(2)(outputs))

    def attention():
        queries, values = keras.Input((4, 6)), keras.Input((3, 6))
        outputs = layers.MultiHeadAttention(2, 3)(queries, values)
        outputs = layers.LayerNormalization()(layers.Add()([queries, outputs]))
        outputs = layers.MultiHeadAttention(2, 3, name="cross")(outputs, values)
        return keras.Model([queries, values], layers.Dense(2)(outputs))

    def shared():
        left, right = keras.Input((4,)), keras.Input((4,))
        tower = keras.Sequential([keras.Input((4,)), layers.Dense(4, activation="relu"), layers.Dense(4)])
        twice = layers.Dense(4)
        outputs = layers.Add()([tower(twice(left)), tower(twice(right))])
        return keras.Model([left, right], layers.Dense(4)(twice(outputs)))

    def custom():
        inputs = keras.Input((4,))
        return keras.Model(inputs, Scale()(layers.Dense(3)(Block(4)(Scale()(inputs)))))

    def escaped():
        inputs = keras.Input((4,), name="in")
        outputs = layers.Dense(4, name="a-b>c\\d_0")(inputs)
        outputs = layers.Dense(4, name="0")(outputs)
        outputs = Scale(name="vars")(layers.Dense(4, name="dense_7")(outputs))
        return keras.Model(inputs, layers.Dense(4, name="layers")(outputs), name="m-1")

    floats = lambda *shape: random.normal(size=shape).astype("float32")  # noqa: E731
    return {
        "cnn": (cnn, floats(2, 8, 8, 3)),
        "recurrent": (recurrent, random.integers(0, 7, (2, 5)).astype("int32")),
        "attention": (attention, [floats(2, 4, 6), floats(2, 3, 6)]),
        "nested": (Nested, floats(2, 4)),
        "shared": (shared, [floats(2, 4), floats(2, 4)]),
        "custom": (custom, floats(2, 4)),
        "escaped": (escaped, floats(2, 4)),
    }


def value_for(name, shape, dtype="float32"):
    """The value that a weight of this name has in every environment: no two are alike."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    values = random.uniform(0.2, 1.0, shape) if "variance" in name else random.uniform(-0.6, 0.6, shape)
    return values.astype(dtype)


def make(keras, name):
    """A model of the zoo, built, with the values that it has everywhere; and its inputs."""
    function, inputs = models(keras)[name]
    model = function()
    model(inputs)
    set_weights(model, {name: value_for(name, weight.shape) for name, weight in named_weights(model).items()})
    return model, inputs


def outputs_of(keras, model, inputs):
    """What a model gives. Eagerly, since some names of layers are none for TensorFlow's graphs; JAX is slow so."""
    if keras_info(keras).backend == "jax":
        return np.asarray(model.predict_on_batch(inputs))
    return as_numpy(keras, model(inputs))


def as_numpy(keras, tensor):
    """The value of a tensor or weight."""
    return np.asarray(keras.ops.convert_to_numpy(tensor) if hasattr(keras, "ops") else tensor.numpy())


def write(keras, model, path, form):
    """Writes a model; plain Keras does where it has the format."""
    if form == ".keras":
        model.save(path)
    elif form in (".w.h5", ".weights.h5"):
        model.save_weights(path)
    elif form == ".h5":
        model.save(path)
    else:
        save_weights(model, path)


class Reader:
    """A model of the zoo that files are read into, one after the other."""

    def __init__(self, keras, name):
        self.keras = keras
        function, self.inputs = models(keras)[name]
        self.model = function()
        self.model(self.inputs)
        self.known = {}

    def read(self, path, expected):
        """Reads a file and compares each weight exactly, and the outputs; what is wrong, or nothing."""
        content = hashlib.sha256(Path(path).read_bytes()).digest()
        if content not in self.known:  # many environments write the very same bytes
            self.known[content] = self.weights_wrong(path), outputs_of(self.keras, self.model, self.inputs)
        wrong, outputs = self.known[content]
        if wrong is None and not np.allclose(outputs, expected, rtol=1e-4, atol=1e-6):
            return f"outputs differ by {np.abs(outputs - expected).max()}"
        return wrong

    def weights_wrong(self, path):
        """Reads a file into weights that are all something else before."""
        for weight in self.model.weights:
            weight.assign(np.full(weight.shape, 0.125, "float32"))
        report = load_weights(self.model, path)
        assert report.complete
        for name, weight in named_weights(self.model).items():
            value = as_numpy(self.keras, weight)
            if not np.array_equal(value, value_for(name, value.shape)):
                return f"{name} differs"
        return None
