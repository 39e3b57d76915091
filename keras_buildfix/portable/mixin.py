"""``PortableLayerMixin``: makes a layer that was written for one Keras version run on all."""

from __future__ import annotations

from typing import Any

from keras_buildfix._keras.classes import layer_base
from keras_buildfix._keras.tracking import TRACKER, watch_when_locked
from keras_buildfix.building.deferred import DeferredBuildMixin
from keras_buildfix.extra_weights.mixin import ExtraWeightsMixin
from keras_buildfix.portable.adding_weights import add_weight
from keras_buildfix.portable.plain_shapes import give_plain_shapes
from keras_buildfix.portable.raw_variables import (
    keep_what_was_added,
    kept,
    leave_as_it_is,
    refuse_when_locked,
    release,
    track_again,
)
from keras_buildfix.portable.signatures import HandsOver, fit_signatures
from keras_buildfix.portable.tf_function import TFFunctionMixin
from keras_buildfix.precision.calls import MixedPrecisionMixin


class PortableLayerMixin(DeferredBuildMixin, MixedPrecisionMixin, ExtraWeightsMixin, TFFunctionMixin, HandsOver):
    """Makes the body of a layer that was written for one Keras version run on all of them, and on every backend.

    List it before the Keras class, which may be ``Layer``, a built-in or ``Model``. What it does:

    - It includes ``DeferredBuildMixin``, ``MixedPrecisionMixin``, ``ExtraWeightsMixin`` and ``TFFunctionMixin``:
      ``build`` runs once, before first use; ``call`` gets its tensors in the compute dtype; files have the extra
      weights of a built-in's subclass; a ``call`` under ``@tf.function`` trains.
    - ``add_weight`` takes name first or shape first, by position or keyword, and the keywords of every
      Keras version. A keyword that this Keras can't honour is an error.
    - You can keep a ``tf.Variable`` (TensorFlow), a ``torch.nn.Parameter`` (torch) or an array marked by
      ``raw_weight(...)`` (all backends) as an attribute, also in lists, tuples and dicts: it is tracked, trained and
      saved. On Keras 3 the attribute then holds a Keras weight that keeps its value in that very variable: your
      own reference stays valid, ``.value`` is the variable itself, and under mixed precision the weight is
      read in the compute dtype. It also has the variable's methods that a Keras weight lacks
      (``scatter_nd_update``, ``read_value``), but ``.value`` is not a method, ``.dtype`` is a string, and
      ``tape.watch`` needs ``.value``. A variable of unknown sizes, or of complex numbers on 3.0 to 3.3, is an error
      if it is trainable; if not, it stays as it is and is not saved.
    - If such an attribute is a ``tf.Module``, the variables and layers in it are tracked too, also those that it
      makes later, as in its first call.
    - ``add_variable`` takes what ``add_weight`` does.
    - ``assign_add`` and ``assign_sub`` add in the weight's own dtype; ``w.assign(w + 1)`` adds in the compute dtype.
    - ``build`` and ``compute_output_shape`` get tuples, in the lists and dicts of several inputs too, and
      ``.as_list()`` works on each.
    - ``build`` and ``call`` of a built-in's subclass may have the signatures of Keras 2 or of Keras 3, or other
      names: arguments go by name, else by position. ``super().build`` and ``super().call`` get what the built-in of
      this Keras wants, in the order of the body's own signature. ``build`` gets each shape it names.
    - A layer without ``compute_output_shape`` gets one from its ``call``. A layer without ``build`` builds the
      layers inside it when it is built, copied, unpickled or loaded.

    On Keras 2 a raw ``tf.Variable`` stays as it is, and one of ints counts as trainable. It is read in the compute
    dtype if it was set on a mixed-precision layer, unless another layer has it too: the kernel of a float32 layer
    stays float32.

    Raises:
        TypeError: At class definition, if a Keras class is listed before it.

    Examples:
        >>> import keras
        >>> from keras_buildfix import PortableLayerMixin
        >>> class Scale(PortableLayerMixin, keras.layers.Layer):
        ...     def build(self, input_shape):
        ...         self.scale = self.add_weight("scale", input_shape.as_list()[-1:], initializer="ones")
        ...         self.shift = self.add_weight(input_shape[1:], "zeros", name="shift")
        ...     def call(self, x):
        ...         return x * self.scale + self.shift
        >>> layer = Scale()
        >>> layer.build((None, 3))
        >>> len(layer.trainable_weights)
        2

    Source: the signatures of ``add_weight`` and the shapes that ``build`` gets, measured on 2.12 to nightly.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if layer_base(cls) is not None:
            fit_signatures(cls, HandsOver)
            give_plain_shapes(cls)

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        """Adds a weight: name or shape first, by position or keyword, with the keywords of any Keras."""
        variable = add_weight(self, super().add_weight, args, kwargs)  # type: ignore[misc]
        leave_as_it_is(self, variable)
        return variable

    def add_variable(self, *args: Any, **kwargs: Any) -> Any:
        """Adds a weight: the other name of ``add_weight``, on Keras 2 and Keras 3."""
        return self.add_weight(*args, **kwargs)

    def _keras_buildfix_track_again(self) -> None:
        track_again(self)

    @property
    def weights(self) -> list[Any]:
        """The layer's weights, including those that a ``tf.Module`` in it has made by now."""
        track_again(self)
        return super().weights  # type: ignore[misc, no-any-return]

    @property
    def variables(self) -> list[Any]:
        """The layer's weights and the seeds of random layers."""
        track_again(self)
        return super().variables  # type: ignore[misc, no-any-return]

    def __setattr__(self, name: str, value: Any) -> None:
        if name == TRACKER:
            watch_when_locked(self, value, refuse_when_locked)
        elif name == "built" and value:
            keep_what_was_added(self)
        before = vars(self).get(name)
        super().__setattr__(name, kept(self, name, value))
        release(self, before)
