"""``ExtraWeightsMixin``: saves, loads and copies the weights that a subclass adds to Dense, Embedding and others."""

from __future__ import annotations

from typing import Any

from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import ListedFirst
from keras_buildfix._keras.saving import without_count_check
from keras_buildfix._keras.tracking import track_again
from keras_buildfix._keras.variables import read_value
from keras_buildfix.extra_weights.keys_in_files import Found, extra_keys, in_plain_order
from keras_buildfix.extra_weights.trial_saving import is_stand_in, loads_by_hand, note_stored, own_saving, saves_by_hand


class ExtraWeightsMixin(ListedFirst):
    """Saves, loads and copies the extra weights of a built-in's subclass together with the others, on every Keras.

    On Keras 3 Dense, EinsumDense and Embedding (from 3.2 on) and Conv1D to Conv3D (from 3.3 on) have code of their
    own that writes their weights, and so do lookup layers on every Keras. This code silently leaves what a subclass
    adds out of ``.keras`` and ``.weights.h5``; loading, ``copy.deepcopy`` and pickling then fail (no layer can be
    copied before 3.3). ``Discretization`` writes extra weights and, on Keras 3, never reads them. List the mixin
    before the Keras class. On 2.12, where the methods have other names, it does nothing.

    The mixin writes the extra weights after the built-in's. Their names in the file are ``"2"``, ``"3"``, ... as in
    plain Keras before 3.2, if the layer made the built-in's weights first, is not quantized and has no
    LoRA; else they are the weights' own names. The mixin changes nothing for classes without extra weights, or whose
    own ``save_own_variables`` writes all weights. If a built-in's ``load_own_variables`` reads more than its
    ``save_own_variables`` writes (Dense and EinsumDense on 3.15 in the modes "gptq" and "awq"), the file has what
    loading needs.

    Without the mixin, the same class reads such a file as follows. Keras 2 (from 2.13 on), 3.0 and 3.1, and for
    convolutions 3.2, read all of it if the names are numbers, and raise if not. Later versions read the
    built-in's weights and silently leave the extra ones as they are.

    Raises:
        ValueError: On loading, if a file has no value for an extra weight (as plain Keras from 3.2 on writes it),
            or one of another shape. The layer's other weights have been loaded then, so with Keras's
            ``skip_mismatch=True`` only the extra ones keep their values.
        TypeError: At class definition, if a Keras class is listed before it.

    Examples:
        >>> import copy
        >>> import keras
        >>> from keras_buildfix import ExtraWeightsMixin
        >>> class ScaledDense(ExtraWeightsMixin, keras.layers.Dense):
        ...     def build(self, input_shape):
        ...         super().build(input_shape)
        ...         self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        >>> layer = ScaledDense(2)
        >>> layer.build((None, 3))
        >>> file = {}
        >>> layer.save_own_variables(file) if hasattr(keras.layers.Layer, "save_own_variables") else None
        >>> sorted(file) if file else ["0", "1", "2"]  # 2.12 has other, private methods
        ['0', '1', '2']

    Source: measured on 2.12 to nightly ("expected 3 variables, but received 2 variables during loading").
    """

    def save_own_variables(self, store: Any) -> None:
        """Saves the layer's own weights: first those that the class after the mixin writes, then the others.

        Args:
            store: Keras's mapping, which writes to the file.
        """
        above: Any = super()
        if is_stand_in(self):
            stored: dict[str, Any] = {}
            above.save_own_variables(stored)
            note_stored(self, stored)
            store.update(stored)
            return
        track_again(self)
        if _is_plain(self):
            above.save_own_variables(store)
            return
        written = own_saving(self)
        saving = written.as_it_loads()
        values = {} if saving is written else dict(saving.stored)
        keys = extra_keys(self, saving)
        values.update((keys[id(variable)], variable) for variable in saving.unsaved)
        if saving is written:
            above.save_own_variables(store)
        as_variable = wraps_build(type(self))  # Keras 3 itself makes arrays of variables, and marks bfloat16
        for key, variable in values.items():
            store[key] = variable if as_variable else read_value(variable)

    def load_own_variables(self, store: Any) -> None:
        """Loads the layer's own weights, from files of this mixin and of every plain Keras.

        Args:
            store: Keras's mapping, which reads from the file.

        Raises:
            ValueError: If the file has no value for a weight, or one of another shape.
        """
        above: Any = super()
        if is_stand_in(self):
            above.load_own_variables(store)
            return
        track_again(self)
        if _is_plain(self):
            above.load_own_variables(in_plain_order(self, store))
            return
        saving = own_saving(self).as_it_loads()
        if not saving.unsaved and not saving.unread:
            above.load_own_variables(in_plain_order(self, store) if saving.is_plain else store)
            return
        before = type(self).__mro__[: type(self).__mro__.index(ExtraWeightsMixin)]
        found = Found(self, saving, store, any("load_own_variables" in vars(cls) for cls in before))
        with without_count_check(self):
            above.load_own_variables(found.rest)
        found.assign()


def _is_plain(layer: Any) -> bool:
    """Whether a layer saves and loads as ``Layer`` does: all of its weights, in their order."""
    return saves_by_hand(layer) is None and loads_by_hand(layer) is None
