"""Translates the arguments of ``add_weight`` of any Keras, in either order, into those of the installed one."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

from keras_buildfix._arrays import dtype_name
from keras_buildfix._keras.autocasting import never_autocast
from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import describe_layer, keras_of, layer_base
from keras_buildfix._keras.info import keras_info
from keras_buildfix.portable.plain_shapes import plain_shapes

#: The order of the arguments of ``add_weight`` on Keras 2 (2.12 to tf_keras 2.21).
_NAME_FIRST = (
    *("name", "shape", "dtype", "initializer", "regularizer", "trainable", "constraint"),
    *("use_resource", "synchronization", "aggregation"),
)
#: The orders of Keras 3.0 and 3.1, and of 3.2 to 3.12, where the fifth is a bool. Since 3.13 only three go by position.
_SHAPE_FIRST = ("shape", "initializer", "dtype", "trainable", "regularizer", "constraint", "name")
_SHAPE_FIRST_AUTOCAST = (
    *("shape", "initializer", "dtype", "trainable", "autocast", "regularizer", "constraint"),
    *("aggregation", "overwrite_with_gradient", "name"),
)
#: The order of the arguments of ``add_variable``, from 3.2 on.
_OF_ADD_VARIABLE = (*_SHAPE_FIRST_AUTOCAST[:7], "name")
_EVERYWHERE = ("name", "shape", "dtype", "initializer", "regularizer", "trainable", "constraint")
#: Keywords that only Keras 2 or 3 has, with the values that change nothing (as text in lower case): those are dropped.
_ASKS_NOTHING: dict[str, tuple[str, ...]] = {
    "use_resource": ("none", "true"),
    "synchronization": ("none", "auto"),
    "aggregation": ("none",),
    "overwrite_with_gradient": ("none", "false"),
    "collections": ("none",),
    "partitioner": ("none",),
    "caching_device": ("none",),
    "getter": ("none",),
    "layout": ("none",),
    "experimental_enable_variable_lifting": ("none", "true"),
}
#: Keras 3's names of aggregations, some of which TensorFlow has too.
_AGGREGATIONS = ("auto", "none", "mean", "sum", "only_first_replica")
_ENUMS = ("aggregation", "synchronization")
_KEYWORDS = frozenset({*_EVERYWHERE, *_ASKS_NOTHING, "autocast", "experimental_autocast"})
_OF_KERAS_2 = frozenset(_ASKS_NOTHING) - {"overwrite_with_gradient", "partitioner"}  # Keras 2 ignores `partitioner`


def add_weight(layer: Any, add: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Makes a weight of a layer by Keras's own ``add_weight``, from arguments in the form of any Keras version.

    Args:
        layer: The layer.
        add: The ``add_weight`` that the mixin replaces, bound to the layer.
        args: If the first is a string (or None before a shape): ``name, shape, dtype, initializer, ...`` as on
            Keras 2. Else: ``shape, initializer, dtype, trainable, ...`` as on Keras 3. The eighth of those is the
            name in ``add_variable`` and the aggregation in ``add_weight``; the value decides which it is.
        kwargs: Keywords of any Keras.

    Returns:
        The weight.

    Raises:
        TypeError: For an unknown keyword, too many positional arguments, or one value given twice.
        ValueError: For a keyword that this Keras can't honour.

    Source: the signatures of ``add_weight``, measured on 2.12 to nightly.
    """
    given = _as_keywords(layer, args, kwargs)
    by_position = _positional_order(args)[: len(args)]
    _check_places(layer, given, by_position, _CHECKED_FIRST)
    try:
        return _add(layer, add, dict(given))
    except (TypeError, ValueError) as error:
        _check_places(layer, given, by_position, _CHECKS, error)
        raise


