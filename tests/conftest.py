"""Fixtures for all tests (the environment's Keras, with two devices), and the choice of tests for an environment."""

import os
import platform
import sys
import warnings
from pathlib import Path

import bands
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
# Tests of the tools import them as modules.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from keras_buildfix import keras_info
from keras_buildfix.testing.ways import Case

ENVIRONMENT = os.environ.get("KERAS_BUILDFIX_ENV", "")
#: Where run_tests.py reads how far the tests are. Processes that tests start must not write there.
PROGRESS = os.environ.pop("KERAS_BUILDFIX_PROGRESS", "")
#: Whether this environment runs tests at length whose results are the same on most: these differ much from each other.
THOROUGH = bands.FULL or ENVIRONMENT in (
    "",
    "py39-keras2.12-tensorflow",
    "keras3.9-torch",
    "keraslatest-numpy",
    "py313-keraslatest-tensorflow",
)
#: Whether this environment tests files at length. Reading and writing files depends only on Python, numpy, h5py and
#: ml_dtypes, so we take environments that differ most in these.
FILES_AT_LENGTH = bands.FULL or ENVIRONMENT in (
    "",
    "py39-keras2.12-tensorflow",  # Python 3.9, numpy 1.23, the oldest h5py
    "keras2.13-tensorflow",  # numpy 1.24, no ml_dtypes
    "py312-keras3.6-jax",  # Python 3.12, numpy 2
    "py313-keraslatest-tensorflow",  # Python 3.13
    "keraslatest-numpy",  # the newest of all
)
#: Where the tests of run_tests.py run. It depends on no Keras, so one environment is enough: with its oldest Python.
RUNNERS = ("", "py310-keras3.12-tensorflow")
#: The tests of the tox plugin run where tox.ini installs tox.
collect_ignore = [] if ENVIRONMENT == "py312-keras3.6-jax" else ["plugins/test_tox.py"]


def sampled(cases, *sample):
    """All cases on an environment that tests files at length, else the sample."""
    assert sample
    assert {*sample} <= {*cases}
    return cases if FILES_AT_LENGTH else [case for case in cases if case in sample]


def pytest_configure(config):
    config.addinivalue_line("markers", "at_length: only where files are tried at length")
    config.addinivalue_line("markers", "in_turns: as what is in a file of bands.IN_TURNS")
    if os.environ.get("KERAS_BACKEND") == "numpy":
        # Keras 3.0 to nightly computes shapes here by calls on arrays from `np.empty`: what is in them is chance.
        chance = "(overflow|underflow|invalid value|divide by zero) encountered"
        config.addinivalue_line("filterwarnings", f"ignore:{chance}:RuntimeWarning")


def pytest_collection_modifyitems(config, items):
    left_out = {item for item in items if not _is_run_here(item)}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish(session):
    _tell(f"{len(session.items)}\n")


def pytest_runtest_logreport(report):
    _tell("F" * report.failed + "." * (report.when == "teardown"))


def _tell(text):
    if PROGRESS:
        with open(PROGRESS, "a", encoding="ascii") as file:
            file.write(text)


def _is_run_here(item):
    """Whether a test runs on this environment. Its name alone decides its turn, so that all environments agree."""
    if item.path.stem == "test_run_tests":
        return ENVIRONMENT in RUNNERS
    of_files = item.path.stem in ("test_hostile_files", "test_saving")
    if item.get_closest_marker("at_length") or (of_files and FILES_AT_LENGTH):
        return FILES_AT_LENGTH
    if item.path.stem in bands.IN_TURNS or item.get_closest_marker("in_turns"):
        return bands.runs(ENVIRONMENT, f"{item.path.stem}::{item.name}")
    return True


def _import_keras():
    if ENVIRONMENT in ("types", "docs"):  # the only environments whose tests use no Keras at run time
        return None, None
    info = keras_info()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings from the import of Keras and its backends are not ours
        keras = __import__(info.package)
        if info.backend == "tensorflow":
            import tensorflow as tf

            cpu = tf.config.list_physical_devices("CPU")[0]
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return keras, keras_info(keras)


KERAS, INFO = _import_keras()


@pytest.fixture(scope="session", autouse=True)
def versions(record_testsuite_property):
    """Says in the JUnit report what ran, for tools/evidence.py."""
    record_testsuite_property("python", platform.python_version())
    if INFO:
        record_testsuite_property("keras", INFO.version)
        record_testsuite_property("backend", sys.modules[INFO.backend].__version__)


@pytest.fixture(scope="session")
def keras():
    """The Keras namespace of this environment."""
    return KERAS


@pytest.fixture
def case(keras, tmp_path):
    """Makes a case for the ways of building."""

    def make_case(make, shape):
        return Case(keras, make, shape, tmp_path)

    return make_case
