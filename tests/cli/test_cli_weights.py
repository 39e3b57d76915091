"""The commands on files of weights: they need no Keras."""

import importlib.util
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import weight_zoo
from environment import KERAS

from keras_buildfix import convert_weights, diff_weights, read_weights, save_weights
from keras_buildfix.cli import screen as _screen
from keras_buildfix.cli.main import main
from keras_buildfix.cli.screen import progress
from keras_buildfix.weight_files.writing import format_for


@pytest.fixture
def cnn(tmp_path):
    """A model's weights in a file, and where to put another."""
    model, _ = weight_zoo.make(KERAS, "cnn")
    path = str(tmp_path / "cnn.safetensors")
    save_weights(model, path)
    return model, path, str(tmp_path / "other.safetensors")


def test_show_prints_a_line_for_each_weight(cnn, capsys):
    model, path, _ = cnn
    assert main(["weights", "show", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["conv2d/kernel", "float32[3,", "3,", "3,", "4]"]
    assert len(lines) == len(model.weights) + 1
    size = sum(int(np.prod(weight.shape)) * 4 for weight in model.weights)
    assert lines[-1] == f"{len(model.weights)} weights, {size:,} bytes, safetensors (names)"


def test_show_prints_json(cnn, capsys):
    _, path, _ = cnn
    assert main(["weights", "show", path, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["format"] == "safetensors"
    assert shown["weights"][0] == {"name": "conv2d/kernel", "shape": [3, 3, 3, 4], "dtype": "float32", "bytes": 432}


def test_show_prints_statistics(tmp_path, capsys):
    path = str(tmp_path / "w.npz")
    arrays = {"kernel": np.array([[0.0, 2.0], [np.nan, 4.0]], "float32"), "lost": np.full(3, np.inf, "float16")}
    np.savez(path, **arrays)
    assert main(["weights", "show", path, "--stats"]) == 0
    header, line, *rows = capsys.readouterr().out.splitlines()
    assert header == "weight  dtype and shape  bytes  min  max  mean    std  zeros  nan  inf"
    assert set(line) == {"-"}
    assert rows[0].split() == ["kernel", "float32[2,", "2]", "16", "0", "4", "2", "1.633", "1", "1", "0"]
    assert rows[1].split() == ["lost", "float16[3]", "6", "0", "0", "3"]
    assert rows[2] == f"2 weights, 22 bytes in memory, {(tmp_path / 'w.npz').stat().st_size:,} in the file"
    assert main(["weights", "show", path, "--stats", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)  # NaN is no JSON
    assert (shown["format"], shown["memory"]) == ("npz", 22)
    kernel, lost = shown["weights"]
    assert {key: kernel[key] for key in ("name", "shape", "max", "nan")} == {
        "name": "kernel", "shape": [2, 2], "max": 4.0, "nan": 1
    }  # fmt: skip
    assert lost == {
        "name": "lost", "shape": [3], "dtype": "float16", "bytes": 6,
        "min": None, "max": None, "mean": None, "std": None, "zeros": 0, "nan": 0, "inf": 3,
    }  # fmt: skip
    assert main(["weights", "show", str(tmp_path / "no.h5"), "--stats"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_diff_says_what_differs_and_exits_with_1(cnn, capsys):
    model, path, other = cnn
    save_weights(model, other)
    assert main(["weights", "diff", path, other]) == 0
    assert "0 different" in capsys.readouterr().out
    kernel = model.layers[0].kernel
    value = weight_zoo.as_numpy(KERAS, kernel).copy()
    value[0, 0, 0, 0] += 0.5
    kernel.assign(value)
    save_weights(model, other)
    assert main(["weights", "diff", path, other]) == 1
    assert "! conv2d/kernel: 1 of 108 values, by up to 0.5" in capsys.readouterr().out
    assert main(["weights", "diff", path, other, "--json"]) == 1
    assert list(json.loads(capsys.readouterr().out)["changed"]) == ["conv2d/kernel"]


def test_diff_knows_names_shapes_and_dtypes(tmp_path):
    one, other = str(tmp_path / "one.npz"), str(tmp_path / "other.npz")
    np.savez(one, a=np.zeros(2), b=np.zeros(2), c=np.array([np.nan, 1.0]), d=np.zeros(2))
    np.savez(other, a=np.zeros(3), b=np.zeros(2, "float32"), c=np.array([np.nan, 1.0]), e=np.zeros(2))
    found = diff_weights(one, other)
    assert found.only_first == ("d",)
    assert found.only_second == ("e",)
    assert found.changed == {"a": "shape (2,) and (3,)", "b": "dtype float64 and float32"}
    assert found.equal == 1
    assert bool(found)


@pytest.mark.parametrize("form", [".npz", ".h5", ".safetensors"])
def test_convert_keeps_every_value(cnn, tmp_path, capsys, form):
    model, path, _ = cnn
    to, back = str(tmp_path / f"to{form}"), str(tmp_path / "back.safetensors")
    assert main(["weights", "convert", path, to]) == 0
    assert capsys.readouterr().out == f"{len(model.weights)} weights to {to}\n"
    assert main(["weights", "convert", to, back]) == 0
    assert not diff_weights(path, back)


@pytest.mark.parametrize("form", [".safetensors", ".npz"])
def test_convert_keeps_the_places_that_keras_files_by(tmp_path, form):
    model, inputs = weight_zoo.make(KERAS, "nested")
    path, to = str(tmp_path / "nested.weights.h5"), str(tmp_path / f"nested{form}")
    model.save_weights(path)
    convert_weights(path, to)
    reader = weight_zoo.Reader(KERAS, "nested")
    assert reader.read(to, weight_zoo.outputs_of(KERAS, model, inputs)) is None
    convert_weights(to, str(tmp_path / "back.weights.h5"))
    assert not diff_weights(path, tmp_path / "back.weights.h5")


def test_convert_renames(cnn, capsys):
    _, path, other = cnn
    command = ["weights", "convert", path, other, "--rename", "^conv2d/", "stem/", "--rename", "^dense", "head"]
    assert main(command) == 0
    with read_weights(other) as weights:
        assert {"stem/kernel", "stem/bias", "head/kernel", "head/bias"} <= set(weights)
        assert not any(name.startswith(("conv2d/", "dense")) for name in weights)


def test_convert_says_what_a_format_can_not_hold(cnn, tmp_path, capsys):
    model, path, _ = cnn
    assert main(["weights", "convert", path, str(tmp_path / "new.weights.h5")]) == 2
    assert "has names, which" in capsys.readouterr().err
    filed = str(tmp_path / "filed.weights.h5")
    model.save_weights(filed)
    assert main(["weights", "convert", filed, str(tmp_path / "new.h5")]) == 2
    assert "has positions, which" in capsys.readouterr().err
    assert main(["weights", "convert", path, str(tmp_path / "new.txt")]) == 2
    assert "weights are saved as .safetensors, .npz" in capsys.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cnn.safetensors", "filed.weights.h5"]


@pytest.mark.parametrize("command", ["show", "diff", "convert"])
def test_a_wrong_file_is_one_line_and_exit_code_2(command, tmp_path, capsys):
    wrong = tmp_path / "wrong.h5"
    wrong.write_text("not weights")
    more = [] if command == "show" else [str(tmp_path / "out.npz")]
    for path, message in ((str(wrong), "not begin like a .safetensors"), (str(tmp_path / "no.h5"), "No such file")):
        assert main(["weights", command, path, *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith("keras-buildfix: ")
        assert message in error
        assert error.count("\n") == 1


def test_the_commands_import_no_keras(cnn, tmp_path):
    _, path, _ = cnn
    kerases = ("keras", "tf_keras", "tensorflow", "jax", "torch")
    code = (
        "import sys; from keras_buildfix.cli.main import main;"
        f"main(['weights', 'show', {path!r}]); main(['weights', 'convert', {path!r}, {str(tmp_path / 'to.h5')!r}]);"
        f"main(['weights', 'show', {str(tmp_path / 'to.h5')!r}]); main(['weights', 'diff', {path!r}, {path!r}]);"
        f"print(*(name for name in sys.modules if name.split('.')[0] in {kerases}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


#: With rich where it is installed (every Keras 3 brings it), and as if it were not.
LOOKS = ["plain", "rich"] if importlib.util.find_spec("rich") else ["plain"]


@pytest.fixture(params=LOOKS)
def terminal(request, monkeypatch):
    """A narrow terminal, on which colours are not wanted; what is printed on it."""
    monkeypatch.setattr(_screen, "on_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "rich", None)
    return request.param


@pytest.mark.at_length
def test_a_table_fits_the_terminal_and_loses_no_letter(terminal, tmp_path, capsys):
    names = ["encoder/block_1/attention/multi_head_attention/query/kernel", "short [bold]"]
    np.savez(tmp_path / "w.npz", **{name: np.zeros((1, 2), "float32") for name in names})
    assert main(["weights", "show", str(tmp_path / "w.npz")]) == 0
    printed = capsys.readouterr().out
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]m", printed)  # no colour; bold is none
    *table, total = re.sub(r"\x1b\[[0-9;]*m", "", printed).splitlines()
    assert table[0].split() == ["weight", "dtype", "and", "shape"]
    assert max(map(len, table)) <= 40
    assert "".join("".join(line[:24] for line in table[1:]).split()).startswith(names[0])
    assert any(line.startswith(names[1]) and line.rstrip().endswith("float32[1, 2]") for line in table)
    assert total.startswith("2 weights, 16 bytes, npz")


@pytest.mark.at_length
def test_a_bar_is_drawn_on_a_terminal_for_what_takes_long(terminal, cnn, monkeypatch, capsys):
    _, path, other = cnn
    assert main(["weights", "convert", path, other]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(_screen, "PATIENCE", 0)
    assert main(["weights", "convert", path, other]) == 0
    error = capsys.readouterr().err
    assert "writing" in error
    assert "100%" in error
    assert (f"writing [{'#' * 40}] 100%\n" in error) == (terminal == "plain")
    with progress("halfway") as step:
        step(1, 2)
    assert capsys.readouterr().err.rstrip(" ")[-1] in "\nhK"  # the line of the bar has ended, or is gone


@pytest.mark.at_length
@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_without_numpy_a_whole_file_is_not_called_broken(ending, tmp_path, monkeypatch, capsys):
    path = str(tmp_path / f"w{ending}")
    np.savez(tmp_path / "w.npz", kernel=np.zeros((2, 3), "float32"))
    if ending != ".npz":
        convert_weights(tmp_path / "w.npz", path)
    monkeypatch.setitem(sys.modules, "numpy", None)
    code = main(["weights", "show", path])
    printed = capsys.readouterr()
    if ending == ".npz":
        assert (code, printed.err) == (2, "keras-buildfix: .npz files need numpy: `pip install numpy`.\n")
    else:  # its header is JSON
        assert (code, printed.out.splitlines()[0]) == (0, "kernel  float32[2, 3]")
        assert main(["weights", "diff", path, path]) == 2
        assert "need numpy: `pip install numpy`" in capsys.readouterr().err


def test_what_rename_can_not_be_is_one_error(cnn):
    _, path, other = cnn
    for wrong in ([("(", "x")], 3, ["abc"]):
        with pytest.raises(ValueError, match="rename is a mapping, a function, or pairs"):
            convert_weights(path, other, rename=wrong)
    assert format_for("weights") == "safetensors"
