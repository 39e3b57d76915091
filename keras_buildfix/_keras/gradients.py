"""Gradients of a loss with respect to a model's weights, with the means of each backend; nothing is trained."""

from __future__ import annotations

import hashlib
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
    """The gradients in JAX: traced as a whole, without what users jit, and then compiled as one function.

    JAX has zeros where there is no gradient: these do not come from the gradient of the loss in what was traced.
    """
    jax = sys.modules["jax"]
    values, seed = list(map(stored, variables)), jax.numpy.ones(())
    scope = keras_of(type(model)).StatelessScope

    def loss_of(values: Any) -> Any:
        with scope(state_mapping=list(zip(variables, values)), collect_losses=True):
            loss = compute()
        return loss * scale, loss

    def pulled_back(values: Any, seed: Any) -> Any:
        scaled, back, loss = jax.vjp(loss_of, values, has_aux=True)
        return [loss, *back(seed.astype(scaled.dtype))[0]]

    try:
        with scope():  # the outermost gives new variables of metrics their values, after the trace
            closed = jax.make_jaxpr(pulled_back)(values, seed)
    except Exception:  # the model looks at values, which a trace has not: then a zero counts as a zero
        return _not_traced(scope, compute, lambda: pulled_back(values, seed))
    known = {id(closed.jaxpr.invars[-1])}
    for equation in closed.jaxpr.eqns:
        if any(id(each) in known for each in equation.invars):
            known.update(map(id, equation.outvars))
    loss, *found = _run(jax, closed.jaxpr, closed.consts, *values, seed)
    return loss, [each if id(out) in known else None for each, out in zip(found, closed.jaxpr.outvars[1:])]


def _not_traced(scope: Any, compute: Callable[[], Any], pulled_back: Callable[[], Any]) -> Any:
    """The gradients of a model that could not be traced as a whole."""
    try:
        loss, *found = pulled_back()
    except Exception as error:
        with scope():
            compute()  # raises what the model itself raises
        raise ValueError(
            "check_gradients: the model runs, but JAX can't differentiate it, and fit can't either. Most likely its "
            "call looks at the values of tensors, as in `if float(x) > 0`: use keras.ops.where or keras.ops.cond."
        ) from error
    return loss, found


def _run(jax: Any, jaxpr: Any, *given: Any) -> Any:
    """Runs what was traced: compiled; or one operation at a time, if there are many."""

    def evaluate(consts: Any, *values: Any) -> Any:
        return jax.core.eval_jaxpr(jaxpr, consts, *values)

    if len(jaxpr.eqns) > _TOO_LONG:
        return evaluate(*given)
    with jax.disable_jit(False):
        lowered = jax.jit(evaluate).lower(*given)
        # The text has all operations and numbers; the values of weights and data are arguments.
        places = [str(getattr(each, "sharding", "")) for each in jax.tree_util.tree_leaves(given)]
        key = hashlib.sha256("\n".join([lowered.as_text(), *places]).encode()).hexdigest()
        run = _RUNS.pop(key, None)
        run = lowered.compile() if run is None else run
        _RUNS[key] = run  # now the newest
        while len(_RUNS) > _KEPT:
            del _RUNS[next(iter(_RUNS))]
        return run(*given)


#: The last functions that were compiled, by a hash of what they do: ``ModelWatch`` asks for one again and again.
_RUNS: dict[str, Any] = {}
_KEPT = 4

#: With more operations than these, as of a long loop that was unrolled, compiling takes longer than running each.
_TOO_LONG = 5000


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
