"""Weights of a layer or model: read, set, moved to another, loaded and saved, the same on every Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras_buildfix import _keras, _variables
from keras_buildfix._entries import Array, Entry, is_structural
from keras_buildfix._keywords import answers
from keras_buildfix.after_build import layers_to_build
from keras_buildfix.formats import hdf5
from keras_buildfix.formats._replacing import replacing
from keras_buildfix.info import keras_info
from keras_buildfix.losing import check_nothing_lost
from keras_buildfix.marks import reset_built
from keras_buildfix.selecting import Select, part_of
from keras_buildfix.waiting_weights import WaitingWeights, build_for, stop_waiting
from keras_buildfix.weight_assigning import CASTINGS, Casting
from keras_buildfix.weight_files import Rename, WeightFile, file_path, format_for, read_weights, renamed, write_weights
from keras_buildfix.weight_matching import trainable_first
from keras_buildfix.weight_names import named_weights, weight_tree
from keras_buildfix.weight_report import SaveReport, WeightReport
from keras_buildfix.weight_setting import Options, Source, find, place, place_matched


def get_weights(layer: Any, select: Select = "*", *, exclude: Select | None = None) -> dict[str, Array]:
    """The values of the weights of a layer or model, by the names that ``named_weights`` gives.

    Args:
        layer: A layer or model.
        select: Which weights: a glob (``"encoder/*"``; ``*`` also matches ``/``) or a compiled regular expression
            (it need match a part only) over the names of layers and weights, as ``named_weights`` has them; a
            layer, with all layers inside it; a weight; a layer class; a function that is true of the layers meant;
            or a sequence of those, as ``model.trainable_weights``.
        exclude: Which of these not.

    Returns:
        Name -> numpy array of its own, in the weight's dtype (bfloat16 as ml_dtypes has it), in Keras's own order.

    Raises:
        TypeError: If `layer` is no Keras layer, or `select` or `exclude` can't mean a layer or weight.
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
    _keras.layer_instance(layer, "get_weights")
    return {name: _variables.read(variable) for name, variable in _selected(layer, select, exclude).items()}


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
    """Sets the weights of a layer or model: all of them, or none if anything is wrong.

    Args:
        layer: A layer or model, built or not.
        weights: A mapping of names to arrays, or to what numpy makes arrays of: tensors, lists of floats (the
            names of ``named_weights``, or those that the layer's own
            Keras gives); or a sequence of arrays in Keras's own order, that of ``layer.weights`` when nothing is
            frozen. A file goes into a layer by ``load_weights``.
        rename: See ``transfer_weights``; not for a sequence, which has no names.
        select: Which weights to set, as for ``get_weights``; all must be built. The others keep their values and
            may be in `weights` or not. `strict` then asks a value for each that is selected, and that layers
            which are selected have no other values there; a sequence is one of these only.
        exclude: Which of these not.
        input_shape: What an unbuilt layer is built with first, as for ``build``. Without it Dense, Embedding,
            BatchNormalization, LayerNormalization, the Conv and ConvTranspose layers, SimpleRNN, LSTM and GRU
            are built for the shape that the weights tell (``channels_last``, ``axis=-1``, one group, and
            ``build`` not overridden). For all others the values wait, each until the ``build`` ends that
            makes its weight; for a sequence, until all is built.
        strict: Whether a weight without a value and a value without a weight are errors. Otherwise they are in
            the report only. Layers to which somebody gave other names in the source count as such; without
            `strict` a file's are matched by their order (``by_order``).
        skip_mismatch: Whether a weight keeps its value where the one given for it has another shape or dtype;
            otherwise that is an error. This alone skips nothing else: `strict` still holds for names.
        casting: ``"same_kind"``: floats go into floats of any width, whole numbers into whole numbers, bools
            into bools; what would be infinite or another number is an error. ``"unsafe"``: numbers and
            bools into any of them.

    Returns:
        What became of each weight; prints as a table.

    Raises:
        TypeError: If `layer` is no Keras layer, or `weights` none of these.
        ValueError: If anything is wrong, with all that is, or if a name could mean several weights. No
            weight has changed then.

    Example:
        >>> import keras
        >>> from keras_buildfix import set_weights
        >>> layer = keras.layers.Dense(2)
        >>> print(set_weights(layer, [[[1.0, 2.0]], [0.0, 0.0]]))  # not built: for Dense the kernel tells the shape
        2 assigned

    Source: plain ``set_weights`` before ``build`` expects 0 weights on every Keras; on Keras 3 a wrong shape
    leaves a layer half set; on Keras 2 the order depends on what is frozen.
    """
    _keras.layer_instance(layer, "set_weights")
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

    On one backend values do not go through the host's memory. The two are independent afterwards:
    training, freezing or deleting one never changes the other.

    Args:
        source: A layer or model that is built. (Values are set by ``set_weights``, a file by ``load_weights``.)
        target: A layer or model, built or not.
        rename: For the names in the source: old name -> new name; or pairs of a regular expression and its
            replacement, applied one after the other; or a function.
        select: Which weights of `target` to set; see ``set_weights``.
        exclude: Which of these not.
        strict: See ``set_weights``.
        skip_mismatch: See ``set_weights``.
        casting: See ``set_weights``.

    Returns:
        What became of each weight; prints as a table.

    Raises:
        TypeError: If one is no Keras layer.
        ValueError: As ``set_weights``; or if `source` has no weights yet.

    Example:
        >>> import keras
        >>> from keras_buildfix import transfer_weights
        >>> old = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="fc")])
        >>> new = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
        >>> print(transfer_weights(old, new, rename=[("^fc/", "head/")]))
        2 assigned
    """
    _keras.layer_instance(target, "transfer_weights")
    options = _options(strict, skip_mismatch, casting, select, exclude)
    if _keras.layer_base(type(source)) is None:
        raise TypeError(_no_layer(source, target))
    weights = named_weights(source)
    if not weights:
        raise ValueError(f"transfer_weights: {source.name!r} has no weights; is it built?")
    entries = {name: _variables.entry_of(name, variable) for name, variable in weights.items()}
    given = Source(entries, "names", True, f"the layer {source.name!r}")
    return _set(target, _renamed(given, rename), options, None, "transfer_weights")


@answers(
    by_name="a name that somebody gave to a layer is always followed where the file has it; strict=False leaves out "
    "what has no counterpart.",
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

    Weights are found by name where the file has names (``.safetensors``, ``.npz``, legacy ``.h5``), and by
    their place in the model where it has positions (``.weights.h5``, ``.keras``), so the model's own code should
    be the same. A name that somebody gave to a layer decides before any order, where the file has it (places of
    Keras 3.9 and later have it too). Names that Keras made up (``dense_7``) match by their order. What could
    be meant for several weights is an error that names them. What a file has of metrics, optimizers and seeds is
    no weight. A layer with a ``load_own_variables`` of its own reads its part of a ``.weights.h5`` or ``.keras``
    by that; if it raises, the model is as it was.

    Args:
        layer: A layer or model. If it is not built: see `input_shape`.
        path: A file that ``read_weights`` reads.
        rename: See ``transfer_weights``; for the names that ``keras-buildfix weights show`` prints.
        select: Which weights of `layer` to set; see ``set_weights``. In a file of places (``.weights.h5``, ``.keras``)
            an entry that belongs nowhere is unexpected, wherever it is.
        exclude: Which of these not.
        strict: See ``set_weights``.
        skip_mismatch: See ``set_weights``.
        casting: See ``set_weights``.
        input_shape: See ``set_weights``. Values of a file of names can wait (in memory); for other files
            the layer has to be built.

    Returns:
        What became of each weight; prints as a table.

    Raises:
        TypeError: If `layer` is no Keras layer.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken or not believed (``read_weights``), or does not fit; no weight has
            changed then.

    Example:
        >>> import keras, tempfile, os
        >>> from keras_buildfix import load_weights, save_weights
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> print(len(save_weights(model, path).weights))
        2
        >>> print(load_weights(model, path))
        2 assigned

    Source: the layout of ``.weights.h5`` changed at 2.15, and no Keras reads all.
    """
    _keras.layer_instance(layer, "load_weights")
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
    """Saves the weights of a layer or model. The file at `path` is the old one until the new one is whole.

    Args:
        layer: A layer or model that is built.
        path: Its ending says the format: ``.safetensors`` (also without an ending: safe, streamed, with the
            names of ``named_weights``), ``.npz`` (the same names), ``.h5`` (legacy: plain Keras 2 and 3 read
            it too); and, for models, ``.weights.h5`` and ``.keras``, which Keras itself writes. All weights of
            ``named_weights`` are in the file.
        select: Which weights, as for ``get_weights``: in a ``.safetensors`` or ``.npz``, which have names for a part.
        exclude: Which of these not.
        overwrite: If False, a file that is there already is an error.

    Returns:
        What was written; prints as ``8 weights to x.safetensors, 1.2 MB``.

    Raises:
        TypeError: If `layer` is no Keras layer.
        ValueError: If `layer` has no weights, a part of `select` or `exclude` matches nothing, or the format is
            unknown or can't hold the weights: before anything is written, with the weights that Keras would leave
            out (``lost_weights``), why, and what to do.
        FileExistsError: If there is a file at `path`, with ``overwrite=False``.
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

    Source: ``save_weights("w.h5")`` is refused by Keras 3; ``"w.npz"`` is a TensorFlow checkpoint on Keras 2.
    """
    _keras.layer_instance(layer, "save_weights")
    path = file_path(path, "save_weights", "The first argument is the layer or model, the second the path.")
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"save_weights: {path} is there already; nothing was written.")
    form = format_for(path)
    if not named_weights(layer):
        raise ValueError(f"save_weights: {layer.name!r} has no weights; is it built?")
    weights = _selected(layer, select, exclude, "save_weights")
    if form not in ("safetensors", "npz") and len(weights) < len(named_weights(layer)):
        raise ValueError(
            f"save_weights: {path}: a part of the weights is saved by name: take .safetensors or .npz. "
            "Nothing was written."
        )
    if form in ("weights.h5", "keras"):
        if not _keras.is_model(layer):
            raise ValueError(
                f"save_weights: {path}: only a model is saved as .{form}, and {layer.name!r} is a layer; take "
                ".safetensors, .npz or .h5. Nothing was written."
            )
        check_nothing_lost(layer, path, form)
        with replacing(path) as beside:
            layer.save(beside) if form == "keras" else layer.save_weights(beside)
    elif form == "h5":
        _save_legacy(layer, path)
    else:
        write_weights(path, [_variables.entry_of(name, variable) for name, variable in weights.items()], form)
    return SaveReport(path, form, tuple(weights), os.path.getsize(path))


