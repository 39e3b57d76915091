"""Reads, assigns and copies a weight of any Keras, and tells its shape and dtype."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from keras_buildfix._arrays import Array, empty_aligned, numpy_name
from keras_buildfix._keras.classes import package_of
from keras_buildfix._keras.graphs import outside_graphs, runs_without_state


def stored(variable: Any) -> Any:
    """What holds the value of a weight: a backend's tensor or variable; None if the weight has no value yet.

    ``_value``: 3.0.0 to nightly. The public ``value`` is cast in an autocast scope, and takes long on torch. A Keras 3
    weight that is made while a model is traced gets its value after the trace. A Keras 2 weight holds it itself.
    """
    return getattr(variable, "_value", variable)


def set_initial_value(variable: Any, value: Any, tensor: Callable[..., Any]) -> None:
    """Sets the first value of a weight that has no value yet. ``_initializer``: 3.0.0 to nightly.

    Keras calls `tensor` later, when it needs a tensor of the value: on torch, one made during a trace is on no device.
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
    if stored(variable) is not None:
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
    elif numpy_name(value.dtype) != target or not value.dtype.isnative:
        value = value.astype(target)
    held = stored(variable)
    if held is None:
        set_initial_value(variable, value, _ops(variable).convert_to_tensor)
        return
    backend = backend_of(variable)
    if not (value.flags.writeable and value.flags.c_contiguous):
        value = value.copy(order="C")
    if backend == "tensorflow":
        with outside_graphs():
            _assign_in_tensorflow(variable, held, value, numpy_name(value.dtype))
    elif target == "bfloat16" or not _is_assigned_by_keras(variable):
        variable.assign(value)
    elif backend == "torch" and held.shape == value.shape:
        held.detach().copy_(sys.modules["torch"].from_numpy(value))
    elif backend == "jax" and target in _SAME_IN_JAX:
        variable.assign(sys.modules["jax"].numpy.asarray(value))  # Keras would also give the dtype: twice as slow
        if value.nbytes >= _LARGE:
            stored(variable).block_until_ready()  # otherwise unfinished copies pile up in memory
    else:
        variable.assign(value)


def _assign_in_tensorflow(variable: Any, held: Any, value: Any, dtype: str) -> None:
    """Assigns with TensorFlow's own operation: Keras's ``assign`` also runs it, but after several copies and checks.

    TensorFlow may keep the memory of an aligned array, and training then writes into that array. It copies a tensor
    that another variable holds when one of the two is written to.
    """
    handle = _handle_of(held)
    if handle is None or dtype != held.dtype.name or not _is_assigned_by_keras(variable):
        variable.assign(value)
        return
    fixed = held.shape.is_fully_defined()  # a size that is None may change
    sys.modules["tensorflow"].raw_ops.AssignVariableOp(resource=handle, value=value, validate_shape=fixed)


def copy_value(target: Any, source: Any) -> None:
    """Copies the value of one weight to another of the same backend, on the device; they share no memory."""
    here, there = stored(target), stored(source)
    if here is None or there is None:
        assign_value(target, read_value(source))
        return
    ops, backend, dtype = _ops(target), backend_of(target), dtype_of(target)
    if dtype != dtype_of(source):
        with outside_graphs():
            cast = ops.cast if ops is not None else sys.modules["tensorflow"].cast
            target.assign(cast(_tensor(source), dtype))
    elif backend == "tensorflow":
        with outside_graphs():
            value = _value_of(_tensor(source))
            _assign_in_tensorflow(target, here, value, value.dtype.name)
    elif backend == "torch" and _is_assigned_by_keras(target):
        here.detach().copy_(there.detach())
    elif backend in ("jax", "numpy"):  # these would keep the same array
        value = _tensor(source)
        target.assign(_copied_on_cpu(value) if backend == "jax" and _is_on_one_cpu(value) else ops.copy(value))
    else:
        target.assign(_tensor(source))


def same_backend(first: Any, second: Any) -> bool:
    """Whether two weights have the same backend, so that one can take the other's tensor unchanged."""
    return backend_of(first) == backend_of(second)


def backend_of(variable: Any) -> str:
    """The name of a weight's backend, such as ``"jax"``."""
    ops = _ops(variable)
    return str(sys.modules["keras"].config.backend()) if ops is not None else "tensorflow"


