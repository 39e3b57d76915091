"""Right layers, on which no check may fail: Keras's own, then custom ones, each of another kind."""

from corpus import Entry, cast, keras3, mean, ones, sqrt
from environment import KERAS

from keras_buildfix import DeferredBuildMixin, ExtraWeightsMixin, PortableLayerMixin, deferred_build

layers = KERAS.layers


def bidirectional():
    return layers.Bidirectional(layers.LSTM(2, return_sequences=True))


def time_distributed():
    return layers.TimeDistributed(layers.Dense(2))


def rnn():
    return layers.RNN(layers.GRUCell(3))


def stacked_rnn():
    return layers.RNN([layers.LSTMCell(3), layers.LSTMCell(2)], return_sequences=True)


KERAS_OWN = (
    # Dense layers.
    Entry(layers.Dense, (4,), {"units": 3}),
    Entry(layers.Dense, (2, 4), {"units": 3, "activation": "relu", "use_bias": False}),
    Entry(layers.Dense, (4,), {"units": 3, "kernel_regularizer": "l2", "bias_constraint": "non_neg"}),
    Entry(layers.EinsumDense, (3, 4), {"equation": "abc,cd->abd", "output_shape": (None, 5), "bias_axes": "d"}),
    Entry(layers.Embedding, (6,), {"input_dim": 50, "output_dim": 3}, dtype="int32"),
    # Convolutions.
    Entry(layers.Conv1D, (6, 3), {"filters": 2, "kernel_size": 2}),
    Entry(layers.Conv1D, (6, 3), {"filters": 2, "kernel_size": 2, "padding": "causal", "dilation_rate": 2}),
    Entry(layers.Conv2D, (5, 5, 2), {"filters": 2, "kernel_size": 2, "padding": "same", "strides": 2}),
    Entry(layers.Conv3D, (4, 4, 4, 1), {"filters": 2, "kernel_size": 2}),
    Entry(layers.DepthwiseConv2D, (5, 5, 2), {"kernel_size": 2, "depth_multiplier": 2}),
    Entry(layers.SeparableConv1D, (6, 3), {"filters": 2, "kernel_size": 2}),
    Entry(layers.SeparableConv2D, (5, 5, 2), {"filters": 3, "kernel_size": 2}),
    Entry(layers.Conv1DTranspose, (4, 3), {"filters": 2, "kernel_size": 2}),
    Entry(layers.Conv2DTranspose, (4, 4, 2), {"filters": 2, "kernel_size": 2, "strides": 2}),
    # Pooling.
    Entry(layers.MaxPooling1D, (6, 3), {"pool_size": 2}),
    Entry(layers.MaxPooling2D, (6, 6, 2), {"pool_size": 2, "strides": 1, "padding": "same"}),
    Entry(layers.AveragePooling1D, (6, 3), {"pool_size": 2}),
    Entry(layers.AveragePooling2D, (6, 6, 2), {"pool_size": 2}),
    Entry(layers.AveragePooling3D, (4, 4, 4, 1), {"pool_size": 2}),
    Entry(layers.GlobalAveragePooling1D, (6, 3)),
    Entry(layers.GlobalAveragePooling2D, (4, 4, 2), {"keepdims": True}),
    Entry(layers.GlobalMaxPooling1D, (6, 3)),
    Entry(layers.GlobalMaxPooling2D, (4, 4, 2)),
    # Normalization.
    Entry(layers.BatchNormalization, (4,)),
    Entry(layers.BatchNormalization, (4, 4, 2), {"momentum": 0.9, "center": False}),
    Entry(layers.LayerNormalization, (3, 4), {"epsilon": 1e-5}),
    Entry(layers.GroupNormalization, (5, 4), {"groups": 2}),
    Entry(layers.UnitNormalization, (4,)),
    Entry(layers.Normalization, (2,), {"mean": [1.0, 2.0], "variance": [4.0, 9.0]}),
    Entry(layers.Rescaling, (4,), {"scale": 0.5, "offset": 1.0}),
    # Regularization and noise.
    Entry(layers.Dropout, (4,), {"rate": 0.5}),
    Entry(layers.Dropout, (4,), {"rate": 0.5, "seed": 7}),
    Entry(layers.SpatialDropout1D, (6, 3), {"rate": 0.5}),
    Entry(layers.GaussianNoise, (4,), {"stddev": 0.1}),
    Entry(layers.GaussianDropout, (4,), {"rate": 0.5}),
    Entry(layers.AlphaDropout, (4,), {"rate": 0.5}),
    Entry(layers.ActivityRegularization, (4,), {"l2": 0.1}),
    # Activations.
    Entry(layers.Activation, (4,), {"activation": "tanh"}),
    Entry(layers.ReLU, (4,), {"max_value": 6.0}),
    Entry(layers.LeakyReLU, (4,)),
    Entry(layers.PReLU, (4,)),
    Entry(layers.ELU, (4,)),
    Entry(layers.Softmax, (3, 4), {"axis": -2}),
    # Recurrent layers.
    Entry(layers.SimpleRNN, (5, 3), {"units": 2}),
    Entry(layers.LSTM, (5, 3), {"units": 2, "return_sequences": True}),
    Entry(layers.GRU, (5, 3), {"units": 2}),
    Entry(bidirectional, (5, 3)),
    Entry(rnn, (5, 3)),
    Entry(stacked_rnn, (5, 3)),
    Entry(time_distributed, (5, 3)),
    # Several inputs.
    Entry(layers.Add, [(4,), (4,)]),
    Entry(layers.Subtract, [(4,), (4,)]),
    Entry(layers.Multiply, [(4,), (4,), (4,)]),
    Entry(layers.Average, [(4,), (4,)]),
    Entry(layers.Maximum, [(4,), (4,)]),
    Entry(layers.Concatenate, [(3, 4), (3, 2)]),
    Entry(layers.Concatenate, [(3, 4), (2, 4)], {"axis": 1}),
    Entry(layers.Dot, [(3, 4), (2, 4)], {"axes": 2}),
    Entry(layers.Attention, [(3, 4), (5, 4)], {"use_scale": True}),
    Entry(layers.AdditiveAttention, [(3, 4), (5, 4)]),
    # Shapes.
    Entry(layers.Reshape, (6,), {"target_shape": (2, 3)}),
    Entry(layers.Reshape, (2, 3), {"target_shape": (-1,)}),
    Entry(layers.Permute, (2, 3), {"dims": (2, 1)}),
    Entry(layers.Flatten, (2, 3)),
    Entry(layers.RepeatVector, (4,), {"n": 3}),
    Entry(layers.Cropping1D, (6, 3), {"cropping": 1}),
    Entry(layers.Cropping2D, (6, 6, 2), {"cropping": ((1, 2), (0, 1))}),
    Entry(layers.ZeroPadding1D, (4, 3), {"padding": (1, 2)}),
    Entry(layers.ZeroPadding2D, (4, 4, 2), {"padding": 1}),
    Entry(layers.UpSampling1D, (4, 3), {"size": 2}),
    Entry(layers.UpSampling2D, (3, 3, 2), {"size": 2}),
    Entry(layers.Masking, (5, 3), {"mask_value": 0.0}),
)


