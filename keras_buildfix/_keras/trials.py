"""A block in which layers are made, built and called for a trial, after which Keras knows nothing of it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from keras_buildfix._keras.running import same_names, same_random_state


@contextlib.contextmanager
def without_trace(package: str) -> Iterator[None]:
    """A block after which Keras makes up the same names, and all draw the same random numbers, as without it."""
    with same_random_state(package), same_names(package), own_global_state(package), _same_in_keras_2(package):
        yield


@contextlib.contextmanager
def own_global_state(package: str) -> Iterator[None]:
    """A block with its own generator for draws that name no seed, and its own list of weights without values.

    A generator that is made in a symbolic call is of no use after it.

    ``global_seed_generator`` and ``uninitialized_variables`` in ``keras.src.backend.common.global_state``: 3.0.0 to
    nightly. Keras gives the weights in that list values when it leaves a stateless scope, whose they ever are.
    """
    state = sys.modules.get(f"{package}.src.backend.common.global_state")
    if state is None or not hasattr(state, "get_global_attribute") or not hasattr(state, "set_global_attribute"):
        yield
        return
    before = {name: state.get_global_attribute(name) for name in ("global_seed_generator", "uninitialized_variables")}
    try:
        state.set_global_attribute("global_seed_generator", None)
        state.set_global_attribute("uninitialized_variables", [])
        yield
    finally:
        for name, value in before.items():
            state.set_global_attribute(name, value)


@contextlib.contextmanager
def _same_in_keras_2(package: str) -> Iterator[None]:
    """A block after which Keras 2 knows the names that it has seen before it.

    ``OBSERVED_NAMES`` of ``backend``: 2.12 to tf_keras 2.21.
    """
    backend: Any = sys.modules.get(f"{package}.src.backend") or sys.modules.get(f"{package}.backend")
    names = getattr(backend, "OBSERVED_NAMES", None)
    if names is None:
        yield
        return
    known = set(names)
    try:
        yield
    finally:
        names.clear()
        names.update(known)
