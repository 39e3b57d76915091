"""Dtypes and control flow that came after Keras 3.0."""

from __future__ import annotations

import functools
import re
import sys
from typing import Any

from keras_buildfix import ops
from keras_buildfix.ops._finding import keras_in_use
from keras_buildfix.ops._later._values import as_tensor, backend, over_tensorflow, scan_length
from keras_buildfix.ops._symbolic import leaves, mapped, symbolically
from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()


@OPERATIONS.add
def dtype(x: Any) -> Any:
    return keras_in_use().backend.standardize_dtype(x.dtype)


_BITS = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}
_LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38}


def least_and_greatest(dtype: str) -> tuple[Any, Any]:
    """The least and the greatest number of a dtype."""
    if "int" in dtype:
        bits = int(dtype.rpartition("int")[2])
        return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return (
        (0, 1)
        if dtype == "bool"
        else (-_LARGEST.get(dtype, sys.float_info.max), _LARGEST.get(dtype, sys.float_info.max))
    )


@OPERATIONS.add
def saturate_cast(x: Any, dtype: Any) -> Any:
    x = as_tensor(x)
    source = ops.dtype(x)
    # By its name, if it has one: PyTorch takes a wider dtype for uint16 and uint32.
    target = dtype if isinstance(dtype, str) and dtype[-1].isdigit() else ops.dtype(ops.cast(0, dtype))
    (low, high), (least, greatest) = least_and_greatest(source), least_and_greatest(target)
    if least > low or greatest < high or "float" in source:  # of floats, infinities as well
        low, high = max(least, low), min(greatest, high)
        bits = _BITS.get(source)
        if bits is not None and "int" in target and high == greatest:
            # Rounded to a float, the greatest int may be one too large.
            high -= high % 2 ** max(high.bit_length() - bits, 0)
        x = ops.clip(x, float(low), float(high)) if bits is not None else ops.clip(x, low, high)
    return ops.cast(x, dtype)


# Control flow.


@OPERATIONS.add
@symbolically
def switch(index: Any, branches: Any, *operands: Any) -> Any:
    if backend() == "tensorflow":
        return over_tensorflow("switch")(index, branches, *operands)
    operands = mapped(ops.convert_to_tensor, operands)
    index = ops.convert_to_tensor(index)
    if backend() == "jax":
        return sys.modules["jax"].lax.switch(ops.cast(index, "int32"), branches, *operands)
    return branches[min(max(int(index), 0), len(branches) - 1)](*operands)


@OPERATIONS.add
def map_(f: Any, xs: Any) -> Any:
    return ops.scan(lambda carry, x: (carry, f(x)), (), xs)[1]


@OPERATIONS.add
@symbolically
def scan(f: Any, init: Any, xs: Any = None, length: Any = None, reverse: Any = False, unroll: Any = 1) -> Any:
    if backend() == "tensorflow":
        return over_tensorflow("scan")(f, init, xs, length, reverse, unroll)
    init, xs = mapped(ops.convert_to_tensor, (init, xs))
    n = scan_length(f, [x for x in leaves(xs) if x is not None], length, unroll)
    if backend() == "jax":
        carry, y = sys.modules["jax"].lax.scan(f, init, xs, length=length, reverse=reverse, unroll=unroll)
        return mapped(lambda _, new: new, init, carry), y  # JAX sorts the keys of dicts
    assert n is not None  # torch and numpy know all sizes
    carry, ys = init, []
    for i in range(n)[:: -1 if reverse else 1]:
        carry, y = f(carry, mapped(lambda x: x[i], xs))  # noqa: B023 it is called here
        carry = mapped(functools.partial(_like, "ops.scan: f"), init, carry)
        ys.append(mapped(ops.convert_to_tensor, y))
    if not ys:
        y = f(carry, mapped(lambda x: ops.zeros(x.shape[1:], ops.dtype(x)), xs))[1]
        return carry, mapped(lambda x: ops.zeros((0, *x.shape), ops.dtype(x)), mapped(ops.convert_to_tensor, y))
    return carry, mapped(lambda *each: ops.stack(each), *ys[:: -1 if reverse else 1])


