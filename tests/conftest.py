"""Fixtures for all tests, and the choice of tests for an environment."""

import os
import platform
import sys
from pathlib import Path

import bands
import pytest
import site_code
from environment import ENVIRONMENT, FILES_AT_LENGTH, INFO, KERAS, RUNNERS

# Tests of the tools import them as modules.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from keras_buildfix.testing.ways import Case

#: Where run_tests.py reads how far the tests are. Processes that tests start must not write there.
PROGRESS = os.environ.pop("KERAS_BUILDFIX_PROGRESS", "")
#: The tests of the tox plugin run where tox.ini installs tox.
collect_ignore = [] if ENVIRONMENT == "py312-keras3.6-jax" else ["plugins/test_tox.py"]


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
