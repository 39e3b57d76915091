"""`check_layer`: what it returns and raises, which errors a user gets, and how its checks become tests of pytest."""

import random
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from environment import INFO, KERAS
from packaging.version import Version

from keras_buildfix.testing import (
    CheckResult,
    LayerCheckError,
    check_layer,
    layer_checks,
    parametrize_with_checks,
)

layers = KERAS.layers
FEW = ["construction", "call", "inference", "config", "config_keeps_arguments"]


class Scaled(layers.Layer):
    """Right."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.scale * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Forgets(Scaled):
    """Leaves `factor` out of its config."""

    def get_config(self):
        return layers.Layer.get_config(self)


class Raises(Scaled):
    def call(self, x):
        raise RuntimeError("no pool of this size")


def by_name(results):
    return {result.check: result for result in results}


def test_all_checks_of_a_right_layer_pass_or_say_why_not():
    results = check_layer(Scaled, {"factor": 2.0}, (4,))
    assert {result.status for result in results} <= {"passed", "skipped"}
    assert len(results) == len({result.check for result in results}) > 30
    assert all(result.message for result in results if result.status == "skipped")
    skipped = {result.check for result in results if result.status == "skipped"}
    here = {"mask", "compute_output_shape"}
    here |= {"tf_function", "saved_model"} if INFO.backend != "tensorflow" else set()
    here |= {"deepcopy", "pickling"} if INFO.generation == 2 or Version(INFO.version) < Version("3.3") else set()
    here |= {"jit", "several_devices"} if INFO.backend in ("torch", "numpy") else set()
    # Keras to 3.9 gives the parts of a batch to JAX's devices in the order of a set: by chance, rows are exchanged.
    here |= {"several_devices"} if INFO.backend == "jax" and Version(INFO.version) < Version("3.10") else set()
    # Keras 3.0 to 3.2 gives one number for two replicas of TensorFlow.
    old = INFO.generation == 3 and Version(INFO.version) < Version("3.3")
    here |= {"several_devices"} if INFO.backend == "tensorflow" and old else set()
    training = {"weights_train", "gradients_reach", "freeze", "training_argument", "mixed_float16", "mixed_bfloat16"}
    here |= training if INFO.backend == "numpy" else set()
    assert skipped <= here


def test_a_failure_says_what_on_which_keras_what_it_breaks_and_what_to_change():
    with pytest.raises(LayerCheckError) as caught:
        check_layer(Forgets, {"factor": 2.0}, (4,), only=[*FEW, "clone_model"])
    text = str(caught.value)
    assert text.startswith("Forgets(factor=2.0) fails 1 of ")
    assert str(INFO) in text
    assert "config_keeps_arguments: 1 argument of __init__ not in its config: 'factor'" in text
    assert "A layer that is loaded or cloned silently has other settings." in text
    assert "Return from get_config() every argument" in text
    assert by_name(caught.value.results)["construction"].status == "passed"


def test_one_cause_is_one_failure_and_the_others_are_blocked_by_it():
    results = check_layer(Raises, {}, (4,), on_fail=None)
    failed = [result.check for result in results if result.status == "failed"]
    assert failed == ["call"]
    blocked = [result for result in results if result.status == "blocked"]
    assert len(blocked) > 20
    assert {result.blocked_by for result in blocked} == {"call"}
    with pytest.raises(LayerCheckError, match="This blocks inference, batch_size"):
        check_layer(Raises, {}, (4,))
    assert "RuntimeError" in by_name(results)["call"].message
    assert "no pool of this size" in by_name(results)["call"].message
    assert isinstance(by_name(results)["call"].error, RuntimeError)


def test_an_expected_failure_is_named_and_strict():
    reason = "kept for old files"
    results = check_layer(
        Forgets, {"factor": 2.0}, (4,), only=FEW, expected_failures={"config_keeps_arguments": reason}
    )
    assert by_name(results)["config_keeps_arguments"] == CheckResult(
        "config_keeps_arguments", "xfailed", reason, "Forgets(factor=2.0)", str(INFO)
    )
    with pytest.raises(LayerCheckError, match=f"it passes, but it was expected to fail: {reason}"):
        check_layer(Scaled, {}, (4,), only=FEW, expected_failures={"config_keeps_arguments": reason})


def test_a_failure_can_be_a_warning_or_only_a_result():
    given = (Forgets, {"factor": 2.0}, (4,))
    with pytest.warns(UserWarning, match="not in its config: 'factor'"):
        check_layer(*given, only=FEW, on_fail="warn")
    assert by_name(check_layer(*given, only=FEW, on_fail=None))["config_keeps_arguments"].status == "failed"
    with pytest.raises(ValueError, match='on_fail is "raise", "warn" or None'):
        check_layer(*given, on_fail="ignore")


def test_checks_are_chosen_by_name_and_left_out_with_a_reason():
    results = check_layer(Scaled, {}, (4,), only="config")
    assert [result.check for result in results] == ["config"]
    results = by_name(check_layer(Scaled, {}, (4,), only=None, skip={"config": "it is private"}, on_fail=None))
    assert (results["config"].status, results["config"].message) == ("skipped", "it is private")
    assert results["clone_model"].status == "passed"  # it runs without the one that was left out


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"only": ["confg"]}, ValueError, r"only: there is no check 'confg'. The nearest: config"),
        ({"skip": ["zzz"]}, ValueError, r"skip: there is no check 'zzz'. The checks are: construction, "),
        ({"expected_failures": {"kall": "x"}}, ValueError, r"expected_failures: there is no check 'kall'"),
        ({"only": ["call"], "skip": ["call"]}, ValueError, "No check is left to run"),
        ({"only": []}, ValueError, "No check is left to run"),
        ({"init_kwargs": {"facter": 1}}, TypeError, r"Scaled\(facter=1\) can't be made: "),
        ({"input_shape": None}, TypeError, r"input_shape is the shape of one input without the batch"),
        ({"input_shape": "8,8"}, TypeError, r"input_shape is the shape"),
        ({"cls": Scaled()}, TypeError, r"an instance of the Keras layer class .*Scaled.*Pass the class and its argum"),
        ({"cls": dict}, TypeError, r"expects a Keras layer class, or a function that makes a layer"),
        ({"cls": lambda: 3}, TypeError, r"must return a Keras layer; it returned 3"),
        ({"cls": layers.TimeDistributed, "init_kwargs": {"layer": Scaled()}}, TypeError, "Pass a function that makes"),
        ({"input_dtype": "flaot32"}, ValueError, "input_dtype: there is no dtype 'flaot32'. The nearest: float32"),
        ({"only": ["mask"]}, ValueError, "None of the checks ran for Scaled.*mask: only sequences"),
    ],
)
def test_wrong_arguments_are_one_clear_error(given, error, said):
    with pytest.raises(error, match=said):
        check_layer(**{"cls": Scaled, "init_kwargs": {}, "input_shape": (4,), **given})


def test_a_function_may_make_the_layer():
    results = check_layer(lambda: layers.TimeDistributed(layers.Dense(2)), None, (3, 4), only=FEW)
    assert {result.status for result in results} == {"passed"}
    shared = layers.Dense(2)
    with pytest.raises(LayerCheckError, match="the factory returns the same layer twice"):
        check_layer(lambda: shared, None, (4,))


class Gated(layers.Layer):
    """Two inputs as two arguments."""

    def call(self, x, gate):
        return x * gate


def test_several_inputs_are_a_list_or_arguments_by_name():
    assert {result.status for result in check_layer(layers.Add, {}, [(4,), (4,)], only=FEW)} == {"passed"}
    results = check_layer(Gated, {}, {"x": (4,), "gate": (4,)}, only=["call", "functional", "batch_size"])
    assert {result.status for result in results} == {"passed"}


def test_random_states_stay_as_they_were():
    def drawn():
        """What the user draws: from Python, numpy, an initializer, and the backend."""
        draws = [random.random(), np.random.random(), np.asarray(KERAS.initializers.RandomNormal()((2,)))]
        if "torch" in sys.modules:
            draws.append(sys.modules["torch"].rand(2).numpy())
        return draws

    def again():
        random.seed(7)
        np.random.seed(7)
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(7)

    tensorflow = sys.modules.get("tensorflow")
    seed = tensorflow and tensorflow.compat.v1.get_seed(None)[0]
    again()
    expected = drawn()
    again()
    check_layer(Scaled, {}, (4,), only=["determinism"])
    for new, old in zip(drawn(), expected):
        np.testing.assert_array_equal(new, old)
    if tensorflow:
        assert tensorflow.compat.v1.get_seed(None)[0] == seed


@pytest.mark.skipif(INFO.generation == 2, reason="Keras 2 has no generator of its own")
def test_a_generator_of_keras_goes_on_where_it_was():
    def drawn(between):
        KERAS.utils.set_random_seed(7)
        first = np.array(KERAS.ops.convert_to_numpy(KERAS.random.normal((3,))))
        between()
        return first, np.array(KERAS.ops.convert_to_numpy(KERAS.random.normal((3,))))

    first, second = drawn(lambda: None)
    again = drawn(lambda: check_layer(Scaled, {}, (4,), only=["determinism"]))
    assert not np.array_equal(first, second)
    if np.array_equal(again[0], first):  # from 3.9 on the seed counts for this generator
        np.testing.assert_array_equal(again[1], second)


def test_arguments_are_not_shared_between_layers():
    given = {"units": [2, 3]}

    class Pops(layers.Layer):
        def __init__(self, units=(), **kwargs):
            super().__init__(**kwargs)
            self.total = sum(units)
            units.clear()

        def call(self, x):
            return x * self.total

    assert check_layer(Pops, given, (4,), only="call")[0].status == "passed"
    assert given == {"units": [2, 3]}


@parametrize_with_checks([(Scaled, {"factor": 2.0}, (4,)), {"cls": Scaled, "input_shape": (2, 3), "skip": ["mask"]}])
def test_checks_are_tests(check):
    assert check.breaks
    check()


def test_checks_are_tests_with_names_that_tell():
    (mark,) = test_checks_are_tests.pytestmark
    names = [param.id for param in mark.args[1]]
    assert "Scaled-build_runs_once" in names
    assert "Scaled2-build_runs_once" in names
    with pytest.raises(ValueError, match="got no layer"):
        parametrize_with_checks([])
    with pytest.raises(ValueError, match="there is no check"):
        parametrize_with_checks([{"cls": Scaled, "input_shape": (4,), "only": ["x"]}])


@pytest.mark.at_length
def test_the_page_of_the_checks_lists_them_all():
    import check_table

    text = check_table.PAGE.read_text("utf-8")
    assert check_table.page(text) == text


def test_checks_of_builds_run_on_every_python_and_keras():
    names = ["call", "build_runs_once", "explicit_build"]  # a fault of the checks would look as one of this Keras
    results = check_layer(KERAS.layers.Dense, {"units": 2}, (4,), only=names)
    assert [(result.check, result.status) for result in results] == [(name, "passed") for name in names]


@pytest.mark.in_turns
def test_under_pytest_a_blocked_check_is_skipped_and_an_expected_failure_is_an_xfail(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path[:0] = {sys.path!r}
            from test_check_layer import Forgets, Raises
            from keras_buildfix.testing import parametrize_with_checks
            reason = {{"config_keeps_arguments": "old files"}}
            @parametrize_with_checks([
                {{"cls": Raises, "input_shape": (4,), "only": ["call", "inference"]}},
                {{"cls": Forgets, "init_kwargs": {{"factor": 2.0}}, "input_shape": (4,),
                  "only": ["config_keeps_arguments"], "expected_failures": reason}},
            ])
            def test_layers(check):
                check()
            """
        )
    )
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert re.search(r"1 failed, 1 skipped, 1 xfailed", done.stdout), done.stdout + done.stderr
    assert "no pool of this size" in done.stdout
    assert "`call` failed before" in done.stdout


def test_the_generator_runs_nothing_before_it_is_asked():
    made = []

    def make():
        made.append(1)
        return Scaled()

    checks = [*layer_checks(make, None, (4,))]
    assert not made
    result = next(check for check in checks if check.name == "functional").run()
    assert result.status == "passed"
    assert made
