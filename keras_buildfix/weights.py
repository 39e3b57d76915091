"""Functions that get, set, transfer, load and save the weights of a layer or model, the same way on every Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras_buildfix._arrays import Array
from keras_buildfix._keras.classes import describe, is_model, layer_base, layer_instance
from keras_buildfix._keras.info import keras_info
from keras_buildfix._keras.variables import is_variable, read_value
from keras_buildfix._keywords import answers
from keras_buildfix._words import short
from keras_buildfix.layer_tree.after_build import layers_to_build
from keras_buildfix.layer_tree.selecting import Select, is_everything, part_of
from keras_buildfix.layer_tree.tree import LayerNode, named_weights, weight_tree
from keras_buildfix.losing import check_nothing_lost
from keras_buildfix.marks import reset_built
from keras_buildfix.waiting_weights import WaitingWeights, build_for, stop_waiting
from keras_buildfix.weight_assigning import CASTINGS, Casting
from keras_buildfix.weight_files.entry import Entry, entry_of, is_structural
from keras_buildfix.weight_files.formats import hdf5
from keras_buildfix.weight_files.formats._replacing import replacing
from keras_buildfix.weight_files.reading import WeightFile, file_path, read_weights
from keras_buildfix.weight_files.renaming import Rename, renamed
from keras_buildfix.weight_files.writing import format_for, write_weights
from keras_buildfix.weight_matching import trainable_first
from keras_buildfix.weight_report import SaveReport, WeightReport
from keras_buildfix.weight_setting import Options, Source, find, place, place_matched


def get_weights(layer: Any, select: Select = "*", *, exclude: Select | None = None) -> dict[str, Array]:
    """Returns the values of a layer's or model's weights, by the names that ``named_weights`` gives.

    Args:
        layer: A layer or model.
        select: Which weights to get. A glob (``"encoder/*"``; ``*`` also matches ``/``) or a compiled regular
            expression (a partial match is enough), compared with the names of layers and weights that
            ``named_weights`` gives; a layer, with all layers inside it; a weight; a layer class; a function that
            returns True for the layers you mean; or a sequence of those, such as ``model.trainable_weights``.
        exclude: Which of the selected weights to leave out.

    Returns:
        Name -> a numpy array, which is a copy, in the weight's dtype (bfloat16 is that of ml_dtypes), in Keras's
        order.

    Raises:
        TypeError: If `layer` is not a Keras layer, or `select` or `exclude` can't mean a layer or weight.
        ValueError: If a part of `select` or `exclude` matches nothing, or no weights are left.

    Example:
        >>> import keras
        >>> from keras_buildfix import get_weights
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, name="head")])
        >>> list(get_weights(model, exclude="head"))
        ['dense/kernel', 'dense/bias']
        >>> get_weights(model, "*/kernel")["head/kernel"].shape
        (2, 1)
    """
    tree = weight_tree(layer_instance(layer, "get_weights"))
    weights = _selected(tree, select, exclude, "get_weights")
    return {name: read_value(variable) for name, variable in weights.items()}


def set_weights(
    layer: Any,
    weights: Any,
    *,
    rename: Rename | None = None,
    select: Select = "*",
    exclude: Select | None = None,
    input_shape: Any = None,
    strict: bool = True,
    skip_mismatch: bool = False,
    casting: Casting = "same_kind",
) -> WeightReport:
    """Sets the weights of a layer or model. If anything is wrong, it sets none.

    Args:
        layer: A layer or model, built or not.
        weights: A mapping of names (those of ``named_weights``, or those of the layer's own Keras) to arrays,
            tensors or lists of floats. Or a sequence of arrays in Keras's order, which is that of
            ``layer.weights`` when nothing is frozen. To load a file, call ``load_weights``.
        rename: See ``transfer_weights``. A sequence has no names to change.
        select: Which weights to set, as in ``get_weights``; all must be built. The others keep their values,
            even if `weights` has values for them. `strict` then asks for a value for each selected weight, and
            for no further values in the selected layers. A sequence has values for the selected weights only.
        exclude: Which of the selected weights to leave as they are.
        input_shape: The shape to build an unbuilt layer with first, as for ``build``. Without it Dense, Embedding,
            BatchNormalization, LayerNormalization, the Conv and ConvTranspose layers, SimpleRNN, LSTM and GRU
            are built for the shape that follows from the weights (``channels_last``, ``axis=-1``, one group, and
            ``build`` not overridden). For all other layers the values wait: each one until the ``build`` that
            makes its weight has ended; a sequence until everything is built.
        strict: If True, a weight without a value and a value without a weight are errors. If False, the report
            lists them. A layer that has another given name in the source counts as such; if `strict` is False,
            layers of a file are then matched by their order (``by_order``).
        skip_mismatch: If True, a weight keeps its value where the value for it has another shape or dtype. If
            False, that is an error. This skips nothing else: `strict` still holds for names.
        casting: ``"same_kind"``: floats go into floats of any width, whole numbers into whole numbers, bools
            into bools; a value that would become infinite or another number is an error. ``"unsafe"``: numbers
            and bools go into any of them.

    Returns:
        A report of what happened to each weight; it prints as a table.

    Raises:
        TypeError: If `layer` is not a Keras layer, or `weights` is neither a mapping nor a sequence.
        ValueError: If anything is wrong; the error lists all of it. Also if a name could mean several weights. No
            weight has changed then.

    Example:
        >>> import keras
        >>> from keras_buildfix import set_weights
        >>> layer = keras.layers.Dense(2)
        >>> print(set_weights(layer, [[[1.0, 2.0]], [0.0, 0.0]]))  # not built: Dense gets its shape from the kernel
        2 assigned

    Source: plain ``set_weights`` before ``build`` expects 0 weights on every Keras; on Keras 3 a wrong shape
    leaves a layer half set; on Keras 2 the order depends on what is frozen.
    """
    layer_instance(layer, "set_weights")
    options = _options(strict, skip_mismatch, casting, select, exclude)
    return _set(layer, _renamed(_source(weights), rename), options, input_shape, "set_weights")


def transfer_weights(
    source: Any,
    target: Any,
    *,
    rename: Rename | None = None,
    select: Select = "*",
    exclude: Select | None = None,
    strict: bool = True,
    skip_mismatch: bool = False,
    casting: Casting = "same_kind",
) -> WeightReport:
    """Gives a layer or model the weights of another, of any Keras in this process.

    If both use one backend, values do not go through the host's memory. The two are independent afterwards:
    training, freezing or deleting one never changes the other.

    Args:
        source: A layer or model that is built. (``set_weights`` takes values, ``load_weights`` takes a file.)
        target: A layer or model, built or not.
        rename: How to change the names in the source: a mapping of old names to new names; or pairs of a regular
            expression and its replacement, applied one after the other; or a function.
        select: Which weights of `target` to set; see ``set_weights``.
        exclude: Which of the selected weights to leave as they are.
        strict: See ``set_weights``.
        skip_mismatch: See ``set_weights``.
        casting: See ``set_weights``.

    Returns:
        A report of what happened to each weight; it prints as a table.

    Raises:
        TypeError: If one of the two is not a Keras layer.
        ValueError: As in ``set_weights``; or if `source` has no weights yet.

    Example:
        >>> import keras
        >>> from keras_buildfix import transfer_weights
        >>> old = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="fc")])
        >>> new = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
        >>> print(transfer_weights(old, new, rename=[("^fc/", "head/")]))
        2 assigned
    """
    layer_instance(target, "transfer_weights")
    options = _options(strict, skip_mismatch, casting, select, exclude)
    if layer_base(type(source)) is None:
        raise TypeError(_no_layer(source, target))
    weights = named_weights(source)
    if not weights:
        raise ValueError(f"transfer_weights: {source.name!r} has no weights; is it built?")
    entries = {name: entry_of(name, variable) for name, variable in weights.items()}
    given = Source(entries, "names", True, f"the layer {source.name!r}")
    return _set(target, _renamed(given, rename), options, None, "transfer_weights")


@answers(
    by_name="it always follows the names that somebody gave to layers; strict=False leaves out names without a "
    "counterpart.",
    filepath="the file is the second argument, path.",
)
def load_weights(
    layer: Any,
    path: str | os.PathLike[str],
    *,
    rename: Rename | None = None,
    select: Select = "*",
    exclude: Select | None = None,
    strict: bool = True,
    skip_mismatch: bool = False,
    casting: Casting = "same_kind",
    input_shape: Any = None,
) -> WeightReport:
    """Loads the weights of a layer or model from a file that any Keras wrote, into the same model on this one.

    It finds weights by name where the file has names (``.safetensors``, ``.npz``, legacy ``.h5``). In a file of
    places (``.weights.h5``, ``.keras``) it finds them by their place in the model, so the model's code should
    be the same. If the file has a given name of a layer, that name decides before any order (files of places have
    given names from Keras 3.9 on). Names that Keras made up (``dense_7``) match by their order. An entry that could
    mean several weights is an error, which names them. Metrics, optimizers and seeds in a file are not weights.
    A layer with its own ``load_own_variables`` reads its part of a ``.weights.h5`` or ``.keras`` by that method; if
    the method raises, the model is as it was.

    Args:
        layer: A layer or model. If it is not built, see `input_shape`.
        path: A file that ``read_weights`` reads.
        rename: See ``transfer_weights``. The old names are those that ``keras-buildfix weights show`` prints.
        select: Which weights of `layer` to set; see ``set_weights``. In a file of places (``.weights.h5``, ``.keras``)
            an entry that belongs nowhere is unexpected, wherever it is.
        exclude: Which of the selected weights to leave as they are.
        strict: See ``set_weights``.
        skip_mismatch: See ``set_weights``.
        casting: See ``set_weights``.
        input_shape: See ``set_weights``. Values from a file of names can wait (in memory). For other files the
            layer must be built.

    Returns:
        A report of what happened to each weight; it prints as a table.

    Raises:
        TypeError: If `layer` is not a Keras layer.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken, is refused (``read_weights``), or does not fit; no weight has changed then.

    Example:
        >>> import keras, tempfile, os
        >>> from keras_buildfix import load_weights, save_weights
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> print(len(save_weights(model, path).weights))
        2
        >>> print(load_weights(model, path))
        2 assigned

    Source: the layout of ``.weights.h5`` changed in 2.15, and no Keras version reads all layouts.
    """
    layer_instance(layer, "load_weights")
    options = _options(strict, skip_mismatch, casting, select, exclude)
    path = file_path(path, "load_weights", _instead(path))
    with read_weights(path) as file:
        return _set(layer, _renamed(Source.of(file), rename), options, input_shape, "load_weights")


@answers(
    save_format="the ending of path says the format.",
    filepath="the file is the second argument, path.",
    max_shard_size="weights are written to one file.",
)
def save_weights(
    layer: Any,
    path: str | os.PathLike[str],
    *,
    select: Select = "*",
    exclude: Select | None = None,
    overwrite: bool = True,
) -> SaveReport:
    """Saves the weights of a layer or model. An old file at `path` stays until the new one is complete.

    Args:
        layer: A layer or model that is built.
        path: The file. Its ending says the format: ``.safetensors`` (also without an ending: safe, streamed, with
            the names of ``named_weights``), ``.npz`` (the same names), ``.h5`` (legacy: plain Keras 2 and 3 read
            it too); and, for models, ``.weights.h5`` and ``.keras``, which Keras itself writes. The file has all
            weights of ``named_weights``.
        select: Which weights to save, as in ``get_weights``. Only ``.safetensors`` and ``.npz`` can hold a selection.
        exclude: Which of the selected weights to leave out.
        overwrite: If False, a file that exists already is an error.

    Returns:
        A report of what was written; it prints as ``8 weights to x.safetensors, 1.2 MB``.

    Raises:
        TypeError: If `layer` is not a Keras layer.
        ValueError: If `layer` has no weights, a part of `select` or `exclude` matches nothing, or the format is
            unknown or can't hold the weights. Nothing has been written then. If Keras would leave weights out
            (``lost_weights``), the error says which, why, and what to do.
        FileExistsError: If there is a file at `path` and `overwrite` is False.
        OSError: If the file can't be written.

    Example:
        >>> import keras, tempfile, os
        >>> from keras_buildfix import read_weights, save_weights
        >>> layer = keras.layers.Dense(2, use_bias=False)
        >>> layer.build((None, 3))
        >>> path = os.path.join(tempfile.mkdtemp(), "layer.safetensors")
        >>> print(save_weights(layer, path))  # doctest: +ELLIPSIS
        1 weight to /.../layer.safetensors, ... bytes
        >>> with read_weights(path) as weights:
        ...     print(weights.shapes)
        {'kernel': (3, 2)}

    Source: Keras 3 refuses ``save_weights("w.h5")``; Keras 2 writes a TensorFlow checkpoint for ``"w.npz"``.
    """
    layer_instance(layer, "save_weights")
    path = file_path(path, "save_weights", "The first argument is the layer or model, the second the path.")
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"save_weights: {path} is there already; nothing was written.")
    form = format_for(path)
    tree = weight_tree(layer)
    everything = tree.weights()
    if not everything:
        raise ValueError(f"save_weights: {layer.name!r} has no weights; is it built?")
    weights = _selected(tree, select, exclude, "save_weights")
    if form not in ("safetensors", "npz") and len(weights) < len(everything):
        raise ValueError(
            f"save_weights: {path}: this format can't hold a selection of the weights; take .safetensors or .npz. "
            "Nothing was written."
        )
    if form in ("weights.h5", "keras"):
        if not is_model(layer):
            raise ValueError(
                f"save_weights: {path}: only a model can be saved as .{form}, and {layer.name!r} is a layer; take "
                ".safetensors, .npz or .h5. Nothing was written."
            )
        check_nothing_lost(layer, path, form)
        with replacing(path) as beside:
            layer.save(beside) if form == "keras" else layer.save_weights(beside)
    elif form == "h5":
        _save_legacy(layer, path)
    else:
        write_weights(path, [entry_of(name, variable) for name, variable in weights.items()], form)
    return SaveReport(path, form, tuple(weights), os.path.getsize(path))


def _selected(tree: LayerNode, select: Select, exclude: Select | None, wanted_by: str) -> dict[str, Any]:
    """The selected weights of a layer or model, by name."""
    if is_everything(select, exclude):
        return tree.weights()
    part = part_of(tree, select, exclude, wanted_by)
    return {name: variable for name, variable in tree.weights().items() if id(variable) in part.ids}


def _set(layer: Any, source: Source, options: Options, input_shape: Any, wanted_by: str) -> WeightReport:
    tree = weight_tree(layer)
    stop_waiting(tree)
    if left := layers_to_build(tree):
        if input_shape is not None:
            layer.build(input_shape)
        elif build_for(layer, list(source.entries.values())):
            return _set_or_unbuild(layer, source, options, wanted_by)
        tree = weight_tree(layer)
        left = layers_to_build(tree)
    if not left or not options.is_for_all:
        return place(tree, source, options, wanted_by)
    if source.layout != "positions" or len(source.entries) == len(tree.weights()):
        match = find(source, tree)
        if not (match.unexpected or match.ambiguous):
            return place_matched(tree, source, match, options, wanted_by)
    if source.layout not in ("names", "positions"):
        raise ValueError(
            f"{wanted_by}: {source.described} has no names, and {layer.name!r} ({keras_info(layer)}) is not built yet "
            f"(nor is {left[-1].name!r} in it): call it on data first"
            + (", or give input_shape." if input_shape is None else "; its build() does not build the layers in it.")
        )
    return WaitingWeights(layer, source, options, wanted_by).start()


def _set_or_unbuild(layer: Any, source: Source, options: Options, wanted_by: str) -> WeightReport:
    """Sets the weights of a layer that was built for them; if they do not fit, marks the layer unbuilt again."""
    try:
        return place(weight_tree(layer), source, options, wanted_by)
    except ValueError:
        reset_built(layer, fresh=True)
        raise


def _instead(values: Any) -> str:
    """Which function to call for values that are not in a file."""
    if layer_base(type(values)) is not None:
        return "transfer_weights(source, target) takes the weights of a layer or model."
    return "set_weights(layer, weights) takes a mapping or a sequence of values."


def _no_layer(source: Any, target: Any) -> str:
    """Says why weights can't be transferred from `source`, and what to call."""
    if isinstance(source, (str, os.PathLike)):
        way_out = f"load_weights({target.name}, {os.fspath(source)!r}) loads a file."
        return f"transfer_weights takes the weights of a layer or model. {way_out}"
    return f"transfer_weights takes the weights of a layer or model; got a {type(source).__name__}. {_instead(source)}"


