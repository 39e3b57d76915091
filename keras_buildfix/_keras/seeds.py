"""Keeps what Keras 3 itself notes of seeds: the seed that was set, and the generator for draws that name no seed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from keras_buildfix._keras.variables import restore_snapshot, take_snapshot

#: Where Keras notes them. ``set_random_seed`` sets the first and drops the second: 3.9 to nightly.
_NOTED = ("global_random_seed", "global_seed_generator")


@contextlib.contextmanager
def same_seeds(package: str) -> Iterator[None]:
    """A block after which Keras 3 has noted the same seed, and its generator draws the numbers that it would have.

    ``keras.src.backend.common.global_state``, its ``get_global_attribute`` and ``set_global_attribute``: 3.0.0 to
    nightly. Keras 2 has none: nothing is kept there.
    """
    state = sys.modules.get(f"{package}.src.backend.common.global_state")
    if state is None or not hasattr(state, "get_global_attribute") or not hasattr(state, "set_global_attribute"):
        yield
        return
    before = {name: state.get_global_attribute(name) for name in _NOTED}
    drawn = getattr(before["global_seed_generator"], "state", None)
    value = take_snapshot(drawn) if drawn is not None else None
    try:
        yield
    finally:
        restore_snapshot(drawn, value)
        for name, value in before.items():
            state.set_global_attribute(name, value)
