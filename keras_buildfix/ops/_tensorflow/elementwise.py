"""Functions of each element over TensorFlow: arithmetic, comparisons, logic, bits, exponentials, angles, rounding.

Two tensors meet in one dtype first. What gives fractions makes ints and bools floats, as Keras 3 does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_buildfix.ops._symbolic import following, symbolically
from keras_buildfix.ops._table import Operations
from keras_buildfix.ops._tensorflow._core import binary, dtype_of, tensor, together, unary

OPERATIONS = Operations()


def _kept(function: Callable[[Any], Any], *kept: str) -> Callable[[Any], Any]:
    """`function`, which leaves tensors of these kinds of dtype as they are: "bool", "unsigned", "integer"."""
    return lambda x: x if _kind(x) in kept else function(x)


def _kind(x: Any) -> str:
    if x.dtype.is_integer:
        return "unsigned" if x.dtype.is_unsigned else "integer"
    return "bool" if x.dtype == tf.bool else "complex" if x.dtype.is_complex else "float"


def _log_by(base: float) -> Callable[[Any], Any]:
    return lambda x: tf.math.log(x) / tf.constant(math.log(base), x.dtype)


def _sign(x: Any) -> Any:
    return tf.cast(x > 0, x.dtype) if _kind(x) == "unsigned" else tf.sign(x)


def _signbit(x: Any) -> Any:
    if _kind(x) != "float":
        return tf.zeros_like(x, tf.bool) if _kind(x) in ("bool", "unsigned") else x < 0
    return tf.bitcast(x, {2: tf.int16, 4: tf.int32, 8: tf.int64}[x.dtype.size]) < 0


def _of_floats(function: Callable[[Any], Any], others: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """A function that gives bools; for what is not floating or complex, `others`: all true or all false."""
    return lambda x: function(x) if _kind(x) in ("float", "complex") else others(x, tf.bool)


for _names, _function in {
    "abs absolute": _kept(tf.abs, "bool", "unsigned"),
    "bitwise_not bitwise_invert": tf.bitwise.invert,
    "conj conjugate": tf.math.conj,
    "imag": tf.math.imag,
    "isfinite": _of_floats(tf.math.is_finite, tf.ones_like),
    "isinf": _of_floats(tf.math.is_inf, tf.zeros_like),
    "isnan": _of_floats(tf.math.is_nan, tf.zeros_like),
    "logical_not": lambda x: tf.logical_not(tf.cast(x, tf.bool)),
    "negative": tf.negative,
    "real": tf.math.real,
    "sign": _sign,
    "signbit": _signbit,
    "square": lambda x: tf.square(tf.cast(x, tf.int32) if x.dtype == tf.bool else x),
}.items():
    for _name in _names.split():
        unary(OPERATIONS, _name, _function)

for _name, _function in {
    "arccos": tf.acos,
    "arccosh": tf.acosh,
    "arcsin": tf.asin,
    "arcsinh": tf.asinh,
    "arctan": tf.atan,
    "arctanh": tf.atanh,
    "ceil": tf.math.ceil,
    "cos": tf.cos,
    "cosh": tf.cosh,
    "exp": tf.exp,
    "expm1": tf.math.expm1,
    "floor": tf.floor,
    "log": tf.math.log,
    "log10": _log_by(10),
    "log1p": tf.math.log1p,
    "log2": _log_by(2),
    "reciprocal": tf.math.reciprocal,
    "sin": tf.sin,
    "sinh": tf.sinh,
    "sqrt": tf.sqrt,
    "tan": tf.tan,
    "tanh": tf.tanh,
}.items():
    unary(OPERATIONS, _name, _function, floating=True)


def _arctan2(x1: Any, x2: Any) -> Any:
    if not x1.shape.is_fully_defined() or x1.shape.as_list() != x2.shape.as_list():
        # The gradient of TensorFlow 2.12 has the broadcast shape. A product keeps the sign of zero, and static sizes.
        x1, x2 = x1 * tf.ones_like(x2), x2 * tf.ones_like(x1)
    return tf.atan2(x1, x2)


def _logaddexp(x1: Any, x2: Any) -> Any:
    # The larger one is found by a condition and not by `maximum`, whose gradient at a tie goes to one side.
    larger, smaller = tf.where(x1 >= x2, x1, x2), tf.where(x1 >= x2, x2, x1)
    equal_infinities = tf.logical_and(tf.equal(x1, x2), tf.math.is_inf(larger))
    return larger + tf.nn.softplus(tf.where(equal_infinities, tf.zeros_like(larger), smaller - larger))


def _power(x1: Any, x2: Any) -> Any:
    if _kind(x1) != "unsigned":
        return tf.pow(x1, x2)
    wide = tf.int32 if x1.dtype.size < 4 else tf.int64  # its low bits are those of the unsigned power
    return tf.cast(tf.pow(tf.cast(x1, wide), tf.cast(x2, wide)), x1.dtype)


for _names, _function in {
    "add": tf.add,
    "equal": tf.equal,
    "greater": tf.greater,
    "greater_equal": tf.greater_equal,
    "less": tf.less,
    "less_equal": tf.less_equal,
    "maximum": tf.maximum,
    "minimum": tf.minimum,
    "multiply": tf.multiply,
    "not_equal": tf.not_equal,
    "power": _power,
    "subtract": tf.subtract,
}.items():
    binary(OPERATIONS, _names, _function)

for _names, _function in {"mod": tf.math.floormod, "floor_divide": tf.math.floordiv}.items():
    binary(OPERATIONS, _names, _function, at_least="int")

for _names, _function in {
    "arctan2": _arctan2,
    "divide": tf.divide,
    "divide_no_nan": tf.math.divide_no_nan,
    "logaddexp": _logaddexp,
    "true_divide": tf.divide,
}.items():
    binary(OPERATIONS, _names, _function, at_least="float")


def _bitwise(names: str, function: Callable[[Any, Any], Any]) -> None:
    """Enters a function of bits, whose arguments Keras calls x and y."""

    def operation(x: Any, y: Any) -> Any:
        return function(*together(x, y))

    for name in names.split():
        OPERATIONS.enter(name, operation)


_bitwise("bitwise_and", tf.bitwise.bitwise_and)
_bitwise("bitwise_or", tf.bitwise.bitwise_or)
_bitwise("bitwise_xor", tf.bitwise.bitwise_xor)
_bitwise("bitwise_left_shift left_shift", tf.bitwise.left_shift)
_bitwise("bitwise_right_shift right_shift", tf.bitwise.right_shift)


def _logical(name: str, function: Callable[[Any, Any], Any]) -> None:
    def operation(x1: Any, x2: Any) -> Any:
        return function(tf.cast(tensor(x1), tf.bool), tf.cast(tensor(x2), tf.bool))

    operation.__name__ = name
    OPERATIONS.add(operation)


_logical("logical_and", tf.logical_and)
_logical("logical_or", tf.logical_or)
_logical("logical_xor", tf.math.logical_xor)


@OPERATIONS.add
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    x, x_min, x_max = following(x, x_min, x_max)
    given, dtype = dtype_of(x), dtype_of(x, x_min, x_max)
    dtype = "int32" if dtype == "bool" else dtype
    found = tf.minimum(tf.maximum(tensor(x, dtype), tensor(x_min, dtype)), tensor(x_max, dtype))
    return tensor(found, "int32" if given == "bool" else given)


@OPERATIONS.add
def gcd(x1: Any, x2: Any) -> Any:
    x1, x2 = together(x1, x2)
    if not x1.dtype.is_integer:
        raise TypeError(f"ops.gcd takes tensors of ints, not of {x1.dtype.name}.")
    absolute = OPERATIONS["abs"]
    return euclid(absolute(x1) + tf.zeros_like(x2), absolute(x2) + tf.zeros_like(x1))


@symbolically
def euclid(x1: Any, x2: Any) -> Any:
    def step(x1: Any, x2: Any) -> Any:
        done = tf.equal(x2, 0)
        return tf.where(done, x1, x2), tf.where(done, x2, x1 % tf.where(done, tf.ones_like(x2), x2))

    return tf.while_loop(lambda _, x2: tf.reduce_any(tf.not_equal(x2, 0)), step, (x1, x2))[0]


@OPERATIONS.add
def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    x1, x2 = together(x1, x2, at_least="float")
    size = tf.abs(x2)
    near = tf.abs(x1 - x2) <= tensor(atol, size.dtype.name) + tensor(rtol, size.dtype.name) * size
    close = tf.logical_or(tf.equal(x1, x2), tf.logical_and(near, tf.math.is_finite(size)))
    if equal_nan:
        close = tf.logical_or(close, tf.logical_and(tf.not_equal(x1, x1), tf.not_equal(x2, x2)))
    return close


@OPERATIONS.add
def nan_to_num(x: Any, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    x = tensor(x)
    if _kind(x) == "complex":
        return tf.complex(*(nan_to_num(part(x), nan, posinf, neginf) for part in (tf.math.real, tf.math.imag)))
    if _kind(x) != "float":
        return x
    posinf, neginf = x.dtype.max if posinf is None else posinf, x.dtype.min if neginf is None else neginf
    for where, number in ((tf.math.is_nan(x), nan), (tf.equal(x, math.inf), posinf), (tf.equal(x, -math.inf), neginf)):
        x = tf.where(where, tensor(number, x.dtype.name), x)
    return x


@OPERATIONS.add
def nextafter(x1: Any, x2: Any) -> Any:
    x1, x2 = together(x1, x2, at_least="float")
    if x1.dtype not in (tf.float32, tf.float64):
        raise TypeError(f"ops.nextafter takes float32 and float64 on TensorFlow, not {x1.dtype.name}. Cast it first.")
    return tf.math.nextafter(x1, x2)


@OPERATIONS.add
def round_(x: Any, decimals: int = 0) -> Any:
    x = tensor(x)
    if decimals == 0 or (decimals > 0 and x.dtype.is_integer):
        return tf.round(x)
    if x.dtype.is_integer:
        return tf.cast(tf.round(tf.cast(x, tf.float64) / 10**-decimals) * 10**-decimals, x.dtype)
    scale = tensor(10.0 ** abs(decimals), x.dtype.name)
    return tf.round(x * scale) / scale if decimals > 0 else tf.round(x / scale) * scale