class Scale(layers.Layer):
    """One weight, made in `build`."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale


class OwnDense(layers.Layer):
    """Objects of Keras as arguments, serialized by hand."""

    def __init__(self, units, activation=None, use_bias=True, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.activation = KERAS.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = KERAS.initializers.get(kernel_initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units), initializer=self.kernel_initializer
        )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        x = x @ self.kernel
        return self.activation(x + self.bias if self.use_bias else x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": KERAS.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": KERAS.initializers.serialize(self.kernel_initializer),
        }


class DenseInAList(layers.Layer):
    """Sub-layers in a list, built by their parent."""

    def __init__(self, widths, **kwargs):
        super().__init__(**kwargs)
        self.widths = list(widths)
        self.steps = [layers.Dense(width, activation="tanh") for width in self.widths]

    def build(self, input_shape):
        shape = tuple(input_shape)
        for step, width in zip(self.steps, self.widths):
            step.build(shape)
            shape = (*shape[:-1], width)
        super().build(input_shape)

    def call(self, x):
        for step in self.steps:
            x = step(x)
        return x

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.widths[-1])

    def get_config(self):
        return {**super().get_config(), "widths": list(self.widths)}


class DenseInADict(layers.Layer):
    """Sub-layers in a dict with names as keys."""

    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.heads = {"left": layers.Dense(units), "right": layers.Dense(units)}

    def build(self, input_shape):
        for head in self.heads.values():
            head.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return self.heads["left"](x) + self.heads["right"](x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Residual(layers.Layer):
    """Convolution, normalization and dropout, with `training` passed on; two levels of sub-layers."""

    def __init__(self, filters, rate=0.1, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.rate = rate
        self.convolution = layers.Conv1D(filters, 3, padding="same")
        self.normalization = layers.BatchNormalization()
        self.dropout = layers.Dropout(rate)
        self.project = OwnDense(filters)

    def build(self, input_shape):
        self.convolution.build(input_shape)
        inner = (*input_shape[:-1], self.filters)
        self.normalization.build(inner)
        self.dropout.build(inner)
        self.project.build(input_shape)
        super().build(input_shape)

    def call(self, x, training=None):
        y = self.normalization(self.convolution(x), training=training)
        return self.dropout(y, training=training) + self.project(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "rate": self.rate}


class MaskedSum(layers.Layer):
    """Uses the mask, and consumes it: its output has no steps."""

    def call(self, x, mask=None):
        if mask is not None:
            x = x * cast(mask, x.dtype)[..., None]
        return mean(x, 1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *input_shape[2:])


class PassesMask(layers.Layer):
    """Keeps the steps, so that the mask stays right for its output."""

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.supports_masking = True

    def call(self, x):
        return x * self.factor

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class HalvesMask(layers.Layer):
    """Leaves out every second step, of the mask too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x):
        return x[:, ::2]

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[:, ::2]


