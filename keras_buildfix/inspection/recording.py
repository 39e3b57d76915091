"""Runs a model once and records each call of a layer in it; afterwards the model is as it was."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from keras_buildfix._keras.classes import (
    belongs_to_keras,
    has_base,
    is_model,
    keras_of,
    layer_base,
    layer_instance,
    package_of,
)
from keras_buildfix._keras.object_state import HeldState
from keras_buildfix._keras.running import compiled_again, run_eagerly, same_names, same_random_state, written_line
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree


@dataclass(eq=False)
class Call:
    """One call of a layer.

    Attributes:
        layer: The layer itself.
        name: Its canonical name, such as ``"encoder/dense"``; the model's own name for the model.
        number: 0, 1 and so on, in the order in which the calls begin.
        depth: 0 for the model, 1 for what its ``call`` calls, and so on.
        parent: The number of the call in which this one is; None for the model's.
        args: The arguments by position, as given.
        kwargs: The arguments by keyword, as given.
        source: ``"model.py:12"``, the line in the user's code that makes the call; None inside a functional or
            sequential model, where no line of the user's does.
        outputs: What the call returned, if outputs are kept.
        error: What it raised.
    """

    layer: Any
    name: str
    number: int
    depth: int
    parent: int | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    source: str | None
    outputs: Any = None
    error: BaseException | None = None


@dataclass(eq=False)
class Recorder:
    """Makes a ``Call`` of each call of a layer in one thread, and knows the names of the layers in a model.

    Attributes:
        model: The model to which the names belong; None if there is none yet, then each layer has its own name.
        on_begin: Called with the layer before each call.
        on_end: Called with each call at its end, also when it raised.
        keep_outputs: Whether each call keeps its outputs after ``on_end``.
        around: Makes each call itself: it gets the call and a function that calls a layer with its arguments.
        paused: Whether calls are not recorded now.
        calls: The calls so far.
        built: The ``id`` of each layer that was there at the start -> whether it was built, and whether it had weights
            of its own that no build had made.
    """

    model: Any = None
    on_begin: Callable[[Any], None] | None = None
    on_end: Callable[[Call], None] | None = None
    keep_outputs: bool = False
    around: Callable[[Call, Callable[[Any], Any]], Any] | None = None
    paused: bool = False
    calls: list[Call] = field(default_factory=list)
    _open: list[Call] = field(default_factory=list)
    _names: dict[int, str] = field(default_factory=dict)
    _looked: dict[int, int] = field(default_factory=dict)
    _kept: list[Any] = field(default_factory=list)
    _leaves: set[int] = field(default_factory=set)
    _root: LayerNode | None = None

    def __post_init__(self) -> None:
        self.thread = threading.get_ident()
        self.built: dict[int, tuple[bool, bool]] = {}
        if self.model is not None:
            self._add_names(self.model, ())

    def run(self, do: Callable[..., Any], layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls a layer and records the call."""
        if self.paused or not (self._open or self.model is None or self.model is layer):
            return do(layer, *args, **kwargs)
        if self.on_begin is not None:
            self.on_begin(layer)
        parent = self._open[-1] if self._open else None
        name, source = self._name(layer, parent), _source(sys._getframe(2))
        number = parent.number if parent else None
        call = Call(layer, name, len(self.calls), len(self._open), number, args, kwargs, source)
        self.calls.append(call)
        self._open.append(call)
        try:
            with compiled_again() if id(layer) in self._leaves else contextlib.nullcontext():
                if self.around is None:
                    call.outputs = do(layer, *args, **kwargs)
                else:
                    call.outputs = self.around(call, lambda each: do(each, *args, **kwargs))
            return call.outputs
        except BaseException as error:
            call.error = error
            raise
        finally:
            self._open.pop()
            if self.on_end is not None:
                self.on_end(call)
            if not self.keep_outputs:
                call.outputs = None

    def tree(self) -> LayerNode:
        """The tree of the model as it is now."""
        if self._root is None:
            self._root = weight_tree(self.model)
        return self._root

    def is_to_build(self) -> bool:
        """Whether a layer in the model is not built yet."""
        return not all(getattr(each, "built", True) for each in self._kept)

    def look_again(self) -> None:
        """Gives the calls the names that their layers have now, if layers were added during the run."""
        if self._looked:
            paths = {id(node.layer): "/".join(node.path) for node in self.tree().nodes()}
            for call in self.calls:
                call.name = paths.get(id(call.layer)) or call.name

    def _add_names(self, layer: Any, path: tuple[str, ...]) -> None:
        at_start, root = not self._kept, weight_tree(layer, path)
        self._root = root if at_start else None
        for node in root.nodes():
            if not node.held and is_keras_own(node.layer):
                self._leaves.add(id(node.layer))
            self._names.setdefault(id(node.layer), "/".join(node.path) or str(layer.name))
            if at_start:
                built = bool(getattr(node.layer, "built", True))
                self.built[id(node.layer)] = built, not built and bool(node.own)
            self._kept.append(node.layer)  # while it is here, no other object gets its id

    def _name(self, layer: Any, parent: Call | None) -> str:
        """The name of a layer. One that was made after we looked is looked for in the layer that calls it."""
        if id(layer) not in self._names:
            inside = parent is not None and parent.layer is not self.model
            path = tuple(parent.name.split("/")) if parent is not None and inside else ()
            looked = self._looked.get(id(parent.layer), 0) if parent is not None else _OFTEN
            if parent is not None and looked < _OFTEN:
                self._looked[id(parent.layer)] = looked + 1
                self._add_names(parent.layer, path)
            if id(layer) not in self._names:
                self._names[id(layer)] = "/".join((*path, str(layer.name)))
                self._kept.append(layer)
        return self._names[id(layer)]


