"""Five layers that are written once, with `ops` only, as a user would."""

import bands  # noqa: F401  # finds the environment before Keras is imported

from keras_buildfix import PortableLayerMixin, keras_info, ops

KERAS = __import__(keras_info().package)
Layer = KERAS.layers.Layer


class Attention(PortableLayerMixin, Layer):
    """Attention with several heads, over the steps that are not all zero."""

    def __init__(self, heads=2, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape):
        size = input_shape[-1]
        self.qkv = self.add_weight(name="qkv", shape=(size, 3 * size))
        self.out = self.add_weight(name="out", shape=(size, size))
        super().build(input_shape)

    def call(self, x):
        steps, size = x.shape[1], x.shape[2]
        mask = ops.any(ops.not_equal(x, 0), axis=-1)
        q, k, v = ops.split(ops.matmul(x, self.qkv), 3, axis=-1)
        split = (-1, steps, self.heads, size // self.heads)
        q, k, v = (ops.transpose(ops.reshape(each, split), (0, 2, 1, 3)) for each in (q, k, v))
        scores = ops.einsum("bhqd,bhkd->bhqk", q, k) / (size // self.heads) ** 0.5
        scores = ops.where(mask[:, None, None, :], scores, -1e4)
        y = ops.transpose(ops.matmul(ops.softmax(scores, axis=-1), v), (0, 2, 1, 3))
        return ops.matmul(ops.reshape(y, (-1, steps, size)), self.out)


class GatedConvolution(PortableLayerMixin, Layer):
    """A convolution whose other half of channels says how much passes."""

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(3, input_shape[-1], 8))
        super().build(input_shape)

    def call(self, x):
        value, gate = ops.split(ops.conv(x, self.kernel, strides=1, padding="same"), 2, axis=-1)
        return value * ops.sigmoid(gate)


class MovingNorm(PortableLayerMixin, Layer):
    """Normalizes by the batch's statistics in training and by moving ones else."""

    def build(self, input_shape):
        shape = input_shape[-1:]
        self.gain = self.add_weight(name="gain", shape=shape, initializer="ones")
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
        self.variance = self.add_weight(name="variance", shape=shape, initializer="ones", trainable=False)
        super().build(input_shape)

    def call(self, x, training=False):
        if training:
            mean, variance = ops.mean(x, axis=(0, 1)), ops.var(x, axis=(0, 1))
            for moving, now in ((self.mean, mean), (self.variance, variance)):
                moving.assign_add(0.1 * ops.cast(now - moving, "float32"))
        else:
            mean, variance = self.mean + 0.0, self.variance + 0.0
        return (x - mean) * ops.rsqrt(variance + 1e-3) * self.gain


class Recurrent(PortableLayerMixin, Layer):
    """A cell that runs over the steps by `ops.scan`."""

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 4))
        self.recurrent = self.add_weight(name="recurrent", shape=(4, 4))
        super().build(input_shape)

    def call(self, x):
        inputs = ops.transpose(ops.matmul(x, self.kernel), (1, 0, 2))
        recurrent = self.recurrent + 0.0

        def step(state, now):
            state = ops.tanh(now + ops.matmul(state, recurrent))
            return state, state

        _, states = ops.scan(step, ops.zeros_like(inputs[0]), inputs)
        return ops.transpose(states, (1, 0, 2))


class Experts(PortableLayerMixin, Layer):
    """Each step is a mixture of the two experts that its gate likes most."""

    def build(self, input_shape):
        self.gate = self.add_weight(name="gate", shape=(input_shape[-1], 4))
        self.experts = self.add_weight(name="experts", shape=(4, input_shape[-1], 3))
        super().build(input_shape)

    def call(self, x):
        flat = ops.reshape(x, (-1, x.shape[-1]))
        best, which = ops.top_k(ops.matmul(flat, self.gate), 2)
        rows = ops.repeat(ops.arange(ops.shape(flat)[0]), 2)
        places = ops.stack([rows, ops.cast(ops.reshape(which, (-1,)), rows.dtype)], axis=-1)
        shares = ops.scatter(places, ops.reshape(ops.softmax(best), (-1,)), (ops.shape(flat)[0], 4))
        y = ops.einsum("ne,nd,edf->nf", shares, flat, self.experts)
        return ops.reshape(y, (-1, x.shape[1], 3))


LAYERS = {each.__name__: each for each in (Attention, GatedConvolution, MovingNorm, Recurrent, Experts)}
