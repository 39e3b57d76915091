"""Functions of each element that came after Keras 3.0: bits, angles, rounding, remainders, divisors, signs.

Most are said with functions that Keras 3.0 has. Those of bits and of the parts of a float are the backend's own.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any

from keras_buildfix import ops
from keras_buildfix.ops._dtypes import result_type
from keras_buildfix.ops._finding import floatx
from keras_buildfix.ops._later._values import as_tensor, backend, followed, in_single, over_tensorflow
from keras_buildfix.ops._later.control import least_and_greatest
from keras_buildfix.ops._making import dtype_name
from keras_buildfix.ops._symbolic import symbolically
from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()


def _name_of(x: Any) -> str:
    """The dtype of a value for `result_type`: Python's own numbers widen nothing."""
    return type(x).__name__ if type(x) in (bool, int, float) else dtype_name(as_tensor(x))


def _together(*values: Any, at_least: str | None = None) -> tuple[Any, ...]:
    """The values as tensors in the dtype in which they meet, or in the one in which they meet `at_least`."""
    values = followed(*values)
    names = [_name_of(x) for x in values]
    dtype = result_type(*names, *([at_least] if at_least else ()), floatx=floatx())
    return tuple(_as(x, dtype) for x in values)


def _as(x: Any, dtype: str) -> Any:
    if type(x) is int and "int" in dtype and not least_and_greatest(dtype)[0] <= x <= least_and_greatest(dtype)[1]:
        raise OverflowError(f"The number {x} is out of bounds for {dtype}, the dtype of the tensor that it meets.")
    if type(x) is float or (type(x) is int and dtype != "bool"):
        return ops.convert_to_tensor(x, dtype=dtype)  # not by way of float32 or int32, which would cut off digits
    x = as_tensor(x)
    return x if dtype_name(x) == dtype else ops.cast(x, dtype)


def _unary(name: str, function: Callable[[Any], Any], floating: bool = True, real: bool = False) -> None:
    def operation(x: Any) -> Any:
        if real and _name_of(x).startswith("complex"):
            raise TypeError(f"ops.{name} takes no complex tensors.")
        return function(_together(x, at_least="float")[0] if floating else as_tensor(x))

    operation.__name__ = name
    OPERATIONS.add(operation)


def _is(x: Any, *kinds: str) -> bool:
    return dtype_name(x).startswith(kinds)


def _like(value: float, x: Any) -> Any:
    """A number as a tensor in the dtype of x."""
    return ops.convert_to_tensor(value, dtype=dtype_name(x))


# Angles, powers and rounding.


def _angle(x: Any) -> Any:
    if _is(x, "complex"):
        return ops.arctan2(ops.imag(x), ops.real(x))
    return ops.arctan2(ops.zeros_like(x), x)


def _cbrt(x: Any) -> Any:
    # Conditions and not `sign` and `abs`, whose gradients at 0 hide that the one of the root is infinite there.
    root = ops.power(ops.where(x < 0, -x, x), _like(1 / 3, x))
    return ops.where(x < 0, -root, root)


def _trunc(x: Any) -> Any:
    return ops.where(x < 0, ops.ceil(x), ops.floor(x)) if _is(x, "float", "bfloat") else x


def _isreal(x: Any) -> Any:
    return ops.equal(ops.imag(x), 0) if _is(x, "complex") else ops.ones_like(x, dtype="bool")


_unary("angle", _angle)
_unary("cbrt", functools.partial(in_single, _cbrt))
_unary("deg2rad", lambda x: x * _like(math.pi / 180, x))
_unary("exp2", lambda x: ops.power(_like(2, x), x))
_unary("fabs", lambda x: ops.abs(x), real=True)
_unary("isneginf", lambda x: ops.equal(x, _like(-math.inf, x)), real=True)
_unary("isposinf", lambda x: ops.equal(x, _like(math.inf, x)), real=True)
_unary("isreal", _isreal, floating=False)
_unary("rad2deg", lambda x: x * _like(180 / math.pi, x))
_unary("trunc", _trunc, floating=False, real=True)


# Two tensors.


@OPERATIONS.add
def divide_no_nan(x1: Any, x2: Any) -> Any:
    x1, x2 = _together(x1, x2, at_least="float")
    nothing = ops.equal(x2, 0)
    quotient = ops.divide(x1, ops.where(nothing, ops.ones_like(x2), x2))
    return ops.where(nothing, ops.zeros_like(quotient), quotient)


def _but_nan(extremum: Callable[[Any, Any], Any], x1: Any, x2: Any) -> Any:
    x1, x2 = _together(x1, x2)
    if not _is(x1, "float", "bfloat"):
        return extremum(x1, x2)
    return ops.where(ops.isnan(x1), x2, ops.where(ops.isnan(x2), x1, extremum(x1, x2)))


@OPERATIONS.add
def fmax(x1: Any, x2: Any) -> Any:
    return _but_nan(ops.maximum, x1, x2)


@OPERATIONS.add
def fmin(x1: Any, x2: Any) -> Any:
    return _but_nan(ops.minimum, x1, x2)


@OPERATIONS.add
def fmod(x1: Any, x2: Any) -> Any:
    x1, x2 = _together(x1, x2, at_least="int")
    if _is(x1, "uint", "int"):  # not by magnitudes: that of the least int does not exist
        rest = ops.mod(x1, x2)
        turned = ops.logical_and(ops.not_equal(rest, 0), ops.not_equal(x1 < 0, x2 < 0))
        return ops.where(turned, rest - x2, rest)
    size = ops.mod(ops.where(x1 < 0, -x1, x1), ops.where(x2 < 0, -x2, x2))
    return ops.where(x1 < 0, -size, size)


