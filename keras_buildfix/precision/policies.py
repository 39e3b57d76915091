"""Reads and sets the dtype policy of each loaded Keras, with the same function names for Keras 2 and 3."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from typing import Any

from keras_buildfix._blocks import block
from keras_buildfix._keras.classes import PACKAGES, describe, layer_base, package_of
from keras_buildfix._keras.info import keras_info
from keras_buildfix.precision.tensors import FLOATS

#: The names that are tried in order to list the policies. Any other name that Keras accepts works too.
_PLAIN = (*sorted(FLOATS), "mixed_bfloat16", "mixed_float16")
_QUANTIZED = tuple(f"{mode}_from_{plain}" for mode in ("float8", "int4", "int8") for plain in _PLAIN)


def get_dtype_policy(keras: Any = None) -> str:
    """The name of the dtype policy that new layers get.

    Args:
        keras: The Keras module: ``keras``, ``tf.keras`` or ``tf_keras``; without it, every loaded one.

    Returns:
        The name, such as ``"mixed_float16"``.

    Raises:
        RuntimeError: If no Keras is loaded, or several are and their policies differ.
        TypeError: If `keras` is not a Keras module.

    Examples:
        >>> import keras
        >>> from keras_buildfix import get_dtype_policy
        >>> get_dtype_policy()
        'float32'

    Source: ``global_policy`` of Keras 2, ``keras.config.dtype_policy`` of Keras 3.
    """
    found = [(str(_mixed_precision(module).global_policy().name), keras_info(module)) for module in _chosen(keras)]
    if len({name for name, _ in found}) > 1:
        differ = ", ".join(f"{name!r} of {info}" for name, info in found)
        raise RuntimeError(f"The loaded Keras packages have different policies: {differ}. Pass one of them as keras=.")
    return found[0][0]


def set_dtype_policy(name: Any, *, keras: Any = None) -> None:
    """Sets the dtype policy that new layers get.

    Args:
        name: ``"float32"``, ``"mixed_float16"`` and so on, or a policy object, which is set on its own Keras only.
        keras: The Keras module; without it, every loaded one (TensorFlow 2.21 loads ``keras`` beside
            ``tf_keras``).

    Raises:
        ValueError: If one of these modules has no floating policy of that name on its backend. The message lists
            those that it has, and nothing is changed.
        TypeError: If `name` is neither a name nor a policy of this Keras.
        RuntimeError: If no Keras is loaded.

    Examples:
        >>> import keras
        >>> from keras_buildfix import get_dtype_policy, set_dtype_policy
        >>> set_dtype_policy("mixed_bfloat16")
        >>> get_dtype_policy(), keras.layers.Dense(2).compute_dtype
        ('mixed_bfloat16', 'bfloat16')
        >>> set_dtype_policy("float32")

    Source: ``set_global_policy`` of Keras 2, ``keras.config.set_dtype_policy`` of Keras 3.
    """
    wanted = _wanted(name, keras)
    former = _former(wanted)
    try:
        _set(wanted)
    except BaseException:
        _set(former)
        raise


@block
def dtype_policy_scope(name: Any, *, keras: Any = None) -> Iterator[str]:
    """Sets the dtype policy that new layers get, for a ``with`` block.

    Use it with ``with``: without it, nothing is set. ``set_dtype_policy`` sets the policy for good.

    Args:
        name: ``"float32"``, ``"mixed_float16"`` and so on, or a policy object, which is set on its own Keras only.
        keras: The Keras module; without it, every loaded one.

    Yields:
        The name of the policy. After the block, also after an error in it, the earlier policy objects are set
        again.

    Raises:
        ValueError: If one of these modules has no floating policy of that name on its backend. The message lists
            those that it has.
        TypeError: If `name` is neither a name nor a policy of this Keras.
        RuntimeError: If no Keras is loaded.

    Examples:
        >>> import keras
        >>> from keras_buildfix import compute_dtype, dtype_policy_scope
        >>> with dtype_policy_scope("mixed_bfloat16"):
        ...     layer = keras.layers.Dense(2)
        >>> compute_dtype(layer), compute_dtype(keras.layers.Dense(2))
        ('bfloat16', 'float32')

    Source: no Keras has such a scope. People call ``set_global_policy`` twice, and an error between leaves it set.
    """
    wanted = _wanted(name, keras)
    former = _former(wanted)
    try:
        _set(wanted)
        yield str(wanted[0][1].name)
    finally:
        _set(former)


def policy_names(keras: Any = None) -> tuple[str, ...]:
    """The names of the floating policies that this Keras has on its backend; it tries each of them."""
    module = _chosen(keras)[0]
    return tuple(name for name in (*_PLAIN, *_QUANTIZED) if _made(name, module) is not None)


def _chosen(keras: Any) -> list[Any]:
    """The Keras modules to use; the one that this process would choose comes first."""
    if keras is not None:
        if not hasattr(_mixed_precision(keras), "set_global_policy"):
            layer = " The policy of a layer is layer.dtype_policy." if layer_base(type(keras)) else ""
            raise TypeError(f"keras= expects a Keras module, such as tf.keras; got {describe(keras)}.{layer}")
        return [keras]
    wanted = keras_info().package
    loaded = [sys.modules[package] for package in PACKAGES if package in sys.modules]
    loaded = [module for module in loaded if hasattr(_mixed_precision(module), "set_global_policy")]
    if not loaded:
        raise RuntimeError(f"No Keras is loaded, so there is no policy: `import {wanted}` first, or pass it as keras=.")
    return sorted(loaded, key=lambda module: module.__name__ != wanted)


def _wanted(name: Any, keras: Any) -> list[tuple[Any, Any]]:
    """Each Keras module with the policy object to set there: finds all, or raises an error, before any is set."""
    modules, own = _chosen(keras), _package_of(name)
    if keras is None and own in sys.modules:
        modules = [sys.modules[own]]
    return [(module, _policy(name, module)) for module in modules]


def _package_of(policy: Any) -> str:
    """The Keras package of a policy object; empty for a name, or for an object of no Keras class."""
    packages = (package_of(base.__module__) for base in type(policy).__mro__)
    return next((package for package in packages if package in PACKAGES), "")


def _former(wanted: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """The same Keras modules with the policy set now; None if none is: Keras 2 then makes one from ``floatx``."""
    found = []
    for module, _ in wanted:
        names = _mixed_precision(module)
        policy = names.global_policy()
        found.append((module, policy if names.global_policy() is policy else None))
    return found


def _set(policies: list[tuple[Any, Any]]) -> None:
    for module, policy in policies:
        _mixed_precision(module).set_global_policy(policy)


def _mixed_precision(keras: Any) -> Any:
    """Where each Keras, 2.12 to nightly, keeps ``Policy``, ``global_policy`` and ``set_global_policy``."""
    return getattr(keras, "mixed_precision", None)


def _policy(name: Any, keras: Any) -> Any:
    """The policy object of a name, or the policy object itself; otherwise an error that lists the names."""
    if not isinstance(name, str):
        if all(hasattr(name, part) for part in ("name", "compute_dtype", "variable_dtype")):
            if _package_of(name) not in (keras_info(keras).package, ""):
                raise TypeError(f"The policy {name!r} is of another Keras than {keras_info(keras)}: pass its name.")
            return name
        raise TypeError(f"Pass a dtype policy by its name or as a policy object; got {describe(name)}.")
    made = _made(name, keras)
    if made is None:
        names = policy_names(keras)
        near = "".join(f" Did you mean {close!r}?" for close in difflib.get_close_matches(name, names, 1))
        raise ValueError(
            f"{keras_info(keras)} has no floating dtype policy {name!r}.{near} It has: {', '.join(names)}."
        )
    return made


def _made(name: str, keras: Any) -> Any:
    """The policy object that a layer of this Keras gets for a name; None if there is none or it is not floating."""
    if not name:  # Keras would take the policy that is set
        return None
    try:
        made = keras.layers.Activation("linear", dtype=name, name="policy").dtype_policy
    except (ValueError, TypeError):  # Keras 3 raises the first, Keras 2 the second
        return None
    dtypes = {made.compute_dtype, made.variable_dtype}
    if not dtypes <= FLOATS or ("float64" in dtypes and not _has_float64(keras)):
        return None
    return made if getattr(made, "quantization_mode", None) is None or _can_be_set(made, keras) else None


def _can_be_set(made: Any, keras: Any) -> bool:
    """Whether a policy can be set for all new layers: Keras 3.16 refuses policies that quantize."""
    names = _mixed_precision(keras)
    former = names.global_policy()
    try:
        names.set_global_policy(made)
    except ValueError:
        return False
    names.set_global_policy(former)
    return True


def _has_float64(keras: Any) -> bool:
    """Whether this Keras computes in float64: JAX uses float32 instead unless it is configured, and so does NumPy."""
    if not hasattr(keras, "ops"):
        return True
    import numpy as np

    one = keras.ops.convert_to_tensor(np.ones(()))
    return "float64" in str(keras.ops.add(one, one).dtype)  # float32 on torch, in the nightly of October 2026
