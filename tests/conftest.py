"""Fixtures for all tests, and the choice of tests for an environment."""

import os
import platform
import sys
from pathlib import Path

import bands
import pytest
import site_code
from environment import ENVIRONMENT, INFO, KERAS

# Tests of the tools import them as modules.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from keras_buildfix.testing.ways import Case

__all__ = ["ENVIRONMENT", "INFO", "KERAS"]
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
    turn = site_code.turn_of(item)
    return turn is None or bands.runs(ENVIRONMENT, turn)


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
