"""``diff_weights``: compares the weights of two files, layers or models."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from keras_buildfix._keras.classes import layer_base
from keras_buildfix.layer_tree.tree import kind_of, weight_tree
from keras_buildfix.weight_files.entry import Entries, Entry, is_structural
from keras_buildfix.weight_files.reading import WeightFile, file_path, read_weights
from keras_buildfix.weights.matching.finding import drop_by_order, find
from keras_buildfix.weights.matching.groups_in_files import without_state
from keras_buildfix.weights.pairing import Pairing, paired
from keras_buildfix.weights.sources import Source, entry_of

Progress = Optional[Callable[[int, int], None]]

#: An error shows at most this many groups that have several possible partners.
_SHOWN = 5


@dataclass(frozen=True)
class WeightDiff:
    """What differs between two sets of weights. It prints as a table; its truth value is whether anything differs.

    Attributes:
        only_first: Names that only the first has.
        only_second: Names that only the second has.
        changed: Name -> how it differs: both shapes, both dtypes, or how many values differ and by how much. If
            the two name a weight differently, the name here is ``"place = name"``.
        equal: How many weights are equal.
        paired: If one has places and the other names: name in the first -> name in the second.
        by_value: Whether these pairs were found by value, shape and place. If so, layers of equal shapes that
            only swapped their values do not show as different.
        left_out: How many entries are left out because they are not weights but an optimizer's, metrics or seeds.
    """

    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()
    changed: dict[str, str] = field(default_factory=dict)
    equal: int = 0
    paired: dict[str, str] = field(default_factory=dict)
    by_value: bool = False
    left_out: int = 0

    def __bool__(self) -> bool:
        return bool(self.only_first or self.only_second or self.changed)

    def __str__(self) -> str:
        lines = [f"- {name}" for name in self.only_first] + [f"+ {name}" for name in self.only_second]
        lines += [f"! {name}: {how}" for name, how in self.changed.items()]
        counts = f"{len(lines)} different, {self.equal} equal"
        if self.left_out:
            counts += f" ({self.left_out} left out: optimizer, metrics, seeds)"
        lines.append(counts)
        if self.by_value:
            lines.append(
                "paired by value, as the files name weights differently; "
                "layers of the same shapes that only changed places do not show"
            )
        return "\n".join(lines)


def diff_weights(
    a: Any,
    b: Any,
    *,
    like: str | os.PathLike[str] | None = None,
    progress: Progress = None,
) -> WeightDiff:
    """Compares the weights of two files of any format, or of layers or models, by name and value.

    Comparing files needs no Keras. If one file has places (``layers/dense/vars/0``, in ``.weights.h5`` and
    ``.keras``) and the other has names, weights are paired by their values, their order, their shapes, and the
    layer's name if the file has it. A file of places and a model are paired as ``load_weights`` does it.

    Args:
        a: A file that ``read_weights`` reads; or a layer or model that is built.
        b: Another one.
        like: If one file has places and the other names: a third file that says which weight is which. It holds
            the values of one of the two under names like those of the other. For ``old.keras`` and
            ``new.safetensors`` it is a ``.safetensors`` saved from the same model as ``old.keras``, or a
            ``.keras`` saved together with ``new.safetensors``. A model needs no such file.
        progress: A function that is called with the number of bytes compared so far and the number of all bytes.

    Returns:
        What differs; true if anything does. NaN equals NaN. Entries of an optimizer, a metric or a seed are not
        weights and are left out.

    Raises:
        TypeError: If `a` or `b` is not a path, layer or model.
        ValueError: If a file is broken or refused; if a layer has no weights; if weights could be paired in
            several ways; or if `like` does not say which weight is which.

    Examples:
        >>> import numpy, tempfile, os
        >>> from keras_buildfix import diff_weights
        >>> one, other = (os.path.join(tempfile.mkdtemp(), "w.npz") for _ in range(2))
        >>> numpy.savez(one, kernel=numpy.zeros(3), bias=numpy.ones(2))
        >>> numpy.savez(other, kernel=numpy.array([0.0, 0.5, 0.0]))
        >>> print(diff_weights(one, other))
        - bias
        ! kernel: 1 of 3 values, by up to 0.5
        2 different, 0 equal
    """
    third = None if like is None else _path(like)
    with _side(a) as first, _side(b) as second:
        models = [side for side in (first, second) if side.format == "model"]
        if models and third is not None:
            raise ValueError(f"diff_weights: {models[0].path} says which weight is which; leave out like=.")
        if len(models) == 1:
            return _with_model(a, first, b, second, progress)
        return _of_files(first, second, third, progress)


def _of_files(first: WeightFile, second: WeightFile, like: str | None, progress: Progress) -> WeightDiff:
    """Compares two files."""
    one, two = _weights(first), _weights(second)
    left_out = len(first) + len(second) - len(one) - len(two)
    otherwise = (first.layout == "structure") is not (second.layout == "structure")
    if like is not None:
        if not otherwise:
            raise ValueError(f"diff_weights: {first.path} and {second.path} have the same kind of names; omit like=.")
        with read_weights(like) as third:
            names = _told_by(first, second, third, progress)
        names = {name: to for name, to in names.items() if name in one and to in two}
        return replace(_compared(one, two, names, _Told([], None), left_out), paired=names)
    pairing = (
        paired(one, two, _Told([*one.values(), *two.values()], progress).add)
        if otherwise
        else _counted_otherwise(first, second, one, two)
    )
    if pairing is None:
        names = {name: name for name in one if name in two}
        return _compared(one, two, names, _Told([one[name] for name in names], progress), left_out)
    if pairing.unsure:
        raise ValueError(_unsure(first, second, pairing))
    names = {entry.name: to.name for entry, to in pairing.pairs}
    found = _compared(one, two, names, _Told([], None), left_out, pairing.equal)
    return replace(found, paired={name: names[name] for name in one if name in names}, by_value=True)


def _with_model(a: Any, first: WeightFile, b: Any, second: WeightFile, progress: Progress) -> WeightDiff:
    """Compares a layer or model with a file, and finds the file's weights as ``load_weights`` does."""
    layer, file, model = (a, second, first) if first.format == "model" else (b, first, second)
    tree = weight_tree(layer)
    match = find(Source.of(file), tree)
    if match.ambiguous or match.own:
        unsure = [*match.ambiguous, *(name for load in match.own for name in load.filed)]
        raise ValueError(
            f"diff_weights: these weights of {file.path} could be several weights of {model.path}: "
            f"{', '.join(unsure[:_SHOWN])}{', ...' if len(unsure) > _SHOWN else ''}. Compare it with a .safetensors "
            "that save_weights wrote."
        )
    drop_by_order(match)
    by_id = {id(variable): name for name, variable in tree.weights().items()}
    names = {entry.name: by_id[id(variable)] for variable, entry in (*match.pairs.values(), *match.again)}
    filed = {name: entry for name, entry in file.entries.items() if name in names or name in match.unexpected}
    told = _Told([filed[name] for name in names], progress)
    found = _compared(filed, model.entries, names, told, len(file) - len(filed))
    pairs = names if file.layout == "structure" else {}
    if model is second:
        return replace(found, paired=pairs)
    turned = {name: place for place, name in pairs.items()}
    return replace(found, only_first=found.only_second, only_second=found.only_first, paired=turned)


