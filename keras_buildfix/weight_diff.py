"""What differs between the weights of two files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Optional

from keras_buildfix._entries import Entry
from keras_buildfix.weight_files import read_weights

Progress = Optional[Callable[[int, int], None]]


@dataclass(frozen=True)
class WeightDiff:
    """What differs between the weights of two files. Prints as a table; is true if anything does.

    Attributes:
        only_first: Names that only the first file has.
        only_second: Names that only the second file has.
        changed: Name -> how it differs: both shapes, both dtypes, or how many values and how far.
        equal: How many are equal.
    """

    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()
    changed: dict[str, str] = field(default_factory=dict)
    equal: int = 0

    def __bool__(self) -> bool:
        return bool(self.only_first or self.only_second or self.changed)

    def __str__(self) -> str:
        lines = [f"- {name}" for name in self.only_first] + [f"+ {name}" for name in self.only_second]
        lines += [f"! {name}: {how}" for name, how in self.changed.items()]
        return "\n".join([*lines, f"{len(lines)} different, {self.equal} equal"])


def diff_weights(
    path: str | os.PathLike[str], other: str | os.PathLike[str], *, progress: Progress = None
) -> WeightDiff:
    """Compares the weights of two files of any format, by name and value. No Keras is needed.

    Args:
        path: A file that ``read_weights`` reads.
        other: Another one.
        progress: Called with the bytes compared so far and those in all.

    Returns:
        What differs. NaN equals NaN.

    Raises:
        ValueError: If a file is broken or not believed.

    Example:
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
    with read_weights(path) as first, read_weights(other) as second:
        both = [name for name in first if name in second.entries]
        total, done = sum(first.entries[name].size for name in both), 0
        changed = {}
        for name in both:
            how = _difference(first.entries[name], second.entries[name])
            if how is not None:
                changed[name] = how
            done += first.entries[name].size
            if progress is not None:
                progress(done, total)
        return WeightDiff(
            tuple(name for name in first if name not in second.entries),
            tuple(name for name in second if name not in first.entries),
            changed,
            len(both) - len(changed),
        )


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
