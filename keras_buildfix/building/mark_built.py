"""``mark_built``: tells Keras that a layer is built."""

from __future__ import annotations

from typing import Any

from keras_buildfix._keras.built import lock_state
from keras_buildfix._keras.classes import layer_instance


def mark_built(layer: Any) -> None:
    """Tells Keras that a layer is built: Keras will not call its ``build`` any more.

    Use it for a layer that makes its weights outside ``build``. From then on, as after a ``build``, Keras 3
    accepts no more weights or sub-layers, and the torch backend registers the parameters.

    Args:
        layer: A Keras layer, usually ``self`` at the end of ``__init__``.

    Raises:
        TypeError: If `layer` is not a Keras layer.

    Examples:
        >>> import keras
        >>> from keras_buildfix import mark_built
        >>> layer = keras.layers.Layer()
        >>> mark_built(layer)
        >>> layer.built
        True

    Source: the portable form of ``self.built = True`` and of the private ``_build_at_init`` (3.10.0).
    """
    layer_instance(layer, "mark_built").built = True
    lock_state(layer)
