"""The tox plugin: tox itself runs on small projects, and installs wheels of a few lines in place of Keras and others.

On one environment: no Keras is used.
"""

import logging
import os
import re
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import planning
import pytest
from tox.run import run as run_tox

import keras_buildfix
from keras_buildfix import matrix

PACKAGE = Path(keras_buildfix.__file__).resolve().parent
#: The oldest tox that the extra `tox` allows.
OLDEST = "4.4.0"
ENV_LIST = "keras{2.15,3.6,latest}-{tensorflow,jax}, lint"
INI = """
[tox]
env_list = {env_list}
[testenv]
package = {package}
{testenv}
"""
#: The version on disk, the metadata, and what chose the backend.
SHOW = """
import keras, os
from importlib import metadata
print("FOUND", keras.__version__, metadata.version("keras"), os.environ["KERAS_BACKEND"], os.environ["KERAS_HOME"])
"""


def wheel(folder, name, version, needs=(), module=None):
    """A wheel with one module that knows its version."""
    info = f"{name}-{version}.dist-info"
    files = {f"{module or name}/__init__.py": f'__version__ = "{version}"\n'} if module != "" else {}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {need}\n" for need in needs
    )
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for each, text in files.items():
            archive.writestr(each, text)
    return folder / f"{name}-{version}-py3-none-any.whl"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("2.15.0", "3.6.0", "3.9.2", "3.15.1"):
        wheel(folder, "keras", version)
    wheel(folder, "keras_nightly", "3.16.0.dev2026110100", module="keras")
    wheel(folder, "jax", "0.5.3")
    for name in ("tensorflow_cpu", "tensorflow"):
        wheel(folder, name, "2.21.0", ["keras>=3.12.0"], module="tensorflow")
        wheel(folder, name, "2.19.1", ["keras>=3.5.0"], module="tensorflow")
        wheel(folder, name, "2.15.1", ["keras>=2.15.0,<2.16"], module="tensorflow")
    wheel(folder, "tensorflow", "2.22.0rc0", ["keras-nightly>=3.12.0.dev"])
    wheel(folder, "mover", "1.0", ["keras>=3.12"])
    wheel(folder, "needs_tensorflow", "1.0", ["tensorflow", "keras"])
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs tox in this process, which is quicker, in the folder `tmp_path`."""
    for name in [name for name in os.environ if name.startswith(("TOX", "KERAS", "PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    handlers = logging.getLogger().handlers[:]

    def run(*words, **env):
        with monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            capfd.readouterr()
            with pytest.raises(SystemExit) as ended:
                run_tox([*words, "--colored", "no"])
        out, err = capfd.readouterr()
        return types.SimpleNamespace(code=ended.value.code, out=out, said=out + err)

    yield run
    logging.getLogger().handlers[:] = handlers


@pytest.fixture
def project(tmp_path, run):
    """Writes a tox.ini; returns what runs tox on it."""

    def project(testenv="", env_list=ENV_LIST, package="skip"):
        (tmp_path / "tox.ini").write_text(INI.format(env_list=env_list, testenv=testenv, package=package))
        return run

    return project


def offline(wheels):
    """The settings with which pip and uv find nothing but these wheels."""
    return {
        "PIP_FIND_LINKS": str(wheels),
        "UV_FIND_LINKS": str(wheels),
        "PIP_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "UV_CACHE_DIR": str(wheels / "cache"),
    }


def listed(done):
    assert done.code == 0, done.said
    return [line.split()[0] for line in done.out.splitlines() if " -> " in line]


def shown(done, key):
    """The lines of a setting that `tox config` shows."""
    assert done.code == 0, done.said
    lines, found = done.out.splitlines(), []
    start = next(at for at, line in enumerate(lines) if line.startswith(f"{key} ="))
    found.append(lines[start].partition("=")[2].strip())
    for line in lines[start + 1 :]:
        if not line.startswith("  "):
            break
        found.append(line.strip())
    return [line for line in found if line]


TOML = 'env_list = ["keras2.15-tensorflow", "keras2.15-jax", "keras3.6-jax"]\n'


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("tox.ini", "[tox]\nenvlist = keras{2.15,3.6}-{tensorflow,jax}\n"),
        ("tox.toml", TOML),
        ("pyproject.toml", f"[tool.tox]\n{TOML}"),
        ("pyproject.toml", '[tool.tox]\nlegacy_tox_ini = """\n[tox]\nenv_list = keras{2.15,3.6}-jax, lint\n"""\n'),
    ],
)
def test_impossible_corners_are_left_out_of_the_list(run, tmp_path, file, text):
    (tmp_path / file).write_text(text)
    names = listed(run("list"))
    assert "keras2.15-jax" not in names
    assert "keras3.6-jax" in names


def test_an_impossible_corner_that_is_named_is_skipped_with_the_reason(project):
    done = project("commands = python -c 'print(1)'")("run", "-e", "keras2.15-jax")
    assert "keras2.15-jax: skipped because keras-buildfix: Keras 2.15 runs on TensorFlow only" in done.said
    assert "congratulations" not in done.said
    assert done.code


def test_an_env_list_of_which_nothing_is_left_is_an_error(project):
    done = project(env_list="keras2.15-{jax,torch}")("run")
    assert "keras-buildfix: env_list has no environment that can be:\n" in done.said
    assert "keras2.15-torch: Keras 2.15 runs on TensorFlow only" in done.said
    assert "congratulations" not in done.said
    assert "Traceback" not in done.said
    assert done.code


@pytest.mark.parametrize("name", ["keras3.99-jax", "keras3.6-mxnet", "keras3.6-jax-torch", "3.6-jax", "keras3.6"])
def test_a_name_that_can_not_be_meant_is_one_clear_error(project, name):
    done = project(env_list=f"{name}, lint")("run", "-e", "lint")
    assert f"keras-buildfix: {name!r}" in done.said
    assert "Traceback" not in done.said
    assert len(done.said.strip().splitlines()) == 1
    assert done.code


def test_a_condition_of_the_author_is_no_environment_that_was_asked_for(project):
    tox = project("deps =\n    keras3.6: rich\n    keras3.99: rich\n    pytest", "keras3.6-jax")
    assert "keras3.6-jax" in listed(tox("list"))
    assert shown(tox("config", "-e", "keras3.6-jax"), "deps") == [
        "rich",
        "pytest",
        "keras~=3.6.0",
        "jax>=0.4.30,<0.6.1",
    ]
    done = tox("run", "-f", "keras3.99")
    assert "keras3.99: failed with keras-buildfix: 'keras3.99': The matrix has no Keras" in done.said
    assert done.code


def test_an_environment_gets_requirements_and_variables(project, tmp_path):
    done = project("deps = pytest", "tfkeras2.19, keraslatest-tensorflow")("config", "-e", "keraslatest-tensorflow")
    deps = shown(done, "deps")
    assert deps[:2] == ["pytest", "keras>=3.15.1"]
    assert deps[2] == 'tensorflow-cpu>=2.21.0; platform_system == "Linux" and platform_machine == "x86_64"'
    assert shown(done, "constrain_package_deps") == ["True"]
    variables = shown(done, "set_env")
    assert "KERAS_BACKEND=tensorflow" in variables
    home = tmp_path / ".tox" / "keraslatest-tensorflow" / "tmp" / "keras"
    assert f"KERAS_HOME={home}" in variables
    legacy = shown(project(env_list="tfkeras2.19")("config", "-e", "tfkeras2.19"), "set_env")
    assert {"KERAS_BACKEND=tensorflow", "TF_USE_LEGACY_KERAS=1"} <= {*legacy}


def test_pips_find_links_count_for_uv(project):
    done = project()("config", "-e", "keras3.6-jax", PIP_FIND_LINKS="/a /b")
    assert "UV_FIND_LINKS=/a,/b" in shown(done, "set_env")


def test_what_the_author_wrote_wins(project, tmp_path):
    (tmp_path / "more.txt").write_text("keras==3.6.0\n")
    (tmp_path / "vars").write_text("KERAS_HOME=from_file\n")
    tox = project(
        """deps =
    -r more.txt
    tensorflow: TensorFlow>=2.18
