"""The pytest plugin: it does what an option, marker or fixture asks, and else nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from environment import INFO, KERAS

import keras_buildfix
from keras_buildfix import KerasInfo, affected_layers
from keras_buildfix._keras import info as info_module
from keras_buildfix._keras.classes import builtin_layers, layer_base
from keras_buildfix.building.watching import watched_builds
from keras_buildfix.plugins.pytest_marker import read_marker

pytest_plugins = ["pytester"]

PLUGIN = "keras_buildfix.plugins.pytest"
#: Lines with which the inner test files begin.
LAYERS = f"""
import pytest
import numpy as np
from {INFO.package} import layers
from keras_buildfix import deferred_build

class Adds:
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        super().build(input_shape)
class Folded(Adds, layers.Reshape): pass
class Soft(Adds, layers.Softmax): pass
class Pool(Adds, layers.MaxPooling1D): pass

FIVE = np.ones((2, 4, 5), "float32")
"""
#: What Keras skips here of these three.
SKIPPED = {
    name
    for name, base in [("Folded", "Reshape"), ("Soft", "Softmax"), ("Pool", "MaxPooling1D")]
    if base in affected_layers(INFO.version)
}
needs_a_skipped_build = pytest.mark.skipif(not SKIPPED, reason=f"{INFO} skips no build")


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest on the text of a test file, in this process, where Keras is loaded already."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run_pytest(text, *options, conftest="", ini=""):
        pytester.makepyfile(test_inner=text)
        pytester.makeconftest(conftest)
        pytester.makeini(f"[pytest]\n{ini}")
        return pytester.runpytest_inprocess("-p", PLUGIN, "-p", "no:cacheprovider", "-rA", *options)

    return run_pytest


def fresh(folder, *arguments, **env):
    """Runs Python in a process of its own."""
    variables = {**os.environ, "PYTEST_ADDOPTS": "", **env}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=variables, capture_output=True, text=True)


# Unused


@pytest.mark.at_length  # uses no Keras
def test_the_plugin_imports_no_keras_and_nothing_of_the_package(tmp_path):
    code = f"import pytest, sys; before = {{*sys.modules}}; import {PLUGIN}; print(*({{*sys.modules}} - before))"
    done = fresh(tmp_path, "-c", code)
    assert {*done.stdout.split()} == {"keras_buildfix", "keras_buildfix.plugins", PLUGIN}, done.stderr


@pytest.mark.at_length  # uses no Keras
def test_a_run_that_asks_for_nothing_loads_only_the_plugin(tmp_path):
    (tmp_path / "test_nothing.py").write_text(
        "import sys\ndef test_modules():\n"
        "    mine = {name for name in sys.modules if name.split('.')[0] in ('keras_buildfix', 'keras', 'tf_keras')}\n"
        f"    assert mine == {{'keras_buildfix', 'keras_buildfix.plugins', {PLUGIN!r}}}\n"
    )
    done = fresh(tmp_path, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", "-W", "error")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.at_length  # uses no Keras
def test_the_entry_point_and_the_module_by_name_are_one_plugin(tmp_path):
    """As an installed wheel has it, and then named with -p too, where the package was imported before pytest."""
    (tmp_path / "other-1.dist-info").mkdir()
    (tmp_path / "other-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (tmp_path / "other-1.dist-info" / "entry_points.txt").write_text(f"[pytest11]\nkeras_buildfix = {PLUGIN}\n")
    (tmp_path / "other-1.dist-info" / "RECORD").write_text("keras_buildfix/__init__.py,,\n")
    (tmp_path / "test_one.py").write_text(
        "def test_one(pytestconfig):\n    names = [name for name, plugin in "
        f"pytestconfig.pluginmanager.list_name_plugin() if getattr(plugin, '__name__', '') == {PLUGIN!r}]\n"
        "    assert names == ['keras_buildfix']\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(keras_buildfix.__file__).parents[1])])
    for named in ([], ["-p", PLUGIN]):
        code = "import sys, pytest, keras_buildfix; sys.exit(pytest.main(sys.argv[1:]))"
        done = fresh(tmp_path, "-c", code, "-q", "-W", "error", "-p", "no:cacheprovider", *named, PYTHONPATH=path)
        assert "1 passed" in done.stdout, done.stdout + done.stderr
    done = fresh(tmp_path, "-m", "pytest", "-p", "no:keras_buildfix", "--co", PYTHONPATH=path)
    assert (done.returncode, "keras-buildfix:" in done.stdout) == (0, False), done.stderr


# Header


def test_the_header_names_keras_version_and_backend(run):
    result = run("def test_it(): pass", "--keras-buildfix-install")
    result.stdout.fnmatch_lines([f"keras-buildfix: {INFO}, built-in layers are fixed"])
    assert run("def test_it(): pass").stdout.str().count(f"keras-buildfix: {INFO}\n") == 1


def test_without_a_keras_there_is_no_header_and_a_marked_test_is_skipped(run, monkeypatch):
    monkeypatch.setattr(info_module, "PACKAGES", ())
    result = run("import pytest\n@pytest.mark.keras('>=3')\ndef test_it(): pass")
    result.stdout.no_fnmatch_line("keras-buildfix:*")
    result.stdout.fnmatch_lines(["SKIPPED *needs Keras >=3; no Keras is installed"])


# Marker


def test_a_marked_test_runs_on_the_keras_it_asks_for_and_is_skipped_elsewhere(run):
    major, minor = INFO.version.split(".")[:2]
    other = "torch" if INFO.backend != "torch" else "jax"
    result = run(
        f"""
        import pytest
        @pytest.mark.keras(">={major}.{minor},<{major}.{int(minor) + 1}", backend="{INFO.backend}")
        def test_here(): pass
        @pytest.mark.keras(backend=("{other}", "{INFO.backend}"))
        def test_backends(): pass
        @pytest.mark.keras("<{major}.{minor}")
        def test_older(): pass
        @pytest.mark.keras(backend="{other}")
        class TestOther:
            @pytest.mark.keras(">=2")
            def test_both_must_hold(self): pass
        """,
        "--strict-markers",
    )
    result.assert_outcomes(passed=2, skipped=2)
    result.stdout.fnmatch_lines_random(
        [
            f"SKIPPED *needs Keras <{major}.{minor}; this is {INFO}",
            f"SKIPPED *needs Keras on {other}; this is {INFO}",
        ]
    )


def test_a_wrong_marker_stops_the_run_and_names_the_test(run):
    result = run("import pytest\n@pytest.mark.keras('3.9', backend='jax')\ndef test_it(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: test_inner.py::test_it: @pytest.mark.keras('3.9', backend='jax') is wrong: '3.9' is not a range of "
            "versions; write such as '>=3.6,<3.10' or '==3.9.[*]'."
        ]
    )


def test_a_wrong_marker_fails_its_test_in_a_worker_of_xdist(run):
    """A worker that raises a UsageError while it collects ends the run with an internal error that names nothing."""
    worker = "def pytest_configure(config): config.workerinput = {}"
    text = "import pytest\n@pytest.mark.keras('3.9')\ndef test_it(): pass\ndef test_other(): pass"
    result = run(text, conftest=worker)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["test_inner.py::test_it: @pytest.mark.keras('3.9') is wrong: *"])


def test_a_marker_from_a_conftest_counts(run):
    marks = "import pytest\ndef pytest_collection_modifyitems(items): items[0].add_marker(pytest.mark.keras('<2'))"
    run("def test_it(): pass", conftest=marks).assert_outcomes(skipped=1)


def test_a_project_may_have_a_bare_marker_of_the_same_name(run):
    text = "import pytest\n@pytest.mark.keras\ndef test_it(): pass"
    run(text, ini="markers =\n    keras: needs Keras").assert_outcomes(passed=1)
    assert run(text).ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.at_length
@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "asks for nothing; write @pytest.mark.keras"),
        (("",), {}, "a text such as '>=3.6,<3.10'; got ''"),
        ((3.9,), {}, "got 3.9"),
        ((">=3.6", "<3.10"), {}, "one text, with commas"),
        (("newest",), {}, "'newest' is not a range"),
        ((">=3.10,<3.6",), {}, "no version is in '>=3.10,<3.6'"),
        (("==3.9",), {}, "'==3.9' would mean 3.9.0 only; write '==3.9.*', or '==3.9.0'"),
        (("<=3.9",), {}, "write '<3.10', or '<=3.9.0'"),
        ((">2",), {}, "write '>=3', or '>2.0.0'"),
        (("!=3.9",), {}, "write '!=3.9.*'"),
        (("===3.9",), {}, "compares text"),
        ((), {"backend": "jaxx"}, "'jaxx' is not a backend of Keras; did you mean 'jax'? There are: tensorflow, jax"),
        ((), {"backend": "jax,"}, "'' is not a backend"),
        ((), {"backend": ()}, "'' is not a backend"),
        ((), {"backend": None}, "got None"),
        ((">=3",), {"backends": "jax"}, "no keyword 'backends', only backend"),
    ],
)
def test_a_wrong_marker_says_what_to_write(args, kwargs, message):
    with pytest.raises(ValueError) as caught:
        read_marker(args, kwargs)
    assert message in str(caught.value)


@pytest.mark.at_length
@pytest.mark.parametrize(
    ("versions", "backend", "met"),
    [
        (">=3.16", "jax", True),  # a nightly of 3.16 is 3.16
        ("<3.16", "jax", False),
        ("==3.16.*", "torch,jax", True),
        ("~=3.9", ["torch", "jax"], True),
        ("!=3.16.*,!=3.15.*", "jax", False),
        (">=3.6,!=3.6.*,!=3.7.*,<3.9", "jax", False),
        (">3.15.1,<=3.16.0", ("jax",), True),
        (">=3.6", "torch", False),
    ],
)
def test_versions_are_compared_by_release(versions, backend, met):
    nightly = KerasInfo("keras", "3.16.0.dev2026102704", 3, "jax")
    assert read_marker((versions,), {"backend": backend}).is_met_by(nightly) is met


# Fixtures


def test_fixtures_give_the_keras_and_the_check(run):
    run(
        f"""
        import keras_buildfix
        def test_info(keras_info):
            assert str(keras_info) == {str(INFO)!r}
        def test_check(check_layer):
            assert check_layer is keras_buildfix.testing.check_layer
        """
    ).assert_outcomes(passed=2)


def test_a_dtype_policy_lasts_until_the_end_of_the_test(run):
    before = keras_buildfix.get_dtype_policy()
    run(
        LAYERS
        + """
