"""What every test may use: the Keras of the environment, with two devices."""

import os
import sys
import warnings
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
# Tests of the tools import them as modules.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from keras_buildfix import keras_info
from keras_buildfix.testing import building

ENVIRONMENT = os.environ.get("KERAS_BUILDFIX_ENV", "")
#: What depends on Python, numpy and h5py only is tried at length on the oldest, the newest and one between.
THOROUGH = ENVIRONMENT in ("", "py39-keras2.12-tensorflow", "keras3.9-torch", "newest-numpy", "py313-newest-tensorflow")


def _import_keras():
    if ENVIRONMENT == "types":  # the only environment whose tests use no Keras at run time
        return None, None
    info = keras_info()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Keras and its backends say while they import is not ours
        keras = __import__(info.package)
        if info.backend == "tensorflow":
            import tensorflow as tf

            cpu = tf.config.list_physical_devices("CPU")[0]
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return keras, keras_info(keras)


KERAS, INFO = _import_keras()


@pytest.fixture(scope="session")
def keras():
    """The Keras namespace of this environment."""
    return KERAS


@pytest.fixture
def case(keras, tmp_path):
    """Makes a case for the ways of building."""

    def make_case(make, shape):
        return building.Case(keras, make, shape, tmp_path)

    return make_case
