"""Five portable layers, written once as a user would, with `ops`: what test_portable_layers.py trains."""

from keras_buildfix import PortableLayerMixin, ops


def layers_of(keras):
    """The classes, over the `Layer` of a Keras, by name."""

    class MultiHeadAttention(PortableLayerMixin, keras.layers.Layer):
        """Attention by hand, with heads and a mask of the words that count."""

        def __init__(self, heads, units, **options):
            super().__init__(**options)
            self.heads, self.units = heads, units
            self.supports_masking = True

        def build(self, input_shape):
            width = input_shape[-1]
            self.qkv = self.add_weight("qkv", (3, width, self.heads * self.units))
            self.out = self.add_weight("out", (self.heads * self.units, width))

        def split(self, x):
            return ops.transpose(ops.reshape(x, (-1, x.shape[1], self.heads, self.units)), (0, 2, 1, 3))

        def call(self, x, mask=None):
            q, k, v = (self.split(ops.matmul(x, w)) for w in ops.unstack(ops.convert_to_tensor(self.qkv), 3))
            scores = ops.matmul(q, ops.swapaxes(k, -1, -2)) / ops.sqrt(ops.convert_to_tensor(float(self.units)))
            if mask is not None:
                scores = ops.where(mask[:, None, None, :], scores, -1e4)
            found = ops.transpose(ops.matmul(ops.softmax(scores, axis=-1), v), (0, 2, 1, 3))
            return x + ops.matmul(ops.reshape(found, (-1, x.shape[1], self.heads * self.units)), self.out)

        def get_config(self):
            return {**super().get_config(), "heads": self.heads, "units": self.units}

    class GatedConv(PortableLayerMixin, keras.layers.Layer):
        """A convolution along time, whose output is gated by another one."""

        def __init__(self, filters, size=3, **options):
            super().__init__(**options)
            self.filters, self.size = filters, size

        def build(self, input_shape):
            self.kernel = self.add_weight("kernel", (self.size, input_shape[-1], 2 * self.filters))
            self.bias = self.add_weight("bias", (2 * self.filters,), initializer="zeros")

        def call(self, x):
            value, gate = ops.split(ops.conv(x, self.kernel, padding="same") + self.bias, 2, axis=-1)
            return ops.tanh(value) * ops.sigmoid(gate)

        def get_config(self):
            return {**super().get_config(), "filters": self.filters, "size": self.size}

    class MovingNorm(PortableLayerMixin, keras.layers.Layer):
        """Normalizes over the last axis, then by statistics that move in training."""

        def build(self, input_shape):
            width = input_shape[-1:]
            self.scale = self.add_weight("scale", width, initializer="ones")
            self.shift = self.add_weight("shift", width, initializer="zeros")
            self.mean = self.add_weight("moving_mean", width, initializer="zeros", trainable=False)
            self.spread = self.add_weight("moving_spread", width, initializer="ones", trainable=False)

        def call(self, x, training=False):
            mean, variance = ops.moments(x, axes=[-1], keepdims=True)
            x = (x - mean) * ops.rsqrt(variance + 1e-3)
            if training:
                axes = list(range(x.ndim if hasattr(x, "ndim") else len(x.shape)))[:-1]
                mean, variance = ops.moments(ops.cast(x, "float32"), axes=axes)
                self.mean.assign(0.9 * ops.cast(self.mean, "float32") + 0.1 * mean)
                self.spread.assign(0.9 * ops.cast(self.spread, "float32") + 0.1 * ops.sqrt(variance))
            return (x - self.mean) / self.spread * self.scale + self.shift

    class ScannedCell(PortableLayerMixin, keras.layers.Layer):
        """A gated recurrent cell, run over time by `scan`."""

        def __init__(self, units, **options):
            super().__init__(**options)
            self.units = units

        def build(self, input_shape):
            self.inner = self.add_weight("inner", (self.units, 2 * self.units))
            self.outer = self.add_weight("outer", (input_shape[-1], 2 * self.units))

        def call(self, x):
            inputs = ops.transpose(ops.matmul(x, self.outer), (1, 0, 2))
            inner = ops.convert_to_tensor(self.inner)
            start = ops.zeros_like(inputs[0][:, : self.units])

            def step(state, now):
                new, gate = ops.split(now + ops.matmul(state, inner), 2, axis=-1)
                gate = ops.sigmoid(gate)
                state = gate * state + (1 - gate) * ops.tanh(new)
                return state, state

            last, _ = ops.scan(step, start, inputs)
            return last

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    class Experts(PortableLayerMixin, keras.layers.Layer):
        """Each row goes through the best few of many dense experts, by `top_k` and `scatter`."""

        def __init__(self, experts, best, units, **options):
            super().__init__(**options)
            self.experts, self.best, self.units = experts, best, units

        def build(self, input_shape):
            self.router = self.add_weight("router", (input_shape[-1], self.experts))
            self.kernel = self.add_weight("kernel", (self.experts, input_shape[-1], self.units))

        def call(self, x):
            scores, chosen = ops.top_k(ops.matmul(x, self.router), self.best)
            scores = ops.softmax(scores, axis=-1)
            rows = ops.shape(x)[0]
            row = ops.repeat(ops.arange(rows, dtype="int32"), self.best)
            at = ops.stack([row, ops.reshape(ops.cast(chosen, "int32"), (-1,))], axis=-1)
            gates = ops.scatter(at, ops.reshape(scores, (-1,)), (rows, self.experts))
            return ops.einsum("be,bi,eiu->bu", gates, x, self.kernel)

        def get_config(self):
            return {**super().get_config(), "experts": self.experts, "best": self.best, "units": self.units}

    return {
        "MultiHeadAttention": (MultiHeadAttention, {"heads": 2, "units": 3}, (5, 4)),
        "GatedConv": (GatedConv, {"filters": 3}, (5, 4)),
        "MovingNorm": (MovingNorm, {}, (5, 4)),
        "ScannedCell": (ScannedCell, {"units": 3}, (5, 4)),
        "Experts": (Experts, {"experts": 4, "best": 2, "units": 3}, (6,)),
    }
