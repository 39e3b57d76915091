"""``AfterBuild`` runs code once a single layer is built; ``Refusal`` makes each call of a layer an error."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from keras_buildfix._keras.classes import build_owner, is_model
from keras_buildfix._keras.defaults import has_default_build
from keras_buildfix.layer_tree.tree import LayerNode


def layers_to_build(tree: LayerNode) -> list[Any]:
    """The layers in a tree, the first included, that are not built and have a ``build`` that may make weights."""
    return [node.layer for node in tree.nodes() if is_to_build(node.layer)]


def is_to_build(layer: Any) -> bool:
    """Whether a layer is not built, and has a ``build`` that may make weights."""
    if getattr(layer, "built", True) or has_default_build(layer):
        return False
    # A model without a user's build is built by a call, layer by layer: Sequential on Keras 2, subclasses on Keras 3.
    return not is_model(layer) or build_owner(type(layer)) is not None


class AfterBuild:
    """Stands in for one layer's ``build``: builds the layer, removes itself, and calls `then`."""

    def __init__(self, layer: Any, then: Callable[[Any], None], owner: object = None) -> None:
        self.layer, self.then, self.owner = layer, then, owner
        self.build = layer.build
        self.was_own = "build" in vars(layer)
        # Keras reads the names of build's arguments. `updated=()`: do not copy the attributes of another AfterBuild.
        functools.update_wrapper(self, self.build, updated=())
        vars(layer)["build"] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Builds the layer."""
        result = self.build(*args, **kwargs)
        self.remove()
        self.then(self.layer)
        return result

    def remove(self) -> None:
        """Removes itself. When the last one has removed itself, the layer has its own ``build`` again."""
        before, held = None, vars(self.layer).get("build")
        while isinstance(held, AfterBuild) and held is not self:
            before, held = held, held.build
        if held is not self:
            return
        if before is not None:
            before.build, before.was_own = self.build, self.was_own
        elif self.was_own:
            vars(self.layer)["build"] = self.build
        else:
            del vars(self.layer)["build"]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copied layer waits for nothing: the copy gets the plain ``build``."""
        return copy.deepcopy(self.build, memo)


def waiting_for(layer: Any) -> Iterator[object]:
    """The owners of the ``AfterBuild`` objects of a layer, the last one first."""
    held = vars(layer).get("build")
    while isinstance(held, AfterBuild):
        yield held.owner
        held = held.build


class Refusal:
    """Stands in for the ``call`` of layers for which a request failed: raises an error at every call."""

    def __init__(self, message: str, layers: Iterable[Any], owner: object) -> None:
        self.message, self.owner = message, owner
        self.layers = [layer for layer in layers if hasattr(layer, "call") and "call" not in vars(layer)]
        for layer in self.layers:
            vars(layer)["call"] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raises the error."""
        raise ValueError(self.message)

    def end(self) -> None:
        """Lets the layers be called again."""
        for layer in self.layers:
            if vars(layer).get("call") is self:
                del vars(layer)["call"]
