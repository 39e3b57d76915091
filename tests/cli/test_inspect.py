"""`keras-buildfix inspect`: what it prints, its exit codes, and that a file of somebody else's runs no code."""

import json
import os
import sys
import zipfile

import h5py
import numpy as np
import pytest
from environment import INFO

from keras_buildfix.cli.main import main

MODULE = f"""
import {INFO.package} as keras
from {INFO.package} import layers

print("imported")

class Scaled(layers.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)
    def call(self, x):
        return x * self.scale

@keras.utils.register_keras_serializable(package="mine")
class Registered(Scaled):
    pass

class Pair(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(name="pair", **kwargs)
        self.norm = layers.BatchNormalization(name="norm")
    def call(self, a, b=None):
        return self.norm(a) if b is None else self.norm(a) + self.norm(b)

class Widths(keras.Model):
    def __init__(self):
        super().__init__(name="widths")
        self.norm = layers.BatchNormalization(name="norm")
        self.dense = layers.Dense(5, name="dense")
    def call(self, x):
        return self.norm(self.dense(self.norm(x)))

class Fails(keras.Model):
    def call(self, x):
        raise ArithmeticError("no such luck")

fails = Fails()

def double(x):
    return 2 * x

def fine():
    return keras.Sequential([keras.Input((3,)), layers.Dense(2, name="head")], name="fine")

def two_inputs():
    a, b = keras.Input((3,)), keras.Input((4,), dtype="int32")
    table = layers.Embedding(5, 2, name="table")
    return keras.Model([a, b], [layers.Dense(2, name="dense")(a), table(b)], name="two")

def broken(units):
    return None

NUMBER = 3
"""


@pytest.fixture
def project(keras, tmp_path, monkeypatch):
    """A folder with the module `parts_to_inspect`, in which the command runs."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts_to_inspect.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("parts_to_inspect", None)
    keras.utils.get_custom_objects().pop("mine>Registered", None)


@pytest.fixture
def parts(project):
    """That module."""
    sys.path.insert(0, str(project))
    import parts_to_inspect

    return parts_to_inspect


def config_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def rewrite(path, change):
    """Writes a `.keras` again, with its config changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def saved(keras, name, *layers, path="model.keras"):
    """A saved `.keras` (2.12 writes HDF5 under that name, unless told)."""
    model = keras.Sequential([keras.Input((3,)), *layers], name=name)
    keyword = {"save_format": "keras_v3"} if INFO.version.startswith("2.12") and path.endswith(".keras") else {}
    model.save(path, **keyword)
    return path