def _selected(layer: Any, select: Select, exclude: Select | None, wanted_by: str = "get_weights") -> dict[str, Any]:
    """The weights of a layer or model that are selected, by name."""
    if isinstance(select, str) and select == "*" and exclude is None:
        return named_weights(layer)
    tree = weight_tree(layer)
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
            + (", or give input_shape." if input_shape is None else "; its build() builds nothing in it.")
        )
    return WaitingWeights(layer, source, options, wanted_by).start()


def _set_or_unbuild(layer: Any, source: Source, options: Options, wanted_by: str) -> WeightReport:
    """Sets a layer that was built for these weights; if they are wrong, it is not built again."""
    try:
        return place(weight_tree(layer), source, options, wanted_by)
    except ValueError:
        reset_built(layer, fresh=True)
        raise


def _instead(values: Any) -> str:
    """What gives a layer values that are not in a file."""
    if _keras.layer_base(type(values)) is not None:
        return "transfer_weights(source, target) takes the weights of a layer or model."
    return "set_weights(layer, weights) takes a mapping or a sequence of values."


def _no_layer(source: Any, target: Any) -> str:
    """Why something is no source of a transfer, and what to call."""
    if isinstance(source, (str, os.PathLike)):
        way_out = f"load_weights({target.name}, {os.fspath(source)!r}) loads a file."
        return f"transfer_weights takes the weights of a layer or model. {way_out}"
    return f"transfer_weights takes the weights of a layer or model; got a {type(source).__name__}. {_instead(source)}"


