"""Cases for `ops`: elementwise."""

from ops_cases import bf16, boolean, c, f32, i32, i64

CASES = {
    "sin": [c(f32(2, 3)), c(i32(2, 3)), c(bf16(3)), c(0.5), c(x=f32(0, 2)), c(boolean(2)), c(i64(3))],
    "add": [c(f32(2, 3), f32(3)), c(i32(2, 3), 1.5), c(x1=bf16(2, 3), x2=2)],
}
