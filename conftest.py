"""For all that pytest collects: our marks, and the code on pages and in docstrings, which tests/site_code.py runs."""

import os

from site_code import pytest_collect_directory, pytest_collect_file

__all__ = ["pytest_collect_directory", "pytest_collect_file", "pytest_configure"]


def pytest_configure(config):
    """Adds our marks."""
    config.addinivalue_line("markers", "at_length: only where files are tried at length")
    config.addinivalue_line("markers", "in_turns: as what is in a file of bands.IN_TURNS")
    if os.environ.get("KERAS_BACKEND") == "numpy":
        # Keras 3.0 to nightly computes shapes here by calls on arrays from `np.empty`: what is in them is chance.
        chance = "(overflow|underflow|invalid value|divide by zero) encountered"
        config.addinivalue_line("filterwarnings", f"ignore:{chance}:RuntimeWarning")
