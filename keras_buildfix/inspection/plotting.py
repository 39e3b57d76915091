"""Pictures: ``plot_weights``, ``plot_gradients`` and ``plot_calls`` of a model, ``plot_affected_layers`` of Keras.

Each returns a ``matplotlib.figure.Figure`` that was made without pyplot: it opens no window, and changes no setting of
matplotlib. A notebook shows it; ``path`` saves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from keras_buildfix._keras.classes import layer_instance
from keras_buildfix.inspection.plotting_affected import draw_affected
from keras_buildfix.inspection.plotting_calls import draw_calls
from keras_buildfix.inspection.plotting_canvas import Path, Style, check_picture, finish
from keras_buildfix.inspection.plotting_gradients import draw_gradients
from keras_buildfix.inspection.plotting_weights import draw_weights

if TYPE_CHECKING:
    from keras_buildfix.inspection.calls import CallTrace
    from keras_buildfix.inspection.gradients import GradientReport


def plot_weights(model: Any, path: Path = None, *, page: int = 1, style: Style = "light") -> Any:
    """Draws histograms of the weights of a model: a panel for each layer that has weights of its own.

    Each weight of a layer has its colour, and its height is a share of its own fullest bin: a bias of few numbers is
    seen beside a kernel of many. A weight whose numbers are all the same is a line. NaN and Inf are counted in red.

    Args:
        model: A layer or model that is built, or of which parts are.
        path: Where to save the picture: a file that ends in ``.png``, ``.svg`` or ``.pdf``.
        page: Which page of a model with more than 240 such layers.
        style: ``"light"`` or ``"dark"``: the colours, whatever matplotlib is set to.

    Returns:
        The ``matplotlib.figure.Figure``.

    Raises:
        TypeError: If `model` is not a Keras layer.
        ValueError: If it has no weights, or there is no such page, style or kind of file.
        FileNotFoundError: If the folder of `path` is missing.
        ModuleNotFoundError: If matplotlib is not installed: ``pip install "keras-buildfix[plot]"``.

    Examples:
        >>> import keras
        >>> from keras_buildfix import plot_weights
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
        >>> figure = plot_weights(model)
        >>> len(figure.axes)
        2

    Source: Keras draws the layers (``plot_model``) and not what is in their weights.
    """
    layer = layer_instance(model, "plot_weights")
    check_picture("plot_weights", path, style)
    return finish(draw_weights(layer, page, style), path)


def plot_gradients(report: GradientReport, path: Path = None, *, page: int = 1, style: Style = "light") -> Any:
    """Draws the norm of each weight's gradient by depth: a row a weight, the first layer on top, on a log axis.

    What has no place on a log axis has a lane of its own, with a mark of its own: a gradient that is zero, None, NaN
    or Inf, and a weight that is not trained. Weights that explode or vanish have marks of their own too.

    Args:
        report: What ``check_gradients`` has returned.
        path: Where to save the picture: a file that ends in ``.png``, ``.svg`` or ``.pdf``.
        page: Which page of a report with more than 480 weights.
        style: ``"light"`` or ``"dark"``: the colours, whatever matplotlib is set to.

    Returns:
        The ``matplotlib.figure.Figure``.

    Raises:
        TypeError: If `report` is not a report of ``check_gradients``.
        ValueError: If it has no weights, or there is no such page, style or kind of file.
        FileNotFoundError: If the folder of `path` is missing.
        ModuleNotFoundError: If matplotlib is not installed: ``pip install "keras-buildfix[plot]"``.

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import check_gradients, keras_info, plot_gradients
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> if keras_info(model).backend in ("tensorflow", "jax", "torch"):
        ...     report = check_gradients(model, np.ones((4, 3)), np.zeros((4, 1)), "mse")
        ...     figure = plot_gradients(report, "gradients.png")

    Source: the numbers are those of ``check_gradients``.
    """
    _check_result("plot_gradients", report, "weights", "check_gradients")
    check_picture("plot_gradients", path, style)
    return finish(draw_gradients(report, page, style), path)


def plot_calls(trace: CallTrace, path: Path = None, *, page: int = 1, style: Style = "light") -> Any:
    """Draws who is called where: a row a call, indented under its caller, with shapes and lines of code.

    A layer that is called several times has a colour: its rows count the calls (``2/3``), and a bracket at the left
    joins them.

    Args:
        trace: What ``trace_calls`` has returned.
        path: Where to save the picture: a file that ends in ``.png``, ``.svg`` or ``.pdf``.
        page: Which page of a trace with more than 420 calls.
        style: ``"light"`` or ``"dark"``: the colours, whatever matplotlib is set to.

    Returns:
        The ``matplotlib.figure.Figure``.

    Raises:
        TypeError: If `trace` is not a result of ``trace_calls``.
        ValueError: If it has no calls, or there is no such page, style or kind of file.
        FileNotFoundError: If the folder of `path` is missing.
        ModuleNotFoundError: If matplotlib is not installed: ``pip install "keras-buildfix[plot]"``.

    Examples:
        >>> import keras
        >>> from keras_buildfix import plot_calls, trace_calls
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> figure = plot_calls(trace_calls(model), "calls.svg", style="dark")

    Source: ``plot_model`` draws functional models, and not what a subclassed model calls.
    """
    _check_result("plot_calls", trace, "calls", "trace_calls")
    check_picture("plot_calls", path, style)
    return finish(draw_calls(trace, page, style), path)


def plot_affected_layers(
    path: Path = None,
    *,
    versions: Sequence[str] | None = None,
    symptom: Literal["skipped_build", "locked_state", "built_twice"] = "skipped_build",
    style: Style = "light",
) -> Any:
    """Draws which built-in layers break their subclasses, over the Keras versions, as a heat map.

    Args:
        path: Where to save the picture: a file that ends in ``.png``, ``.svg`` or ``.pdf``.
        versions: The Keras versions, a column each. Without them: each minor release up to the last one in which
            something changed, which stands for all after it (``3.12+``).
        symptom: What breaks, as in ``affected_layers``.
        style: ``"light"`` or ``"dark"``: the colours, whatever matplotlib is set to.

    Returns:
        The ``matplotlib.figure.Figure``. Its rows are the layers that are affected on any of the versions.

    Raises:
        ValueError: If a version was not measured, or there is no such symptom, style or kind of file.
        FileNotFoundError: If the folder of `path` is missing.
        ModuleNotFoundError: If matplotlib is not installed: ``pip install "keras-buildfix[plot]"``.

    Examples:
        >>> from keras_buildfix import plot_affected_layers
        >>> figure = plot_affected_layers("affected.png", symptom="locked_state")

    Source: ``affected_layers``, as measured on each version.
    """
    check_picture("plot_affected_layers", path, style)
    return finish(draw_affected(versions, symptom, style), path)


def _check_result(wanted_by: str, result: object, attribute: str, made_by: str) -> None:
    if not isinstance(getattr(result, attribute, None), tuple) or not hasattr(result, "to_dict"):
        raise TypeError(f"{wanted_by} draws what {made_by}(...) returns; got an object of {type(result).__name__}.")
