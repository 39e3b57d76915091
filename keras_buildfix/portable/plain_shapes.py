"""Makes shapes plain tuples, so that ``build`` gets the same kind of shape on every Keras."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import brings, is_users
from keras_buildfix._keras.function_code import WRAPS
from keras_buildfix._keras.graphs import outside_scratch_graphs
from keras_buildfix._running_call import run_as
from keras_buildfix._structures import map_structure
from keras_buildfix.precision.wrapping import home_of

#: An attribute of methods that get plain shapes already.
_TAKES_PLAIN = "_keras_buildfix_plain_shapes"


if TYPE_CHECKING:
    _Tuple = tuple[Any, ...]
else:
    _Tuple = tuple  # with `tuple[...]` as its base a class can't be pickled on Python 3.9


class Shape(_Tuple):
    """A shape: a tuple of ints and None that also has the methods that code for ``tf.TensorShape`` calls.

    On every Keras, ``build(self, input_shape: Shape)`` of a ``PortableLayerMixin`` gets one. It compares, hashes,
    pickles and goes into configs like the tuple that it is. Slices and sums of it are shapes too.

    Examples:
        >>> from keras_buildfix import Shape
        >>> shape = Shape((None, 3))
        >>> shape == (None, 3), shape.as_list(), shape[1:].as_list(), shape.rank
        (True, [None, 3], [3], 2)

    Source: 50 of 83 surveyed libraries call ``.as_list()`` on shapes. Keras 2 passes ``TensorShape``, Keras 3 tuples.
    """

    __slots__ = ()

    def as_list(self) -> list[int | None]:
        """The sizes as a list."""
        return list(self)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self)

    ndims = rank

    def is_fully_defined(self) -> bool:
        """Whether every size is known."""
        return None not in self

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return Shape(found) if isinstance(key, slice) else found

    def __add__(self, other: Any) -> Any:
        return Shape((*self, *other)) if isinstance(other, (tuple, list)) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return Shape((*other, *self)) if isinstance(other, (tuple, list)) else NotImplemented


def plain_shapes(shapes: Any) -> Any:
    """Makes each shape a ``Shape`` and keeps the lists, tuples and dicts around them.

    Args:
        shapes: A ``TensorShape``, a tuple or list of sizes, or lists, tuples and dicts of those. None stays None.

    Returns:
        The same structure. A ``TensorShape`` of unknown rank is None.

    Examples:
        >>> from keras_buildfix.portable.plain_shapes import plain_shapes
        >>> plain_shapes({"a": [None, 3], "b": [(2, 4), [None]]})
        {'a': (None, 3), 'b': [(2, 4), (None,)]}
    """
    return map_structure(_plain_shape, shapes, _is_shape)


def _is_shape(value: Any) -> bool:
    return not isinstance(value, dict) and all(_is_size(size) for size in value)


def _plain_shape(shape: Any) -> Any:
    if hasattr(shape, "as_list") and not isinstance(shape, Shape):  # TensorShape
        return None if shape.rank is None else Shape(shape.as_list())
    if isinstance(shape, (tuple, list)):
        return Shape(size if size is None else int(size) for size in shape)
    return shape


def give_plain_shapes(cls: type, names: Iterable[str] = ("build", "compute_output_shape")) -> None:
    """Makes a class's methods of these names, if a user wrote them, get plain shapes on every Keras."""
    for name in names:
        owner = next((base for base in cls.__mro__ if brings(base, name)), None)
        method = getattr(cls, name, None)
        if owner is None or not is_users(owner) or not inspect.isfunction(method):
            continue
        if vars(method).get(_TAKES_PLAIN) is not method:
            build = name == "build"
            run = method if owner is cls else passed_on(cls, name, method)
            setattr(cls, name, _with_plain_shapes(run, eagerly=build, wrapped_again=build and wraps_build(cls)))


def passed_on(cls: type, name: str, inherited: Callable[..., Any]) -> Callable[..., Any]:
    """A method for a class without one: it calls the next class's, which may be another one in a subclass."""

    @functools.wraps(inherited)
    def passed_on(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(super(cls, self), name)(*args, **kwargs)

    return passed_on


def _with_plain_shapes(method: Callable[..., Any], *, eagerly: bool, wrapped_again: bool) -> Callable[..., Any]:
    @functools.wraps(method)
    def with_plain_shapes(self: Any, *args: Any, **kwargs: Any) -> Any:
        plain = [plain_shapes(shape) for shape in args]
        named = {name: plain_shapes(shape) for name, shape in kwargs.items()}
        if not eagerly:
            return method(self, *plain, **named)
        with outside_scratch_graphs(self):
            # The call of another layer may be what builds this one: its compute dtype must not count here.
            return run_as((home_of(type(self)).package, None, None, None), method, self, *plain, **named)

    # Keras 3 wraps `build` once more for each layer. Python before 3.11 then takes the signature of the innermost
    # function, with `self`, so this function itself must have the arguments.
    found = _with_arguments_of(method, with_plain_shapes) if wrapped_again else with_plain_shapes
    setattr(found, WRAPS, method)
    setattr(found, _TAKES_PLAIN, found)  # not True: `functools.wraps` would copy that to functions that wrap this one
    return found


def _with_arguments_of(method: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function that calls another one and itself has the arguments of a method."""
    values: dict[str, Any] = {"_function": function}
    head, handed = [], []
    bare = False
    parameters = list(inspect.signature(method).parameters.values())
    for at, parameter in enumerate(parameters):
        name, kind = parameter.name, parameter.kind
        if kind is parameter.KEYWORD_ONLY and not bare:
            head.append("*")
        bare = bare or kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        stars = "*" if kind is parameter.VAR_POSITIONAL else "**" if kind is parameter.VAR_KEYWORD else ""
        if parameter.default is not parameter.empty:
            values[f"_default_{at}"] = parameter.default
        head.append(stars + name + (f"=_default_{at}" if f"_default_{at}" in values else ""))
        handed.append(f"{name}={name}" if kind is parameter.KEYWORD_ONLY else stars + name)
        after = parameters[at + 1].kind if at + 1 < len(parameters) else None
        if kind is parameter.POSITIONAL_ONLY and after is not parameter.POSITIONAL_ONLY:
            head.append("/")
    exec(f"def build({', '.join(head)}):\n    return _function({', '.join(handed)})", values)
    found: Callable[..., Any] = functools.wraps(method)(values["build"])
    del found.__wrapped__  # type: ignore[attr-defined]
    vars(found).pop("__signature__", None)  # it has `self`, and Keras would copy it
    return found


def _is_size(size: Any) -> bool:
    return size is None or (hasattr(size, "__index__") and not isinstance(size, bool))
