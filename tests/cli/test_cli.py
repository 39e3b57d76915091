"""The command: it runs programs after `install()`, and answers questions."""

import gc
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import typing

import pytest
from environment import INFO

import keras_buildfix
from keras_buildfix import KerasInfo, affected_layers
from keras_buildfix._keras import info
from keras_buildfix.building.affected import Symptom
from keras_buildfix.cli.main import _parser, main

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


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "scaled.py").write_text(LAYER)
    (tmp_path / "program.py").write_text(PROGRAM)
    yield tmp_path
    sys.modules.pop("scaled", None)
    gc.collect()  # until then, its classes are still among the subclasses of Keras's


def run(project, *arguments, **env):
    variables = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **env}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=project, env=variables, capture_output=True, text=True, timeout=300
    )


def test_a_script_runs_after_install_with_its_arguments_and_errors(project):
    done = run(project, "keras_buildfix", "run", "program.py", "--flag", "fail")
    assert done.stdout.splitlines() == ["__main__ ['--flag', 'fail'] False False"]
    assert done.returncode == 1
    assert "ValueError: the program's own error" in done.stderr


def test_a_module_runs_after_install(project):
    done = run(project, "keras_buildfix", "run", "-m", "program", "x", "-v")
    assert done.stdout.splitlines() == ["__main__ ['x', '-v'] False False"], done.stderr
    assert done.returncode == 0


