"""Reads a ``.keras`` of Keras 2.13 and later: a zip with an HDF5 file of weights and a config with layer names."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from typing import IO

from keras_buildfix.weight_files.formats._bytes import BadFileError, is_plausible, start_of_member

_WEIGHTS = "model.weights.h5"
_CONFIG = "config.json"
_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile inflates other kinds without a limit
#: A larger config is not read: it is needed only for the names of layers.
_LARGEST_CONFIG = 16 << 20
_CHUNK = 1 << 20


def is_model(file: IO[bytes]) -> bool:
    """Whether a zip is a Keras model: it has a config (or weights) at its top."""
    try:
        names = zipfile.ZipFile(file).namelist()
    except Exception:  # reading it later reports what is wrong
        return False
    return _WEIGHTS in names or _CONFIG in names


def weights_in(file: IO[bytes]) -> tuple[IO[bytes], int, int]:
    """The HDF5 file in a model: the file, its start and its length. Unpacks a compressed one to a temporary file."""
    size = os.fstat(file.fileno()).st_size
    try:
        archive = zipfile.ZipFile(file)
        members = [info for info in archive.infolist() if info.filename == _WEIGHTS]
        if len(members) != 1:
            raise BadFileError(f"it has {len(members)} members {_WEIGHTS}; a model has one.")
        (info,) = members
        if info.flag_bits & 1:
            raise BadFileError(f"its {_WEIGHTS} is encrypted.")
        if info.compress_size > size or not is_plausible(info.file_size, info.compress_size):
            raise BadFileError(
                f"its {_WEIGHTS} claims {info.file_size:,} bytes and stores {info.compress_size:,}: that can't be true."
            )
        if info.compress_type not in _READ:
            raise BadFileError(f"its {_WEIGHTS} is compressed in a way that is not supported.")
        with archive.open(info) as member:  # compares the names and sizes in both of the zip's headers
            if info.compress_type == zipfile.ZIP_STORED:
                return file, start_of_member(file, info), info.file_size
            unpacked = tempfile.NamedTemporaryFile(suffix=".h5")  # noqa: SIM115 - the reader keeps it
            shutil.copyfileobj(member, unpacked, _CHUNK)
            unpacked.flush()
            return unpacked, 0, info.file_size
    except BadFileError:
        raise
    except Exception as error:  # zipfile raises many kinds of errors on broken input
        raise BadFileError(f"the .keras is cut off or damaged ({type(error).__name__}: {error}).") from None


def config_in(file: IO[bytes]) -> bytes:
    """The config of a model; empty if it can't be read, because weights can be read without it."""
    try:
        archive = zipfile.ZipFile(file)
        (info,) = [info for info in archive.infolist() if info.filename == _CONFIG]
        believed = info.file_size <= _LARGEST_CONFIG and is_plausible(info.file_size, info.compress_size)
        if info.flag_bits & 1 or not believed or info.compress_type not in _READ:
            return b""
        with archive.open(info) as member:
            return member.read(_LARGEST_CONFIG)
    except Exception:  # zipfile raises many kinds of errors on broken input
        return b""
