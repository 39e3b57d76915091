"""The command ``inspect``: the calls, shared layers, weights and NaN of a saved model, or of one that code makes."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras_buildfix
from keras_buildfix.cli.commands import Parser, add_command, add_json
from keras_buildfix.cli.screen import complain, counted, on_terminal, print_json, print_table, progress

if TYPE_CHECKING:
    from keras_buildfix import CallTrace, FiniteReport, ReuseReport, WeightStats

_SAVED = (".keras", ".h5", ".hdf5")
_PICTURES = (".png", ".svg", ".pdf")


class _Found:
    """What was found of a model; None for what could not be looked at."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.trace: CallTrace | None = None
        self.reuse: ReuseReport | None = None
        self.finite: FiniteReport | None = None
        self.weights: WeightStats | None = None
        self.problem = ""

    def not_finite(self) -> list[str]:
        """The weights and outputs with NaN or Inf, a line each."""
        if self.finite is not None:
            return [str(each) for each in self.finite.findings]
        stats = self.weights.weights if self.weights is not None else ()
        return [
            f"the weight {each.name!r} has {each.nan} NaN and {each.inf} Inf" for each in stats if each.nan or each.inf
        ]

    def shared(self) -> list[tuple[str, str]]:
        """The level and the message of each finding about shared layers."""
        return [(each.level, each.message) for each in self.reuse.findings] if self.reuse is not None else []

    def code(self) -> int:
        """The exit code."""
        wrong = self.not_finite() or any(level in ("error", "warning") for level, _ in self.shared())
        return 2 if self.problem and not wrong else int(bool(wrong))


def add_inspect(parser: Parser, commands: Any) -> None:
    """Adds the command ``inspect`` to the parser of the program."""
    inspect = add_command(
        parser,
        commands,
        "inspect",
        "look inside a model: its calls, shared layers, weights, NaN",
        "Opens a saved model (.keras, .h5), or makes one with a function, class or variable of a Python module. It "
        "calls the model once, and prints which layers are called with which shapes, layers that are shared where "
        "they must not be, the size of the weights, and where NaN or Inf is.\nNo code from a file runs: lambdas are "
        "refused, and what is not Keras's own comes only from --custom. Several --input-shape are the shapes of "
        "several inputs, with the batch; a functional model needs none.",
        examples=[
            "inspect model.keras --custom mylayers.pool:ScaledPool",
            "inspect src/models.py:make_model --input-shape 2,32,32,3 --plot calls.png",
        ],
        codes="0 nothing found, 1 findings, 2 the model could not be opened, made or called",
        run=_inspect,
    )
    inspect.add_argument(
        "target", help="a .keras or .h5 file; package.module:NAME or path.py:NAME of a model or factory"
    )
    inspect.add_argument(
        "--input-shape", metavar="SIZES", action="append", help="the shape of an input, with the batch: 2,32,32,3"
    )
    inspect.add_argument("--dtype", help="the dtype of the inputs (default: what the model says, else float32)")
    inspect.add_argument(
        "--custom", metavar="MODULE:NAME", action="append", default=[], help="a class or function that the file needs"
    )
    inspect.add_argument("--plot", metavar="PICTURE", help="save a picture of the calls as .png, .svg or .pdf")
    inspect.add_argument("--plot-weights", metavar="PICTURE", help="save a picture of the weights")
    add_json(inspect)
    inspect.options.update(dict.fromkeys(("--input-shape", "--dtype", "--custom", "--plot", "--plot-weights"), ()))


def _inspect(args: argparse.Namespace) -> int:
    shapes = [_sizes(text) for text in args.input_shape or ()]
    for path in (args.plot, args.plot_weights):
        _check_picture(path)
    if args.custom and not _is_saved(args.target):
        raise ValueError("--custom says what a saved model needs: a function of your own imports its classes itself.")
    sys.path.insert(0, os.getcwd())
    with contextlib.redirect_stdout(sys.stderr):  # what modules and layers print is no result
        with progress(f"inspecting {args.target}") as step:
            step(0, 5)
            model = _model(args.target, args.custom)
            step(1, 5)
            found = _look(model, shapes, args.dtype, step)
        if args.plot and found.trace is not None:
            keras_buildfix.plot_calls(found.trace, args.plot)
        if args.plot_weights:
            keras_buildfix.plot_weights(model, args.plot_weights)
    if args.json:
        _print_as_json(found)
    else:
        _print(found)
    if args.plot and found.trace is None:
        complain(f"{args.plot} was not drawn: there are no calls.")
    return found.code()