class TrainsDifferently(layers.Layer):
    """Another result in training, without chance."""

    def __init__(self, shift=1.0, **kwargs):
        super().__init__(**kwargs)
        self.shift = shift

    def call(self, x, training=False):
        return x + self.shift if training else x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "shift": self.shift}


class TrainsByDefault(TrainsDifferently):
    """Trains unless told otherwise, as older layers do."""

    def call(self, x, training=True):
        return x + self.shift if training else x


class OwnsASeed(layers.Layer):
    """Noise from its own seed generator."""

    def __init__(self, stddev=0.1, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.stddev = stddev
        self.seed = seed
        self.seed_generator = KERAS.random.SeedGenerator(seed)

    def build(self, input_shape):
        super().build(input_shape)

    def call(self, x, training=False):
        if not training:
            return x
        noise = KERAS.random.normal(KERAS.ops.shape(x), dtype=x.dtype, seed=self.seed_generator)
        return x + noise * self.stddev

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class CastsItsConstant(layers.Layer):
    """A tensor as constant, in the dtype of the input, so that mixed precision works."""

    def build(self, input_shape):
        self.width = input_shape[-1]
        super().build(input_shape)

    def call(self, x):
        return x + ones((self.width,), x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


class DictInput(layers.Layer):
    """A dict of inputs."""

    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.left = layers.Dense(units)
        self.right = layers.Dense(units)

    def build(self, input_shape):
        self.left.build(input_shape["left"])
        self.right.build(input_shape["right"])
        super().build(input_shape)

    def call(self, inputs):
        return self.left(inputs["left"]) + self.right(inputs["right"])

    def compute_output_shape(self, input_shape):
        return (*input_shape["left"][:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class ListInput(layers.Layer):
    """A list of inputs and a weight for each."""

    def build(self, input_shape):
        self.parts = [
            self.add_weight(name=f"part_{number}", shape=(shape[-1],), initializer="ones")
            for number, shape in enumerate(input_shape)
        ]
        super().build(input_shape)

    def call(self, inputs):
        return sum(x * part for x, part in zip(inputs, self.parts))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])


class OwnLoss(layers.Layer):
    """Adds a loss in `call`."""

    def __init__(self, rate=0.1, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        x = x * self.scale
        self.add_loss(self.rate * mean(mean(cast(x, "float32") ** 2, -1), 0))
        return x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


class MovingMean(layers.Layer):
    """A state that is not trained, and that stays as it is when the layer is frozen."""

    def __init__(self, momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, input_shape):
        self.mean = self.add_weight(name="mean", shape=(input_shape[-1],), initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, x, training=False):
        if training and self.trainable:
            now = cast(mean(x, 0), "float32")
            old = cast(self.mean, "float32")
            self.mean.assign(old * self.momentum + now * (1 - self.momentum))
        return x - cast(self.mean, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum}


class SmallModel(KERAS.Model):
    """A subclass of Model with a config."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = layers.Dense(units, activation="tanh")
        self.head = layers.Dense(1)

    def build(self, input_shape):
        self.hidden.build(input_shape)
        self.head.build((*input_shape[:-1], self.units))
        super().build(input_shape)

    def call(self, x):
        return self.head(self.hidden(x))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 1)

    def get_config(self):
        return {"name": self.name, "units": self.units}


@deferred_build
class DeferredPooling(layers.MaxPooling1D):
    """A built-in that marks itself as built on some Keras, with a weight of its own."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return super().call(x) * self.scale


class DeferredDropout(DeferredBuildMixin, layers.Dropout):
    """The same by the mixin."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x, training=None):
        return super().call(x, training=training) * self.scale


class PortableScale(PortableLayerMixin, layers.Layer):
    """Signatures of Keras 2 that the mixin makes right on every Keras."""

    def build(self, input_shape):
        self.scale = self.add_weight("scale", input_shape.as_list()[-1:], initializer="ones")

    def call(self, x):
        return x * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape


class ExtraWeightDense(ExtraWeightsMixin, layers.Dense):
    """A built-in with one more weight, which the mixin saves."""

    def build(self, input_shape):
        super().build(input_shape)
        self.temperature = self.add_weight(name="temperature", shape=(), initializer="ones")
        self.built = True

    def call(self, x):
        return super().call(x) * self.temperature


class TanhDense(layers.Dense):
    """A built-in with fewer arguments; its config has exactly these."""

    def __init__(self, units, **kwargs):
        super().__init__(units, activation="tanh", **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["activation"]
        return config


class SelfAttention(layers.Layer):
    """Attention over its own input: a sub-layer with several inputs."""

    def __init__(self, heads=2, size=3, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.size = size
        self.attention = layers.MultiHeadAttention(heads, size)
        self.normalization = layers.LayerNormalization()

    def build(self, input_shape):
        self.attention.build(input_shape, input_shape)
        self.normalization.build(input_shape)
        super().build(input_shape)

    def call(self, x, training=None):
        return self.normalization(x + self.attention(x, x, training=training))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "heads": self.heads, "size": self.size}


class Gated(layers.Layer):
    """Wraps a layer that it gets as an argument, and files it by Keras's own functions."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        self.gate = self.add_weight(name="gate", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return self.layer(x) * self.gate

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        return {**super().get_config(), "layer": layers.serialize(self.layer)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "layer": layers.deserialize(config["layer"])})


def gated():
    return Gated(layers.Dense(3))


class TwoOutputs(layers.Layer):
    """A tuple of two outputs."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale, x[..., :1] * self.scale[:1]

    def compute_output_shape(self, input_shape):
        return tuple(input_shape), (*input_shape[:-1], 1)


class WeightInInit(layers.Layer):
    """Its weight needs no input, so it stands in the constructor."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.shift = self.add_weight(name="shift", shape=(width,), initializer="zeros")

    def build(self, input_shape):
        super().build(input_shape)

    def call(self, x):
        return x + self.shift

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "width": self.width}


class Regularized(layers.Layer):
    """A weight with a regularizer and a constraint, and a tuple as an argument."""

    def __init__(self, axes=(-1,), **kwargs):
        super().__init__(**kwargs)
        self.axes = tuple(axes)

    def build(self, input_shape):
        shape = tuple(input_shape[axis] for axis in self.axes)
        self.scale = self.add_weight(
            name="scale", shape=shape, initializer="ones", regularizer="l2", constraint="non_neg"
        )
        super().build(input_shape)

    def call(self, x):
        return x * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "axes": list(self.axes)}


