"""What a check of a layer gets (`Subject`), what it raises, and the decorator ``@check`` that makes it one."""

from __future__ import annotations

import dataclasses
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_buildfix._keras.seeds import same_seeds
from keras_buildfix._keras.variables import assign_value, dtype_of, read_value
from keras_buildfix._words import short
from keras_buildfix.testing.case import Case, as_array, dtype_of_tensor, leaves


class CheckError(AssertionError):
    """A check found something wrong.

    Attributes:
        what: What is wrong.
        advice: What to change, where the check knows better than usual.
        blocks: Whether the checks that need this one can't mean anything now.
    """

    def __init__(self, what: str, advice: str = "", *, blocks: bool = True) -> None:
        super().__init__(what)
        self.what, self.advice, self.blocks = what, advice, blocks


def in_short(error: BaseException) -> str:
    """An error by its class and the beginning of its text, on one line and without colours."""
    text = " ".join(re.sub(r"\x1b\[\d*m", "", str(error)).split())
    return f"{type(error).__name__}: {text if len(text) <= 300 else text[:297] + '...'}"


class NotHere(Exception):  # noqa: N818, it is no error
    """A check can't run on this layer or Keras; the text says why."""


@dataclass(frozen=True)
class Check:
    """A check: a function of a subject that raises an error if something is wrong.

    Attributes:
        name: Its name.
        run: The function. Its docstring says what breaks for users when it fails.
        needs: The checks without which it can't mean anything.
        advice: What to change, in most cases.
    """

    name: str
    run: Callable[[Subject], None]
    needs: tuple[str, ...]
    advice: str

    @property
    def breaks(self) -> str:
        """What breaks for users when the check fails."""
        return " ".join((self.run.__doc__ or "").split())


def check(*needs: str, advice: str) -> Callable[[Callable[[Subject], None]], Check]:
    """Makes a check of a function; it is blocked if one of the checks in `needs` failed."""

    def decorate(function: Callable[[Subject], None]) -> Check:
        return Check(function.__name__, function, needs, advice)

    return decorate


@dataclass(frozen=True)
class Subject(Case):
    """A layer class to check: a case that also knows the class and the arguments.

    Attributes:
        cls: The class of the layer.
        init_kwargs: The arguments that a layer is made with.
        label: The class and its arguments, in words.
    """

    cls: type = object
    init_kwargs: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def in_folder(self, folder: str) -> Subject:
        """The same subject with another folder for its files."""
        return dataclasses.replace(self, folder=Path(folder))

    def with_shape(self, shape: Any) -> Subject:
        """The same subject with inputs of another shape."""
        return dataclasses.replace(self, shape=shape)

    def built(self) -> Any:
        """A new layer that was called once, with random weights: initial ones and zeros would hide errors."""
        layer = self.make()
        self.call(layer, self.x(seed=1))
        randomise(layer)
        return layer

    def built_model(self) -> tuple[Any, Any]:
        """A Functional model of one new layer with random weights, and that layer."""
        layer = self.make()
        model, _ = self.model(layer)
        randomise(layer)
        return model, layer

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Sets all seeds for a block, as ``set_random_seed`` does; then Keras and the backend have theirs back.

        `check_layer` restores those of Python and numpy. On Keras 2, ``set_random_seed`` also makes a generator for
        all initializers, which nothing public removes; without it they take their seeds from Python's. A seed that the
        user has given to TensorFlow is set again: its operations then draw as just after it was set.
        """
        import numpy as np

        tensorflow, torch = sys.modules.get("tensorflow"), sys.modules.get("torch")
        before = tensorflow.compat.v1.get_seed(None)[0] if tensorflow else None
        state = torch.get_rng_state() if torch else None
        try:
            with same_seeds(self.info.package):
                if self.info.generation == 2:
                    random.seed(seed)
                    np.random.seed(seed)
                    sys.modules["tensorflow"].random.set_seed(seed)
                else:
                    self.keras.utils.set_random_seed(seed)
                yield
        finally:
            tensorflow = sys.modules.get("tensorflow")  # Keras 3 imports it, on each backend, if it can
            if tensorflow:
                tensorflow.random.set_seed(before)
            if torch:
                torch.set_rng_state(state)

    def needs_one_input(self, what: str) -> None:
        """Skips the check unless the layer takes one input and nothing else."""
        if not isinstance(self.shape, tuple):
            raise NotHere(f"{what} takes one input")
        if self.call_kwargs:
            raise NotHere(f"{what} can't pass call_kwargs on")

    def needs_weights(self, layer: Any, kind: str = "weights") -> None:
        """Skips the check if the layer has no weights (or no ``trainable_weights``)."""
        if not getattr(layer, kind):
            raise NotHere(f"it has no {kind.replace('_', ' ')}")

    def needs_training(self) -> None:
        """Skips the check on a backend that can't train."""
        if self.info.backend not in ("tensorflow", "jax", "torch"):
            raise NotHere(f"the backend {self.info.backend} can't train")