from keras_buildfix import compute_dtype, get_dtype_policy
def test_called(dtype_policy):
    assert dtype_policy("mixed_bfloat16") == "mixed_bfloat16"
    assert compute_dtype(layers.Dense(2)) == "bfloat16"
    dtype_policy("float16")
    assert compute_dtype(layers.Dense(2)) == "float16"
    assert False
def test_is_restored_after_a_failure():
    assert get_dtype_policy() == "float32"
@pytest.mark.parametrize("dtype_policy", ["mixed_bfloat16", "float32"], indirect=True)
def test_indirect(dtype_policy, request):
    assert get_dtype_policy() == request.node.callspec.params["dtype_policy"]
    dtype_policy("float16")
def test_none_is_set(dtype_policy):
    assert get_dtype_policy() == "float32"
@pytest.mark.parametrize("dtype_policy", ["mixed_flaot16"], indirect=True)
def test_unknown(dtype_policy): pass
"""
    ).assert_outcomes(passed=4, failed=1, errors=1)
    assert keras_buildfix.get_dtype_policy() == before


def test_the_page_runs(run, monkeypatch):
    page = (Path(__file__).resolve().parents[2] / "docs" / "pytest_plugin.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    options = re.findall(r"^pytest (--\S+)$", page, re.MULTILINE)
    assert len(options) == 2
    monkeypatch.setitem(sys.modules, "keras", KERAS)
    result = run("".join(blocks), "--strict-markers", *options)
    here = read_marker((">=3.6,<3.10",), {"backend": "jax,torch"}).is_met_by(INFO)
    result.assert_outcomes(passed=4 + here, skipped=not here)


# --fail-on-skipped-builds


def test_a_test_fails_in_which_a_build_is_skipped(run):
    result = run(
        LAYERS
        + """
