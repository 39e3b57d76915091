"""``independent_copies``: layers of the same configuration, with names that stay unique and stable."""

from __future__ import annotations

import contextlib
import inspect
import logging
import operator
from collections.abc import Iterator
from typing import Any

from keras_buildfix._keras.classes import belongs_to_keras, describe_layer, is_functional, keras_of, layer_instance
from keras_buildfix._keras.tracking import direct_sublayers
from keras_buildfix._words import short
from keras_buildfix.layer_tree.tree import snake_case, weight_tree


def independent_copies(layer: Any, n: int, *, name: str | None = None) -> list[Any]:
    """Makes several layers of the configuration of one, each with weights of its own, for a loop of blocks.

    The layers are made from ``get_config``, and so are not built, have their own initial weights, statistics and
    random state, and share nothing with `layer` or each other. (What knows its input shape from its configuration,
    as most models do, is built for it.) A seed is part of a configuration: copies of a layer whose initializer has
    one begin with equal weights.

    The names are ``name-0``, ``name-1`` and so on: Keras makes up no name with a ``-``, so that they are like no
    other layer's. They begin with the name that `layer` was given; or, if Keras made that up (``dense_7``), with
    what it makes of the class (``dense``). So they are the same in every process, whatever was made before. For two
    layers of a class without given names, tell the copies apart by `name`. Layers in a copy keep their names.

    Args:
        layer: A layer or model, built or not. It stays as it is.
        n: How many copies to make, at least 1.
        name: What the names begin with, if not with the layer's name.

    Returns:
        The copies, in a list.

    Raises:
        TypeError: If `layer` is not a Keras layer, or `n` is not a whole number.
        ValueError: If `n` is less than 1; or if the class has no ``get_config`` that tells all arguments of its
            constructor, or a constructor that takes no ``name``.

    Examples:
        >>> import keras
        >>> from keras_buildfix import independent_copies
        >>> block = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.BatchNormalization()])
        >>> blocks = independent_copies(block, 3, name="block")
        >>> [each.name for each in blocks]
        ['block-0', 'block-1', 'block-2']
        >>> blocks[0].weights[0] is blocks[1].weights[0]
        False

    Source: ``copy.deepcopy`` and ``from_config`` keep the name, which two layers of a functional model can't share.
    """
    layer_instance(layer, "independent_copies")
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"independent_copies: n is how many copies to make, a whole number; got {short(n)}.")
    count = operator.index(n)
    if count < 1:
        raise ValueError(f"independent_copies: n is how many copies to make, at least 1; got {count}.")
    if name is not None and (not isinstance(name, str) or not name):
        raise TypeError(f"independent_copies: name is what the names of the copies begin with; got {short(name)}.")
    if not _takes_name(type(layer)):
        raise ValueError(
            f"independent_copies: the constructor of {type(layer).__name__} takes no name, so its copies can't have "
            "names that differ. Let its __init__ take **kwargs, and pass them to super().__init__(**kwargs)."
        )
    start = name or stable_name(layer)
    return [copy_of(layer, f"{start}-{at}", "independent_copies") for at in range(count)]


def stable_name(layer: Any) -> str:
    """The name that a layer was given; or, if Keras made it up, what Keras 3 makes up for the first of its class."""
    if not weight_tree(layer).made_up:
        return str(layer.name)
    kind = type(layer).__name__
    return "functional" if is_functional(layer) and kind in ("Functional", "Model") else snake_case(kind)


class CopyError(ValueError):
    """A layer can't be copied.

    Attributes:
        reason: Why, as a part of a sentence.
    """

    def __init__(self, layer: Any, wanted_by: str, reason: str, way_out: str) -> None:
        super().__init__(f"{wanted_by}: {describe_layer(layer)} can't be copied: {reason}. {way_out}")
        self.reason = reason


