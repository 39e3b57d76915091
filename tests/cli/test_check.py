"""`keras-buildfix check`: on the Keras of this process, and on several in environments that uv makes."""

import json
import os
import stat
import sys

import pytest
from environment import ENVIRONMENT, INFO, RUNNERS

from keras_buildfix.cli.main import main

LAYERS = f"""
from {INFO.package} import layers

class Scaled(layers.Layer):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)
    def call(self, x):
        return x * self.scale * self.factor
    def get_config(self):
        return {{**super().get_config(), "factor": self.factor}}

class Forgets(Scaled):
    def get_config(self):
        return layers.Layer.get_config(self)

class Gated(layers.Layer):
    def call(self, x, gate):
        return x * gate
"""
FEW = ("--only", "construction", "call", "config", "config_keeps_arguments")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scaled_layers.py").write_text(LAYERS)
    yield tmp_path
    sys.modules.pop("scaled_layers", None)


def test_a_right_layer_passes(project, capsys):
    assert main(["check", "scaled_layers:Scaled", "--kwargs", '{"factor": 2}', "--shape", "4", *FEW]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[:2] == ["call", "passed"]
    assert f"Scaled(factor=2): 4 checks, 4 passed, on {INFO}" in err


def test_a_wrong_layer_fails_and_the_table_says_why(project, capsys):
    assert main(["check", "scaled_layers.py:Forgets", "--kwargs", '{"factor": 2}', "--shape", "4", *FEW]) == 1
    assert "1 argument of __init__ not in its config: 'factor'" in capsys.readouterr().out
    expected = ("--expect", "config_keeps_arguments")
    assert main(["check", "scaled_layers:Forgets", "--kwargs", '{"factor": 2}', "--shape", "4", *FEW, *expected]) == 0
    assert main(["check", "scaled_layers:Scaled", "--kwargs", '{"factor": 2}', "--shape", "4", *FEW, *expected]) == 1


def test_json_has_everything(project, capsys):
    assert (
        main(["check", "scaled_layers:Gated", "--shape", "x=4", "--shape", "gate=4", "--json", "--only", "call"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "layer": "Gated()",
        "keras": str(INFO),
        "version": INFO.version,
        "results": [{"check": "call", "status": "passed", "message": ""}],
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kwargs", "{units: 3}", "--shape", "4"], "--kwargs is no JSON"),
        (["--kwargs", "[3]", "--shape", "4"], "--kwargs is a JSON object"),
        (["--shape", "4;4"], "a shape is sizes with commas"),
        (["--shape", "x=4", "--shape", "4"], "name all inputs and each once"),
        (["--shape", "4", "--only", "cal"], "there is no check 'cal'. The nearest: call"),
        (["--kwargs", '{"factr": 3}', "--shape", "4"], "Scaled(factr=3) can't be made: "),
        (["--shape", "4", "--only", "mask"], "no check ran"),
        (["--shape", "4", "--backend", "jax"], "--backend and --with need --keras"),
        (["--shape", "4", "--keras", "2.99"], "The matrix has no Keras '2.99'"),
        (["--shape", "4", "--keras", "2.15", "--backend", "jax"], "runs on TensorFlow only"),
    ],
)
def test_what_cannot_be_checked_is_an_error(project, capsys, monkeypatch, words, said):
    monkeypatch.setattr("shutil.which", lambda name: f"/nowhere/{name}")
    assert main(["check", "scaled_layers:Scaled", *words]) == 2
    assert said in capsys.readouterr().err


#: Stands in for uv: an environment is a folder with this Python, and installing is a line in a file.
UV = """#!{python}
import os, pathlib, sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(" ".join(words) + "\\n")
if words[0] == "venv":
    folder = pathlib.Path(words[-1], "bin")
    folder.mkdir(parents=True)
    program = folder / "python"  # no link: Python would look for its packages next to that
    program.write_text("#!/bin/sh\\necho path: $(ls ${{PYTHONPATH%%:*}}) >> {log}\\nexec {python} \\"$@\\"\\n")
    program.chmod(0o755)
elif "broken" in words:
    sys.exit("error: there is no package called broken")
"""


@pytest.fixture
def uv(project, monkeypatch):
    """A stand-in for uv on PATH, and what it was asked."""
    log, program = project / "asked", project / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(UV.format(python=sys.executable, log=str(log)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    return log


HERE = f"{INFO.package.replace('_', '')}{'.'.join(INFO.version.split('.')[:2])}"


@pytest.mark.skipif(ENVIRONMENT not in RUNNERS, reason="starts processes that import Keras")
def test_several_keras_versions_are_one_table(project, uv, capsys):
    command = ["check", "scaled_layers:Forgets", "--kwargs", '{"factor": 2}', "--shape", "4", *FEW]
    where = [
        "--keras",
        f"{HERE},2.15",
        "--backend",
        "tensorflow",
        "--with",
        "mypackage==1.0",
        "--with-no-deps",
        "pinned==2",
    ]
    assert main([*command, *where]) == 2  # here "2.15" is another Keras: the environment has the one of this test
    out, err = capsys.readouterr()
    assert f"py311-{HERE}-tensorflow: 3 passed, 1 failed" in err
    assert "py311-keras2.15-tensorflow: " in err
    assert "was installed there: a requirement moved it" in err
    assert "config_keeps_arguments" in out
    assert "not in its config: 'factor'" in out
    asked = uv.read_text().splitlines()
    assert sum(line.startswith("venv") for line in asked) == 2
    assert any("tensorflow-cpu~=2.15.0" in line and "mypackage==1.0" in line for line in asked)
    assert sum("--no-deps pinned==2" in line for line in asked) == 2
    # Of what is installed here, they get this package and nothing else: the rest is for another Keras.
    found = [line.split()[1:] for line in asked if line.startswith("path: ")]
    assert found == [["keras_buildfix"]] * 2
    where[1] = HERE
    assert main([*command, *where, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["environments"]
    assert found[f"py311-{HERE}-tensorflow"]["problem"] == ""
    made = [line for line in asked if not line.startswith("path: ")]
    assert [line for line in uv.read_text().splitlines() if not line.startswith("path: ")] == made  # once, used again


@pytest.mark.skipif(ENVIRONMENT not in RUNNERS, reason="the same on each Keras")
def test_an_environment_that_cannot_be_made_is_named(project, uv, capsys):
    command = ["check", "scaled_layers:Scaled", "--shape", "4", "--keras", "3.9", "--backend", "jax"]
    assert main([*command, "--with", "broken"]) == 2
    assert "it could not be installed: error: there is no package called broken" in capsys.readouterr().err


@pytest.mark.skipif(ENVIRONMENT not in RUNNERS, reason="the same on each Keras")
def test_without_uv_it_says_how_to_get_it(project, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(project))
    assert main(["check", "scaled_layers:Scaled", "--shape", "4", "--keras", "3.9"]) == 2
    assert "`pip install uv`" in capsys.readouterr().err