def take_snapshot(variable: Any) -> Any:
    """What ``restore_snapshot`` needs to bring back a weight's present value: a reference where that is enough."""
    held, backend = stored(variable), backend_of(variable)
    if held is None or backend == "jax":
        return held
    if backend == "tensorflow":
        with outside_graphs():
            return _value_of(held)
    return held.detach().clone() if backend == "torch" else held.copy()


def restore_snapshot(variable: Any, value: Any) -> None:
    """Gives a weight the value that it had when ``take_snapshot`` returned `value`."""
    if value is not None:
        with outside_graphs():
            variable.assign(value)


#: From this number of bytes on, a copy costs more than avoiding it.
_LARGE = 1 << 20


def _is_on_one_cpu(value: Any) -> bool:
    """Whether a JAX array as a whole is in the memory of one CPU."""
    devices = list(value.devices()) if hasattr(value, "devices") else []
    return len(devices) == 1 and getattr(devices[0], "platform", "") == "cpu"


def _copied_on_cpu(value: Any) -> Any:
    """A copy of a JAX array, by numpy: JAX's own copy is several times slower on large arrays."""
    import numpy as np

    given = np.asarray(value)
    make = empty_aligned if given.nbytes >= _LARGE else np.empty  # JAX takes aligned memory over without a copy
    array = make(given.shape, given.dtype)
    np.copyto(array, given)
    return sys.modules["jax"].numpy.asarray(array)


def _host(variable: Any) -> Array:
    import numpy as np

    backend, value = backend_of(variable), _tensor(variable)
    if backend == "tensorflow":
        with outside_graphs():
            value = _value_of(value)
            return np.asarray(value) if hasattr(value, "numpy") else _ops(variable).convert_to_numpy(variable)
    if backend == "jax" and not hasattr(value, "todense"):
        return np.asarray(value)
    if backend == "torch" and value.device.type == "cpu" and dtype_of(value) in _SAME_IN_TORCH:
        return value.detach().numpy()
    return _ops(variable).convert_to_numpy(variable)


#: The dtypes of tensors that numpy can use as they are.
_SAME_IN_TORCH = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")

#: The dtypes that JAX keeps, whatever its settings: without ``jax_enable_x64`` it makes 32 bits of 64.
_SAME_IN_JAX = ("float32", "float16", "int32", "int16", "int8", "uint32", "uint16", "uint8", "bool")


def _tensor(variable: Any) -> Any:
    """The backend's tensor or variable of a weight; in a stateless scope, the one that counts there."""
    if _ops(variable) is None:
        return variable
    held = stored(variable)
    return variable.value if held is None or runs_without_state("keras") else held


def _is_assigned_by_keras(variable: Any) -> bool:
    """Whether assigning this weight now only changes its memory: no user's code and no stateless scope is between."""
    cls = type(variable)
    package = package_of(cls.__module__)
    own = "keras." if package == "keras" else "tensorflow."
    if not cls.assign.__module__.startswith(own) or "assign" in getattr(variable, "__dict__", ()):
        return False
    return package != "keras" or not runs_without_state(package)


def _handle_of(held: Any) -> Any:
    """The handle of a TensorFlow variable that is one piece of memory; None for one on several devices, and in graphs.

    ``ResourceVariable``, the class of a plain ``tf.Variable``: TensorFlow 2.12 to nightly.
    """
    handle = held.handle if type(held).__name__ == "ResourceVariable" else None
    return handle if hasattr(handle, "numpy") else None


def _value_of(held: Any) -> Any:
    """The value of a TensorFlow variable as a tensor, which stays as it is when the variable changes."""
    handle = _handle_of(held)
    if handle is not None:  # the variable's own method also copies to the device in use, and takes four times as long
        return sys.modules["tensorflow"].raw_ops.ReadVariableOp(resource=handle, dtype=held.dtype)
    return held.read_value() if hasattr(held, "read_value") else held


def _ops(variable: Any) -> Any:
    """``keras.ops`` for a Keras 3 weight, of a user's class too; None for a TensorFlow variable (a Keras 2 weight)."""
    cls = type(variable)
    if package_of(cls.__module__) != "keras" and all(package_of(base.__module__) != "keras" for base in cls.__mro__):
        return None
    return getattr(sys.modules.get("keras"), "ops", None)
