"""Cases for `ops`: elementwise.

64 bits are only in cases of functions that Keras 3.0 has: no result of numpy and JAX has them, and torch's do.
Not here, because the backends of the newest Keras don't agree: bools in arithmetic that gives bools (TensorFlow refuses
them), Python's numbers beside int8 or float16 in functions that make tensors of both first (`mod`, `gcd`, `hypot`,
`bitwise_and`...: JAX keeps the narrow dtype), ints in `reciprocal`, and ties of `maximum` for the gradient.
"""

import os

from ops_cases import bf16, boolean, c, c64, f16, f32, f64, i8, i32, i64, raw, u8

NAN, INF = float("nan"), float("inf")

F, G = f32(2, 3), f32(2, 3, seed=1)
ROW = f32(3, seed=2)
INTS, ROW_OF_INTS = i32(2, 3), i32(3, seed=1)
HALF, BOOLS, COMPLEX = bf16(2, 3), boolean(2, 3), c64(2, 3)
SPECIAL = f32(values=[[NAN, INF, -INF], [0.0, -0.0, -1.5]])
CORNERS_1 = f32(values=[[INF, INF, -INF], [0.0, NAN, -INF]])
CORNERS_2 = f32(values=[[INF, -INF, -INF], [0.0, 1.0, 2.0]])
UNIT = f32(values=[[-1.0, -0.5, 0.0], [0.25, 0.75, 1.0]])
POSITIVE = f32(2, 3, low=0.1, high=4)
FROM_1 = f32(values=[[1.0, 1.25, 2.0], [3.0, 10.0, INF]])
TIES = f32(values=[[0.5, 1.5, 2.5], [-0.5, -1.5, -2.7]])
DIVIDEND = i32(values=[[7, -7, 7], [-7, 6, 0]])
DIVISOR = i32(values=[[3, 3, -3], [-3, -3, 5]])
FLOAT_DIVIDEND = f32(values=[[7.5, -7.5, 7.5], [-7.5, 6.0, -0.0]])
FLOAT_DIVISOR = f32(values=[[2.0, 2.0, -2.0], [-2.0, -3.0, 5.0]])
SHIFTED = i32(values=[[1, -8, 5], [-1, 0, 1 << 20]])
DENOMINATORS = f32(values=[[0.0, 2.0, -0.0], [-4.0, 0.5, 1.0]])
UNSIGNED = u8(2, 3)
NEXT_UNSIGNED = u8(2, 3, low=1, seed=1)

OF_KERAS = "Keras says another dtype for symbolic tensors than the result has"
AT_ZERO = c(SPECIAL).no("gradient", why="that of abs at 0 is 0 or 1, by backend")
RAW_COMPLEX = c(raw("complex64", 2, 3))  # of a tensor, the `cast` of Keras 3.0 to 3.2 would refuse the dtype
REAL_OF_COMPLEX = c(COMPLEX).no("symbolic", why=OF_KERAS)


def floating(domain=F, *more):
    """Cases of a function of one tensor that makes ints floats."""
    return [c(domain), c(SPECIAL), c(x=bf16(2, 3, low=0.2, high=0.9)), c(BOOLS), c(i64(2, 3)), c(0.5), *more]


def from_1(*more):
    at_1 = "infinite at 1, or not a number: TensorFlow 2.21 changed it"
    return [
        c(FROM_1),
        c(UNIT).no("gradient", why=at_1),
        c(bf16(2, 3, low=1, high=2)),
        c(i32(2, 3, low=1)),
        c(x=1.5),
        c(True),
        *more,
    ]


def predicate():
    """Cases of a function of one tensor that gives bools."""
    return [c(SPECIAL), c(x=INTS), c(f16(values=[[NAN, 1.0, -INF]])), c(BOOLS), c(f32(0, 2)), c(1.5), c(u8(3))]


def comparison():
    return [
        c(DIVIDEND, 6),
        c(SPECIAL, f32(values=[NAN, INF, 0.0])),
        c(x1=INTS, x2=HALF),
        c(INTS, 1.5),
        c(2.0, F),
        c(u8(2, 3), i8(3)),
        c(f32(2, 1), ROW),
        c(f32(0, 3), ROW),
    ]