def is_keras_own(layer: Any) -> bool:
    """Whether Keras itself wrote what a layer that is no model does when it is called, and no user's function runs."""
    if is_model(layer) or has_base(type(layer), "Lambda"):
        return False
    owner = next((base for base in type(layer).__mro__ if "call" in vars(base)), None)
    return owner is not None and belongs_to_keras(owner) and owner is not layer_base(type(layer))


#: How often we look again for the layers in a layer; one that makes a layer at each call would take forever.
_OFTEN = 8

#: Each class whose ``__call__`` we have replaced, with what it was and who records.
_recording: dict[Any, tuple[Any, list[Recorder]]] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def recording(base: Any, recorder: Recorder) -> Iterator[None]:
    """A block in which a recorder sees the calls of all layers of this ``Layer`` class, in its own thread."""
    with _lock:
        if base not in _recording:
            _recording[base] = (base.__call__, [])
            base.__call__ = _recorded(base.__call__, _recording[base][1])
        _recording[base][1].append(recorder)
    try:
        yield
    finally:
        with _lock:
            before, recorders = _recording[base]
            recorders[:] = [each for each in recorders if each is not recorder]
            if not recorders:
                base.__call__ = before
                del _recording[base]


def _recorded(plain: Any, recorders: list[Recorder]) -> Any:
    """A ``__call__`` that tells the newest recorder of this thread."""

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        thread = threading.get_ident()
        mine = [each for each in recorders if each.thread == thread]
        return mine[-1].run(plain, self, args, kwargs) if mine else plain(self, *args, **kwargs)

    return __call__


def record_calls(
    model: Any,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    on_end: Callable[[Call], None] | None = None,
    keep_outputs: bool = False,
    wanted_by: str,
) -> list[Call]:
    """Runs a model once, eagerly and in inference, and returns the calls of the layers in it in their order.

    Args:
        model: A layer or model.
        args: Its inputs, by position.
        kwargs: Its inputs, by keyword. ``training`` is False if it is not here.
        on_end: Called with each call when it ends, also when it raised.
        keep_outputs: Whether the calls keep their outputs; a large model has many.
        wanted_by: The function of ours that the user called, for messages.

    Raises:
        TypeError: If `model` is not a Keras layer.
        Exception: What the model raises.
    """
    recorder, error = run_recorded(model, args, kwargs or {}, on_end, keep_outputs, wanted_by=wanted_by)
    if error is not None:
        raise error
    return recorder.calls


