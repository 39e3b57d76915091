"""``read_weights`` and ``WeightFile``: opens a file of weights of any format."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO, Any

from keras_buildfix._arrays import Array
from keras_buildfix._words import many
from keras_buildfix.weight_files.entry import Entry, is_structural
from keras_buildfix.weight_files.formats import hdf5, keras_zip, npz, safetensors
from keras_buildfix.weight_files.formats._bytes import BadFileError
from keras_buildfix.weight_files.renaming import _like


class WeightFile(Mapping[str, Array]):
    """An open file of weights: a mapping of names to arrays. Shapes and dtypes are known at once, arrays on demand.

    Attributes:
        path: The file.
        format: ``"safetensors"``, ``"npz"``, ``"h5"`` (legacy), ``"weights.h5"`` or ``"keras"``.
        layout: What the names are: ``"names"``; ``"layers"`` for names in layers (legacy ``.h5``); or
            ``"structure"`` for places in the model with positions (``layers/dense_1/vars/0``).
        writer: The Keras version that wrote it, if the file says so.
        entries: Name -> its shape, dtype, size in bytes, and ``read()``.
    """

    def __init__(
        self,
        path: str,
        format: str,  # noqa: A002 - the attribute has this name
        entries: dict[str, Entry],
        layout: str,
        writer: str,
        files: Sequence[Any],
    ) -> None:
        self.path, self.format, self.layout, self.writer = path, format, layout, writer
        self.entries = {name: self._told(entry) for name, entry in entries.items()}
        self._files, self._closed = files, False

    def __repr__(self) -> str:
        writer = f", written by Keras {self.writer}" if self.writer else ""
        closed = ", closed" if self._closed else ""
        return f"<WeightFile {self.path}: {many(len(self.entries), 'weight')}, {self.format}{writer}{closed}>"

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __getitem__(self, name: str) -> Array:
        if name not in self.entries:
            raise KeyError(f"{self.path} has no weight {name!r}{_like(name, list(self.entries))}.")
        return self.entries[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape."""
        return {name: entry.shape for name, entry in self.entries.items()}

    @property
    def dtypes(self) -> dict[str, str]:
        """Name -> name of the dtype."""
        return {name: entry.dtype for name, entry in self.entries.items()}

    def close(self) -> None:
        """Closes the file. After that no array can be read."""
        self._closed = True
        for file in self._files:
            file.close()

    def _told(self, entry: Entry) -> Entry:
        """A copy of the entry whose errors begin with the file's path, and which can't be read after ``close``."""

        def told(function: Callable[[], Any]) -> Callable[[], Any]:
            def call() -> Any:
                if self._closed:
                    raise ValueError(f"{self.path} is closed: read a weight before the block of `with` ends.")
                try:
                    return function()
                except BadFileError as error:
                    raise BadFileError(f"{self.path}: {error}") from None

            return call

        check = None if entry.check is None else told(entry.check)
        return replace(entry, read=told(entry.read), check=check)

    def __enter__(self) -> WeightFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_weights(path: str | os.PathLike[str]) -> WeightFile:
    """Opens a file of weights: names, shapes and dtypes at once, arrays on demand. This needs no Keras.

    The content of the file decides its format: ``.safetensors``, ``.npz``, legacy ``.h5`` (of weights or of a
    whole model), ``.weights.h5`` of Keras 2.12 and later, ``.keras`` of Keras 2 and 3.

    Args:
        path: The file; or the folder of an unzipped ``.keras``.

    Returns:
        A mapping of names to arrays. Close it, or use it in ``with``.

    Raises:
        TypeError: If `path` is not a path but, for example, a model.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken, has an unknown format, or is refused because it has links or external
            data, pickled objects, or arrays out of proportion to its size. Nothing in a file is executed,
            nothing outside it is read, and an array takes at most 200 times the bytes that the file stores for
            it (or 64 MiB).

    Examples:
        >>> import numpy, tempfile, os
        >>> from keras_buildfix import read_weights
        >>> path = os.path.join(tempfile.mkdtemp(), "w.npz")
        >>> numpy.savez(path, kernel=numpy.ones((2, 3), "float32"))
        >>> with read_weights(path) as weights:
        ...     print(weights.shapes, weights["kernel"].sum())
        {'kernel': (2, 3)} 6.0

    Source: see ``load_weights``.
    """
    path = file_path(path, "read_weights", "get_weights(model) gives the weights of a model.")
    if os.path.isdir(path) and os.path.isfile(os.path.join(path, "model.weights.h5")):
        path = os.path.join(path, "model.weights.h5")
    _refuse_others(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path}: this is not a file.")
    file = open(path, "rb")  # noqa: SIM115 - the WeightFile keeps it
    try:
        return _read(path, file)
    except BadFileError as error:
        file.close()
        raise BadFileError(f"{path}: {error}") from None
    except BaseException:
        file.close()
        raise


def file_path(path: Any, function: str, way_out: str) -> str:
    """Returns the path of a file as text.

    Raises:
        TypeError: If `path` is not a path; the error names the public `function` and what to call instead.
    """
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"{function} takes the path of a file; got {type(path).__name__}. {way_out}") from None


def _read(path: str, file: IO[bytes]) -> WeightFile:
    start, size = file.read(9), os.fstat(file.fileno()).st_size
    file.seek(0)
    files: list[Any] = [file]
    form = "keras" if path.endswith(".keras") else ""
    if start[:2] == b"PK":
        if not keras_zip.is_model(file):
            entries = npz.read(file)
            return WeightFile(path, "npz", entries, "structure" if is_structural(entries) else "names", "", files)
        form = "keras"
        inner, at, length = keras_zip.weights_in(file)
        try:
            entries, layout, writer, opened = hdf5.read(inner, at, length, functools.partial(keras_zip.config_in, file))
        except BaseException:
            inner.close()
            raise
        files = [opened, inner, file]
    elif start[:4] == b"\x89HDF":
        entries, layout, writer, opened = hdf5.read(file)
        files = [opened, file]
        form = form or ("weights.h5" if layout == "structure" else "h5")
    elif safetensors.looks_like(start, size):
        entries, _ = safetensors.read(file)
        layout = "structure" if is_structural(entries) else "names"
        form, writer = "safetensors", ""
    else:
        what = f"it does not begin like a .safetensors, .npz, .h5 or .keras, but with {start[:8]!r}"
        raise BadFileError(f"{what}; it has {size} bytes." if size else "the file is empty.")
    return WeightFile(path, form, entries, layout, writer, files)


def _refuse_others(path: str) -> None:
    """Refuses files that look like weights but are not, and says what to do."""
    if path.endswith(".weights.json"):
        raise ValueError(
            f"{path}: weights in several files (Keras 3.10's max_shard_size) can't be read here; load them with "
            "model.load_weights on that Keras and save them as .safetensors with keras_buildfix.save_weights."
        )
    if path.endswith(".index") or os.path.exists(f"{path}.index"):
        raise ValueError(
            f"{path}: this is a TensorFlow checkpoint, not a file of weights; load it with model.load_weights "
            "on Keras 2 and save it as .safetensors with keras_buildfix.save_weights."
        )
    if os.path.isdir(path):
        if os.path.exists(os.path.join(path, "saved_model.pb")):
            raise ValueError(
                f"{path}: this is a SavedModel, not a file of weights; load it with tf.keras.models.load_model on "
                "Keras 2 and save it as .safetensors with keras_buildfix.save_weights."
            )
        raise ValueError(f"{path}: this is a folder, not a file of weights.")
