"""The environment runs the Keras, backend and Python in its name."""

import importlib.metadata
import os
import sys
from pathlib import Path

import bands
import numpy as np
import pytest
from environment import ENVIRONMENT, INFO, KERAS

import keras_buildfix
from keras_buildfix import deferred_build, keras_info, matrix


@pytest.mark.skipif(not ENVIRONMENT, reason="run outside the matrix")
def test_the_environment_runs_what_its_name_says():
    factors = matrix.parse(ENVIRONMENT)
    python = factors.python or os.environ.get("KERAS_BUILDFIX_PYTHON", matrix.USUAL_PYTHON)  # run_tests.py took another
    assert python == "{}.{}".format(*sys.version_info)
    assert factors.backend == INFO.backend
    assert INFO.package == ("tf_keras" if factors.keras.startswith("tf") else "keras")
    assert matrix.is_the_one(factors.keras, INFO.version)
    assert keras_info() == INFO


@pytest.mark.skipif(os.environ.get("TOX_ENV_NAME") != ENVIRONMENT, reason="run outside tox, or in a tox of its own")
def test_the_package_under_test_is_the_wheel_and_all_of_it():
    package = Path(keras_buildfix.__file__).parent
    assert package.is_relative_to(sys.prefix)
    installed = importlib.metadata.distribution("keras-buildfix")
    files = {file.as_posix() for file in installed.files}
    recorded = {name for name in files if name.startswith("keras_buildfix/") and "__pycache__" not in name}
    there = {file.relative_to(package.parent).as_posix() for file in package.rglob("*") if file.is_file()}
    assert recorded == {name for name in there if "__pycache__" not in name}
    # Otherwise only what describes the package, and the command.
    others = {name for name in files if not name.startswith("keras_buildfix/") and ".dist-info/" not in name}
    assert {Path(name).stem for name in others} == {"keras-buildfix"}
    assert {"keras_buildfix/py.typed", "keras_buildfix/ops/__init__.pyi"} <= recorded


def test_a_decorated_layer_builds():
    @deferred_build
    class Scaled(KERAS.layers.Reshape):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
            super().build(input_shape)

    layer = Scaled((2, 2))
    layer(np.ones((1, 4), "float32"))
    assert [tuple(weight.shape) for weight in layer.weights] == [()]


@pytest.mark.skipif(os.environ.get("TOX_ENV_NAME") != "keraslatest-numpy", reason="tests from this folder")
def test_these_tests_are_those_of_the_sdist():
    assert (bands.ROOT / "PKG-INFO").is_file()


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
        return [(info.generation, info.backend), *(["nightly"] if environment.startswith("kerasnightly") else [])]

    wanted = {kind for environment in bands.matrix() for kind in kinds(environment)}
    assert len(wanted) == 6
    for test in (f"test_file::test_{number}" for number in range(300)):
        running = [environment for environment in bands.matrix() if bands.runs(environment, test)]
        assert {kind for environment in running for kind in kinds(environment)} == wanted or bands.FULL


def test_what_goes_in_turns_is_there():
    assert {*bands.IN_TURNS} <= {file.stem for file in (bands.ROOT / "tests").rglob("test_*.py")}