def test_a_function_that_makes_a_model_is_inspected(project, capsys):
    assert main(["inspect", "parts_to_inspect.py:fine"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == f"fine (Sequential) of {INFO}"
    assert lines[1].split()[:3] == ["layer", "class", "calls"]
    assert any(line.split()[:2] == ["head", "Dense"] and "(2, 3)" in line for line in lines)
    assert lines[-1] == "2 weights, 8 numbers, 32 bytes"
    assert "imported" in err


def test_several_inputs_get_the_shapes_and_dtypes_that_the_model_says_or_that_are_asked_for(project, capsys):
    assert main(["inspect", "parts_to_inspect:two_inputs", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["version"], found["problem"]) == ("two", INFO.version, "")
    by_layer = {call["layer"]: call for call in found["calls"]["calls"]}
    assert by_layer["table"]["inputs"] == [[[2, 4], "int32"]]
    assert by_layer["dense"]["outputs"] == [[[2, 2], "float32"]]
    assert found["weights"] == {"count": 3, "numbers": 18, "bytes": 72}
    shapes = ["--input-shape", "5,3", "--input-shape", "5,4"]
    assert main(["inspect", "parts_to_inspect:two_inputs", "--json", *shapes]) == 0
    by_layer = {call["layer"]: call for call in json.loads(capsys.readouterr().out)["calls"]["calls"]}
    assert by_layer["dense"]["outputs"] == [[[5, 2], "float32"]]
    assert main(["inspect", "parts_to_inspect:two_inputs", *shapes[:2]]) == 2
    assert "the model has 2 inputs, and --input-shape was given 1 time" in capsys.readouterr().err


def test_a_normalization_that_is_shared_is_a_finding(project, capsys):
    assert main(["inspect", "parts_to_inspect:Pair", "--input-shape", "2,6", "--input-shape", "2,6", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [each["layer"] for each in found["reuse"]["findings"] if each["level"] == "warning"] == ["norm"]
    assert main(["inspect", "parts_to_inspect:Pair", "--input-shape", "2,6"]) == 0
    assert "parts_to_inspect.py:" in capsys.readouterr().out


def test_a_layer_that_cannot_serve_two_places_is_a_finding_though_the_model_cannot_be_called(project, capsys):
    assert main(["inspect", "parts_to_inspect:Widths", "--input-shape", "2,6"]) == 1
    out, err = capsys.readouterr()
    assert "error: " in out
    assert "'norm'" in out
    assert "the model could not be called on inputs of shape (2, 6): " in err


def test_nan_in_a_weight_is_a_finding(keras, project, capsys):
    layer = keras.layers.Dense(2, name="head")
    model = keras.Sequential([keras.Input((3,)), layer], name="m")
    layer.set_weights([np.full((3, 2), np.nan), np.zeros(2)])
    model.save("nan.h5")
    capsys.readouterr()
    assert main(["inspect", "nan.h5"]) == 1
    out = capsys.readouterr().out
    assert "error: the weight 'head/kernel'" in out
    assert "6 NaN" in out


def test_without_inputs_the_tree_is_printed_and_the_code_says_that_nothing_was_called(project, capsys):
    assert main(["inspect", "parts_to_inspect:Pair"]) == 2
    out, err = capsys.readouterr()
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [["pair", "Pair"], ["norm", "BatchNormalization"]]
    assert "the model was not called, for it does not say what its inputs are: give --input-shape" in err
    assert main(["inspect", "parts_to_inspect:fails", "--input-shape", "2,7"]) == 2
    error = capsys.readouterr().err
    assert "the model could not be called on inputs of shape (2, 7): " in error
    assert "no such luck" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_saved_model_with_own_classes_needs_them_by_name(keras, parts, capsys, ending):
    path = saved(keras, "m", parts.Scaled(name="own"), path=f"own{ending}")
    capsys.readouterr()
    assert main(["inspect", path]) == 2
    assert "--custom" in capsys.readouterr().err
    assert main(["inspect", path, "--custom", "parts_to_inspect:Scaled", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(call["layer"], call["cls"]) for call in found["calls"]["calls"]][-1] == ("own", "Scaled")


def test_a_registered_class_is_named_in_the_same_way(keras, parts, capsys):
    for path in ("own.keras", "own.h5"):
        saved(keras, "m", parts.Registered(name="own"), path=path)
        assert main(["inspect", path, "--custom", "parts_to_inspect:Registered"]) == 0
    assert "own" in capsys.readouterr().out


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_what_keras_itself_saves_is_not_refused(keras, project, capsys, ending):
    layers, inputs = keras.layers, keras.Input((4, 3))
    inner = keras.Sequential(
        [keras.Input((4, 6)), layers.BatchNormalization(), layers.Activation("relu")], name="inner"
    )
    x = layers.Dense(
        6, activation=keras.activations.relu, kernel_regularizer=keras.regularizers.L2(0.1), kernel_constraint="non_neg"
    )(inputs)
    y = layers.Dense(6, kernel_initializer=keras.initializers.RandomNormal(seed=1))(x)
    x = inner(y + x if ending == ".keras" else layers.Add()([y, x]))
    policy = "mixed_float16" if ending == ".keras" else None
    outputs = layers.Dense(2, dtype=policy)(layers.LSTM(2)(x))
    model = keras.Model(inputs, outputs, name="rich")
    if INFO.backend != "numpy":
        model.compile(keras.optimizers.Adam(0.1), keras.losses.MeanSquaredError())
    keyword = {"save_format": "keras_v3"} if INFO.version.startswith("2.12") and ending == ".keras" else {}
    model.save(f"rich{ending}", **keyword)
    capsys.readouterr()
    code = main(["inspect", f"rich{ending}", "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "inner" in {call["layer"] for call in json.loads(out)["calls"]["calls"]}


def test_own_functions_come_from_custom_only(keras, parts, capsys):
    path = saved(keras, "m", keras.layers.Dense(2, activation=parts.double, name="d"))
    capsys.readouterr()
    assert main(["inspect", path]) == 2
    assert "--custom" in capsys.readouterr().err
    assert main(["inspect", path, "--custom", "parts_to_inspect:double"]) == 0


#: A module that leaves a trace when it is imported.
MARKS = "import pathlib\npathlib.Path(r'{marker}').write_text('was imported')\n"


def layer_in(config):
    return config["config"]["layers"][-1]


HOSTILE = {
    "class": lambda config: layer_in(config).update(module="leaves_a_mark", class_name="Evil", registered_name=None),
    "registered name": lambda config: layer_in(config).update(module="leaves_a_mark", registered_name="Dense"),
    "no name": lambda config: layer_in(config).update(module="leaves_a_mark", class_name=["Dense"]),
    "activation": lambda config: layer_in(config)["config"].update(
        activation={
            "module": "leaves_a_mark",
            "class_name": "function",
            "config": "evil",
            "registered_name": "function",
        }
    ),
    "function with the name of a custom one": lambda config: layer_in(config)["config"].update(
        activation={"module": "leaves_a_mark.sub", "class_name": "function", "config": "f", "registered_name": "double"}
    ),
    "initializer": lambda config: layer_in(config)["config"].update(
        kernel_initializer={"module": "leaves_a_mark", "class_name": "Evil", "config": {}, "registered_name": "x>Evil"}
    ),
    "type": lambda config: layer_in(config)["config"].update(
        name={"module": "leaves_a_mark", "class_name": "__typespec__", "spec_name": "Evil", "config": []}
    ),
    "of Python": lambda config: layer_in(config)["config"].update(
        activation={"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"}
    ),
    "class of Python": lambda config: layer_in(config).update(module="builtins", class_name="open"),
    "of Keras": lambda config: layer_in(config)["config"].update(
        activation={"module": "keras.utils", "class_name": "get_file", "config": {}, "registered_name": None}
    ),
    "helper of Keras": lambda config: layer_in(config)["config"].update(
        activation={"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": None}
    ),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_no_module_is_imported_because_a_file_names_it(keras, parts, project, capsys, how):
    marker = project / "marker"
    (project / "leaves_a_mark.py").write_text(MARKS.format(marker=marker))
    path = saved(keras, "m", keras.layers.Dense(2, name="d"))
    rewrite(path, HOSTILE[how])
    capsys.readouterr()
    assert main(["inspect", path, "--custom", "parts_to_inspect:double"]) == 2
    error = capsys.readouterr().err
    assert not marker.exists()
    assert "leaves_a_mark" not in sys.modules
    assert "not imported because a file says so" in error or "is no name" in error


def test_no_module_is_imported_because_a_h5_names_it(keras, parts, project, capsys):
    marker = project / "marker"
    (project / "leaves_a_mark.py").write_text(MARKS.format(marker=marker))
    path = saved(keras, "m", keras.layers.Dense(2, name="d"), path="m.h5")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        HOSTILE["class"](config)
        file.attrs["model_config"] = json.dumps(config)
    assert main(["inspect", path]) == 2
    assert "'Evil' of the module 'leaves_a_mark', which is not Keras's: it is not" in capsys.readouterr().err
    assert not marker.exists()


def test_keras_itself_imports_what_a_file_names_before_3_9(keras, project):
    """Or all of this would not be needed."""
    marker = project / "marker"
    (project / "leaves_a_mark.py").write_text(MARKS.format(marker=marker))
    sys.path.insert(0, str(project))
    path = saved(keras, "m", keras.layers.Dense(2, name="d"))
    rewrite(path, lambda config: config.update(module="leaves_a_mark", class_name="Evil", registered_name=None))
    try:
        with pytest.raises((TypeError, ValueError)):
            keras.models.load_model(path, safe_mode=True, compile=False)
    finally:
        sys.modules.pop("leaves_a_mark", None)
    assert marker.exists() == (tuple(map(int, INFO.version.split(".")[:2])) < (3, 9))


def test_even_a_module_that_passes_as_known_is_not_imported(keras, parts, project, capsys):
    """Keras 2.12 looks for functions by another key than the others."""
    marker = project / "marker"
    (project / "leaves_a_mark.py").write_text(MARKS.format(marker=marker))
    path = saved(keras, "m", keras.layers.Dense(2, name="d"))
    named = {"module": "leaves_a_mark", "class_name": "function", "config": "double", "registered_name": "other"}
    rewrite(path, lambda config: layer_in(config)["config"].update(activation=named))
    main(["inspect", path, "--custom", "parts_to_inspect:double"])
    assert not marker.exists()
    assert "leaves_a_mark" not in sys.modules


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_lambda_is_refused_with_the_reason_and_a_way_out_that_works(keras, project, capsys, ending):
    path = saved(keras, "m", keras.layers.Lambda(lambda x: x + 1, name="code"), path=f"lambda{ending}")
    capsys.readouterr()
    assert main(["inspect", path]) == 2
    error = capsys.readouterr().err
    assert "the layer 'code' is a Lambda, which runs Python code that is in the file" in error
    assert "inspect mine.py:make_model" in error
    loading = "make_model = lambda: keras.models.load_model({!r}, safe_mode=False, compile=False)"
    (project / "mine.py").write_text(f"import {INFO.package} as keras\n{loading.format(path)}\n")
    try:
        assert main(["inspect", "mine.py:make_model", "--input-shape", "2,3"]) == 0
    finally:
        sys.modules.pop("mine", None)


def test_layers_that_read_other_files_are_refused(keras, project, capsys):
    path = saved(keras, "m", keras.layers.Dense(2, name="d"))
    words = {"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}
    rewrite(path, lambda config: config["config"]["layers"].append(words))
    assert main(["inspect", path]) == 2
    assert "has a StringLookup, which reads '/etc/passwd' from this machine" in capsys.readouterr().err
    function = {"class_name": "TFOpLambda", "config": {"name": "x", "function": "io.write_file"}}
    rewrite(path, lambda config: config["config"]["layers"].insert(0, function))
    rewrite(path, lambda config: config["config"]["layers"].pop())
    assert main(["inspect", path]) == 2
    assert "calls a function of TensorFlow that may do more than compute" in capsys.readouterr().err


def test_what_is_no_model_is_an_error(keras, project, capsys, tmp_path):
    saved(keras, "m", keras.layers.Dense(2, name="d"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "saved_model.pb").write_bytes(b"")
    (tmp_path / "text.keras").write_text("hello")
    with zipfile.ZipFile("empty.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    with h5py.File("weights.h5", "w") as file:
        file["x"] = [1.0]
    mistakes = {
        ("no_such.keras",): "there is no file 'no_such.keras' in /",
        ("graph",): "graph is a SavedModel: only .keras and .h5 files are opened here.",
        ("folder",): "folder is a folder: only .keras and .h5",
        ("text.keras",): "text.keras is no saved model: it is neither a zip",
        ("empty.keras",): "empty.keras is no saved model: it has 0 config.json",
        ("weights.h5",): "weights.h5 has weights and no model: save the whole model",
        ("parts_to_inspect:fin",): "parts_to_inspect has nothing called 'fin'. The nearest: fine.",
        ("parts_to_inspect",): "parts_to_inspect is a module: name something in it",
        ("parts_to_inspect:NUMBER",): "parts_to_inspect:NUMBER is no model, and does not return one: it is a int.",
        ("parts_to_inspect:broken",): "parts_to_inspect:broken was called without arguments and raised TypeError",
        ("parts_to_inspect:fine", "--input-shape", "3;3"): "--input-shape '3;3': a shape is sizes with commas",
        ("parts_to_inspect:fine", "--input-shape", "2,7"): "--input-shape 2,7: the model takes (None, 3), with the",
        ("parts_to_inspect:fine", "--custom", "x:y"): "--custom says what a saved model needs",
        ("parts_to_inspect:fine", "--dtype", "flat32"): "inputs of dtype 'flat32' can't be made here",
        ("parts_to_inspect:fine", "--plot", "x.gif"): "a picture is saved as one of .png, .svg, .pdf; got 'x.gif'",
        ("parts_to_inspect:fine", "--plot", "no/x.png"): "'no/x.png' can't be saved: there is no folder /",
        ("model.keras", "--custom", "parts_to_inspect:NUMBER"): "--custom parts_to_inspect:NUMBER is a int: name a",
    }
    for words, said in mistakes.items():
        capsys.readouterr()
        assert main(["inspect", *words]) == 2, words
        assert f"keras-buildfix: {said}" in capsys.readouterr().err


def test_pictures_are_saved(project, capsys):
    pytest.importorskip("matplotlib")
    assert main(["inspect", "parts_to_inspect:fine", "--plot", "calls.png", "--plot-weights", "weights.svg"]) == 0
    assert os.path.getsize("calls.png") > 1000
    assert os.path.getsize("weights.svg") > 1000
    assert main(["inspect", "parts_to_inspect:Pair", "--plot", "none.png"]) == 2
    assert "none.png was not drawn: there are no calls" in capsys.readouterr().err
    assert not os.path.exists("none.png")
