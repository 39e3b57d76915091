"""Cases for `ops`: dtypes, slices, scattering and control flow."""

from ops_cases import bf16, boolean, c, f16, f32, i8, i32, i64, raw, u8

from keras_buildfix import ops


def running_sum(carry, x):
    return carry + x, carry * x


def in_a_structure(carry, x):
    total = carry["total"] + x[0]
    return {"total": total, "steps": carry["steps"] + 1}, (total * x[1], x[0])


def powers(carry, _):
    return carry * 2, carry + 1


CASES = {
    "cast": [
        c(f32(2, 3), "int32"),
        c(i32(2, 3), "bfloat16"),
        c(f32(values=[0.0, -0.0, 0.5, float("nan"), -3.0]), "bool"),
        c(boolean(2, 3), dtype="float16"),
        c(x=f32(values=[1.9, -1.9, 0.5, -0.5, 127.4]), dtype="int8"),
        c(f32(2, 3), "float32"),
        c(f32(values=[1e9, 1e-9, -7e4]), "float16"),
        c([1, 2], "float64"),
        c(2.7, "int32"),
        c(f32(0, 3), "uint8"),
        c(i32(values=[300, -1, 5]), "uint8"),
        c(raw("int64", 2, 3), "float32"),
    ],
    "saturate_cast": [
        c(f32(values=[1e20, -1e20, 300.7, -3.2, 0.0]), "uint8"),
        c(f32(values=[1e20, -1e20, 2.5]), dtype="int16"),
        c(i32(values=[200, -200, 5]), "int8"),
        c(u8(values=[200, 3]), "int8"),
        c(i8(values=[-5, 100]), "uint8"),
        c(f32(values=[1e9, -1e9, 1.0]), "float16"),
        c(x=bf16(values=[4e9, -4e9, 2.0]), dtype="int8"),
        c(f32(2, 3), "bool"),
        c(boolean(2, 3), "float32"),
        c(f16(2, 3), "float32"),
    ],
    "dtype": [
        c(f32(2, 3)).no("functional", why="there is no tensor in the result"),
        c(bf16(2, 3)).no("functional", why="as above"),
        c(x=boolean(3)),
        c(i32(2)),
        c(raw("int8", 2)),
    ],
    "is_tensor": [c(f32(2, 3)), c([1, 2]), c(1.0), c(x=None), c("a")],
    "shape": [
        c(f32(2, 3)).no("graph", why="an unknown size is a tensor there"),
        c(x=i32(0, 2, 3)).no("graph", why="as above"),
        c(f32()),
        c(bf16(4)),
    ],
    "convert_to_numpy": [
        c(f32(2, 3)).no("symbolic", "functional", "gradient", "graph", "jit", why="it needs values"),
        c(boolean(2)).no("symbolic", "functional", "graph", "jit", why="it needs values"),
        c(x=[1, 2]),
        c(2.5),
    ],
    "stop_gradient": [c(f32(2, 3)), c(variable=i32(2, 3))],
    "get_item": [
        c(f32(2, 3, 4), (slice(None), 1)),
        c(f32(2, 3, 4), (Ellipsis, slice(None, None, -1), None)),
        c(x=f32(2, 3), key=-1),
        c(i8(2, 3, 4), (slice(0, 1), slice(1, None, 2), -2)),
        c(bf16(5), slice(-2, None)),
    ],
    "slice": [
        c(f32(2, 3, 4), [0, 1, 2], [2, 2, 1]),
        c(inputs=i32(5), start_indices=(1,), shape=(3,)),
        c(boolean(2, 3), i32(values=[0, 1]), (2, 2)),
        c(bf16(2, 3), (0, 0), (2, 0)),
        c(f32(2, 3), raw("int64", values=[1, 1]), (1, 2)),
    ],
    "slice_update": [
        c(f32(2, 3, 4), [0, 1, 2], f32(2, 2, 1)),
        c(inputs=i32(5), start_indices=(1,), updates=i32(3)),
        c(f32(5), i32(values=[2]), f32(2)),
        c(boolean(2, 3), (0, 0), boolean(2, 1)),
        c(bf16(3, 2), (1, 0), bf16(1, 2)),
        c(f32(2, 3), (0, 0), f32(2, 0)),
    ],
    "scatter": [
        c(i32(values=[[0, 1], [1, 2], [0, 1]]), f32(3), (2, 3)),
        c(i32(values=[[2], [0], [2]]), f32(3, 2), (4, 2)),
        c(indices=i64(values=[[1]]), values=i8(1), shape=[3]),
        c(i32(values=[[[1], [3]], [[1], [0]]]), bf16(2, 2), (5,)),
        c([[0], [2]], [1.5, 2.5], (3,)),
        c(i32(0, 1), f32(0), (3,)),
    ],
    "scatter_update": [
        c(f32(2, 3), i32(values=[[0, 1], [1, 2]]), f32(2)),
        c(inputs=f32(4, 2), indices=i32(values=[[3], [0]]), updates=f32(2, 2)),
        c(i32(4), i32(values=[[1], [1], [2]]), i32(3), reduction="add"),
        c(f32(2, 3), i32(values=[[0, 1], [0, 1], [1, 0]]), f32(3), "max"),
        c(f32(4, 2), i32(values=[[3], [3]]), f32(2, 2), "min"),
        c(f32(2, 3), i32(values=[[0, 1], [0, 1], [1, 0]]), f32(3), reduction="mul"),
        c(f32(4, 2), i32(values=[[3], [3]]), f32(2, 2), reduction="mul"),
        c(bf16(4), [[1], [3]], bf16(2)),
    ],
    "unstack": [
        c(f32(2, 3)).no("symbolic", "functional", "graph", why="the number of results must be known"),
        c(f32(2, 3, 4), axis=1),
        c(x=i32(2, 3), num=3, axis=-1),
        c(bf16(3)),
    ],
    "cond": [
        c(boolean(values=True), lambda: ops.ones((2,)), lambda: ops.zeros((2,))),
        c(
            boolean(values=False),
            lambda: (ops.ones((2,)), ops.ones((), "int32")),
            lambda: (ops.zeros((2,)), ops.zeros((), "int32")),
        ),
        c(pred=True, true_fn=lambda: {"a": ops.ones((2, 1))}, false_fn=lambda: {"a": ops.zeros((2, 1))}),
        c(False, lambda: ops.ones(()), lambda: ops.zeros(())),
    ],
    "switch": [
        c(i32(values=1), [lambda x: x + 1, lambda x: x * 2, lambda x: -x], f32(2, 3)),
        c(7, [lambda x, y: x + y, lambda x, y: x * y], f32(2, 3), f32(2, 3, seed=1)),
        c(i32(values=-2), [lambda x: (x, x + 1), lambda x: (x + 1, x)], i32(2, 3)),
        c(index=0, branches=[lambda: ops.ones((2,)), lambda: ops.zeros((2,))]),
    ],
    "while_loop": [
        c(lambda i: i < 10, lambda i: i + 3, i32(values=1)),
        c(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (i32(values=0), f32(2, 3))),
        c(lambda x: ops.sum(x) < 100, lambda x: x + 1, f32(2, 3), maximum_iterations=2),
        c(cond=lambda i, x: i < 0, body=lambda i, x: (i + 1, x * 2), loop_vars=[i32(values=0), f32(3)]),
    ],
    "fori_loop": [
        c(0, 4, lambda i, x: x * 2 + ops.cast(i, "float32"), f32(2, 3)),
        c(2, 2, lambda i, x: x + 1, f32(2, 3)),
        c(lower=-1, upper=3, body_fun=lambda i, x: (x[1], x[0] + i), init_val=(i32(3), i32(3, seed=1))),
        c(3, 1, lambda i, x: x + 1, i32(3)),
    ],
    "map": [
        c(lambda x: x * 2 + 1, f32(2, 3)),
        c(lambda x: ops.sum(x), i32(2, 3)),
        c(f=lambda x: x[0] * x[1], xs=(f32(2, 3), f32(2, 3, seed=1))),
        c(lambda x: {"a": x["x"] > 0, "b": x["x"]}, {"x": f32(2, 3)}),
    ],
    "scan": [
        c(running_sum, f32(3), f32(2, 3)),
        c(running_sum, f32(3), f32(2, 3), reverse=True),
        c(running_sum, f32(3), f32(2, 3), None, False, 2),
        c(running_sum, f32(3), f32(2, 3), unroll=True),
        c(in_a_structure, {"total": f32(3), "steps": i32(values=0)}, (f32(2, 3, seed=1), f32(2, 3, seed=2))),
        c(f=powers, init=f32(values=1.5), length=4),
        c(running_sum, bf16(3), bf16(2, 3), length=2),
        c(running_sum, i32(values=0), i32(5)),
        c(running_sum, f32(3), f32(0, 3)),
    ],
    "associative_scan": [
        c(lambda a, b: a + b, f32(5, 2)),
        c(lambda a, b: a * b, f32(2, 4), axis=-1),
        c(lambda a, b: ops.maximum(a, b), f32(5, 2), reverse=True),
        c(f=lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), elems=(f32(5, 2), f32(5, 2, seed=1)), axis=0),
        c(lambda a, b: a + b, f32(2, 4), reverse=True, axis=1),
        c(lambda a, b: a + b, f32(1, 2)),
        c(lambda a, b: a + b, f32(2, 4)),
    ],
    "vectorized_map": [
        c(lambda x: x * 2 + 1, f32(2, 3)),
        c(lambda x: ops.sum(x), i32(2, 3)),
        c(function=lambda x: ops.matmul(x[0], x[1]), elements=[f32(2, 3, 4), f32(2, 4)]),
        c(lambda x: ops.sum(x) + ops.ones((2,)), f32(2, 3)),
    ],
    "jvp": [
        c(lambda x: x * x, (f32(2, 3),), (f32(2, 3, seed=1),)),
        c(fun=lambda x, y: ops.sin(x) * y, primals=(f32(3), f32(3, seed=1)), tangents=(f32(3, seed=2), f32(3, seed=3))),
        c(lambda x: (ops.exp(x), ops.sum(x)), [f32(3)], [f32(3, seed=1)], has_aux=True),
        c(lambda x, y: (x * 2, y), (f32(3), f32(3, seed=1)), (f32(3, seed=2), f32(3, seed=3))),
    ],
}
