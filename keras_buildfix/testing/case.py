"""A layer to try, and the data for it: what the ways of building and the checks of a layer get."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_buildfix._keras.classes import belongs_to_keras
from keras_buildfix._keras.info import KerasInfo, keras_info
from keras_buildfix._structures import map_structure

#: The size that a size of None has in arrays.
FREE = 5


def is_shape(value: object) -> bool:
    """Whether a tuple or list is the shape of one input, and not several shapes."""
    return isinstance(value, (tuple, list)) and all(size is None or isinstance(size, int) for size in value)


def leaves(structure: Any) -> list[Any]:
    """What is in nested lists, tuples and dicts, in order; None is nothing."""
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, (list, tuple)):
        return [leaf for item in structure for leaf in leaves(item)]
    return [] if structure is None else [structure]


def as_array(tensor: Any) -> Any:
    """A tensor of any backend as a numpy array; bfloat16 as float32."""
    import numpy as np

    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        tensor = tensor.float() if "bfloat16" in str(tensor.dtype) else tensor
    array = np.asarray(tensor)
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def arrays_in(structure: Any) -> list[Any]:
    """The tensors in nested lists, tuples and dicts as arrays, in order."""
    return [as_array(tensor) for tensor in leaves(structure)]


def dtype_of_tensor(tensor: Any) -> str:
    """The dtype of a tensor of any backend by its name, such as ``bfloat16``."""
    dtype = tensor.dtype
    return str(getattr(dtype, "name", dtype)).replace("torch.", "")


@dataclass(frozen=True)
class Case:
    """A layer to build, and the data for it.

    Attributes:
        keras: The Keras namespace to use: ``keras``, ``tf.keras`` or ``tf_keras``.
        make: Makes a new layer; its class must be importable for the ways that pickle.
        shape: Shape of one input without the batch, for example ``(8, 8, 3)``; a list or dict of shapes for several
            inputs. Inputs in a dict go to the parameters of ``call`` that have their names, if there are such.
        folder: An empty folder for files.
        batch: Size of the batches.
        dtype: The dtype of the inputs.
        call_kwargs: Further arguments of each call.
        custom_objects: The classes and functions by name that Keras needs to load the layer, besides its own class.
        within: The smallest and the largest value of the inputs.
    """

    keras: Any
    make: Callable[..., Any]
    shape: Any
    folder: Path
    batch: int = 2
    dtype: str = "float32"
    call_kwargs: Mapping[str, Any] = field(default_factory=dict)
    custom_objects: Mapping[str, Any] = field(default_factory=dict)
    within: tuple[float, float] = (-1.0, 1.0)

    @property
    def info(self) -> KerasInfo:
        """The Keras of this case."""
        return keras_info(self.keras.layers.Layer)

    @property
    def with_batch(self) -> Any:
        """The shape of the inputs with None for the batch."""
        return self.each_shape(lambda shape: (None, *shape))

    def each_shape(self, change: Callable[[tuple[int | None, ...]], Any]) -> Any:
        """The result of a function for each input's shape, in the structure of the inputs."""
        return map_structure(lambda shape: change(tuple(shape)), self.shape, is_shape)

    def x(self, batch: int | None = None, seed: int | None = None) -> Any:
        """A batch of inputs, not constant: random ones of a seed, or else the same ones always, away from zero."""
        import numpy as np

        random = np.random.default_rng(seed)

        def one(shape: tuple[int | None, ...]) -> Any:
            sizes = (batch or self.batch, *(size or FREE for size in shape))
            if seed is None:
                return (np.arange(int(np.prod(sizes)), dtype="float32").reshape(sizes) % 7 + 1) / 8
            if "float" in self.dtype:
                return random.uniform(*self.within, sizes).astype(self.dtype)
            low, high = map(int, self.within if self.within != (-1.0, 1.0) else (0, 1))
            return random.integers(low, high + 1, sizes).astype(self.dtype)

        return self.each_shape(one)

    def symbolic(self) -> Any:
        """A ``keras.Input`` for each input."""
        if isinstance(self.shape, dict):
            shapes = self.shape.items()
            return {name: self.keras.Input(tuple(shape), dtype=self.dtype, name=name) for name, shape in shapes}
        return self.each_shape(lambda shape: self.keras.Input(shape, dtype=self.dtype))

    def call(self, layer: Any, x: Any, **kwargs: Any) -> Any:
        """``layer(x)``, with the further arguments of the case."""
        kwargs = {**self.call_kwargs, **kwargs}
        first = first_argument(layer)
        if not isinstance(self.shape, dict) or first not in self.shape:
            return layer(x, **kwargs)
        return layer(x[first], **{name: each for name, each in x.items() if name != first}, **kwargs)

    def call_in_inference(self, layer: Any, x: Any) -> Any:
        """``layer(x, training=False)``, as far as the layer takes that."""
        return self.call(layer, x, **({"training": False} if takes(layer, "training") else {}))

    def infer(self, layer: Any, x: Any) -> list[Any]:
        """The outputs of a layer outside training, as arrays in one list."""
        return arrays_in(self.call_in_inference(layer, x))

    def model(self, layer: Any = None) -> tuple[Any, Any]:
        """A Functional model of one new layer, and that layer, with weights that no initializer would make."""
        fresh = layer is None
        layer = self.make() if fresh else layer
        inputs = self.symbolic()
        model = self.keras.Model(inputs, self.call(layer, inputs))
        for weight in layer.weights if fresh else ():
            weight.assign(weight * 0 + 3)
        return model, layer

    def custom(self) -> dict[str, Any]:
        """The custom objects with which Keras loads the layer: no class of Keras 2's own may be among them."""
        cls = type(self.make())
        return {**({} if belongs_to_keras(cls) else {cls.__name__: cls}), **self.custom_objects}

    def load(self, path: Path) -> Any:
        """The model in a file."""
        return self.keras.models.load_model(str(path), custom_objects=self.custom())


