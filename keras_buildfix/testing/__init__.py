"""Checks that layer authors run on their own classes, in each way in which a layer gets built and used."""

from keras_buildfix.testing.checking import (
    CheckResult,
    LayerCheck,
    LayerCheckError,
    check_layer,
    layer_checks,
    parametrize_with_checks,
)

__all__ = [
    "CheckResult",
    "LayerCheck",
    "LayerCheckError",
    "check_layer",
    "layer_checks",
    "parametrize_with_checks",
]