def _renamed(source: Source, rename: Rename | None) -> Source:
    """A source under the names that a user gives."""
    if rename is None:
        return source
    if source.layout == "positions":
        raise ValueError(f"rename: {source.described} has no names; give a mapping of names to arrays.")
    entries = renamed(source.entries, rename)
    if source.layout == "structure" and not any(is_structural([name]) for name in entries):
        return Source(entries, "names", True, source.described)  # places that all became names
    return replace(source, entries=entries)


def _options(strict: bool, skip_mismatch: bool, casting: str, select: Select, exclude: Select | None) -> Options:
    for name, value in (("strict", strict), ("skip_mismatch", skip_mismatch)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} is True or False, not {_keras.short(value)}.")
    if casting not in CASTINGS:
        raise ValueError(f"casting is {' or '.join(map(repr, CASTINGS))}, not {casting!r}.")
    return Options(strict, skip_mismatch, casting, select, exclude)


def _source(weights: Any) -> Source:
    """A mapping or sequence of values."""
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
    if _keras.layer_base(type(weights)) is not None:
        raise TypeError(f"{expected}; transfer_weights(source, target) takes the weights of {weights.name!r}.")
    raise TypeError(f"{expected}; got {_keras.describe(weights)}.")


def _of_value(name: str, value: Any) -> Entry:
    import numpy as np

    if _variables.is_variable(value):
        return _variables.entry_of(name, value)
    if hasattr(value, "detach"):  # a torch tensor, which numpy can't take while it has a gradient, or as bfloat16
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: {type(value).__name__} is no array: {error}") from None
    return Entry(name, tuple(array.shape), array.dtype.name, lambda: array, borrowed=True)


def _save_legacy(layer: Any, path: str) -> None:
    """Layer by layer, as ``load_weights`` of plain Keras 2 and 3 wants it: trainable weights first."""
    tree, info = weight_tree(layer), keras_info(layer)
    layers = list(layer.layers) if _keras.is_model(layer) else []
    listed = {id(layer) for layer in layers}
    # What a model holds beside the layers that it lists, as a tf.Module on Keras 2, plain Keras never has in a file.
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
            groups[child.name] = [
                _variables.entry_of(f"{child.name}/{name}:0", weight) for name, weight in weights.items()
            ]
    groups[""] = [_variables.entry_of(f"{name}:0", variable) for name, variable in tree.own]
    with replacing(path) as beside:
        hdf5.write_layers(beside, groups, info.version, info.backend)
