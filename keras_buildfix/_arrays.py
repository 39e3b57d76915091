"""Names, sizes and ranges of dtypes, and memory for arrays. Knows nothing of Keras."""

from __future__ import annotations

import functools
import math
from typing import Any

Array = Any  # numpy.ndarray; importing numpy here would slow the commands that need none


def itemsize(dtype: str) -> int:
    """Bytes of one value: ``itemsize("bfloat16") == 2``.

    Raises:
        ValueError: If `dtype` is not the name of numbers or bools.
    """
    bits = _BITS.get(dtype)
    if bits is None:
        raise ValueError(f"weights of dtype {dtype!r} are not supported; supported are {', '.join(sorted(_BITS))}.")
    return bits // 8


_BITS = {f"{kind}{bits}": bits for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
_BITS |= {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64, "bool": 8, "complex64": 64, "complex128": 128}
_BITS |= {"float8_e4m3fn": 8, "float8_e5m2": 8}
#: The names of all dtypes of numbers and bools.
DTYPES = tuple(_BITS)


def dtype_name(dtype: Any) -> str:
    """The name of a dtype of TensorFlow, numpy, JAX or torch, or of a Python type; a name stays as it is."""
    if isinstance(dtype, str):
        return dtype.replace("torch.", "")
    for python, name in ((float, "float32"), (bool, "bool"), (int, "int32")):
        if dtype is python:
            return name
    if isinstance(dtype, type) or not hasattr(dtype, "name"):
        text = str(dtype)
        if text.startswith("torch."):
            return text.replace("torch.", "")
        import numpy as np

        return str(np.dtype(dtype).name)
    return str(dtype.name)


@functools.lru_cache(maxsize=256)
def numpy_name(dtype: Any) -> str:
    """The name of a numpy dtype, from a cache: numpy makes the text at each access."""
    return str(dtype.name)


def empty_aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An empty array at an address from which JAX and TensorFlow can take it over without a copy."""
    import numpy as np

    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + _ALIGNED, "uint8")
    start = -buffer.ctypes.data % _ALIGNED
    return buffer[start : start + size].view(dtype).reshape(shape)


#: JAX and TensorFlow take over an array without a copy if its address is a multiple of this.
_ALIGNED = 64


#: For each dtype, the largest number that casting to it does not turn into infinity.
LARGEST = {
    "float16": 65519.0,
    "bfloat16": 3.3961e38,
    "float32": 3.4028235e38,
    "float8_e4m3fn": 448.0,
    "float8_e5m2": 57344.0,
}


@functools.lru_cache(maxsize=256)
def kind_of_dtype(dtype: str) -> str:
    """``"bool"``, ``"float"``, ``"whole"``, ``"complex"`` or ``"other"``."""
    if dtype == "bool":
        return "bool"
    for kind, start in (("float", ("float", "bfloat")), ("whole", ("int", "uint")), ("complex", ("complex",))):
        if dtype.startswith(start):
            return kind
    return "other"


def holds_all_of(dtype: str, other: str) -> bool:
    """Whether one dtype of whole numbers holds all values of the other."""
    signed, other_signed = dtype.startswith("int"), other.startswith("int")
    if other_signed and not signed:
        return False
    return itemsize(dtype) > itemsize(other) or (itemsize(dtype) == itemsize(other) and signed == other_signed)
