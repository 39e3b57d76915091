"""``ops.linalg``: the functions of ``keras.ops.linalg`` on every Keras; see ``keras_buildfix.ops``."""

from __future__ import annotations

from keras_buildfix.ops._finding import Space

_SPACE = Space("linalg", globals())
__all__ = _SPACE.public()  # for `import *`
__getattr__ = _SPACE.find
__dir__ = _SPACE.names