def run_recorded(
    model: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    on_end: Callable[[Call], None] | None = None,
    keep_outputs: bool = False,
    *,
    wanted_by: str,
    before: Callable[[Recorder], None] | None = None,
    after: Callable[[Recorder], None] | None = None,
) -> tuple[Recorder, Exception | None]:
    """As ``record_calls``; an error of the model is returned, with what was recorded until then.

    `before` gets the recorder of each run before the run, there are two if something is to be built; `after` gets the
    one that counts while the model still is as the run has left it.
    """
    base = layer_base(type(layer_instance(model, wanted_by)))
    assert base is not None
    given = args, _in_inference(model, args, kwargs)
    with unchanged(model) as state, run_eagerly():
        recorder, error = Recorder(model, state.add, on_end, keep_outputs), None
        if recorder.is_to_build():
            # A build may call layers too, with tensors without values. So one run builds, and the next one is recorded.
            first = Recorder(model, state.add)
            error = _run(base, first, given, before)
            built, recorder = recorder.built, Recorder(model, state.add, on_end, keep_outputs)
            recorder = first if error is not None else recorder
            recorder.built = built
        if error is None:
            error = _run(base, recorder, given, before)
        recorder.look_again()
        if after is not None:
            after(recorder)
    return recorder, error


def _run(base: type, recorder: Recorder, given: tuple[Any, Any], before: Any) -> Exception | None:
    if before is not None:
        before(recorder)
    with recording(base, recorder):
        try:
            recorder.model(*given[0], **given[1])
        except Exception as error:
            return error
    return None


def _in_inference(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keywords, and ``training=False`` if the model takes it and it is not given."""
    try:
        given = inspect.signature(model.call).bind_partial(*args, **kwargs)
    except (TypeError, ValueError):
        return kwargs  # Keras says what is wrong with the arguments
    if "training" in given.signature.parameters and "training" not in given.arguments:
        return {**kwargs, "training": False}
    return kwargs


@contextlib.contextmanager
def unchanged(model: Any) -> Iterator[HeldState]:
    """A block after which a model is as before it: its weights, what is built, and the attributes of its layers.

    Python, the backends and Keras draw the random numbers and make up the names that they would have, too. A layer
    that is not in the model, or not yet, is noted by ``add`` of what the block gets.
    """
    package = package_of(keras_of(type(model)).__name__) or ""
    state = HeldState()
    with same_random_state(package), same_names(package):
        state.add(model)
        try:
            yield state
        finally:
            state.restore()


#: The top-level packages whose code is not the user's.
_NOT_THE_USERS = frozenset(
    ("keras", "tf_keras", "tensorflow", "jax", "jaxlib", "torch", "numpy", "keras_buildfix", "contextlib", "threading")
)


def _source(frame: FrameType | None) -> str | None:
    """The line in which a user's code calls a layer; None if Keras's graph of a model does."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__") or "")
        if module.partition(".")[0] not in _NOT_THE_USERS:
            file, line = written_line(frame)
            return f"{os.path.basename(file)}:{line}"
        if frame.f_code.co_name == "call" and "self" in frame.f_locals:
            return None
        frame = frame.f_back
    return None


def tensors_in(structure: Any) -> list[Any]:
    """The tensors and arrays in nested lists, tuples, dicts and dataclasses, in order."""
    if dataclasses.is_dataclass(structure) and not isinstance(structure, type):
        return tensors_in([getattr(structure, each.name) for each in dataclasses.fields(structure)])
    if isinstance(structure, dict):
        return [tensor for value in structure.values() for tensor in tensors_in(value)]
    if isinstance(structure, (list, tuple)):
        return [tensor for value in structure for tensor in tensors_in(value)]
    return [structure] if hasattr(structure, "shape") and hasattr(structure, "dtype") else []
