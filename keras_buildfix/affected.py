"""The measured table, asked by version."""

from __future__ import annotations

from typing import Literal

from packaging.version import InvalidVersion, Version

from keras_buildfix import facts
from keras_buildfix.info import keras_info

Symptom = Literal["skipped_build", "locked_state", "built_twice"]


def affected_layers(version: str | None = None, *, symptom: Symptom = "skipped_build") -> tuple[str, ...]:
    """The built-in layers whose subclasses break on a Keras, as measured on every one of them.

    Args:
        version: A version of Keras, tf_keras or ``tf.keras``, as in ``"3.9.2"``; without one, that of
            the Keras this process has or would import. A release between two that were measured has
            the row of the older one, a newer one than all the row of the newest.
        symptom: ``"skipped_build"``: the ``build()`` of a subclass does not run. ``"locked_state"``: a
            subclass without a ``build`` can't make weights or sub-layers in its own ``__init__``.
            ``"built_twice"``: it runs again at the first call after an explicit ``layer.build(shape)``.

    Returns:
        Names in ``keras.layers``, sorted; empty where nothing is broken.

    Raises:
        ValueError: If `version` is no version, or older than 2.12, the oldest measured; if there is no
            such `symptom`.

    Example:
        >>> from keras_buildfix import affected_layers
        >>> affected_layers("3.4.1")
        ('Softmax',)
        >>> affected_layers("2.15")
        ()

    Source: measured by ``tools/measure_facts.py``, held against behaviour by the tests.
    """
    tables = {
        "skipped_build": facts.SKIPPED_BUILD,
        "locked_state": facts.LOCKED_STATE,
        "built_twice": facts.BUILT_TWICE,
    }
    if symptom not in tables:
        raise ValueError(f"symptom must be one of {', '.join(map(repr, tables))}; got {symptom!r}.")
    asked = _release(version if version is not None else keras_info().version)
    rows = tables[symptom]
    if asked < _release(rows[0][0]):
        raise ValueError(f"Keras {version} was not measured: the table begins at {rows[0][0]}.")
    return next(names for first, names in reversed(rows) if _release(first) <= asked)


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version: a nightly of 3.16 counts as 3.16."""
    try:
        return Version(version).release
    except (InvalidVersion, TypeError):
        raise ValueError(f"{version!r} is not a version of Keras, such as '3.9.2'.") from None