def _is_saved(target: str) -> bool:
    """Whether a target is a file or folder, and not something in a module."""
    return target.lower().endswith(_SAVED) or (os.path.exists(target) and not target.endswith(".py"))


def _sizes(text: str) -> tuple[int, ...]:
    words = [word for word in re.split(r"[,x\s()]+", text) if word]
    if not words or not all(word.isdecimal() for word in words):
        raise ValueError(f"--input-shape {text!r}: a shape is sizes with commas, with the batch, such as 2,32,32,3.")
    return tuple(map(int, words))


def _check_picture(path: str | None) -> None:
    """Raises an error, before a model is opened, if there could be no picture."""
    if path is None:
        return
    folder = os.path.dirname(os.path.abspath(path))
    if not path.lower().endswith(_PICTURES):
        raise ValueError(f"a picture is saved as one of {', '.join(_PICTURES)}; got {path!r}.")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path!r} can't be saved: there is no folder {folder}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise ModuleNotFoundError('a picture needs matplotlib: pip install "keras-buildfix[plot]".', name="matplotlib")


def _model(target: str, custom: Sequence[str]) -> Any:
    """The model that a target names."""
    from keras_buildfix._keras.classes import layer_base
    from keras_buildfix.building.importing import import_object

    if _is_saved(target):
        if not os.path.exists(target):
            raise FileNotFoundError(f"there is no file {target!r} in {os.getcwd()}.")
        from keras_buildfix.cli.opening import open_model

        keras = importlib.import_module(keras_buildfix.keras_info().package)
        given = [import_object(name) for name in custom]
        return open_model(target, {_name(each, name): each for each, name in zip(given, custom)}, keras)
    made = import_object(target)
    if layer_base(type(made)) is None and callable(made):
        try:
            made = made()
        except Exception as error:
            raise ValueError(
                f"{target} was called without arguments and raised {type(error).__name__}: {error}. Name a function "
                "without arguments that returns the model, or a model."
            ) from error
    if layer_base(type(made)) is None:
        raise TypeError(
            f"{target} is no model, and does not return one: it is a {type(made).__name__}. Name a model, or a "
            "function without arguments that returns it."
        )
    return made


def _name(thing: Any, target: str) -> str:
    name = getattr(thing, "__name__", None)
    if not isinstance(name, str):
        raise TypeError(f"--custom {target} is a {type(thing).__name__}: name a class or a function.")
    return name


def _look(model: Any, shapes: Sequence[tuple[int, ...]], dtype: str | None, step: Any) -> _Found:
    """Calls a model and looks at what it does; without inputs, only at its weights."""
    from dataclasses import replace

    found = _Found(model)
    inputs = _inputs(model, shapes, dtype)
    if inputs is None:
        found.problem = (
            "the model was not called, for it does not say what its inputs are: give --input-shape 2,32,32,3."
        )
    else:
        try:
            found.reuse = keras_buildfix.check_reuse(model, *inputs)  # it explains what makes the others fail
            step(2, 5)
            found.finite = keras_buildfix.check_finite(model, *inputs)
            step(3, 5)
            first, *rest = (trace := keras_buildfix.trace_calls(model, *inputs)).calls
            # The line that calls the model is ours.
            found.trace = replace(trace, calls=(replace(first, source=None), *rest))
            step(4, 5)
        except Exception as error:  # the model's own
            found.finite = found.finite or getattr(error, "report", None)
            shown = ", ".join(str(tuple(each.shape)) for each in _arrays(inputs))
            found.problem = f"the model could not be called on inputs of shape {shown}: {_in_line(error)}"
    with contextlib.suppress(ValueError):  # it has no weights
        found.weights = keras_buildfix.weight_stats(model)
    return found


def _inputs(model: Any, shapes: Sequence[tuple[int, ...]], dtype: str | None) -> tuple[Any, ...] | None:
    """What to call a model with: numbers from 0 to 1, the same in each run; zeros if they are whole numbers."""
    import numpy as np

    own = _own_inputs(model)
    flat = list(own.values()) if isinstance(own, dict) else own if isinstance(own, (list, tuple)) else [own]
    flat = [] if own is None else list(flat)
    if not shapes and not flat:
        return None
    if shapes and len(flat) > 0 and len(shapes) != len(flat):
        raise ValueError(
            f"the model has {counted(len(flat), 'input')}, and --input-shape was given {counted(len(shapes), 'time')}."
        )
    for given, each in zip(shapes, flat):
        wanted = tuple(each.shape)
        if len(given) != len(wanted) or any(size not in (None, have) for size, have in zip(wanted, given)):
            raise ValueError(f"--input-shape {','.join(map(str, given))}: the model takes {wanted}, with the batch.")
    random = np.random.default_rng(0)
    arrays: list[Any] = []
    for at in range(len(shapes) or len(flat)):
        shape = shapes[at] if shapes else [size or (2 if axis == 0 else 32) for axis, size in enumerate(flat[at].shape)]
        kind = dtype or (_dtype(flat[at]) if flat else "float32")
        try:
            floating = np.dtype(kind).kind == "f"
        except TypeError:
            raise ValueError(f"inputs of dtype {kind!r} can't be made here: give another --dtype.") from None
        arrays.append((random.random(shape) if floating else np.zeros(shape)).astype(kind))
    if isinstance(own, dict):
        return (dict(zip(own, arrays)),)
    return (arrays,) if isinstance(own, (list, tuple)) else tuple(arrays)


