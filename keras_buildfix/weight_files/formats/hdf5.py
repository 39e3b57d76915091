"""Reads and writes Keras's HDF5 files: legacy ``.h5`` (layers with named weights) and ``.weights.h5`` (places).

It reads only what lies in the file itself: it follows no link and no external or virtual storage, and loads no
filter plugin. Which weight of a model a place means is found in ``weights/matching/by_place.py``.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from keras_buildfix._arrays import Array
from keras_buildfix.weight_files.entry import Entry, is_structural
from keras_buildfix.weight_files.formats._bytes import BadFileError, from_bits, is_plausible, read_at, to_bits
from keras_buildfix.weight_files.formats._hdf5_text import Texts
from keras_buildfix.weight_files.formats._model_config import layer_names

#: The filters that this module undoes: deflate, shuffle, and a checksum, which it does not check.
_DEFLATE, _SHUFFLE, _CHECKSUM = 1, 2, 3

#: Limits, because libhdf5 walks down groups recursively and keeps every path.
_DEEPEST, _MOST_PATHS = 100, 100_000

#: A larger attribute is divided into several, as Keras does: HDF5 limits the size of an object's header.
_LARGEST_ATTRIBUTE = 64512

#: Why Keras itself may have written a broken file. Seen on 2.12 to tf_keras 2.21 and on 3.0 to 3.2.
_HALF_WRITTEN = " (Keras 2, and 3.0 to 3.2, stop half-way where two weights in a layer have one name)"

_OWN_WEIGHTS = "top_level_model_weights"


def read(
    file: IO[bytes], start: int = 0, size: int | None = None, config: Callable[[], bytes] = bytes
) -> tuple[dict[str, Entry], str, str, Any]:
    """Reads the weights in an HDF5 file, or in a part of a file that is one.

    Args:
        file: The file.
        start: Where the HDF5 file begins in it.
        size: The length of the HDF5 file.
        config: A function that reads the model's config, which has the names of layers if the file has none.

    Returns:
        The entries, the layout (``"layers"``, ``"structure"`` or ``"names"``), the Keras version that wrote it (if
        noted), and what the caller must close after reading the last array.
    """
    h5py = import_h5py()
    size = os.fstat(file.fileno()).st_size if size is None else size
    opened = None
    try:
        opened = h5py.File(file.name if start == 0 else _Part(file, start, size), "r")
        entries, layout, writer = _Reader(h5py, opened, file, start, size).entries(config)
        return entries, layout, writer, opened
    except Exception as error:  # libhdf5 raises many kinds of errors on broken input
        if opened is not None:
            opened.close()
        if isinstance(error, BadFileError):
            raise
        raise BadFileError(f"the HDF5 file is cut off or damaged ({type(error).__name__}: {error}).") from None


def write_layers(path: str, groups: Mapping[str, Sequence[Entry]], version: str, backend: str) -> None:
    """Writes a legacy ``.h5``: the weights of each layer (``""`` is the model itself), one in memory at a time.

    The entries have the names for the file, which are unique in their layer.
    """
    with _new(path) as file:
        file.attrs["keras_version"], file.attrs["backend"] = version, backend
        _write_names(file, "layer_names", [name for name in groups if name])
        for layer in dict.fromkeys((*groups, "")):
            group = file.create_group(layer or _OWN_WEIGHTS)
            entries = groups.get(layer, ())
            _write_names(group, "weight_names", [entry.name for entry in entries])
            for entry in entries:
                _write(group, entry.name, entry)


def write_structure(path: str, entries: Iterable[Entry]) -> None:
    """Writes a ``.weights.h5``; the entries have places as names."""
    with _new(path) as file:
        for entry in entries:
            _write(file, entry.name, entry)


def import_h5py() -> Any:
    """Imports h5py, which every Keras installs; if it is missing, the error says how to get it."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise ModuleNotFoundError("HDF5 files (.h5, .keras) need h5py: `pip install h5py`.") from None
    return h5py


