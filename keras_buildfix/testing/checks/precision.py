"""Checks that a layer works in mixed precision."""

from __future__ import annotations

from typing import Any

import keras_buildfix
from keras_buildfix._keras.variables import dtype_of
from keras_buildfix.testing.case import arrays_in, dtype_of_tensor, leaves
from keras_buildfix.testing.subject import CheckError, NotHere, Subject, check, give_weights, in_short, is_floating

_PRECISION = (
    "List keras_buildfix.MixedPrecisionMixin first among the bases, or cast constants to the dtype of the input in "
    "call(), and pass **kwargs, which hold `dtype`, to super().__init__()."
)


#: How torch, and oneDNN under TensorFlow 2.12, say that they have no such operation for CPUs.
_NO_KERNEL = ("not implemented for", "not support bfloat16", "AVX512")


def _check_policy(subject: Subject, policy: str) -> None:
    """Checks one layer under a policy against the same layer in float32."""
    import numpy as np

    if subject.info.backend == "numpy" and policy == "mixed_bfloat16":
        raise NotHere("numpy has no bfloat16")
    plain = subject.built()
    with keras_buildfix.dtype_policy_scope(policy):
        layer = subject.make()
        compute = keras_buildfix.compute_dtype(layer)
        if compute != policy.replace("mixed_", ""):
            raise NotHere(f"it was made with a dtype of its own, and computes in {compute}")
        x = subject.x(seed=1)
        try:
            outputs = leaves(subject.call(layer, x))
        except Exception as error:
            # torch and TensorFlow have no such kernel for CPUs
            kinds = ("NotFoundError", "UnimplementedError")
            if any(text in str(error) for text in _NO_KERNEL) or type(error).__name__ in kinds:
                raise NotHere(in_short(error)) from error
            raise
    wrong = {dtype_of_tensor(output) for output in outputs} - {compute}
    wrong = {dtype for dtype in wrong if "float" in dtype}
    if wrong:
        raise CheckError(f"under {policy} it returns {', '.join(sorted(wrong))}, not {compute}")
    narrow = [weight.name for weight in layer.weights if is_floating(weight) and dtype_of(weight) != "float32"]
    if narrow:
        raise CheckError(f"under {policy} these weights are not float32: {', '.join(narrow)}")
    give_weights(layer, plain, f"under {policy} the same layer")
    for exact, found in zip(subject.infer(plain, x), arrays_in(subject.infer(layer, x))):
        if found.dtype.kind == "f":
            _check_close(np.asarray(exact, "float64"), np.asarray(found, "float64"), policy)


def _check_close(exact: Any, found: Any, policy: str) -> None:
    import numpy as np

    if not np.isfinite(found).all():
        raise CheckError(f"under {policy} it returns values that are not finite", "Use keras_buildfix.full_precision.")
    error = np.abs(exact - found).max(initial=0)
    most = np.abs(exact).max(initial=0)
    if error > 0.1 * (1 + most):
        raise CheckError(f"under {policy} it returns values that are {error:.3g} off; they are up to {most:.3g}")


@check("compute_output_spec", "weights_train", advice=_PRECISION)
def mixed_float16(subject: Subject) -> None:
    """The layer can't be used under the policy of GPUs, or computes something else there."""
    _check_policy(subject, "mixed_float16")


@check("mixed_float16", advice=_PRECISION)
def mixed_bfloat16(subject: Subject) -> None:
    """The layer can't be used under the policy of TPUs, or computes something else there."""
    _check_policy(subject, "mixed_bfloat16")
