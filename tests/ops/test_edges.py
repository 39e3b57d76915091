"""The functions of `ops` that this package writes, at the edges of their arguments: values and errors of numpy's."""

import numpy as np
import ops_cases
import pytest
from environment import KERAS

from keras_buildfix import ops

LEAST = np.iinfo("int32").min
NAN, INF = np.nan, np.inf
F = np.array([[3.0, -1.0], [0.5, 2.0]], "float32")


def array(values, dtype=None):
    return np.asarray(values, dtype)


#: Name, arguments, keywords, what is expected.
VALUES = [
    ("clip", (array([1, 5, 9], "int32"), 2.5, 7.5), {}, array([2, 5, 7])),
    ("clip", (array([1, 5, 9], "float16"), array(2, "float32"), array(7, "float32")), {}, array([2, 5, 7])),
    ("searchsorted", (array([1.0, 2, 3], "float32"), array([NAN, 1.5], "float32")), {}, array([3, 1])),
    ("fmod", (array([LEAST, 7], "int32"), array([-1, -4], "int32")), {}, array([0, 3])),
    ("ldexp", (array([1.0, 1.0, 0.0], "float32"), array([-120, 200, 300], "int32")), {}, array([2.0**-120, INF, 0])),
    ("saturate_cast", (array([300, -5], "int32"), "uint8"), {}, array([255, 0])),
    ("saturate_cast", (array([1e9, -1e9], "float32"), "int8"), {}, array([127, -128])),
    ("inner", (F, 2.0), {}, F * 2),
    ("corrcoef", (F[0],), {}, array(1.0)),
    ("digitize", (array([0.5, 2.5, 9.0], "float32"), array([1.0, 2.0, 3.0], "float32")), {}, array([0, 2, 3])),
    ("nansum", (array([[NAN, 1], [2, NAN]], "float32"),), {"axis": (0, -1)}, array(3.0)),
    ("nanmax", (array([[NAN, 1], [2, NAN]], "float32"),), {"axis": 0}, array([2, 1])),
    ("nanmin", (array([-INF, NAN, INF], "float32"),), {}, array(-INF)),
    ("count_nonzero", (array([[0, 2], [0, 0]], "int32"),), {"axis": ()}, array([[0, 1], [0, 0]])),
    ("lcm", (array([0, 4], "int32"), array([5, -6], "int32")), {}, array([0, 12])),
    ("gcd", (array([0, 4], "int32"), array([0, -6], "int32")), {}, array([0, 2])),
    ("hypot", (array([3e38, 0], "float32"), array([INF, 0], "float32")), {}, array([INF, 0])),
    (
        "logaddexp",
        (array([-INF, 1000], "float32"), array([-INF, 1000], "float32")),
        {},
        array([-INF, 1000 + np.log(2)]),
    ),
]
#: Name, arguments, keywords: what is an error, where another result would be wrong without a word.
ERRORS = [
    ("nansum", (F,), {"axis": (0, 0)}),
    ("nansum", (F,), {"axis": 2}),
    ("quantile", (F, 0.5), {"axis": (0, -2)}),
    ("max", (F,), {"axis": 2}),
    ("norm", (F,), {"axis": (0, 3)}),
    ("cross", (array([1.0, 2, 3]), array([1.0, 2, 3])), {"axisc": 4}),
    ("layer_normalization", (F,), {"axis": 3}),
    ("array_split", (F, 2), {"axis": 2}),
    ("rot90", (F,), {"axes": (0, -2)}),
    ("diff", (F,), {"axis": -3}),
    ("expand_dims", (F, None), {}),
    ("moveaxis", (F, None, 0), {}),
    ("layer_normalization", (F,), {"axis": None}),
    ("nanmax", (F,), {"axis": -3}),
    ("diagonal", (F,), {"axis1": 1, "axis2": -1}),
    ("depth_to_space", (np.ones((1, 2, 2, 4), "float32"), 2), {"data_format": "first"}),
    ("space_to_depth", (np.ones((1, 2, 2, 4), "float32"), 2), {"data_format": "NHWC"}),
    ("max_pool", (np.ones((1, 4, 4, 1), "float32"), 2), {"data_format": ""}),
    ("adaptive_max_pool", (np.ones((1, 4, 4, 1), "float32"), 2), {"data_format": "last"}),
    ("image.gaussian_blur", (np.ones((1, 4, 4, 1), "float32"),), {"data_format": "last"}),
]


def of_ours(rows):
    """The rows whose function this package writes here: Keras's own may differ at the edges."""
    ours = [(at, row) for at, row in enumerate(rows) if not ops_cases.is_native(KERAS, row[0])]
    return [pytest.param(*row, id=f"{row[0]}-{at}") for at, row in ours]


@pytest.mark.parametrize(("name", "args", "kwargs", "expected"), of_ours(VALUES))
def test_values(name, args, kwargs, expected):
    found = ops.convert_to_numpy(ops_cases.function_of(name)(*args, **kwargs))
    np.testing.assert_allclose(np.asarray(found, "float64"), np.asarray(expected, "float64"), rtol=1e-6)


@pytest.mark.parametrize(("name", "args", "kwargs"), of_ours(ERRORS))
def test_errors(name, args, kwargs):
    with pytest.raises(ValueError, match=r"axis|axes|data_format"):
        ops_cases.function_of(name)(*args, **kwargs)
