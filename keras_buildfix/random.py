"""``random``: the functions of ``keras.random`` by their names and signatures, on every Keras.

As in ``keras_buildfix.ops``, a function is Keras's own on Keras 3, and one over TensorFlow on Keras 2 and tf_keras.
Those that draw floats give them in the compute dtype, in the ``call`` of a portable layer.
"""

from __future__ import annotations

from keras_buildfix.ops._finding import Space

_SPACE = Space("random", globals())
__all__ = _SPACE.public()  # for `import *`
__getattr__ = _SPACE.find
__dir__ = _SPACE.names
