"""``lost_weights``: finds the weights that Keras leaves out of the files it writes, and says why and what to do."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from keras_buildfix._keras.classes import belongs_to_keras, describe_layer, is_model, layer_base, layer_instance
from keras_buildfix._keras.info import keras_info
from keras_buildfix._keras.saving import keras_ending_is_legacy, saved_by_walk, saving_methods
from keras_buildfix._keras.tracking import LAYERS, attributes
from keras_buildfix._keras.variables import is_variable, read_value, view_value
from keras_buildfix.extra_weights.mixin import ExtraWeightsMixin
from keras_buildfix.extra_weights.trial_saving import OwnSaving, loads_by_hand, own_saving, saves_by_hand
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree
from keras_buildfix.portable.raw_variables import marks_left


def lost_weights(layer: Any) -> dict[str, Any]:
    """Returns the weights that would be lost if the installed Keras, without help, saved and loaded the layer.

    In ``.weights.h5`` and ``.keras`` these are:

    - weights that a subclass adds to a built-in which saves or loads its own weights by hand;
    - weights of layers that saving does not reach: on every Keras before 3.15 those in a list, dict or tuple
      inside another one (``self.blocks = [{"a": Dense(1)}]``); on Keras 3 those that are held only under a
      name of Keras's own (``self._layers = [Dense(1)]``);
    - on Keras 2 the weights of a ``tf.Module``;
    - marks of ``raw_weight(...)`` in a layer without ``PortableLayerMixin``: they never became weights.

    It writes no file and changes no weight. It runs Keras's own search for what to save, and each layer's
    ``save_own_variables`` on a dict.

    Args:
        layer: A layer or model that is built: an unbuilt layer has no weights.

    Returns:
        Name -> variable (or mark), with the names of ``named_weights``. Empty if nothing would be lost. It includes
        weights that ``Discretization`` writes but does not read back.

    Raises:
        TypeError: If `layer` is not a Keras layer.
        ValueError: If a layer's ``save_own_variables`` raises.

    Examples:
        >>> import keras
        >>> from keras_buildfix import lost_weights
        >>> class Lookup(keras.layers.Discretization):
        ...     def build(self, input_shape=None):
        ...         super().build(input_shape)
        ...         self.scale = self.add_weight(name="scale", shape=(), dtype="float32")
        >>> layer = Lookup(bin_boundaries=[0.0, 1.0])
        >>> layer.build((None, 3))
        >>> lost = list(lost_weights(layer))
        >>> lost == (["scale"] if keras.__version__ >= "3" else [])
        True
        >>> lost_weights(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
        {}

    Source: measured on 2.12 to nightly. For extra weights see ``ExtraWeightsMixin``; for lists in lists keras
    issues #20260, #20598.
    """
    layer_instance(layer, "lost_weights")
    root = weight_tree(layer)
    lost = _lost(root, "lost_weights")
    return {name: variable for name, variable in root.weights().items() if id(variable) in lost} | _marks(root)


def check_nothing_lost(model: Any, path: str, form: str) -> None:
    """Raises a ValueError if Keras would leave weights out of a ``.weights.h5`` or ``.keras``, and names them."""
    root = weight_tree(model)
    for name, mark in _marks(root).items():
        raise ValueError(
            f"save_weights: {name} of {model.name!r} can't be saved; nothing was written. {mark.no_weight()}"
        )
    legacy = form == "keras" and keras_ending_is_legacy(model, _package(model))
    if legacy:
        _check_names(model, path)
    lost = _lost_in_legacy(root) if legacy else _lost(root, "save_weights")
    if not lost:
        return
    found = [(name, lost[id(variable)]) for name, variable in root.weights().items() if id(variable) in lost]
    lines = [f"  {name}: {loss.why}" for name, loss in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} more")
    lines += dict.fromkeys(loss.way_out for _, loss in found if loss.way_out)
    raise ValueError(
        f"save_weights: Keras would leave {len(found)} of {len(root.weights())} weights of {model.name!r} "
        f"({keras_info(model)}) out of {path}; nothing was written.\n"
        + "\n".join(lines)
        + f"\nOr save as .safetensors, .npz or .h5, which keep {'it' if len(found) == 1 else 'all of them'}."
    )


def _marks(root: LayerNode) -> dict[str, Any]:
    """Marks of ``raw_weight`` that never became weights, by name."""
    return {
        "/".join((*node.path, place)): mark for node in root.nodes() for place, mark in marks_left(node.layer).items()
    }


#: How many lost weights a message names.
_SHOWN = 20


@dataclass(frozen=True)
class _Loss:
    """Why a weight is lost, and what the author of its layer can do: one sentence each."""

    why: str
    way_out: str


def _lost(root: LayerNode, wanted_by: str) -> dict[int, _Loss]:
    """The ``id`` of each weight that Keras does not restore -> why."""
    met = _met(root.layer)
    saved: set[int] = set()
    lost: dict[int, _Loss] = {}
    by_users: list[tuple[LayerNode, list[Any]]] = []
    above = root.above()
    for node in root.nodes():
        if id(node.layer) not in met:
            if node.own:
                loss = _not_met(node, above[id(node)], met)
                lost.update((id(variable), loss) for _, variable in node.own)
            continue
        saving = _saving(node, wanted_by)
        if saving is not None:
            owner = saves_by_hand(node.layer)
            unsaved = {} if saving.by_mixin else {id(variable): _unsaved(node, owner) for variable in saving.unsaved}
            unread = {id(variable): _unread(node) for variable in saving.unread}
            lost.update({**unread, **unsaved})
            saved.update(id(variable) for _, variable in node.own if id(variable) not in {**unread, **unsaved})
            if owner is not None and not belongs_to_keras(owner):
                by_users.append((node, saving.written))
        else:
            saved.update(id(variable) for _, variable in node.own)
    for node, written in by_users:
        left = [v for each in node.nodes() for _, v in each.own if id(v) in lost and id(v) not in saved]
        saved |= _found_in(written, left)
    return {key: loss for key, loss in lost.items() if key not in saved}


def _saving(node: LayerNode, wanted_by: str) -> OwnSaving | None:
    """How a layer saves and loads its own weights; None if it saves and loads all of them."""
    layer, owner = node.layer, saves_by_hand(node.layer)
    if _is_completed(layer) or (owner is None and loads_by_hand(layer) is None):
        return None
    if not node.own and (owner is None or belongs_to_keras(owner)):
        return None
    try:
        return own_saving(layer)
    except Exception as error:
        raise ValueError(
            f"{wanted_by} can't tell what {describe_layer(layer)} saves: "
            f"save_own_variables of {owner.__name__ if owner else 'Layer'} raises "
            f"{type(error).__name__}: {error}"
        ) from error


def _is_completed(layer: Any) -> bool:
    """Whether ``ExtraWeightsMixin`` saves the layer's weights. It does not on Keras 2.12, where it does nothing."""
    name = "save_own_variables"
    first = next((cls for cls in type(layer).__mro__ if name in vars(cls)), None)
    return first is ExtraWeightsMixin and hasattr(super(ExtraWeightsMixin, layer), name)


def _found_in(written: Iterable[Any], weights: list[Any]) -> set[int]:
    """The ids of the `weights` that a user's code has written: the variables themselves, or arrays of their values."""
    import numpy as np

    by_id = {id(value) for value in written}
    found = {id(variable) for variable in weights if id(variable) in by_id}
    left = [variable for variable in weights if id(variable) not in found]
    arrays = []
    for value in written if left else ():
        with contextlib.suppress(Exception):  # what can't be compared is not the array of a weight
            value = value.detach().cpu() if hasattr(value, "detach") else value
            arrays.append(read_value(value) if is_variable(value) else np.asarray(value))
    for variable in left:
        value = view_value(variable)
        for at, array in enumerate(arrays):
            if array.shape == value.shape and array.dtype == value.dtype and np.array_equal(array, value):
                found.add(id(variable))
                del arrays[at]
                break
    return found


def _unsaved(node: LayerNode, owner: type | None) -> _Loss:
    kind = type(node.layer)
    if owner is None or not belongs_to_keras(owner):
        name = owner.__name__ if owner else kind.__name__
        return _Loss(
            f"save_own_variables of {name} does not write it for layer {node.layer.name!r}",
            f"Write each weight in save_own_variables of {name}, and read it in load_own_variables.",
        )
    return _Loss(f"the built-in {owner.__name__} saves its own weights only, for {_shown(node.layer)}", _mixin(node))


def _unread(node: LayerNode) -> _Loss:
    owner = loads_by_hand(node.layer)
    name = owner.__name__ if owner else ""
    return _Loss(f"the built-in {name} does not load what it saves, for {_shown(node.layer)}", _mixin(node))


def _mixin(node: LayerNode) -> str:
    if not hasattr(node.layer, "save_own_variables"):  # 2.12, where the mixin does nothing
        return ""
    kind = type(node.layer)
    if belongs_to_keras(kind):
        return f"Replace {kind.__name__} by a subclass that lists keras_buildfix.ExtraWeightsMixin first."
    return f"List keras_buildfix.ExtraWeightsMixin first among the bases of {kind.__name__}."


def _not_met(node: LayerNode, above: tuple[LayerNode, ...], met: set[int]) -> _Loss:
    """Says why saving does not reach a layer: looks at what the nearest reached layer around it holds."""
    around = next(at for at, each in enumerate(above) if id(each.layer) in met)
    holder, top = above[around].layer, (node, *above)[around].layer
    place = _place(holder, top)
    held = f"which {_shown(holder)} holds" + (f" as {place}" if place else "")
    if layer_base(type(top)) is None:
        return _Loss(
            f"Keras does not save the tf.Module {type(top).__name__}, {held}",
            f"Make each variable and layer in a {type(top).__name__} an attribute of {_shown(holder)} too.",
        )
    return _Loss(
        f"Keras does not reach the layer {_shown(top)}, {held}",
        f"Make each such layer an attribute of {_shown(holder)} too, with a name of your own, "
        "or put it into a list of layers only that is one.",
    )


def _place(holder: Any, wanted: Any) -> str:
    """The attribute of a layer that holds `wanted`, and where in it: ``parts[0]['q']``; empty if none does."""
    list_of_keras_last = sorted(attributes(holder).items(), key=lambda pair: pair[0] == LAYERS)
    for name, value in list_of_keras_last:
        for place, held in _in(value, name, set()):
            if held is wanted:
                return place
    return ""


def _in(value: Any, place: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    yield place, value
    if not isinstance(value, (list, tuple, dict)) or id(value) in seen:
        return
    seen.add(id(value))
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield from _in(item, f"{place}[{key!r}]", seen)


def _shown(layer: Any) -> str:
    return f"{type(layer).__name__} {layer.name!r}"


def _lost_in_legacy(root: LayerNode) -> dict[int, _Loss]:
    """What a legacy HDF5 file loses: it has only the model's own weights and those of layers in ``model.layers``."""
    saved = {id(variable) for layer in root.layer.layers for variable in layer.weights}
    saved.update(id(variable) for _, variable in root.own)
    loss = _Loss(f"this .keras has only what the list `layers` of {_shown(root.layer)} has", "")
    return {id(variable): loss for variable in root.weights().values() if id(variable) not in saved}


def _check_names(model: Any, path: str) -> None:
    """Raises a ValueError if two weights of a layer share a name: Keras then stops half-way in a legacy file."""
    for layer in model.layers:
        names = [variable.name for variable in layer.weights]
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise ValueError(
                f"save_weights: {path}: on {keras_info(model)} a .keras can't hold two weights of a layer with one "
                f"name, as {double!r} of {_shown(layer)}; nothing was written. Save as .safetensors, .npz or .h5."
            )


# --- What saving reaches -----------------------------------------------------------------------


def _met(layer: Any) -> set[int]:
    """The ids of the layers that Keras reaches when it saves a layer or model."""
    met = saved_by_walk(layer, _package(layer))
    return met_while_saving(layer) if met is None else met


def _package(layer: Any) -> str:
    base = layer_base(type(layer))
    assert base is not None
    return base.__module__.partition(".")[0]


def met_while_saving(model: Any) -> set[int]:
    """Finds the layers that Keras reaches when it saves a model, with no private name of Keras.

    It is slower than ``saved_by_walk``, so it serves only Keras versions that lack the private names. It saves the
    model to a temporary folder, while a stand-in for each layer's saving method notes the layer and writes nothing.

    Raises:
        ValueError: If `model` is not a model.
    """
    if not is_model(model):
        raise ValueError(
            f"On {keras_info(model)} we can't tell what saving the layer {model.name!r} alone would lose: "
            "give the model that it is in."
        )
    base = layer_base(type(model))
    assert base is not None
    name, thread = saving_methods(base)[0], threading.get_ident()
    met: set[int] = set()

    def note_in_place_of(save: Callable[[Any], None], key: int) -> Callable[[Any], None]:
        def note(store: Any) -> None:
            if threading.get_ident() != thread:  # another thread that saves must get its file
                save(store)
            met.add(key)

        return note

    layers = [node.layer for node in weight_tree(model).nodes() if layer_base(type(node.layer)) is not None]
    with contextlib.ExitStack() as after, tempfile.TemporaryDirectory() as folder:
        for layer in layers:
            after.callback(_put_back, vars(layer), name, vars(layer).get(name, _NOTHING))
            vars(layer)[name] = note_in_place_of(getattr(layer, name), id(layer))
        model.save_weights(os.path.join(folder, "nothing.weights.h5"))
    return met


_NOTHING = object()


def _put_back(attributes: dict[str, Any], name: str, before: Any) -> None:
    if before is _NOTHING:
        attributes.pop(name, None)
    else:
        attributes[name] = before
