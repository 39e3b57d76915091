"""The command: it runs programs mended, and answers questions."""

import os
import subprocess
import sys

import pytest
from conftest import INFO

from keras_buildfix import affected_layers
from keras_buildfix.cli import main

LAYER = f"""
from {INFO.package} import layers
class Scaled(layers.Reshape):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        super().build(input_shape)
class Soft(layers.Softmax):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        super().build(input_shape)
"""

PROGRAM = """
import sys
import scaled
print(__name__, sys.argv[1:], scaled.Scaled((2, 2)).built, scaled.Soft().built)
if "fail" in sys.argv:
    raise ValueError("the program's own error")
"""

#: A test suite of somebody else's, that fails where builds are skipped.
SUITE = """
import scaled
def test_build_is_not_skipped():
    assert not scaled.Scaled((2, 2)).built and not scaled.Soft().built
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "scaled.py").write_text(LAYER)
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "test_suite.py").write_text(SUITE)
    return tmp_path


def run(project, *arguments, **env):
    variables = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **env}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=project, env=variables, capture_output=True, text=True, timeout=300
    )


def test_a_script_runs_mended_with_its_arguments_and_errors(project):
    done = run(project, "keras_buildfix", "run", "program.py", "--flag", "fail")
    assert done.stdout.splitlines() == ["__main__ ['--flag', 'fail'] False False"]
    assert done.returncode == 1
    assert "ValueError: the program's own error" in done.stderr


def test_a_module_runs_mended(project):
    done = run(project, "keras_buildfix", "run", "-m", "program", "x", "-v")
    assert done.stdout.splitlines() == ["__main__ ['x', '-v'] False False"], done.stderr
    assert done.returncode == 0


def test_a_test_run_of_somebody_elses_is_mended_by_environment_variable(project):
    done = run(project, "pytest", "-q", PYTEST_ADDOPTS="-p keras_buildfix.plugins.pytest -p no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    if affected_layers(INFO.version):
        assert run(project, "pytest", "-q", PYTEST_ADDOPTS="-p no:cacheprovider").returncode == 1


def test_skipped_builds_of_a_module_are_printed(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(project)
    monkeypatch.delitem(sys.modules, "scaled", raising=False)
    code = main(["skipped", "scaled"])
    printed = capsys.readouterr()
    expected = [name for name in ("Reshape", "Softmax") if name in affected_layers(INFO.version)]
    assert code == bool(expected)
    assert len(printed.out.splitlines()) == len(expected)
    assert printed.err == f"{len(expected)} skipped build(s) in 2 layer class(es) of 1 module(s) on {INFO}\n"
    for line in printed.out.splitlines():
        assert line.startswith(f"{project / 'scaled.py'}:")


def test_the_gate_is_shut_where_it_could_not_look(project, monkeypatch, capsys):
    """Findings are printed all the same, whatever comes after them."""
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(project)
    (project / "library").mkdir()
    (project / "library" / "__init__.py").write_text("import scaled\nclass Own(scaled.Scaled): pass\n")
    (project / "library" / "broken.py").write_text("import no_such_thing\n")
    number = len([name for name in ("Reshape", "Softmax") if name in affected_layers(INFO.version)])
    try:
        assert main(["skipped", "library", "json", "no_such_package", "scaled"]) == 2
        printed = capsys.readouterr()
        own = int("Reshape" in affected_layers(INFO.version))
        assert len(printed.out.splitlines()) == own + number
        *said, total = printed.err.splitlines()
        assert said[0].startswith("keras-buildfix: library: 1 of 2 modules can't be imported here: library.broken (Mod")
        assert said[0].endswith("(--allow-unimportable lets them be)")
        assert said[1].startswith("keras-buildfix: json: there is no layer class in it")
        assert said[2:] == ["keras-buildfix: No module named 'no_such_package'"]
        assert total.startswith(f"{own + number} skipped build(s) in 3 layer class(es) of ")
        assert main(["skipped", "--allow-unimportable", "library"]) == own
    finally:
        for name in ("library", "library.broken", "scaled"):
            sys.modules.pop(name, None)


def test_questions_are_answered(capsys):
    assert main(["info"]) == 0
    assert capsys.readouterr().out.strip() == str(INFO)
    assert main(["affected", "3.4"]) == 0
    assert capsys.readouterr().out.split() == ["Softmax"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["affected", "1.0"], "Keras 1.0 was not measured"),
        (["run"], "run what?"),
        (["run", "no_such.py"], "there is no script 'no_such.py'"),
        (["skipped", "no_such_package"], "No module named 'no_such_package'"),
    ],
    ids=["affected", "run", "script", "package"],
)
def test_mistakes_get_one_line(arguments, said, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"keras-buildfix: {said}")
