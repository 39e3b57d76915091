"""The Keras of this environment, with two devices, the environment's name in tox.ini, and what it tests at length."""

import os
import warnings

import bands

ENVIRONMENT = os.environ.get("KERAS_BUILDFIX_ENV", "")
#: Whether this environment runs tests at length whose results are the same on most: these differ much from each other.
THOROUGH = bands.FULL or ENVIRONMENT in (
    "",
    "py39-keras2.12-tensorflow",
    "keras3.9-torch",
    "keraslatest-numpy",
    "py313-keraslatest-tensorflow",
)
#: Whether this environment tests files at length. Reading and writing files depends only on Python, numpy, h5py and
#: ml_dtypes, so we take environments that differ most in these.
FILES_AT_LENGTH = bands.FULL or ENVIRONMENT in (
    "",
    "py39-keras2.12-tensorflow",  # Python 3.9, numpy 1.23, the oldest h5py
    "keras2.13-tensorflow",  # numpy 1.24, no ml_dtypes
    "py312-keras3.6-jax",  # Python 3.12, numpy 2
    "py313-keraslatest-tensorflow",  # Python 3.13
    "keraslatest-numpy",  # the newest of all
)
#: Where the tests of run_tests.py run. It depends on no Keras, so one environment is enough: with its oldest Python.
RUNNERS = ("", "py310-keras3.12-tensorflow")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")


def sampled(cases, *sample):
    """All cases on an environment that tests files at length, else the sample."""
    assert sample
    assert {*sample} <= {*cases}
    return cases if FILES_AT_LENGTH else [case for case in cases if case in sample]


def _import_keras():
    if ENVIRONMENT in ("types", "docs"):  # the only environments whose tests use no Keras at run time
        return None, None
    from keras_buildfix import keras_info  # imported here, because those environments may lack the package

    info = keras_info()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings from the import of Keras and its backends are not ours
        keras = __import__(info.package)
        if info.backend == "tensorflow":
            import tensorflow as tf

            cpu = tf.config.list_physical_devices("CPU")[0]
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return keras, keras_info(keras)


KERAS, INFO = _import_keras()
