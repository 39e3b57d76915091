"""Cases for `ops`: reductions, sorting, counting."""

from ops_cases import bf16, boolean, c, f16, f32, i8, i32, i64, raw, u8

NAN, INF = float("nan"), float("inf")
A = f32(2, 3)
N = f32(values=[[1.0, NAN, -3.0], [NAN, NAN, NAN], [2.0, 0.5, NAN]])
#: Beyond the greatest float16 when added up.
BIG = f16(values=[[6e4, 5e4, 4e4], [1.0, 2.0, 4.0]])
TIES = i32(values=[[2, 1, 2, 1], [0, 3, 3, 3]])
WITH_NAN = f32(values=[[1.0, NAN, INF, 0.5], [NAN, NAN, -INF, 2.0]])
XLA = "the greatest of NaN is chance with XLA"
ROUNDING = "what few bits round"
SLOW = ("symbolic", "functional")
UNKNOWN = ("symbolic", "functional", "graph", "jit")
SIZE = "its size depends on values"

#: What most reductions share: axes, and dimensions that stay.
AXES = [c(A), c(A, axis=-1), c(A, (0, -1), True), c(f32(2, 3, 2), axis=(0, 2))]


def sums(**parameters):
    """Cases for a function that adds up or multiplies: integers widen."""
    dtypes = [i8(2, 3), u8(2, 3), boolean(2, 3), i64(2, 3), bf16(2, 3)]
    return [*AXES, *(c(x, axis=-1, **parameters) for x in dtypes), c(f32(2, 0), axis=1), c(f16(2, 3))]


def means(big=BIG):
    """Cases for a function whose result is floating."""
    return [*AXES, *(c(x, axis=-1) for x in (i8(2, 3), boolean(2, 3), i64(2, 3), big, bf16(2, 3))), c([1, 2, 4])]


def extremes():
    """Cases for a greatest or least element."""
    return [
        *AXES,
        c(u8(2, 3), axis=0),
        c(boolean(2, 3), axis=-1),
        c(bf16(2, 3)),
        c(f32(0, 3), axis=1),
        c(WITH_NAN, 1).no("jit", why=XLA),
    ]


def indices():
    """Cases for the place of an element."""
    return [
        c(A),
        c(A, -1, True),
        c(A, keepdims=True),
        c(TIES, axis=1),
        c(u8(2, 3), axis=0),
        c(boolean(2, 3), axis=-1),
        c(f16(values=[[1e-7, 0.0, 1e-7], [-1e-7, 0.0, 0.0]]), axis=-1),
        c(f32(values=[[0.0, -0.0], [-0.0, 0.0]]), axis=-1),
        c([3, 1, 5]),
    ]


def accumulated():
    """Cases for sums or products so far."""
    return [
        c(A),
        c(A, axis=-2),
        c(A, -1, "bfloat16").no("gradient", why=ROUNDING),
        c(i8(2, 3), axis=1),
        c(boolean(2, 3), axis=1),
        c(u8(2, 3), 0, dtype="int32"),
        c(f16(2, 3)),
        c(f32(2, 0), axis=1),
    ]


def nan_reductions():
    """Cases for a reduction that skips NaN."""
    return [
        c(N),
        c(N, axis=-1),
        c(N, axis=(0, 1), keepdims=True),
        c(A, 0),
        c(i8(2, 3), axis=1),
        c(boolean(2, 3), axis=1),
    ]


def uncompiled(case, without=()):
    """A case that is not compiled: sorting takes XLA long."""
    return case.no("jit", *without, why="another case of the same code has it, and it takes long")


def quantiles(scale=1):
    """Cases for quantiles, percentiles with a scale of 100."""
    q = [0.25 * scale, 1.0 * scale]
    return [
        c(f32(2, 3, 2), q, axis=(0, 2)),
        *(uncompiled(c(f32(2, 4), 0.4 * scale, axis=-1, method=method), SLOW) for method in ("midpoint", "nearest")),
        uncompiled(c(N, 0.5 * scale, axis=1)),
    ]


