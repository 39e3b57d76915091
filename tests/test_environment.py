"""The environment runs the Keras, backend and Python in its name."""

import os
import sys

import bands
import pytest
from conftest import ENVIRONMENT, INFO

from keras_buildfix import keras_info


@pytest.mark.skipif(not ENVIRONMENT, reason="run outside the matrix")
def test_the_environment_runs_what_its_name_says():
    factors = ENVIRONMENT.split("-")
    other = "py" + os.environ.get("KERAS_BUILDFIX_PYTHON", "3.11").replace(".", "")  # run_tests.py took another
    python = next((f for f in factors if f.startswith("py3")), other)
    assert python == f"py{sys.version_info[0]}{sys.version_info[1]}"
    (keras,) = [f for f in factors if f.startswith(("keras", "tf_keras", "newest", "nightly"))]
    assert factors[-1] == INFO.backend
    assert INFO.package == ("tf_keras" if keras.startswith("tf_keras") else "keras")
    if keras == "nightly":
        assert ".dev" in INFO.version
    elif keras == "newest":
        assert tuple(map(int, INFO.version.split(".")[:2])) >= ((3, 14) if python == "py310" else (3, 15))
    else:
        assert INFO.version.startswith(keras.replace("tf_", "").replace("keras", "") + ".")
    assert keras_info() == INFO


@pytest.mark.parametrize("number", [3, bands.PARTS, 11])
@pytest.mark.parametrize("spans", [bands.BANDS, bands.SPANS], ids=["bands", "spans"])
def test_each_band_and_each_backend_takes_all_turns(number, spans):
    taken = {}
    for environment in bands.matrix():
        turns = bands.turns(environment, number, bands=spans)
        assert turns
        taken.setdefault(bands.band_of(environment, spans), set()).update(turns)
        taken.setdefault(bands.backend_of(environment), set()).update(turns)
    assert len(taken) == len(spans) + 4
    assert all(turns == set(range(number)) for turns in taken.values())


def test_keras_2_and_each_backend_of_keras_3_and_the_nightlies_run_all():
    def kinds(environment):
        info = bands.info_of(environment)
        return [(info.generation, info.backend), *(["nightly"] if environment.startswith("nightly") else [])]

    wanted = {kind for environment in bands.matrix() for kind in kinds(environment)}
    assert len(wanted) == 6
    for test in (f"test_file::test_{number}" for number in range(300)):
        running = [environment for environment in bands.matrix() if bands.runs(environment, test)]
        assert {kind for environment in running for kind in kinds(environment)} == wanted or bands.FULL


def test_what_goes_in_turns_is_there():
    assert {*bands.IN_TURNS} <= {file.stem for file in (bands.ROOT / "tests").rglob("test_*.py")}
