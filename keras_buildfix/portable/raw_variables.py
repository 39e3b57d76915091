"""Makes Keras weights of the TensorFlow and torch variables that a portable layer holds, and of ``raw_weight``s."""

from __future__ import annotations

import inspect
import re
import sys
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from keras_buildfix._arrays import dtype_name
from keras_buildfix._keras.built import is_locked, unlocked, wraps_build
from keras_buildfix._keras.classes import belongs_to_keras, describe, describe_layer, layer_base
from keras_buildfix._keras.info import keras_info
from keras_buildfix._keras.tracking import (
    TRACKER,
    attributes,
    has_another_owner,
    keep_out,
    state_in_attributes,
    tracking_attributes,
    untrack,
)
from keras_buildfix._keras.variables import share_storage
from keras_buildfix._keras.weight_classes import add_in_own_dtype, answer_as
from keras_buildfix.layer_tree.tree import PLACE_NAME
from keras_buildfix.portable.adding_weights import as_instance, can_hold, plain_initializer

#: An attribute of a backend's variable: the Keras weights that stand for it, by the ``Layer`` class of their Keras.
_STANDS_FOR = "_keras_buildfix_weights"
#: An attribute of a layer of Keras 3: the modules that it holds, by the attribute through which Keras tracks each one.
_MODULES = "_keras_buildfix_modules"
#: Values of these types hold no variable. Most attributes are of these, so we check them first.
_PLAIN = (str, int, float, bool, bytes, type(None), type)


class MarkedWeight:
    """An array that becomes a weight when it is set on a ``PortableLayerMixin`` layer; see ``raw_weight``."""

    def __init__(self, value: Any, name: str | None, trainable: bool, dtype: str | None) -> None:
        self.value, self.name, self.trainable, self.dtype = value, name, trainable, dtype
        self.weights: dict[type, Any] = {}

    def __repr__(self) -> str:
        value = self.value
        return f"raw_weight(array of {value.dtype}{list(value.shape)}, name={self.name!r})"

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(self.no_weight())

    def no_weight(self) -> str:
        """The text of an error: what the mark is, and what to do."""
        return (
            f"{self!r} is not a weight yet: it becomes one when you set it as an attribute of a layer that has "
            "PortableLayerMixin. List keras_buildfix.PortableLayerMixin first among the bases of the layer's class, "
            "and use the attribute, not what raw_weight() returned."
        )

    def __getattr__(self, name: str) -> Any:
        """Raises an error that explains the mark when code asks for ``shape``, ``assign`` and the like."""
        hidden = name.startswith("_") or name == "value"  # Keras asks for these, and `copy` before there is a value
        raise AttributeError(
            f"MarkedWeight has no attribute {name!r}" if hidden else f"No attribute {name!r}: {self.no_weight()}"
        )

    __array__ = __array_ufunc__ = __array_function__ = __jax_array__ = __tf_tensor__ = __torch_function__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = _refuse
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _refuse
    __neg__ = __abs__ = __float__ = __int__ = __getitem__ = __len__ = __iter__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse


def marks_left(layer: Any) -> dict[str, MarkedWeight]:
    """The marks that a layer without the mixin holds, by their place: they did not become weights."""
    found: dict[str, MarkedWeight] = {}
    seen: set[int] = set()

    def look(place: str, value: Any) -> None:
        if isinstance(value, MarkedWeight):
            found[place] = value
        elif isinstance(value, (list, tuple, dict)) and id(value) not in seen:
            seen.add(id(value))
            for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
                look(f"{place}_{key}", item)

    for name, value in _attributes(layer).items():
        look(_tidy(name), value)
    return found


