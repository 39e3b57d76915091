"""``save_weights``: writes the weights of a model to a file, whole or not at all."""

from __future__ import annotations

import os
from typing import Any

from keras_buildfix._keras.classes import is_model, layer_instance
from keras_buildfix._keras.info import keras_info
from keras_buildfix._keywords import answers
from keras_buildfix.layer_tree.selecting import Select
from keras_buildfix.layer_tree.tree import weight_tree
from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weight_files.formats import hdf5
from keras_buildfix.weight_files.formats._replacing import replacing
from keras_buildfix.weight_files.reading import file_path
from keras_buildfix.weight_files.writing import format_for, write_weights
from keras_buildfix.weights.losing import check_nothing_lost
from keras_buildfix.weights.matching.by_name import trainable_first
from keras_buildfix.weights.reading import selected_weights
from keras_buildfix.weights.report import SaveReport
from keras_buildfix.weights.sources import entry_of


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
        path: The file. Its ending says the format: ``.safetensors`` (also taken if there is no ending; it has the
            names of ``named_weights``, and one weight at a time is in memory), ``.npz`` (the same names), ``.h5``
            (legacy: plain Keras 2 and 3 read it too); and, for models, ``.weights.h5`` and ``.keras``, which Keras
            itself writes. The file has all weights of ``named_weights``.
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

    Examples:
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
    weights = selected_weights(tree, select, exclude, "save_weights")
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
