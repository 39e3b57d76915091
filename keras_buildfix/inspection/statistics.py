"""``weight_stats``: range, mean, spread and bytes of each weight, in a layer, model or file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from keras_buildfix._arrays import DTYPES, Array, itemsize, kind_of_dtype
from keras_buildfix._keras.classes import describe, describe_layer, layer_base
from keras_buildfix._keras.training import variables_of
from keras_buildfix._keras.variables import dtype_of, view_value
from keras_buildfix._tables import Table
from keras_buildfix._words import SHOWN, many
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree

Progress = Optional[Callable[[int, int], None]]
Number = Union[int, float, None]

#: So many values at a time are computed with: in float64 they take 8 MB.
_CHUNK = 1 << 20

#: Squares of larger numbers may overflow in float64, and those of smaller ones vanish.
_LARGE, _SMALL = 1e120, 1e-120


@dataclass(frozen=True)
class WeightStatistics:
    """The statistics of a weight.

    ``min``, ``max``, ``mean`` and ``std`` are those of its finite values, computed in float64; None if it has none. Of
    complex numbers they are those of the absolute values. A bool counts as 0 or 1.

    Attributes:
        name: Its name, as in ``named_weights``; or as in ``read_weights``.
        shape: Its sizes.
        dtype: The name of its dtype.
        bytes: The bytes that it takes in memory.
        min: The smallest value. It is exact for whole numbers, also above 2**53.
        max: The largest value.
        mean: The mean.
        std: The standard deviation of the values themselves (divided by their number, not by one less).
        zeros: How many values are zero.
        nan: How many are NaN.
        inf: How many are infinite.
        trainable: Whether it is trained now; None for a file, which does not say.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    min: Number
    max: Number
    mean: float | None
    std: float | None
    zeros: int
    nan: int
    inf: int
    trainable: bool | None = None


@dataclass(frozen=True)
class WeightStats(Table):
    """What ``weight_stats`` found. It prints as a table.

    Attributes:
        weights: The statistics of each weight, in the order of the model or file.
        memory: The bytes that all of them take in memory.
        file: The bytes of the file; None for a layer or model.
        not_built: Names of the layers that are not built yet: they have no weights.
    """

    weights: tuple[WeightStatistics, ...]
    memory: int
    file: int | None = None
    not_built: tuple[str, ...] = ()

    def _rows(self) -> Sequence[WeightStatistics]:
        return self.weights

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        headers = ["weight", "dtype and shape", " bytes", " min", " max", " mean", " std", " zeros", " nan", " inf"]
        rows = []
        for each in self.weights:
            numbers = (each.min, each.max, each.mean, each.std)
            counts = (each.zeros, each.nan, each.inf)
            row = [each.name, f"{each.dtype}{list(each.shape)}", f"{each.bytes:,}"]
            rows.append([*row, *map(_in_short, numbers), *(f"{count:,}" for count in counts)])
        if self.file is None:
            headers.append("trainable")
            for row, each in zip(rows, self.weights):
                row.append("yes" if each.trainable else "no")
        return headers, rows

    def _notes(self) -> Sequence[str]:
        on_disk = "" if self.file is None else f", {self.file:,} in the file"
        notes = [f"{many(len(self.weights), 'weight')}, {self.memory:,} bytes in memory{on_disk}"]
        if any(each.nan or each.inf for each in self.weights):
            notes.append("min, max, mean and std are those of the finite values")
        if any(kind_of_dtype(each.dtype) == "complex" for each in self.weights):
            notes.append("min, max, mean and std of complex numbers are those of their absolute values")
        return [*notes, *(f"not built yet: {name}" for name in self.not_built)]


def _in_short(number: Number) -> str:
    return "" if number is None else str(number) if isinstance(number, int) else f"{number:.4g}"


def weight_stats(model_or_file: Any, *, progress: Progress = None) -> WeightStats:
    """Tells the range, mean, spread, zeros, NaN and bytes of each weight of a layer, model or file.

    A file is read weight by weight, and is not trusted; this needs no Keras. All that ``read_weights`` lists counts:
    a ``.keras`` of a compiled model also has the variables of its optimizer and metrics.

    Args:
        model_or_file: A layer or model that is built; or the path of a file that ``read_weights`` reads.
        progress: A function that is called with the number of bytes done so far and the number of all bytes.

    Returns:
        The statistics by weight, and the bytes in memory and in the file. They are those of the finite values.

    Raises:
        TypeError: If `model_or_file` is not a layer, model or path.
        ValueError: If the layer or model has no weights, or has one that holds no numbers; or if the file is broken
            or refused.

    Examples:
        >>> import keras
        >>> from keras_buildfix import weight_stats
        >>> layer = keras.layers.Dense(2, kernel_initializer="ones")
        >>> layer.build((None, 3))
        >>> print(weight_stats(layer))
        weight  dtype and shape  bytes  min  max  mean  std  zeros  nan  inf  trainable
        -------------------------------------------------------------------------------
        kernel  float32[3, 2]       24    1    1     1    0      0    0    0  yes
        bias    float32[2]           8    0    0     0    0      2    0    0  yes
        2 weights, 32 bytes in memory

    Source: ``model.summary()`` tells counts and bytes only, and nothing tells those of a file.
    """
    if layer_base(type(model_or_file)) is not None:
        return _of_layer(model_or_file, progress)
    if not isinstance(model_or_file, (str, bytes, os.PathLike)):
        raise TypeError(
            f"weight_stats expects a Keras layer or model (an instance), or the path of a file of weights; "
            f"got {describe(model_or_file)}."
        )
    return _of_file(model_or_file, progress)


