"""``convert_weights``: writes the weights of a file to another format."""

from __future__ import annotations

import os
from collections.abc import Callable

from keras_buildfix._arrays import Array
from keras_buildfix.weight_files.entry import Entry, is_structural
from keras_buildfix.weight_files.formats._replacing import check_target
from keras_buildfix.weight_files.reading import WeightFile, file_path, read_weights
from keras_buildfix.weight_files.renaming import Rename, renamed
from keras_buildfix.weight_files.writing import check_writable, format_for, write_weights


def convert_weights(
    path: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    rename: Rename | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Writes the weights of a file to a new file of any format. This needs no Keras.

    Args:
        path: A file that ``read_weights`` reads.
        to: The new file; its ending says the format.
        rename: A mapping of old names to new names, both complete; or a list of pairs (regular expression,
            replacement), applied one after the other; or a function. One that matches no name is an error.
        dry_run: If True, everything is checked but nothing is written.
        progress: A function that is called with the number of bytes read so far and the number of all bytes.

    Returns:
        The names in the new file, in the order of the old one.

    Raises:
        TypeError: If `path` or `to` is not a path but, for example, a model.
        ValueError: If `rename` matches nothing or makes two names equal; or if the format can't hold the names.
            Only a model can turn places into names (call ``load_weights``, then ``save_weights``), or names into
            places.

    Examples:
        >>> import numpy, tempfile, os
        >>> from keras_buildfix import convert_weights
        >>> path = os.path.join(tempfile.mkdtemp(), "w.npz")
        >>> numpy.savez(path, **{"head/kernel": numpy.ones((2, 3)), "head/bias": numpy.zeros(3)})
        >>> convert_weights(path, path[:-4] + ".safetensors", rename=[("^head/", "top/")], dry_run=True)
        ['top/kernel', 'top/bias']

    Source: see ``load_weights``.
    """
    path = file_path(path, "convert_weights", "save_weights(model, path) writes the weights of a model.")
    to = file_path(to, "convert_weights", "load_weights(model, path) loads a file into a model.")
    with read_weights(path) as source:
        form = format_for(to)
        if form == "keras" or (form == "h5" and source.layout == "structure"):
            raise ValueError(_no_way(source, to))
        entries = renamed(source.entries, rename)
        if form == "weights.h5" and entries and not is_structural(entries):
            raise ValueError(_no_way(source, to))
        told = _Told(sum(entry.size for entry in entries.values()), progress)
        new = [told.entry(name, entry) for name, entry in entries.items()]
        if not dry_run:
            write_weights(to, new, form)
            return list(entries)
        check_target(to)
        check_writable(new, form)
        for entry in source.entries.values():
            if entry.check is not None:
                entry.check()
        return list(entries)


class _Told:
    """Makes copies of entries under new names; they report to `progress` when they are read."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self.total, self.progress, self.done = total, progress, 0

    def entry(self, name: str, entry: Entry) -> Entry:
        def read() -> Array:
            value = entry.read()
            self.done += entry.size
            if self.progress is not None:
                self.progress(self.done, self.total)
            return value

        return Entry(name, entry.shape, entry.dtype, read)


def _no_way(source: WeightFile, to: str) -> str:
    kind = "positions" if source.layout == "structure" else "names"
    return (
        f"{source.path} has {kind}, which {to} can't hold without the model: load the file into the model with "
        "keras_buildfix.load_weights, and save the model. (.safetensors and .npz can hold both.)"
    )
