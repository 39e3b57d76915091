"""Files that are there whole or not at all: written beside, then renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Gives a path to write to, of the same name in a folder beside; when all went well, it is renamed to `path`.

    A process killed in the middle leaves the old file as it was, and a folder ``.NAME.XXXX.tmp``.
    """
    check_target(path)
    target = os.path.realpath(path)  # a link stays a link, to the new file
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
    """Looks whether a file can be put there, as far as can be told without writing.

    Raises:
        OSError: If `path` is a folder, or the folder for it is not there.
    """
    target = os.path.realpath(path)
    parent, name = os.path.split(target)
    if os.path.isdir(target):
        raise IsADirectoryError(f"{path!r} is a folder; weights are saved to a file.")
    if not os.path.isdir(parent):
        raise FileNotFoundError(f"there is no folder {parent!r} to save {name!r} in.")


def _sync(path: str) -> None:
    """Has the system put a file or folder on the disk; Windows can't open a folder."""
    with contextlib.suppress(PermissionError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
