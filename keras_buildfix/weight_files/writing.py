"""Writes entries to a file of any format, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weight_files.formats import hdf5, npz, safetensors
from keras_buildfix.weight_files.formats._replacing import replacing

#: The ending of a file's name -> the format to write. A file is read by its content, whatever its ending.
ENDINGS = {
    ".safetensors": "safetensors",
    ".npz": "npz",
    ".weights.h5": "weights.h5",
    ".h5": "h5",
    ".hdf5": "h5",
    ".keras": "keras",
}

_NOTES = {"format": "keras-buildfix"}


def write_weights(path: str, entries: Iterable[Entry], form: str) -> None:
    """Writes named weights as ``.safetensors``, ``.npz``, ``.h5`` (by layer) or ``.weights.h5`` (by place)."""
    entries = list(entries)
    check_writable(entries, form)
    with replacing(path) as beside:
        if form in ("h5", "weights.h5"):
            _write_hdf5(beside, entries, form)
            return
        with open(beside, "xb") as file:
            if form == "npz":
                npz.write(file, entries)
            else:
                safetensors.write(file, entries, _NOTES)


def check_writable(entries: Sequence[Entry], form: str) -> None:
    """Checks whether a format can hold the entries, without writing any.

    Raises:
        ValueError: If the format can't hold a name, a dtype or the number of entries.
    """
    for entry in entries:
        _check_name(entry, form)
    if form == "safetensors":
        safetensors.header(entries, _NOTES)
    if form in ("h5", "weights.h5"):
        paths = {f"{_layer_of(entry)}\0{entry.name}" if form == "h5" else entry.name: entry for entry in entries}
        for path, entry in paths.items():
            for at, character in enumerate(path):
                if character == "/" and path[:at] in paths:
                    outer = paths[path[:at]].name
                    raise ValueError(
                        f"HDF5 can't hold a weight {outer!r} and another in it, {entry.name!r}; rename one of them."
                    )


def format_for(path: str) -> str:
    """The format that the ending of a file's name asks for; ``safetensors`` if it has no ending.

    Raises:
        ValueError: If no format of weights has this ending.
    """
    for ending, form in ENDINGS.items():
        if path.endswith(ending):
            return form
    if not os.path.splitext(path)[1]:
        return "safetensors"
    raise ValueError(f"{path}: weights are saved as {', '.join(ENDINGS)}; the ending of the name says which.")


def _check_name(entry: Entry, form: str) -> None:
    """Refuses what could be written but not read again."""
    parts = entry.name.split("/")
    if "\0" in entry.name or (form != "safetensors" and (not all(parts) or not {".", ".."}.isdisjoint(parts))):
        raise ValueError(f"this format can't hold a weight named {entry.name!r}; rename it.")
    if form == "h5" and entry.name.endswith(":0"):
        raise ValueError(f"{entry.name!r}: a legacy .h5 adds ':0' to every name by itself; rename it.")
    if form != "safetensors" and entry.dtype.startswith("float8"):
        raise ValueError(f"{entry.name}: only .safetensors can hold {entry.dtype}.")


def _write_hdf5(path: str, entries: Sequence[Entry], form: str) -> None:
    if form == "weights.h5":
        hdf5.write_structure(path, entries)
        return
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_layer_of(entry), []).append(entry)
    hdf5.write_layers(path, groups, "3.0.0", "tensorflow")


def _layer_of(entry: Entry) -> str:
    """The layer under which a legacy ``.h5`` stores an entry; empty for the model's own entries."""
    layer, _, name = entry.name.partition("/")
    return entry.layer if entry.layer is not None else layer if name else ""