def raw_weight(value: Any, name: str | None = None, trainable: bool | None = None, dtype: Any = None) -> Any:
    """Marks an array as a weight: kept as an attribute of a portable layer, it is tracked, trained and saved.

    It works on every Keras and backend. On TensorFlow you can also use a plain ``tf.Variable``, on torch a
    ``torch.nn.Parameter``. The attribute (or the item of a list, tuple or dict, nested or not) then holds a
    Keras weight, as ``add_weight`` makes it.

    Args:
        value: The initial value: a number, array or tensor of any backend, of any shape. It is copied.
        name: The weight's name; by default the attribute's name, with key or index: ``scales_0``.
        trainable: Whether it is trained. The default is True for floating dtypes.
        dtype: A dtype of any backend or its name; the default for floating values is the layer's variable
            dtype. Other values can't be trained as they are: give this, or give ``trainable=False``, and
            they keep their dtype (``int32`` for Python's ints).

    Returns:
        A mark. Set it as an attribute of a layer; it has no other use. A mark that is set twice, even on two
        layers, becomes one weight.

    Raises:
        TypeError: If `value` is not an array of numbers or bools; if it has ints, bools or complex numbers and
            neither `dtype` nor ``trainable=False`` says what is meant; if it can't be trained in this `dtype`.
        ValueError: If `dtype` can't hold the value: -1 in ``uint8``, 1.5 in ``int32``, 1j in ``float32``.

    Examples:
        >>> import keras
        >>> from keras_buildfix import PortableLayerMixin, raw_weight
        >>> class Scale(PortableLayerMixin, keras.layers.Layer):
        ...     def build(self, input_shape):
        ...         self.scale = raw_weight([1.0] * input_shape[-1], name="scale")
        ...     def call(self, x):
        ...         return x * self.scale
        >>> layer = Scale()
        >>> layer.build((None, 3))
        >>> [tuple(w.shape) for w in layer.trainable_weights]
        [(3,)]

    Source: a ``tf.Variable`` attribute is a weight on Keras 2; plain Keras 3 silently never trains it (measured
    on 2.12 to nightly). An array attribute is a weight on no Keras.
    """
    import numpy as np

    try:
        if hasattr(value, "detach"):  # a torch tensor; numpy has no dtype for its bfloat16
            value = value.detach().cpu()
            value = value.float() if "bfloat16" in str(value.dtype) else value
        array = np.array(value.numpy() if hasattr(value, "numpy") else value)
    except Exception as error:
        raise TypeError(f"raw_weight() expects an array of numbers; got {describe(value)}.") from error
    if array.dtype.kind not in "fiubc" and not _is_floating(str(array.dtype)):  # numpy has no kind for bfloat16
        raise TypeError(f"raw_weight() expects an array of numbers; got {describe(value)}.")
    if array.dtype == np.int64 and not hasattr(value, "dtype") and not _changes(array, "int32"):
        array = array.astype("int32")  # Keras makes int32 of Python's ints; JAX has no int64 by default
    wanted = None if dtype is None else dtype_name(dtype)
    if not _is_floating(wanted or str(array.dtype)):
        if trainable or (trainable is None and wanted is None):
            raise TypeError(_not_to_be_trained(value, name, array, wanted))
        trainable = False
    if wanted is not None and _changes(array, wanted):
        raise ValueError(
            f"raw_weight() got {value!r:.60}{_called(name)}, which {wanted} can't hold as it is. Convert it yourself, "
            "or give another `dtype`."
        )
    return MarkedWeight(array, name, trainable is not False, wanted)


