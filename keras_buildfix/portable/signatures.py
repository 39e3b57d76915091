"""Makes a ``build`` or ``call`` that has the signature of one Keras version get its arguments on every version.

How it works: Keras 3 reads the names of the arguments of ``build`` and ``compute_output_shape``, and expects the
names that ``call`` has (``query_shape`` for ``query``). Keras 2 passes ``build`` only the shape of the first argument.
We wrap a class's methods in functions whose signatures this Keras accepts, and match arguments by name, else by
position. When the body (the method that the user wrote) calls ``super()``, it reaches ``HandedOver``, which stands
between the body and the built-in and passes on what the built-in of this Keras wants.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import HANDS_OVER, belongs_to_keras, brings, has_base, is_model_class, layer_base
from keras_buildfix._keras.defaults import is_default
from keras_buildfix._keras.graphs import as_autograph_has_it, not_for_autograph
from keras_buildfix.portable.composites import (
    build_config_handed_over,
    build_from_config_handed_over,
    default_build,
    output_shape_handed_over,
    reduced,
)
from keras_buildfix.portable.plain_shapes import passed_on, plain_shapes
from keras_buildfix.precision.wrapping import home_of

#: The order of the arguments of a built-in's ``call``, on Keras 2 and on Keras 3.
_RECURRENT = (
    ("inputs", "mask", "training", "initial_state", "constants"),
    ("sequences", "initial_state", "mask", "training"),
)
_BIDIRECTIONAL = (("inputs", "training", "mask", "initial_state", "constants"), _RECURRENT[1])
_REST = ("attention_mask", "return_attention_scores", "training", "use_causal_mask")
_ATTENTION = (
    ("query", "value", "key", *_REST),
    ("query", "value", "key", "query_mask", "value_mask", "key_mask", *_REST),
)
#: Names of the first argument of ``call``.
_FIRST = ("inputs", "sequences", "sequence", "query", "x")
#: Beginnings of the names of arguments of ``call`` that are not inputs.
_NO_INPUTS = ("mask", "training", "return_", "use_")
_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class HandedOver:
    """A mixin's stand-in for a Keras method: a body reaches it by ``super()``, and it passes on what this Keras wants.

    If nothing has to change, it gives the next class's method itself, because Keras asks whether a method is
    overridden.
    """

    def __init__(self, hand_over: Callable[[Any, type, Any], Any]) -> None:
        self._hand_over = hand_over
        setattr(self, HANDS_OVER, True)

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, layer: Any, cls: type | None = None) -> Any:
        if layer is None:
            return getattr(super(self._owner, cls), self._name)
        following = getattr(super(self._owner, layer), self._name)
        return self._hand_over(layer, self._owner, following)


def fit_signatures(cls: type, mixin: type) -> None:
    """Wraps a class's ``build``, ``call`` and ``compute_output_shape`` in methods that this Keras can call."""
    base = layer_base(cls)
    assert base is not None
    if wraps_build(base):
        _show_call(cls)
        for name in ("build", "compute_output_shape"):
            _line_up(cls, name)
        _trace_call(cls, base)
    else:
        _take_states_of_lists(cls, mixin)
        _take_several_shapes(cls)


# --- Matching arguments ------------------------------------------------------------------------


def which(wanted: Iterable[str], required: Iterable[str], given: Iterable[str]) -> dict[str, str]:
    """Maps each wanted argument to a given one: by name; else the first one, and required ones, by position.

    Examples:
        >>> from keras_buildfix.portable.signatures import which
        >>> which(["query", "value", "key"], ["query", "value"], ["x", "context", "training"])
        {'query': 'x', 'value': 'context'}
    """
    wanted, given = list(wanted), list(given)
    found = {name: name for name in wanted if name in given}
    free = [name for name in given if name not in found]
    if wanted and wanted[0] not in found and given[:1] == free[:1] != []:
        found[wanted[0]] = free.pop(0)
    free = [name for name in free if not _is_no_input(name)]
    for name in required:
        if name not in found and free:
            found[name] = free.pop(0)
    return {name: found[name] for name in wanted if name in found}


def _is_no_input(name: str) -> bool:
    return name.startswith(_NO_INPUTS) or name.endswith("_mask")


