"""Mixed precision that is the same on every Keras: a decorator and a mixin for layers, and ``safe_call``.

How it works, in one paragraph. Keras 2 casts the first argument of a layer, Keras 3 casts all, and neither casts
what ``call`` returns. Here ``call`` is wrapped: one rule (``cast_inputs``) casts its arguments, and it reads
weights and returns results in the compute dtype. Where everything has the right dtype already, the wrapper adds
nothing, not even an operation in the graph.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, overload

from keras_buildfix._keras.autocasting import autocasts, casts_arrays_of_integers, reading_weights
from keras_buildfix._keras.classes import (
    ListedFirst,
    belongs_to_keras,
    brings,
    describe,
    is_model_class,
    layer_base,
    layer_class,
    layer_instance,
)
from keras_buildfix._keras.graphs import as_autograph_has_it, not_for_autograph
from keras_buildfix._keywords import NOT_GIVEN
from keras_buildfix._running_call import run_as
from keras_buildfix.precision.casting import cast_inputs
from keras_buildfix.precision.recurrent import can_keep_states
from keras_buildfix.precision.tensors import FLOATS, arrays_of_integers_to_tensors, cast, first_dtype, has_dtype
from keras_buildfix.precision.wrapping import home_of, presented, refuse_pausing

_Callable = TypeVar("_Callable", bound=Callable[..., Any])
_SAFE = "_keras_buildfix_casts"


@overload
def mixed_precision_safe(call: _Callable) -> _Callable: ...
@overload
def mixed_precision_safe() -> Callable[[_Callable], _Callable]: ...
def mixed_precision_safe(call: Any = NOT_GIVEN) -> Any:
    """Makes the ``call`` of a layer follow one casting rule on every Keras.

    Use it as ``@mixed_precision_safe`` on the method ``call``, or on the class, of which it changes only
    ``call``. It does not change a ``call`` that a subclass defines; ``MixedPrecisionMixin`` does.

    Floating tensors in positional and keyword arguments, also nested ones, are cast as ``cast_inputs``
    does. ``call`` reads weights in the compute dtype, except those made with ``autocast=False``. Floating
    tensors in the result are cast to the compute dtype. The rule does not apply to a layer that was made
    with ``autocast=False`` or does not compute in floats. What the ``ops`` of this package make from nothing
    (``ops.ones(3)``) comes in the compute dtype too; on Keras 3, where the policy is plain ``"float16"`` or
    ``"bfloat16"``, also in a plain float32 layer that ``call`` calls. A float32 constant that ``call`` makes
    otherwise stays so: cast it with ``cast_inputs(self, constant)``.

    Args:
        call: The method, or a subclass of ``keras.layers.Layer``.

    Returns:
        The wrapped method, with the signature, name and source of the original; or the same class. On a
        class, NumPy arrays of integers also stay integers on Keras 3.0 to 3.3, where Keras casts them
        before ``call``. A decorated method can't prevent that.

    Raises:
        TypeError: If `call` is not a function or a Keras layer class, or is a generator or async function.

    Examples:
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
        _fix(layer_class(call, "mixed_precision_safe"))
        return call
    if not callable(call) or layer_base(type(call)) is not None:
        raise TypeError(f"mixed_precision_safe expects the method call or a Keras layer class; got {describe(call)}.")
    return _safe(call)


