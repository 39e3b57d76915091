"""``ops.linalg``: the functions of ``keras.ops.linalg`` on every Keras; see ``keras_buildfix.ops``."""

from __future__ import annotations

from typing import Any

from keras_buildfix.ops._finding import Space

_SPACE = Space("linalg", globals())
__all__ = _SPACE.public()  # for `import *`


def __getattr__(name: str) -> Any:
    return _SPACE.find(name)


def __dir__() -> list[str]:
    return _SPACE.names()
