"""``random``: the functions of ``keras.random`` by their names and signatures, on every Keras.

As in ``keras_buildfix.ops``, a function is Keras's own on Keras 3, and one over TensorFlow on Keras 2 and tf_keras.
Those that draw floats give them in the compute dtype, in the ``call`` of a portable layer.
"""

from __future__ import annotations

from typing import Any

from keras_buildfix.ops._finding import Space

_SPACE = Space("random", globals())
__all__ = _SPACE.public()  # for `import *`


def __getattr__(name: str) -> Any:
    return _SPACE.find(name)


def __dir__() -> list[str]:
    return _SPACE.names()