def kept(layer: Any, attribute: str, value: Any) -> Any:
    """Returns what a layer keeps as the attribute: `value` with Keras weights in place of raw variables and marks.

    Args:
        layer: The layer. Its constructor may still be running.
        attribute: The name of the attribute.
        value: Anything. Lists, tuples and dicts are searched.

    Returns:
        The value itself if there is nothing to replace; else a copy of its structure. A ``tf.Module`` stays as it
        is; a second attribute holds what Keras must track of it.

    Raises:
        TypeError: For a variable of a backend other than the layer's.
        ValueError: If the layer takes no new weights any more, or its Keras can't hold such a weight.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (list, tuple, dict)):
        return _structure(layer, attribute, value)
    if _is_module(value):
        _track_module(layer, attribute, value)
        return value
    return _one(layer, attribute, value)


def keep_what_was_added(layer: Any) -> None:
    """Makes weights of variables and marks that a layer's lists, dicts and modules got after they were set.

    It runs when the layer is marked as built.
    """
    # Since 3.15 each call marks the layer as built, also a locked layer: only this can then track new variables.
    track_again(layer)
    changed: dict[int, Any] = {}  # two attributes that hold the same list must hold the same new one
    for name, value in list(_attributes(layer).items()):
        if isinstance(value, (list, dict)) and type(value) not in (list, dict, OrderedDict):  # Keras's own types
            if id(value) not in changed:
                changed[id(value)] = value, _structure(layer, name, value)
            before, after = changed[id(value)]
            if after is not before:
                with tracking_attributes(layer):
                    setattr(layer, name, after)
                changed[id(value)] = before, getattr(layer, name)  # as Keras stored it
        elif isinstance(value, tuple) or _is_module(value):
            kept(layer, name, value)
    if not wraps_build(type(layer)):  # Keras 2 may have found the raw ones in the list before
        keep_out(layer, _stands_for_itself)


def track_again(layer: Any) -> None:
    """Updates what is tracked of the layer's modules, which may make variables later, as in their first call.

    Keras 3 then tracks new variables and forgets those that a module no longer has, as Keras 2 does by itself.
    """
    if _MODULES not in vars(layer):
        return
    held = [found for name, value in _attributes(layer).items() for found in _modules_in(name, value)]
    with unlocked(layer):
        for attribute, module in held:
            _track_module(layer, attribute, module)


def release(layer: Any, before: Any) -> None:
    """Makes an unbuilt layer forget the weights that an attribute held before it got a new value.

    Keras 2 does so by itself. Weights made by ``add_weight`` stay, as they do on every Keras 3.
    """
    if before is None or isinstance(before, _PLAIN) or not hasattr(layer, TRACKER):
        return
    if layer.built or is_locked(layer):
        return
    held = {id(each) for each in state_in_attributes(layer)}
    gone = [each for each in _flat(before) if hasattr(each, _STANDS_FOR) and id(each) not in held]
    untrack(layer, gone)
    _release_modules(layer)


def leave_as_it_is(layer: Any, variable: Any) -> None:
    """Keeps a weight that ``add_weight`` made as it is: no other weight will stand for it.

    On Keras 3 it also makes the weight add in its own dtype.
    """
    if wraps_build(type(layer)):
        add_in_own_dtype(layer, variable)
    elif hasattr(variable, "__dict__"):
        vars(variable)[_STANDS_FOR] = {layer_base(type(layer)): variable}


def refuse_when_locked(layer: Any, value: Any) -> None:
    """Raises if a raw variable or mark is put into a list or dict of a layer that takes no new weights."""
    if isinstance(value, MarkedWeight) or (_raw_kind(value) and can_hold(layer, value)):
        raise ValueError(_locked(layer, "a list or dict", value))
    if _is_module(value):
        if not any(value is known for known in vars(layer).get(_MODULES, {}).values()) and _in_module(value):
            raise ValueError(_locked(layer, "a list or dict", value))
        vars(layer).setdefault(_MODULES, {})  # so that what the module makes later is tracked


def _structure(layer: Any, name: str, value: Any) -> Any:
    """A list, tuple or dict of what ``kept`` returns for each item; the same object if no item is replaced."""
    if isinstance(value, dict):
        items = {key: kept(layer, f"{name}_{key}", item) for key, item in value.items()}
        if all(item is value[key] for key, item in items.items()):
            return value
        return OrderedDict(items) if isinstance(value, OrderedDict) else items
    inner = [kept(layer, f"{name}_{at}", item) for at, item in enumerate(value)]
    if all(item is before for item, before in zip(inner, value)):
        return value
    if isinstance(value, tuple):
        return type(value)(*inner) if hasattr(value, "_fields") else tuple(inner)
    return inner


def _one(layer: Any, attribute: str, value: Any) -> Any:
    """The Keras weight for a raw variable or a mark; any other value unchanged."""
    base: Any = layer_base(type(layer))
    if isinstance(value, MarkedWeight):
        if base not in value.weights:
            value.weights[base] = _marked(layer, attribute, value)
        return value.weights[base]
    kind = _raw_kind(value)
    if not kind:
        return value
    if kind != keras_info(base).backend:
        what = "tf.Variable" if kind == "tensorflow" else "torch.nn.Parameter"
        raise TypeError(
            f"The attribute {attribute!r} of {describe_layer(layer)} is a {what}, which {keras_info(base)} can't "
            f"train. Use `raw_weight(array)` of keras_buildfix, which works on every backend, or `add_weight`."
        )
    stands_for = vars(value).setdefault(_STANDS_FOR, {})
    if base not in stands_for:
        if not wraps_build(base) and not _is_to_be_cast(layer, value):
            _name_by_place(value, attribute)
            return value  # Keras 2 tracks it as it is
        if not can_hold(layer, value):
            if value.trainable:
                raise ValueError(_no_weight(layer, attribute, value))
            return value  # plain Keras 3 leaves it alone too
        stands_for[base] = _adopted(layer, attribute, value)
    return stands_for[base]


def _is_module(value: Any) -> bool:
    """Whether a value is a ``tf.Module`` but not a layer (Keras 2's layers are modules too)."""
    module = getattr(sys.modules.get("tensorflow"), "Module", None)
    return module is not None and isinstance(value, module) and layer_base(type(value)) is None


def _track_module(layer: Any, attribute: str, module: Any) -> None:
    """Makes Keras 3 track the variables and layers in a module; Keras 2 does so by itself.

    They become items of a list in a second attribute, as if the user had put them there.
    """
    found = [(f"{attribute}_{place}", thing) for place, thing in _in_module(module)]
    beside = f"{attribute}_in_module"
    if wraps_build(layer_base(type(layer))):  # type: ignore[arg-type]
        tracked = [weight for place, thing in found if _is_keras_own(weight := _one(layer, place, thing))]
        before = list(vars(layer).get(beside, ()))
        if [id(each) for each in before] != [id(each) for each in tracked]:
            setattr(layer, beside, tracked)
            _forget(layer, before)
    else:
        in_layers = {id(each) for _, thing in found if _is_keras_own(thing) for each in thing.weights}
        for place, thing in found:
            if id(thing) not in in_layers:
                _name_by_place(thing, place)
    vars(layer).setdefault(_MODULES, {})[beside] = module


def _forget(layer: Any, gone: list[Any]) -> None:
    """Makes Keras 3 forget those of the `gone` weights and layers that no attribute holds."""
    held = {id(each) for each in state_in_attributes(layer)}
    untrack(layer, [each for each in gone if id(each) not in held])


def _modules_in(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The modules in an attribute's value, each with its place there."""
    if isinstance(value, (list, tuple, dict)):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield from _modules_in(f"{place}_{key}", item)
    elif _is_module(value):
        yield place, value


def _in_module(module: Any) -> list[tuple[str, Any]]:
    """The variables, Keras weights and layers in a module, also in modules inside it, in the module's order.

    Each one comes with its place as a name: ``inner_0_scale``.
    """
    found: dict[int, tuple[str, Any]] = {}
    seen: set[int] = set()

    def look(thing: Any, place: str) -> None:
        if isinstance(thing, _PLAIN) or id(thing) in seen:
            return
        seen.add(id(thing))
        if _raw_kind(thing) or _is_keras_own(thing):
            found[id(thing)] = place, thing
        elif isinstance(thing, dict) or _is_module(thing):
            for name, inner in list((thing if isinstance(thing, dict) else _attributes(thing)).items()):
                look(inner, f"{place}_{_tidy(str(name))}")
        elif isinstance(thing, (list, tuple)):
            for at, inner in enumerate(thing):
                look(inner, f"{place}_{at}")

    look(module, "")
    in_order = {id(variable): found.get(id(variable), ("_variable", variable)) for variable in module.variables}
    in_order.update((key, pair) for key, pair in found.items() if _is_keras_own(pair[1]))
    return [(place.strip("_"), thing) for place, thing in in_order.values()]


def _is_keras_own(thing: Any) -> bool:
    """Whether a thing is a layer or a Keras 3 weight."""
    is_weight = belongs_to_keras(type(thing)) and hasattr(thing, "assign") and hasattr(thing, "trainable")
    return is_weight or layer_base(type(thing)) is not None


def _attributes(thing: Any) -> dict[str, Any]:
    """A thing's attributes, without those in which TensorFlow and this package list what the others hold."""
    return {name: value for name, value in attributes(thing).items() if name != _MODULES}


def _release_modules(layer: Any) -> None:
    """Makes a layer forget what was in modules that no attribute holds any more."""
    known = vars(layer).get(_MODULES, {})
    if not known:
        return
    held = {id(each) for each in _flat(_attributes(layer))}
    for beside in [beside for beside, module in known.items() if id(module) not in held]:
        del known[beside]
        gone = list(vars(layer).get(beside, ()))
        if gone:
            delattr(layer, beside)
            _forget(layer, gone)


def _marked(layer: Any, attribute: str, mark: MarkedWeight) -> Any:
    own = str(mark.value.dtype)
    variable = _add(
        layer,
        attribute,
        mark,
        name=mark.name or _tidy(attribute),
        shape=tuple(mark.value.shape),
        dtype=mark.dtype or (None if _is_floating(own) else own),
        initializer=plain_initializer(layer, mark.value),
        trainable=mark.trainable,
    )
    if wraps_build(type(layer)):
        add_in_own_dtype(layer, variable)
    return variable


def _adopted(layer: Any, attribute: str, raw: Any) -> Any:
    """Makes the Keras weight that keeps its value in a raw variable."""
    dtype = dtype_name(raw.dtype)
    arguments: dict[str, Any] = {
        "name": _name_by_place(raw, attribute) or _plain_name(raw),
        "shape": () if getattr(raw.shape, "rank", 0) is None else tuple(raw.shape),
        "dtype": dtype,
        "trainable": bool(getattr(raw, "trainable", getattr(raw, "requires_grad", True))) and _is_floating(dtype),
    }
    if not wraps_build(type(layer)):
        return _add(layer, attribute, raw, getter=lambda **_: raw, **arguments)
    if getattr(raw, "constraint", None) is not None:
        constraint = raw.constraint
        plain = inspect.isroutine(constraint)
        arguments["constraint"] = as_instance(layer, "constraint", constraint) if plain else constraint
    initializer = (lambda shape, dtype=None: _value(raw)) if _can_be_read(raw) else "zeros"  # `raw` replaces it below
    variable = _add(layer, attribute, raw, initializer=initializer, **arguments)
    share_storage(layer, variable, raw)
    answer_as(layer, variable, raw)
    return variable


def _plain_name(raw: Any) -> str:
    return str(getattr(raw, "name", None) or "").partition(":")[0].rpartition("/")[2]


def _name_by_place(raw: Any, attribute: str) -> str:
    """The name of an unnamed variable: that of the first place that held it; "" for a variable with a name."""
    if not _raw_kind(raw) or not re.fullmatch(r"(Variable(_\d+)?)?", _plain_name(raw)):
        return ""
    return str(vars(raw).setdefault(PLACE_NAME, _tidy(attribute)))


def _is_floating(dtype: str) -> bool:
    return "float" in dtype


def _changes(array: Any, dtype: str) -> bool:
    """Whether a cast to ints or bools, or from complex to real, changes numbers; rounding of floats does not count."""
    import numpy as np

    if array.dtype.kind == "c" and "complex" not in dtype:
        return bool(np.any(array.imag)) or _changes(array.real, dtype)
    with np.errstate(invalid="ignore"):
        return ("int" in dtype or dtype == "bool") and not np.array_equal(array.astype(dtype), array)


def _called(name: str | None) -> str:
    return "" if name is None else f" for the weight {name!r}"


def _not_to_be_trained(value: Any, name: str | None, array: Any, wanted: str | None) -> str:
    """What to type for ``raw_weight([1, 2, 3])``, or ``raw_weight((3, 4))``, which may have meant a shape."""
    found = f"raw_weight() got {value!r:.60}{_called(name)}"
    if wanted is not None:
        return f"{found}, with trainable=True and dtype={wanted!r}, which can't be trained. Leave one of the two out."
    floats = "Write floats or give dtype='float32'"
    if array.dtype.kind == "c":
        floats = "Give the real and the imaginary part, each"
    shape = ""
    if isinstance(value, (tuple, list)) and value and array.ndim == 1 and array.dtype.kind in "iu":
        shape = f" If {tuple(value)!r:.60} is a shape, use add_weight(shape={tuple(value)!r:.60})."
    return (
        f"{found}, whose dtype {array.dtype} can't be trained. {floats} for a weight "
        f"that is trained; give trainable=False for one that is not trained and stays {array.dtype}.{shape}"
    )


def _can_be_read(raw: Any) -> bool:
    """Whether a variable has a value yet; one that a module makes while TensorFlow traces a function has none."""
    return _raw_kind(raw) == "torch" or bool(sys.modules["tensorflow"].executing_eagerly())


def _value(raw: Any) -> Any:
    return raw.detach().clone() if hasattr(raw, "detach") else raw.read_value()


def _add(layer: Any, attribute: str, what: Any, **arguments: Any) -> Any:
    """Makes a weight by Keras's own ``add_weight``, even if the user has overridden it."""
    base: Any = layer_base(type(layer))
    try:
        variable = base.add_weight(layer, **arguments)
    except ValueError as error:
        if not is_locked(layer):
            raise
        raise ValueError(_locked(layer, f"the attribute {attribute!r}", what)) from error
    if wraps_build(base):
        setattr(variable, _STANDS_FOR, what)
    return variable


def _raw_kind(value: Any) -> str:
    """The backend that a raw variable belongs to; "" for anything else."""
    tensorflow, torch = sys.modules.get("tensorflow"), sys.modules.get("torch")
    if isinstance(value, getattr(tensorflow, "Variable", ())):
        return "tensorflow"
    return "torch" if isinstance(value, getattr(getattr(torch, "nn", None), "Parameter", ())) else ""


def _is_to_be_cast(layer: Any, raw: Any) -> bool:
    """Whether Keras 2 should cast a raw variable when it is read. One of another layer stays: casting makes a copy."""
    mixed = layer.compute_dtype != layer.variable_dtype and raw.dtype.is_floating
    if not mixed or belongs_to_keras(type(raw)):
        return False
    return not has_another_owner(layer, raw)


def _stands_for_itself(variable: Any) -> bool:
    """Whether no other variable, made as a Keras weight of a layer, stands for this one."""
    stands_for = vars(variable).get(_STANDS_FOR) or {}
    return all(each is variable for each in stands_for.values())


def _flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [each for item in value.values() for each in _flat(item)]
    return [each for item in value for each in _flat(item)] if isinstance(value, (list, tuple)) else [value]


def _tidy(attribute: str) -> str:
    return attribute.strip("_").replace("/", "_") or "weight"


def _no_weight(layer: Any, attribute: str, raw: Any) -> str:
    return (
        f"The attribute {attribute!r} of {describe_layer(layer)} is a trainable variable of the shape {raw.shape} and "
        f"dtype {dtype_name(raw.dtype)}, which {keras_info(layer)} can't have as a weight. Give it a known shape and a "
        "real dtype, or make it with trainable=False: then it is neither tracked nor saved."
    )


def _locked(layer: Any, place: str, what: Any) -> str:
    new = f"a tf.Module with variables ({type(what).__name__})"
    if not _is_module(what):
        shape = tuple((what.value if isinstance(what, MarkedWeight) else what).shape)
        new = f"a new weight, a {type(what).__name__} of the shape {shape},"
    return (
        f"{place} of {describe_layer(layer)} got {new} after the layer was built; {keras_info(layer)} tracks no new "
        "weights then. Make it in __init__ or build (after reset_built(layer) the layer is built again), and change "
        "its value by `.assign(...)`."
    )
