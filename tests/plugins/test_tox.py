"""The tox plugin: tox itself is run, on small projects. What it installs are wheels of a few lines that stand for Keras,
TensorFlow and jax. On one environment: no Keras is used.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import keras_buildfix

PACKAGE = Path(keras_buildfix.__file__).resolve().parent
#: The oldest tox that the extra `tox` allows.
OLDEST = "4.4.0"
ENV_LIST = "keras{2.15,3.6,latest}-{tensorflow,jax}, lint"
INI = """
[tox]
env_list = {env_list}
[testenv]
package = skip
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
    for version in ("3.6.0", "3.9.2", "3.15.1"):
        wheel(folder, "keras", version)
    wheel(folder, "keras_nightly", "3.16.0.dev2026110100", module="keras")
    wheel(folder, "jax", "0.5.3")
    for name in ("tensorflow_cpu", "tensorflow"):
        wheel(folder, name, "2.21.0", ["keras>=3.12.0"], module="tensorflow")
        wheel(folder, name, "2.19.1", ["keras>=3.5.0"], module="tensorflow")
    wheel(folder, "mover", "1.0", ["keras>=3.12"])
    return folder


@pytest.fixture
def project(tmp_path):
    """Writes a tox.ini; returns what runs tox on it."""

    def project(testenv="", env_list=ENV_LIST):
        (tmp_path / "tox.ini").write_text(INI.format(env_list=env_list, testenv=testenv))
        return lambda *words, **env: run(tmp_path, *words, **env)

    return project


def run(folder, *words, python=sys.executable, **env):
    env = {name: value for name, value in {**os.environ, **env}.items() if not name.startswith(("TOX", "KERAS"))}
    done = subprocess.run(
        [python, "-m", "tox", *words, "--colored", "no"], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )
    done.said = done.stdout + done.stderr
    return done


def offline(wheels):
    """The settings with which pip and uv find nothing but these wheels."""
    return {
        "PIP_FIND_LINKS": str(wheels),
        "UV_FIND_LINKS": str(wheels),
        "PIP_NO_INDEX": "1",
        "UV_NO_INDEX": "1",
        "UV_NO_CACHE": "1",
    }


def listed(done):
    assert done.returncode == 0, done.said
    return [line.split()[0] for line in done.stdout.splitlines() if " -> " in line]


def shown(done, key):
    """The lines of a setting that `tox config` shows."""
    assert done.returncode == 0, done.said
    lines, found = done.stdout.splitlines(), []
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
def test_impossible_corners_are_left_out_of_the_list(tmp_path, file, text):
    (tmp_path / file).write_text(text)
    names = listed(run(tmp_path, "list", "--no-desc"[:0] or "-q"))
    assert "keras2.15-jax" not in names
    assert "keras3.6-jax" in names


def test_an_impossible_corner_that_is_named_is_skipped_with_the_reason(project):
    done = project("commands = python -c 'print(1)'")("run", "-e", "keras2.15-jax")
    assert "keras2.15-jax: skipped because keras-buildfix: Keras 2.15 runs on TensorFlow only" in done.said
    assert "congratulations" not in done.said
    assert done.returncode


def test_an_env_list_of_which_nothing_is_left_is_an_error(project):
    done = project(env_list="keras2.15-{jax,torch}")("run")
    assert "keras-buildfix: env_list has no environment that can be:\n" in done.said
    assert "keras2.15-torch: Keras 2.15 runs on TensorFlow only" in done.said
    assert "congratulations" not in done.said
    assert "Traceback" not in done.said
    assert done.returncode


@pytest.mark.parametrize("name", ["keras3.99-jax", "keras3.6-mxnet", "keras3.6-jax-torch", "3.6-jax", "keras3.6"])
def test_a_name_that_can_not_be_meant_is_one_clear_error(project, name):
    done = project(env_list=f"{name}, lint")("run", "-e", "lint")
    assert f"keras-buildfix: {name!r}" in done.said
    assert "Traceback" not in done.said
    assert len(done.said.strip().splitlines()) == 1
    assert done.returncode


