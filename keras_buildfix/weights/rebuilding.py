"""``reset_built``: makes Keras build a layer again, and keeps the values of its weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from keras_buildfix._keras.built import build_has_run, forget_build, unlock_state
from keras_buildfix._keras.classes import layer_instance
from keras_buildfix._keras.tracking import nested_layers, state_in_attributes, untrack
from keras_buildfix._structures import map_structure
from keras_buildfix.layer_tree.after_build import AfterBuild, is_to_build, waiting_for
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree
from keras_buildfix.weights.assigning import Assignment, assign_all
from keras_buildfix.weights.placing import Options, check, finalize
from keras_buildfix.weights.sources import entry_of


def reset_built(layer: Any, *, fresh: bool = False) -> ResetReport:
    """Makes Keras build a layer again: its ``build`` runs before the next use, with the shape given then.

    The layers inside it that were built are built again too. Until ``build`` runs, the layer accepts new weights
    and sub-layers, and inputs of other sizes. When ``build`` sets an attribute again, the old weight or sub-layer
    in it is dropped; Keras 3 by itself keeps it. Everything else, like weights made in ``__init__``, keeps its
    values. A new weight with the name and shape of an old one gets the old value. On Keras 2, old weights that a
    ``build`` keeps in a list or dict are not dropped.

    Args:
        layer: A Keras layer, built or not: ``self`` at the end of ``__init__``, or one to build again for
            another input shape or with another layer in it.
        fresh: If True, new weights keep their initial values. If False, they get the old values.

    Returns:
        A report that is filled in as the layers are built: the names of the weights that were ``kept``
        and of those that are ``new``.

    Raises:
        TypeError: If `layer` is not a Keras layer.

    Examples:
        >>> import keras
        >>> from keras_buildfix import reset_built
        >>> layer = keras.layers.Dense(4)
        >>> layer.build((None, 2))
        >>> report = reset_built(layer)
        >>> layer.build((None, 3))
        >>> [tuple(w.shape) for w in layer.weights]
        [(3, 4), (4,)]
        >>> report
        1 kept (bias), 1 new (kernel)

    Source: the portable form of ``self.built = False`` and of ``_tracker.unlock()`` (3.1.0 on). A
    sub-layer of a built layer can't be replaced by hand (keras #18601).
    """
    layer_instance(layer, "reset_built")
    tree = weight_tree(layer)
    for node in tree.nodes():
        for owner in waiting_for(node.layer):
            if isinstance(owner, _Rebuild) and owner.layer is layer:
                owner.before = {}  # a later reset_built replaces an earlier one that still waits
    rebuild = _Rebuild(tree, fresh)
    for inner in nested_layers(layer):
        if inner is layer or build_has_run(inner):
            rebuild.reset(inner)
    rebuild.wait(tree)
    return rebuild.report


class ResetReport:
    """What happened to the weights of a layer that is built again; it is filled in as the layer is built.

    Attributes:
        kept: Names of weights that were made again and have their old values.
        new: Names of weights that were made and have initial values.
    """

    def __init__(self) -> None:
        self.kept: tuple[str, ...] = ()
        self.new: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = [(self.kept, "kept"), (self.new, "new")]
        return ", ".join(f"{len(names)} {what}" + (f" ({', '.join(names)})" if names else "") for names, what in parts)


class _Rebuild:
    """The work of one ``reset_built``: it knows the old weights, and what to drop after each ``build``."""

    def __init__(self, tree: LayerNode, fresh: bool) -> None:
        self.layer = tree.layer
        self.report = ResetReport()
        #: Weights that were handled already. They are held here so that no new weight can get the `id` of one.
        self.known = {id(variable): variable for variable in tree.weights().values()}
        self.before = {} if fresh else tree.weights()
        self.tidying: dict[int, Callable[[], None]] = {}
        self.hooked: set[int] = set()

    def reset(self, layer: Any) -> None:
        """Resets one layer, without those inside it."""
        unlock_state(layer)
        forget_build(layer)
        layer.built = False
        held = state_in_attributes(layer)
        before = layer.input_spec
        loose = _without_sizes(before)
        if loose != before:
            layer.input_spec = loose

        def tidy() -> None:
            if loose != before and layer.input_spec == loose:
                layer.input_spec = before  # `build` did not set it, so the old one still applies
            still = {id(value) for value in state_in_attributes(layer)}
            untrack(layer, [value for value in held if id(value) not in still])

        if held:
            self.tidying[id(layer)] = tidy

    def wait(self, tree: LayerNode) -> None:
        """Waits for each layer that will be built."""
        for node in tree.nodes():
            if id(node.layer) not in self.hooked and (id(node.layer) in self.tidying or is_to_build(node.layer)):
                self.hooked.add(id(node.layer))
                AfterBuild(node.layer, functools.partial(self._built, path=node.path), self)

    def _built(self, layer: Any, path: tuple[str, ...]) -> None:
        self.tidying.pop(id(layer), lambda: None)()
        tree = weight_tree(layer, path)
        start = "/".join(path) + "/" if path else ""
        made = {start + name: each for name, each in tree.weights().items() if id(each) not in self.known}
        again = [
            Assignment(name, each, entry_of(name, self.before[name]))
            for name, each in made.items()
            if name in self.before
        ]
        fitting, _ = check(again, Options(strict=False, skip_mismatch=True))
        assign_all(fitting)
        finalize(tree, [id(each.variable) for each in fitting])
        kept = {each.name for each in fitting}
        self.known.update((id(each), each) for each in made.values())
        self.report.kept += tuple(name for name in made if name in kept)
        self.report.new += tuple(name for name in made if name not in kept)
        self.wait(tree)


def _without_sizes(spec: Any) -> Any:
    """An ``InputSpec``, or a list or dict of them, without the sizes of axes: those came from the earlier build."""

    def without_sizes(one: Any) -> Any:
        if not getattr(one, "axes", None) and getattr(one, "shape", None) is None:
            return one
        return type(one)(dtype=one.dtype, ndim=one.ndim, max_ndim=one.max_ndim, min_ndim=one.min_ndim)

    return map_structure(without_sizes, spec)