def randomise(layer: Any, seed: int = 3) -> None:
    """Gives the floating weights of a layer other values than the initial ones, which may hide errors.

    What trains becomes random, between 0.1 and 0.9. The rest moves only a little: it may be a grid or a variance.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    trained = {id(weight) for weight in layer.trainable_weights}
    for weight in layer.weights:
        if is_floating(weight):
            held = read_value(weight)
            value = generator.uniform(0.1, 0.9, tuple(weight.shape))
            moved = value if id(weight) in trained else held * (1 + value / 20) + value / 50
            assign_value(weight, np.asarray(moved).astype(held.dtype))


def is_floating(weight: Any) -> bool:
    """Whether a weight holds floating-point numbers."""
    return "float" in dtype_of(weight)


def values(weights: Iterable[Any]) -> list[Any]:
    """The values of weights as arrays, which later changes leave alone."""
    import numpy as np

    return [np.array(as_array(read_value(weight))) for weight in weights]


def give_weights(layer: Any, source: Any, to: str) -> None:
    """Copies all weights of one layer to another; an error if they do not have the same shapes."""
    mine, theirs = ([tuple(weight.shape) for weight in each.weights] for each in (source, layer))
    if mine != theirs:
        raise CheckError(f"the layer has weights of the shapes {short(mine, 200)}, {to} has {short(theirs, 200)}")
    for old, new in zip(source.weights, layer.weights):
        assign_value(new, read_value(old))


def check_same(expected: Iterable[Any], found: Iterable[Any], what: str, tolerance: float = 1e-4) -> None:
    """Raises an error unless two lists of arrays are the same, but for rounding."""
    import numpy as np

    expected, found = list(expected), list(found)
    if len(expected) != len(found):
        raise CheckError(f"{what}: {len(found)} instead of {len(expected)}")
    for old, new in zip(expected, found):
        if old.shape != new.shape:
            raise CheckError(f"{what}: the shape is {new.shape} instead of {old.shape}")
        if old.dtype.kind not in "fc":
            if not np.array_equal(old, new):
                raise CheckError(f"{what}: {short(new.ravel()[:4])} instead of {short(old.ravel()[:4])}")
            continue
        difference = np.abs(old.astype("float64") - new.astype("float64"))
        allowed = tolerance * (1 + float(np.abs(old).max(initial=0)))
        if not (difference <= allowed).all():
            raise CheckError(f"{what}: they differ by {difference.max():.3g}, values are up to {np.abs(old).max():.3g}")


def outputs_to_train(model_outputs: Any) -> list[Any]:
    """The floating outputs of a model, which a loss can be computed of."""
    found = [tensor for tensor in leaves(model_outputs) if "float" in dtype_of_tensor(tensor)]
    if not found:
        raise NotHere("none of its outputs is floating")
    return found
