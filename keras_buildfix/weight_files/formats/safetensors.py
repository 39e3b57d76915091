"""Reads and writes ``.safetensors``: a JSON header, then the arrays one after the other.

We do not use the package of that name: it needs all arrays in memory to write them, and does not know bfloat16
without ml_dtypes. The tests read our files with that package, and its files with this module.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Iterable, Sequence
from typing import IO, Any

from keras_buildfix._arrays import itemsize
from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weight_files.formats._bytes import BadFileError, are_lengths, read_at, shape_size, to_bits

#: The longest header that we read; enough for about 100,000 weights. (The format's own limit is 100 MB.)
_LONGEST_HEADER = 16 << 20

_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "I64": "int64",
    "U64": "uint64",
    "F64": "float64",
    "C64": "complex64",
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


def looks_like(start: bytes, size: int) -> bool:
    """Whether a file begins like this format."""
    return len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size - 8


def read(file: IO[bytes]) -> tuple[dict[str, Entry], dict[str, str]]:
    """Reads the weights in a file, and the notes beside them."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, _LONGEST_HEADER):
        raise BadFileError(
            f"its header claims {length:,} bytes of {max(size - 8, 0):,}; {_LONGEST_HEADER:,} at most are read."
        )
    header = _parse(file.read(length))
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(text, str) for text in notes.values()):
        raise BadFileError("its header's __metadata__ is not a mapping of text to text.")
    entries, spans = {}, []
    for name, value in header.items():
        dtype, shape, (begin, end) = _described(name, value)
        wanted = itemsize(dtype) * math.prod(shape)
        if end - begin != wanted or end > size - 8 - length:
            raise BadFileError(
                f"{name!r} claims bytes {begin} to {end} for {wanted} bytes of {dtype}{list(shape)}; "
                f"the file has {size - 8 - length}."
            )
        spans.append((begin, end))
        offset = 8 + length + begin
        entries[name] = Entry(name, shape, dtype, functools.partial(read_at, file, offset, shape, dtype))
    _check_spans(sorted(spans), size - 8 - length)
    return entries, notes


def write(file: IO[bytes], entries: Iterable[Entry], notes: dict[str, str]) -> None:
    """Writes weights, one in memory at a time."""
    import numpy as np

    entries = list(entries)
    text = header(entries, notes)
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for entry in entries:
        value = to_bits(entry)
        file.write(memoryview(np.ascontiguousarray(value).reshape(-1).view("uint8")))


def header(entries: Sequence[Entry], notes: dict[str, str]) -> bytes:
    """The bytes with which a file of these weights begins.

    Raises:
        ValueError: If the format can't hold them.
    """
    described: dict[str, Any] = {"__metadata__": notes} if notes else {}
    offset = 0
    for entry in entries:
        if entry.dtype not in _CODES:
            raise ValueError(f"{entry.name}: .safetensors has no dtype {entry.dtype}; .npz takes every numpy dtype.")
        described[entry.name] = {
            "dtype": _CODES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.size],
        }
        offset += entry.size
    text = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LONGEST_HEADER:
        raise ValueError(f"the names and shapes of {len(entries):,} weights are too many for one file's header.")
    return text


def _parse(text: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise BadFileError("its header has a name twice.")
        return found

    try:
        header = json.loads(text, object_pairs_hook=once)
    except BadFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise BadFileError(f"its header is not JSON: {type(error).__name__}.") from None
    if not isinstance(header, dict):
        raise BadFileError("its header is not a mapping.")
    return header


def _described(name: str, value: Any) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise BadFileError(f"{name!r} is not described by dtype, shape and data_offsets.")
    shape, offsets = value["shape"], value["data_offsets"]
    whole = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2 and len(shape) <= 32
    if not whole or not are_lengths([*shape, *offsets]) or not are_lengths([shape_size(shape)]):
        raise BadFileError(f"{name!r} has an impossible shape or impossible offsets.")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise BadFileError(f"it has a name that is not text: {name!r}.")
    if not isinstance(value["dtype"], str) or value["dtype"] not in _DTYPES:
        raise BadFileError(f"{name!r} has the dtype {value['dtype']!r:.40}; known are {', '.join(_DTYPES)}.")
    return _DTYPES[value["dtype"]], tuple(shape), (offsets[0], offsets[1])


def _check_spans(spans: list[tuple[int, int]], size: int) -> None:
    """Checks that the arrays lie one after the other and fill the file, as the format demands."""
    at = 0
    for begin, end in spans:
        if begin != at:
            raise BadFileError(f"its arrays overlap or leave a gap at byte {min(begin, at)}.")
        at = end
    if at != size:
        raise BadFileError(f"its arrays end at byte {at}, the file's data at {size}.")
