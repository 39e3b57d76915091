"""Cases for `ops`: random. Recorded on TensorFlow: ours give its values; the draws of Keras 3 depend on the backend."""

from ops_cases import bf16, c, f16, f32, i32

ONE = {"seed": 1337}


CASES = {
    "random.normal": [
        c((2, 3), **ONE),
        c((2, 3), 1.0, 0.5, "float16", 5),
        c([4], mean=-1, stddev=2, dtype="bfloat16", seed=2**31 + 7),
        c((), dtype="float64", seed=-3),
        c((0, 2), seed=0),
        c((2, 3), mean=f32(3), stddev=f32(2, 1, low=0.5), **ONE),
    ],
    "random.truncated_normal": [
        c((2, 3), **ONE),
        c((5,), 1.0, 0.5, "float16", 5),
        c([4], mean=-1, stddev=2, dtype="bfloat16", seed=2**33 + 7),
    ],
    "random.uniform": [
        c((2, 3), **ONE),
        c((5,), -1, 3, "float16", 5),
        c([4], minval=0.5, maxval=0.75, dtype="bfloat16", seed=11),
        c((2,), f32(2, low=-2, high=0), f32(2, low=1, high=2), seed=11),
        c((3,), dtype="float64", seed=7),
    ],
    "random.randint": [
        c((2, 3), 0, 10, **ONE),
        c((8,), -3, 4, "int8", 5),
        c((8,), minval=250, maxval=256, dtype="uint8", seed=5),
        c((3,), 0, 2**40, dtype="int64", seed=6),
        c((), 1, 2, seed=6),
    ],
    "random.categorical": [
        c(f32(2, 4), 5, **ONE),
        c(f32(2, 4), num_samples=3, dtype="int64", seed=3),
        c(f16(2, 4), 6, "int8", 3),
        c(f32(values=[[-1e9, 0.0, -1e9]]), 4, seed=1),
    ],
    "random.dropout": [
        c(f32(2, 6), 0.5, **ONE),
        c(f32(2, 6), rate=0.25, noise_shape=(2, 1), seed=3),
        c(f32(2, 6), 0.25, (None, 1), 3),
        c(f32(2, 6), 0.25, (1, None), seed=4),
        c(bf16(2, 6), 0.5, seed=9),
        c(f16(6), 0.3, seed=9),
        c(f32(2, 6), 0.0, seed=9).no("symbolic", "functional", why="only with this rate does Keras 3 take it"),
        c(f32(2, 6), 1.0, seed=9),
    ],
    "random.shuffle": [
        c(f32(4, 3), **ONE).no("gradient", why="TensorFlow gives it as IndexedSlices"),
        c(f32(4, 3), 1, 3),
        c(i32(4, 3), axis=-1, seed=3),
        c(i32(7), seed=4),
    ],
    "random.gamma": [
        c((2, 3), 0.5, **ONE),
        c((3,), alpha=f16(3, low=0.5), dtype="float16", seed=2),
        c((3,), 2, "bfloat16", 3),
        c((2, 3), f32(3, low=0.5), seed=4),
    ],
    "random.beta": [
        c((2, 3), 0.5, 2.0, **ONE),
        c((2, 3), f32(1, 3, low=0.5), f32(2, 1, low=0.5), seed=4),
        c((3,), alpha=2, beta=1, dtype="float16", seed=2),
        c((3,), 2.0, 3.0, "bfloat16", 3),
    ],
    "random.binomial": [
        c((2, 3), 5, 0.5, **ONE),
        c((2, 3), f32(values=[3.0, 9.0, 20.0]), f32(values=[0.1, 0.5, 0.9]), seed=4),
        c((3,), counts=100, probabilities=0.25, dtype="float16", seed=2),
        c((3,), 4.0, 0.75, "bfloat16", 3),
    ],
}
XLA = "XLA has another generator, also on Keras 3, and none for some distributions"
CASES = {name: [case.no("jit", why=XLA) for case in cases] for name, cases in CASES.items()}
OURS_DIFFER: dict[str, str] = {}
