"""``ops.numpy``: the functions of ``keras.ops.numpy`` on every Keras; see ``keras_buildfix.ops``."""

from __future__ import annotations

from keras_buildfix.ops._finding import Space

_SPACE = Space("numpy", globals())
__all__ = _SPACE.public()  # for `import *`
__getattr__ = _SPACE.find
__dir__ = _SPACE.names
