"""The pages of measured tables agree with their data; each public name has passed tests on each kind of environment."""

import affected_table
import environments
import evidence
import public_uses
import pytest

import keras_buildfix
from keras_buildfix import affected_layers
from keras_buildfix import testing as keras_buildfix_testing

pytestmark = pytest.mark.at_length
NAMES = [*keras_buildfix.__all__, *keras_buildfix_testing.__all__]


def test_the_page_of_affected_layers_is_made_from_the_facts():
    assert affected_table.PAGE.read_text("utf-8") == affected_table.page(), "run tools/affected_table.py"


@pytest.mark.parametrize(("symptom", "word"), affected_table.WORDS.items())
def test_the_page_says_what_affected_layers_says(symptom, word):
    """Reads the page as a person would: a row a layer, a column a band."""
    said = {}
    for part in affected_table.PAGE.read_text("utf-8").split("\n## ")[2:]:
        head, _, *rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("|")]
        rows = [line.split("|")[1:-1] for line in part.splitlines() if line.startswith("| `")]
        for column, label in enumerate(head[1:], 1):
            if any(word in row[column] for row in rows):
                said[label] = {row[0].strip(" `") for row in rows if word in row[column]}
    for label, names in said.items():
        first = label.removeprefix("tf_keras ").replace("-", " ").split()[0]
        assert {*affected_layers(first, symptom=symptom)} == names, label
    assert said


def test_the_page_of_environments_is_made_from_the_evidence():
    assert evidence.PAGE.read_text("utf-8") == evidence.page(evidence.evidence()), "run tools/evidence.py"


def test_each_public_name_passed_tests_on_each_kind_of_keras_and_on_each_backend():
    """But where `evidence.ONLY` says why not."""
    data, lacking = evidence.evidence(), set()
    for name, (total, *counts) in data["names"].items():
        kinds = {}
        for environment, count in zip(data["matrix"], counts):
            kind = "tf_keras" if "tfkeras" in environment else environments.generation(environment)
            if evidence.works_on(name, environment):
                kinds.setdefault((kind, environment.rpartition("-")[2]), []).append(count)
        lacking |= {(name, *kind) for kind, each in kinds.items() if not any(each)}
        assert evidence.tested_on(name).endswith(f"; {total:,} tests")
    assert lacking == set()


def test_a_public_name_that_is_newer_than_the_evidence_has_tests():
    assert sorted(NAMES) == sorted(public_uses.public_names())
    newer = {*NAMES} - {*evidence.evidence()["names"]}
    files = public_uses.TESTS.rglob("test_*.py") if newer else ()
    used = {name for file in files for test in public_uses.tests_in(file) for name in public_uses.used_by(file, test)}
    assert newer <= used
    with pytest.raises(KeyError):
        evidence.tested_on("no_such_name")


def test_ranges_are_of_releases_that_follow_each_other():
    known = ["2.12", "2.13", "2.15", "tf_keras 2.16", "tf_keras 2.21", "3.0", "3.1", "3.3", "nightly"]
    assert environments.ranges(known, known) == "2.12-2.15, tf_keras 2.16 and 2.21, 3.0-3.3, nightly"
    assert environments.ranges({"2.12", "2.15", "3.0", "3.3"}, known) == "2.12, 2.15, 3.0, 3.3"
    assert environments.ranges([], known) == ""
    assert environments.in_order(
        ["keraslatest-jax", "kerasnightly-torch", "tfkeras2.16-tensorflow", "py39-keras3.10-jax"]
    ) == [
        "tfkeras2.16-tensorflow",
        "py39-keras3.10-jax",
        "keraslatest-jax",
        "kerasnightly-torch",
    ]


def test_a_test_uses_what_it_mentions_through_helpers_and_fixtures():
    used = public_uses.used_by_test(
        "tests.freezing.test_freezing", "test_a_compiled_model_honours_freezing_and_unfreezing_at_the_next_step[x]"
    )
    assert {"freeze", "unfreeze", "FreezeReport"} <= used
    assert not {"keras_info", "random"} & used
    example = public_uses.used_by_test("tests.test_examples", "test_the_form_works[fine_tuning.head_then_last_stage]")
    assert {"freeze", "unfreeze"} <= example
    assert public_uses.used_by_test("tests.no_such_file", "test_x") == frozenset()


def test_examples_of_pages_and_docstrings_use_what_they_show():
    used = public_uses.used_by_test
    home = "keras_buildfix.building.affected"
    assert used(home, f"{home}.affected_layers") == {"affected_layers", "keras_info", "KerasInfo"}
    assert used(home, home) == frozenset()
    readme = (public_uses.ROOT / "README.md").read_text("utf-8")
    line = readme[: readme.index("```python\nfrom keras_buildfix import deferred_build")].count("\n") + 1
    assert used("README.md", f"line {line}") == {"deferred_build"}
    assert used("docs.by_error_message.md", "an entry-broken") == frozenset()
