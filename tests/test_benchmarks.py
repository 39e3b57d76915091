"""The benchmarks run, one round of a cheap one, and their page shows their results. Nothing is timed."""

import importlib
import json
import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BUILDFIX_ENV") != "keraslatest-torch",
    reason="in one environment, which starts quickest; on another Keras, bench runs them",
)


@pytest.fixture
def module(monkeypatch):
    """Imports a benchmark; its name is free again afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(FOLDER)):
            del sys.modules[name]


def test_each_file_is_a_topic_with_a_measure(module):
    topics = module("run").TOPICS
    assert set(topics) == {path.stem for path in FOLDER.glob("*.py")} - {"run", "measuring"}
    for name in topics:
        assert callable(module(name).measure)


@pytest.mark.parametrize("name", ["ops"])
def test_one_round_gives_rows(module, name):
    rows = list(module(name).measure(quick=True))
    assert len(rows) >= 2
    for row in rows:
        assert len(row.cells()) == len(module("measuring").HEAD)
        assert row.ours > 0
        assert "DIFFERENT" not in row.note


def test_ratio_is_the_median_of_the_rounds(module):
    row = module("measuring").compared("x", "y", [1.0, 2.0, 4.0], [1.0, 4.0, 4.0], "ms")
    assert (row.theirs, row.ours, row.ratio, row.low, row.high, row.rounds) == (2000, 4000, 1, 1, 1.5, 3)
    assert row.cells() == ("x", "y", "2000 ms", "4000 ms", "1.00", "1.00 to 1.50", "3", "-")


def test_page_shows_the_results(module):
    run = module("run")
    assert run.PAGE.read_text() == run.page(json.loads(run.RESULTS.read_text()))
