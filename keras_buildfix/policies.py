"""The dtype policy of a Keras, by one set of names: ask for it, set it, set it for a block."""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Iterator
from typing import Any

from keras_buildfix import _keras
from keras_buildfix._casts import FLOATS
from keras_buildfix.info import keras_info

#: Names that are tried when one has to be listed; another that Keras takes is taken too.
_PLAIN = (*sorted(FLOATS), "mixed_bfloat16", "mixed_float16")
_QUANTIZED = tuple(f"{mode}_from_{plain}" for mode in ("float8", "int4", "int8") for plain in _PLAIN)


def get_policy(*, keras: Any = None) -> str:
    """The name of the dtype policy that new layers get.

    Args:
        keras: The Keras module: ``keras``, ``tf.keras`` or ``tf_keras``. Without it, the one that is loaded,
            as ``keras_info()`` takes them.

    Returns:
        The name, such as ``"mixed_float16"``.

    Raises:
        RuntimeError: If no Keras is loaded.
        TypeError: If `keras` is no Keras module.

    Example:
        >>> import keras
        >>> from keras_buildfix import get_policy
        >>> get_policy()
        'float32'

    Source: ``global_policy`` of Keras 2, ``keras.config.dtype_policy`` of Keras 3.
    """
    return str(_mixed_precision(_chosen(keras)).global_policy().name)


def set_policy(name: Any, *, keras: Any = None) -> None:
    """Sets the dtype policy that new layers get.

    Args:
        name: ``"float32"``, ``"mixed_float16"`` and so on, or a policy object of this Keras.
        keras: The Keras module; without it, the one that is loaded.

    Raises:
        ValueError: If this Keras on this backend has no floating policy of that name; it lists those that
            it has.
        TypeError: If `name` is neither a name nor a policy of this Keras.
        RuntimeError: If no Keras is loaded.

    Example:
        >>> import keras
        >>> from keras_buildfix import get_policy, set_policy
        >>> set_policy("mixed_bfloat16")
        >>> get_policy(), keras.layers.Dense(2).compute_dtype
        ('mixed_bfloat16', 'bfloat16')
        >>> set_policy("float32")

    Source: ``set_global_policy`` of Keras 2, ``keras.config.set_dtype_policy`` of Keras 3.
    """
    module = _chosen(keras)
    _mixed_precision(module).set_global_policy(_policy(name, module))


@contextlib.contextmanager
def policy(name: Any, *, keras: Any = None) -> Iterator[str]:
    """Sets the dtype policy that new layers get, for a block.

    Args:
        name: ``"float32"``, ``"mixed_float16"`` and so on, or a policy object of this Keras.
        keras: The Keras module; without it, the one that is loaded.

    Yields:
        The name of the policy. After the block, however it is left, the policy object from before is
        there again.

    Raises:
        ValueError: If this Keras on this backend has no floating policy of that name; it lists those that
            it has.
        TypeError: If `name` is neither a name nor a policy of this Keras.
        RuntimeError: If no Keras is loaded.

    Example:
        >>> import keras
        >>> from keras_buildfix import compute_dtype, policy
        >>> with policy("mixed_bfloat16"):
        ...     layer = keras.layers.Dense(2)
        >>> compute_dtype(layer), compute_dtype(keras.layers.Dense(2))
        ('bfloat16', 'float32')

    Source: no Keras has one; in its place stands ``set_global_policy`` twice, and an exception between.
    """
    module = _chosen(keras)
    wanted, names = _policy(name, module), _mixed_precision(module)
    former = names.global_policy()
    if names.global_policy() is not former:  # Keras 2 makes one at each call while none is set, from `floatx`
        former = None
    names.set_global_policy(wanted)
    try:
        yield str(wanted.name)
    finally:
        names.set_global_policy(former)


def policy_names(keras: Any = None) -> tuple[str, ...]:
    """The names of floating policies that this Keras has on its backend; found by trying them."""
    module = _chosen(keras)
    return tuple(name for name in (*_PLAIN, *_QUANTIZED) if _made(name, module) is not None)


def _chosen(keras: Any) -> Any:
    """The Keras module that is meant."""
    if keras is not None:
        if not hasattr(_mixed_precision(keras), "set_global_policy"):
            raise TypeError(f"`keras` is to be a Keras module, such as tf.keras; got {_keras.describe(keras)}.")
        return keras
    package = keras_info().package
    if package not in sys.modules:
        raise RuntimeError(f"No Keras is loaded whose policy could be meant: `import {package}` first, or pass it.")
    return sys.modules[package]


def _mixed_precision(keras: Any) -> Any:
    """Where each Keras, 2.12 to nightly, keeps ``Policy``, ``global_policy`` and ``set_global_policy``."""
    return getattr(keras, "mixed_precision", None)


def _policy(name: Any, keras: Any) -> Any:
    """The policy object of a name, or the policy object itself; an error that says what there is otherwise."""
    if not isinstance(name, str):
        if all(hasattr(name, part) for part in ("name", "compute_dtype", "variable_dtype")):
            if _keras.package_of(type(name).__module__) not in (keras_info(keras).package, None):
                raise TypeError(f"The policy {name!r} is of another Keras than {keras_info(keras)}: pass its name.")
            return name
        raise TypeError(f"A dtype policy is given by its name or as a policy object; got {_keras.describe(name)}.")
    made = _made(name, keras)
    if made is None:
        names = policy_names(keras)
        near = "".join(f" Did you mean {close!r}?" for close in difflib.get_close_matches(name, names, 1))
        raise ValueError(
            f"{keras_info(keras)} has no floating dtype policy {name!r}.{near} It has: {', '.join(names)}."
        )
    return made


def _made(name: str, keras: Any) -> Any:
    """The policy object of a name, as this Keras makes it for a layer; None if it has none, or not of floats."""
    if not name:  # stands for the policy that is set
        return None
    try:
        made = keras.layers.Activation("linear", dtype=name, name="policy").dtype_policy
    except (ValueError, TypeError):  # Keras 3, Keras 2
        return None
    dtypes = {made.compute_dtype, made.variable_dtype}
    if not dtypes <= FLOATS or ("float64" in dtypes and not _has_float64(keras)):
        return None
    return made if getattr(made, "quantization_mode", None) is None or _can_be_set(made, keras) else None


def _can_be_set(made: Any, keras: Any) -> bool:
    """Whether a policy may be the one of all new layers: Keras 3.16 refuses those that quantize."""
    names = _mixed_precision(keras)
    former = names.global_policy()
    try:
        names.set_global_policy(made)
    except ValueError:
        return False
    names.set_global_policy(former)
    return True


def _has_float64(keras: Any) -> bool:
    """Whether tensors are float64 if asked to be: JAX makes float32 of it unless told otherwise, and so does NumPy."""
    if not hasattr(keras, "ops"):
        return True
    import numpy as np

    one = keras.ops.convert_to_tensor(np.ones(()))
    return "float64" in str(keras.ops.add(one, one).dtype)  # float32 on torch, in the nightly of October 2026