def _like(who: str, old: Any, new: Any) -> Any:
    """A value that a step of a loop returns, as a tensor; an error, if its dtype is not that of the one it got."""
    new = ops.convert_to_tensor(new)
    if ops.dtype(old) != ops.dtype(new):
        raise TypeError(f"{who} must return the dtypes that it gets: {ops.dtype(old)}, not {ops.dtype(new)}.")
    return new


@OPERATIONS.add
@symbolically
def associative_scan(f: Any, elems: Any, reverse: Any = False, axis: Any = 0) -> Any:
    if not callable(f):
        raise TypeError(f"ops.associative_scan: f must be a function, not {f!r}.")
    elems = mapped(ops.convert_to_tensor, elems)
    found = leaves(elems)
    rank = len(found[0].shape)
    if not -rank <= axis < rank:
        raise ValueError(f"ops.associative_scan: axis must be from {-rank} to {rank - 1}, not {axis}.")
    axis %= rank
    sizes = [x.shape[axis] for x in found]
    if len({*sizes} - {None}) > 1:
        raise ValueError(f"ops.associative_scan: the sizes of axis {axis} must be the same, not {sizes}.")

    def flipped(structure: Any) -> Any:
        return mapped(lambda x: ops.flip(x, axis), structure) if reverse else structure

    known = next((size for size in sizes if size is not None), None)
    scanned = _doubling(f, flipped(elems), axis) if known is None else _scanned(f, flipped(elems), axis, int(known))
    return flipped(scanned)