def _parameters(function: Any) -> list[Parameter]:
    """The parameters of a method without ``self``."""
    parameters = list(inspect.signature(function).parameters.values())
    return parameters if inspect.ismethod(function) else parameters[1:]


def _named(parameters: Iterable[Parameter]) -> list[str]:
    return [parameter.name for parameter in parameters if parameter.kind not in _VARIADIC]


def _required(parameters: Iterable[Parameter]) -> list[str]:
    return [each.name for each in parameters if each.kind not in _VARIADIC and each.default is each.empty]


def _without_shape(names: Iterable[str]) -> list[str]:
    return [name[: -len("_shape")] if name.endswith("_shape") else name for name in names]


def _owner(cls: type, name: str, after: type | None = None) -> type | None:
    """The class, Keras's or a user's, that a method comes from; with `after`, only classes after that one count."""
    bases = cls.__mro__ if after is None else cls.__mro__[cls.__mro__.index(after) + 1 :]
    return next((base for base in bases if brings(base, name)), None)


def _builtin(cls: type, name: str) -> Callable[..., Any] | None:
    """The method of the built-in that a class derives from; None if it is that of ``Layer`` or of a model."""
    for base in cls.__mro__:
        if name in vars(base) and belongs_to_keras(base):
            method = vars(base)[name]
            plain = base is layer_base(cls) or is_model_class(base)
            return None if plain or not inspect.isfunction(method) else method
    return None


# --- Remembering the call while a body runs ----------------------------------------------------


@dataclass
class _Call:
    """The values that a layer was called or built with, by the names of the arguments of its ``call``."""

    layer: Any
    values: Mapping[str, Any]
    #: The names of those values that we have passed to the built-in, as the body did not.
    taken: set[str]


class _Running(threading.local):
    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.builds: list[_Call] = []


_running = _Running()


@contextlib.contextmanager
def _noted(calls: list[_Call], layer: Any, values: Mapping[str, Any]) -> Iterator[set[str]]:
    """A block in which `values` are remembered for a layer's body; gives the ``taken`` of its ``_Call``."""
    within = calls[-1].taken if calls and calls[-1].layer is layer else set()
    calls.append(_Call(layer, {**_known(calls, layer), **values}, within))
    try:
        yield within
    finally:
        calls.pop()


def _known(calls: list[_Call], layer: Any) -> Mapping[str, Any]:
    return calls[-1].values if calls and calls[-1].layer is layer else {}


# --- What Keras 3 sees -------------------------------------------------------------------------


def _show_call(cls: type) -> None:
    """Makes Keras 3 pass a ``call`` what Keras 2 passes in other ways: states, masks, and what ``**kwargs`` takes."""
    builtin = _builtin(cls, "call")
    call: Any = cls.call  # type: ignore[attr-defined]
    if builtin is None or not inspect.isfunction(call) or call is builtin:
        return
    parameters = _parameters(call)
    mine = _named(parameters)
    takes_any = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)
    shows = _shown_besides(mine, takes_any, _parameters(builtin))
    if not shows.hidden:
        return

    @functools.wraps(call)
    def shown(self: Any, *args: Any, **kwargs: Any) -> Any:
        kept = {name: value for name in shows.hidden if (value := kwargs.pop(name, None)) is not None}
        mask = kept.pop(shows.of_first, None) if shows.of_first is not None else None
        if mask is not None and "mask" not in kept and "mask" not in mine[: len(args)] and kwargs.get("mask") is None:
            (kwargs if "mask" in mine else kept)["mask"] = mask
        kwargs.update((name, kept.pop(name)) for name in shows.handed if name in kept)
        with _noted(_running.calls, self, kept) as taken:
            result = call(self, *args, **kwargs)
        if "initial_state" in kept and "initial_state" not in taken:
            raise TypeError(
                f"The call of {type(self).__name__} (layer {self.name!r}) ignores initial_state: it "
                "neither takes one nor runs super().call. Give it the argument initial_state=None, or pass no states."
            )
        return result

    signature = inspect.signature(call)
    before = list(signature.parameters.values())
    at = len(before) - (1 if takes_any else 0)
    before[at:at] = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in shows.hidden]
    shown.__signature__ = signature.replace(parameters=before)  # type: ignore[attr-defined]
    cls.call = shown  # type: ignore[attr-defined]


