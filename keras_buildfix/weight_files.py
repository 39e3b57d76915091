"""Reads weights from the files of every Keras version, and writes them, without a Keras installation."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO, Any, Union

from keras_buildfix._arrays import Array
from keras_buildfix._entries import Entry, is_structural
from keras_buildfix._words import many, nearest_names, short
from keras_buildfix.formats import hdf5, keras_zip, npz, safetensors
from keras_buildfix.formats._bytes import BadFileError
from keras_buildfix.formats._replacing import check_target, replacing

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

Pairs = Sequence[tuple[Union[str, "re.Pattern[str]"], str]]  # Python 3.9
Rename = Union[Mapping[str, str], Pairs, Callable[[str], str]]


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
        """The entry with reads whose errors begin with the file's path."""

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

    Example:
        >>> import numpy, tempfile, os
        >>> from keras_buildfix import read_weights
        >>> path = os.path.join(tempfile.mkdtemp(), "w.npz")
        >>> numpy.savez(path, kernel=numpy.ones((2, 3), "float32"))
        >>> with read_weights(path) as weights:
        ...     print(weights.shapes, weights["kernel"].sum())
        {'kernel': (2, 3)} 6.0
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


def file_path(path: Any, function: str, way_out: str) -> str:
    """Returns the path of a file as text.

    Raises:
        TypeError: If `path` is not a path; the error names the public `function` and what to call instead.
    """
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"{function} takes the path of a file; got {type(path).__name__}. {way_out}") from None


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

    Example:
        >>> import numpy, tempfile, os
        >>> from keras_buildfix import convert_weights
        >>> path = os.path.join(tempfile.mkdtemp(), "w.npz")
        >>> numpy.savez(path, **{"head/kernel": numpy.ones((2, 3)), "head/bias": numpy.zeros(3)})
        >>> convert_weights(path, path[:-4] + ".safetensors", rename=[("^head/", "top/")], dry_run=True)
        ['top/kernel', 'top/bias']
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


def renamed(entries: Mapping[str, Entry], rename: Rename | None) -> dict[str, Entry]:
    """The entries under their new names.

    Raises:
        ValueError: If `rename` is not a mapping, pairs or a function; if a key, pattern or function in it matches
            no name; or if two entries get the same name.
    """
    if rename is None:
        return dict(entries)
    found: dict[str, Entry] = {}
    for (name, entry), to in zip(entries.items(), _new_names(list(entries), rename)):
        if not isinstance(to, str) or not to:
            raise ValueError(f"rename makes {to!r} of {name!r}; it must give a name.")
        if to in found:
            raise ValueError(f"rename makes {to!r} of both {found[to].name!r} and {name!r}.")
        found[to] = entry
    return found


def _new_names(names: list[str], rename: Rename) -> Sequence[Any]:
    if isinstance(rename, Mapping):
        known = set(names)
        for old in rename:
            if old not in known:
                raise ValueError(_no_such_name(old, rename[old], names))
        return [rename.get(name, name) for name in names]
    if callable(rename):
        new = [rename(name) for name in names]
        if new == names:
            raise ValueError(f"rename: the function changes none of {_described(names)}.")
        return new
    for at, (pattern, replacement) in enumerate(_patterns(rename)):
        try:
            replaced = [pattern.subn(replacement, name) for name in names]
        except (re.error, TypeError, IndexError) as error:
            raise ValueError(f"rename can't put {replacement!r} for {pattern.pattern!r}: {error}") from None
        if not any(count for _, count in replaced):
            after = " The pairs before it are applied first." if at else ""
            raise ValueError(_no_match(pattern.pattern, names) + after)
        names = [name for name, _ in replaced]
    return names