def _scanned(f: Any, x: Any, axis: int, n: int) -> Any:
    """The combinations of the first one, two... of `n` elements: each second one is found from pairs."""

    def part(structure: Any, start: int, stop: int, step: int = 1) -> Any:
        return mapped(lambda each: each[(slice(None),) * axis + (slice(start, stop, step),)], structure)

    def joined(a: Any, b: Any) -> Any:
        return mapped(lambda *each: ops.concatenate(each, axis), a, b)

    if n < 2:
        return x
    odd = _scanned(f, f(part(x, 0, n - 1, 2), part(x, 1, n, 2)), axis, n // 2)
    even = part(x, 0, 1)
    if n > 2:
        even = joined(even, f(part(odd, 0, (n - 1) // 2), part(x, 2, n, 2)))
    half = (n + 1) // 2
    order = [at // 2 + half * (at % 2) for at in range(n)]
    return mapped(lambda each: ops.take(each, order, axis), joined(even, odd))


def _doubling(f: Any, x: Any, axis: int) -> Any:
    """The same over TensorFlow where the size is not known: combines with what is 1, 2, 4... before."""
    n = ops.shape(leaves(x)[0])[axis]
    at = ops.arange(n)

    def body(distance: Any, x: Any) -> Any:
        before = mapped(lambda each: ops.take(each, ops.maximum(at - distance, 0), axis), x)

        def chosen(new: Any, old: Any) -> Any:
            shape = [n if each == axis else 1 for each in range(len(old.shape))]
            return ops.where(ops.reshape(at >= distance, shape), new, old)

        return distance * 2, mapped(chosen, f(before, x), x)

    return over_tensorflow("while_loop")(lambda distance, x: distance < n, body, (1, x))[1]


# Functions of functions.


@OPERATIONS.add
@symbolically
def jvp(fun: Any, primals: Any, tangents: Any, has_aux: Any = False) -> Any:
    name = backend()
    if name == "tensorflow":
        return over_tensorflow("jvp")(fun, primals, tangents, has_aux)
    if name not in ("jax", "torch"):
        raise NotImplementedError("ops.jvp: NumPy has no derivatives; use the backend jax, torch or tensorflow.")
    primals = mapped(ops.convert_to_tensor, tuple(primals))
    tangents = mapped(lambda t, x: ops.cast(t, ops.dtype(x)), tuple(tangents), primals)
    if name == "jax":
        return sys.modules["jax"].jvp(fun, primals, tangents, has_aux=has_aux)
    import torch

    return torch.func.jvp(fun, primals, tangents, has_aux=has_aux)


@OPERATIONS.add
def custom_gradient(f: Any) -> Any:
    name = backend()
    if name == "tensorflow":
        return over_tensorflow("custom_gradient")(f)
    if name == "jax":
        return symbolically(sys.modules["jax"].custom_gradient(f))
    if name != "torch":  # NumPy has no gradients
        return symbolically(lambda *args, **kwargs: f(*args, **kwargs)[0])
    import torch

    class Function(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            outputs, ctx.gradient = f(*args)
            return outputs

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            return ctx.gradient(*upstream)

    return symbolically(lambda *args: Function.apply(*args))


@OPERATIONS.add
def vectorize(pyfunc: Any, *, excluded: Any = None, signature: Any = None) -> Any:
    if not callable(pyfunc):
        raise TypeError(f"ops.vectorize: pyfunc must be a function, not {pyfunc!r}.")
    fixed = {*(excluded or ())}
    inputs, outputs = _parsed(signature) if signature else (None, None)

    @symbolically
    def vectorized(*args: Any, **kwargs: Any) -> Any:
        given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        free = [key for key in given if key not in fixed]
        cores = [[] for _ in free] if inputs is None else inputs
        if len(cores) != len(free):
            raise ValueError(
                f"ops.vectorize: the signature {signature!r} has {len(cores)} inputs; {len(free)} are given."
            )

        def of_one(values: Any) -> Any:
            now = {**given, **dict(zip(free, values))}
            return pyfunc(*(now[at] for at in range(len(args))), **{key: now[key] for key in kwargs})

        found = _over_batch(of_one, [ops.convert_to_tensor(given[key]) for key in free], cores)
        if outputs is not None and len(outputs) != (len(found) if isinstance(found, (list, tuple)) else 1):
            raise ValueError(
                f"ops.vectorize: the signature {signature!r} has {len(outputs)} outputs; the function has not."
            )
        return found

    return functools.update_wrapper(vectorized, pyfunc, ("__name__", "__doc__"), ())


def _parsed(signature: str) -> tuple[list[list[str]], list[list[str]]]:
    """The axes of each input and each output: ``"(n,m),(m)->(n)"``."""
    one = r"\(\s*(?:\w+\s*(?:,\s*\w+\s*)*)?\)"
    several = rf"\s*{one}\s*(?:,\s*{one}\s*)*"
    if not re.fullmatch(f"{several}->{several}", signature):
        raise ValueError(f"ops.vectorize: a signature is such as '(n,m),(m)->(n)', not {signature!r}.")
    sides = [[re.findall(r"\w+", each) for each in re.findall(one, side)] for side in signature.split("->")]
    return sides[0], sides[1]


def _over_batch(function: Any, values: list[Any], cores: list[list[str]]) -> Any:
    """What a function gives for all axes but the last ones, which are those of `cores`."""
    sizes = [ops.shape(x)[: len(x.shape) - len(core)] for x, core in zip(values, cores)]
    known: dict[str, Any] = {}
    for x, core in zip(values, cores):
        if len(x.shape) < len(core):
            raise ValueError(f"ops.vectorize: an input of shape {tuple(x.shape)} has no axes {core}.")
        for name, size in zip(core, x.shape[len(x.shape) - len(core) :]):
            if known.setdefault(name, size) != size and None not in (size, known[name]):
                raise ValueError(f"ops.vectorize: the axis {name} has the sizes {known[name]} and {size}.")
    batch = _broadcast(sizes)
    if not batch:
        return function(values)
    rows = functools.reduce(lambda a, b: a * b, batch)

    def flat(x: Any, core: list[str]) -> Any:
        inner = tuple(ops.shape(x)[len(x.shape) - len(core) :])
        return ops.reshape(ops.broadcast_to(x, (*batch, *inner)), (rows, *inner))

    found = ops.vectorized_map(function, tuple(map(flat, values, cores)))
    return mapped(lambda x: ops.reshape(x, (*batch, *ops.shape(x)[1:])), found)


def _broadcast(shapes: list[Any]) -> tuple[Any, ...]:
    """The shape in which shapes meet; sizes may be tensors."""
    rank = max(map(len, shapes))
    batch = []
    for axis in range(-rank, 0):
        sizes = [shape[axis] for shape in shapes if len(shape) >= -axis]
        numbers = {size for size in sizes if isinstance(size, int)} - {1}
        if len(numbers) > 1:
            raise ValueError(f"ops.vectorize: the shapes {shapes} can't be broadcast together.")
        dynamic = [size for size in sizes if not isinstance(size, int)]
        batch.append(numbers.pop() if numbers else dynamic[0] if dynamic else 1)
    return tuple(batch)
