"""Gradients of a loss with respect to a model's weights, with the means of each backend; nothing is trained."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from keras_buildfix._keras.classes import keras_of
from keras_buildfix._keras.variables import stored

#: The backends that have gradients.
BACKENDS = ("tensorflow", "jax", "torch")


def differentiate(
    model: Any, backend: str, compute: Callable[[], Any], variables: Sequence[Any], scale: float
) -> tuple[Any, list[Any]]:
    """The loss, and its gradient times `scale` for each variable, as ``fit`` would get it; None if there is none.

    Args:
        model: The model, which says which Keras this is.
        backend: One of ``BACKENDS``.
        compute: Runs the model and returns a loss, a number.
        variables: Weights of floating dtypes.
        scale: What the loss is multiplied with.
    """
    ways = {"tensorflow": _in_tensorflow, "jax": _in_jax, "torch": _in_torch}
    loss, found = ways[backend](model, compute, variables, scale)
    return loss, list(found)


def _in_tensorflow(model: Any, compute: Callable[[], Any], variables: Sequence[Any], scale: float) -> Any:
    tf = sys.modules["tensorflow"]
    raw = list(map(stored, variables))
    with tf.GradientTape() as tape:
        loss = compute()
        scaled = loss * scale
    found = tape.gradient(scaled, raw) if raw else []
    return loss, [tf.convert_to_tensor(each) if each is not None else None for each in found]


def _in_torch(model: Any, compute: Callable[[], Any], variables: Sequence[Any], scale: float) -> Any:
    torch = sys.modules["torch"]
    with torch.enable_grad():
        loss = compute()
        wanted = [value for value in map(stored, variables) if value.requires_grad]
        found: Any = [None] * len(wanted)
        if wanted and getattr(loss, "requires_grad", False):
            found = torch.autograd.grad(loss * scale, wanted, allow_unused=True)
    by_id = {id(value): gradient for value, gradient in zip(wanted, found)}
    return loss, [by_id.get(id(stored(variable))) for variable in variables]


def _in_jax(model: Any, compute: Callable[[], Any], variables: Sequence[Any], scale: float) -> Any:
    jax = sys.modules["jax"]
    values = list(map(stored, variables))
    (_, loss), found = jax.value_and_grad(_stateless(model, compute, variables, scale), has_aux=True)(values)
    if any(not each.any() for each in found):
        connected = _connected_in_jax(model, compute, variables, loss.dtype)
        found = [each if each.any() or is_connected else None for each, is_connected in zip(found, connected)]
    return loss, list(found)


def _stateless(model: Any, compute: Callable[[], Any], variables: Sequence[Any], scale: float) -> Any:
    """A function of the weights' values: the scaled loss, and the loss. The model does not change."""
    scope = keras_of(type(model)).StatelessScope

    def loss_of(values: Any) -> Any:
        with scope(state_mapping=list(zip(variables, values)), collect_losses=True):
            loss = compute()
        return loss * scale, loss

    return loss_of


def _connected_in_jax(model: Any, compute: Callable[[], Any], variables: Sequence[Any], dtype: Any) -> list[bool]:
    """For each weight, whether its gradient comes from that of the loss; JAX has zeros for what is not connected."""
    jax = sys.modules["jax"]

    def pulled_back(values: Any, seed: Any) -> Any:
        _, back, _ = jax.vjp(_stateless(model, compute, variables, 1.0), values, has_aux=True)
        return back(seed)[0]

    try:
        traced = jax.make_jaxpr(pulled_back)(list(map(stored, variables)), jax.numpy.ones((), dtype)).jaxpr
    except Exception:  # the model looks at values, which a trace has not: then a zero counts as a zero
        return [True] * len(variables)
    known = {id(traced.invars[-1])}
    for equation in traced.eqns:
        if any(id(each) in known for each in equation.invars):
            known.update(map(id, equation.outvars))
    return [id(each) in known for each in traced.outvars]


def loss_scale(model: Any) -> float:
    """The number with which ``fit`` multiplies the loss, so that small gradients don't become 0 in float16; else 1."""
    optimizer: Any = getattr(model, "optimizer", None)
    tf: Any = sys.modules.get("tensorflow")
    try:
        if hasattr(optimizer, "get_scaled_loss"):  # Keras 2
            return float(optimizer.get_scaled_loss(tf.constant(1.0)))
        if hasattr(optimizer, "scale_loss"):
            return float(optimizer.scale_loss(keras_of(type(model)).ops.ones(())))
    except (TypeError, ValueError):
        pass
    return 1.0
