"""The seeded bugs of ``tools/mutants.py`` can still be made: each one's text stands in the package, once."""

import bands
import mutants
import pytest


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_its_text_is_there_once(mutant):
    assert (bands.ROOT / "keras_buildfix" / mutant.file).read_text("utf-8").count(mutant.old) == 1
    assert mutant.environment in bands.matrix()
    assert mutants.test_files(bands.ROOT, mutant)  # a KeyError if one is missing