def _side(given: Any) -> WeightFile:
    """Opens a file; or shows the weights of a layer or model as if they were in a file."""
    if layer_base(type(given)) is None:
        return read_weights(_path(given))
    weights = weight_tree(given).weights()
    if not weights:
        raise ValueError(f"diff_weights: {given.name!r} has no weights; is it built?")
    entries = {name: entry_of(name, variable) for name, variable in weights.items()}
    return WeightFile(f"the layer {given.name!r}", "model", entries, "names", "", [])


def _path(path: Any) -> str:
    return file_path(path, "diff_weights", "It compares files, layers and models with each other.")


def _weights(file: WeightFile) -> dict[str, Entry]:
    """The entries of a file that are weights."""
    return without_state(file.entries) if file.layout == "structure" else dict(file.entries)


def _counted_otherwise(first: WeightFile, second: WeightFile, one: Entries, two: Entries) -> Pairing | None:
    """Pairs two files whose made-up names differ only in how layers are numbered; None if they differ otherwise.

    A legacy ``.h5`` has ``conv2d_7`` where other files have ``conv2d``. Up to Keras 2.14 the numbers in places count
    each layer twice.
    """
    if "names" in (first.layout, second.layout) and "layers" not in (first.layout, second.layout):
        return None
    if one.keys() <= two.keys() or two.keys() <= one.keys():
        return None
    pairing = paired(one, two, lambda entry: None)
    alike = all(_kinds(entry.name, first) == _kinds(other.name, second) for entry, other in pairing.pairs)
    return pairing if alike and pairing.pairs and not pairing.unsure else None


def _kinds(name: str, file: WeightFile) -> list[str]:
    """The parts of a name that do not depend on the numbering: of the layer, or of the whole place."""
    if file.layout != "structure":
        return [kind_of(name.partition("/")[0])]
    parts = name.rpartition("/vars/")[0].split("/")
    return [kind_of("layers" if part == "_layer_checkpoint_dependencies" else part.lstrip("_")) for part in parts]