def _add(layer: Any, add: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Makes a weight from arguments that all have names."""
    generation = 3 if wraps_build(type(layer)) else 2
    autocast = given.pop("autocast", True)
    ours = _common(layer, given, generation)
    known = inspect.signature(layer_base(type(layer)).add_weight).parameters  # type: ignore[union-attr]
    for keyword, value in given.items():
        if keyword in _EVERYWHERE:
            continue
        if generation == 2 and keyword in _OF_KERAS_2:
            if not (keyword in ("getter", "layout", "caching_device") and value is None):
                ours[keyword] = _of_tensorflow(keyword, value) if keyword in _ENUMS else value
        elif generation == 3 and keyword in known and keyword == "aggregation":
            if _said(value) != "none":  # 3.2 to 3.6 refuse "none"
                ours[keyword] = _said(value)
        elif generation == 3 and keyword in known:
            ours[keyword] = value
        elif _said(value) not in _ASKS_NOTHING[keyword]:
            _refuse(layer, given, keyword, value)
    uncast = not (autocast is None or autocast)
    if uncast and generation == 2:
        ours["experimental_autocast"] = False
    elif uncast and "autocast" in known:
        ours["autocast"] = False
    variable = add(**ours)
    if uncast and generation == 3 and "autocast" not in known:
        never_autocast(variable)
    return variable


def where(layer: Any, given: dict[str, Any]) -> str:
    """Names the weight and its layer, for an error message."""
    name = given.get("name")
    weight = f"the weight {name!r}" if name is not None else "a weight without a name"
    return f"{weight} of the layer {getattr(layer, 'name', '')!r} ({type(layer).__name__})"


def can_hold(layer: Any, raw: Any) -> bool:
    """Whether the layer's Keras can have a weight with the shape and dtype of a backend's own variable.

    No Keras 3 can have one of unknown sizes; 3.0 to 3.3 can't have one of complex numbers.
    """
    if not wraps_build(type(layer)):
        return True
    if not getattr(raw.shape, "is_fully_defined", lambda: True)():
        return False
    try:
        keras_of(type(layer)).backend.standardize_dtype(dtype_name(raw.dtype))
    except ValueError:
        return False
    return True


def plain_initializer(layer: Any, value: Any) -> Callable[..., Any]:
    """An initializer that returns an array or tensor, or the result of a user's function, in the asked dtype."""
    function = value if callable(value) else None
    takes_dtype = function is None or _takes_dtype(function)

    def initializer(shape: Any, dtype: Any = None, **_: Any) -> Any:
        name = dtype if isinstance(dtype, str) or dtype is None else str(getattr(dtype, "name", dtype))
        made = value
        if function is not None:
            sizes = tuple(shape)
            made = function(sizes, dtype=name) if takes_dtype else function(sizes)
        return _tensor(layer, made, name)

    return initializer


def _as_keywords(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments by name; the first positional one decides which order they have."""
    order = _positional_order(args)
    given = dict(kwargs)
    if len(args) > len(order):
        raise TypeError(
            f"add_weight() of {describe_layer(layer)} takes at most {len(order)} positional "
            f"arguments in this order ({', '.join(order)}); got {len(args)}. Pass them by keyword."
        )
    for name, value in zip(order, args):
        if name in given:
            raise TypeError(
                f"{where(layer, given)} got `{name}` twice: {value!r} by position, as in "
                f"add_weight({', '.join(order[: len(args)])}), and {given[name]!r} by keyword. Leave one out."
            )
        given[name] = value
    for keyword in given:
        if keyword not in _KEYWORDS:
            raise TypeError(
                f"add_weight() got the keyword {keyword!r} for {where(layer, given)}, which no Keras knows "
                f"(here: {keras_info(layer)}). It takes: {', '.join(sorted(_KEYWORDS))}."
            )
    if "experimental_autocast" in given:
        older = given.pop("experimental_autocast")
        if "autocast" in given and bool(given["autocast"]) != bool(older):
            raise TypeError(
                f"{where(layer, given)} got autocast={given['autocast']!r} and experimental_autocast={older!r}, "
                "which are the same option (Keras 3's name and Keras 2's). Leave one out."
            )
        given["autocast"] = older
    return given


def _positional_order(args: tuple[Any, ...]) -> tuple[str, ...]:
    if args and (isinstance(args[0], str) or (args[0] is None and len(args) > 1 and _is_shape(args[1]))):
        return _NAME_FIRST
    if len(args) > 4 and isinstance(args[4], bool):
        named = len(args) == 8 and isinstance(args[7], str) and args[7].lower() not in _AGGREGATIONS
        return _OF_ADD_VARIABLE if named else _SHAPE_FIRST_AUTOCAST
    return _SHAPE_FIRST


def _check_places(
    layer: Any, given: dict[str, Any], by_position: tuple[str, ...], checked: Iterable[str], cause: Any = None
) -> None:
    """Raises a TypeError for a value that its argument can't have. Most often, the arguments are in another order."""
    for keyword in checked:
        value = given.get(keyword)
        if value is None or _CHECKS[keyword](layer, value):
            continue
        place, way_out = "", "Give another one, or leave it out."
        if keyword in by_position:
            place = f", by its place in add_weight({', '.join(by_position)})"
            meant = [other for other in ("shape", "dtype", "initializer", "trainable") if _CHECKS[other](layer, value)]
            meant = [*meant[:1], *["name"] * isinstance(value, str)]
            way_out = "Pass the arguments by keyword"
            way_out += f", as in {' or '.join(f'{other}={value!r:.60}' for other in meant)}." if meant else "."
        raise TypeError(
            f"{where(layer, given)} got {keyword}={value!r:.60}{place}, "
            f"which {keras_info(layer)} can't use as `{keyword}`. {way_out}"
        ) from cause


def _is_trainable(layer: Any, value: Any) -> bool:
    return isinstance(value, int) or "bool" in type(value).__name__


def _is_dtype(layer: Any, value: Any) -> bool:
    try:
        name = dtype_name(value)
        if wraps_build(type(layer)):
            keras_of(type(layer)).backend.standardize_dtype(name)
        else:
            sys.modules["tensorflow"].as_dtype(name)
    except (TypeError, ValueError, AttributeError):
        return False
    return True


def _is_initializer(layer: Any, value: Any) -> bool:
    if not isinstance(value, str):
        return not isinstance(value, (bool, int, float, tuple, list))
    try:
        return keras_of(type(layer)).initializers.get(value) is not None
    except (TypeError, ValueError):
        return False


def _is_not_bool(layer: Any, value: Any) -> bool:
    return not isinstance(value, bool)


def _is_shape(thing: Any) -> bool:
    return isinstance(thing, (tuple, list)) or hasattr(thing, "as_list") or hasattr(thing, "__index__")


#: The name of an argument -> a check of its value.
_CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "shape": lambda layer, value: _is_shape(value) and not isinstance(value, bool),
    "dtype": _is_dtype,
    "initializer": _is_initializer,
    "trainable": _is_trainable,
    "regularizer": _is_not_bool,
    "constraint": _is_not_bool,
}
#: The arguments to check before Keras is called, because Keras takes any value for them. The others are checked only
#: after an error: Keras notices wrong ones, and checking an initializer uses up one of Python's random numbers.
_CHECKED_FIRST = ("shape", "trainable", "regularizer", "constraint")


def _common(layer: Any, given: dict[str, Any], generation: int) -> dict[str, Any]:
    """The arguments that every Keras has, in the form that this one takes."""
    ours = {keyword: given[keyword] for keyword in _EVERYWHERE if given.get(keyword) is not None}
    name = ours.get("name")
    if generation == 3 and isinstance(name, str) and "/" in name:
        raise ValueError(
            f"{where(layer, given)} has a '/' in its name, which {keras_info(layer)} does not allow (Keras 2 does). "
            f"Call it {name.replace('/', '_')!r}."
        )
    if "initializer" in ours and _is_array(ours["initializer"]):
        array = ours["initializer"]
        shape = tuple(array.shape)
        if "shape" in ours and _sizes(ours["shape"]) != shape:
            raise ValueError(
                f"{where(layer, given)} has the shape {_sizes(ours['shape'])}, but its initializer is an array "
                f"of the shape {shape}."
            )
        ours["shape"] = shape
        ours["initializer"] = plain_initializer(layer, array)
    elif "initializer" in ours and inspect.isroutine(ours["initializer"]):
        ours["initializer"] = plain_initializer(layer, ours["initializer"])
    ours["shape"] = _sizes(ours.get("shape", ()))
    if "dtype" in ours:
        ours["dtype"] = dtype_name(ours["dtype"])
    for keyword in ("regularizer", "constraint"):
        if generation == 3 and inspect.isroutine(ours.get(keyword)):
            ours[keyword] = as_instance(layer, keyword, ours[keyword])
    return ours


def _sizes(shape: Any) -> Any:
    if hasattr(shape, "__index__"):
        return (int(shape),)
    plain = plain_shapes(shape)
    return tuple(plain) if isinstance(plain, tuple) else plain


def _is_array(thing: Any) -> bool:
    return not isinstance(thing, type) and not callable(thing) and hasattr(thing, "shape") and hasattr(thing, "dtype")


def _takes_dtype(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function in C has no signature
        return True
    return any(each.name == "dtype" or each.kind is each.VAR_KEYWORD for each in parameters)


def _tensor(layer: Any, value: Any, dtype: str | None) -> Any:
    ops = getattr(keras_of(type(layer)), "ops", None) if wraps_build(type(layer)) else None
    if ops is not None:
        return ops.convert_to_tensor(value, dtype=dtype)
    tensorflow: Any = sys.modules["tensorflow"]
    tensor = tensorflow.convert_to_tensor(value)
    return tensor if dtype is None else tensorflow.cast(tensor, dtype)


def as_instance(layer: Any, keyword: str, function: Callable[..., Any]) -> Any:
    """Wraps a plain function as a regularizer or constraint: 3.1 to 3.14 take only instances."""
    keras = keras_of(type(layer))
    base = keras.regularizers.Regularizer if keyword == "regularizer" else keras.constraints.Constraint
    return type("Function", (base,), {"__call__": lambda self, value: function(value)})()


def _said(value: Any) -> str:
    """A value as text in lower case; a TensorFlow enum as its name."""
    return str(getattr(value, "name", value)).lower()


def _of_tensorflow(keyword: str, value: Any) -> Any:
    """TensorFlow's enum for an aggregation or synchronization that has Keras 3's name."""
    enum = "VariableAggregation" if keyword == "aggregation" else "VariableSynchronization"
    if value is None or isinstance(value, str):
        default = "NONE" if keyword == "aggregation" else "AUTO"
        return getattr(getattr(sys.modules["tensorflow"], enum), default if value is None else value.upper(), value)
    return value


def _refuse(layer: Any, given: dict[str, Any], keyword: str, value: Any) -> None:
    raise ValueError(
        f"{where(layer, given)} got {keyword}={value!r}, which {keras_info(layer)} can't honour; "
        f"leave `{keyword}` out (its default changes nothing), or use a Keras version that has it."
    )
