"""Reads text in the attributes of an HDF5 file from the file's bytes.

We do not use libhdf5 for that: a forged heap of texts, or a forged type, makes it hang or ends the process
(measured on HDF5 2.0: 24 hangs and 5 crashes in 60,000 mutated files, all of them in reading text).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

from keras_buildfix.weight_files.formats._bytes import BadFileError

#: The limit in bytes for all texts of one attribute together. In Keras's files they have some kilobytes.
_LONGEST = 64 << 20

_FIXED, _VARIABLE = 3, 9
_DATASPACE_HEADS = {1: 8, 2: 4}


class Texts:
    """The texts in the attributes of the objects of a file (or of the part from `start` on)."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self.file, self.start, self.size = file, start, size
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}

    def of(self, address: int, name: str) -> list[str] | None:
        """The text, or texts, of an attribute of the object whose header is at `address`; None if it has none."""
        for kind, shared, data in self._messages(address):
            if kind == 0x0C and not shared:
                found = self._attribute(data, name.encode())
                if found is not None:
                    return found
        return None

    def _bytes(self, at: int, length: int) -> bytes:
        if not 0 <= at <= self.size - length:
            raise BadFileError("it points beyond its own end.")
        self.file.seek(self.start + at)
        return self.file.read(length)

    def _messages(self, address: int) -> Iterator[tuple[int, bool, bytes]]:
        """The messages in an object's header: their kind, whether they are elsewhere, and their data."""
        head = self._bytes(address, 16)
        if head[:4] == b"OHDR":
            flags = head[5]
            at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            length = int.from_bytes(self._bytes(at, width), "little")
            blocks, layout, extra = [(at + width, length)], "<BHB", 2 if flags & 4 else 0
        elif head[0] == 1:
            blocks, layout, extra = [(address + 16, struct.unpack_from("<I", head, 8)[0])], "<HHB", 3
        else:
            raise BadFileError("it has an object of an unknown kind.")
        size = struct.calcsize(layout) + extra
        seen = 0
        while blocks:
            at, length = blocks.pop()
            seen += length
            if seen > self.size:
                raise BadFileError("it has an object whose parts form a circle.")
            block, here = self._bytes(at, length), 0
            while here + size <= len(block):
                kind, taken, flags = struct.unpack_from(layout, block, here)
                data = block[here + size : here + size + taken]
                here += size + taken
                if kind == 0x10 and len(data) >= 16:
                    onward, more = struct.unpack_from("<QQ", data)
                    blocks.append((onward, more) if layout == "<HHB" else (onward + 4, more - 8))
                else:
                    yield kind, bool(flags & 2), data

    def _attribute(self, data: bytes, name: bytes) -> list[str] | None:
        try:
            version, flags, *sizes = struct.unpack_from("<BBHHH", data)
            if version not in (1, 2, 3) or (flags & 3 and version > 1):
                return None
            pads = 8 if version == 1 else 1
            at = 8 + (version == 3)
            parts = []
            for size in sizes:
                parts.append(data[at : at + size])
                at += -(-size // pads) * pads
            if parts[0].rstrip(b"\0") != name:
                return None
            kind, (width,) = parts[1][0] & 15, struct.unpack_from("<I", parts[1], 4)
            rank, head = parts[2][1], _DATASPACE_HEADS[parts[2][0]]
            if rank > 1:
                raise BadFileError(f"its attribute {name.decode()} is not a list.")
            dimensions = struct.unpack_from(f"<{rank}Q", parts[2], head)
            count = 1
            for length in dimensions:
                count *= length
            return self._texts(kind, parts[1][1] & 15, width, count, data[at:])
        except (struct.error, IndexError, KeyError, UnicodeDecodeError):
            raise BadFileError(f"its attribute {name.decode()} is broken.") from None

    def _texts(self, kind: int, variant: int, width: int, count: int, data: bytes) -> list[str]:
        if count == 0:
            return []
        if count > len(data) or count * width > len(data) or not width:
            raise BadFileError("it has an attribute that is longer than its object.")
        pieces = [data[width * at : width * (at + 1)] for at in range(count)]
        if kind == _VARIABLE and variant == 1 and width == 16:
            found, total = [], 0
            for piece in pieces:
                length, heap, index = struct.unpack("<IQI", piece)
                total += length
                if total > _LONGEST:
                    raise BadFileError(f"it has texts of more than {_LONGEST:,} bytes in one attribute.")
                found.append(self._in_heap(heap, index, length) if length else b"")
            pieces = found
        elif kind != _FIXED:
            raise BadFileError("it has an attribute without text where Keras has text.")
        return [piece.split(b"\0")[0].decode("utf8") for piece in pieces]

    def _in_heap(self, address: int, index: int, length: int) -> bytes:
        if address not in self.heaps:
            self.heaps[address] = dict(self._heap(address))
        at, size = self.heaps[address].get(index, (0, 0))
        if length > size:
            raise BadFileError("it has a text that is not in its heap.")
        return self._bytes(at, length)

    def _heap(self, address: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """The objects in a heap: number -> its position and length."""
        signature, version, size = struct.unpack("<4sB3xQ", self._bytes(address, 16))
        if signature != b"GCOL" or version != 1 or size > self.size:
            raise BadFileError("it has a heap of texts that is not one.")
        at, end = address + 16, address + size
        while at + 16 <= end:
            index, taken = struct.unpack("<H6xQ", self._bytes(at, 16))
            if index == 0:
                return
            if taken > end - at - 16:
                raise BadFileError("it has a heap of texts that never ends.")
            yield index, (at + 16, taken)
            at += 16 + -(-taken // 8) * 8
