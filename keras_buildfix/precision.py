"""Mixed precision that is the same on every Keras: decorators and a mixin for layers, and calls between policies.

How it works, in one paragraph. Keras 2 casts the first argument of a layer, Keras 3 all, and neither what
``call`` hands back. Here ``call`` is wrapped: what comes in is cast by one rule (``cast_inputs``), the weights
that are read inside come in the compute dtype, and so does the result. Where everything has its dtype
already, nothing is added: not an operation in the graph.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, overload

from keras_buildfix import _keras, _private_precision
from keras_buildfix._casts import FLOATS, arrays_of_integers_to_tensors, cast, first_dtype, has_dtype
from keras_buildfix._keywords import NOT_GIVEN
from keras_buildfix._mixins import check_listed_first
from keras_buildfix._wrapping import home_of, presented, refuse_pausing
from keras_buildfix.casting import cast_inputs

_Callable = TypeVar("_Callable", bound=Callable[..., Any])
_SAFE = "_keras_buildfix_casts"


@overload
def mixed_precision_safe(call: _Callable) -> _Callable: ...
@overload
def mixed_precision_safe() -> Callable[[_Callable], _Callable]: ...
def mixed_precision_safe(call: Any = NOT_GIVEN) -> Any:
    """Has the ``call`` of a layer follow one casting rule on every Keras.

    Use as ``@mixed_precision_safe`` on the method ``call`` or on the class, of which it changes ``call``
    alone; a ``call`` that a subclass defines is its own (``MixedPrecisionMixin`` sees to those too).

    Floating tensors in positional and keyword arguments, however nested, are cast as ``cast_inputs``
    does; weights that are read in ``call`` come in the compute dtype, except those made with
    ``autocast=False``; floating tensors in the result are cast to the compute dtype. A layer made with
    ``autocast=False``, or that does not compute in floats, is left alone. A float32 constant made in
    ``call`` is nobody's argument: cast it with ``cast_inputs(self, constant)``.

    Args:
        call: The method, or a subclass of ``keras.layers.Layer``.

    Returns:
        The method wrapped (its signature, name and source are those of the original), or the same class.
        On a class, NumPy arrays of integers stay integers on Keras 3.0 to 3.3 too, where Keras casts them
        before ``call``; a decorated method can't see to that.

    Raises:
        TypeError: If given anything but a function or a Keras layer class, or a generator or an async function.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import mixed_precision_safe
        >>> class Gate(keras.layers.Layer):
        ...     @mixed_precision_safe
        ...     def call(self, x, gate=None):
        ...         return x * gate
        >>> y = Gate(dtype="mixed_bfloat16")(np.ones((2, 3)), gate=np.ones((2, 3)))
        >>> "bfloat16" in str(y.dtype)
        True

    Source: second and keyword arguments stay float32 on Keras 2; keras #19629 (3.0-3.3). Measured.
    """
    if call is NOT_GIVEN:
        return mixed_precision_safe
    if isinstance(call, type):
        _mend(_keras.layer_class(call, "mixed_precision_safe"))
        return call
    if not callable(call) or _keras.layer_base(type(call)) is not None:
        raise TypeError(
            f"mixed_precision_safe expects the method call or a Keras layer class; got {_keras.describe(call)}."
        )
    return _safe(call)


class MixedPrecisionMixin:
    """Has ``call`` of every subclass follow the casting rule of ``mixed_precision_safe``.

    List it before the Keras class. It has no ``__init__`` and no methods of its own, and does for each
    subclass, when it is defined, what the decorator does for a class. Of a ``call`` that passes on to
    ``super().call``, each part follows the rule, and what is cast once is not cast again.

    Two things about weights in ``call`` stay as each Keras has them (measured). What was computed in half
    precision can't be assigned to a float32 weight on Keras 2.12 to 2.16, where TensorFlow raises; Keras 3 and
    tf_keras 2.21 cast it. Cast it to ``variable_dtype(self)`` first. And ``self.w.dtype`` is the variable's own
    dtype on Keras 2.12 to 2.16, the compute dtype on the others: ask ``compute_dtype(self)``.

    Raises:
        TypeError: At class definition, if a Keras class is listed before it.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import MixedPrecisionMixin
        >>> class Add(MixedPrecisionMixin, keras.layers.Layer):
        ...     def call(self, x, y):
        ...         return x + y
        >>> sum = Add(dtype="mixed_bfloat16")(np.ones((2, 3), "float32"), np.ones((2, 3), "float64"))
        >>> "bfloat16" in str(sum.dtype)
        True
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_listed_first(cls, MixedPrecisionMixin)
        _mend(cls)


