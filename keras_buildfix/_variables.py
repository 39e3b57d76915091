"""What a weight of any Keras can do: its shape and dtype, reading it, giving it a value."""

from __future__ import annotations

import sys
from typing import Any

from keras_buildfix import _keras, _private
from keras_buildfix._entries import Entry

Array = Any  # numpy.ndarray; importing numpy here would slow the commands that need none


def shape_of(variable: Any) -> tuple[int | None, ...]:
    """The shape of a weight; None for a size that is not fixed (Keras 2 has such)."""
    return tuple(variable.shape)


def dtype_of(variable: Any) -> str:
    """The name of the dtype that a weight is kept in: ``"float32"``."""
    dtype = variable.dtype
    return dtype if isinstance(dtype, str) else str(getattr(dtype, "name", dtype)).replace("torch.", "")


def entry_of(name: str, variable: Any) -> Entry:
    """A weight as something to take a value from, which is read when it is asked for."""
    shape = tuple(int(size or 0) for size in shape_of(variable))
    return Entry(name, shape, dtype_of(variable), lambda: view(variable), variable=variable, borrowed=True)


def is_variable(thing: object) -> bool:
    """Whether a thing is a weight that can be read and given a value: Keras 3's or TensorFlow's."""
    return hasattr(thing, "assign") and hasattr(thing, "shape") and hasattr(thing, "dtype")


def read(variable: Any) -> Array:
    """The value as a numpy array of its own, in the dtype of the weight."""
    import numpy as np

    return np.array(_host(variable))


def view(variable: Any) -> Array:
    """The value as a numpy array to read from at once: on a CPU often without a copy."""
    return _host(variable)


def assign(variable: Any, value: Array) -> None:
    """Gives a weight a value of its shape, cast to its dtype. `value` may be used by the weight from now on."""
    target = dtype_of(variable)
    if target == "bfloat16":
        value = value.astype("float32")  # whose bfloat16 it is differs between Kerases; float32 holds all its values
    elif str(value.dtype) != target:
        value = value.astype(target)
    if _private.is_initialized(variable):
        with _outside_graphs():
            variable.assign(_handed_over(variable, value))
        if value.nbytes >= _LARGE and hasattr(_tensor(variable), "block_until_ready"):
            _tensor(variable).block_until_ready()  # else copies that are still to be made pile up in memory
    else:
        _private.set_initial_value(variable, value, _ops(variable).convert_to_tensor)


def copy(target: Any, source: Any) -> None:
    """Gives a weight the value of another of the same backend, on the device, into memory of its own."""
    if not (_private.is_initialized(target) and _private.is_initialized(source)):
        assign(target, read(source))
        return
    value = _tensor(source)
    ops = _ops(target)
    with _outside_graphs():
        if ops is None:
            same = dtype_of(target) == dtype_of(source)
            target.assign(value if same else sys.modules["tensorflow"].cast(value, dtype_of(target)))
        elif dtype_of(target) != dtype_of(source):
            target.assign(ops.cast(value, dtype_of(target)))
        elif backend_of(target) in ("jax", "numpy"):  # which would keep the very array
            target.assign(_copied_on_cpu(value) if _is_on_one_cpu(value) else ops.copy(value))
        else:  # TensorFlow copies when one of the two is written to, torch at once
            target.assign(value)


def same_backend(first: Any, second: Any) -> bool:
    """Whether a tensor of one weight can be given to the other as it is."""
    return backend_of(first) == backend_of(second)


def backend_of(variable: Any) -> str:
    """The backend that a weight lives on."""
    ops = _ops(variable)
    return str(sys.modules["keras"].config.backend()) if ops is not None else "tensorflow"


def snapshot(variable: Any) -> Any:
    """What is needed to give a weight its present value back: by reference where the backend allows it."""
    if not _private.is_initialized(variable):
        return None
    backend = backend_of(variable)
    if backend == "torch":
        return _tensor(variable).detach().clone()
    if backend == "numpy":
        return _tensor(variable).copy()
    return _tensor(variable) if backend == "jax" else _read_value(variable)


def restore(variable: Any, value: Any) -> None:
    """Gives a weight the value of a ``snapshot`` back."""
    if value is not None:
        with _outside_graphs():
            variable.assign(value)


def _handed_over(variable: Any, value: Array) -> Any:
    """A large array as a tensor of its memory, since Keras would copy it once or twice more."""
    backend = backend_of(variable)
    fits = str(value.dtype) in ("float16", "float32", "float64") and str(value.dtype) == dtype_of(variable)
    if value.nbytes < _LARGE or not fits or not value.flags.writeable or value.ctypes.data % 64:
        return value
    if backend == "torch":
        return sys.modules["torch"].from_numpy(value)
    if backend == "tensorflow" and hasattr(value, "__dlpack__"):
        return sys.modules["tensorflow"].experimental.dlpack.from_dlpack(value.__dlpack__())
    return value


#: Bytes from which a copy costs more than doing without.
_LARGE = 1 << 20


def _is_on_one_cpu(value: Any) -> bool:
    """Whether an array of JAX lies in the memory of this machine as a whole."""
    devices = list(value.devices()) if hasattr(value, "devices") else []
    return len(devices) == 1 and getattr(devices[0], "platform", "") == "cpu"


def _copied_on_cpu(value: Any) -> Array:
    """A copy that JAX takes over as it is; its own copy is several times slower on large arrays."""
    import numpy as np

    from keras_buildfix.formats._bytes import empty

    array = empty(tuple(value.shape), np.asarray(value).dtype)
    np.copyto(array, np.asarray(value))
    return array


def _host(variable: Any) -> Array:
    ops = _ops(variable)
    if ops is not None:
        return ops.convert_to_numpy(variable)
    with _outside_graphs():
        return variable.numpy() if hasattr(variable, "numpy") else _read_value(variable).numpy()


def _tensor(variable: Any) -> Any:
    """What the backend keeps for a weight."""
    return variable.value if _ops(variable) is not None else variable


def _read_value(variable: Any) -> Any:
    value = _tensor(variable)
    with _outside_graphs():
        return value.read_value() if hasattr(value, "read_value") else value


def _ops(variable: Any) -> Any:
    """``keras.ops`` for a weight of Keras 3; None for TensorFlow's own, which Keras 2 has."""
    package = _keras.package_of(type(variable).__module__)
    keras = sys.modules.get(package) if package == "keras" else None
    return getattr(keras, "ops", None)


def _outside_graphs() -> Any:
    """TensorFlow's graph that is just being traced must not take the assignment for a part of it."""
    import contextlib

    init_scope = getattr(sys.modules.get("tensorflow"), "init_scope", None)
    return init_scope() if init_scope is not None else contextlib.nullcontext()
