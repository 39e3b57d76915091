"""What docs/releases.md says of each Keras release is what its probes say, on each environment."""

import json

import pytest
import release_changes
import release_probes
from environment import ENVIRONMENT, KERAS

RECORD = json.loads(release_changes.RECORD.read_text("utf-8"))


RUNS = "nightly" in ENVIRONMENT or ENVIRONMENT in release_changes.ENVIRONMENTS


@pytest.mark.skipif(not RUNS, reason="not an environment of the record")
def test_the_probes_say_what_is_recorded():
    said = release_probes.outcomes(KERAS)
    assert {*said} == {*release_probes.PROBES}
    if "nightly" not in ENVIRONMENT:  # that changes every day
        assert said == RECORD[ENVIRONMENT]["said"]


@pytest.mark.at_length
def test_the_page_and_the_record_agree():
    assert {*RECORD} == {*release_changes.ENVIRONMENTS}
    assert all({*each["said"]} == {*release_probes.PROBES} for each in RECORD.values())
    assert release_changes.TARGET.read_text("utf-8") == release_changes.page(RECORD)