class _Reader:
    def __init__(self, h5py: Any, opened: Any, file: IO[bytes], start: int, size: int) -> None:
        self.h5py, self.opened, self.file, self.start, self.size = h5py, opened, file, start, size
        self.texts = Texts(file, start, size)
        plist = opened.id.get_create_plist()
        if plist.get_sizes() != (8, 8) or plist.get_userblock():
            raise BadFileError("it is an HDF5 file of a kind that no Keras writes.")
        self.paths = self._paths()

    def entries(self, config: Callable[[], bytes]) -> tuple[dict[str, Entry], str, str]:
        version = self._text(self.opened, "keras_version")
        for top in ("", "model_weights"):
            group = self.opened[top] if top and top in self.paths else self.opened if not top else None
            if group is not None and any(self._attribute(group, f"layer_names{n}") is not None for n in ("", "0")):
                version = version or self._text(group, "keras_version")
                return self._layers(group, f"{top}/" if top else ""), "layers", version
        entries: dict[str, Entry] = {}
        names = self._layer_names() or layer_names(config(), self.paths)
        for path in self.paths:
            if path.startswith(("optimizer/", "_optimizer/")) or path.endswith("/vars") or path == "vars":
                continue
            if isinstance(self.opened[path], self.h5py.Dataset):
                entries[path] = self._entry(path, path, layer_names=_on_the_way(path, names))
        return entries, "structure" if is_structural(entries) else "names", version

    def _paths(self) -> list[str]:
        """Every path in the file, each object once; a soft or external link is an error."""
        paths: list[str] = []

        def visit(name: bytes, info: Any) -> None:
            if info.type != self.h5py.h5l.TYPE_HARD:
                raise BadFileError(f"it has a link at {name.decode('utf8', 'replace')!r:.80}; links are not followed.")
            if name.count(b"/") > _DEEPEST or len(paths) >= _MOST_PATHS:
                raise BadFileError(f"it has more than {_DEEPEST} nested groups, or {_MOST_PATHS:,} in all.")
            paths.append(name.decode("utf8"))

        self.opened.id.links.visit(visit, info=True)
        return paths

    def _layer_names(self) -> dict[str, str]:
        """A group's path -> the name of its layer, which Keras notes at the group ``vars`` from 3.9 on."""
        groups = [path for path in self.paths if path.endswith("/vars")]
        found = {path[: -len("/vars")]: self._text(self.opened[path], "name") for path in groups}
        return {path: name for path, name in found.items() if name}

    def _layers(self, group: Any, start: str) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        known = set(self.paths)
        layers = self._names(group, "layer_names")
        if len(set(layers)) != len(layers):
            raise BadFileError("it has a layer twice.")
        own = [_OWN_WEIGHTS] if start + _OWN_WEIGHTS in known else []
        for layer in layers + own:
            if start + layer not in known:
                raise BadFileError(f"it lists a layer {layer!r:.80} that is not there{_HALF_WRITTEN}.")
            for weight in self._names(self.opened[start + layer], "weight_names"):
                path = f"{start}{layer}/{weight}"
                if path not in known:
                    raise BadFileError(f"it lists a weight {path!r:.120} that is not there{_HALF_WRITTEN}.")
                own_weight = layer == _OWN_WEIGHTS
                name = weight[:-2] if weight.endswith(":0") else weight
                if not own_weight:  # Keras repeats the layer's name, and on 3.3 and later those above it
                    _, found, rest = f"/{name}".partition(f"/{layer}/")  # a layer may have slashes in its name
                    name = f"{layer}/{rest}" if found else f"{layer}/{name}"
                if name in entries:
                    raise BadFileError(f"it has two weights of the name {name!r:.120}{_HALF_WRITTEN}.")
                entries[name] = self._entry(name, path, layer="" if own_weight else layer)
        return entries

    def _entry(self, name: str, path: str, layer: str | None = None, layer_names: tuple[str | None, ...] = ()) -> Entry:
        dataset = self.opened[path]
        if not isinstance(dataset, self.h5py.Dataset):
            raise BadFileError(f"{path!r:.120} is not an array.")
        dtype = self._dtype(dataset, path)
        plist, shape = dataset.id.get_create_plist(), tuple(dataset.shape or ())
        stored, layout = dataset.id.get_storage_size(), plist.get_layout()
        if plist.get_external_count() or layout == self.h5py.h5d.VIRTUAL:
            raise BadFileError(f"{path!r:.120} lies in another file, which is not read.")
        filters = [plist.get_filter(at)[0] for at in range(plist.get_nfilters())]
        if not {*filters} <= {_DEFLATE, _SHUFFLE, _CHECKSUM} or len({*filters}) != len(filters):
            raise BadFileError(f"{path!r:.120} needs the HDF5 filters {filters}, which are not loaded.")
        offset = dataset.id.get_offset()
        plain = layout == self.h5py.h5d.CONTIGUOUS and offset is not None
        read = functools.partial(self._read, dataset, dtype, offset if plain else None)
        # Only reading tells whether compressed data is complete.
        entry = Entry(name, shape, dtype, read, layer, layer_names, check=None if plain else read)
        if dataset.shape is None or (entry.size and not stored):
            raise BadFileError(f"{path!r:.120} has no data.")
        if plain and (stored < entry.size or offset + entry.size > self.size):
            raise BadFileError(f"{path!r:.120} claims {entry.size:,} bytes that the file does not have.")
        if not is_plausible(entry.size, stored) or stored > self.size:
            raise BadFileError(
                f"{path!r:.120} claims {entry.size:,} bytes, of which the file stores {stored:,}: that can't be true."
            )
        return entry

    def _dtype(self, dataset: Any, path: str) -> str:
        dtype = dataset.dtype
        if (
            dtype.kind == "V"
            and dtype.names is None
            and dtype.itemsize == 2
            and self._text(dataset, "dtype") in ("bfloat16", "")
        ):
            return "bfloat16"
        if (
            dtype.kind not in "biufc"
            or dtype.metadata
            or dtype.itemsize > 16
            or dtype.name in ("float128", "longdouble")
        ):
            raise BadFileError(f"{path!r:.120} holds {str(dtype)!r:.40}, which is not a weight.")
        return str(dtype.newbyteorder("=").name)

    def _read(self, dataset: Any, dtype: str, offset: int | None) -> Array:
        import numpy as np

        try:
            if offset is not None and dataset.dtype.byteorder in "<|=" and dataset.dtype.kind in "iufV":
                return read_at(self.file, self.start + offset, tuple(dataset.shape), dtype)
            if dataset.id.get_create_plist().get_layout() == self.h5py.h5d.CHUNKED:
                array = self._read_chunks(dataset)
            else:
                array = np.asarray(dataset[()])
            if dtype == "bfloat16":
                return from_bits(array.view("uint16"), dtype)
            return array.astype(dtype, copy=False)
        except BadFileError:
            raise
        except Exception as error:
            raise BadFileError(f"{dataset.name!r:.120} is broken: {type(error).__name__}: {error}") from None

    def _read_chunks(self, dataset: Any) -> Array:
        """Reads each chunk from its bytes: libhdf5 would inflate any amount of data."""
        import numpy as np

        array = np.zeros(dataset.shape, dataset.dtype)
        chunks, plist = dataset.chunks, dataset.id.get_create_plist()
        filters = [plist.get_filter(at)[0] for at in range(plist.get_nfilters())]
        size = dataset.dtype.itemsize * math.prod(chunks)
        whole = math.prod(-(-length // chunk) for length, chunk in zip(dataset.shape, chunks))
        if dataset.id.get_num_chunks() != whole or not is_plausible(size, dataset.id.get_storage_size()):
            raise BadFileError(f"{dataset.name!r:.120} has {dataset.id.get_num_chunks()} of {whole} pieces.")
        for number in range(whole):
            at = dataset.id.get_chunk_info(number).chunk_offset
            mask, data = dataset.id.read_direct_chunk(at)
            for place in reversed(range(len(filters))):
                if not mask >> place & 1:
                    data = _undone(filters[place], data, size, dataset.dtype.itemsize)
            if len(data) != size:
                raise BadFileError(f"{dataset.name!r:.120} has a piece of {len(data):,} bytes; {size:,} are right.")
            region = tuple(slice(begin, begin + chunk) for begin, chunk in zip(at, chunks))
            part = array[region]
            piece = np.frombuffer(data, dataset.dtype).reshape(chunks)
            part[...] = piece[tuple(slice(length) for length in part.shape)]
        return array

    def _names(self, group: Any, name: str) -> list[str]:
        """The list of names in an attribute, or in several: ``name0``, ``name1``, ..."""
        found = self._attribute(group, name)
        number = 0
        while found is None or number:
            more = self._attribute(group, f"{name}{number}")
            if more is None:
                break
            found, number = (found or []) + more, number + 1
        return found or []

    def _text(self, found: Any, name: str) -> str:
        return next(iter(self._attribute(found, name) or ()), "")

    def _attribute(self, found: Any, name: str) -> list[str] | None:
        texts = self.texts.of(self.h5py.h5o.get_info(found.id).addr, name)
        if texts is None and name in found.attrs:
            raise BadFileError(f"it has the attribute {name} in a form that no Keras writes.")
        return texts


def _on_the_way(path: str, names: Mapping[str, str]) -> tuple[str | None, ...]:
    """The layer's name for each group above ``vars``: ``layers``, ``layers/lstm``, ``layers/lstm/cell``."""
    parts = path.split("/")
    depth = len(parts) - 1 - parts[::-1].index("vars", 1) if "vars" in parts[:-1] else 0
    return tuple(names.get("/".join(parts[: at + 1])) for at in range(depth))


def _undone(number: int, data: bytes, size: int, itemsize: int) -> bytes:
    """Undoes a filter of a chunk, and never returns more bytes than expected."""
    import numpy as np

    if number == _DEFLATE:
        return zlib.decompressobj().decompress(data, size + itemsize + 4)
    if number == _CHECKSUM:
        return data[:-4]
    return bytes(np.frombuffer(data, "uint8").reshape(itemsize, -1).T.tobytes())


class _Part:
    """A part of a file that h5py can read as a file."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self.file, self.start, self.size, self.at = file, start, size, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, target: Any) -> int:
        self.file.seek(self.start + self.at)
        data = self.file.read(max(0, min(len(target), self.size - self.at)))
        target[: len(data)] = data
        self.at += len(data)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        data = bytearray(self.size - self.at if size < 0 else size)
        return bytes(data[: self.readinto(data)])

    def flush(self) -> None:
        """Does nothing: the file is only read, but h5py calls this."""


def _write(group: Any, name: str, entry: Entry) -> None:
    value = to_bits(entry)
    if entry.dtype == "bfloat16":
        group.create_dataset(name, data=value.view("V2")).attrs["dtype"] = "bfloat16"
    else:
        group.create_dataset(name, data=value)


@contextlib.contextmanager
def _new(path: str) -> Iterator[Any]:
    """Opens a new file. Turns the RuntimeError that h5py raises on a full disk into an OSError."""
    try:
        with import_h5py().File(path, "w") as file:
            yield file
    except RuntimeError as error:
        raise OSError(f"{path} can't be written: {error}") from error


def _write_names(group: Any, name: str, names: list[str]) -> None:
    import numpy as np

    encoded = [each.encode("utf8") for each in names]
    at_once = max(1, _LARGEST_ATTRIBUTE // max(map(len, encoded), default=1))
    parts = [encoded[at : at + at_once] for at in range(0, len(encoded), at_once)] or [[]]
    if len(parts) == 1:
        group.attrs[name] = np.asarray(encoded)
    else:
        for number, part in enumerate(parts):
            group.attrs[f"{name}{number}"] = np.asarray(part)