def _of_file(path: Any, progress: Progress) -> WeightStats:
    from keras_buildfix import read_weights

    with read_weights(path) as file:
        size, done, found = os.path.getsize(file.path), 0, []
        total = sum(entry.size for entry in file.entries.values())
        for name, entry in file.entries.items():
            found.append(_statistics(name, entry.read(), entry.dtype, None))
            done += entry.size
            if progress is not None:
                progress(done, total)
    return WeightStats(tuple(found), sum(each.bytes for each in found), size)


def _of_layer(layer: Any, progress: Progress) -> WeightStats:
    tree = weight_tree(layer)
    weights = tree.weights()
    not_built = _not_built(tree)
    if not weights:
        why = f" These layers are not built yet: {_some(not_built)}." if not_built else ""
        way_out = " Call it on data once, or build it, before." if not_built else ""
        raise ValueError(f"weight_stats: {describe_layer(layer)} has no weights.{why}{way_out}")
    wrong = [name for name, variable in weights.items() if dtype_of(variable) not in DTYPES]
    if wrong:
        raise ValueError(
            f"weight_stats: the weight {wrong[0]!r} of {describe_layer(layer)} is of dtype "
            f"{dtype_of(weights[wrong[0]])}, which holds no numbers. Pass the layers without it, one by one."
        )
    trained = {id(variable) for variable in variables_of(layer, trained=True)}
    total, done, found = sum(map(_bytes_of, weights.values())), 0, []
    for name, variable in weights.items():
        found.append(_statistics(name, view_value(variable), dtype_of(variable), id(variable) in trained))
        done += _bytes_of(variable)
        if progress is not None:
            progress(done, total)
    return WeightStats(tuple(found), sum(each.bytes for each in found), None, tuple(not_built))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _not_built(tree: LayerNode) -> list[str]:
    """The names of the layers in a tree that are not built and hold neither weights nor layers."""
    return [
        "/".join(node.path) or str(node.layer.name)
        for node in tree.nodes()
        if not node.own and not node.children and not getattr(node.layer, "built", True)
    ]


def _bytes_of(variable: Any) -> int:
    return int(math.prod(size or 0 for size in variable.shape) * itemsize(dtype_of(variable)))


def _statistics(name: str, value: Array, dtype: str, trainable: bool | None) -> WeightStatistics:
    """The statistics of an array."""
    shape = tuple(int(size) for size in value.shape)
    low, high, zeros, nan, inf = _counts(value, dtype)
    mean, std = _moments(value, dtype, low, high)
    size = math.prod(shape) * itemsize(dtype)
    return WeightStatistics(name, shape, dtype, size, low, high, mean, std, zeros, nan, inf, trainable)


def _chunks(value: Array, dtype: str) -> Iterator[tuple[Array, Array | None]]:
    """An array part by part: as whole numbers (None if they are not) and in float64; of complex ones the absolutes."""
    import numpy as np

    if value.flags.f_contiguous:
        value = value.T  # the order makes no difference, and this one needs no copy
    flat = value.reshape(-1) if value.flags.c_contiguous else value.flat
    kind = kind_of_dtype(dtype)
    for start in range(0, value.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        if kind == "complex":
            with np.errstate(over="ignore"):
                yield np.abs(part.astype("complex128")), None
        else:
            whole = part if kind == "whole" else part.astype("uint8") if kind == "bool" else None
            yield part.astype("float64"), whole


def _counts(value: Array, dtype: str) -> tuple[Number, Number, int, int, int]:
    """The smallest and the largest finite value, and the numbers of zeros, NaN and infinite values."""
    import numpy as np

    low: Number = None
    high: Number = None
    zeros = nan = inf = 0
    for part, whole in _chunks(value, dtype):
        finite = np.isfinite(part)
        number = int(np.count_nonzero(np.isnan(part)))
        nan += number
        inf += int(part.size - np.count_nonzero(finite)) - number
        zeros += int(part.size - np.count_nonzero(part))
        numbers = part[finite] if whole is None else whole
        if numbers.size:
            least, most = numbers.min().item(), numbers.max().item()
            low = least if low is None else min(low, least)
            high = most if high is None else max(high, most)
    return low, high, zeros, nan, inf


def _moments(value: Array, dtype: str, low: Number, high: Number) -> tuple[float | None, float | None]:
    """The mean and the standard deviation of the finite values: each part's are joined with those before it."""
    import numpy as np

    if low is None or high is None:
        return None, None
    most = max(abs(low), abs(high))
    scale = 2.0 ** (math.frexp(most)[1] - 1) if most and not _SMALL < most < _LARGE else 1.0
    count, mean, spread = 0, 0.0, 0.0
    for part, _ in _chunks(value, dtype):
        numbers = part[np.isfinite(part)] / scale
        if numbers.size:
            own = float(numbers.mean())
            step, both = own - mean, count + numbers.size
            spread += float(np.square(numbers - own).sum()) + step * step * count * numbers.size / both
            mean += step * numbers.size / both
            count = both
    return mean * scale, math.sqrt(spread / count) * scale
