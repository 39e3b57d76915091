"""The pictures: what is drawn of which numbers, that no text covers another, and errors before any work.

Most of it runs where matplotlib is installed (tox.ini says where).
"""

import math
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from environment import INFO

from keras_buildfix import (
    affected_layers,
    check_gradients,
    freeze,
    plot_affected_layers,
    plot_calls,
    plot_gradients,
    plot_weights,
    trace_calls,
)
from keras_buildfix._tables import Table
from keras_buildfix.inspection import plotting_canvas as canvas
from keras_buildfix.inspection.plotting_affected import releases


@dataclass(frozen=True)
class Call:
    """As `LayerCall`."""

    layer: str
    cls: str
    number: int
    depth: int
    parent: object
    source: object = None
    inputs: tuple = (((2, 8), "float32"),)
    outputs: tuple = (((2, 8), "float32"),)


@dataclass(frozen=True)
class Trace(Table):
    """As `CallTrace`."""

    model: str
    calls: tuple


@dataclass(frozen=True)
class Gradient:
    """As `WeightGradient`."""

    name: str
    norm: object
    verdict: str = "ok"


@dataclass(frozen=True)
class Gradients(Table):
    """As `GradientReport`."""

    loss: float
    weights: tuple


@pytest.fixture
def mpl():
    return pytest.importorskip("matplotlib")


def model_of(keras, layers):
    """A model of named `Dense(2)` layers."""
    dense = [keras.layers.Dense(2, name=f"stage_{at // 20}_block_{at // 5}_dense_{at}") for at in range(layers)]
    return keras.Sequential([keras.Input((2,)), *dense], name="plotted")


def texts_of(figure):
    """Each visible text of a figure, with its box in dots: left, bottom, right, top."""
    from matplotlib.text import Annotation, Text

    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    found = []
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and not isinstance(text, Annotation):
            found.append((text.get_text(), text.get_window_extent(renderer).extents))
    return found


def assert_legible(figure):
    """No text covers another, none is outside of the figure, none is smaller than six points."""
    from matplotlib.text import Text

    found = texts_of(figure)
    left, bottom, right, top = np.array([box for _, box in found]).T
    width, height = figure.get_size_inches() * figure.dpi
    assert left.min() >= 0
    assert bottom.min() >= 0
    assert right.max() <= width + 1
    assert top.max() <= height + 1
    across = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    along = np.minimum(top[:, None], top) - np.maximum(bottom[:, None], bottom)
    covered = np.argwhere(np.triu((across > 1) & (along > 2), 1))
    assert [(found[one][0], found[other][0]) for one, other in covered] == []
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 6


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def blended(colour, surface, share):
    parts = [
        round(int(colour[at : at + 2], 16) * share + int(surface[at : at + 2], 16) * (1 - share)) for at in (1, 3, 5)
    ]
    return "#" + "".join(f"{part:02x}" for part in parts)


@pytest.mark.parametrize("style", ["light", "dark"])
def test_the_colours_of_a_style_contrast_with_its_surface(style):
    colours = canvas.STYLES[style]
    assert min(contrast(each, colours.surface) for each in (colours.ink, colours.muted, colours.bad)) >= 4.5
    assert min(contrast(each, colours.surface) for each in colours.marks) >= 3
    assert min(contrast(colours.ink, blended(each, colours.surface, 0.35)) for each in colours.marks) >= 4.5
    assert len({*colours.marks}) == len(colours.marks)


@pytest.mark.parametrize(("layers", "style"), [(5, "light"), (200, "dark")])
def test_weights_have_a_panel_a_layer(keras, mpl, layers, style):
    figure = plot_weights(model_of(keras, layers), style=style)
    assert len(figure.axes) == layers
    assert figure.get_facecolor() == mpl.colors.to_rgba(canvas.STYLES[style].surface)
    said = {text for text, _ in texts_of(figure)}
    assert f"Weights of plotted: {layers} layers, {6 * layers:,} numbers" in said
    assert {"value (each panel has its own range)", "kernel", "bias", "Dense · 6 · bias all 0"} <= said
    assert_legible(figure)


def test_a_panel_shows_the_counts_of_the_numbers(keras, mpl):
    model = keras.Sequential([keras.Input((40,)), keras.layers.Dense(10, name="wide")], name="m")
    kernel = np.zeros((40, 10), "float32")
    kernel[:10], kernel[10:20] = 1.0, -1.0
    model.layers[-1].set_weights([kernel, np.full(10, 0.25, "float32")])
    (axes,) = plot_weights(model).axes
    filled = axes.patches[0]
    heights, edges, _ = filled.get_data()
    assert heights.sum() == 1 + 0.5 + 0.5  # 200 numbers are 0, and 100 each are at the ends
    assert (edges[0], edges[-1], heights[0], heights[-1]) == (-1, 1, 0.5, 0.5)
    (bias,) = axes.lines
    assert {*bias.get_xdata()} == {0.25}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["-1", "1"]


