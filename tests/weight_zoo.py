"""Small models that every Keras can make, for tests of weights and weight files.

Each environment fits each model, writes it in every format, and reads what the others wrote.
``tools/record_weight_files.py`` records the written files in ``data/weight_files.tar.xz``.
"""

import hashlib
import zipfile
import zlib
from pathlib import Path

import bands
import numpy as np

from keras_buildfix import keras_info, load_weights, named_weights, save_weights, set_weights

#: Endings of the files that plain Keras writes, and of those that this package writes.
PLAIN = (".h5", ".w.h5", ".weights.h5", ".keras")
OURS = (".safetensors", ".npz", ".ours.h5")
FORMATS = PLAIN + OURS


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

    class Measured(keras.Model):
        """Two outputs, and a metric of its own."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.first = layers.Dense(3, name="first")
            self.mean = Mean(name="own_mean")
            self.second = layers.Dense(2)

        def call(self, inputs):
            first = self.first(inputs)
            return first, self.second(first)

    class Mean(keras.metrics.Mean):
        """A metric that somebody else wrote."""

    def cnn():
        return keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Conv2D(4, 3),
                layers.BatchNormalization(),
                layers.DepthwiseConv2D(3),
                layers.SeparableConv2D(4, 2),
                layers.BatchNormalization(),
                layers.Dropout(0.5, seed=7),  # Keras stores the state of its seed in files too
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
        "measured": (Measured, floats(2, 4)),
    }


def value_for(name, shape, dtype="float32"):
    """The value that a weight of this name has in every environment: no two are alike."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    values = random.uniform(0.2, 1.0, shape) if "variance" in name else random.uniform(-0.6, 0.6, shape)
    return values.astype(dtype)


def built(function, inputs):
    """A built model. It is called only if it is not built yet, because eager calls are slow on JAX."""
    model = function()
    if not model.built:
        model(inputs)
    return model


def make(keras, name):
    """A model of the zoo, built, with the values that it has everywhere; and its inputs."""
    function, inputs = models(keras)[name]
    model = built(function, inputs)
    set_weights(model, {name: value_for(name, weight.shape) for name, weight in named_weights(model).items()})
    return model, inputs


def trained(keras, name):
    """A model of the zoo that was compiled and fitted, and then got the values that it has everywhere.

    So it has metrics and an optimizer, which Keras stores in files too. They get the same values everywhere.
    The numpy backend can't fit.
    """
    keras.backend.clear_session()  # Keras counts layers, and some files have the counted names
    function, inputs = models(keras)[name]
    model = built(function, inputs)
    backend = keras_info(keras).backend
    if backend != "numpy":
        outputs = listed(model.predict_on_batch(inputs) if backend == "jax" else model(inputs))
        several = len(outputs) > 1
        adam = name not in ("cnn", "custom")
        model.compile(
            keras.optimizers.Adam() if adam else keras.optimizers.SGD(momentum=0.9),
            loss=["mse"] * len(outputs),
            metrics=[["mae"]] * len(outputs) if several else ["mae"],
            weighted_metrics=[["mse"]] * len(outputs) if several else ["mse"],
            run_eagerly=backend != "jax",  # faster, and TensorFlow's graphs refuse some names of layers
        )
        targets = [np.zeros(tuple(output.shape), "float32") for output in outputs]
        model.fit(inputs, targets if several else targets[0], verbose=0)
        model.reset_metrics()
        variables = model.optimizer.variables
        for variable in variables() if callable(variables) else variables:  # a method on 2.12
            if len(variable.shape):
                variable.assign(np.full(tuple(variable.shape), 0.25, "float32"))
    set_weights(model, {name: value_for(name, weight.shape) for name, weight in named_weights(model).items()})
    return model, inputs


def listed(outputs):
    """A model's outputs as a list, also if it has only one."""
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def outputs_of(keras, model, inputs):
    """All outputs in one array. Runs eagerly, as TensorFlow's graphs refuse some names; but JAX is slow at that."""
    jax = keras_info(keras).backend == "jax"
    outputs = model.predict_on_batch(inputs) if jax else model(inputs)
    return np.concatenate([as_numpy(keras, output).reshape(-1) for output in listed(outputs)])


def as_numpy(keras, tensor):
    """The value of a tensor or weight."""
    return np.asarray(keras.ops.convert_to_numpy(tensor) if hasattr(keras, "ops") else tensor.numpy())


def write(keras, model, path, form):
    """Writes a model: with plain Keras in its own formats, else with ``save_weights``."""
    if form == ".keras":
        model.save(path)
    elif form in (".w.h5", ".weights.h5"):
        model.save_weights(path)
    elif form == ".h5":
        model.save(path)
    else:
        save_weights(model, path)


def content_of(path):
    """A hash of the part of a file that is read: in a ``.keras`` only the file of weights counts."""
    data = Path(path).read_bytes()
    if not bands.FULL and zipfile.is_zipfile(path) and path.endswith(".keras"):
        with zipfile.ZipFile(path) as archive:
            data = archive.read("model.weights.h5")
    return hashlib.sha256(data).digest()


class Reader:
    """A model of the zoo that files are read into, one after the other."""

    def __init__(self, keras, name):
        self.keras = keras
        function, self.inputs = models(keras)[name]
        self.model = built(function, self.inputs)
        self.known = {}
        self.weights = named_weights(self.model)
        self.values = {name: value_for(name, weight.shape) for name, weight in self.weights.items()}
        self.outputs = None

    def read(self, path, expected):
        """Reads a file, and compares each weight exactly and the outputs. Returns what is wrong, or None."""
        content = content_of(path)
        if content not in self.known:  # many environments write the very same bytes
            try:
                self.known[content] = self.weights_wrong(path)
            except ValueError as error:
                self.known[content] = error
        wrong = self.known[content]
        if isinstance(wrong, ValueError):
            raise wrong
        if wrong is None and self.outputs is None:  # equal weights give equal outputs, so once is enough
            self.outputs = outputs_of(self.keras, self.model, self.inputs)
        if wrong is None and not np.allclose(self.outputs, expected, rtol=1e-4, atol=1e-6):
            return f"outputs differ by {np.abs(self.outputs - expected).max()}"
        return wrong

    def weights_wrong(self, path):
        """Gives all weights a wrong value, reads a file, and returns which weight differs, or None."""
        for weight in self.weights.values():
            weight.assign(np.full(weight.shape, 0.125, "float32"))
        report = load_weights(self.model, path)
        assert report.complete
        for name, weight in self.weights.items():
            if not np.array_equal(as_numpy(self.keras, weight), self.values[name]):
                return f"{name} differs"
        return None
