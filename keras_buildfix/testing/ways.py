"""The ways in which a layer gets built: one function for each way.

Every way takes a `Case`, uses the layer as a user would, and returns the layers that must be built by
then: each once, with their weights. A way through a file or a copy also checks that the weights came
back with their values. `WAYS` has them all by name; `ways_here` has those that plain Keras can do on
this version and backend.
"""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from keras_buildfix._keras.info import KerasInfo
from keras_buildfix.testing.case import Case

Way = Callable[["Case"], "list[Any]"]


def ways_here(info: KerasInfo) -> dict[str, Way]:
    """The ways that plain Keras can do on this version and backend, by name."""
    return {name: way for name, way in WAYS.items() if _possible(name, info)}


def _possible(name: str, info: KerasInfo) -> bool:
    if name == "pickled_layer" or name.startswith("deepcopy"):
        return info.generation == 3  # Keras 2 keeps thread-locals in a layer, which can't be copied
    if name in _TENSORFLOW_ONLY:
        return info.backend == "tensorflow" and not (name == "exported" and info.version.startswith("2.12"))
    if name == "distributed":
        return info.backend == "jax"
    return name != "fitted" or info.backend not in ("numpy", "openvino")


# --- Calls -------------------------------------------------------------------------------------


def eager_call(case: Case) -> list[Any]:
    """``layer(array)``."""
    layer = case.make()
    layer(case.x())
    return [layer]


def symbolic_call(case: Case) -> list[Any]:
    """``layer(keras.Input(...))``."""
    layer = case.make()
    layer(case.keras.Input(case.shape))
    return [layer]


def explicit_build(case: Case) -> list[Any]:
    """``layer.build(shape)``, then a call."""
    layer = case.make()
    layer.build((None, *case.shape))
    layer(case.x())
    return [layer]


def output_shape_then_call(case: Case) -> list[Any]:
    """``layer.compute_output_shape(shape)``, then a call."""
    layer = case.make()
    layer.compute_output_shape((None, *case.shape))
    layer(case.x())
    return [layer]


def inside_tf_function(case: Case) -> list[Any]:
    """The first call happens while a ``tf.function`` is being traced."""
    import tensorflow as tf

    layer = case.make()
    traced = tf.function(lambda x: layer(x))
    traced(tf.constant(case.x()))
    return [layer]


# --- Models ------------------------------------------------------------------------------------


def sequential_of_list(case: Case) -> list[Any]:
    """``Sequential([Input, layer])``."""
    layer = case.make()
    case.keras.Sequential([_input_layer(case), layer])
    return [layer]


def sequential_by_add(case: Case) -> list[Any]:
    """``Sequential().add(layer)``, then a call."""
    layer = case.make()
    model = case.keras.Sequential()
    model.add(layer)
    model(case.x())
    return [layer]


def sequential_build(case: Case) -> list[Any]:
    """``Sequential([layer]).build(shape)``."""
    layer = case.make()
    case.keras.Sequential([layer]).build((None, *case.shape))
    return [layer]


def functional(case: Case) -> list[Any]:
    """``Model(inputs, layer(inputs))``."""
    _, layer = case.model()
    return [layer]