def takes(layer: Any, name: str) -> bool:
    """Whether the ``call`` of a layer has a parameter of this name."""
    return name in inspect.signature(type(layer).call).parameters


def first_argument(layer: Any) -> str:
    """The name of the first parameter of the ``call`` of a layer, after ``self``; empty if it has none by name."""
    parameters = [*inspect.signature(type(layer).call).parameters.values()][1:2]
    return next((each.name for each in parameters if each.kind is not each.VAR_POSITIONAL), "")


class _Noted:
    """In the place of a method: notes each call. What it binds has the signature without ``self``, as Keras 3 reads it.

    Keras wraps the bound ``build``. Python 3.9 looks through all that is wrapped: for a function that wraps a function,
    it would give the signature with ``self``.
    """

    def __init__(self, method: Any, note: Callable[[Any, tuple[Any, ...], dict[str, Any]], None]) -> None:
        self.method, self.note = method, note

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        bound = self.method.__get__(layer, owner)
        if layer is None:
            return bound

        @functools.wraps(bound)
        def noting(*args: Any, **kwargs: Any) -> Any:
            self.note(layer, args, kwargs)
            return bound(*args, **kwargs)

        return noting


@contextmanager
def recorded(cls: type, name: str) -> Iterator[list[dict[str, Any]]]:
    """Notes the arguments of each call of a class's method during a block, by parameter, and ``self``."""
    owner = next(base for base in cls.__mro__ if name in vars(base))
    method = vars(owner)[name]
    calls: list[dict[str, Any]] = []
    signature = inspect.signature(method)
    own = next(iter(signature.parameters))

    def note(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        arguments = dict(signature.bind(layer, *args, **kwargs).arguments)
        calls.append({"self": arguments.pop(own), **arguments})

    @functools.wraps(method)
    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        note(self, args, kwargs)
        return method(self, *args, **kwargs)

    noting.__signature__ = signature  # type: ignore[attr-defined]  # Keras 2 does not look at what is wrapped
    setattr(owner, name, noting if name == "call" else _Noted(method, note))
    try:
        yield calls
    finally:
        setattr(owner, name, method)