def test_skipped_builds_of_a_module_are_printed(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    code = main(["skipped", "scaled"])
    printed = capsys.readouterr()
    expected = [name for name in ("Reshape", "Softmax") if name in affected_layers(INFO.version)]
    assert code == bool(expected)
    assert len(printed.out.splitlines()) == len(expected)
    plural = "" if len(expected) == 1 else "s"
    total = f"{len(expected)} skipped build{plural} in 2 layer classes of 1 module, on {INFO} (--all: on every Keras)\n"
    assert printed.err == total
    for line in printed.out.splitlines():
        assert line.startswith("scaled.py:")
        assert line.endswith("Fix: put @deferred_build (from keras_buildfix) above the class.")
    assert main(["skipped", "./scaled.py", "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert [finding["base"] for finding in found["findings"]] == expected
    assert (found["keras"], found["classes"], found["problems"]) == (str(INFO), 2, [])


def test_skipped_builds_of_other_kerases_are_printed(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert main(["skipped", "scaled.py", "--keras", "3.9"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("scaled.py:8: Soft.build() never runs on Keras 3.9: Softmax marks the layer as built")
    assert printed.err.endswith("1 module, on Keras 3.9, judged by measurements of it\n")
    assert main(["skipped", "scaled.py", "--all"]) == 1
    soft, scaled = sorted(capsys.readouterr().out.splitlines(), key=lambda line: "Scaled" in line)
    assert " on Keras 3.0 to 3.9: Softmax " in soft
    assert " on Keras 3.12 and later: Reshape " in scaled
    assert main(["skipped", "scaled.py", "--keras", "1.0"]) == 2
    assert "Keras 1.0 was not measured" in capsys.readouterr().err


def test_a_class_is_explained(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    (project / "scaled.py").write_text("print('said at import')" + LAYER)
    assert main(["explain", "scaled.py:Soft"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "scaled.Soft"
    assert "3.0 to 3.9            build() never runs: Softmax marks the layer as built" in lines
    sys.modules.pop("scaled")
    assert main(["explain", "scaled:Soft", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["cls"] == "scaled.Soft"
    assert "said at import" in printed.err


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
        assert said[0].endswith("(--allow-unimportable accepts that)")
        assert said[1].startswith("keras-buildfix: json: there is no layer class in it")
        assert said[2:] == ["keras-buildfix: No module named 'no_such_package'"]
        assert total.startswith(
            f"incomplete: {own + number} skipped build{'' if own + number == 1 else 's'} in 3 layer classes of "
        )
        assert main(["skipped", "--allow-unimportable", "library"]) == own
    finally:
        for name in ("library", "library.broken"):
            sys.modules.pop(name, None)


def test_questions_are_answered(capsys):
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(INFO)
    assert lines[-1].split()[-1] == (affected_layers(INFO.version) or ("none",))[-1]
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["version"], found["backend"], found["problem"]) == (INFO.version, INFO.backend, "")
    assert INFO.backend == "numpy" or INFO.backend in found["installed_backends"]
    assert main(["affected", "3.4"]) == 0
    assert capsys.readouterr().out.split() == ["Softmax"]
    assert main(["affected", "3.11", "--symptom", "locked_state", "--json"]) == 0
    assert "Dropout" in json.loads(capsys.readouterr().out)["layers"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["affected", "1.0"], "Keras 1.0 was not measured"),
        (["run"], "name a program: "),
        (["run", "no_such.py"], "there is no script 'no_such.py'"),
        (["run", "-m", "no_such_module"], "there is no module 'no_such_module', neither in /"),
        (["run", "-m", "os.no_such"], "there is no module 'os.no_such'"),
        (["run", "-m", "email"], "'email' is a package without a __main__.py"),
        (["skipped", "no_such_package"], "No module named 'no_such_package'"),
        (["skipped", "./no_such"], "There is no file or folder './no_such' in /"),
        (["explain", "json"], "json is a module: name a layer class in it"),
    ],
    ids=["affected", "run", "script", "module", "submodule", "no main", "package", "path", "class"],
)
def test_mistakes_get_one_line(arguments, said, capsys):
    try:
        assert main(arguments) == 2
    finally:
        keras_buildfix.uninstall()
    assert capsys.readouterr().err.startswith(f"keras-buildfix: {said}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["skiped"], "keras-buildfix: there is no command 'skiped' (nearest: skipped). Commands: info, run, "),
        (["weights", "shwo"], "keras-buildfix weights: there is no command 'shwo' (nearest: show). Commands: show, "),
        (["info", "--jsn"], "keras-buildfix: there is no option '--jsn' here (nearest: --json)."),
        (["info", "--all"], "keras-buildfix: there is no option '--all' here (`keras-buildfix skipped` has it)."),
        (
            ["skipped"],
            "keras-buildfix skipped: the following arguments are required: package; `keras-",
        ),
        (["affected", "--symptom", "x"], "keras-buildfix affected: argument --symptom: invalid choice: 'x'"),
    ],
    ids=["command", "inner command", "option", "another's option", "nothing", "choice"],
)
def test_wrong_words_get_one_line_with_the_nearest(arguments, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(said)
    assert error.count("\n") == 1


def test_alone_it_prints_its_help(capsys):
    assert main([]) == 0
    assert "find the layers of a package" in capsys.readouterr().out
    assert main(["weights"]) == 0
    assert "names, shapes and dtypes" in capsys.readouterr().out


def test_every_command_has_a_description_an_example_that_parses_and_exit_codes():
    parser = _parser()
    commands = [each for each in parser.walk() if each is not parser]
    assert len(commands) == 13
    assert parser.commands["affected"].options["--symptom"] == typing.get_args(Symptom)
    for command in commands:
        text = command.format_help()
        assert command.description.endswith("."), command.prog
        assert "exit codes: " in text, command.prog
        examples = re.findall(r"^  keras-buildfix (.*)", text, re.MULTILINE)
        assert examples, command.prog
        for example in examples:
            assert parser.parse_args(shlex.split(example)).command, example


def test_a_program_fails_as_without_us_and_is_told_of_a_backend_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(info, "is_backend_installed", lambda name: name == "jax")
    program = tmp_path / "program.py"
    program.write_text("def inner():\n    raise ModuleNotFoundError('no torch', name='torch')\ninner()\n")
    before = list(sys.path)
    try:
        assert main(["run", str(program)]) == 1
    finally:
        sys.path[:] = before
        keras_buildfix.uninstall()
    error = capsys.readouterr().err
    frames = re.findall(r'File "(.*)", line (\d)', error)
    assert frames == [(str(program), "3"), (str(program), "2")]
    assert error.endswith("torch, which is not installed; jax is: set KERAS_BACKEND=jax\n")


def test_a_backend_that_is_installed_is_taken_where_the_configured_one_is_not(tmp_path, monkeypatch, capsys):
    """Of a Keras that is not imported yet: a fake one."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(info, "keras_info", lambda: KerasInfo("unloaded", "3.15.1", 3, os.environ["KERAS_BACKEND"]))
    monkeypatch.setattr(keras_buildfix, "keras_info", lambda: info.keras_info(), raising=False)
    monkeypatch.setattr(info, "is_backend_installed", lambda name: name in ("jax", "tensorflow"))
    hint = "unloaded 3.15.1 on torch, which is not installed; jax, tensorflow are: set KERAS_BACKEND=jax"
    assert main(["info"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == hint
    assert main(["skipped", "no_such_package"]) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[0] == f"keras-buildfix: {hint} (done for this command)"
    assert os.environ["KERAS_BACKEND"] == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(info, "is_backend_installed", lambda name: False)
    assert main(["skipped", "no_such_package"]) == 2
    assert "on torch, which is not installed: pip install torch." in capsys.readouterr().err
    monkeypatch.setenv("KERAS_BACKEND", "tensroflow")
    assert info.missing_backend(info.keras_info()).startswith("which is not a backend of Keras (tensorflow, jax, ")


def test_ctrl_c_is_one_word(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(keras_buildfix, "keras_info", interrupt, raising=False)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "keras-buildfix: interrupted\n"


@pytest.mark.at_length
def test_a_closed_pipe_is_silence():
    """With output that fits into a buffer, which is written as Python ends, and with more."""
    code = "import sys; from keras_buildfix.cli.main import main; sys.exit(main(['affected', '3.9']))"
    for lines in (0, 1):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as process:
            for _ in range(lines):
                process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == ""
        assert process.returncode in (0, 141)


@pytest.mark.at_length
def test_version_and_help_import_nothing_heavy():
    """Which takes 50 ms; with a Keras it would be 2 to 20 seconds, with these about 100 ms."""
    code = (
        "import sys; from keras_buildfix.cli.main import main\n"
        "for word in ('--version', '--help'):\n"
        "    try: main([word])\n"
        "    except SystemExit: pass\n"
        "print(*{'keras', 'numpy', 'packaging', 'rich', 'inspect', 'json', 'difflib'}.intersection(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"keras-buildfix {keras_buildfix.__version__}\n")
    assert done.stdout.splitlines()[-1] == ""


COMPLETED = {
    "keras-buildfix ski": ["skipped"],
    "keras-buildfix weights ": ["show", "diff", "convert"],
    "keras-buildfix weights show --j": ["--json"],
    "keras-buildfix affected --symptom lo": ["locked_state"],
    "keras-buildfix --print-completion z": ["zsh"],
    "keras-buildfix skipped my": [],
}


@pytest.mark.at_length
@pytest.mark.parametrize("shell", [shell for shell in ("bash", "zsh") if shutil.which(shell)])
def test_shells_complete_commands_options_and_their_values(shell, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--print-completion", shell])
    assert stopped.value.code == 0
    script = capsys.readouterr().out
    zsh = shell == "zsh"
    lines = ["autoload -U compinit && compinit -u 2>/dev/null" if zsh else "", script]
    for line in COMPLETED:
        words = shlex.split(line) + ([""] if line.endswith(" ") else [])
        lines += [
            f"COMP_WORDS=({' '.join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}; COMPREPLY=()",
            "emulate sh -c _keras_buildfix" if zsh else "_keras_buildfix",
            'echo "${COMPREPLY[*]}"',
        ]
    done = subprocess.run([shell, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert [line.split() for line in done.stdout.splitlines()] == list(COMPLETED.values()), done.stderr
