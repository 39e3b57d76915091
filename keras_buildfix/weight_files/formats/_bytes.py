"""Helpers for all formats: reading bytes of a file as an array, and limits on what a file may claim."""

from __future__ import annotations

import importlib
import os
import zipfile
from typing import IO, Any

from keras_buildfix._arrays import Array, empty_aligned, itemsize
from keras_buildfix.weight_files.entry import Entry

#: A small file must not fill the memory: an array may be EXPANSION times as large as its bytes in the file, or have
#: SMALL bytes.
EXPANSION, SMALL = 200, 64 << 20


class BadFileError(ValueError):
    """Raised for a file that can't be read as weights: it is broken, has no weights, or makes false claims."""

    __module__ = "keras_buildfix"  # the public name, which tracebacks show


def dtype_of(name: str) -> Any:
    """The numpy dtype of a name; ``bfloat16`` and ``float8_...`` need ml_dtypes, which every Keras 3 installs."""
    import numpy as np

    if name.startswith(("bfloat", "float8")):
        return np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
    return np.dtype(name)


def from_bits(bits: Array, name: str) -> Array:
    """Makes values of a dtype that numpy lacks from their bits; without ml_dtypes bfloat16 becomes float32."""
    try:
        return bits.view(dtype_of(name))
    except ModuleNotFoundError:
        if name != "bfloat16":
            raise BadFileError(
                f"values of dtype {name} need the package ml_dtypes (`pip install ml_dtypes`)."
            ) from None
    return (bits.astype("uint32") << 16).view("float32")


def are_lengths(numbers: list[Any]) -> bool:
    """Whether these are whole numbers that can be sizes of a shape or counts of bytes."""
    return all(type(number) is int and 0 <= number < 1 << 48 for number in numbers)


def shape_size(shape: list[Any]) -> Any:
    """The product of a shape's sizes without the zeros, because numpy limits that product too."""
    size = 1
    for length in shape:
        size *= length if type(length) is int and length else 1
    return size


def to_bits(entry: Entry) -> Array:
    """Reads an entry's value for writing: checks its shape and dtype, and gives bfloat16 as ``uint16``."""
    import numpy as np

    value = np.asarray(entry.read())
    if entry.dtype == "bfloat16":
        # Without ml_dtypes bfloat16 is read as float32, whose upper half has all of its bits.
        value = (value.view("uint32") >> 16).astype("uint16") if value.dtype == "float32" else value.view("uint16")
    if value.dtype.byteorder == ">":
        value = value.astype(value.dtype.newbyteorder("<"))
    if value.shape != entry.shape or value.dtype.itemsize != itemsize(entry.dtype):
        raise ValueError(f"{entry.name} changed while it was saved.")
    return value


def is_plausible(size: int, stored: int) -> bool:
    """Whether `stored` bytes of a file may hold an array of `size` bytes."""
    return size <= SMALL or size <= EXPANSION * stored


def read_at(file: IO[bytes], offset: int, shape: tuple[int, ...], dtype: str) -> Array:
    """Reads an array that lies uncompressed in a file, little-endian and in C order."""
    import numpy as np

    bits = _BITS_OF.get(dtype)
    array = empty_aligned(shape, np.dtype(bits or dtype).newbyteorder("<"))
    fill(array, file, offset)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return from_bits(array, dtype) if bits else array


#: A dtype that numpy lacks -> the dtype of the same size as which numpy can read it.
_BITS_OF = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}


def fill(array: Array, file: IO[bytes], offset: int) -> None:
    """Fills an array with the bytes at an offset."""
    target = memoryview(array.reshape(-1).view("uint8"))
    while len(target):
        count = read_into(target, file, offset)
        target, offset = target[count:], offset + count


def start_of_member(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member of a zip begin: after its own header, whose last two parts vary in size."""
    file.seek(info.header_offset + 26)
    lengths = file.read(4)
    start = info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    if info.file_size != info.compress_size or start + info.file_size > os.fstat(file.fileno()).st_size:
        raise BadFileError(f"its member {info.filename!r:.80} is not completely in it.")
    return start


def read_into(target: memoryview, file: IO[bytes], offset: int) -> int:
    """Reads as much as the system gives at once, and returns how many bytes that was."""
    if hasattr(os, "preadv"):
        count = os.preadv(file.fileno(), [target], offset)
    else:
        file.seek(offset)
        count = file.readinto(target)  # type: ignore[attr-defined]
    if not count:
        raise BadFileError("the file ends before its data does.")
    return int(count)