def test_nan_and_inf_are_counted_and_left_out_of_the_histogram(keras, mpl):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="a"), keras.layers.Dense(2, name="b")])
    kernel = np.arange(8, dtype="float32").reshape(4, 2)
    kernel[0, 0], kernel[1, 1], kernel[2, 0] = np.nan, np.inf, -np.inf
    model.get_layer("a").set_weights([kernel, np.zeros(2)])
    model.get_layer("b").set_weights([np.full((2, 2), np.nan), np.full(2, np.nan)])
    figure = plot_weights(model)
    said = {text for text, _ in texts_of(figure)}
    assert {"1 NaN and 2 Inf of 10", "6 NaN of 6", "no finite number"} <= said
    assert figure.axes[0].get_xlim()[1] < 8
    assert_legible(figure)


def test_weights_that_are_large_narrow_or_no_floats_are_drawn(keras, mpl):
    class Odd(keras.layers.Layer):
        def build(self, input_shape):
            weights = {"float32": (1500, 1000), "int32": (3,), "bool": (2,), "float16": ()}
            for dtype, shape in weights.items():
                self.add_weight(
                    name=f"of_{dtype}", shape=shape, dtype=dtype, initializer="zeros", trainable=dtype == "float32"
                )
            super().build(input_shape)

        def call(self, x):
            return x

    layer = Odd(name="odd")
    layer.build((None, 2))
    big = np.full((1500, 1000), 1.0, "float32")
    big[-1, -1] = np.nextafter(np.float32(1), np.float32(2))  # the last of the second chunk
    layer.set_weights(
        [big if tuple(weight.shape) == big.shape else np.ones(tuple(weight.shape)) for weight in layer.weights]
    )
    (axes,) = plot_weights(layer).axes
    heights = axes.patches[0].get_data().values
    assert np.isclose(heights.sum(), 1 + 1 / (big.size - 1))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "+1.19e-07"]
    assert len(axes.lines) == 3


def test_a_model_of_more_layers_than_a_page_is_drawn_in_pages(keras, mpl, monkeypatch):
    monkeypatch.setattr("keras_buildfix.inspection.plotting_weights.MOST", 3)
    model = model_of(keras, 5)
    figure = plot_weights(model, page=2)
    assert len(figure.axes) == 2
    assert "layers 4 to 5: page 2 of 2" in next(text for text, _ in texts_of(figure) if "Weights of" in text)
    for wrong in (0, 3, True, "2"):
        with pytest.raises(ValueError, match=r"page must be a number from 1 to 2, for there are 5 layers and 3 on a"):
            plot_weights(model, page=wrong)


def test_frozen_and_shared_layers_are_drawn_once(keras, mpl):
    shared = keras.layers.Dense(3, name="shared")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, shared(keras.layers.ReLU()(shared(inputs))))
    freeze(model, "shared")
    assert len(plot_weights(model).axes) == 1


def norms(layers):
    """A report with each kind of gradient."""
    kinds = [("ok", 0.1), ("zero", 0.0), ("none", None), ("nan", math.nan), ("exploding", 1e6), ("vanishing", 1e-9)]
    kinds += [("not trained", None), ("ok", 2.0), ("nan", math.inf)]
    weights = []
    for at in range(layers):
        verdict, norm = kinds[at % len(kinds)]
        weights.append(Gradient(f"encoder/stage_{at // 10}/dense_{at}/kernel", 0.3 + at / 100))
        weights.append(Gradient(f"encoder/stage_{at // 10}/dense_{at}/bias", norm, verdict))
    return Gradients(0.25, tuple(weights))


