"""``ops.image``: the functions of ``keras.ops.image`` on every Keras; see ``keras_buildfix.ops``."""

from __future__ import annotations

from typing import Any

from keras_buildfix.ops._finding import Space

_SPACE = Space("image", globals())
__all__ = _SPACE.public()  # for `import *`


def __getattr__(name: str) -> Any:
    return _SPACE.find(name)


def __dir__() -> list[str]:
    return _SPACE.names()
