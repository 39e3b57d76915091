"""``result_type``: the dtype of a result of several dtypes, by the rules of the newest Keras 3.

Source: the rules are those of ``keras.backend.result_type`` on Keras 3.15 with TensorFlow, the backend of Keras 2; a
test compares all pairs and triples. On its other backends it never returns 64 bits.
"""

from __future__ import annotations

import functools

#: dtype -> the next wider ones. "int" and "float" are Python's own numbers, which widen nothing that is of their kind.
_WIDER = {
    "bool": ("int",),
    "int": ("uint8", "int8"),
    "uint8": ("int16", "uint16"),
    "uint16": ("int32", "uint32"),
    "uint32": ("int64", "uint64"),
    "uint64": ("float",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("float",),
    "float": ("bfloat16", "float16"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "complex64": ("complex128",),
    "complex128": (),
}


@functools.cache
def _at_least(dtype: str) -> frozenset[str]:
    """A dtype and all wider ones."""
    return frozenset({dtype}.union(*(_at_least(wider) for wider in _WIDER[dtype])))


@functools.cache
def result_type(*dtypes: str, floatx: str = "float32") -> str:
    """The dtype in which values of these dtypes meet.

    Args:
        *dtypes: Names of dtypes; ``"int"`` and ``"float"`` stand for Python's own numbers.
        floatx: Keras's default for floats.

    Returns:
        The name of the narrowest dtype that holds them all.
    """
    meet = frozenset.intersection(*map(_at_least, dtypes))
    narrowest = next(each for each in meet if meet == _at_least(each) & meet and meet <= _at_least(each))
    return {"int": "int32", "float": floatx, "uint64": "uint32"}.get(narrowest, narrowest)  # no result is uint64
