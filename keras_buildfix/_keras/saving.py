"""The methods with which Keras saves and loads a layer's state."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

#: The method that writes a layer's own weights: its public name, and its name on 2.12.
SAVING = ("save_own_variables", "_save_own_variables")


def saving_methods(base: type) -> tuple[str, str]:
    """The names of the two methods of this ``Layer`` that save and load a layer's own weights.

    Public from 2.13 on; ``_save_own_variables`` and ``_load_own_variables`` on 2.12.
    """
    if hasattr(base, "save_own_variables"):
        return "save_own_variables", "load_own_variables"
    return "_save_own_variables", "_load_own_variables"


def saved_by_walk(layer: Any, package: str) -> set[int] | None:
    """The ids of all objects that Keras visits when it saves a layer; None where that can't be found out.

    ``saving_lib._save_state``, in ``keras.saving`` on 2.12, in ``keras.src.saving`` (or that of ``tf_keras``)
    from 2.13 to nightly. If ``bool(store)`` is False, it visits the layers, but writes nothing and does not call
    a layer's ``save_own_variables`` or ``save_assets``. 3.13 accepts only its own kind of store, ``H5IOStore``.
    """
    for name in (f"{package}.src.saving.saving_lib", f"{package}.saving.saving_lib"):
        module = sys.modules.get(name)
        walk, store = getattr(module, "_save_state", None), getattr(module, "H5IOStore", None)
        if walk is None or store is None:
            continue
        nowhere: Any = object.__new__(type("Nowhere", (store,), {"__bool__": lambda self: False}))
        met: set[int] = set()
        # Keras reads every property, and some warn. They warn again when the file is written: once is enough.
        with warnings.catch_warnings(), contextlib.suppress(TypeError, ValueError):
            warnings.simplefilter("ignore")
            walk(layer, nowhere, None, "", met)
            return met if id(layer) in met else None
    return None


def keras_ending_is_legacy(model: Any, package: str) -> bool:
    """Whether ``model.save("x.keras")`` writes a legacy HDF5 file: 2.12, unless the user switched the new format on.

    ``saving_lib.saving_v3_enabled``, asked on 2.12 only.
    """
    enabled = getattr(sys.modules.get(f"{package}.saving.saving_lib"), "saving_v3_enabled", None)
    return not hasattr(model, "save_own_variables") and not (enabled is not None and enabled())


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
        """Checks nothing: keras_buildfix counts the weights itself."""

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