def _told_by(first: WeightFile, second: WeightFile, like: WeightFile, progress: Progress) -> dict[str, str]:
    """Maps names in the first file to names in the second, as a third file says.

    Raises:
        ValueError: If the third file does not hold the values of one under names like the other's, or holds some twice.
    """
    one, two, three = _weights(first), _weights(second), _weights(like)
    common = [len(three.keys() & names.keys()) for names in (one, two)]
    if not any(common):
        raise ValueError(f"diff_weights: like={like.path!r} has no name that is in {first.path} or {second.path}.")
    as_second = common[1] >= common[0]
    source, values = (first, one) if as_second else (second, two)
    told = _Told([*values.values(), *three.values()], progress)
    pairing = paired(values, three, told.add, certain=True)
    unlike = [entry.name for entry in (*pairing.left, *pairing.left_there)]
    unlike += [
        one_of.name
        for one_of, other in pairing.pairs
        if one_of.name not in pairing.equal and _difference(one_of, other) is not None
    ]
    if pairing.unsure or unlike:
        names = ", ".join([*pairing.unsure, *unlike][:_SHOWN])
        raise ValueError(
            f"diff_weights: like={like.path!r} must hold the values of {source.path}, different ones for each layer, "
            f"under names as in {(second if as_second else first).path}; it does not tell what these are: {names}."
        )
    pairs = [(entry.name, other.name) for entry, other in pairing.pairs]
    return dict(pairs) if as_second else {name: to for to, name in pairs}


def _compared(
    one: Entries, two: Entries, names: Mapping[str, str], told: _Told, left_out: int, equal: Collection[str] = ()
) -> WeightDiff:
    """Compares each weight with the one of its name in the other file, and lists those that only one file has."""
    changed = {}
    for name, entry in one.items():
        if name not in names:
            continue
        to = names[name]
        how = None if name in equal else _difference(entry, two[to])
        if how is not None:
            places = (to, name) if is_structural([to]) and not is_structural([name]) else (name, to)
            changed[" = ".join(dict.fromkeys(places))] = how
        told.add(entry)
    theirs = set(names.values())
    return WeightDiff(
        tuple(name for name in one if name not in names),
        tuple(name for name in two if name not in theirs),
        changed,
        len(names) - len(changed),
        left_out=left_out,
    )


def _unsure(first: WeightFile, second: WeightFile, pairing: Pairing) -> str:
    """The error for files that can't be compared: which groups are unclear, and what to give."""
    lines = [
        f"  {key or '(the top)'} could be {', '.join(other or '(the top)' for other in others[:_SHOWN])}"
        + (", ..." if len(others) > _SHOWN else "")
        for key, others in list(pairing.unsure.items())[:_SHOWN]
    ]
    if len(pairing.unsure) > _SHOWN:
        lines.append(f"  ... and {len(pairing.unsure) - _SHOWN} more")
    kinds = ["places" if file.layout == "structure" else "names" for file in (first, second)]
    has = f"{first.path} has {kinds[0]}, {second.path} {kinds[1]}"
    return "\n".join(
        [
            f"diff_weights: {has}, and some weights match several others by value and shape:",
            *lines,
            f"Give like= (--like on the command line): a file with the values of {first.path} under {kinds[1]} as in "
            f"{second.path}, or the other way round, saved from the same model. Or load each file into the model "
            "with load_weights, save it as .safetensors, and compare these.",
        ]
    )


class _Told:
    """Reports to `progress` how many bytes are done."""

    def __init__(self, entries: Iterable[Entry], progress: Progress) -> None:
        self.total, self.done, self.progress = sum(entry.size for entry in entries), 0, progress

    def add(self, entry: Entry) -> None:
        self.done += entry.size
        if self.progress is not None:
            self.progress(self.done, self.total)


def _difference(one: Entry, other: Entry) -> str | None:
    if one.shape != other.shape:
        return f"shape {one.shape} and {other.shape}"
    if one.dtype != other.dtype:
        return f"dtype {one.dtype} and {other.dtype}"
    import numpy as np

    first, second = one.read(), other.read()
    if first.tobytes() == second.tobytes():
        return None
    wide = "complex128" if first.dtype.kind == "c" else "float64"
    first, second = first.astype(wide), second.astype(wide)
    unlike = ~((first == second) | (np.isnan(first) & np.isnan(second)))
    count = int(np.count_nonzero(unlike))
    if not count:
        return None
    with np.errstate(all="ignore"):
        far = np.abs(first[unlike] - second[unlike]).max()
    return f"{count} of {first.size} values, by up to {far:.6g}"
