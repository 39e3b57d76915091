"""Cases for the functions of `ops`: arguments, results recorded from the newest Keras, and the ways to run them.

A file ops_cases_<group>.py has `CASES`: name -> list of `c(...)`. tools/record_ops.py writes the results.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import math
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parents[1] / "data" / "ops"
GROUPS = (
    "control",
    "creating",
    "elementwise",
    "image",
    "linear_algebra",
    "nn",
    "random",
    "reductions",
    "shaping",
    "signal",
)
FLOATS = ("float16", "bfloat16", "float32", "float64")
#: Relative and absolute tolerance; some backends compute in another order.
TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 2e-5, "float64": 2e-5, "complex64": 2e-5, "complex128": 2e-5}
#: The ways to run a function beside a plain call.
WAYS = ("symbolic", "functional", "gradient", "graph", "jit")


@dataclass(frozen=True)
class Arr:
    """An array among the arguments of a case: given values, or chance ones that are the same everywhere."""

    dtype: str
    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    seed: int = 0
    values: Any = None
    raw: bool = False  # a NumPy array, not a tensor

    def numpy(self) -> np.ndarray:
        """The values, in the dtype if NumPy has it; bfloat16 as float32."""
        dtype = "float32" if self.dtype == "bfloat16" else self.dtype
        if self.values is not None:
            return np.array(self.values, dtype).reshape(self.shape)
        state = np.random.RandomState(zlib.crc32(repr((self.shape, self.seed)).encode()))
        if dtype == "bool":
            return state.rand(*self.shape) < 0.5
        if dtype.startswith("complex"):
            return (
                state.uniform(self.low, self.high, self.shape) + 1j * state.uniform(self.low, self.high, self.shape)
            ).astype(dtype)
        found = state.uniform(self.low, self.high, self.shape)
        return np.floor(found).astype(dtype) if dtype.startswith(("int", "uint")) else found.astype(dtype)

    def tensor(self, ops: Any) -> Any:
        """The array as a tensor of the backend."""
        if self.raw:
            return self.numpy()
        return ops.cast(ops.convert_to_tensor(self.numpy()), self.dtype)


def array(dtype: str, *shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0, values: Any = None) -> Arr:
    """A tensor; with `values`, of their shape."""
    if values is not None:
        shape = np.shape(values)
    if low < 0 and dtype.startswith("uint"):
        low = 0
    return Arr(dtype, shape, low, high, seed, values)


f16 = functools.partial(array, "float16")
bf16 = functools.partial(array, "bfloat16")
f32 = functools.partial(array, "float32")
f64 = functools.partial(array, "float64")
i8 = functools.partial(array, "int8", low=-4, high=5)
u8 = functools.partial(array, "uint8", low=0, high=9)
i32 = functools.partial(array, "int32", low=-4, high=5)
i64 = functools.partial(array, "int64", low=-4, high=5)
boolean = functools.partial(array, "bool")
c64 = functools.partial(array, "complex64")


def raw(dtype: str, *shape: int, **kwargs: Any) -> Arr:
    """A NumPy array, which is not made a tensor before the call."""
    made = array(dtype, *shape, **kwargs)
    return Arr(made.dtype, made.shape, made.low, made.high, made.seed, made.values, raw=True)


@dataclass(frozen=True)
class Case:
    """The arguments of one call. `without` has the ways in which it is not run: way -> reason."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    without: dict[str, str] = field(default_factory=dict)

    def no(self, *ways: str, why: str) -> Case:
        """The same case, which is not run in some ways, for a reason. `gradient` is often one of them."""
        assert {*ways} <= {*WAYS}, ways
        return Case(self.args, self.kwargs, {**self.without, **dict.fromkeys(ways, why)})


def c(*args: Any, **kwargs: Any) -> Case:
    """A case: the arguments as in a call, with `f32(2, 3)` and the like for tensors, also in lists and dicts."""
    return Case(args, kwargs)


@functools.cache
def cases_of(group: str) -> dict[str, list[Case]]:
    """The cases of a group, by function; `random.normal` and `image.resize` have the name of their module."""
    return importlib.import_module(f"ops_cases_{group}").CASES


@functools.cache
def results_of(group: str) -> dict[str, Any]:
    """What was recorded for a group: `name#number` -> results."""
    file = DATA / f"{group}.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def of_group(group: str, table: str) -> dict[str, Any]:
    """A table in the file of a group: `OURS_DIFFER`, `name#number way` -> reason, or `NOT_THERE`, name -> backends."""
    return getattr(importlib.import_module(f"ops_cases_{group}"), table, {})


def all_cases() -> dict[str, tuple[str, list[Case]]]:
    """Function -> its group and cases."""
    return {name: (group, cases) for group in GROUPS for name, cases in cases_of(group).items()}


def function_of(name: str) -> Any:
    """The function of `keras_buildfix.ops`, or of `keras_buildfix.random`."""
    import keras_buildfix

    found: Any = keras_buildfix if name.startswith("random.") else keras_buildfix.ops
    for part in name.split("."):
        found = getattr(found, part)
    return found