NAN_INDICES = [c(N), c(N, axis=-1), c(N, 0, True), c(N, keepdims=True), c(WITH_NAN, axis=1), c(TIES, axis=1)]
ACCUMULATED_DTYPES = [
    c(N, 0, "float16").no("gradient", why=ROUNDING),
    c(i8(2, 3), axis=1),
    c(boolean(2, 3), axis=1),
    c(A, dtype="bfloat16").no("gradient", why=ROUNDING),
]
CASES = {
    "sum": [*sums(), c(raw("int16", 2, 3)), c(x=BIG, axis=1)],
    "prod": [*sums(), c([1, 2]), c(i8(2, 3), dtype="float32"), c(A, -1, True, "int32")],
    "mean": [*means(), c(f32(2, 0), axis=1)],
    "var": means(f16(values=[[300.0, 200.0, 20.0], [1.0, 2.0, 4.0]])),
    "std": means(f16(values=[[60.0, 30.0, 2.0], [1.0, 2.0, 4.0]])),
    "average": [
        c(A),
        c(A, axis=1),
        c(i8(2, 3), axis=-1),
        c(A, 1, f32(values=[1.0, 2.0, 3.0])),
        c(A, axis=0, weights=f32(2, 3, low=0.5, seed=1)),
        c(i32(2, 3), weights=i32(values=[[1, 2, 0], [3, 1, 1]])),
        c(BIG, axis=1),
        c(bf16(2, 3), axis=-2, weights=bf16(values=[1.0, 3.0])),
    ],
    "all": [c(boolean(2, 3)), c(A, axis=1), c(i32(2, 3), (0, 1), True), c(f32(2, 0), axis=-1), c(N, axis=1)],
    "any": [c(boolean(2, 3)), c(f32(2, 3), axis=1), c(i32(2, 3), (0, 1), True), c(f32(2, 0), axis=-1), c([0, 0.0])],
    "count_nonzero": [c(A), c(i8(2, 3), axis=1), c(boolean(2, 3), (0, 1)), c(x=f16(2, 0), axis=-1), c(N, 0), c([0, 3])],
    "max": [*extremes(), c(A, 1, initial=0.5), c(i32(2, 0), axis=1, initial=-3), c(boolean(2, 3), 1, False, True)],
    "min": [*extremes(), c(A, 1, initial=0.5), c(i32(2, 0), axis=1, initial=3), c(boolean(2, 3), 1, False, False)],
    "amax": extremes(),
    "amin": extremes(),
    "argmax": [*indices(), c(WITH_NAN, axis=1)],
    "argmin": [*indices(), c(WITH_NAN, axis=1)],
    "argsort": [
        c(A),
        c(A, axis=0),
        c(A, None),
        c(TIES, axis=1),
        c(boolean(2, 3)),
        c(u8(2, 3)),
        c(WITH_NAN),
        c(f32(values=[0.0, -0.0, -1.0, 0.0, -0.0])),
        c(i8(values=[-128, 127, 0])),
        c(f32(2, 0)),
    ],
    "sort": [
        c(A),
        c(f32(2, 3, 2), axis=-2),
        c(A, None),
        c(boolean(2, 3)),
        c(u8(2, 3), axis=0),
        c(WITH_NAN).no("gradient", why="that of NaN is chance"),
        c(i8(values=[-128, 127, 0])),
        c(bf16(2, 3)),
        c(f32(2, 0)).no("gradient", why="TensorFlow's fails for nothing"),
    ],
    "argpartition": [c(f32(values=[3.0, 1.0, 2.0]), 0), c(f32(values=[[2.5, 2.25], [0.5, 0.75]]), kth=1, axis=0)],
    "cumsum": accumulated(),
    "cumprod": accumulated(),
    "diff": [
        c(A),
        c(f32(3, 4), 2, 0),
        c(i8(2, 3), n=3),
        c(boolean(2, 3)),
        c(u8(2, 3), axis=-2),
        c(A, n=0),
    ],
    "bincount": [
        c(i32(values=[1, 3, 1, 0])).no("jit", "graph", why=SIZE),
        c(u8(values=[1, 3, 1]), minlength=6).no("jit", "graph", why=SIZE),
        c(i32(values=[1, 3, 1]), weights=f32(values=[0.5, 1.5, -2.0])).no("jit", "graph", why=SIZE),
        c(i32(values=[[1, 2], [2, 0]])).no("jit", "graph", why=SIZE),
        c(i32(values=[[1, 2], [0, 0]]), raw("float32", values=[[0.5, 1.5], [2.0, 3.0]]), 4).no(
            "jit", "graph", why=SIZE
        ),
        c(i32(values=[2, 1]), i8(values=[3, 4])).no("jit", "graph", why=SIZE),
    ],
    "digitize": [
        c(f32(values=[0.0, 1.0, 1.5, 4.0, -1.0, 3.0]), f32(values=[0.0, 1.0, 3.0])),
        c(x=i32(2, 3), bins=f32(values=[-1.0, 0.5])),
        c(f32(values=[[3.0, 0.0, 5.0], [-1.0, 1.0, NAN]]), raw("float32", values=[0.0, 1.0, 3.0])),
        c(i32(2, 3), i32(values=[0, 0, 2])),
        c(f16(2, 3), f16(values=[0.0, 1.0])),
    ],
    "searchsorted": [
        c(f32(values=[0.0, 1.0, 1.0, 3.0]), f32(values=[1.0, -1.0, 3.0, 4.0, 0.5])),
        c(f32(values=[0.0, 1.0, 1.0, 3.0]), f32(values=[[1.0, -1.0, 3.0], [4.0, 0.5, NAN]]), "right"),
        c(sorted_sequence=i32(values=[1, 2, 2]), values=i32(2, 3), side="right"),
        c(f32(values=[1.0]), f32(2, 3)),
        c(i32(values=[-1, 0, 2, 5, 7, 7, 8]), i32(2, 3, low=-3, high=10)),
        c(f32(values=[]), f32(3)),
    ],
    "median": [
        c(A),
        uncompiled(c(f32(2, 4), axis=-1)),
        c(f32(2, 3, 2), (0, 2), True),
        uncompiled(c(i8(2, 4), axis=1)),
        uncompiled(c(i64(2, 3), axis=0)),
        c(f16(2, 3), axis=-1),
        uncompiled(c(N, axis=1)),
        uncompiled(c(f32(values=[INF, INF, 1.0]))),
    ],
    "quantile": [
        *quantiles(),
        uncompiled(c(A, 0.4)),
        uncompiled(c(f32(3, 4), f32(values=[0.3, 0.9]), axis=1, keepdims=True)),
        *(uncompiled(c(f32(2, 4), 0.4, axis=-1, method=method), SLOW) for method in ("lower", "higher")),
        uncompiled(c(i8(2, 3), 0.5, 0)),
        uncompiled(c(f16(2, 3), [0.2, 0.6], axis=-1)),
        uncompiled(c(A, 0.7, keepdims=True)),
    ],
    "percentile": quantiles(100),
    "nanquantile": [
        *quantiles(),
        uncompiled(c(N, 0.6)),
        uncompiled(c(N, f32(values=[0.3, 0.9]), axis=1, keepdims=True)),
        *(uncompiled(c(N, 0.4, axis=-1, method=method), SLOW) for method in ("lower", "higher")),
        uncompiled(c(i8(2, 3), 0.5, 0)),
    ],
    "nanpercentile": [uncompiled(case) for case in quantiles(100)],
    "nanmedian": [uncompiled(case) for case in (*nan_reductions(), c(f16(values=[[1.0, NAN, 4.0]]), axis=1))],
    "nanmax": [*nan_reductions(), c(u8(2, 3)), c(WITH_NAN, axis=-1), c(bf16(2, 3))],
    "nanmin": [*nan_reductions(), c(u8(2, 3)), c(WITH_NAN, axis=-1), c(bf16(2, 3))],
    "nansum": [*nan_reductions(), c(u8(2, 3)), c(WITH_NAN, axis=-1), c(bf16(2, 3)), c(f32(2, 0), axis=1)],
    "nanprod": [
        *nan_reductions(),
        c(u8(2, 3)),
        c(WITH_NAN, axis=0).no("gradient", why="infinity times 0"),
        c(f16(2, 3)),
    ],
    "nanmean": [*nan_reductions(), c(f16(values=[[1.0, NAN, 4.0]]), axis=1), c(i64(2, 3))],
    "nanvar": [*nan_reductions(), c(f16(values=[[1.0, NAN, 4.0]]), axis=1), c(i64(2, 3))],
    "nanstd": [*nan_reductions(), c(f16(values=[[1.0, NAN, 4.0]]), axis=1), c(i64(2, 3))],
    "nanargmax": [
        c(N),
        c(N, axis=-1),
        c(N, 0, True),
        c(N, keepdims=True),
        c(WITH_NAN, axis=1),
        c(TIES, axis=1),
        c(A, 0),
    ],
    "nanargmin": [
        c(N),
        c(N, axis=-1),
        c(N, 0, True),
        c(N, keepdims=True),
        c(WITH_NAN, axis=1),
        c(TIES, axis=1),
        c(A, 0),
    ],
    "nancumsum": [c(N), c(N, axis=-1), *ACCUMULATED_DTYPES],
    "nancumprod": [c(N), c(N, axis=-1), *ACCUMULATED_DTYPES],
    "ptp": [c(A), c(A, axis=-1), c(A, (0, 1), True), c(u8(2, 3), axis=0), c(bf16(2, 3))],
    "allclose": [
        c(A, A),
        c(A, f32(2, 3, seed=1)),
        c(f32(values=[1.0, 1e4]), f32(values=[1.0, 10000.05])),
        c(f32(values=[1.0, 1e4]), f32(values=[1.0, 10000.5]), rtol=1e-4, atol=0.0),
        c(f32(values=[NAN, INF]), f32(values=[NAN, INF])),
        c(f32(values=[NAN, INF]), f32(values=[NAN, INF]), equal_nan=True),
        c(f32(values=[INF]), f32(values=[-INF])),
        c(i32(values=[1, 2]), i32(values=[1, 2])),
        c(x1=f32(values=[1.0, 1.0]), x2=1.1, atol=0.2),
        c(f32(0, 2), f32(0, 2)),
    ],
    "isin": [
        c(i32(2, 3), i32(values=[1, -2])),
        c(f32(values=[[1.0, NAN], [0.0, 2.0]]), f32(values=[NAN, 2.0]), invert=True),
        c(i32(values=[1, 2]), i32(values=[2, 3]), True),
        c(x1=i32(2, 3), x2=[0, 1.0]),
        c(i32(2, 3), i32(values=[])),
        c(boolean(2, 3), True),
    ],
    "corrcoef": [
        c(x).no("symbolic", "functional", why="Keras says the shape of x, for a matrix of its rows")
        for x in (f32(2, 4), f32(4), i32(2, 4), f16(2, 4), f32(values=[[1.0, 1.0], [0.0, 1.0]]))
    ],
    "trapezoid": [
        c(A),
        c(A, axis=0),
        c(A, f32(values=[0.0, 1.0, 3.0])),
        c(A, dx=0.5),
        c(i32(2, 3), x=f32(2, 3, seed=1)),
        c(f16(2, 3), dx=2.0, axis=-2),
        c(y=f32(2, 3), x=f32(2, 3, seed=2), axis=0),
    ],
    "histogram": [
        c(f32(values=[1.0, 2.0, 1.0, 4.0, 3.5])),
        c(f32(values=[1.0, 2.0, 1.0, 4.0, 3.5, 5.0]), bins=3, range=(1.0, 4.0)).no(
            "gradient", why="nothing depends on x by degrees"
        ),
        c(f32(values=[0.0, 1.0, 2.0, 3.0]), 3),
        c(f32(values=[2.0, 2.0]), bins=2),
    ],
    "nonzero": [
        c(i32(values=[[1, 0, 2], [0, 3, 0]])).no("jit", "graph", why=SIZE),
        c(f32(values=[0.0, NAN, 1.0])).no("jit", "graph", why=SIZE),
        c(boolean(2, 3, 2)).no("jit", "graph", why=SIZE),
        c(i32(values=[0, 0])).no("jit", "graph", why=SIZE),
    ],
    "unique": [
        c(i32(values=[3, 1, 3, 2])).no(*UNKNOWN, why=SIZE),
        c(f32(values=[[1.0, 3.0], [3.0, -1.0]]), True, True, True, True).no(*UNKNOWN, why=SIZE),
        c(i32(values=[[2, 1], [1, 5], [2, 1]]), return_inverse=True, return_counts=True, axis=0).no(*UNKNOWN, why=SIZE),
        c(i32(values=[[2, 1, 2], [1, 5, 1]]), return_index=True, axis=-1).no(
            *UNKNOWN, why="the size of the rows must be known"
        ),
        c(i32(values=[3, 1, 3, 2]), size=5, fill_value=-1),
        c(i32(values=[3, 1, 3, 2]), return_counts=True, size=2),
        c(i32(values=[[3, 1], [3, 1]]), return_inverse=True, return_counts=True, size=4, fill_value=7),
        c(i32(values=[[2, 1], [1, 5], [2, 1]]), axis=0, size=3, fill_value=0),
    ],
}
OURS_DIFFER: dict = {}