def _patterns(rename: Pairs) -> list[tuple[re.Pattern[str], Any]]:
    """The pairs, with each pattern compiled."""
    kinds = "rename is a mapping, a function, or pairs (pattern, replacement)"
    if isinstance(rename, (str, bytes)) or not isinstance(rename, Iterable):
        raise ValueError(f"{kinds}; got {short(rename, 200)}.")
    pairs: list[Any] = list(rename)
    if len(pairs) == 2 and isinstance(pairs[0], (str, re.Pattern)) and not isinstance(pairs[1], (tuple, list)):
        raise ValueError(f"{kinds}; put a single pair into a list: rename=[{tuple(pairs)!r}].")
    compiled = []
    for pair in pairs:
        try:
            if isinstance(pair, (str, bytes)):
                raise TypeError("this is not a pair")
            pattern, replacement = pair
            if not isinstance(pattern, (str, re.Pattern)) or isinstance(getattr(pattern, "pattern", ""), bytes):
                raise TypeError("a pattern is text or a compiled regular expression")
            compiled.append((re.compile(pattern), replacement))
        except (re.error, TypeError, ValueError) as error:
            raise ValueError(f"{kinds}; got {short(pair, 200)}: {error}") from None
    return compiled


def _no_such_name(old: Any, new: Any, names: Sequence[str]) -> str:
    """Says why a key matches nothing, and what to give if the key is the beginning of names, or a pattern."""
    text = f"rename: {old!r} is none of {_described(names)}{_like(str(old), names)}."
    start = f"{old}".rstrip("/") + "/"
    pair = None
    if any(name.startswith(start) for name in names):
        pair = f"^{re.escape(start)}", f"{new}".rstrip("/").replace("\\", r"\\") + "/"
    elif isinstance(old, str) and _matches(old, names):
        pair = old, new
    return text if pair is None else f"{text} A mapping takes whole names; give a pair: rename=[{pair!r}]."


def _no_match(pattern: str, names: Sequence[str]) -> str:
    """Says why a pattern matches nothing."""
    plain = re.sub(r"[\\^$*+?()\[\]{}|]", "", pattern)
    text = f"rename: the pattern {pattern!r} matches none of {_described(names)}{_like(plain, names)}."
    if any(pattern in name for name in names):
        text += f" It is a regular expression; to match the plain text, write {re.escape(pattern)!r}."
    return text


def _matches(pattern: str, names: Iterable[str]) -> bool:
    try:
        return any(re.search(pattern, name) for name in names)
    except re.error:
        return False


def _described(names: Sequence[str]) -> str:
    return f"the {len(names)} names" if len(names) != 1 else f"the one name {names[0]!r}"


def _like(wanted: str, names: Sequence[str]) -> str:
    """The names that look most like the wanted one, as a whole or by their first parts."""
    by_start: dict[str, str] = {}
    for name in names:
        parts = name.split("/")
        for at in range(1, len(parts) + 1):
            by_start.setdefault("/".join(parts[:at]), name)
    starts = nearest_names([wanted.strip("/")], by_start).get(wanted.strip("/"), ())
    near = list(dict.fromkeys(by_start[start] for start in starts))
    if near:
        return f" (nearest: {', '.join(near)})"
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if len(names) > 1 else ""


class _Told:
    """Makes entries under new names that report to `progress` when they are read."""

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


def _check_name(entry: Entry, form: str) -> None:
    """Refuses what could be written but not read again."""
    parts = entry.name.split("/")
    if "\0" in entry.name or (form != "safetensors" and (not all(parts) or not {".", ".."}.isdisjoint(parts))):
        raise ValueError(f"this format can't hold a weight named {entry.name!r}; rename it.")
    if form == "h5" and entry.name.endswith(":0"):
        raise ValueError(f"{entry.name!r}: a legacy .h5 adds ':0' to every name by itself; rename it.")
    if form != "safetensors" and entry.dtype.startswith("float8"):
        raise ValueError(f"{entry.name}: only .safetensors can hold {entry.dtype}.")


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


def _no_way(source: WeightFile, to: str) -> str:
    kind = "positions" if source.layout == "structure" else "names"
    return (
        f"{source.path} has {kind}, which {to} can't hold without the model: load the file into the model with "
        "keras_buildfix.load_weights, and save the model. (.safetensors and .npz can hold both.)"
    )
