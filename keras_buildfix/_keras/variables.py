"""Reads, assigns and copies a weight of any Keras, and tells its shape and dtype."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from keras_buildfix._arrays import Array, empty_aligned
from keras_buildfix._keras.classes import package_of
from keras_buildfix._keras.graphs import outside_graphs


def is_initialized(variable: Any) -> bool:
    """Whether a weight has a value yet. ``_value``: 3.0.0 to nightly.

    A Keras 3 weight that is made while a model is traced gets its value after the trace.
    """
    return getattr(variable, "_value", variable) is not None


def set_initial_value(variable: Any, value: Any, tensor: Callable[..., Any]) -> None:
    """Sets the first value of a weight that has no value yet. ``_initializer``: 3.0.0 to nightly.

    Keras calls `tensor` later to make a tensor of it: while it traces a model on torch, that is on no device.
    """

    def initializer(shape: Any, dtype: Any = None) -> Any:
        return tensor(value, dtype=dtype)

    variable._initializer = initializer


def share_storage(layer: Any, variable: Any, raw: Any) -> None:
    """Makes a Keras 3 weight keep its value in a variable of the backend that exists already.

    ``_value``: 3.0.0 to nightly; Keras's own ``TorchModuleWrapper`` sets it too. ``_initialize``: 3.0.0 to nightly;
    Keras calls it after a trace, for a weight made during it. ``_torch_params``: torch, 3.6.0 to nightly;
    earlier ones register a layer's variables again when it is built.
    """
    if is_initialized(variable):
        variable._value = raw
    else:

        def initialize(value: Any) -> None:
            variable._value = raw
            vars(variable).pop("_initialize", None)

        variable._initialize = initialize
    if hasattr(layer, "_torch_params"):
        layer._post_build()


def shape_of(variable: Any) -> tuple[int | None, ...]:
    """The shape of a weight; None for a size that is not fixed (possible on Keras 2)."""
    return tuple(variable.shape)


def dtype_of(variable: Any) -> str:
    """The name of the dtype in which a weight is kept, such as ``"float32"``."""
    dtype = variable.dtype
    return dtype if isinstance(dtype, str) else str(getattr(dtype, "name", dtype)).replace("torch.", "")


def is_variable(thing: object) -> bool:
    """Whether a thing is a weight that can be read and assigned: of Keras 3 or TensorFlow."""
    return hasattr(thing, "assign") and hasattr(thing, "shape") and hasattr(thing, "dtype")


def read_value(variable: Any) -> Array:
    """The value as a new numpy array, in the dtype of the weight."""
    import numpy as np

    return np.array(_host(variable))


def view_value(variable: Any) -> Array:
    """The value as a numpy array, on a CPU often without a copy: read it at once, as it may change."""
    return _host(variable)


def assign_value(variable: Any, value: Array) -> None:
    """Assigns a value of the right shape to a weight, cast to its dtype. The weight may keep `value` itself."""
    target = dtype_of(variable)
    if target == "bfloat16":
        value = value.astype("float32")  # Keras versions take different bfloat16 types; float32 holds all its values
    elif str(value.dtype) != target:
        value = value.astype(target)
    if is_initialized(variable):
        with outside_graphs():
            variable.assign(_handed_over(variable, value))
        if value.nbytes >= _LARGE and hasattr(_tensor(variable), "block_until_ready"):
            _tensor(variable).block_until_ready()  # otherwise unfinished copies pile up in memory
    else:
        set_initial_value(variable, value, _ops(variable).convert_to_tensor)


def copy_value(target: Any, source: Any) -> None:
    """Copies the value of one weight to another of the same backend, on the device; they share no memory."""
    if not (is_initialized(target) and is_initialized(source)):
        assign_value(target, read_value(source))
        return
    value = _tensor(source)
    ops = _ops(target)
    with outside_graphs():
        if ops is None:
            same = dtype_of(target) == dtype_of(source)
            target.assign(value if same else sys.modules["tensorflow"].cast(value, dtype_of(target)))
        elif dtype_of(target) != dtype_of(source):
            target.assign(ops.cast(value, dtype_of(target)))
        elif backend_of(target) in ("jax", "numpy"):  # these would keep the same array
            target.assign(_copied_on_cpu(value) if _is_on_one_cpu(value) else ops.copy(value))
        else:  # TensorFlow copies when one of the two is written to, torch copies at once
            target.assign(value)


def same_backend(first: Any, second: Any) -> bool:
    """Whether two weights have the same backend, so that one can take the other's tensor unchanged."""
    return backend_of(first) == backend_of(second)


def backend_of(variable: Any) -> str:
    """The backend of a weight."""
    ops = _ops(variable)
    return str(sys.modules["keras"].config.backend()) if ops is not None else "tensorflow"


def take_snapshot(variable: Any) -> Any:
    """What ``restore`` needs to bring back a weight's present value: a reference where the backend allows it."""
    if not is_initialized(variable):
        return None
    backend = backend_of(variable)
    if backend == "torch":
        return _tensor(variable).detach().clone()
    if backend == "numpy":
        return _tensor(variable).copy()
    return _tensor(variable) if backend == "jax" else _read_value(variable)


def restore_snapshot(variable: Any, value: Any) -> None:
    """Assigns the value of a ``snapshot`` to a weight again."""
    if value is not None:
        with outside_graphs():
            variable.assign(value)


def _handed_over(variable: Any, value: Array) -> Any:
    """A large array as a tensor that uses the same memory: Keras would copy the array once or twice more."""
    backend = backend_of(variable)
    fits = str(value.dtype) in ("float16", "float32", "float64") and str(value.dtype) == dtype_of(variable)
    if value.nbytes < _LARGE or not fits or not value.flags.writeable or value.ctypes.data % 64:
        return value
    if backend == "torch":
        return sys.modules["torch"].from_numpy(value)
    if backend == "tensorflow" and hasattr(value, "__dlpack__"):
        return sys.modules["tensorflow"].experimental.dlpack.from_dlpack(value.__dlpack__())
    return value


#: From this number of bytes on, a copy costs more than avoiding it.
_LARGE = 1 << 20


def _is_on_one_cpu(value: Any) -> bool:
    """Whether a JAX array as a whole is in the memory of one CPU."""
    devices = list(value.devices()) if hasattr(value, "devices") else []
    return len(devices) == 1 and getattr(devices[0], "platform", "") == "cpu"


def _copied_on_cpu(value: Any) -> Array:
    """A copy that JAX uses without copying it again; JAX's own copy is several times slower on large arrays."""
    import numpy as np

    array = empty_aligned(tuple(value.shape), np.asarray(value).dtype)
    np.copyto(array, np.asarray(value))
    return array


def _host(variable: Any) -> Array:
    ops = _ops(variable)
    if ops is not None:
        return ops.convert_to_numpy(variable)
    with outside_graphs():
        return variable.numpy() if hasattr(variable, "numpy") else _read_value(variable).numpy()


def _tensor(variable: Any) -> Any:
    """The backend's tensor or variable of a weight."""
    return variable.value if _ops(variable) is not None else variable


def _read_value(variable: Any) -> Any:
    value = _tensor(variable)
    with outside_graphs():
        return value.read_value() if hasattr(value, "read_value") else value


def _ops(variable: Any) -> Any:
    """``keras.ops`` for a Keras 3 weight; None for a TensorFlow variable, which is a Keras 2 weight."""
    package = package_of(type(variable).__module__)
    keras = sys.modules.get(package) if package == "keras" else None
    return getattr(keras, "ops", None)