@dataclass
class _Shows:
    """What a ``call`` shows to Keras besides its own arguments.

    Attributes:
        hidden: Arguments that Keras sees but the body does not name.
        handed: Those of them that the body gets in its ``**kwargs``.
        of_first: The name by which Keras passes the first input's mask, if the body or built-in takes it as ``mask``.
    """

    hidden: list[str]
    handed: list[str]
    of_first: str | None


def _shown_besides(mine: list[str], takes_any: bool, of_builtin: list[Parameter]) -> _Shows:
    """What a ``call`` with the arguments `mine`, and ``**kwargs`` if it `takes_any`, has to show to Keras 3."""
    if not mine:
        return _Shows([], [], None)
    theirs = _named(of_builtin)
    inputs = which(theirs, _required(of_builtin), mine)
    hidden = [f"{name}_mask" for theirs_, name in inputs.items() if f"{theirs_}_mask" in theirs]
    hidden += ["initial_state"] if "initial_state" in theirs else ["mask"] if len(hidden) == 1 else []
    handed = [name for name in theirs if name in ("mask", "training", "initial_state") and takes_any]
    # With other built-ins, such a body runs on plain Keras 3. So it gets no more than there; the built-in does.
    of_family = not {"initial_state", "query"}.isdisjoint(theirs)
    # Keras passes the first input's mask as `mask` only if there is no other input; 3.0 takes `**kwargs` for one.
    takes_mask = "mask" in theirs and (takes_any or (of_family and "mask" in mine))
    of_first = f"{mine[0]}_mask" if takes_mask else None
    names = dict.fromkeys([*hidden, *handed, *([of_first] if of_first is not None else [])])
    return _Shows([name for name in names if name not in mine], handed if of_family else [], of_first)


def _line_up(cls: type, name: str) -> None:
    """Shows Keras 3 a signature of a method whose arguments are named after those of ``call``, as it wants them."""
    own: Any = getattr(cls, name)
    lines = _lines(cls, name, own) if inspect.isfunction(own) and not is_default(own) else None
    if lines is None:
        return
    run = own if _owner(cls, name) is cls else passed_on(cls, name, own)

    @functools.wraps(own)
    def lined_up(self: Any, *args: Any, **kwargs: Any) -> Any:
        shapes = lines.shapes(args, kwargs)
        if shapes is None:
            return run(self, *args, **kwargs)
        first, rest = lines.handed(shapes)
        with _noted(_running.builds, self, shapes):
            return run(self, first, **rest)

    shows = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)]
    shows += [
        Parameter(key, Parameter.POSITIONAL_OR_KEYWORD, default=None if at else Parameter.empty)
        for at, key in enumerate(lines.visible)
    ]
    lined_up.__signature__ = inspect.Signature(shows)  # type: ignore[attr-defined]
    setattr(cls, name, lined_up)