def subclassed_model(case: Case) -> list[Any]:
    """A subclassed ``Model`` that holds the layer as an attribute, then a call."""

    class Subclassed(case.keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = case.make()

        def call(self, x: Any) -> Any:
            return self.inner(x)

    model = Subclassed()
    model(case.x())
    return [model.inner]


def fitted(case: Case) -> list[Any]:
    """``model.fit``: the weights must train."""
    layer = case.make()
    model = case.keras.Sequential([layer, case.keras.layers.Flatten(), case.keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    x = case.x()
    model.build((None, *case.shape))
    before = _values(layer)
    model.fit(x, x.reshape(len(x), -1)[:, :1] + 5, epochs=1, batch_size=len(x), verbose=0)
    for weight, old in zip(layer.trainable_weights, before):
        assert abs(_values(layer)[0] - old).max() > 0, f"{weight.name} of {layer.name} did not train"
    return [layer]


# --- Copies ------------------------------------------------------------------------------------


def cloned_model(case: Case) -> list[Any]:
    """``clone_model(model)``."""
    model, layer = case.model()
    clone = case.keras.models.clone_model(model)
    return [layer, clone.layers[-1]]


def from_config(case: Case) -> list[Any]:
    """``from_config(get_config())``, then a call."""
    first = case.make()
    layer = type(first).from_config(first.get_config())
    layer(case.x())
    return [layer]


def deepcopy_built(case: Case) -> list[Any]:
    """``copy.deepcopy`` of a layer that is built."""
    _, layer = case.model()
    again = copy.deepcopy(layer)
    _check_same_weights(layer, again)
    return [layer, again]


def deepcopy_unbuilt(case: Case) -> list[Any]:
    """``copy.deepcopy`` of a layer that is not built yet, then a call of both."""
    layer = case.make()
    again = copy.deepcopy(layer)
    again(case.x())
    layer(case.x())
    return [layer, again]


def pickled_layer(case: Case) -> list[Any]:
    """``pickle`` of a layer that is built."""
    _, layer = case.model()
    again = pickle.loads(pickle.dumps(layer))
    _check_same_weights(layer, again)
    return [layer, again]


def pickled_model(case: Case) -> list[Any]:
    """``pickle`` of a model."""
    model, layer = case.model()
    again = pickle.loads(pickle.dumps(model)).layers[-1]
    _check_same_weights(layer, again)
    return [layer, again]


# --- Files -------------------------------------------------------------------------------------


def keras_file(case: Case) -> list[Any]:
    """Saves a model to a ``.keras`` file and loads it."""
    return _through_file(case, "model.keras")


def h5_file(case: Case) -> list[Any]:
    """Saves a model to a legacy ``.h5`` file and loads it."""
    return _through_file(case, "model.h5")


def keras_file_of_lazy_model(case: Case) -> list[Any]:
    """Saves a Sequential model that its first call has built to a ``.keras`` file, and loads it."""
    layer = case.make()
    model = case.keras.Sequential([layer])
    model(case.x())
    for weight in layer.weights:
        weight.assign(weight * 0 + 3)
    model.save(str(case.folder / "lazy.keras"))
    again = case.load(case.folder / "lazy.keras").layers[-1]
    _check_same_weights(layer, again)
    return [layer, again]


def weights_file(case: Case) -> list[Any]:
    """Saves weights to a ``.weights.h5`` file and loads them into a new model."""
    path = str(case.folder / "model.weights.h5")
    model, layer = case.model()
    model.save_weights(path)
    other, again = case.model()
    for weight in again.weights:
        weight.assign(weight * 0)
    other.load_weights(path)
    _check_same_weights(layer, again)
    return [layer, again]


def exported(case: Case) -> list[Any]:
    """``model.export(path)``; the exported model must compute the same."""
    import tensorflow as tf

    model, layer = case.model()
    model.export(str(case.folder / "exported"))
    loaded = tf.saved_model.load(str(case.folder / "exported"))  # its variables live as long as this does
    _check_close(model(case.x()), loaded.serve(tf.constant(case.x())))
    return [layer]


def tf_saved_model(case: Case) -> list[Any]:
    """``tf.saved_model.save`` of a layer in a ``tf.function``; the loaded function must compute the same."""
    import tensorflow as tf

    layer = case.make()
    module = tf.Module()
    module.layer = layer
    module.serve = tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((None, *case.shape), tf.float32)])
    expected = module.serve(tf.constant(case.x()))
    tf.saved_model.save(module, str(case.folder / "saved"))
    loaded = tf.saved_model.load(str(case.folder / "saved"))
    _check_close(expected, loaded.serve(tf.constant(case.x())))
    return [layer]


# --- Several devices ---------------------------------------------------------------------------


def mirrored(case: Case) -> list[Any]:
    """``fit`` inside ``tf.distribute.MirroredStrategy`` on all logical CPU devices (two or more)."""
    with mirrored_strategy().scope():
        return fitted(case)


def distributed(case: Case) -> list[Any]:
    """``fit`` on JAX with ``keras.distribution``, data-parallel over all host devices (two or more)."""
    import jax

    distribution = case.keras.distribution
    assert len(jax.devices()) > 1, "needs several devices: XLA_FLAGS=--xla_force_host_platform_device_count=2"
    before = distribution.distribution()
    distribution.set_distribution(distribution.DataParallel())
    try:
        return fitted(case)
    finally:
        distribution.set_distribution(before)


WAYS: dict[str, Way] = {
    way.__name__: way
    for way in (
        eager_call,
        symbolic_call,
        explicit_build,
        output_shape_then_call,
        inside_tf_function,
        sequential_of_list,
        sequential_by_add,
        sequential_build,
        functional,
        subclassed_model,
        fitted,
        cloned_model,
        from_config,
        deepcopy_built,
        deepcopy_unbuilt,
        pickled_layer,
        pickled_model,
        keras_file,
        h5_file,
        keras_file_of_lazy_model,
        weights_file,
        exported,
        tf_saved_model,
        mirrored,
        distributed,
    )
}

_TENSORFLOW_ONLY = ("inside_tf_function", "exported", "tf_saved_model", "mirrored")


@functools.cache
def mirrored_strategy() -> Any:
    """The one strategy of this process: the collectives of a second one would clash with those of the first."""
    import tensorflow as tf

    devices = [device.name.replace("/device:", "") for device in tf.config.list_logical_devices("CPU")]
    assert len(devices) > 1, "needs two logical CPU devices: tf.config.set_logical_device_configuration"
    return tf.distribute.MirroredStrategy(devices)


def _input_layer(case: Case) -> Any:
    """The input of a Sequential model as a layer: Keras 2 needs a layer there, Keras 3 also takes a tensor."""
    return case.keras.layers.InputLayer(case.shape)


def _through_file(case: Case, name: str) -> list[Any]:
    model, layer = case.model()
    model.save(str(case.folder / name))
    loaded = case.load(case.folder / name)
    again = loaded.layers[-1]
    _check_same_weights(layer, again)
    _check_close(model(case.x()), loaded(case.x()))
    return [layer, again]


def _values(layer: Any) -> Sequence[Any]:
    return list(layer.get_weights())


def _check_same_weights(layer: Any, again: Any) -> None:
    before, after = _values(layer), _values(again)
    assert len(before) == len(after), f"{layer.name} has {len(before)} weights, {len(after)} came back"
    for weight, old, new in zip(layer.weights, before, after):
        same = old.shape == new.shape and (old == new).all()
        assert same, f"{weight.name} of {layer.name} changed on the way"


def _check_close(expected: Any, found: Any) -> None:
    import numpy

    convert = [value.detach().cpu() if hasattr(value, "detach") else value for value in (expected, found)]
    numpy.testing.assert_allclose(numpy.asarray(convert[1]), numpy.asarray(convert[0]), rtol=1e-5)