def _own_inputs(model: Any) -> Any:
    """What a functional or sequential model says of its inputs: a tensor of Keras, a list or dict of them; or None."""
    found = None
    for name in ("input", "inputs"):
        with contextlib.suppress(AttributeError, ValueError, TypeError, IndexError):  # subclassed, or not built
            found = getattr(model, name)
            found = found[0] if name == "inputs" and len(found) == 1 else found
            break
    values = list(found.values()) if isinstance(found, dict) else found if isinstance(found, (list, tuple)) else [found]
    return found if values and all(hasattr(each, "shape") and hasattr(each, "dtype") for each in values) else None


def _dtype(tensor: Any) -> str:
    name = str(getattr(tensor.dtype, "name", tensor.dtype)).replace("torch.", "")
    return "float32" if name == "bfloat16" else name


def _in_line(error: BaseException) -> str:
    """An error of Keras in one line, without its colours."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())
    return f"{type(error).__name__}: {text if len(text) <= 400 else text[:400] + ' ...'}"


def _arrays(inputs: tuple[Any, ...]) -> list[Any]:
    found: list[Any] = []
    for each in inputs:
        found += list(each.values()) if isinstance(each, dict) else each if isinstance(each, list) else [each]
    return found


# --- What is printed ---------------------------------------------------------------------------


def _print(found: _Found) -> None:
    model = found.model
    print(f"{model.name} ({type(model).__name__}) of {keras_buildfix.keras_info(model)}")
    if found.trace is not None:
        headers, rows = found.trace._table()
        head = [header.strip() for header in headers]
        # In a pipe, too: nobody could tell what these columns are.
        print_table(head, rows if on_terminal(sys.stdout) else [head, *rows])
        for name in found.trace.not_called:
            print(f"never called: {name}")
    else:
        print_table(("layer", "class", "weights"), _tree(model))
    for level, message in found.shared():
        print(f"{level}: {message}")
    for line in found.not_finite():
        print(f"error: {line}")
    print(_weights_in_words(found.weights))
    if found.problem:
        complain(found.problem)


def _tree(model: Any) -> list[tuple[str, str, str]]:
    """The layers of a model that could not be called, with the number of their weights."""
    seen: set[int] = set()
    rows: list[tuple[str, str, str]] = []

    def add(layer: Any, depth: int) -> None:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        try:
            number = str(len(layer.weights))
        except ValueError:  # Keras 2: not built
            number = "not built"
        rows.append(("  " * depth + str(layer.name), type(layer).__name__, number))
        for child in getattr(layer, "layers", ()):
            add(child, depth + 1)

    add(model, 0)
    return rows


def _weights_in_words(stats: WeightStats | None) -> str:
    if stats is None:
        return "no weights"
    total = _numbers_in(stats)
    return f"{counted(len(stats.weights), 'weight')}, {total:,} numbers, {stats.memory:,} bytes"


def _numbers_in(stats: WeightStats) -> int:
    import math

    return sum(math.prod(each.shape) for each in stats.weights)


def _print_as_json(found: _Found) -> None:
    info = keras_buildfix.keras_info(found.model)
    stats = found.weights
    print_json(
        {
            "model": str(found.model.name),
            "class": type(found.model).__name__,
            "keras": str(info),
            "version": info.version,
            "problem": found.problem,
            "calls": found.trace.to_dict() if found.trace is not None else None,
            "reuse": found.reuse.to_dict() if found.reuse is not None else None,
            "finite": found.finite.to_dict() if found.finite is not None else None,
            "not_finite": found.not_finite(),
            "weights": None
            if stats is None
            else {"count": len(stats.weights), "numbers": _numbers_in(stats), "bytes": stats.memory},
        }
    )
