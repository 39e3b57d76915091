"""The Keras of this environment, with two devices, and the environment's name in tox.ini."""

import os
import warnings

ENVIRONMENT = os.environ.get("KERAS_BUILDFIX_ENV", "")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")


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