@pytest.mark.parametrize(("layers", "style"), [(9, "light"), (200, "dark")])
def test_gradients_are_marks_by_depth_on_a_log_axis_and_in_lanes(mpl, layers, style):
    report = norms(layers)
    figure = plot_gradients(report, style=style)
    on_axis = [axes for axes in figure.axes if axes.get_xscale() == "log"]
    assert [axes.get_xlabel() for axes in on_axis] == ["norm of the gradient (log)"] * len(on_axis)
    limits = {axes.get_xlim() for axes in on_axis}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low < 1e-9
    assert high > 1e6
    marks = [line for axes in figure.axes for line in axes.lines if line.get_marker() != "None"]
    assert len(marks) == len(report.weights)
    drawn = sorted(float(line.get_xdata()[0]) for axes in on_axis for line in axes.lines if line.get_marker() != "None")
    finite = [each.norm for each in report.weights if each.norm and math.isfinite(each.norm)]
    assert drawn == sorted(finite)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("ok", "vanishing", "exploding"),
        *("not trained", "none", "zero", "NaN or Inf"),
    ]
    assert len({(line.get_marker(), line.get_markerfacecolor()) for line in marks}) == 7
    assert_legible(figure)


def test_gradients_without_a_norm_are_still_drawn(mpl):
    figure = plot_gradients(Gradients(math.nan, (Gradient("dense/kernel", None, "none"),)))
    assert "Gradients by depth: 1 weight, loss nan" in {text for text, _ in texts_of(figure)}
    assert_legible(figure)


def calls(number):
    """A model of blocks, each of which calls its own normalization twice, and an activation that all share."""
    found = [Call("model", "Model", 0, 0, None)]
    while len(found) < number:
        block = len(found)
        found.append(Call(f"block_{block}", "ResidualBlock", block, 1, 0, f"model.py:{block}"))
        for name in (f"block_{block}/norm", "act", f"block_{block}/norm"):
            line = f"a_file_with_a_long_name.py:{len(found)}"
            found.append(Call(name, "BatchNormalization", len(found), 2, block, line))
    return Trace("model", tuple(found[:number]))


@pytest.mark.parametrize(("number", "style"), [(5, "light"), (200, "dark")])
def test_calls_are_rows_with_shared_layers_joined(mpl, number, style):
    from matplotlib.patches import Rectangle

    figure = plot_calls(calls(number), style=style)
    bars = [bar for axes in figure.axes for bar in axes.findobj(Rectangle) if bar is not axes.patch]
    assert len(bars) == number
    said = [text for text, _ in texts_of(figure)]
    assert f"Calls of model: {number} calls" in said
    assert any(text.startswith("norm 1/2 · Batch") for text in said)
    assert {"layer and class", "inputs → outputs", "called from", "2x8 → 2x8"} <= {*said}
    assert any("in colour: 2/3 is the second of three calls; tensors are float32" in text for text in said)
    assert_legible(figure)


def test_the_bars_of_a_shared_layer_have_its_colour_and_an_arrow_each(mpl):
    from matplotlib.patches import Rectangle
    from matplotlib.text import Annotation

    outer = Call("m", "Model", 0, 0, None)
    rows = [outer, *(Call(name, "Dense", at + 1, 1, 0) for at, name in enumerate(("a", "b", "a", "b", "c")))]
    (axes,) = plot_calls(Trace("m", tuple(rows))).axes
    bars = [bar.get_facecolor() for bar in axes.findobj(Rectangle) if bar is not axes.patch]
    assert bars[1] == bars[3] != bars[2] == bars[4]
    assert bars[0] == bars[5]
    assert len(axes.findobj(Annotation)) == 4


def test_results_of_trace_calls_and_check_gradients_are_drawn(keras, mpl):
    norm, outer = keras.layers.LayerNormalization(name="norm"), keras.Input((4,))
    x = norm(keras.layers.Dense(4, name="first")(norm(outer)))
    model = keras.Model(outer, keras.layers.Dense(1, name="head")(x), name="real")
    figure = plot_calls(trace_calls(model))
    said = {text for text, _ in texts_of(figure)}
    assert {"real · " + type(model).__name__, "norm 1/2 · LayerNormalization", "norm 2/2 · LayerNormalization"} <= said
    assert_legible(figure)
    if INFO.backend == "numpy":
        return  # it has no gradients
    freeze(model, "first")
    figure = plot_gradients(check_gradients(model, np.ones((2, 4), "float32"), np.zeros((2, 1), "float32"), "mse"))
    said = {text for text, _ in texts_of(figure)}
    assert {"Gradients by depth: 6 weights", "first/kernel", "head/bias", "not trained"} <= {
        text.partition(",")[0] for text in said
    }
    assert_legible(figure)


def test_dtypes_and_shapes_that_differ_are_on_the_row(mpl):
    row = Call("m", "M", 0, 0, None, None, (((None, 4), "float32"), ((), "int32")), (((2,), "float32"),))
    said = {text for text, _ in texts_of(plot_calls(Trace("m", (row,))))}
    assert "?x4, scalar int32 → 2" in said
    assert "no layer is shared; tensors are float32 unless said" in said