constrain_package_deps = false
set_env =
    file|vars
    jax: KERAS_BACKEND = mine
    {[more]set_env}
[more]
set_env = TF_USE_LEGACY_KERAS = theirs
"""
    )
    done = tox("config", "-e", "keras3.6-tensorflow")
    assert shown(done, "deps") == ["-r more.txt", "TensorFlow>=2.18"]
    assert shown(done, "constrain_package_deps") == ["False"]
    assert {"KERAS_BACKEND=tensorflow", "KERAS_HOME=from_file", "TF_USE_LEGACY_KERAS=theirs"} <= {
        *shown(done, "set_env")
    }
    done = tox("config", "-e", "keras3.6-jax", "-x", "testenv.deps+=rich")
    assert shown(done, "deps") == ["-r more.txt", "rich", "jax>=0.4.30,<0.6.1"]
    assert "KERAS_BACKEND=mine" in shown(done, "set_env")


def test_a_file_of_variables_that_is_missing_fails_its_own_environment_only(project):
    tox = project("set_env = jax: file|missing\ncommands = python -c 'print(1)'")
    assert "keras3.6-jax" in listed(tox("list"))
    done = tox("run", "-e", "keras3.6-jax", "--skip-env-install")
    assert "missing does not exist for set_env" in done.said
    assert done.code


def test_a_pin_replaces_one_requirement(project):
    tox = project("keras_pins = jax: jax==0.5.3")
    assert shown(tox("config", "-e", "keras3.6-jax"), "deps") == ["keras~=3.6.0", "jax==0.5.3"]
    assert shown(tox("config", "-e", "keras3.6-tensorflow"), "deps")[0] == "keras~=3.6.0"


def test_a_pin_that_replaces_nothing_fails_and_says_what_it_could_replace(project):
    done = project("keras_pins = torch==2.5.0")("run", "-e", "keras3.6-jax")
    assert "keras_pins has 'torch==2.5.0', but keras3.6-jax has no requirement that it replaces" in done.said
    assert "(only keras, jax)" in done.said
    assert "Traceback" not in done.said
    assert done.code


def test_other_environments_are_not_touched(project):
    tox = project("deps = keras", "lint, docs-jax, kerastuner")
    names = "lint,docs-jax,kerastuner"
    plain = tox("config", "-e", names, "-k", "deps", "set_env", "base_python", PYTHONHASHSEED="0")
    assert shown(plain, "deps") == ["keras"]
    assert "KERAS" not in plain.out.replace("TOX_ENV", "")
    assert "keras_pins" not in tox("config", "-e", names).out


def test_without_a_python_in_the_name_one_that_can_be_is_taken(project):
    tox = project()
    here = "{}.{}".format(*sys.version_info)
    usual = shown(tox("config", "-e", "lint"), "base_python")
    found = shown(tox("config", "-e", "keras2.15-tensorflow"), "base_python")
    assert found == (usual if here in ("3.9", "3.10", "3.11") else ["python3.11", "python3.10", "python3.9"])
    mine = project("base_python = python3.13")
    assert shown(mine("config", "-e", "keras2.15-tensorflow"), "base_python") == ["python3.13"]


RUNNERS = ["uv-venv-runner", "virtualenv"]


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_keras_in_the_name_runs(project, wheels, tmp_path, runner):
    (tmp_path / "show.py").write_text(SHOW)
    tox = project("commands = python show.py", "keras3.6-jax")
    done = tox("run", "--runner", runner, **offline(wheels))
    home = tmp_path / ".tox" / "keras3.6-jax" / "tmp" / "keras"
    assert f"FOUND 3.6.0 3.6.0 jax {home}" in done.said
    assert done.code == 0


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_nightly_is_installed_over_the_keras_that_tensorflow_brings(project, wheels, tmp_path, runner):
    (tmp_path / "show.py").write_text(SHOW)
    tox = project("commands = python show.py", "kerasnightly-tensorflow")
    done = tox("run", "--runner", runner, **offline(wheels))
    assert "FOUND 3.16.0.dev2026110100 3.15.1 tensorflow" in done.said, done.said
    assert done.code == 0
    again = tox("run", "--runner", runner, **offline(wheels))
    assert "FOUND 3.16.0.dev2026110100" in again.said
    assert "install_keras" not in again.said


def test_a_package_that_asks_for_another_keras_can_not_be_installed(project, wheels, run, tmp_path):
    project("commands = python -c 'print(\"RAN\")'", "keras3.6-jax", package="wheel")
    text = (tmp_path / "tox.ini").read_text()
    words = ("run", "--installpkg", str(wheels / "mover-1.0-py3-none-any.whl"))
    done = run(*words, **offline(wheels))
    assert "RAN" not in done.said
    assert "keras>=3.12" in done.said
    assert done.code
    # If the author allows it, the Keras moves, and the environment fails.
    (tmp_path / "tox.ini").write_text(f"{text}\nconstrain_package_deps = false\n")
    done = run(*words, **offline(wheels))
    assert "keras3.6-jax has keras 3.15.1 installed, and not the one in its name" in done.said
    assert "RAN" not in done.said
    assert done.code


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_package_that_needs_tensorflow_leaves_the_keras_of_another_backend(project, wheels, tmp_path, runner):
    (tmp_path / "show.py").write_text(SHOW + 'print("BESIDE", metadata.version("tensorflow"))\n')
    names = "keras3.6-jax,kerasnightly-jax"
    tox = project("commands = python show.py", names, package="wheel")
    words = (
        "run",
        "-e",
        names,
        "--runner",
        runner,
        "--installpkg",
        str(wheels / "needs_tensorflow-1.0-py3-none-any.whl"),
    )
    for _ in range(2):  # the second time nothing is installed
        done = tox(*words, **offline(wheels))
        assert "FOUND 3.6.0 3.6.0 jax" in done.said, done.said
        assert "BESIDE 2.19.1" in done.said
        assert "FOUND 3.16.0.dev2026110100 3.15.1 jax" in done.said
        assert "BESIDE 2.21.0" in done.said
        assert done.code == 0
    file = tmp_path / ".tox" / "keras3.6-jax" / "constraints.txt"
    lines = file.read_text().splitlines()
    assert {"keras~=3.6.0", "tensorflow~=2.19.0", "tensorflow-cpu~=2.19.0"} < {*lines}
    assert len(lines) == 4  # and jax: each once


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_package_that_needs_tensorflow_leaves_the_keras_that_tensorflow_brings(project, wheels, tmp_path, runner):
    # On Linux the environment has tensorflow-cpu, and the package wants tensorflow: another distribution.
    (tmp_path / "show.py").write_text(SHOW + 'print("BESIDE", metadata.version("tensorflow"))\n')
    tox = project("commands = python show.py", "keras2.15-tensorflow", package="wheel")
    words = ("run", "--runner", runner, "--installpkg", str(wheels / "needs_tensorflow-1.0-py3-none-any.whl"))
    done = tox(*words, **offline(wheels))
    assert "FOUND 2.15.0 2.15.0 tensorflow" in done.said, done.said
    assert "BESIDE 2.15.1" in done.said
    assert done.code == 0


def test_the_oldest_tox_that_is_allowed_can_use_it(tmp_path, wheels):
    """Here a project's own toxfile.py brings the plugin."""
    venv = tmp_path / "venv"
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    for command in (
        ["venv", "-q", "-p", sys.executable, venv],
        ["pip", "install", "-q", "-p", python, f"tox=={OLDEST}"],
    ):
        subprocess.run(["uv", *map(str, command)], check=True, timeout=300)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "keras_buildfix").symlink_to(PACKAGE)
    names = "tox_add_core_config, tox_add_env_config, tox_before_run_commands, tox_on_install"
    (tmp_path / "toxfile.py").write_text(f"from keras_buildfix.plugins.tox import {names}\n")
    (tmp_path / "show.py").write_text(SHOW)
    testenv = "commands = python show.py\nset_env = {[more]set_env}\n[more]\nset_env = KERAS_HOME = mine"
    (tmp_path / "tox.ini").write_text(INI.format(env_list=ENV_LIST, testenv=testenv, package="skip"))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TOX", "KERAS", "PIP_", "UV_"))}
    env.update(offline(wheels), PYTHONPATH=str(tmp_path / "lib"))
    done = subprocess.run(
        [python, "-m", "tox", "run", "-e", "keras2.15-jax,keras3.6-jax"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "keras2.15-jax: skipped because keras-buildfix: Keras 2.15 runs on TensorFlow only" in done.stdout
    assert "FOUND 3.6.0 3.6.0 jax mine" in done.stdout, done.stdout
    assert done.returncode == 0


def test_our_own_environments_can_be_named_and_get_their_keras(run):
    names = [name for label in ("matrix", "downstream") for name in planning.labels()[label]]
    done = run("config", "-c", str(planning.ROOT / "tox.ini"), "-e", ",".join(names), "-k", "deps", "env_name")
    assert done.code == 0, done.said
    shown = dict(re.findall(r"^\[testenv:(\S+)\]\n(.*?)(?=^\[|\Z)", done.out, re.DOTALL | re.MULTILINE))
    assert {*shown} == {*names}
    for name, deps in shown.items():
        factors = matrix.parse(name)
        assert all(text.partition(";")[0] in deps for text in matrix.environment(*factors[:2]).requirements[:1]), name
