"""What each Keras casts is what the record says, and the page is made from the record."""

import casting_rules
import pytest
from environment import ENVIRONMENT, KERAS


@pytest.mark.skipif(not ENVIRONMENT, reason="the record has the environments of the matrix")
def test_this_keras_casts_what_the_record_says():
    recorded = casting_rules.measured().get(ENVIRONMENT)
    assert recorded, f"run python tools/casting_rules.py --tox .tox {ENVIRONMENT}"
    assert casting_rules.here(KERAS) == {way: recorded[way] for way in ("plain", "mixin")}


@pytest.mark.at_length
def test_the_page_is_made_from_the_record():
    page = casting_rules.page(casting_rules.measured())
    assert casting_rules.PAGE.read_text("utf-8") == page, "run tools/casting_rules.py"


@pytest.mark.at_length
def test_with_the_mixin_all_environments_do_the_same_in_mixed_precision():
    found = casting_rules.measured()
    for case in casting_rules.CASES:
        seen = {tuple(each["mixin"][case][:2]) for each in found.values()} - {("", "")}
        assert len(seen) == 1, case
