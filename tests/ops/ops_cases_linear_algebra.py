"""Cases for `ops`: products of tensors and decompositions of matrices."""

from ops_cases import bf16, boolean, c, f16, f32, i8, i32, u8

INF = float("inf")
XLA = "TensorFlow has none in XLA"
SIGNS = "the signs of vectors are free; another test puts them together"
M = f32(values=[[4.0, 1.0, -0.5], [1.0, 3.0, 0.25], [-0.5, 1.5, 2.0]])
S = f32(values=[[4.0, 1.0, -0.5], [1.0, 3.0, 0.25], [-0.5, 0.25, 2.0]])
NEGATIVE = f32(values=[[0.0, 2.0, 1.0], [1.0, 0.5, -1.0], [3.0, 1.0, 2.0]])
MANY = f32(values=[[[2.0, 1.0], [0.5, 3.0]], [[-1.0, 2.0], [3.0, 0.5]]])
POSITIVE = f32(values=[[[2.0, 0.5], [0.5, 3.0]], [[1.0, 0.25], [0.25, 0.5]]])
DEFICIENT = f32(values=[[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
TALL = f32(values=[[1.0, 2.0], [0.5, -1.0], [3.0, 1.0]])

CASES = {
    "matmul": [
        c(f32(2, 3), f32(3, 4)),
        c(f32(3), f32(2, 3, 4)),
        c(f32(2, 3, 4), f32(4)),
        c(f32(3), f32(3)),
        c(f32(2, 3, 4), f32(4, 2)),
        c(x1=f32(2, 1, 3, 2), x2=f32(4, 2, 1)),
        c(i8(2, 3), i8(3, 4)),
        c(i32(2, 3), f32(3, 2)),
        c(u8(2, 3), i8(3)),
        c(bf16(2, 3), f16(3, 2)),
        c(boolean(2, 3), boolean(3, 2)),
        c(f32(2, 0), f32(0, 3)),
    ],
    "dot": [
        c(f32(3), f32(3)),
        c(f32(2, 3), f32(3)),
        c(f32(2, 3), f32(4, 3, 2)),
        c(f32(2, 3), 2.5),
        c(x1=i32(2, 3), x2=i8(3, 2)),
        c(i8(3), i8(3)),
        c(f32(3), bf16(3, 2)),
    ],
    "tensordot": [
        c(f32(2, 3, 4), f32(3, 4, 2)),
        c(f32(2, 3), f32(3, 4), 1),
        c(f32(2, 3), f32(2), axes=0),
        c(x1=f32(2, 3, 4), x2=f32(4, 2), axes=[[0, 2], [1, 0]]),
        c(i8(2, 3), i8(3, 2), axes=1),
        c(bf16(2, 3), i32(3, 2), axes=([-1], [0])),
    ],
    "vdot": [c(f32(3), f32(3)), c(x1=f32(2, 3), x2=f32(3, 2)), c(i8(3), i32(3)), c(bf16(3), f32(3))],
    "inner": [
        c(f32(3), f32(3)),
        c(x1=f32(2, 3), x2=f32(4, 3)),
        c(f32(2, 3), 2.0),
        c(i8(2, 3), i8(3)),
        c(bf16(3), i32(2, 3)),
    ],
    "outer": [c(f32(2), f32(3)), c(x1=f32(2, 2), x2=i32(3)), c(i8(2), i8(3)), c(f32(0), f32(3)), c([1, 2], bf16(2))],
    "kron": [c(f32(2, 2), f32(2, 3)), c(x1=f32(3), x2=f32(2, 2)), c(i8(2), i32(2, 1, 2)), c(bf16(2), f32(2))],
    "cross": [
        c(f32(2, 3), f32(2, 3, seed=1)),
        c(f32(3), i32(3)),
        c(f32(2, 2), f32(2, 3)),
        c(f32(3, 4), f32(3, 4, seed=1), axis=0).no("symbolic", "graph", why="the size of vectors must be known"),
        c(x1=f32(3, 4), x2=f32(4, 3), axisa=0, axisb=1, axisc=0),
        c(f32(2, 2), f32(2, seed=1)),
        c(bf16(2, 3), f32(3)),
        c(i8(2, 1, 3), i8(4, 3)),
    ],
    "trace": [
        c(f32(2, 3)),
        c(f32(2, 3, 4), offset=1, axis1=-1, axis2=1),
        c(i8(3, 3), -1),
        c(x=u8(2, 2)),
        c(boolean(3, 3)),
        c(bf16(2, 3)),
    ],
    "diagonal": [
        c(f32(2, 3)),
        c(f32(2, 3, 4), offset=1, axis1=-1, axis2=1),
        c(x=i8(3, 4), offset=-2),
        c(boolean(2, 3), 5),
        c(bf16(2, 3, 3), 0, 1, 2),
    ],
    "einsum": [
        c("ij,jk->ik", f32(2, 3), f32(3, 4)),
        c("ij,jk", f32(2, 3), f32(3, 4)),
        c("...i,ij->...j", f32(2, 3, 4), f32(4, 2)),
        c("bqhd,bkhd->bhqk", f32(2, 3, 2, 2), f32(2, 4, 2, 2)),
        c("ii->i", f32(3, 3)).no("symbolic", why="ours knows the size"),
        c("ij->", f32(2, 3)),
        c("i , j -> j i", f32(2), f32(3)),
        c("ij,jk,kl->il", f32(2, 3), f32(3, 4), f32(4, 2)),
        c("ij,jk->ik", i8(2, 3), i8(3, 2)),
        c("ij,j->i", i32(2, 3), bf16(3)),
        c("ij,kj->ik", u8(2, 3), i8(2, 3)),
        c("ij,...jk->...ik", f16(2, 3), f32(2, 3, 4)),
    ],
    "norm": [
        c(f32(2, 3)),
        c(x=f32(2, 3, 4), axis=-1),
        c(f32(2, 3, 4), 1, 0),
        c(f32(2, 3), INF, 1, True),
        c(f32(2, 3), -INF, axis=0),
        c(f32(values=[0.0, 1.0, -2.0]), 0),
        c(f32(2, 3), ord=3, axis=-1, keepdims=True),
        c(f32(2, 3, 4), "fro", (0, 2)),
        c(f32(2, 3, 4), "nuc", (-1, 0), keepdims=True),
        c(f32(2, 3, 4), 2, (1, 2)),
        c(f32(2, 3), -2),
        c(f32(2, 3, 4), 1, (0, 1)),
        c(f32(2, 3, 4), -1, (2, 0)),
        c(f32(2, 3, 4), INF, (2, 0), True),
        c(f32(2, 3), -INF),
        c(i32(2, 3)),
        c(bf16(5), 2),
        c(f32(2, 3, 4), axis=(0, -1)),
        c(f32(5), -1.5),
    ],
    "det": [c(M).no("jit", why=XLA), c(x=MANY).no("jit", why=XLA), c(NEGATIVE).no("jit", why=XLA)],
    "slogdet": [
        c(M).no("jit", "symbolic", why=XLA + "; an unknown size is not square"),
        c(x=MANY).no("jit", "symbolic", why=XLA + "; the newest Keras forgets the batch"),
        c(NEGATIVE).no("jit", "symbolic", why=XLA + "; an unknown size is not square"),
        c(f32(values=[[1.0, 2.0], [2.0, 4.0]])).no("jit", "symbolic", "gradient", why=XLA + "; it is singular"),
    ],
    "logdet": [
        c(S).no("jit", "symbolic", why=XLA + "; an unknown size is not square"),
        c(x=POSITIVE).no("jit", why=XLA),
    ],
    "inv": [c(M), c(x=MANY), c(NEGATIVE)],
    "pinv": [
        c(TALL),
        c(x=MANY),
        c(f32(2, 3)).no("symbolic", "functional", why="JAX compares the sizes of a matrix"),
        c(f32(values=[[2.0, 0.0], [0.0, 0.1]]), rcond=0.2).no("gradient", why="there is none with a part left out"),
    ],
    "matrix_rank": [c(TALL), c(x=DEFICIENT), c(MANY), c(f32(values=[[2.0, 0.0], [0.0, 0.1]]), tol=0.5)],
    "cholesky": [c(S), c(x=POSITIVE), c(POSITIVE, upper=True)],
    "cholesky_inverse": [
        c(f32(values=[[2.0, 0.0], [0.5, 1.5]])).no("graph", why="an unknown size is not square"),
        c(x=f32(values=[[2.0, 0.5], [0.0, 1.5]]), upper=True).no("graph", why="as above"),
    ],
    "solve": [c(M, f32(3, 2)), c(a=M, b=f32(3)), c(MANY, f32(2, 2, 1))],
    "solve_triangular": [
        c(M, f32(3, 2)),
        c(M, f32(3), lower=True),
        c(a=MANY, b=f32(2, 2, 3), lower=True),
        c(MANY, f32(2, 2, 1)),
    ],
    "lu_factor": [
        c(NEGATIVE).no("gradient", "jit", why=XLA),
        c(x=f32(values=[[0.0, 1.0], [2.0, 3.0]])).no("gradient", "jit", why=XLA),
        c(MANY).no("gradient", "jit", "symbolic", why=XLA + "; the newest Keras says floats"),
    ],
    "lstsq": [
        c(TALL, f32(3)),
        c(a=TALL, b=f32(3, 2)),
        c(DEFICIENT, f32(3)).no("gradient", why="it has equal singular values"),
        c(f32(2, 3), f32(2)),
        c(TALL, f32(3), rcond=0.9).no("gradient", why="there is none with a part left out"),
    ],
    "qr": [
        c(TALL),
        c(TALL, mode="complete").no("gradient", why="TensorFlow has none"),
        c(x=f32(2, 3)).no("gradient", why="JAX has none"),
        c(MANY, "reduced"),
    ],
    "svd": [
        c(TALL, compute_uv=False),
        c(x=f32(2, 3), full_matrices=False, compute_uv=False),
        c(MANY, True, False),
    ],
    "eigh": [c(f32(values=[[2.0, 0.0], [0.0, -1.0]])).no("gradient", why=SIGNS)],
    "cdist": [
        c(f32(2, 3), f32(4, 3)),
        c(x=f32(2, 3, 4), y=f32(2, 2, 4)),
        c(f32(2, 1, 3, 4), f32(2, 4)),
        c(bf16(2, 3), bf16(1, 3)),
    ],
    "rearrange": [
        c(f32(2, 3, 4), "b h w -> b w h"),
        c(f32(2, 3, 4), "b h w -> b (h w)"),
        c(f32(2, 3, 4), "b h (w1 w) -> (b w1) h w", w=2),
        c(tensor=i32(2, 4, 3), pattern="b (h h1) c -> b h (c h1)", h1=2),
        c(bf16(2, 3), "a b -> b a"),
        c(f32(4, 2, 3), "(a b) c d -> a (c b) d", a=2),
    ],
}
