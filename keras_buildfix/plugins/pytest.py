"""A plugin that runs tests with ``install()`` on: ``pytest -p keras_buildfix.plugins.pytest``.

For somebody else's test run that you can't edit, set the environment variable
``PYTEST_ADDOPTS="-p keras_buildfix.plugins.pytest"``. pytest loads it before any conftest, and
pytest-xdist in each of its workers. There is no entry point: nothing happens unless you name it.
"""

from __future__ import annotations

from keras_buildfix import install, uninstall

install()  # at once, before any conftest, which may import Keras and define layers


def pytest_report_header() -> str:
    """A line at the top of the run that says that the built-ins are fixed."""
    return "keras-buildfix: built-in layers are fixed (install)"


def pytest_unconfigure() -> None:
    """Takes ``install()`` back at the end of the run."""
    uninstall()
