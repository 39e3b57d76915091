"""``Entry``: a weight in a file, mapping or layer. Name, shape and dtype are known at once; the value is read later."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from keras_buildfix._arrays import Array, itemsize


@dataclass(frozen=True, eq=False)
class Entry:
    """A weight in a source.

    Attributes:
        name: Its name in the source; no other weight there has it.
        shape: Its sizes.
        dtype: The name of its dtype, such as ``"bfloat16"``.
        read: Reads its value; a new array each time, unless `borrowed`.
        layer: In a legacy ``.h5``: the layer whose group holds it; empty for the model's own weights.
        layer_names: In a ``.weights.h5``: for each group on its path, the name of the layer; None where the file
            has no name (before Keras 3.9 no file has any).
        variable: In a layer or model: the variable itself.
        borrowed: Whether somebody else owns the array that `read` returns, and may change it.
        check: Raises a ValueError if the value can't be read; None if we know that it can, without reading it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array]
    layer: str | None = None
    layer_names: tuple[str | None, ...] = ()
    variable: Any = None
    borrowed: bool = False
    check: Callable[[], object] | None = None

    @property
    def size(self) -> int:
        """Bytes that its value takes in memory."""
        return math.prod(self.shape) * itemsize(self.dtype)

    @property
    def layer_name(self) -> str | None:
        """In a ``.weights.h5`` of newer Keras versions: the name of the layer that made it."""
        return self.layer_names[-1] if self.layer_names else None


Entries = Mapping[str, Entry]


def is_structural(names: Collection[str]) -> bool:
    """Whether names are places in a model with positions, as in ``.weights.h5``: ``layers/dense_1/vars/0``."""
    return bool(names) and all("vars" in name.split("/")[:-1] for name in names)