def logical():
    return [
        c(BOOLS, boolean(2, 3, seed=1)),
        c(x1=BOOLS, x2=boolean(3)),
        c(SPECIAL, INTS),
        c(INTS, ROW),
        c(BOOLS, True),
        c(0, F),
        c(boolean(0, 3), True),
    ]


def extremum():
    return [
        c(F, G),
        c(x1=f32(2, 1), x2=ROW),
        c(SPECIAL, f32(values=[[1.0, NAN, NAN], [2.0, -1.0, NAN]])).no(
            "gradient", "jit", why="TensorFlow's gradient is that of >=, and its XLA may drop nan"
        ),
        c(INTS, 1.5),
        c(INTS, HALF),
        c(i8(2, 3), 1),
        c(HALF, 0.5),
        c(f32(0, 3), ROW),
        c(u8(2, 3), i8(3)),
        c(BOOLS, 1),
    ]


def bitwise():
    return [
        c(SHIFTED, INTS),
        c(x=u8(2, 3), y=u8(3)),
        c(i8(2, 3), INTS),
        c(INTS, 6),
        c(i32(0, 3), ROW_OF_INTS),
        c(i8(2, 3), u8(3)),
    ]


def shift():
    counts = i32(values=[[0, 1, 3], [4, 2, 5]])
    return [
        c(SHIFTED, counts),
        c(x=u8(2, 3), y=u8(values=[1, 2, 3])),
        c(i8(2, 3), 2),
        c(INTS, 1),
        c(1, counts),
    ]


def inverted():
    return [c(SHIFTED), c(x=u8(2, 3)), c(i8(2, 3)), c(i32(0, 3)), c(5)]


def divided():
    return [
        c(F, f32(2, 3, low=1, seed=1)),
        c(x1=f32(2, 1), x2=f32(3, low=1)),
        c(DIVIDEND, DIVISOR),
        c(i8(2, 3), 2),
        c(HALF, 2),
        c(1.0, f32(2, 3, low=1)),
        c(INTS, f16(3, low=1)),
        c(BOOLS, True),
        c(f32(0, 3), 2),
        c(COMPLEX, c64(3, low=1)),
    ]


def remainder():
    return [
        c(DIVIDEND, DIVISOR),
        c(x1=FLOAT_DIVIDEND, x2=FLOAT_DIVISOR),
        c(F, f32(3, low=0.5, seed=3)),
        c(DIVIDEND, 2.5),
        c(f16(2, 3), f16(3, low=1)),
        c(HALF, i32(values=[1, -2, 3])),
        c(f32(values=[[INF, 1.0, -2.0]]), f32(values=[[2.0, 0.0, INF]])).no("gradient", why="nan and inf by backend"),
        c(i8(2, 3), i8(values=[2, -3, 1])),
        c(BOOLS, boolean(values=[True, True, True])),
        c(UNSIGNED, NEXT_UNSIGNED),
        c(i32(0, 3), 2),
    ]


def divisors():
    return [
        c(i32(values=[[12, -12, 0], [0, 7, 36]]), i32(values=[[18, 8, 5], [0, -7, 24]])),
        c(x1=INTS, x2=i32(3, seed=4)),
        c(u8(2, 3), u8(3)),
        c(i32(2, 3, low=1, high=60), 24).no("symbolic", why=OF_KERAS),
        c(12, i32(3)),
    ]


ABS = [
    c(F),
    AT_ZERO,
    c(x=INTS),
    c(BOOLS),
    c(HALF),
    c(i8(3)),
    c(u8(3)),
    REAL_OF_COMPLEX,
    c(f64(2, 3)),
    c(f32(0, 2)),
    c(i64(3)),
]
CONJ = [c(F), c(x=COMPLEX), c(INTS), c(HALF), c(f64(3))]
INVERT = inverted()
LEFT = [*shift(), c(i8(values=[[100, -100, 64]]), 1)]
RIGHT = shift()