# How arguments and results are walked through. Tuples and lists stay what they are.


def mapped(change: Any, value: Any) -> Any:
    """A structure with each leaf changed."""
    if isinstance(value, dict):
        return {key: mapped(change, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [mapped(change, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return change(value)


def leaves(value: Any) -> list[Any]:
    """The leaves of a structure, in order."""
    found: list[Any] = []
    mapped(found.append, value)
    return found


def dtype_name(x: Any) -> str:
    """The name of the dtype of any tensor."""
    dtype = x.dtype
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or str(dtype)
    return name.rpartition(".")[2]


def is_tensor_like(x: Any) -> bool:
    """Whether a leaf of a result is a tensor or an array, not a plain number, name or dtype."""
    return hasattr(x, "dtype") and hasattr(x, "shape")


def spec_of(x: Any) -> Any:
    """The dtype and static shape of a leaf of a result."""
    if not is_tensor_like(x):
        return {"python": repr(x)}
    return {"dtype": dtype_name(x), "shape": [None if d is None else int(d) for d in x.shape]}


def number(value: Any) -> Any:
    """A value as JSON has it, with 7 digits."""
    if isinstance(value, complex):
        return [number(value.real), number(value.imag)]
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else str(value)
    return value


def to_numpy(x: Any, ops: Any) -> np.ndarray:
    """A tensor as an array; bfloat16 as float32."""
    if isinstance(x, np.ndarray) and dtype_name(x) != "bfloat16":
        return x
    if dtype_name(x) == "bfloat16":
        x = ops.cast(x, "float32")
    return np.asarray(ops.convert_to_numpy(x))


def value_of(x: Any, ops: Any) -> Any:
    """A leaf of a result: dtype, shape and values."""
    if not is_tensor_like(x):
        return {"python": repr(x)}
    found = to_numpy(x, ops)
    return {**spec_of(x), "shape": list(found.shape), "values": [number(each) for each in found.ravel().tolist()]}


# The ways to run a function.


def tensors_of(case: Case, ops: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments, with tensors."""

    def made(leaf: Any) -> Any:
        return leaf.tensor(ops) if isinstance(leaf, Arr) else leaf

    return mapped(made, case.args), mapped(made, case.kwargs)


def called_with(case: Case, ops: Any, function: Any, is_free: Any) -> tuple[Any, list[Arr]]:
    """A function of a list of tensors, which stand for the arrays of the case that are free; and these arrays."""
    free = [
        leaf for leaf in leaves((case.args, case.kwargs)) if isinstance(leaf, Arr) and not leaf.raw and is_free(leaf)
    ]

    def run(tensors: Any) -> Any:
        given = iter(tensors)

        def made(leaf: Any) -> Any:
            if not isinstance(leaf, Arr):
                return leaf
            return next(given) if not leaf.raw and is_free(leaf) else leaf.tensor(ops)

        return function(*mapped(made, case.args), **mapped(made, case.kwargs))

    return run, free


def batched(case: Case) -> Any:
    """Which arrays of a case get a batch of unknown size: those of two or more axes with the first one's rows."""
    first = next((leaf for leaf in leaves((case.args, case.kwargs)) if isinstance(leaf, Arr) and not leaf.raw), None)
    if first is None or len(first.shape) < 2:
        return lambda leaf: False
    return lambda leaf: len(leaf.shape) >= 2 and leaf.shape[0] == first.shape[0]


def eager(case: Case, ops: Any, function: Any) -> Any:
    """The results of a plain call."""
    args, kwargs = tensors_of(case, ops)
    return mapped(lambda x: value_of(x, ops), function(*args, **kwargs))


def symbolic(case: Case, keras: Any, ops: Any, function: Any) -> Any:
    """The dtypes and shapes of the results for symbolic inputs with a batch of unknown size; None if there are none."""
    run, free = called_with(case, ops, function, batched(case))
    if not free:
        return None
    inputs = [keras.Input(shape=leaf.shape[1:], dtype=leaf.dtype) for leaf in free]
    return mapped(spec_of, run(inputs))


def functional(case: Case, keras: Any, ops: Any, function: Any) -> Any:
    """The results of a functional model."""
    run, free = called_with(case, ops, function, batched(case))
    inputs = [keras.Input(shape=leaf.shape[1:], dtype=leaf.dtype) for leaf in free]
    outputs = run(inputs)
    tensors = [leaf for leaf in leaves(outputs) if is_tensor_like(leaf)]
    model = keras.Model(inputs, tensors)
    given = [leaf.tensor(ops) for leaf in free]
    found = model(given if len(given) > 1 else given[0])
    return [value_of(x, ops) for x in (found if isinstance(found, (list, tuple)) else [found])]


def graph(case: Case, backend: str, ops: Any, function: Any, jit: bool = False) -> Any:
    """The results inside of `tf.function` with a batch of unknown size, or with XLA, or inside of `jax.jit`."""
    is_batched = batched(case)
    run, free = called_with(case, ops, function, lambda leaf: True)
    given = [leaf.tensor(ops) for leaf in free]
    python: list[Any] = []

    def traced(*tensors: Any) -> Any:
        outputs = leaves(run(tensors))
        python[:] = [None if is_tensor_like(x) else x for x in outputs]
        return [x for x in outputs if is_tensor_like(x)]

    if backend == "tensorflow":
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # or it warns that functions are traced often
        signature = [
            tf.TensorSpec([None, *leaf.shape[1:]] if not jit and is_batched(leaf) else leaf.shape, leaf.dtype)
            for leaf in free
        ]
        found = tf.function(traced, input_signature=signature, jit_compile=jit, autograph=False)(*given)
    else:
        import jax

        found = jax.jit(traced)(*given)
    results = iter(found)
    return [value_of(next(results), ops) if each is None else {"python": repr(each)} for each in python]


def gradient(case: Case, backend: str, ops: Any, function: Any) -> Any:
    """The gradients of a weighted sum of the floating results, by the floating tensors; None if there are none."""
    run, free = called_with(case, ops, function, lambda leaf: leaf.dtype == "float32")
    if not free:
        return None

    def loss(tensors: Any) -> Any:
        total: Any = None
        for x in leaves(run(tensors)):
            if is_tensor_like(x) and dtype_name(x) in FLOATS:
                size = int(np.prod([int(d) for d in x.shape]))
                weights = np.cos(np.arange(size, dtype="float32") + 1.0).reshape(tuple(int(d) for d in x.shape))
                part = ops.sum(ops.cast(x, "float32") * ops.convert_to_tensor(weights))
                total = part if total is None else total + part
        return total

    given = [leaf.tensor(ops) for leaf in free]
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(given)
            total = loss(given)
        if total is None:
            return None
        found = tape.gradient(total, given, unconnected_gradients="zero")
    elif backend == "jax":
        import jax

        if jax.eval_shape(loss, given) is None:
            return None
        found = jax.grad(loss)(given)
    else:
        import torch

        given = [x.detach().requires_grad_() for x in given]
        total = loss(given)
        if total is None or not total.requires_grad:
            return None
        found = torch.autograd.grad(total, given, allow_unused=True)
        found = [torch.zeros_like(x) if g is None else g for x, g in zip(given, found)]
    return [value_of(x, ops) for x in found]


# How results are compared.


def differences(expected: Any, found: Any, on: str = "") -> dict[str, str]:
    """What differs between the recorded leaves and those found: its kind -> in words."""
    expected, found = flat(expected), flat(found)
    if len(expected) != len(found):
        return {"number": f"{len(found)} results, not {len(expected)}"}
    wrong = {}
    for want, got in zip(expected, found):
        if "python" in want or "python" in got:
            if want != got:
                wrong["python"] = f"{got.get('python', 'a tensor')}, not {want.get('python', 'a tensor')}"
            continue
        dtype = want.get(on, want["dtype"])
        if got["dtype"] != dtype:
            wrong[f"dtype {got['dtype']}"] = f"{got['dtype']}, not {dtype}"
        if got["shape"] != want["shape"]:
            wrong["shape"] = f"shape {got['shape']}, not {want['shape']}"
        elif "values" in want and not close(want["values"], got["values"], want["dtype"]):
            wrong["values"] = f"values {got['values'][:6]}, not {want['values'][:6]}"
    return wrong


def flat(value: Any) -> list[dict[str, Any]]:
    """The leaves of a recorded structure."""
    if isinstance(value, dict) and ("dtype" in value or "python" in value):
        return [value]
    items = value.values() if isinstance(value, dict) else value or []
    return [leaf for item in items for leaf in flat(item)]


def close(want: list[Any], got: list[Any], dtype: str) -> bool:
    """Whether values are the same within the tolerance of their dtype."""
    if dtype not in TOLERANCE:
        return want == got
    wanted, gotten = (np.array([_float(each) for each in values], "complex128") for values in (want, got))
    bound = TOLERANCE[dtype]
    with np.errstate(all="ignore"):  # older releases of NumPy warn about infinities
        return wanted.shape == gotten.shape and bool(np.allclose(wanted, gotten, bound, bound, equal_nan=True))


def _float(value: Any) -> complex:
    return complex(_float(value[0]).real, _float(value[1]).real) if isinstance(value, list) else complex(float(value))


@contextlib.contextmanager
def quiet() -> Any:
    """Hides the warnings of NumPy about values such as 0/0, which many cases have on purpose."""
    import warnings

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def backend_of(keras: Any) -> str:
    """The backend of a Keras."""
    return str(keras.backend.backend()) if hasattr(keras, "ops") else "tensorflow"


def is_native(keras: Any, name: str) -> bool:
    """Whether Keras itself has a function here."""
    found = keras if name.startswith("random.") else getattr(keras, "ops", None)
    if not hasattr(keras, "ops"):
        return False
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is not None


assert sys.version_info >= (3, 9)
