"""Which constructor is running for a layer."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any


def is_being_constructed(layer: Any) -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__init__" and code.co_varnames and frame.f_locals.get(code.co_varnames[0]) is layer:
            return True
        frame = frame.f_back
    return False
