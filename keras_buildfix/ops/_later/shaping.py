"""Functions that rearrange tensors, of those that came after Keras 3.0: turned, split and stacked, selected."""

from __future__ import annotations

from typing import Any

from keras_buildfix import ops
from keras_buildfix.ops._axes import axes_of, axis_of
from keras_buildfix.ops._dtypes import result_type
from keras_buildfix.ops._finding import floatx
from keras_buildfix.ops._later._values import as_tensor, backend
from keras_buildfix.ops._making import dtype_name
from keras_buildfix.ops._symbolic import symbolically
from keras_buildfix.ops._table import Operations

OPERATIONS = Operations()


def at_least(rank: int, x: Any, name: str) -> Any:
    """A value as a tensor, which must have at least so many axes."""
    x = as_tensor(x)
    if len(x.shape) < rank:
        raise ValueError(f"{name}: the tensor must be of rank {rank} or more, not of shape {tuple(x.shape)}")
    return x


@OPERATIONS.add
def fliplr(x: Any) -> Any:
    return ops.flip(at_least(2, x, "fliplr"), axis=1)


@OPERATIONS.add
def flipud(x: Any) -> Any:
    return ops.flip(at_least(1, x, "flipud"), axis=0)


@OPERATIONS.add
def rot90(array: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    array = at_least(2, array, "rot90")
    rank = len(array.shape)
    if len(axes) != 2:
        raise ValueError(f"ops.rot90: axes must be two, not {axes}")
    first, second = axes_of(tuple(axes), rank, "rot90")
    if k % 4 == 1:
        return ops.swapaxes(ops.flip(array, axis=second), first, second)
    if k % 4 == 3:
        return ops.flip(ops.swapaxes(array, first, second), axis=second)
    return ops.flip(ops.flip(array, axis=first), axis=second) if k % 4 else array


@OPERATIONS.add
def dstack(xs: Any) -> Any:
    deep = []
    for x in map(as_tensor, xs):
        x = x if len(x.shape) > 1 else ops.reshape(x, (1, -1))
        deep.append(x if len(x.shape) > 2 else ops.expand_dims(x, axis=2))
    return ops.concatenate(deep, axis=2)


@OPERATIONS.add
@symbolically
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    if not isinstance(indices_or_sections, int):
        raise TypeError(f"array_split: indices_or_sections must be an int, not {indices_or_sections!r}")
    if indices_or_sections < 1:
        raise ValueError(f"array_split: indices_or_sections must be positive, not {indices_or_sections}")
    x = as_tensor(x)
    rank = len(x.shape)
    axis = axis_of(axis, rank, "array_split")
    size = ops.shape(x)[axis]
    fewer = min if isinstance(size, int) else ops.minimum  # TensorFlow may not know the size yet
    cuts = [
        number * (size // indices_or_sections) + fewer(number, size % indices_or_sections)
        for number in range(indices_or_sections + 1)
    ]
    return _parts(x, cuts, axis)


def _parts(x: Any, cuts: list[Any], axis: int) -> list[Any]:
    """What lies between each two cuts."""
    before = (slice(None),) * axis
    parts = [(*before, slice(start, stop)) for start, stop in zip(cuts, cuts[1:])]
    split: Any = symbolically(lambda x: [x[part] for part in parts])
    return list(split(x))


def _split(name: str, rank: int, x: Any, indices_or_sections: Any, axis: int) -> Any:
    x = at_least(rank, x, name)
    if not isinstance(indices_or_sections, int):
        return _parts(x, [0, *map(int, indices_or_sections), None], axis)
    size = x.shape[axis]
    if indices_or_sections < 1 or (size is not None and size % indices_or_sections):
        raise ValueError(f"{name}: axis {axis} of size {size} can't be split in {indices_or_sections} equal parts")
    return list(ops.split(x, indices_or_sections, axis=axis))


@OPERATIONS.add
def vsplit(x: Any, indices_or_sections: Any) -> Any:
    return _split("vsplit", 2, x, indices_or_sections, 0)


@OPERATIONS.add
def hsplit(x: Any, indices_or_sections: Any) -> Any:
    x = as_tensor(x)
    return _split("hsplit", 1, x, indices_or_sections, min(len(x.shape) - 1, 1))


@OPERATIONS.add
def dsplit(x: Any, indices_or_sections: Any) -> Any:
    return _split("dsplit", 3, x, indices_or_sections, 2)


@OPERATIONS.add
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    conditions, choices = [*map(as_tensor, condlist)], [*choicelist, default]
    if not conditions or len(conditions) != len(choices) - 1:
        raise ValueError(f"select: {len(conditions)} conditions for {len(choices) - 1} choices")
    if any(dtype_name(condition) != "bool" for condition in conditions):
        raise TypeError(f"select: the conditions must be bools, not {[*map(dtype_name, conditions)]}")
    weak = {bool: "bool", int: "int", float: "float"}
    choices = [choice if type(choice) in weak else as_tensor(choice) for choice in choices]
    dtype = result_type(*(weak.get(type(choice)) or dtype_name(choice) for choice in choices), floatx=floatx())
    *choices, result = [ops.cast(choice, dtype) for choice in choices]
    for condition, choice in reversed([*zip(conditions, choices)]):
        result = ops.where(condition, choice, result)
    return result


@OPERATIONS.add
def unravel_index(indices: Any, shape: Any) -> Any:
    indices = as_tensor(indices)
    dtype = dtype_name(indices)
    if "int" not in dtype:
        raise TypeError(f"unravel_index: indices must be of an integer dtype, not {dtype}")
    if dtype == "int64" and backend() != "tensorflow":
        dtype = "int32"  # as Keras does there
    rest = indices if dtype == "int64" else ops.cast(indices, "int32")
    found = []
    for size in reversed([shape] if isinstance(shape, int) else [*shape]):
        found.append(ops.cast(ops.mod(rest, size), dtype))
        rest = ops.floor_divide(rest, size)
    return tuple(reversed(found))