CASES = {
    "abs": ABS,
    "absolute": ABS[:4],
    "add": [
        c(F, ROW),
        c(INTS, 1.5),
        c(x1=HALF, x2=2),
        c(1.5, HALF),
        c(u8(2, 3), i8(3)),
        c(INTS, f16(3)),
        c(f16(3), HALF),
        c(BOOLS, INTS),
        c(f32(2, 1), f32(0)),
        c(raw("float32", 2, 3), F),
        c([1.0, 2.0, 3.0], F),
        c(COMPLEX, F),
        c(2, 3),
        c(i64(2, 3), INTS),
    ],
    "angle": [
        RAW_COMPLEX,
        c(F),
        c(x=INTS),
        c(HALF),
        c(BOOLS),
        c(f32(values=[[0.0, -0.0, NAN]])).no("gradient", why="0/0"),
        c(-2.0),
        c(f32(0, 2)),
    ],
    "arccos": floating(UNIT),
    "arccosh": from_1(),
    "arcsin": floating(UNIT),
    "arcsinh": floating(F, c(f32(values=[[1e10, -1e10, 1e-10]]))),
    "arctan": floating(F),
    "arctan2": [
        c(F, ROW),
        c(
            x1=f32(values=[[0.0, -0.0, 0.0], [-0.0, INF, -INF]]), x2=f32(values=[[1.0, -1.0, -1.0], [1.0, -INF, INF]])
        ).no("gradient", why="0/0 and inf/inf by backend"),
        c(INTS, ROW_OF_INTS),
        c(HALF, bf16(3, seed=1)),
        c(F, 2),
        c(1.0, G),
        c(INTS, HALF),
        c(BOOLS, True),
        c(f32(0, 3), ROW),
    ],
    "arctanh": floating(UNIT),
    "bitwise_and": bitwise(),
    "bitwise_invert": INVERT,
    "bitwise_left_shift": LEFT,
    "bitwise_not": INVERT[:3],
    "bitwise_or": bitwise(),
    "bitwise_right_shift": RIGHT,
    "bitwise_xor": bitwise(),
    "cbrt": [
        c(F),
        c(f32(values=[[NAN, INF, -INF], [27.0, -8.0, -1e-3]])),
        c(x=INTS),
        c(HALF),
        c(BOOLS),
        c(f32(0, 2)),
        c(8.0),
        c(f32(values=[[0.0, -0.0]])),
    ],
    "ceil": floating(F, c(TIES), c(f32(0, 2))),
    "clip": [
        c(F, -1.0, 1.0),
        c(x=INTS, x_min=-1, x_max=2),
        c(F, f32(values=[-1.0, 0.0, -2.0]), 0.5),
        c(f32(3), -1.0, f32(values=[[0.0], [1.0]])),
        c(SPECIAL, -2, 2).no("jit", why="TensorFlow's XLA may drop nan"),
        c(HALF, -0.5, 0.5),
        c(u8(2, 3), 2, 5),
        c(i8(2, 3), -100, 1),
        c(BOOLS, 0, 1),
        c(F, 1.0, -1.0).no("gradient", why="by backend when the bounds are crossed"),
        c(f32(0, 3), 0, 1),
        c(F, raw("float32", 3, low=-1, high=0), 1.0),
        c(i64(2, 3), -1, 1),
    ],
    "conj": CONJ,
    "conjugate": CONJ[:2],
    "cos": floating(),
    "cosh": floating(),
    "deg2rad": [
        c(F),
        c(x=i32(values=[[0, 90, -180]])),
        c(HALF),
        c(BOOLS),
        c(180.0),
        c(SPECIAL),
        c(f16(2, 3)),
        c(f32(0, 2)),
    ],
    "divide": [*divided(), c(F, DENOMINATORS), c(DIVIDEND, 0), c(SPECIAL, 0.0), c(i64(2, 3), 2)],
    "divide_no_nan": [
        *divided(),
        c(F, DENOMINATORS),
        c(DIVIDEND, 0),
        c(SPECIAL, 0.0).no("gradient", why="nan by backend"),
        c(F, 0),
        c(0.0, F),
    ],
    "equal": comparison(),
    "exp": floating(F, c(COMPLEX), c(f32(0, 2)), c(f64(2, 3)), c(f16(2, 3)), c(raw("int64", 2, 3))),
    "exp2": floating(F, c(f32(values=[[3.0, -2.0, 10.0], [-149.0, 128.0, 0.0]])), c(INTS), c(f16(2, 3))),
    "expm1": floating(F, c(f32(values=[[1e-7, -1e-7, 0.0]]))),
    "fabs": [c(F), AT_ZERO, c(x=INTS), c(BOOLS), c(HALF), c(-1), c(f32(0, 2)), c(u8(3))],
    "floor": floating(F, c(TIES), c(f32(0, 2))),
    "floor_divide": [case for number, case in enumerate(remainder()) if number not in (6, 8)],
    "fmax": extremum(),
    "fmin": extremum(),
    "fmod": remainder(),
    "gcd": divisors(),
    "greater": comparison(),
    "greater_equal": comparison(),
    "heaviside": [
        c(F, 0.5),
        c(f32(values=[[0.0, -0.0, 2.0], [NAN, INF, -INF]]), f32(values=[0.5, 7.0, 1.0])),
        c(x1=i32(values=[[0, -1, 2]]), x2=1),
        c(HALF, bf16(3)),
        c(f32(values=[[0.0], [1.0]]), ROW),
        c(f32(0, 3), 1),
        c(0.0, 3.0),
        c(i32(values=[[0, 3, -3]]), f32(values=[0.25, 1.0, 1.0])),
    ],
    "hypot": [
        c(F, G),
        c(f32(values=[[3e30, -3.0, INF]]), f32(values=[[4e30, 4.0, -1.0]])).no(
            "gradient", why="JAX's squares overflow"
        ),
        c(x1=INTS, x2=ROW_OF_INTS),
        c(HALF, bf16(3, seed=1)),
        c(f16(values=[[300.0, 3.0]]), f16(values=[[400.0, 4.0]])),
        c(f32(values=[[0.0, NAN, 0.0]]), f32(values=[[2.0, 1.0, -1.0]])),
        c(f32(0, 3), ROW),
        c(3.0, 4.0),
        c(F, 1),
        c(f32(values=[[0.0, -0.0]]), f32(values=[[0.0, 0.0]])).no("gradient", why="0/0 by backend"),
    ],
    "imag": [REAL_OF_COMPLEX, c(F), c(x=INTS), c(HALF), c(SPECIAL)],
    "isclose": [
        c(F, G),
        c(SPECIAL, f32(values=[NAN, INF, INF])),
        c(SPECIAL, f32(values=[NAN, INF, INF]), equal_nan=True),
        c(x1=f32(values=[[1.0, 100.0, 1e-9]]), x2=f32(values=[1.001, 101.0, 0.0])),
        c(f32(values=[[1.0, 100.0, 1e-9]]), f32(values=[1.001, 101.0, 0.0]), 1e-2, 0.0),
        c(f32(values=[[1.0, 100.0, 1e-9]]), f32(values=[1.001, 101.0, 0.0]), rtol=0.0, atol=0.01),
        c(DIVIDEND, 7),
        c(INTS, HALF),
        c(f32(0, 3), 1.0),
        c(100, f32(values=[100.0005, 100.01])),
    ],
    "isfinite": predicate(),
    "isinf": predicate(),
    "isnan": predicate(),
    "isneginf": predicate(),
    "isposinf": predicate(),
    "isreal": [*predicate(), c(raw("complex64", values=[[1.0, 1j, 0j]]))],
    "lcm": divisors(),
    "ldexp": [
        c(F, ROW_OF_INTS),
        c(x1=INTS, x2=3),
        c(HALF, i32(3)),
        c(f32(values=[[1e-30, NAN, INF], [0.0, -3.0, 1.0]]), i32(values=[[100, 1, -2], [5, -1, -130]])).no(
            "gradient", why="JAX says 1 at 0 and inf"
        ),
        c(1.5, ROW_OF_INTS),
        c(f32(0, 3), 1),
        c(f16(2, 3), i8(3)),
    ],
    "left_shift": LEFT[:3],
    "less": comparison(),
    "less_equal": comparison(),
    "log": floating(POSITIVE, c(f32(0, 2)), c(COMPLEX)),
    "log10": floating(POSITIVE, c(f32(values=[[1000.0, 1e-3]]))),
    "log1p": floating(POSITIVE, c(f32(values=[[1e-7, -1e-7, -1.0]]))),
    "log2": floating(POSITIVE, c(f32(values=[[8.0, 0.25]]))),
    "logaddexp": [
        c(F, G),
        c(CORNERS_1, CORNERS_2).no("gradient", why="inf - inf by backend"),
        c(x1=INTS, x2=1),
        c(HALF, bf16(3, seed=1)),
        c(f32(values=[[1000.0, -1000.0, 5.0]]), f32(values=[[1000.0, -1001.0, -INF]])),
        c(f32(0, 3), ROW),
        c(2.0, F),
        c(F, F),
        c(BOOLS, INTS),
    ],
    "logaddexp2": [
        c(F, G),
        c(CORNERS_1, CORNERS_2).no("gradient", why="inf - inf by backend"),
        c(x1=INTS, x2=1),
        c(HALF, bf16(3, seed=1)),
        c(f32(values=[[1000.0, -1000.0, 5.0]]), f32(values=[[1000.0, -1001.0, -INF]])),
        c(f32(0, 3), ROW).no("functional", why="the `add` of Keras 3.8 fails there for no rows, on TensorFlow"),
        c(2.0, F),
        c(F, F),
    ],
    "logical_and": logical(),
    "logical_not": [c(BOOLS), c(x=INTS), c(SPECIAL), c(True), c(0), c(boolean(0, 2)), c(HALF)],
    "logical_or": logical(),
    "logical_xor": logical(),
    "maximum": extremum(),
    "minimum": extremum(),
    "mod": remainder(),
    "multiply": [
        c(F, ROW),
        c(INTS, 1.5),
        c(x1=HALF, x2=2),
        c(1.5, f16(2, 3)),
        c(u8(2, 3), i8(3)),
        c(BOOLS, F),
        c(COMPLEX, c64(3)),
        c(f32(0, 3), 2),
        c(SPECIAL, 0),
        c(i8(values=[[100, -100, 3]]), i8(values=[3, 2, 1])),
        c(i64(2, 3), INTS),
    ],
    "nan_to_num": [
        c(SPECIAL),
        c(x=SPECIAL, nan=7.0),
        c(SPECIAL, 1.0, 2.0, 3.0),
        c(SPECIAL, posinf=9),
        c(SPECIAL, neginf=-9.5),
        c(f16(values=[[NAN, INF, -INF]])),
        c(INTS),
        c(BOOLS),
        c(f32(0, 2)),
        c(f64(values=[[NAN, 1.0]])),
    ],
    "negative": [c(F), c(x=INTS), c(HALF), c(SPECIAL), c(i8(3)), c(COMPLEX), c(f32(0, 2)), c(i64(3))],
    "nextafter": [
        c(f32(values=[[1.0, -1.0, 0.0], [0.0, INF, 2.0]]), f32(values=[[2.0, 0.0, 1.0], [-1.0, 0.0, 2.0]])).no(
            "gradient", why="TensorFlow has none"
        ),
        c(x1=INTS, x2=10),
        c(f32(values=[[1.0, 3.0]]), INF).no("gradient", why="TensorFlow has none"),
        c(f32(0, 3), ROW),
        c(f32(values=[[NAN, 1.0]]), f32(values=[1.0, NAN])).no("gradient", why="TensorFlow has none"),
        c(1.0, 2.0),
    ],
    "not_equal": comparison(),
    "power": [
        c(POSITIVE, G),
        c(x1=F, x2=2),
        c(INTS, i32(values=[0, 2, 3])),
        c(2, i32(values=[[0, 3, 10]])),
        c(INTS, 2.0),
        c(f32(values=[[-8.0, 0.0, -2.0], [0.0, 0.0, NAN]]), f32(values=[[1 / 3, -1.0, 3.0], [0.0, 2.0, 0.0]])).no(
            "gradient", why="nan and inf by backend"
        ),
        c(f32(values=[[0.5, 2.0]]), 0),
        c(HALF, 2),
        c(2.0, f16(2, 3)),
        c(i8(2, 3), 2),
        c(f32(0, 3), ROW),
        c(BOOLS, i32(values=[0, 1, 2])),
        c(i32(values=[[0, 3, -3]]), f32(values=[2.0, 0.5, 2.0])).no("gradient", why="of negative bases by backend"),
        c(COMPLEX, 2),
    ],
    "rad2deg": [c(F), c(x=INTS), c(HALF), c(3.0), c(SPECIAL), c(f16(2, 3)), c(f32(0, 2))],
    "real": [REAL_OF_COMPLEX, c(F), c(x=INTS), c(HALF), c(f64(3))],
    "reciprocal": [
        c(F),
        c(SPECIAL),
        c(x=HALF).no("symbolic", why=OF_KERAS),
        c(f16(3)),
        c(f32(0, 2)),
        c(COMPLEX).no("symbolic", why=OF_KERAS),
    ],
    "right_shift": RIGHT[:3],
    "round": [
        c(TIES),
        c(F, 1),
        c(x=f32(values=[[1234.56, -1250.0, 1350.0]]), decimals=-2),
        c(SPECIAL),
        c(INTS),
        c(HALF),
        c(f32(values=[[0.125, 0.375, 2.675]]), decimals=2),
        c(i32(values=[[15, 24, -25]]), decimals=-1),
        c(INTS, decimals=2),
        c(f32(0, 2)),
        c(f16(2, 3), 1),
    ],
    "sign": [c(F), c(SPECIAL), c(x=INTS), c(HALF), c(u8(3)), c(i8(3)), c(f32(0, 2)), c(i64(3))],
    "signbit": [
        c(f32(values=[[0.0, -0.0, INF], [-INF, -1.5, 2.0]])),
        c(x=INTS),
        c(BOOLS),
        c(bf16(values=[[-0.0, 1.0, -1.0]])),
        c(f16(2, 3)),
        c(u8(3)),
        c(f32(0, 2)),
        c(-1.0),
        c(f64(2, 3)),
        c(i8(2, 3)),
    ],
    "sin": floating(F, c(f32(0, 2)), c(COMPLEX)),
    "sinh": floating(),
    "sqrt": floating(POSITIVE, c(f32(0, 2)), c(COMPLEX)),
    "square": [
        c(F),
        c(x=INTS),
        c(BOOLS),
        c(HALF),
        c(COMPLEX),
        c(i8(values=[[12, 100]])),
        c(u8(3)),
        c(SPECIAL),
        c(f32(0, 2)),
        c(3),
    ],
    "subtract": [
        c(F, ROW),
        c(INTS, 1.5),
        c(x1=HALF, x2=2),
        c(1.5, f16(2, 3)),
        c(u8(2, 3), i8(3)),
        c(UNSIGNED, u8(3, seed=1)),
        c(BOOLS, F),
        c(COMPLEX, 1.0),
        c(f32(0, 3), 2),
        c(CORNERS_1, CORNERS_2),
        c(i64(2, 3), INTS),
    ],
    "tan": floating(),
    "tanh": floating(),
    "true_divide": divided()[:4],
    "trunc": [c(TIES), c(SPECIAL), c(x=INTS), c(BOOLS), c(HALF), c(f16(2, 3)), c(f32(0, 2)), c(F)],
}

#: Keras 3.2 makes no complex tensor on torch: "Invalid dtype: complex64".
OURS_DIFFER = (
    {f"{case} eager": "no complex tensors there" for case in ("angle#0", "isreal#7")}
    if os.environ.get("KERAS_BUILDFIX_ENV") == "keras3.2-torch"
    else {}
)