def test_an_environment_gets_requirements_and_variables(project, tmp_path):
    tox = project("deps = pytest")
    done = tox("config", "-e", "keraslatest-tensorflow", PIP_FIND_LINKS="/a /b", UV_FIND_LINKS="")
    deps = shown(done, "deps")
    assert deps[:2] == ["pytest", "keras>=3.15.1"]
    assert deps[2] == 'tensorflow-cpu>=2.21.0; platform_system == "Linux" and platform_machine == "x86_64"'
    assert shown(done, "constrain_package_deps") == ["True"]
    variables = shown(done, "set_env")
    assert "KERAS_BACKEND=tensorflow" in variables
    home = tmp_path / ".tox" / "keraslatest-tensorflow" / "tmp" / "keras"
    assert f"KERAS_HOME={home}" in variables
    legacy = shown(tox("config", "-e", "tfkeras2.19", "-x", "tox.env_list=tfkeras2.19"), "set_env")
    assert {"KERAS_BACKEND=tensorflow", "TF_USE_LEGACY_KERAS=1"} <= {*legacy}


def test_pips_find_links_count_for_uv(project, monkeypatch):
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
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
    assert {"KERAS_BACKEND=tensorflow", "KERAS_HOME=from_file", "TF_USE_LEGACY_KERAS=theirs"} <= {*shown(done, "set_env")}
    done = tox("config", "-e", "keras3.6-jax", "-x", "testenv.deps+=rich")
    assert shown(done, "deps") == ["-r more.txt", "rich", "jax>=0.4.30,<0.6.1"]
    assert "KERAS_BACKEND=mine" in shown(done, "set_env")


def test_a_pin_replaces_one_requirement(project):
    tox = project("keras_pins = jax: jax==0.5.3")
    assert shown(tox("config", "-e", "keras3.6-jax"), "deps") == ["keras~=3.6.0", "jax==0.5.3"]
    assert shown(tox("config", "-e", "keras3.6-tensorflow"), "deps")[0] == "keras~=3.6.0"


def test_a_pin_that_replaces_nothing_fails_and_says_what_it_could_replace(project):
    done = project("keras_pins = torch==2.5.0")("run", "-e", "keras3.6-jax")
    assert "keras_pins has 'torch==2.5.0', but keras3.6-jax has no requirement that it replaces" in done.said
    assert "(only keras, jax)" in done.said
    assert "Traceback" not in done.said
    assert done.returncode


def test_other_environments_are_not_touched(project):
    tox = project("deps = keras", "lint, docs-jax, kerastuner")
    names = "lint,docs-jax,kerastuner"
    plain = tox("config", "-e", names, "-k", "deps", "set_env", "base_python", PYTHONHASHSEED="0")
    assert shown(plain, "deps") == ["keras"]
    assert "KERAS" not in plain.stdout.replace("TOX_ENV", "")
    assert "keras_pins" not in tox("config", "-e", names).stdout


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
    assert done.returncode == 0


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_nightly_is_installed_over_the_keras_that_tensorflow_brings(project, wheels, tmp_path, runner):
    (tmp_path / "show.py").write_text(SHOW)
    tox = project("commands = python show.py", "kerasnightly-tensorflow")
    done = tox("run", "--runner", runner, **offline(wheels))
    assert "FOUND 3.16.0.dev2026110100 3.15.1 tensorflow" in done.said, done.said
    assert done.returncode == 0
    again = tox("run", "--runner", runner, **offline(wheels))
    assert "FOUND 3.16.0.dev2026110100" in again.said
    assert "install_keras" not in again.said


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_package_can_not_move_keras(project, wheels, runner):
    """Its requirement on a newer one fails, or, where the author allows it, the environment does."""
    mover = wheels / "mover-1.0-py3-none-any.whl"
    text = "commands = python -c 'print(\"RAN\")'\n{}\n[testenv:x]"
    words = ("run", "-e", "keras3.6-jax", "--runner", runner, "--installpkg", str(mover))
    done = project(text.replace("{}", "")).__call__(*words, **offline(wheels))
    assert "keras>=3.12" in done.said.replace(" ", "")
    assert done.returncode
    tox = project(text.format("constrain_package_deps = false").replace("commands", "package = wheel\ncommands", 1))
    assert tox
