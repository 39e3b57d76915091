"""``ops``: the functions of ``keras.ops``, by their names and signatures, on every Keras.

    from keras_buildfix import ops, random

    class Attention(PortableLayerMixin, keras.layers.Layer):
        def call(self, q, k, v):
            return ops.matmul(ops.softmax(ops.matmul(q, ops.swapaxes(k, -1, -2))), v)

- On Keras 3 a function is Keras's own: ``ops.matmul is keras.ops.matmul``.
- On Keras 2 and tf_keras it is a thin one over TensorFlow.
- A function that this Keras 3 does not have yet is written with those that it has.
- The functions that make a tensor from nothing (``ones``, ``arange``, ``convert_to_tensor`` of an array...) give it in
  the compute dtype, in the ``call`` of a portable or mixed-precision-safe layer. With ``dtype=``, and elsewhere, they
  do what Keras's own do.

``ops.nn``, ``ops.numpy``, ``ops.image`` and ``ops.linalg`` have the names that they have in ``keras.ops``.

A function is looked up once. If the process has both Keras 3 and tf_keras, it is looked up at each use: it is that of
the Keras whose portable layer runs now, else that of ``keras_info()``.
"""

from __future__ import annotations

from keras_buildfix.ops._finding import Space

#: What other parts of the package may use: file -> names.
SHARED = {"_finding": ("Space",)}

_SPACE = Space("", globals())
__all__ = _SPACE.public()  # for `import *`
__getattr__ = _SPACE.find
__dir__ = _SPACE.names
