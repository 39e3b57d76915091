"""Private names of Keras that have to do with saving a layer's state and with running without state."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


def saving_methods(base: type) -> tuple[str, str]:
    """What this ``Layer`` calls the methods that save and load a layer's own weights.

    Public from 2.13 on; ``_save_own_variables`` and ``_load_own_variables`` on 2.12.
    """
    private = "" if hasattr(base, "save_own_variables") else "_"
    return f"{private}save_own_variables", f"{private}load_own_variables"


@contextlib.contextmanager
def without_count_check(layer: Any) -> Iterator[None]:
    """A block in which ``load_own_variables`` of a built-in does not count the weights in the file.

    ``_check_load_own_variables``: of Dense, EinsumDense and Embedding from 3.2, of Conv1D to Conv3D from 3.3,
    of ``Layer`` from 3.12 to nightly. It raises unless the file has as many weights as the layer.
    """
    name = "_check_load_own_variables"
    if not hasattr(layer, name):
        yield
        return

    def unchecked(store: Any) -> None:
        """Counted by keras_buildfix."""

    attributes = vars(layer)
    before = attributes.get(name)
    attributes[name] = unchecked
    try:
        yield
    finally:
        if before is None:
            attributes.pop(name, None)
        else:
            attributes[name] = before


def runs_without_state(package: str) -> bool:
    """Whether Keras now computes with values of weights that are not those of the variables.

    ``keras.src.backend.common.stateless_scope.in_stateless_scope``: 3.0.0 to nightly. While it finds the shapes
    that a model gives, weights are made whose first value stands in for them. Always False on Keras 2.
    """
    module = sys.modules.get(f"{package}.src.backend.common.stateless_scope")
    asked = getattr(module, "in_stateless_scope", None)
    return bool(asked()) if asked is not None else False
