"""Cases for `ops`: windows, Fourier transforms, segments, the largest k, error functions."""

from ops_cases import bf16, c, f16, f32, f64, i8, i32, i64, raw

NAN, INF = float("nan"), float("inf")
DYNAMIC = "its size depends on values"
KNOWN = "a better shape than Keras has, if the ids are known"
NO_XLA = "TensorFlow has no such kernel for XLA"
IDS = i32(values=[0, 2, 1, 0])
PAIR = (f32(2, 6), f32(2, 6, seed=1))
MATRICES = (f32(2, 3, 4), f32(2, 3, 4, seed=1))
#: Five frames of nine bins; the first and the last bin are real, as in a spectrum of a real signal.
EDGES = f32(values=[[0, 1, 1, 1, 0]] * 4)
SPECTRUM = (f32(2, 4, 5), f32(values=[[[0, 1, -2, 3, 0], [0, 2, 1, 1, 0], [0, -1, 1, 0.5, 0], [0, 1, 1, 2, 0]]] * 2))

COMPLEX = [c(f32(3, 2)), c(x=f32(2, 3, 2)), c(f32(2)), c(f32(0, 2))]


def windows(*more):
    """Cases for a window."""
    return [c(5), c(x=4), c(1), c(0), c(2), *more]


def segments(*more):
    """Cases for what reduces segments."""
    return [
        c(f32(4, 3), IDS, 3),
        c(f32(4, 3), i64(values=[1, 0, 2, 0]), num_segments=3),
        c(f32(4, 3), i32(values=[0, 0, 1, 2]), sorted=True).no("graph", "jit", why=DYNAMIC).no("symbolic", why=KNOWN),
        c(data=f32(4, 2, 3), segment_ids=IDS).no("graph", "jit", why=DYNAMIC).no("symbolic", why=KNOWN),
        c(f32(4), i32(values=[-1, 1, 0, 1]), 2),
        c(f16(4, 3), IDS, 3),
        *more,
    ]