def _renamed(source: Source, rename: Rename | None) -> Source:
    """The source with its names changed as the user asks."""
    if rename is None:
        return source
    if source.layout == "positions":
        raise ValueError(f"rename: {source.described} has no names; give a mapping of names to arrays.")
    entries = renamed(source.entries, rename)
    if source.layout == "structure" and not any(is_structural([name]) for name in entries):
        return Source(entries, "names", True, source.described)  # every place became a name
    return replace(source, entries=entries)


def _options(strict: bool, skip_mismatch: bool, casting: str, select: Select, exclude: Select | None) -> Options:
    for name, value in (("strict", strict), ("skip_mismatch", skip_mismatch)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} is True or False, not {short(value)}.")
    if casting not in CASTINGS:
        raise ValueError(f"casting is {' or '.join(map(repr, CASTINGS))}, not {casting!r}.")
    return Options(strict, skip_mismatch, casting, select, exclude)


def _source(weights: Any) -> Source:
    """Makes a source of a mapping or sequence of values."""
    if isinstance(weights, WeightFile):
        return Source.of(weights)
    if isinstance(weights, Mapping):
        entries = {str(name): _of_value(str(name), value) for name, value in weights.items()}
        return Source(entries, "structure" if is_structural(entries) else "names", True, "the mapping")
    if isinstance(weights, (list, tuple)):
        named = [(f"weight {at}", value) for at, value in enumerate(weights)]
        return Source({name: _of_value(name, value) for name, value in named}, "positions", True, "the sequence")
    expected = "set_weights expects a mapping of names to arrays, or a sequence of arrays"
    if isinstance(weights, (str, os.PathLike)):
        raise TypeError(f"{expected}; load_weights(layer, {os.fspath(weights)!r}) loads a file.")
    if layer_base(type(weights)) is not None:
        raise TypeError(f"{expected}; transfer_weights(source, target) takes the weights of {weights.name!r}.")
    raise TypeError(f"{expected}; got {describe(weights)}.")