@OPERATIONS.add
def heaviside(x1: Any, x2: Any) -> Any:
    x1, x2 = _together(x1, x2, at_least="float")
    step = ops.where(x1 > 0, ops.ones_like(x1), ops.where(x1 < 0, ops.zeros_like(x1), x1))
    return ops.where(ops.equal(x1, 0), x2, step)


@OPERATIONS.add
def hypot(x1: Any, x2: Any) -> Any:
    return euclidean_length(*_together(x1, x2, at_least="float"))


@symbolically  # the stop_gradient of an older Keras 3 takes no symbolic tensors
def euclidean_length(x1: Any, x2: Any) -> Any:
    scale = ops.stop_gradient(ops.maximum(ops.abs(x1), ops.abs(x2)))  # the squares of the quotients can't overflow
    infinite = ops.logical_or(ops.isinf(x1), ops.isinf(x2))
    scale = ops.where(ops.logical_or(infinite, ops.equal(scale, 0)), ops.ones_like(scale), scale)
    squares = ops.square(x1 / scale) + ops.square(x2 / scale)
    is_zero = ops.equal(squares, 0)  # where the root has no gradient
    length = scale * ops.sqrt(ops.where(is_zero, ops.ones_like(squares), squares))
    length = ops.where(is_zero, ops.zeros_like(length), length)
    return ops.where(infinite, _like(math.inf, length), length)


@OPERATIONS.add
def ldexp(x1: Any, x2: Any) -> Any:
    x2 = as_tensor(x2)
    if not _is(x2, "int", "uint"):
        raise TypeError(f"ops.ldexp: the exponent x2 must be of ints, not of {dtype_name(x2)}.")
    (x1,) = _together(x1, at_least="float")
    third = ops.floor_divide(x2, 3)  # in steps, as 2**x2 may overflow where the result does not, and 0 * inf is NaN
    most = {"float16": 14, "float64": 1022}.get(dtype_name(x1), 126)
    for exponent in (third, third, x2 - 2 * third):
        exponent = ops.minimum(ops.maximum(ops.cast(exponent, dtype_name(x1)), _like(-most, x1)), _like(most, x1))
        x1 = ops.multiply(x1, ops.power(_like(2, x1), exponent))
    return x1


@OPERATIONS.add
def logaddexp2(x1: Any, x2: Any) -> Any:
    x1, x2 = _together(x1, x2, at_least="float")
    # Found by a condition: the gradient of `maximum` at a tie goes to one side, and an older logaddexp has that fault.
    first = ops.greater_equal(x1, x2)
    larger, smaller = ops.where(first, x1, x2), ops.where(first, x2, x1)
    equal_infinities = ops.logical_and(ops.equal(x1, x2), ops.isinf(larger))
    difference = ops.where(equal_infinities, ops.zeros_like(larger), smaller - larger)
    log_2 = _like(math.log(2), larger)
    return larger + ops.softplus(difference * log_2) / log_2


@OPERATIONS.add
def lcm(x1: Any, x2: Any) -> Any:
    x1, x2 = _together(x1, x2)
    _of_ints("lcm", x1)
    divisor = ops.gcd(x1, x2)
    divisor = divisor + ops.cast(ops.equal(divisor, 0), dtype_name(divisor))
    product = ops.floor_divide(x1, divisor) * x2
    return product if _is(product, "uint") else ops.abs(product)


# Functions of the backend.

_MODULES = {"jax": "jax.numpy", "torch": "torch", "numpy": "numpy"}


def _own(name: str, *others: str) -> Callable[..., Any]:
    """The function of the backend by the first of these names that it has; on TensorFlow, the one of Keras 2."""
    if backend() == "tensorflow":
        return symbolically(over_tensorflow(name))
    module = importlib.import_module(_MODULES[backend()])
    return symbolically(next(filter(None, (getattr(module, each, None) for each in (name, *others)))))


def _of_ints(name: str, x: Any) -> None:
    if _is(x, "float", "bfloat", "complex"):
        raise TypeError(f"ops.{name} takes tensors of ints, not of {dtype_name(x)}.")


def _bits_of_one(name: str) -> None:
    def operation(x: Any) -> Any:
        x = as_tensor(x)
        _of_ints(name, x)
        return _own("bitwise_not", "invert")(x)

    OPERATIONS.enter(name, operation)


def _bits_of_two(name: str, *others: str) -> None:
    def operation(x: Any, y: Any) -> Any:
        x, y = _together(x, y)
        _of_ints(name, x)
        return _own(name, *others)(x, y)

    OPERATIONS.enter(name, operation)


for _name in ("bitwise_not", "bitwise_invert"):
    _bits_of_one(_name)
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    _bits_of_two(_name)
for _side in ("left", "right"):
    _bits_of_two(f"bitwise_{_side}_shift", f"{_side}_shift")
    _bits_of_two(f"{_side}_shift", f"bitwise_{_side}_shift")


@OPERATIONS.add
def gcd(x1: Any, x2: Any) -> Any:
    x1, x2 = _together(x1, x2)
    _of_ints("gcd", x1)
    return _own("gcd")(x1, x2)


@OPERATIONS.add
def nextafter(x1: Any, x2: Any) -> Any:
    return _own("nextafter")(*_together(x1, x2, at_least="float"))


@OPERATIONS.add
def signbit(x: Any) -> Any:
    x = as_tensor(x)
    if _is(x, "bool", "uint"):
        return ops.zeros_like(x, dtype="bool")
    return _own("signbit")(x)