@pytest.mark.parametrize("layer", [Folded((5, 4)), Soft(), Pool(2)], ids=lambda layer: type(layer).__name__)
def test_called(layer):
    layer(FIVE)
@pytest.mark.parametrize("cls", [Folded, Soft])
def test_symbolic(cls):
    cls(*[(5, 4)] * (cls is Folded))(layers.Input((4, 5)))
@pytest.fixture
def called():
    return Folded((5, 4))(FIVE)
def test_in_fixture(called): pass
@pytest.mark.xfail(strict=False)
def test_expected():
    Soft()(FIVE)
""",
        "--fail-on-skipped-builds",
    )
    printed = result.stdout.str()
    for test, name, failed, passed in [
        *(("called[{}]", name, "FAILED", "PASSED") for name in ("Folded", "Soft", "Pool")),
        *(("symbolic[{}]", name, "FAILED", "PASSED") for name in ("Folded", "Soft")),
        ("in_fixture", "Folded", "ERROR", "PASSED"),
        ("expected", "Soft", "XFAIL", "XPASS"),
    ]:
        assert f"{failed if name in SKIPPED else passed} test_inner.py::test_{test.format(name)}" in printed
        if name in SKIPPED:
            assert f"(test_inner.{name}) on {INFO.package} {INFO.version}: " in printed
            assert f"Fix: put @deferred_build (from keras_buildfix) above the class {name}." in printed
    assert ("Adds.build() never runs in the layer" in printed) is bool(SKIPPED)


def test_sound_layers_and_layers_that_are_not_called_fail_nothing(run):
    result = run(
        LAYERS
        + """