def _of_value(name: str, value: Any) -> Entry:
    import numpy as np

    if is_variable(value):
        return entry_of(name, value)
    if hasattr(value, "detach"):  # a torch tensor, which numpy can't take while it has a gradient, or as bfloat16
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: {type(value).__name__} is not an array: {error}") from None
    return Entry(name, tuple(array.shape), array.dtype.name, lambda: array, borrowed=True)


def _save_legacy(layer: Any, path: str) -> None:
    """Writes a legacy ``.h5``, layer by layer, trainable weights first, as plain Keras 2 and 3 expect it."""
    tree, info = weight_tree(layer), keras_info(layer)
    layers = list(layer.layers) if is_model(layer) else []
    listed = {id(layer) for layer in layers}
    # Plain Keras never writes what a model holds beside its listed layers (a tf.Module on Keras 2), so we add it.
    layers += [node.layer for node in tree.children if id(node.layer) not in listed]
    groups: dict[str, list[Entry]] = {}
    for child in layers:
        weights = trainable_first(weight_tree(child))
        if weights and (child.name in groups or child.name == "top_level_model_weights"):
            raise ValueError(
                f"save_weights: {path}: {layer.name!r} ({info}) has more than one {child.name!r}, and a legacy .h5 "
                "holds one of each name; nothing was written. Save as .safetensors or .npz."
            )
        if weights:
            groups[child.name] = [entry_of(f"{child.name}/{name}:0", weight) for name, weight in weights.items()]
    groups[""] = [entry_of(f"{name}:0", variable) for name, variable in tree.own]
    with replacing(path) as beside:
        hdf5.write_layers(beside, groups, info.version, info.backend)