class MixedPrecisionMixin(ListedFirst):
    """Makes ``call`` of every subclass follow the casting rule of ``mixed_precision_safe``.

    List it before the Keras class. It has no ``__init__`` and no methods of its own. When a subclass is
    defined, it does to that class what the decorator does. If a ``call`` calls ``super().call``, both follow
    the rule, and nothing is cast twice.

    Three things about weights in ``call`` still differ. On Keras 2.12 to 2.16 a half-precision value
    can't be assigned to a float32 weight: TensorFlow raises an error. Keras 3 and tf_keras 2.21 cast it. Cast it
    to ``variable_dtype(self)`` first. And ``self.w.dtype`` is the variable's own dtype on Keras 2.12 to 2.16, but
    the compute dtype on the other versions: use ``compute_dtype(self)``. And on torch,
    ``self.w.assign(...)`` changes nothing under mixed precision, as in plain Keras 3: it writes into a copy in the
    compute dtype. Weights of a ``PortableLayerMixin`` layer, and the states of a stateful recurrent layer with this
    mixin, are written.

    Raises:
        TypeError: At class definition, if a Keras class is listed before it.

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import MixedPrecisionMixin
        >>> class Add(MixedPrecisionMixin, keras.layers.Layer):
        ...     def call(self, x, y):
        ...         return x + y
        >>> sum = Add(dtype="mixed_bfloat16")(np.ones((2, 3), "float32"), np.ones((2, 3), "float64"))
        >>> "bfloat16" in str(sum.dtype)
        True

    Source: see ``mixed_precision_safe``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _fix(cls)
        can_keep_states(cls)


def safe_call(layer: Any, *args: Any, **kwargs: Any) -> Any:
    """Calls a layer of another dtype policy: casts its inputs for it, and its results back for the caller.

    Use it for a float32 layer in a float16 model or in the ``call`` of a float16 layer, and the other way
    round, eagerly and with symbolic tensors.

    Args:
        layer: A Keras layer.
        *args: The arguments of ``layer(...)``: tensors of any shape, also nested.
        **kwargs: The keyword arguments.

    Returns:
        The result of the layer. Its floating tensors are cast to the dtype of the first floating tensor or
        array in the arguments; if there is none, they stay as the layer returns them.

    Raises:
        TypeError: If the first argument is not a Keras layer.

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import safe_call
        >>> head = keras.layers.Dense(2, dtype="float32")
        >>> y = safe_call(head, np.ones((4, 3), "float16"))
        >>> "float16" in str(y.dtype), head.compute_dtype
        (True, 'float32')

    Source: Keras 2 casts only the first argument of a layer; no Keras casts what a layer returns.
    """
    layer_instance(layer, "safe_call")
    dtype = first_dtype((args, kwargs), FLOATS)
    result = layer(*cast_inputs(layer, args), **cast_inputs(layer, kwargs))
    return result if dtype is None else cast(result, dtype, layer_base(type(layer)))


def _fix(cls: type) -> None:
    """Makes the ``call`` of a class follow the rule, whether the class defines or inherits it."""
    own = vars(cls).get("call")
    if own is not None:
        cls.call = _safe(own)  # type: ignore[attr-defined]
    elif _inherits_plain_call(cls):
        cls.call = _passed_on(cls)  # type: ignore[attr-defined]
    base = layer_base(cls)
    if base is not None and casts_arrays_of_integers(base):
        _keep_integers(cls, base)


def _inherits_plain_call(cls: type) -> bool:
    """Whether a class inherits a ``call`` that does not follow the rule.

    The ``call`` of ``Layer`` itself does not count, nor that of a Keras model class: Keras may turn such a class into
    a functional model.
    """
    owner = next((base for base in cls.__mro__ if brings(base, "call")), None)
    if owner is None or owner is layer_base(cls) or hasattr(vars(owner)["call"], _SAFE):
        return False
    return not belongs_to_keras(owner) or not is_model_class(owner)


def _passed_on(cls: type) -> Callable[..., Any]:
    """A ``call`` for a class without one: it calls the next class's, which may be another one in a subclass."""
    inherited: Callable[..., Any] = cls.call  # type: ignore[attr-defined]

    @functools.wraps(inherited)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        following = super(cls, self).call  # type: ignore[arg-type]
        return as_autograph_has_it(following, home_of(type(self)).base)(*args, **kwargs)

    call.__signature__ = inspect.signature(inherited)  # type: ignore[attr-defined]
    not_for_autograph(call)
    return _safe(call)  # type: ignore[no-any-return]


def _keep_integers(cls: type, base: type) -> None:
    """Passes NumPy arrays of integers to Keras 3.0 to 3.3 as tensors: it does not turn those into floats."""
    inherited = cls.__call__
    if hasattr(inherited, _SAFE):
        return
    own = vars(cls).get("__call__")

    @functools.wraps(inherited)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        args = arrays_of_integers_to_tensors(args, base)
        kwargs = arrays_of_integers_to_tensors(kwargs, base)
        # Look it up at each call: in a subclass, another class may follow this one.
        following = super(cls, self).__call__ if own is None else own.__get__(self, type(self))  # type: ignore[arg-type]
        return following(*args, **kwargs)

    setattr(__call__, _SAFE, True)
    cls.__call__ = __call__  # type: ignore[method-assign]


def _safe(call: Any) -> Any:
    """`call`, wrapped to follow the rule; the same object if it follows it already."""
    if hasattr(call, _SAFE):
        return call
    refuse_pausing("mixed_precision_safe", call)
    if isinstance(call, (staticmethod, classmethod)) or not hasattr(call, "__get__"):
        raise TypeError(f"mixed_precision_safe expects call to be a method that takes self; got {describe(call)}.")
    function = call if isinstance(call, FunctionType) else _unbound(call)
    # A partialmethod itself has no signature, but what a class makes of it has one.
    shown = call.__get__(None, object) if isinstance(call, functools.partialmethod) else call

    @functools.wraps(shown)
    def safe(self: Any, *args: Any, **kwargs: Any) -> Any:
        home = home_of(type(self))
        if home.base is None:
            layer_instance(self, "A call that is mixed_precision_safe")
        run = as_autograph_has_it(function, home.base) if home.converts else function
        policy = self.dtype_policy
        dtype = policy.compute_dtype
        if dtype not in FLOATS or not autocasts(self):
            return run_as((home.package, None, None, None), run, self, *args, **kwargs)
        for value in args:
            if not has_dtype(value, dtype):
                args = cast(args, dtype, home.base)
                break
        if kwargs:
            kwargs = cast(kwargs, dtype, home.base)
        reading = home.weights_dtype()
        if reading == dtype or (reading is None and policy.variable_dtype == dtype):
            now = home.package, dtype, home.weights_dtype, reading
            result = run_as(now, run, self, *args, **kwargs)
        else:
            now = home.package, dtype, home.weights_dtype, dtype
            with reading_weights(home.base, dtype):
                result = run_as(now, run, self, *args, **kwargs)
        return result if has_dtype(result, dtype) else cast(result, dtype, home.base)

    setattr(safe, _SAFE, True)
    return presented(safe, shown)


def _unbound(call: Any) -> Callable[..., Any]:
    """A function for a method that is not a plain function (a ``tf.function``, a ``partialmethod``)."""

    def function(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = call.__get__(self, type(self))
        if isinstance(call, functools.partialmethod):
            bound = as_autograph_has_it(bound, home_of(type(self)).base)
        return bound(*args, **kwargs)

    not_for_autograph(function)
    return function