from keras_buildfix import DeferredBuildMixin
fixed = deferred_build(Soft)
class Mixed(DeferredBuildMixin, Adds, layers.Reshape): pass
class Own(layers.Softmax):
    def __init__(self):
        super().__init__()
        self.built = False
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=())
        super().build(input_shape)
class NoBuild(layers.Reshape): pass
class Head(layers.Dense):
    def build(self, input_shape):
        super().build(input_shape)
def test_sound():
    for layer in (fixed(), Mixed((5, 4)), Own(), NoBuild((5, 4)), Head(2), layers.Softmax(), layers.Activation("relu")):
        layer(FIVE)
        layer(FIVE)
    layers.Dropout(0.5)(FIVE, training=True)
def test_not_called():
    Folded((5, 4)).get_config()
    Pool(2)
def test_built_by_hand():
    layer = Folded((5, 4))
    layer.build((2, 4, 5))
    layer(FIVE)
    assert len(layer.weights) == 1
""",
        "--fail-on-skipped-builds",
    )
    result.assert_outcomes(passed=3)


@needs_a_skipped_build
def test_a_call_while_a_module_is_collected_fails_the_module(run):
    name = sorted(SKIPPED)[0]
    arguments = {"Folded": "(5, 4)", "Pool": "2", "Soft": ""}[name]
    text = LAYERS + f"value = {name}({arguments})(FIVE)\ndef test_it(): pass"
    result = run(text, "--fail-on-skipped-builds")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Adds.build() never runs in the layer *"])


@needs_a_skipped_build
def test_a_test_that_fails_by_itself_shows_the_skipped_build_too(run):
    name = sorted(SKIPPED)[0]
    arguments = {"Folded": "(5, 4)", "Pool": "2", "Soft": ""}[name]
    text = LAYERS + f"def test_it():\n    layer = {name}({arguments})\n    layer(FIVE)\n    layer.scale"
    result = run(text, "--fail-on-skipped-builds")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*has no attribute 'scale'*", "*- Skipped builds -*", "*Adds.build() never runs*"])


def test_the_affected_built_ins_are_watched_until_the_run_ends(run):
    before = {cls: vars(cls).get("__call__") for cls in builtin_layers(layer_base(KERAS.layers.Layer))}
    affected = [getattr(KERAS.layers, name) for name in affected_layers(INFO.version)]
    calls = [cls.__call__ for cls in affected]
    with watched_builds(), watched_builds():
        assert all(cls.__call__ is not call for cls, call in zip(affected, calls))
        assert KERAS.layers.Dense.__call__ is KERAS.layers.Layer.__call__
    run("def test_it(): pass", "--fail-on-skipped-builds").assert_outcomes(passed=1)
    assert {cls: vars(cls).get("__call__") for cls in before} == before


def test_an_error_of_the_layer_stays_as_it_is():
    class NoInit(KERAS.layers.Softmax):
        def __init__(self):
            pass

        def build(self, input_shape):
            pass

    class Wrong(KERAS.layers.Softmax):
        def build(self, input_shape):
            pass

        def call(self, inputs):
            raise KeyError("mine")

    def error(layer):
        with pytest.raises(Exception) as caught:
            layer([[1.0]])
        return caught.type, "mine" in str(caught.value)

    expected = [error(NoInit()), error(Wrong())]
    with watched_builds() as found:
        assert [error(NoInit()), error(Wrong())] == expected
    assert [finding.cls.rpartition(".")[2] for finding in found] == ["Wrong"] * ("Soft" in SKIPPED)


def test_watched_layers_compute_the_same_in_a_model_that_is_compiled():
    import numpy as np

    class Folded(KERAS.layers.Reshape):
        def build(self, input_shape):
            super().build(input_shape)

        def call(self, inputs):
            return super().call(inputs) * 2

    class Doubling(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.folded = Folded((2, 3))

        def call(self, inputs):
            total = self.folded(inputs)
            if total.shape[-1] == 3:
                total = total + self.folded(inputs)
            return total

    values = np.arange(12, dtype="float32").reshape((2, 6))
    with watched_builds() as found:
        result = Doubling().predict(values, verbose=0)
    np.testing.assert_array_equal(result, values.reshape((2, 2, 3)) * 4)
    assert len(found) == ("Folded" in SKIPPED)


# In a process where no Keras is loaded yet


def test_options_act_on_a_keras_that_a_test_or_conftest_imports_first(tmp_path):
    (tmp_path / "conftest.py").write_text("import sys\nassert not {'keras', 'tf_keras'} & {*sys.modules}\n")
    (tmp_path / "test_inner.py").write_text(
        "def test_it():\n"
        + "".join(f"    {line}\n" for line in LAYERS.splitlines())
        + "    for layer in (Folded((5, 4)), Soft(), Pool(2)): layer(FIVE)\n"
    )
    watched = f"-p {PLUGIN} -p no:cacheprovider --fail-on-skipped-builds"
    done = fresh(tmp_path, "-m", "pytest", PYTEST_ADDOPTS=watched)
    assert ("1 passed" in done.stdout) is not bool(SKIPPED), done.stdout + done.stderr
    assert done.stdout.count(".build() never runs in the layer") >= len(SKIPPED)
    if SKIPPED:
        fixed = "import keras_buildfix, {0}\nclass Soft({0}.layers.Softmax):\n    def build(self, shape): pass\n"
        (tmp_path / "conftest.py").write_text(fixed.format(INFO.package) + "assert not Soft().built\n")
        done = fresh(tmp_path, "-m", "pytest", PYTEST_ADDOPTS=f"{watched} --keras-buildfix-install")
        assert "1 passed" in done.stdout, done.stdout + done.stderr
