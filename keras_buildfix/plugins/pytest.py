"""``pytest -p keras_buildfix.plugins.pytest``: a test run with ``install()`` on.

By environment variable, for a test run of somebody else's that can't be edited:
``PYTEST_ADDOPTS="-p keras_buildfix.plugins.pytest"``. pytest loads it before any conftest, and
pytest-xdist in each of its workers. There is no entry point: nothing happens unless it is named.
"""

from __future__ import annotations

from keras_buildfix import install, uninstall

install()  # when the plugin is loaded: a conftest may import Keras and define layers at once


def pytest_report_header() -> str:
    """Says so at the top of the run."""
    return "keras-buildfix: built-in layers are fixed (install)"


def pytest_unconfigure() -> None:
    """Takes it back at the end."""
    uninstall()
