"""The measured table holds on this Keras, and can be asked."""

import measure_facts
import pytest
from environment import INFO, KERAS

from keras_buildfix import affected_layers
from keras_buildfix._keras import facts


def test_the_table_is_what_this_keras_does():
    found = measure_facts.measure(KERAS)
    assert found.pop("unmade") == [], "tell tools/measure_facts.py how to make these"
    for symptom, names in found.items():
        assert affected_layers(INFO.version, symptom=symptom) == tuple(names), symptom
        if INFO.package == "keras":
            assert affected_layers(symptom=symptom) == tuple(names)


@pytest.mark.parametrize(
    ("version", "count"),
    [
        *[("2.12", 0), ("2.15.1", 0), ("2.21.0", 0), ("3.0.0", 7), ("3.2.1", 7), ("3.3.3", 1), ("3.4.1", 1)],
        *[("3.5.0", 1), ("3.6.0", 40), ("3.9.2", 40), ("3.10.0", 0), ("3.11.3", 0), ("3.12.0", 1)],
        *[("3.16.0.dev2026102704", 1), ("4.0", 1)],
    ],
)
def test_versions_find_their_row(version, count):
    assert len(affected_layers(version)) == count


def test_bad_versions_are_told():
    with pytest.raises(ValueError, match=r"2\.11 was not measured: the table begins at 2\.12"):
        affected_layers("2.11")
    with pytest.raises(ValueError, match=r"'latest' is not a version of Keras"):
        affected_layers("latest")
    with pytest.raises(ValueError, match=r"pass a version of Keras as text, such as '3\.9'; got 3\.9 without quotes"):
        affected_layers(3.9)
    with pytest.raises(ValueError, match="symptom must be one of 'skipped_build'"):
        affected_layers("3.9", symptom="other")


def test_the_file_is_what_the_tool_writes():
    version = {"SKIPPED_BUILD": "skipped_build", "LOCKED_STATE": "locked_state", "BUILT_TWICE": "built_twice"}
    reports = [
        {"version": f"{first}.0", **{s: list(affected_layers(first, symptom=s)) for s in version.values()}}
        for first in sorted({first for name in version for first, _ in getattr(facts, name)})
    ]
    written: dict = {}
    exec(measure_facts.facts_module(reports), written)
    for name in version:
        assert written[name] == getattr(facts, name)
