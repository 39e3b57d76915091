"""Reads and writes ``.npz``, a zip of arrays like that of ``numpy.savez``. It never loads pickled objects."""

from __future__ import annotations

import functools
import io
import math
import os
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from typing import IO, Any

from keras_buildfix._arrays import Array, empty_aligned
from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weight_files.formats._bytes import (
    BadFileError,
    are_lengths,
    from_bits,
    is_plausible,
    read_at,
    read_into,
    shape_size,
    start_of_member,
    to_bits,
)

_CHUNK = 4 << 20

#: How much of a member we read to find its header: numpy's limit for it, and at most 12 bytes that stand before it.
_LONGEST_HEADER = 10_012


_COMPLEX = ("complex64", "complex128")


def read(file: IO[bytes]) -> dict[str, Entry]:
    """The arrays in a file."""
    try:
        archive = zipfile.ZipFile(file)
        entries: dict[str, Entry] = {}
        for info in archive.infolist():
            name = info.filename[:-4] if info.filename.endswith(".npy") else info.filename
            if name in entries:
                raise BadFileError(f"it has {name!r} twice.")
            entries[name] = _entry(archive, info, name, file)
        return entries
    except BadFileError:
        raise
    except ModuleNotFoundError:  # numpy is missing; that does not make the file broken
        raise ModuleNotFoundError(".npz files need numpy: `pip install numpy`.", name="numpy") from None
    except Exception as error:  # zipfile and numpy raise many kinds of errors on broken input
        raise BadFileError(f"the .npz is cut off or damaged ({type(error).__name__}: {error}).") from None


def write(file: IO[bytes], entries: Iterable[Entry]) -> None:
    """Writes weights uncompressed, one in memory at a time. bfloat16 becomes two bytes without a type, as in numpy."""
    import numpy as np

    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            # A ZipInfo has a fixed date, so that the same weights give the same file.
            info = zipfile.ZipInfo(f"{entry.name}.npy")
            with archive.open(info, "w", force_zip64=True) as member:
                value = to_bits(entry)
                value = value.view("V2") if entry.dtype == "bfloat16" else value
                np.lib.format.write_array(member, value, allow_pickle=False)


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, file: IO[bytes]) -> Entry:
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name.startswith("/") or not info.filename.endswith(".npy"):
        raise BadFileError(f"its member {info.filename!r:.80} is not an array of weights.")
    if info.flag_bits & 1:
        raise BadFileError(f"its member {info.filename!r:.80} is encrypted.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others inflate without a limit
        raise BadFileError(f"its member {info.filename!r:.80} is compressed in a way that is not supported.")
    with archive.open(info) as member:
        beginning = io.BytesIO(member.read(_LONGEST_HEADER))  # numpy would read as much as the header claims
    shape, fortran, dtype = _header(beginning, name)
    start = beginning.tell()
    size = dtype.itemsize * math.prod(shape)
    if info.file_size - start != size:
        raise BadFileError(f"{name!r} claims {size:,} bytes; its member has {info.file_size - start:,}.")
    if info.compress_size > os.fstat(file.fileno()).st_size or not is_plausible(size, info.compress_size):
        raise BadFileError(
            f"{name!r} claims {size:,} bytes, of which the file stores {info.compress_size:,}: that can't be true."
        )
    known = "bfloat16" if dtype.kind == "V" else dtype.newbyteorder("=").name

    # The zip has a checksum, so reading a member once shows whether it is complete.
    if info.compress_type == zipfile.ZIP_STORED and not fortran and dtype.byteorder in "<|=":
        at = start_of_member(file, info)
        check = functools.partial(_check, file, info, at)
        return Entry(name, shape, known, functools.partial(read_at, file, at + start, shape, known), check=check)
    read_array = functools.partial(_read, archive, info, start, shape, fortran, dtype, known)
    return Entry(name, shape, known, read_array, check=read_array)


def _check(file: IO[bytes], info: zipfile.ZipInfo, start: int) -> None:
    """Compares the checksum of an uncompressed member."""
    found, at, end = 0, start, start + info.file_size
    buffer = memoryview(bytearray(_CHUNK))
    while at < end:
        count = read_into(buffer[: min(_CHUNK, end - at)], file, at)
        found, at = zlib.crc32(buffer[:count], found), at + count
    if found != info.CRC:
        raise BadFileError(f"{info.filename!r} is broken: its checksum is wrong.")


def _header(member: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, Any]:
    import numpy as np

    version = np.lib.format.read_magic(member)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise BadFileError(f"{name!r} is an array of the unknown version {version}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of headers that Python 2 wrote
        shape, fortran, dtype = readers[version](member)
    if (
        dtype.hasobject
        or dtype.names
        or dtype.subdtype
        or dtype.kind not in "biufcV"
        or (dtype.kind == "V" and dtype.itemsize != 2)
    ):
        raise BadFileError(
            f"{name!r} holds {'pickled objects' if dtype.hasobject else str(dtype)!r}, which is not read."
        )
    if not are_lengths([*shape, shape_size(list(shape))]) or len(shape) > 32:
        raise BadFileError(f"{name!r} has an impossible shape.")
    if dtype.kind in "fc" and dtype.newbyteorder("=").name not in ("float16", "float32", "float64", *_COMPLEX):
        raise BadFileError(f"{name!r} holds {str(dtype)!r:.40}, which is not known here.")
    return tuple(shape), bool(fortran), dtype


def _read(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    start: int,
    shape: tuple[int, ...],
    fortran: bool,
    dtype: Any,
    known: str,
) -> Array:
    array = empty_aligned(shape[::-1] if fortran else shape, "uint16" if dtype.kind == "V" else dtype)
    target = memoryview(array.reshape(-1).view("uint8"))
    try:
        with archive.open(info) as member:
            member.read(start)
            while len(target):
                data = member.read(min(len(target), _CHUNK))
                if not data:
                    raise BadFileError(f"{info.filename!r} ends before its data does.")
                target[: len(data)] = data
                target = target[len(data) :]
            if member.read(1):  # reaching the end also checks the checksum
                raise BadFileError(f"{info.filename!r} goes on after its data.")
    except BadFileError:
        raise
    except Exception as error:
        raise BadFileError(f"{info.filename!r} is broken: {type(error).__name__}: {error}") from None
    array = array.T if fortran else array
    if dtype.kind == "V":
        return from_bits(array, known)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