CASES = {
    "erf": [
        c(f32(2, 3)),
        c(x=f64(3)),
        c(f16(3)),
        c(bf16(3)),
        c(f32(values=[NAN, INF, -INF, 0.0])).no("jit", why="on XLA that of nan is -1 in TensorFlow up to 2.15"),
        c(f32(0, 2)),
    ],
    "erfc": [
        c(f32(2, 3)),
        c(x=f32(values=[-4.0, 0.3, 1.9, 2.1])),
        c(f16(3)),
        c(bf16(3)),
        c(f32(values=[NAN, INF, -INF, 0.0, 1.0, 3.0])).no("jit", why="XLA has no nan here, as above"),
        c(i32(2, 3)),
        c(f32(0, 2)),
    ],
    "erfinv": [
        c(f32(2, 3, low=-0.99, high=0.99)),
        c(x=f64(values=[-0.999, 0.5, 0.2])),
        c(f16(values=[-0.75, 0.5, 0.0])),
        c(bf16(values=[-0.75, 0.5, 0.0])),
        c(f32(values=[0.999, -0.99, 1e-6, 0.0])).no("gradient", why="so steep that each backend rounds otherwise"),
        c(f32(values=[1.0, -1.0, 2.0, NAN])).no("gradient", why="infinite at the border"),
    ],
    "rsqrt": [
        c(f32(2, 3, low=0.1)),
        c(x=f16(3, low=0.1)),
        c(bf16(3, low=0.1)),
        c(f64(3, low=0.1)),
        c(f32(values=[INF, 0.0, -1.0])).no("gradient", why="infinite at 0"),
        c(f32(0, 2)),
    ],
    "logsumexp": [
        c(f32(2, 3)),
        c(x=f32(2, 3), axis=-1, keepdims=True),
        c(f32(2, 3, 2), (0, -1)),
        c(f32(values=[[1000.0, 1000.0], [-INF, -INF]]), 1).no("gradient", why="not a number"),
        c(f64(2, 3), 0).no("symbolic", why="Keras says float32, and gives float64"),
        c(f32(2, 3), axis=(0, 1), keepdims=True),
        c(f32(3)),
    ],
    "top_k": [
        c(f32(2, 6), 2),
        c(x=f32(2, 6), k=3, sorted=True),
        c(i32(values=[[3, 1, 2], [-4, 9, 5]]), 2),
        c(f32(2, 6), 6),
        c(f16(values=[1.0, 4.0, 2.0]), 1),
        c(f32(2, 2, 3), 1, False),
        c(i64(values=[[3, 1, 2], [-4, 9, 5]]), k=1),
    ],
    "in_top_k": [
        c(i32(values=[1, 0]), f32(2, 6), 2),
        c(targets=i64(values=[4, 2]), predictions=f32(2, 6), k=3),
        c(i32(values=[2, 1]), f32(values=[[1.0, 2.0, 1.0, 0.5], [3.0, 3.0, 3.0, 3.0]]), 2),
        c(i32(values=[2, 1]), f32(values=[[1.0, 2.0, 1.0, 0.5], [3.0, 3.0, 3.0, 3.0]]), 1),
    ],
    "segment_sum": segments(
        c(i32(4, 3), IDS, 4),
        c(f32(4, 3), i32(values=[0, 3, 1, 0])).no("graph", "jit", why=DYNAMIC).no("symbolic", why=KNOWN),
        c(i8(4), IDS, 3),
        c(bf16(4, 3), IDS, 3),
    ),
    "segment_max": segments(),
    "segment_min": segments(),
    "segment_prod": segments(c(f32(4, 3), i32(values=[0, 2, 0, 0]), 4), c(i32(4, 3), IDS, 3)),
    "extract_sequences": [
        c(f32(2, 7), 3, 2),
        c(x=f32(7), sequence_length=4, sequence_stride=1),
        c(f32(2, 2, 7), 2, 3),
        c(i32(2, 7), 7, 2),
        c(f16(2, 7), 1, 1),
        c(f32(2, 7), 2, 4),
    ],
    "fft": [
        c(PAIR),
        c(x=(f32(5), f32(5, seed=1))),
        c((f64(2, 4), f64(2, 4, seed=1))),
        c([f32(2, 3, 4), f32(2, 3, 4, seed=1)]),
    ],
    "fft2": [c(MATRICES), c(x=(f32(3, 5), f32(3, 5, seed=1))), c((f64(2, 4), f64(2, 4, seed=1)))],
    "ifft2": [c(MATRICES), c(x=(f32(3, 5), f32(3, 5, seed=1))), c((f32(2, 2, 3, 4), f32(2, 2, 3, 4, seed=1)))],
    "rfft": [
        c(f32(2, 6)),
        c(x=f32(2, 7)),
        c(f32(2, 6), 4),
        c(f32(2, 6), fft_length=9),
        c(f64(2, 2, 5)).no("jit", why=NO_XLA),
        c(f32(5), 1),
    ],
    "irfft": [
        c(SPECTRUM),
        c(x=SPECTRUM, fft_length=9),
        c(SPECTRUM, 6),
        c(SPECTRUM, 12),
        c((f64(values=[1, 2, 3]), f64(values=[0, 2, 0]))).no("jit", why=NO_XLA),
    ],
    "stft": [
        c(f32(2, 16), 4, 2, 4),
        c(x=f32(2, 16), sequence_length=5, sequence_stride=3, fft_length=8),
        c(f32(16), 4, 2, 5, "hamming", False),
        c(f32(2, 16), 4, 4, 6, window=None),
        c(f32(2, 16), 4, 2, 8, window=f32(values=[0.5, 1.0, 2.0, 1.0]), center=False),
        c(f64(2, 2, 16), 4, 1, 4).no("jit", why=NO_XLA),
        c(f32(2, 16), 3, 2, 4, window=[0.5, 1.0, 0.25]),
    ],
    "istft": [
        c(SPECTRUM, 8, 2, 8),
        c(x=SPECTRUM, sequence_length=6, sequence_stride=2, fft_length=8, window="hamming"),
        c(SPECTRUM, 8, 4, 8, length=9),
        c(SPECTRUM, 8, 2, 8, 7, f32(values=[0.5, 1.0, 2.0, 1.0, 1.0, 3.0, 1.0, 0.5]), False),
        c(SPECTRUM, 8, 3, 8, window="hamming", center=False),
        c(SPECTRUM, 8, 2, 8, window=None),
    ],
    "correlate": [
        c(f32(6), f32(3)),
        c(x1=f32(6), x2=f32(4), mode="same"),
        c(f32(6), f32(4), "full"),
        c(f32(3), f32(6)),
        c(f32(4), f32(6), "same"),
        c(f32(3), f32(6), "full"),
        c(i32(5), i32(2), "full"),
        c(f64(5), f32(2), "same"),
        c(f32(1), f32(1)),
    ],
    "bartlett": windows(),
    "blackman": windows(),
    "hamming": windows(),
    "hanning": windows(),
    "kaiser": [c(5, 8.6), c(x=4, beta=14.0), c(1, 2.0), c(0, 2.0), c(2, 5), c(6, 0.0)],
    "i0": [
        c(f32(2, 3)).no("jit", why=NO_XLA),
        c(x=f32(values=[0.0, -3.0, 8.0, 20.0])).no("jit", why=NO_XLA),
        c(f16(3)).no("jit", why=NO_XLA),
        c(i32(2, 3)).no("jit", why=NO_XLA),
        c(f32(values=[-60.0, NAN])).no("jit", "gradient", why=f"{NO_XLA}; too large"),
        c(f32(0, 2)).no("jit", why=NO_XLA),
    ],
    "sinc": [
        c(f32(2, 3)),
        c(x=f32(values=[0.0, 1.0, 0.5, 1e-4])),
        c(f16(3)),
        c(bf16(3)),
        c(i32(2, 3)),
        c(i64(3)),
        c(f32(0, 2)),
    ],
    "view_as_complex": [
        each.no("symbolic", "functional", why="old releases have no complex dtype") for each in COMPLEX
    ],
    "view_as_real": [c(raw("complex64", 3)), c(x=raw("complex64", 2, 3)), c(raw("complex64", 0, 2))],
}
