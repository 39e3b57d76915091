"""Gives a layer that lacks ``build`` or ``compute_output_shape`` one on Keras 3: it traces ``call`` as on Keras 2."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from keras_buildfix._keras.built import wraps_build
from keras_buildfix._keras.classes import is_model
from keras_buildfix._keras.defaults import as_default, is_default
from keras_buildfix._keras.tracking import direct_sublayers, nested_layers
from keras_buildfix.portable.known_shapes import traced_output
from keras_buildfix.portable.plain_shapes import plain_shapes

#: The key in a layer's build config that has the build configs of the layers inside it.
_INNER = "keras_buildfix_layers"


def output_shape_handed_over(layer: Any, owner: type, following: Any) -> Any:
    """A ``compute_output_shape`` for a layer of Keras 3 without one: it traces ``call``.

    As on Keras 2, it builds the layer first. For Keras the layer still has no such method, so Keras itself traces
    ``call`` when it makes a model.
    """
    if not _is_without(layer, following):
        return following

    @functools.wraps(following)
    def compute_output_shape(*args: Any, **kwargs: Any) -> Any:
        shapes = [plain_shapes(shape) for shape in args]
        named = {name: plain_shapes(shape) for name, shape in kwargs.items()}
        if not shapes and "input_shape" in named:  # Keras 2's name of the first argument
            shapes = [named.pop("input_shape")]
        if not layer.built:
            _build(layer, shapes, named)
        return traced_output(layer, shapes, named)

    return as_default(compute_output_shape)


def default_build(layer: Any, following: Callable[..., Any]) -> Any:
    """A ``build`` for a layer of Keras 3 without one: it builds the layers inside it by tracing ``call``."""
    if not _is_without(layer, following):
        return following

    @functools.wraps(following)
    def build(*args: Any, **kwargs: Any) -> Any:
        shapes = [plain_shapes(shape) for shape in (*args, *kwargs.values())]
        if _unbuilt(layer) and shapes and shapes[0] is not None:
            # A call that wants more inputs can't be traced; Keras warns of that itself.
            with contextlib.suppress(Exception):
                traced_output(layer, shapes, {})
        _build_inner(_configs.pop(id(layer), ()))
        return following(*args, **kwargs)

    return as_default(build)


def build_config_handed_over(layer: Any, owner: type, following: Any) -> Any:
    """The ``get_build_config`` of a layer without ``build``, with the configs of the layers inside it."""
    if not _is_composite(layer):
        return following

    @functools.wraps(following)
    def get_build_config() -> Any:
        config = following()
        inner = [each.get_build_config() for each in direct_sublayers(layer)]
        return {**(config or {}), _INNER: inner} if any(inner) else config

    return get_build_config


def build_from_config_handed_over(layer: Any, owner: type, following: Any) -> Any:
    """The ``build_from_config`` of a layer without ``build``: it builds each layer inside it from its own config."""
    if not _is_composite(layer):
        return following

    @functools.wraps(following)
    def build_from_config(config: Any) -> Any:
        config = dict(config or {})
        inner, layers = config.pop(_INNER, None), direct_sublayers(layer)
        if inner is None or len(inner) != len(layers):
            return following(config)
        _configs[id(layer)] = list(zip(layers, inner))
        try:
            if config:
                return following(config)
        finally:
            left = _configs.pop(id(layer), ())
        _build_inner(left)
        return None

    return build_from_config


def _build_inner(configs: Iterable[tuple[Any, Any]]) -> None:
    """Builds those inner layers that are not built yet, each from its own build config."""
    for inner, config in configs:
        if config and not inner.built:
            inner.build_from_config(config)


#: The build configs of the layers inside a layer, while it is built from its own config.
_configs: dict[int, list[tuple[Any, Any]]] = {}


def reduced(layer: Any, protocol: Any, following: Callable[[Any], Any]) -> Any:
    """Pickles and copies a layer by its config and weights, on 3.0 to 3.2, which have no way to do that."""
    own: Any = type(layer).__reduce__
    if not wraps_build(type(layer)) or own is not object.__reduce__:
        return following(protocol)
    try:
        config = layer.get_config()
    except NotImplementedError:
        return following(protocol)
    return _rebuilt, (type(layer), config, layer.get_build_config(), layer.get_weights() if layer.built else None)


def _rebuilt(cls: Any, config: Any, build_config: Any, weights: Any) -> Any:
    layer = cls.from_config(config)
    if build_config and not layer.built:
        layer.build_from_config(build_config)
    if weights is not None:
        layer.set_weights(weights)
    return layer


def _is_without(layer: Any, following: Any) -> bool:
    """Whether `following` is only the default method of Keras 3's ``Layer``. False for models, which need no help."""
    known = wraps_build(type(layer)) and is_default(following)
    return known and not is_model(layer)


def _is_composite(layer: Any) -> bool:
    """Whether a layer of Keras 3 has no ``build`` but has layers inside it."""
    return _is_without(layer, layer.build) and bool(direct_sublayers(layer))


def _unbuilt(layer: Any) -> bool:
    return any(not inner.built for inner in nested_layers(layer) if inner is not layer)


def _build(layer: Any, shapes: list[Any], named: dict[str, Any]) -> None:
    """Builds a layer for inputs of these shapes, as a call would."""
    wanted = list(inspect.signature(layer.build).parameters)
    if len(wanted) < 2:
        layer.build(next(iter((*shapes, *named.values())), None))
    else:
        layer.build(*shapes, **{name: shape for name, shape in named.items() if name in wanted})