@dataclass
class _Lines:
    """Which arguments a method that takes shapes shows to Keras, and what the body behind it gets.

    Attributes:
        visible: The names that Keras sees -> the arguments of ``call``.
        keys: The body's arguments without ``_shape`` -> their full names.
        mine: The body's arguments without ``_shape`` -> the arguments of ``call``.
        must_have: The body's arguments that have no default, without ``_shape``.
    """

    visible: dict[str, str]
    keys: dict[str, str]
    mine: dict[str, str]
    must_have: list[str]

    def shapes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """The shapes by the arguments of ``call``; None if the method was not called as its signature shows."""
        if len(args) > len(self.visible) or any(key not in self.visible for key in kwargs):
            return None
        given = {**dict(zip(self.visible, args)), **kwargs}
        return {self.visible[key]: shape for key, shape in given.items()} if next(iter(self.visible)) in given else None

    def handed(self, shapes: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The first shape for the body, and the others by name; the first stands in for an unknown required one."""
        first, rest = shapes[next(iter(self.visible.values()))], {}
        for wanted, key in list(self.keys.items())[1:]:
            shape = shapes.get(self.mine[wanted]) if wanted in self.mine else None
            if shape is None and wanted in self.must_have:
                shape = first
            if shape is not None:
                rest[key] = shape
        return first, rest


def _lines(cls: type, name: str, own: Any) -> _Lines | None:
    """How a method that takes shapes must look to Keras; None if Keras takes it as it is, or raises an error for it."""
    owner = _owner(cls, name)
    assert owner is not None
    by_keras = belongs_to_keras(owner)
    parameters = _parameters(own)
    named = _named(parameters)
    given = _named(_parameters(cls.call))  # type: ignore[attr-defined]
    wanted = _without_shape(named) if len(named) > 1 else []
    must_have = _without_shape(_required(parameters))
    builtin = _builtin(cls, name)
    further = _parameters(builtin) if builtin is not None and not by_keras and named else []
    if len(_required(further)) < 2:
        further = []
    if all(name in given for name in wanted) and all(name.endswith("_shape") for name in named[1:]) and not further:
        return None
    mine = which(wanted or _without_shape(named), must_have, given)
    if any(name not in mine for name in must_have[1:]) and not by_keras:
        return None  # Keras itself raises an error for this
    theirs = which(_without_shape(_named(further)), _without_shape(_required(further)), given)
    shown = list(dict.fromkeys([*mine.values(), *theirs.values()]))
    if not shown or not named:
        return None
    first = named[0] if len(shown) == 1 else f"{shown[0]}_shape"
    visible = dict(zip([first, *(f"{name}_shape" for name in shown[1:])], shown))
    return None if list(visible) == named else _Lines(visible, dict(zip(_without_shape(named), named)), mine, must_have)


def _trace_call(cls: type, base: Any) -> None:
    """Makes Keras 3 trace a ``call`` whose arguments differ from those of the built-in's ``compute_output_spec``."""
    own: Any = cls.compute_output_spec  # type: ignore[attr-defined]
    owner = _owner(cls, "compute_output_spec")
    if owner is None or owner is base or not belongs_to_keras(owner) or is_model_class(cls):
        return
    parameters, given = _parameters(own), _named(_parameters(cls.call))  # type: ignore[attr-defined]
    if len(parameters) == len(_named(parameters)) and not {*_required(parameters)} <= {*given} <= {*_named(parameters)}:

        @functools.wraps(own)
        def compute_output_spec(self: Any, *args: Any, **kwargs: Any) -> Any:
            return super(base, self).compute_output_spec(*args, **kwargs)

        cls.compute_output_spec = compute_output_spec  # type: ignore[attr-defined]


# --- What Keras 2 passes -----------------------------------------------------------------------


def _take_several_shapes(cls: type) -> None:
    """Makes a ``build`` of several shapes get all of them on Keras 2, which passes only the first one."""
    build: Any = cls.build  # type: ignore[attr-defined]
    owner = _owner(cls, "build")
    if owner is None or belongs_to_keras(owner) or not inspect.isfunction(build):
        return
    parameters = _parameters(build)
    named = _named(parameters)
    given = _named(_parameters(cls.call))  # type: ignore[attr-defined]
    if not named[1:] or (hasattr(build, _TAKES_SEVERAL) and owner is not cls):
        return
    pairs = which(_without_shape(named), _without_shape(_required(parameters)), given)
    keys = dict(zip(_without_shape(named), named))
    must_have = _required(parameters)
    if not any(wanted in pairs or key in must_have for wanted, key in list(keys.items())[1:]):
        return

    @functools.wraps(build)
    def of_several(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(args) + len(kwargs) == 1:
            shape = plain_shapes(next(iter((*args, *kwargs.values()))))
            known = dict(_known(_running.builds, self))
            if "initial_state" in keys and isinstance(shape, list):  # an RNN was called with its states
                shape, known["initial_state"] = shape[0], shape[1:]
            args, kwargs = (shape,), {}
            for wanted, key in list(keys.items())[1:]:
                found = known.get(pairs[wanted]) if wanted in pairs else None
                if found is not None or key in must_have:
                    kwargs[key] = shape if found is None else found
        with _noted(_running.builds, self, {}):
            build(self, *args, **kwargs)
        shapes = {**dict(zip(named, args)), **kwargs}
        vars(self)[_SHAPES] = {pairs[w]: shapes[key] for w, key in keys.items() if w in pairs and key in shapes}

    setattr(of_several, _TAKES_SEVERAL, True)
    of_several.__signature__ = inspect.signature(build)  # type: ignore[attr-defined]
    cls.build = of_several  # type: ignore[attr-defined]
    _note_shapes_in_call(cls)


def _note_shapes_in_call(cls: type) -> None:
    """Makes ``__call__`` note the shapes of all arguments for the ``build`` that it runs."""
    inherited = cls.__call__
    own = vars(cls).get("__call__")
    signature = inspect.Signature(_parameters(cls.call))  # type: ignore[attr-defined]

    @functools.wraps(inherited)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        following = super(cls, self).__call__ if own is None else own.__get__(self, cls)  # type: ignore[arg-type]
        if self.built:
            return following(*args, **kwargs)
        shapes = {}
        with contextlib.suppress(TypeError):  # the call itself raises an error for this
            shapes = {name: _shapes(value) for name, value in signature.bind_partial(*args, **kwargs).arguments.items()}
        with _noted(_running.builds, self, {name: shape for name, shape in shapes.items() if shape is not None}):
            return following(*args, **kwargs)

    not_for_autograph(__call__)
    cls.__call__ = __call__  # type: ignore[method-assign]


_TAKES_SEVERAL = "_keras_buildfix_takes_several"
#: An attribute of a layer of Keras 2: all shapes that it was built for (Keras keeps only the first).
_SHAPES = "_keras_buildfix_shapes"


def _build_config_handed_over(layer: Any, owner: type, following: Any) -> Any:
    """The ``get_build_config`` of a layer, with every shape that its ``build`` needs when it is loaded."""
    shapes = vars(layer).get(_SHAPES)
    if not shapes:
        return build_config_handed_over(layer, owner, following)

    @functools.wraps(following)
    def get_build_config() -> Any:
        return {**(following() or {}), _SHAPES: shapes}

    return get_build_config


def _build_from_config_handed_over(layer: Any, owner: type, following: Any) -> Any:
    """The ``build_from_config`` of a layer, which passes ``build`` every shape in the config."""

    @functools.wraps(following)
    def build_from_config(config: Any) -> Any:
        if not config or _SHAPES not in config:
            return build_from_config_handed_over(layer, owner, following)(config)
        rest = {key: value for key, value in config.items() if key != _SHAPES}
        with _noted(_running.builds, layer, {key: plain_shapes(shape) for key, shape in config[_SHAPES].items()}):
            return following(rest)

    return build_from_config


def _shapes(value: Any) -> Any:
    """The shapes of tensors, in the same lists, tuples and dicts; None for anything else."""
    if isinstance(value, dict):
        found: Any = {key: _shapes(item) for key, item in value.items()}
        return None if None in found.values() else found
    if isinstance(value, (list, tuple)):
        found = [_shapes(item) for item in value]
        return None if None in found else type(value)(found) if type(value) in (list, tuple) else found
    return plain_shapes(value.shape) if hasattr(value, "shape") else None


def _take_states_of_lists(cls: type, mixin: type) -> None:
    """Makes a recurrent ``call`` with Keras 3's signature get its states on Keras 2, which puts all in one list.

    It drops ``constants``, which the ``Bidirectional`` of Keras 2 passes even if there are none.
    """
    family = _family(cls, mixin)
    call: Any = cls.call  # type: ignore[attr-defined]
    if family is None or "initial_state" not in family.names or hasattr(call, _TAKES_STATES):
        return
    names = _named(_parameters(call))
    of_lists = family.order is _RECURRENT[1] and "initial_state" in names
    takes_any = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in _parameters(call))
    no_constants = "constants" in family.names and "constants" not in names and not takes_any
    if not inspect.isfunction(call) or not (of_lists or no_constants):
        return

    @functools.wraps(call)
    def with_states(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = as_autograph_has_it(call, home_of(type(self)).base)
        if no_constants and kwargs.get("constants", ...) is None:
            del kwargs["constants"]
        if of_lists and len(args) == 1 and isinstance(args[0], list) and kwargs.get("initial_state") is None:
            kwargs["initial_state"] = args[0][1:] or None
            args = (args[0][0],)
        return run(self, *args, **kwargs)

    setattr(with_states, _TAKES_STATES, True)
    with_states.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
    not_for_autograph(with_states)
    cls.call = with_states  # type: ignore[attr-defined]


_TAKES_STATES = "_keras_buildfix_takes_states"


# --- What super() gets -------------------------------------------------------------------------


@dataclass
class _Family:
    """How the ``call`` of a built-in differs between Keras 2 and 3, and which of the two a class's body follows.

    Attributes:
        builtin: The built-in's ``call``.
        names: The names of its arguments on this Keras.
        orders: The orders of Keras 2 and of Keras 3.
        order: The order that the body follows; None if it could be either.
        inputs: Each input of the built-in -> the argument of the body.
    """

    builtin: Callable[..., Any]
    names: list[str]
    orders: tuple[tuple[str, ...], tuple[str, ...]]
    order: tuple[str, ...] | None
    inputs: dict[str, str]


def _family(cls: type, mixin: type) -> _Family | None:
    """The family of the built-in that a class derives from; None if its ``call`` is the same on every Keras.

    The body that counts is the one whose ``super()`` reaches the mixin: the last one before it.
    """
    builtin = _builtin(cls, "call")
    if builtin is None:
        return None
    names = _named(_parameters(builtin))
    orders = _ATTENTION if {"query", "value"} <= {*names} else _RECURRENT if "initial_state" in names else None
    if orders is None:
        return None
    if has_base(cls, "Bidirectional"):
        orders = _BIDIRECTIONAL
    bodies = [base for base in cls.__mro__[: cls.__mro__.index(mixin)] if "call" in vars(base)]
    if not bodies:
        return None
    owner = bodies[-1]
    body = _named(_parameters(inspect.unwrap(vars(owner)["call"])))
    alike = [_alike(body, order) for order in orders]
    order = None if alike[0] == alike[1] else orders[alike.index(max(alike))]
    if order is None and orders is not _ATTENTION:
        order = orders[1 if body[:1] == ["sequences"] else 0]
    return _Family(builtin, names, orders, order, which(names, _required(_parameters(builtin)), body))


def _alike(body: list[str], order: tuple[str, ...]) -> int:
    """How many arguments after the first, from the left, a body's signature shares with an order."""
    agreed = 0
    for mine, theirs in zip(body[1:], order[1:]):
        if mine != theirs:
            break
        agreed += 1
    return agreed


_families: weakref.WeakKeyDictionary[type, _Family | None] = weakref.WeakKeyDictionary()


def _family_of(cls: type, mixin: type) -> _Family | None:
    try:
        return _families[cls]
    except KeyError:
        found = _families[cls] = _family(cls, mixin)
        return found
    except TypeError:  # a metaclass can make its classes unhashable
        return _family(cls, mixin)


def call_handed_over(layer: Any, owner: type, following: Any) -> Any:
    """What a body gets as ``super().call``: the built-in's, with each argument where this Keras expects it."""
    family = _family_of(type(layer), owner)
    if family is None:
        known = {name: value for name, value in _known(_running.calls, layer).items() if name in ("mask", "training")}
        if known and getattr(following, "__func__", None) is _builtin(type(layer), "call"):
            return _with_defaults(following, known)
        return following
    if getattr(following, "__func__", None) is not family.builtin:
        return following

    @functools.wraps(following)
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _meant(layer, family, args, kwargs)
        return following(*args, **kwargs)

    not_for_autograph(call)
    return call


def _with_defaults(following: Any, known: Mapping[str, Any]) -> Any:
    """A built-in's ``call`` that also gets the layer's mask and ``training`` if a body with ``**kwargs`` omits them."""

    @functools.wraps(following)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(following).bind_partial(*args, **kwargs).arguments
        return following(*args, **{name: value for name, value in known.items() if name not in given}, **kwargs)

    return call


def _meant(
    layer: Any, family: _Family, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that a body passes to ``super().call``, with the names and the order of this Keras."""
    names = family.names
    kwargs = dict(kwargs)
    if not args and names[0] not in kwargs:
        for name in _FIRST:
            if name in kwargs and name not in names:
                kwargs[names[0]] = kwargs.pop(name)
                break
    same = 3 if family.orders is _ATTENTION else 1
    if len(args) > same:
        order = family.order
        if order is None:
            if any(value is not None for value in args[same:]):
                raise TypeError(
                    f"{type(layer).__name__} (layer {layer.name!r}) passes {args[same]!r:.40} as argument {same + 1} "
                    f"of super().call, which is {family.orders[0][same]} on Keras 2 and {family.orders[1][same]} on "
                    "Keras 3. Pass it by name."
                )
            args = args[:same]
        elif len(args) <= len(order):
            kwargs.update(zip(order[same:], args[same:]))
            args = args[:same]
    for name in [name for name, value in kwargs.items() if value is None and name not in names]:
        if any(name in order for order in family.orders):
            del kwargs[name]  # this Keras has no such argument, and its value is None
    given = {*names[: len(args)], *(name for name, value in kwargs.items() if value is not None)}
    known = _known(_running.calls, layer)
    if known:
        tensors = {**kwargs, **dict(zip(names, args))}
        masks = {name: known.get(f"{mine}_mask") for name, mine in family.inputs.items()}
        if "query" in names:
            masks["query"] = known.get("mask") if masks.get("query") is None else masks["query"]
            if masks.get("value") is None and tensors.get("value") is tensors.get("query"):
                masks["value"] = masks["query"]
        filled = {f"{name}_mask": mask for name, mask in masks.items()}
        filled["initial_state"] = known.get("initial_state")
        for name, value in filled.items():
            if name in names and name not in given and value is not None:
                kwargs[name] = value
                _running.calls[-1].taken.add(name)
    return args, kwargs


def build_handed_over(layer: Any, owner: type, following: Any) -> Any:
    """What a body gets as ``super().build``: the built-in's, with the shapes that the built-in asks for."""
    if is_default(following) and wraps_build(type(layer)):
        return default_build(layer, following)
    after = _owner(type(layer), "build", owner)
    if after is None or not belongs_to_keras(after) or not inspect.ismethod(following):
        return following
    parameters = _parameters(following)
    names = _named(parameters)
    if not names:
        return following

    @functools.wraps(following)
    def build(*args: Any, **kwargs: Any) -> Any:
        try:
            inspect.signature(following).bind(*args, **kwargs)
        except TypeError:
            return following(**_wanted_shapes(layer, parameters, args, kwargs))
        return following(*args, **kwargs)

    return build


def _wanted_shapes(
    layer: Any, parameters: list[Parameter], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The shapes that a built-in's ``build`` wants, from those that the body passes and those known from the call."""
    names, required = _named(parameters), _required(parameters)
    shapes = {**dict(zip(names, args)), **{name: shape for name, shape in kwargs.items() if name in names}}
    others = [shape for name, shape in kwargs.items() if name not in names]
    if names[0] not in shapes:
        if not others:
            return shapes
        shapes[names[0]] = others[0]
    first = plain_shapes(shapes[names[0]])
    if len(required) > 1 and len(shapes) == 1 and isinstance(first, list) and len(first) >= len(required):
        return dict(zip(names, first))  # the body takes its inputs in one list
    known = _known(_running.builds, layer)
    pairs = which(_without_shape(names), _without_shape(required), known)
    for name, plain in zip(names, _without_shape(names)):
        if name not in shapes and plain in pairs and known.get(pairs[plain]) is not None:
            shapes[name] = known[pairs[plain]]
        elif name not in shapes and name in required:
            shapes[name] = shapes[names[0]]
    return shapes


class HandsOver:
    """Stands between a body and the built-in after it: see ``HandedOver``."""

    build: Any = HandedOver(build_handed_over)
    call: Any = HandedOver(call_handed_over)
    compute_output_shape: Any = HandedOver(output_shape_handed_over)
    get_build_config: Any = HandedOver(_build_config_handed_over)
    build_from_config: Any = HandedOver(_build_from_config_handed_over)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return reduced(self, protocol, super().__reduce_ex__)
