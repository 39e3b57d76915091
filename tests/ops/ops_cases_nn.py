"""Cases for `ops`: nn."""

from ops_cases import bf16, boolean, c, f16, f32, f64, i8, i32, i64

INF, NAN = float("inf"), float("nan")
EDGES = f32(values=[[-30.0, -1.5, -1.0], [-0.5, 0.5, 1.0], [3.0, 6.5, 30.0]])
AT_ZERO = f32(values=[-0.0, 0.0])
SPECIAL = f32(values=[INF, -INF, NAN])
LENGTHS = "Keras wants lengths of a known size there"
WRONG_SHAPE = "the shape that the newest Keras has there is not that of the result"
NO_XLA = "TensorFlow has CTC without XLA only"
OTHER_DTYPE = "the recorded static dtype is not that of the result"


def of_floats(*more):
    """Cases for an activation of floats."""
    return [c(f32(2, 3)), c(EDGES), c(x=f16(2, 3)), c(bf16(3)), c(f32(0, 2)), *more]


P23 = f32(2, 3, low=0.05, high=0.95, seed=1)
ONE_HOT = f32(values=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
TOUCHING = f32(values=[[0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
LOGITS = f32(2, 3)
IMAGE = f32(2, 5, 4, 2)
LINE = f32(2, 6, 2)
CUBE = f32(2, 3, 4, 3, 2)
FIRST = f32(2, 2, 5, 4)
LINE_FIRST = f32(2, 2, 6)
Q, K, V = f32(2, 3, 4, 2), f32(2, 5, 4, 2, seed=1), f32(2, 5, 4, 2, seed=2)
VECTOR = f32(3, low=0.5, high=2.0)
CTC = f32(2, 4, 3)

CASES = {
    # Activations
    "relu": [*of_floats(), c(i32(2, 3)), c(AT_ZERO), c(f32(values=[INF, -INF])), c(-1.5)],
    "relu6": [*of_floats(), c(i32(2, 3, high=9)), c(f32(values=[INF, -INF]))],
    "sigmoid": of_floats(c(SPECIAL).no("gradient", why="nan"), c(f64(3)), c(0.5)),
    "silu": of_floats(c(AT_ZERO)),
    "swish": [c(f32(2, 3)), c(x=f16(2, 3))],
    "softplus": of_floats(c(AT_ZERO)),
    "softsign": of_floats(),
    "log_sigmoid": of_floats(c(AT_ZERO)),
    "leaky_relu": of_floats(c(f32(2, 3), 0.5), c(f32(2, 3), negative_slope=0.0)),
    "hard_sigmoid": of_floats(),
    "hard_silu": of_floats(),
    "hard_swish": [c(f32(2, 3)), c(x=f16(2, 3))],
    "elu": of_floats(c(f32(2, 3), 0.5), c(f32(2, 3), alpha=2.0), c(f32(values=[INF, -INF])).no("gradient", why="nan")),
    "selu": of_floats(),
    "gelu": of_floats(c(f32(2, 3), False), c(f16(2, 3), approximate=False)),
    "celu": of_floats(c(f32(2, 3), 0.5), c(f16(2, 3), alpha=2.0)),
    "glu": [
        c(f32(2, 4)),
        c(f32(2, 4), axis=1),
        c(f32(2, 4, 3), 1),
        c(x=f16(2, 4)),
        c(f32(4, 3), -2).no("symbolic", why="batch"),
    ],
    "tanh_shrink": of_floats(),
    "hard_tanh": of_floats(),
    "hard_shrink": of_floats(c(f32(2, 3), 1.0), c(f16(2, 3), threshold=1.0)),
    "soft_shrink": of_floats(c(f32(2, 3), 1.0), c(f16(2, 3), threshold=1.0)),
    "squareplus": of_floats(c(f32(2, 3), 1), c(f16(2, 3), b=0.5)),
    "sparse_plus": of_floats(),
    "sparse_sigmoid": [each.no("gradient", why="at -1 and 1 it differs by backend") for each in of_floats()],
    "threshold": [
        c(f32(2, 3), 0.5, -1.0),
        c(f16(2, 3), threshold=0, default_value=2),
        c(x=bf16(3), threshold=0.0, default_value=0.5),
    ],
    "softmax": [
        c(LOGITS),
        c(LOGITS, 0).no("symbolic", why="batch"),
        c(LOGITS, axis=None),
        c(f32(2, 3, 4), axis=(1, 2)),
        c(f32(2, 3, 4), axis=1),
        c(f16(2, 3, low=-9, high=9)),
        c(bf16(3)),
        c(f32(values=[[1000.0, 1001.0, -INF]])),
        c(f32(values=[[-INF, -INF]])),
        c(f64(2, 3)),
    ],
    "log_softmax": [
        c(LOGITS),
        c(LOGITS, axis=None),
        c(f32(2, 3, 4), axis=(1, 2)),
        c(f32(2, 3, 4), axis=1),
        c(x=f16(2, 3)),
        c(f32(values=[[1000.0, 1001.0, -1000.0]])),
    ],
    "sparsemax": [
        c(LOGITS),
        c(f32(2, 3, 4), axis=1),
        c(x=f16(2, 3)),
        c(f32(values=[[1.0, 1.0, 0.5], [3.0, -9.0, 2.9]])).no("gradient", why="at the bound it differs by backend"),
    ],
    # Convolutions
    "conv": [
        c(LINE, f32(3, 2, 4)),
        c(LINE, f32(3, 2, 4), strides=2, padding="same"),
        c(LINE, f32(3, 2, 4), padding="same", dilation_rate=2),
        c(LINE_FIRST, f32(3, 2, 4), data_format="channels_first", padding="same"),
        c(IMAGE, f32(3, 3, 2, 3)),
        c(IMAGE, f32(3, 3, 2, 3), (2, 1), "SAME"),
        c(IMAGE, f32(3, 1, 2, 3), strides=(1, 2), dilation_rate=1, data_format="channels_last"),
        c(FIRST, f32(3, 3, 2, 3), strides=2, padding="same", data_format="channels_first"),
        c(f32(2, 5, 4, 4), f32(3, 3, 2, 4)).no("symbolic", why="groups are refused there"),
        c(CUBE, f32(3, 1, 2, 2, 1), padding="same"),
        c(inputs=f16(2, 6, 2), kernel=f16(3, 2, 4)),
        c(bf16(2, 6, 2), bf16(3, 2, 4)),
    ],
    "depthwise_conv": [
        c(LINE, f32(3, 2, 2)),
        c(LINE, f32(3, 2, 2), strides=2, padding="same"),
        c(LINE_FIRST, f32(3, 2, 1), data_format="channels_first"),
        c(IMAGE, f32(3, 3, 2, 2)),
        c(IMAGE, f32(3, 3, 2, 2), 2, "same"),
        c(IMAGE, f32(3, 1, 2, 1), padding="same", dilation_rate=2),
        c(FIRST, f32(3, 3, 2, 1), padding="same", data_format="channels_first"),
        c(IMAGE, f32(3, 1, 2, 1), (2, 1)),
        c(inputs=f16(2, 6, 2), kernel=f16(3, 2, 1)),
        c(IMAGE, f32(3, 1, 2, 1), strides=2, padding="same", dilation_rate=2),
    ],
    "separable_conv": [
        c(LINE, f32(3, 2, 2), f32(1, 4, 3)),
        c(LINE, f32(3, 2, 1), f32(1, 2, 3), strides=2, padding="same"),
        c(IMAGE, f32(3, 3, 2, 2), f32(1, 1, 4, 3)),
        c(IMAGE, f32(3, 3, 2, 1), f32(1, 1, 2, 3), 2, "same"),
        c(IMAGE, f32(3, 1, 2, 1), f32(1, 1, 2, 3), dilation_rate=2),
        c(FIRST, f32(3, 3, 2, 1), f32(1, 1, 2, 3), data_format="channels_first", padding="same"),
    ],
    "conv_transpose": [
        c(LINE, f32(3, 4, 2)),
        c(LINE, f32(3, 4, 2), strides=2, padding="same"),
        c(LINE, f32(3, 4, 2), 2, "valid", 1),
        c(LINE, f32(3, 4, 2), strides=2, padding="same", output_padding=1),
        c(LINE_FIRST, f32(3, 4, 2), strides=3, data_format="channels_first"),
        c(IMAGE, f32(3, 3, 3, 2)),
        c(IMAGE, f32(3, 3, 3, 2), (2, 1), "SAME"),
        c(FIRST, f32(3, 3, 3, 2), strides=2, padding="same", data_format="channels_first"),
        c(IMAGE, f32(3, 1, 3, 2), dilation_rate=2),
        c(CUBE, f32(1, 3, 3, 1, 2), padding="same"),
        c(LINE, f32(1, 4, 2), strides=2),
        c(inputs=f16(2, 6, 2), kernel=f16(3, 4, 2)),
    ],
    # Pools: the newest Keras on JAX and NumPy raises an error without strides
    "max_pool": [
        c(LINE, 2, 2),
        c(IMAGE, 2, 2),
        c(IMAGE, (3, 2), 1, "SAME"),
        c(FIRST, 2, strides=(2, 1), padding="same", data_format="channels_first"),
        c(CUBE, 2, 2, padding="same"),
        c(LINE_FIRST, 3, strides=1, data_format="channels_first"),
        c(inputs=f16(2, 6, 2), pool_size=2, strides=2),
    ],
    "average_pool": [
        c(LINE, 2, 2),
        c(IMAGE, 2, 2),
        c(IMAGE, (3, 2), 1, "same"),
        c(FIRST, 3, strides=(2, 1), padding="same", data_format="channels_first"),
        c(CUBE, 2, 2, padding="same"),
        c(LINE_FIRST, 3, strides=1, data_format="channels_first"),
        c(inputs=f16(2, 6, 2), pool_size=2, strides=2),
    ],
    "adaptive_average_pool": [
        c(LINE, (4,)).no("symbolic", why=WRONG_SHAPE),
        c(IMAGE, (3, 2)).no("symbolic", why=WRONG_SHAPE),
        c(FIRST, (2, 3), data_format="channels_first"),
        c(CUBE, (2, 3, 2)).no("symbolic", why=WRONG_SHAPE),
        c(IMAGE, output_size=3).no("symbolic", why="Keras wants a tuple there"),
        c(f16(2, 6, 2), (3,)).no("symbolic", why=WRONG_SHAPE),
    ],
    "adaptive_max_pool": [
        c(LINE, (4,)).no("symbolic", why=WRONG_SHAPE),
        c(IMAGE, (3, 2)).no("symbolic", why=WRONG_SHAPE),
        c(FIRST, (2, 3), data_format="channels_first"),
        c(CUBE, (2, 3, 2)).no("symbolic", why=WRONG_SHAPE),
        c(IMAGE, output_size=3).no("symbolic", why="Keras wants a tuple there"),
    ],
    # Classes as vectors
    "one_hot": [
        c(i32(values=[0, 2, -1]), 3),
        c(i64(values=[[0, 2], [1, 1]]), num_classes=4, axis=1),
        c(i32(values=[[0, 2], [1, 1]]), 3, axis=0).no("symbolic", why="batch"),
        c(i8(values=[[0], [2]]), 3, dtype="int32"),
        c(i32(values=[1, 0]), 2, dtype="bool"),
        c(i32(values=[1, 0]), 2, dtype="float16"),
        c([0, 1], 2),
        c(i32(values=2), 3),
        c(i32(0, 2), 3),
    ],
    "multi_hot": [
        c(i32(values=[0, 2, -1]), 4),
        c(i32(values=[[0, 2], [1, 1]]), num_classes=4, dtype="int32"),
        c(i32(values=[[0, 2], [1, -1]]), 3).no("symbolic", why=OTHER_DTYPE),
        c(i32(values=[[0, 2], [1, 1]]), 3, dtype="bool").no("symbolic", why=OTHER_DTYPE),
        c(i32(values=[[0, 2], [1, 1]]), num_tokens=4, dtype="float16").no("symbolic", why=OTHER_DTYPE),
        c(i32(values=[[[0, 2], [1, 1]], [[3, 0], [-1, -1]]]), 4, dtype="int32"),
    ],
    # Losses
    "binary_crossentropy": [
        c(ONE_HOT, P23),
        c(ONE_HOT, LOGITS, from_logits=True),
        c(ONE_HOT, LOGITS, True),
        c(ONE_HOT, TOUCHING).no("gradient", why="at the bounds it differs by backend"),
        c(target=f16(2, 3, low=0, high=1), output=f16(2, 3, low=0.1, high=0.9, seed=1)),
        c(P23, f32(2, 3, low=0.1, high=0.9)),
    ],
    "categorical_crossentropy": [
        c(ONE_HOT, P23),
        c(ONE_HOT, LOGITS, from_logits=True),
        c(P23, f32(2, 3, low=0.1, high=0.9)),
        c(ONE_HOT, TOUCHING).no("gradient", why="at the bounds it differs by backend"),
        c(f32(2, 3, 3, low=0, high=1), f32(2, 3, 3, low=0.1, high=1, seed=1), axis=1),
        c(f32(2, 3, 3, low=0, high=1), f32(2, 3, 3), True, 1),
        c(target=f16(2, 3, low=0, high=1), output=f16(2, 3, low=0.1, high=0.9, seed=1)),
        c(ONE_HOT, f32(values=[[90.0, -90.0, 0.0], [5.0, 5.0, 5.0]]), from_logits=True),
    ],
    "sparse_categorical_crossentropy": [
        c(i32(values=[1, 2]), f32(values=[[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])),
        c(i32(values=[[1], [2]]), LOGITS, from_logits=True),
        c(i64(values=[[1, 2, 0], [0, 0, 1]]), f32(2, 3, 3), True),
        c(target=i32(values=[1, 2]), output=TOUCHING).no("gradient", why="at the bounds it differs by backend"),
        c(i32(values=[0, 2]), f16(2, 3), from_logits=True, axis=-1),
    ],
    # Normalizations
    "batch_normalization": [
        c(LOGITS, f32(3), VECTOR, -1),
        c(LOGITS, f32(3), VECTOR, axis=1, offset=f32(3, seed=1), scale=f32(3, seed=2)),
        c(f32(2, 3, 4), f32(3), VECTOR, 1, scale=f32(3, seed=2), epsilon=0.1).no(
            "symbolic", why="Keras refuses scale without offset"
        ),
        c(f32(2, 3, 4), f32(3), VECTOR, -2, offset=f32(3, seed=1)).no(
            "symbolic", why="Keras refuses offset without scale"
        ),
        c(x=f16(2, 3), mean=f16(3), variance=f16(3, low=0.5, high=2), axis=-1),
    ],
    "moments": [
        c(LOGITS, [1]),
        c(LOGITS, (0, 1), keepdims=True),
        c(f32(2, 3, 4), axes=[1, -1]),
        c(f16(2, 3, low=100, high=600), [1]),
        c(f16(values=[[60000.0, 60000.0], [-60000.0, 60000.0]]), [1], True),
        c(LOGITS, 1),
    ],
    "normalize": [
        c(LOGITS),
        c(LOGITS, 0).no("symbolic", why="batch"),
        c(LOGITS, axis=1, order=1),
        c(LOGITS, order=3),
        c(f32(2, 3, 4), axis=(1, 2)),
        c(LOGITS, axis=None),
        c(f32(values=[[0.0, 0.0], [3.0, 4.0]])).no("gradient", why="nan on some backends"),
        c(LOGITS, epsilon=10.0),
        c(x=f16(2, 3)).no("symbolic", why=OTHER_DTYPE),
    ],
    "layer_normalization": [
        c(LOGITS),
        c(LOGITS, f32(3), f32(3, seed=1)),
        c(f32(2, 3, 4), gamma=f32(3), axis=1),
        c(f32(2, 3, 4), f32(3, 4), beta=f32(3, 4, seed=1), axis=(1, 2)),
        c(LOGITS, epsilon=0.5),
        c(x=f16(2, 3, low=100, high=600), gamma=f16(3)),
        c(bf16(2, 3)),
        c(f32(2, 3, 4), axis=[1, 2]),
    ],
    "rms_normalization": [
        c(LOGITS),
        c(LOGITS, f32(3)),
        c(f32(2, 3, 4), axis=1),
        c(f32(2, 3, 4), f32(3, 4), axis=(1, 2)),
        c(LOGITS, epsilon=0.5),
        c(x=f16(2, 3, low=100, high=600), scale=f16(3)),
        c(bf16(2, 3)),
    ],
    # Sequences
    "ctc_loss": [
        c(i32(values=[[1, 2], [2, 0]]), CTC, i32(values=[2, 1]), i32(values=[4, 3]))
        .no("symbolic", why=LENGTHS)
        .no("jit", why=NO_XLA),
        c(i32(values=[[0, 1], [1, 1]]), CTC, i32(values=[2, 2]), i32(values=[4, 4]), mask_index=2)
        .no("symbolic", why=LENGTHS)
        .no("jit", why=NO_XLA),
        c(i64(values=[[1, 2], [2, 1]]), f16(2, 4, 3), i32(values=[2, 1]), i32(values=[4, 3]))
        .no("symbolic", why=LENGTHS)
        .no("jit", why=NO_XLA),
    ],
    # The beam search is not to be had on JAX and PyTorch before 3.3.
    "ctc_decode": [
        c(CTC, i32(values=[4, 3])).no("symbolic", why=LENGTHS),
        c(f32(2, 4, 3, seed=5), i32(values=[4, 2]), merge_repeated=False, mask_index=2).no("symbolic", why=LENGTHS),
        c(CTC, sequence_lengths=i32(values=[2, 4]), strategy="greedy", mask_index=None).no("symbolic", why=LENGTHS),
    ],
    "dot_product_attention": [
        c(Q, K, V),
        c(Q, Q, f32(2, 3, 4, 2, seed=2), is_causal=True),
        c(Q, K, V, mask=boolean(2, 1, 3, 5, seed=3), scale=0.3),
        c(Q, K, V, f32(2, 4, 3, 5), flash_attention=False),
        c(query=f16(2, 3, 4, 2), key=f16(2, 5, 4, 2, seed=1), value=f16(2, 5, 4, 2, seed=2)),
        c(Q, K, V, bias=f32(1, 1, 3, 5), mask=boolean(1, 1, 3, 5, seed=3)),
        c(bf16(2, 3, 4, 2), bf16(2, 5, 4, 2, seed=1), bf16(2, 5, 4, 2, seed=2)),
    ],
    # Others
    "polar": [
        c(f32(2, 3, low=0), f32(2, 3, seed=1)).no("symbolic", why=OTHER_DTYPE),
        c(abs_=f32(3), angle=f32(3, seed=1)),
        c(2.0, 0.5),
    ],
    "psnr": [
        c(LOGITS, P23, 2.0),
        c(x1=f32(2, 3, 4), x2=f32(2, 3, 4, seed=1), max_val=255),
        c(LOGITS, LOGITS, 1.0).no("gradient", why="nan"),
    ],
    "unfold": [
        c(FIRST, 2),
        c(FIRST, (3, 2), dilation=(1, 2), padding=(0, 1), stride=(2, 1)),
        c(x=FIRST, kernel_size=2, dilation=2, padding=1, stride=2),
        c(f16(2, 2, 5, 4), 2, 1, 0, 3),
    ],
    "fold": [
        c(f32(2, 8, 12), (5, 4), 2),
        c(f32(2, 12, 8), (5, 4), (3, 2), dilation=(1, 2), padding=(0, 1), stride=(2, 1)),
        c(x=f32(2, 4, 9), output_size=5, kernel_size=2, dilation=2, padding=1, stride=2),
        c(f16(2, 4, 6), (5, 4), 2, 1, 0, (2, 1)),
    ],
    "depth_to_space": [
        c(f32(2, 2, 3, 8), 2),
        c(f32(2, 1, 2, 9), block_size=3, data_format="channels_last"),
        c(i32(2, 2, 1, 4), 2),
        c(f32(2, 8, 2, 1), 2, "channels_first"),
    ],
    "space_to_depth": [
        c(f32(2, 4, 2, 3), 2),
        c(f32(2, 3, 6, 1), block_size=3, data_format="channels_last"),
        c(i32(2, 2, 2, 1), 2),
        c(f32(2, 2, 2, 4), 2, "channels_first"),
    ],
}
