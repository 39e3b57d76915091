"""Mixed precision that is the same on every Keras: decorators and a mixin for layers, and calls between policies.

How it works, in one paragraph. Keras 2 casts the first argument of a layer, Keras 3 all, and neither what
``call`` hands back. Here ``call`` is wrapped: what comes in is cast by one rule (``cast_inputs``), the weights
that are read inside come in the compute dtype, and so does the result. Where everything has its dtype
already, nothing is added: not an operation in the graph.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FunctionType
from typing import Any, TypeVar, overload

from keras_buildfix import _keras, _private_precision
from keras_buildfix.casting import (
    FLOATS,
    HALVES,
    arrays_of_integers_to_tensors,
    cast,
    cast_inputs,
    casting_dtype,
    first_dtype,
    has_dtype,
)

_Callable = TypeVar("_Callable", bound=Callable[..., Any])
_NOT_GIVEN: Any = object()
_SAFE = "_keras_buildfix_casts"


@overload
def mixed_precision_safe(call: _Callable) -> _Callable: ...
@overload
def mixed_precision_safe() -> Callable[[_Callable], _Callable]: ...
def mixed_precision_safe(call: Any = _NOT_GIVEN) -> Any:
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
        TypeError: If given anything but a function or a Keras layer class.

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
    if call is _NOT_GIVEN:
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
        first = next(base for base in cls.__mro__ if base is MixedPrecisionMixin or _keras.belongs_to_keras(base))
        if first is not MixedPrecisionMixin:
            listed = [base for base in cls.__bases__ if not issubclass(base, MixedPrecisionMixin)]
            mixins = [base for base in cls.__bases__ if issubclass(base, MixedPrecisionMixin)]
            order = ", ".join(base.__name__ for base in mixins + listed)
            raise TypeError(
                f"MixedPrecisionMixin comes after the Keras class {first.__name__} in {cls.__name__}: "
                f"list it first, as in `class {cls.__name__}({order})`."
            )
        _mend(cls)


def full_precision(function: _Callable) -> _Callable:
    """Has a function compute in float32 and hand back the compute dtype: a softmax, norm, exp or loss.

    Use on a function of tensors or on a method of a layer, in a ``mixed_precision_safe`` ``call`` or not.
    Floating arguments of float16 and bfloat16, however nested, become float32 (float64 stays); weights
    that are read inside come in float32, except, on Keras 2, those of a layer whose policy is plain
    ``"float16"`` or ``"bfloat16"``, which have no more than that. Layers that are called inside have
    their own policy.

    Args:
        function: The function or method.

    Returns:
        The function wrapped. Floating tensors in its result have the compute dtype of the layer if its
        first argument is one, or else the dtype of the first float16 or bfloat16 argument; without any,
        the result is as computed.

    Raises:
        TypeError: If given anything but a function.

    Example:
        >>> import numpy as np
        >>> from keras_buildfix import full_precision
        >>> @full_precision
        ... def total(x):
        ...     return x.cumsum()[-1]
        >>> ones = np.ones(3000, "float16")
        >>> float(total(ones)), total(ones).dtype.name, float(ones.cumsum()[-1])
        (3000.0, 'float16', 2048.0)

    Source: what ``keras.layers.Softmax`` and libraries do by hand, with casts to and fro.
    """
    if isinstance(function, (type, staticmethod, classmethod)) or not callable(function):
        raise TypeError(f"full_precision expects a function or method; got {_keras.describe(function)}.")
    if _keras.layer_base(type(function)) is not None:
        raise TypeError(f"full_precision expects a function or method; got {_keras.describe(function)}.")

    @functools.wraps(function)
    def precise(*args: Any, **kwargs: Any) -> Any:
        base = _home(type(args[0])).base if args else None
        dtype = casting_dtype(args[0]) if base is not None else None
        if dtype is None:
            dtype = first_dtype((args, kwargs), HALVES)
        run = _private_precision.as_autograph_has_it(function, base)
        with _reading_float32(base, dtype):
            args = cast(args, "float32", base, HALVES)
            if kwargs:
                kwargs = cast(kwargs, "float32", base, HALVES)
            result = run(*args, **kwargs)
        return result if dtype is None or has_dtype(result, dtype) else cast(result, dtype, base)

    return _presented(precise, function)  # type: ignore[no-any-return]


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
    owner = next((base for base in cls.__mro__ if "call" in vars(base)), None)
    if owner is None or owner is _keras.layer_base(cls) or hasattr(vars(owner)["call"], _SAFE):
        return False
    return not _keras.belongs_to_keras(owner) or not any(base.__name__ == "Model" for base in owner.__mro__)


def _passed_on(cls: type) -> Callable[..., Any]:
    """A ``call`` for a class that has none: that of the next class, which a subclass may put another before."""
    inherited: Callable[..., Any] = cls.call  # type: ignore[attr-defined]

    @functools.wraps(inherited)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        following = super(cls, self).call  # type: ignore[arg-type]
        return _private_precision.as_autograph_has_it(following, _home(type(self)).base)(*args, **kwargs)

    call.__signature__ = inspect.signature(inherited)  # type: ignore[attr-defined]
    _private_precision.not_for_autograph(call)
    return _safe(call)  # type: ignore[no-any-return]


def _keep_integers(cls: type, base: type) -> None:
    """Has Keras 3.0 to 3.3 get NumPy arrays of integers as tensors, which it does not make floats of."""
    inherited = cls.__call__
    if hasattr(inherited, _SAFE):
        return

    @functools.wraps(inherited)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        args = arrays_of_integers_to_tensors(args, base)
        return inherited(self, *args, **arrays_of_integers_to_tensors(kwargs, base))

    setattr(__call__, _SAFE, True)
    cls.__call__ = __call__  # type: ignore[method-assign]


def _safe(call: Any) -> Any:
    """`call` by the rule; the same object if it follows it already."""
    if hasattr(call, _SAFE):
        return call
    if isinstance(call, (staticmethod, classmethod)) or not hasattr(call, "__get__"):
        raise TypeError(
            f"mixed_precision_safe expects call to be a method that takes self; got {_keras.describe(call)}."
        )
    function = call if isinstance(call, FunctionType) else _unbound(call)

    @functools.wraps(call)
    def safe(self: Any, *args: Any, **kwargs: Any) -> Any:
        home = _home(type(self))
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
    return _presented(safe, call)


def _unbound(call: Any) -> Callable[..., Any]:
    """A method that is no plain function (a ``tf.function``), as a function of the layer."""

    def function(self: Any, *args: Any, **kwargs: Any) -> Any:
        return call.__get__(self, type(self))(*args, **kwargs)

    _private_precision.not_for_autograph(function)
    return function


def _presented(wrapper: Any, function: Any) -> Any:
    """A wrapper that shows the signature of what it wraps: Keras 2 does not look at ``__wrapped__``."""
    with contextlib.suppress(ValueError, TypeError):  # a builtin may have none
        wrapper.__signature__ = inspect.signature(function)
    _private_precision.not_for_autograph(wrapper)
    return wrapper


def _reading_float32(base: type | None, dtype: str | None) -> AbstractContextManager[Any]:
    """Has weights be read in float32 where they would come in half of it; of each Keras if none is given."""
    if base is not None:
        reading = _private_precision.reading_weights
        return reading(base, "float32") if dtype in HALVES else contextlib.nullcontext()
    scopes = contextlib.ExitStack()
    for each in _keras.loaded_layer_bases():
        if _private_precision.weights_dtype(each)() in HALVES:
            scopes.enter_context(_private_precision.reading_weights(each, "float32"))
    return scopes


class _Home:
    """What is to be known of the Keras of a layer class, at each call."""

    def __init__(self, cls: type) -> None:
        self.base: Any = _keras.layer_base(cls)
        if self.base is not None:
            self.converts = _private_precision.converts_call(self.base)
            self.weights_dtype = _private_precision.weights_dtype(self.base)


def _home(cls: type) -> _Home:
    """The home of a class, remembered for as long as the class lives."""
    try:
        return _homes[cls]
    except KeyError:
        found = _homes[cls] = _Home(cls)
        return found
    except TypeError:  # a metaclass has made its classes unhashable
        return _Home(cls)


_homes: weakref.WeakKeyDictionary[type, _Home] = weakref.WeakKeyDictionary()