def copy_of(layer: Any, name: str | None, wanted_by: str) -> Any:
    """A new layer of the same configuration, not built; with this name, if its constructor takes one.

    Raises:
        CopyError: If the class can't be made from its configuration, or this leaves out an argument.
    """
    cls = type(layer)
    try:
        config = dict(layer.get_config())
    except Exception as error:
        raise CopyError(
            layer,
            wanted_by,
            f"its get_config() raises {type(error).__name__} ({_first_line(error)})",
            f"Give {cls.__name__} a get_config that returns the arguments of its constructor, or call the constructor "
            "yourself.",
        ) from error
    for each in _made_from_configs(layer):
        left_out = _left_out(each)
        if left_out:
            raise CopyError(
                layer,
                wanted_by,
                f"get_config() of {type(each).__name__} leaves out {', '.join(map(repr, left_out))}, so that a copy "
                "would not be the same",
                f"Add {'it' if len(left_out) == 1 else 'them'} to what get_config() returns, or call the constructor "
                "yourself.",
            )
    if name is not None and _takes_name(cls):
        config["name"] = name
    try:
        with keras_of(cls).utils.custom_object_scope(_users_classes(layer)), _quiet():
            made = cls.from_config(config)
    except Exception as error:
        reason = f"{cls.__name__}.from_config(its configuration) raises {type(error).__name__} ({_first_line(error)})"
        way_out = "Make get_config return what the constructor takes, or call the constructor yourself."
        raise CopyError(layer, wanted_by, reason, way_out) from error
    if type(made) is not cls:
        reason = f"{cls.__name__}.from_config() returns {short(made)}, which is of another class"
        raise CopyError(layer, wanted_by, reason, "Make it return one of its own class.")
    return made


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A block in which TensorFlow logs no warnings: Keras 2 warns of each attention that it makes without weights."""
    logger = logging.getLogger("tensorflow")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= 200 else f"{line[:197]}..."


def _takes_name(cls: type) -> bool:
    """Whether the constructor of a class takes a name."""
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return "name" in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def _made_from_configs(layer: Any) -> list[Any]:
    """The layer, and the layers in it that Keras's own containers and wrappers make from their configurations."""
    found, waiting, seen = [], [layer], {id(layer)}
    while waiting:
        each = waiting.pop()
        found.append(each)
        for held in direct_sublayers(each) if belongs_to_keras(type(each)) else ():
            if id(held) not in seen and hasattr(held, "get_config"):
                seen.add(id(held))
                waiting.append(held)
    return found


def _users_classes(layer: Any) -> dict[str, type]:
    """The users' classes of the layers in a layer, by name, for Keras to find; not two of the same name."""
    classes: dict[str, set[type]] = {}
    for each in _made_from_configs(layer):
        if not belongs_to_keras(type(each)):
            classes.setdefault(type(each).__name__, set()).add(type(each))
    return {name: next(iter(found)) for name, found in classes.items() if len(found) == 1}


_NOTHING = object()


def _left_out(layer: Any) -> list[str]:
    """The arguments of a user's constructor that ``get_config`` does not tell, and that may not have their defaults.

    A class with its own ``from_config`` knows what it does.
    """
    cls = type(layer)
    init, made_by = _owner(cls, "__init__"), _owner(cls, "from_config")
    if belongs_to_keras(init) or not belongs_to_keras(made_by):
        return []
    config = layer.get_config()
    left_out = []
    parameters = list(inspect.signature(init.__init__).parameters.values())[1:]  # type: ignore[misc]
    for each in parameters:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) or each.name in config:
            continue
        held = vars(layer).get(each.name, vars(layer).get(f"_{each.name}", _NOTHING))
        if held is _NOTHING or not _equal(held, each.default):
            left_out.append(each.name)
    return left_out


def _owner(cls: type, name: str) -> type:
    return next(base for base in cls.__mro__ if name in vars(base))


def _equal(one: Any, other: Any) -> bool:
    try:
        return one is other or (type(one) is type(other) and bool(one == other))
    except Exception:  # an array has no truth value
        return False
