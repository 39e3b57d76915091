"""``set_weights``, ``load_weights`` and ``transfer_weights``: give weights their values, all or nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from keras_buildfix._keras.classes import layer_base, layer_instance
from keras_buildfix._keras.info import keras_info
from keras_buildfix._keywords import answers
from keras_buildfix._words import short
from keras_buildfix.layer_tree.after_build import layers_to_build
from keras_buildfix.layer_tree.selecting import Select
from keras_buildfix.layer_tree.tree import weight_tree
from keras_buildfix.weight_files.entry import is_structural
from keras_buildfix.weight_files.reading import file_path, read_weights
from keras_buildfix.weight_files.renaming import Rename, renamed
from keras_buildfix.weights.assigning import CASTINGS, Casting
from keras_buildfix.weights.before_build import WaitingWeights, build_for, stop_waiting
from keras_buildfix.weights.matching.finding import find
from keras_buildfix.weights.placing import Options, place, place_matched
from keras_buildfix.weights.reading import named_weights
from keras_buildfix.weights.rebuilding import reset_built
from keras_buildfix.weights.report import WeightReport
from keras_buildfix.weights.sources import Source, entry_of, instead, source_of


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
            even if `weights` has values for them. With `strict`, each selected weight then needs a value, and a
            value in a selected layer needs a weight. A sequence has values for the selected weights only.
        exclude: Which of the selected weights to leave as they are.
        input_shape: The shape to build an unbuilt layer with first, as for ``build``. Without it Dense, Embedding,
            BatchNormalization, LayerNormalization, the Conv and ConvTranspose layers, SimpleRNN, LSTM and GRU
            are built for the shape that follows from the weights (``channels_last``, ``axis=-1``, one group, and
            ``build`` not overridden). For all other layers the values wait: each one until the ``build`` that
            makes its weight has ended; a sequence until everything is built.
        strict: If True, a weight without a value and a value without a weight are errors. If False, the report
            lists them. Weights of a layer that has another given name in the source count as without a value; with
            ``strict=False``, layers of a file are then matched by their order (``by_order`` in the report).
        skip_mismatch: If True, a weight keeps its value where the value for it has another shape or dtype. If
            False, that is an error. This skips nothing else: `strict` still holds for names.
        casting: ``"same_kind"``: floats go into floats of any width, whole numbers into whole numbers, bools
            into bools; a value that would become infinite or another number is an error. ``"unsafe"``: numbers
            and bools go into weights of all these kinds.

    Returns:
        A report of what happened to each weight; it prints as a table.

    Raises:
        TypeError: If `layer` is not a Keras layer, or `weights` is neither a mapping nor a sequence.
        ValueError: If anything is wrong; the error lists all of it. Also if a name could mean several weights. No
            weight has changed then.

    Examples:
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
    return _set(layer, _renamed(source_of(weights), rename), options, input_shape, "set_weights")


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

    Examples:
        >>> import keras
        >>> from keras_buildfix import transfer_weights
        >>> old = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="fc")])
        >>> new = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
        >>> print(transfer_weights(old, new, rename=[("^fc/", "head/")]))
        2 assigned

    Source: see ``set_weights``.
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
    be the same. A name that somebody gave to a layer counts more than the order of layers, if the file has it (files
    of places have it from Keras 3.9 on). Names that Keras made up (``dense_7``) match by their order. An entry that
    could mean several weights is an error, which names them. Metrics, optimizers and seeds in a file are not weights.
    A layer with its own ``load_own_variables`` reads its part of a ``.weights.h5`` or ``.keras`` by that method; if
    the method raises, the model is as it was.

    Args:
        layer: A layer or model. If it is not built, see `input_shape`.
        path: A file that ``read_weights`` reads.
        rename: See ``transfer_weights``. The old names are those that ``keras-buildfix weights show`` prints.
        select: Which weights of `layer` to set; see ``set_weights``. In a file of places (``.weights.h5``, ``.keras``)
            an entry without a weight is unexpected in every part of the file, not only in the selected part.
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

    Examples:
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
    path = file_path(path, "load_weights", instead(path))
    with read_weights(path) as file:
        return _set(layer, _renamed(Source.of(file), rename), options, input_shape, "load_weights")


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


def _no_layer(source: Any, target: Any) -> str:
    """Says why weights can't be transferred from `source`, and what to call."""
    if isinstance(source, (str, os.PathLike)):
        way_out = f"load_weights({target.name}, {os.fspath(source)!r}) loads a file."
        return f"transfer_weights takes the weights of a layer or model. {way_out}"
    return f"transfer_weights takes the weights of a layer or model; got a {type(source).__name__}. {instead(source)}"


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