def safe_call(layer: Any, *args: Any, **kwargs: Any) -> Any:
    """Calls a layer of another policy: its inputs are cast for it, its results for the caller.

    For a float32 layer in a float16 model or in the ``call`` of a float16 layer, and the reverse, eagerly
    and with symbolic tensors.

    Args:
        layer: A Keras layer.
        *args: What to call it with, as in ``layer(...)``: tensors of any shape, also nested.
        **kwargs: The same by keyword.

    Returns:
        What the layer returns, with floating tensors cast to the dtype of the first floating tensor or
        array among the arguments, as it was given; without any, as the layer returns them.

    Raises:
        TypeError: If the first argument is no Keras layer.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import safe_call
        >>> head = keras.layers.Dense(2, dtype="float32")
        >>> y = safe_call(head, np.ones((4, 3), "float16"))
        >>> "float16" in str(y.dtype), head.compute_dtype
        (True, 'float32')

    Source: Keras 2 casts the first argument of a layer only; no Keras casts what it hands back.
    """
    _keras.layer_instance(layer, "safe_call")
    dtype = first_dtype((args, kwargs), FLOATS)
    result = layer(*cast_inputs(layer, args), **cast_inputs(layer, kwargs))
    return result if dtype is None else cast(result, dtype, _keras.layer_base(type(layer)))


def _mend(cls: type) -> None:
    """Has the ``call`` of a class follow the rule, whether it defines or inherits it."""
    own = vars(cls).get("call")
    if own is not None:
        cls.call = _safe(own)  # type: ignore[attr-defined]
    elif _inherits_plain_call(cls):
        cls.call = _passed_on(cls)  # type: ignore[attr-defined]
    base = _keras.layer_base(cls)
    if base is not None and _private_precision.casts_arrays_of_integers(base):
        _keep_integers(cls, base)


def _inherits_plain_call(cls: type) -> bool:
    """Whether a class gets a ``call`` from a layer that knows nothing of the rule.

    Not from ``Layer`` itself, nor from a model of Keras's: a functional one takes that place later.
    """
    owner = next((base for base in cls.__mro__ if _keras.brings(base, "call")), None)
    if owner is None or owner is _keras.layer_base(cls) or hasattr(vars(owner)["call"], _SAFE):
        return False
    return not _keras.belongs_to_keras(owner) or not _keras.is_model_class(owner)


def _passed_on(cls: type) -> Callable[..., Any]:
    """A ``call`` for a class that has none: that of the next class, which a subclass may put another before."""
    inherited: Callable[..., Any] = cls.call  # type: ignore[attr-defined]

    @functools.wraps(inherited)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        following = super(cls, self).call  # type: ignore[arg-type]
        return _private_precision.as_autograph_has_it(following, home_of(type(self)).base)(*args, **kwargs)

    call.__signature__ = inspect.signature(inherited)  # type: ignore[attr-defined]
    _private_precision.not_for_autograph(call)
    return _safe(call)  # type: ignore[no-any-return]


def _keep_integers(cls: type, base: type) -> None:
    """Has Keras 3.0 to 3.3 get NumPy arrays of integers as tensors, which it does not make floats of."""
    inherited = cls.__call__
    if hasattr(inherited, _SAFE):
        return
    own = vars(cls).get("__call__")

    @functools.wraps(inherited)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        args = arrays_of_integers_to_tensors(args, base)
        kwargs = arrays_of_integers_to_tensors(kwargs, base)
        # Asked for at each call: a subclass may put another class behind this one.
        following = super(cls, self).__call__ if own is None else own.__get__(self, type(self))  # type: ignore[arg-type]
        return following(*args, **kwargs)

    setattr(__call__, _SAFE, True)
    cls.__call__ = __call__  # type: ignore[method-assign]


def _safe(call: Any) -> Any:
    """`call` by the rule; the same object if it follows it already."""
    if hasattr(call, _SAFE):
        return call
    refuse_pausing("mixed_precision_safe", call)
    if isinstance(call, (staticmethod, classmethod)) or not hasattr(call, "__get__"):
        raise TypeError(
            f"mixed_precision_safe expects call to be a method that takes self; got {_keras.describe(call)}."
        )
    function = call if isinstance(call, FunctionType) else _unbound(call)
    # What a class shows in place of a partialmethod, which has no signature itself.
    shown = call.__get__(None, object) if isinstance(call, functools.partialmethod) else call

    @functools.wraps(shown)
    def safe(self: Any, *args: Any, **kwargs: Any) -> Any:
        home = home_of(type(self))
        if home.base is None:
            _keras.layer_instance(self, "A call that is mixed_precision_safe")
        run = _private_precision.as_autograph_has_it(function, home.base) if home.converts else function
        policy = self.dtype_policy
        dtype = policy.compute_dtype
        if dtype not in FLOATS or not _private_precision.autocasts(self):
            return run(self, *args, **kwargs)
        for value in args:
            if not has_dtype(value, dtype):
                args = cast(args, dtype, home.base)
                break
        if kwargs:
            kwargs = cast(kwargs, dtype, home.base)
        reading = home.weights_dtype()
        if reading == dtype or (reading is None and policy.variable_dtype == dtype):
            result = run(self, *args, **kwargs)
        else:
            with _private_precision.reading_weights(home.base, dtype):
                result = run(self, *args, **kwargs)
        return result if has_dtype(result, dtype) else cast(result, dtype, home.base)

    setattr(safe, _SAFE, True)
    return presented(safe, shown)


def _unbound(call: Any) -> Callable[..., Any]:
    """A method that is no plain function (a ``tf.function``, a ``partialmethod``), as a function of the layer."""

    def function(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = call.__get__(self, type(self))
        if isinstance(call, functools.partialmethod):
            bound = _private_precision.as_autograph_has_it(bound, home_of(type(self)).base)
        return bound(*args, **kwargs)

    _private_precision.not_for_autograph(function)
    return function