def test_a_name_is_never_read_as_a_formula(mpl):
    name = "cost_in_$_and_$x^2$\nnext"
    figure = plot_calls(Trace(name, (Call(name, "M", 0, 0, None),)))
    assert "Calls of cost_in_$_and_$x^2$?next: 1 call" in {text for text, _ in texts_of(figure)}
    assert_legible(plot_gradients(Gradients(1.0, (Gradient(name, 1.0),))))


@pytest.mark.parametrize("symptom", ["skipped_build", "locked_state", "built_twice"])
def test_the_heat_map_is_what_affected_layers_says(mpl, symptom):
    figure = plot_affected_layers(symptom=symptom, style="dark")
    (axes,) = figure.axes
    columns = [label.get_text() for label in axes.get_xticklabels()]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert tuple(columns) == releases()
    assert columns[0] == "2.12"
    assert columns[-1].endswith("+")
    cells = np.asarray(axes.collections[0].get_array()).reshape(len(rows), len(columns))
    for at, version in enumerate(columns):
        found = [row for row, cell in zip(rows, cells[:, at]) if cell]
        assert found == list(affected_layers(version.rstrip("+"), symptom=symptom))
    assert cells.any(axis=1).all()
    assert axes.get_xlabel().startswith("Keras release")
    assert_legible(figure)


def test_the_heat_map_has_the_versions_that_are_asked_for(mpl):
    (axes,) = plot_affected_layers(versions=["3.5", "3.9.2"]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["3.5", "3.9.2"]
    assert "none" in {text for text, _ in texts_of(plot_affected_layers(versions=["2.15"]))}
    with pytest.raises(ValueError, match=r"Keras 1\.0 was not measured"):
        plot_affected_layers(versions=["1.0"])
    with pytest.raises(TypeError, match="versions is a sequence of Keras versions"):
        plot_affected_layers(versions="3.9")


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_a_path_saves_the_picture(mpl, tmp_path, ending):
    path = tmp_path / f"calls{ending}"
    figure = plot_calls(calls(3), path)
    assert isinstance(figure, mpl.figure.Figure)
    assert path.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")


def test_no_window_backend_or_setting_is_touched(mpl):
    """Pyplot, where it is imported, knows of no figure, and the settings stay."""
    before, known = dict(mpl.rcParams), "matplotlib.pyplot" in sys.modules
    plot_calls(calls(5), style="dark")
    assert dict(mpl.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == known


def test_what_cannot_be_drawn_or_saved_is_an_error_before_any_work(keras, mpl, tmp_path):
    model, report = model_of(keras, 2), norms(1)
    with pytest.raises(ValueError, match=r"saves a picture as one of \.png, \.svg, \.pdf; got '.*w\.jpg'"):
        plot_weights(model, tmp_path / "w.jpg")
    with pytest.raises(FileNotFoundError, match=r"plot_gradients can't save .* there is no folder .*nowhere\. Make it"):
        plot_gradients(report, tmp_path / "nowhere" / "g.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        plot_affected_layers(tmp_path / "folder.png")
    with pytest.raises(ValueError, match="style must be one of 'light', 'dark'; got 'Dark'"):
        plot_calls(calls(2), style="Dark")
    with pytest.raises(ValueError, match=r"'relu' \(ReLU\) has no weights to draw"):
        plot_weights(keras.layers.ReLU(name="relu"))
    with pytest.raises(TypeError, match="plot_weights expects a Keras layer"):
        plot_weights({"kernel": 1})
    with pytest.raises(
        TypeError, match=r"plot_calls draws what trace_calls\(...\) returns; got an object of Sequential"
    ):
        plot_calls(model)
    with pytest.raises(TypeError, match=r"plot_gradients draws what check_gradients\(...\) returns; got an object of"):
        plot_gradients(calls(2))
    with pytest.raises(ValueError, match="the trace has no calls"):
        plot_calls(Trace("m", ()))
    with pytest.raises(ValueError, match="the report has no weights"):
        plot_gradients(Gradients(0.0, ()))


def test_without_matplotlib_the_error_says_what_to_install(keras, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (
        lambda: plot_weights(model_of(keras, 1)),
        lambda: plot_gradients(norms(1)),
        lambda: plot_calls(calls(2)),
        plot_affected_layers,
    ):
        with pytest.raises(ModuleNotFoundError, match=r"not installed: pip install \"keras-buildfix\[plot\]\""):
            draw()
