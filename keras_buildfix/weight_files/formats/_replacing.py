"""Writes a file completely or not at all: writes a new file beside the old one, then renames it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a path to write to, in a new folder beside the file. If the block ends well, the file becomes `path`.

    A process that is killed in the middle leaves the old file as it was, and a folder ``.NAME.XXXX.tmp``.
    """
    check_target(path)
    target = os.path.realpath(path)  # a link stays a link and points to the new file
    parent, name = os.path.split(target)
    folder = tempfile.mkdtemp(prefix=f".{name[:50]}.", suffix=".tmp", dir=parent)
    try:
        written = os.path.join(folder, name)
        yield written
        _sync(written)
        if os.path.exists(target):
            shutil.copymode(target, written)
        os.replace(written, target)
        _sync(parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_target(path: str) -> None:
    """Checks whether a file can be written to `path`, as far as possible without writing.

    Raises:
        OSError: If `path` is a folder, or its folder does not exist.
    """
    target = os.path.realpath(path)
    parent, name = os.path.split(target)
    if os.path.isdir(target):
        raise IsADirectoryError(f"{path!r} is a folder; weights are saved to a file.")
    if not os.path.isdir(parent):
        raise FileNotFoundError(f"there is no folder {parent!r} to save {name!r} in.")


def _sync(path: str) -> None:
    """Makes the system write a file or folder to the disk. Windows can't open a folder, so there we skip it."""
    with contextlib.suppress(PermissionError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