class FixedProjection(layers.Layer):
    """A random matrix that is not trained, but is a weight, so that files have it."""

    def __init__(self, units, seed=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.seed = seed

    def build(self, input_shape):
        self.matrix = self.add_weight(
            name="matrix",
            shape=(input_shape[-1], self.units),
            initializer=KERAS.initializers.RandomNormal(seed=self.seed),
            trainable=False,
        )
        super().build(input_shape)

    def call(self, x):
        return x @ self.matrix

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "seed": self.seed}


class SafeNorm(layers.Layer):
    """Computes in float32 and gives its output in the dtype of its input; its gradient at 0 is finite."""

    def call(self, x):
        y = cast(x, "float32")
        return cast(y / sqrt(mean(y * y, -1)[..., None] + 1e-3), x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


class NoConfigNeeded(layers.Layer):
    """No arguments and no weights."""

    def call(self, x):
        return x * 0.5 + x * x


CUSTOM = (
    Entry(Scale, (4,)),
    Entry(Scale, (3, 4)),
    Entry(OwnDense, (4,), {"units": 3, "activation": "tanh", "use_bias": False, "kernel_initializer": "he_normal"}),
    Entry(DenseInAList, (4,), {"widths": [5, 3]}),
    Entry(DenseInADict, (4,), {"units": 3}),
    Entry(Residual, (6, 3), {"filters": 4, "rate": 0.2}),
    Entry(MaskedSum, (5, 3)),
    Entry(PassesMask, (5, 3), {"factor": 3.0}),
    Entry(HalvesMask, (6, 3)),
    Entry(TrainsDifferently, (4,), {"shift": 0.5}),
    Entry(TrainsByDefault, (4,)),
    Entry(OwnsASeed, (4,), {"stddev": 0.2, "seed": 5}, where=keras3),
    Entry(CastsItsConstant, (4,)),
    Entry(DictInput, {"left": (4,), "right": (3,)}, {"units": 3}),
    Entry(ListInput, [(4,), (4,)]),
    Entry(OwnLoss, (4,), {"rate": 0.2}),
    Entry(MovingMean, (4,), {"momentum": 0.5}),
    Entry(SmallModel, (4,), {"units": 2}),
    Entry(DeferredPooling, (6, 3), {"pool_size": 2}),
    Entry(DeferredDropout, (4,), {"rate": 0.5}),
    Entry(PortableScale, (4,)),
    Entry(ExtraWeightDense, (4,), {"units": 3}),
    Entry(TanhDense, (4,), {"units": 3}),
    Entry(SelfAttention, (5, 4), {"heads": 1, "size": 2}, where=keras3),
    Entry(gated, (4,)),
    Entry(TwoOutputs, (4,)),
    Entry(WeightInInit, (4,), {"width": 4}),
    Entry(Regularized, (3, 4), {"axes": (1, 2)}),
    Entry(FixedProjection, (4,), {"units": 3, "seed": 8}),
    Entry(SafeNorm, (4,)),
    Entry(NoConfigNeeded, (4,)),
)

RIGHT = KERAS_OWN + CUSTOM
