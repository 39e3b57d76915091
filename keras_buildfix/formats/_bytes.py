"""What all formats need: bytes of a file as an array, and the limits of what is believed."""

from __future__ import annotations

import importlib
import math
import os
import zipfile
from typing import IO, Any

from keras_buildfix._entries import Entry, itemsize

Array = Any  # numpy.ndarray; importing numpy here would slow the commands that need none

#: An array may be this many times as large as what a file stores of it (it was compressed), or this many bytes.
EXPANSION, SMALL = 200, 64 << 20


class BadFileError(ValueError):
    """A file that can't be read as weights, since it is broken, no file of weights, or not what it says."""

    __module__ = "keras_buildfix"  # what a traceback shows, and `except` can name


def dtype_of(name: str) -> Any:
    """The numpy dtype of a name; ``bfloat16`` and ``float8_...`` with ml_dtypes, which every Keras 3 brings."""
    import numpy as np

    if name.startswith(("bfloat", "float8")):
        return np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
    return np.dtype(name)


def from_bits(bits: Array, name: str) -> Array:
    """Values of a dtype that numpy has no name for, from their bits; bfloat16 as float32 without ml_dtypes."""
    try:
        return bits.view(dtype_of(name))
    except ModuleNotFoundError:
        if name != "bfloat16":
            raise BadFileError(
                f"values of dtype {name} need the package ml_dtypes (`pip install ml_dtypes`)."
            ) from None
    return (bits.astype("uint32") << 16).view("float32")


def are_lengths(numbers: list[Any]) -> bool:
    """Whether these are whole numbers that a shape, or an array's bytes, can be."""
    return all(type(number) is int and 0 <= number < 1 << 48 for number in numbers)


def shape_size(shape: list[Any]) -> Any:
    """How many values a shape has without its zeros, which numpy counts too; no number if it is no shape."""
    size = 1
    for length in shape:
        size *= length if type(length) is int and length else 1
    return size


def to_bits(entry: Entry) -> Array:
    """The value of an entry, to be written: of its shape and dtype for sure, bfloat16 as ``uint16``."""
    import numpy as np

    value = np.asarray(entry.read())
    if entry.dtype == "bfloat16":
        # float32 is how it is read where ml_dtypes is missing; its upper half is all there is to it
        value = (value.view("uint32") >> 16).astype("uint16") if value.dtype == "float32" else value.view("uint16")
    if value.dtype.byteorder == ">":
        value = value.astype(value.dtype.newbyteorder("<"))
    if value.shape != entry.shape or value.dtype.itemsize != itemsize(entry.dtype):
        raise ValueError(f"{entry.name} changed while it was saved.")
    return value


def is_plausible(size: int, stored: int) -> bool:
    """Whether an array of `size` bytes may come out of `stored` bytes of a file."""
    return size <= SMALL or size <= EXPANSION * stored


def read_at(file: IO[bytes], offset: int, shape: tuple[int, ...], dtype: str) -> Array:
    """An array that lies in a file as it is, little-endian and in C order. The file's position stays free."""
    import numpy as np

    bits = _BITS_OF.get(dtype)
    array = empty(shape, np.dtype(bits or dtype).newbyteorder("<"))
    fill(array, file, offset)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return from_bits(array, dtype) if bits else array


#: What numpy can read these as.
_BITS_OF = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array to be filled, at an address from which JAX and TensorFlow take it over without a copy."""
    import numpy as np

    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + _ALIGNED, "uint8")
    start = -buffer.ctypes.data % _ALIGNED
    return buffer[start : start + size].view(dtype).reshape(shape)


_ALIGNED = 64


def fill(array: Array, file: IO[bytes], offset: int) -> None:
    """Fills an array with the bytes at an offset."""
    target = memoryview(array.reshape(-1).view("uint8"))
    while len(target):
        count = read_into(target, file, offset)
        target, offset = target[count:], offset + count


def start_of_member(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member of a zip begin: behind its own header, whose last two sizes vary."""
    file.seek(info.header_offset + 26)
    lengths = file.read(4)
    start = info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    if info.file_size != info.compress_size or start + info.file_size > os.fstat(file.fileno()).st_size:
        raise BadFileError(f"its member {info.filename!r:.80} does not lie in it as a whole.")
    return start


def read_into(target: memoryview, file: IO[bytes], offset: int) -> int:
    """Reads what the system gives at once; how many bytes that was."""
    if hasattr(os, "preadv"):
        count = os.preadv(file.fileno(), [target], offset)
    else:
        file.seek(offset)
        count = file.readinto(target)  # type: ignore[attr-defined]
    if not count:
        raise BadFileError("the file ends before its data does.")
    return int(count)
