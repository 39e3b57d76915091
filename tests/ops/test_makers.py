"""What `ops` makes from nothing comes in the compute dtype in a portable `call`, and as Keras makes it elsewhere."""

import subprocess
import sys
import threading

import numpy as np
import ops_cases
import pytest
from environment import ENVIRONMENT, INFO, KERAS

from keras_buildfix import MixedPrecisionMixin, PortableLayerMixin, full_precision, mixed_precision_safe, ops, random
from keras_buildfix._running_call import NOTHING, RUNNING
from keras_buildfix.ops._making import MAKERS

layers = KERAS.layers
X = np.ones((2, 3), "float32")
HALF = "mixed_bfloat16" if INFO.backend in ("numpy", "torch") else "mixed_float16"
SHORT = HALF.partition("_")[2]

#: A call of each function, whose result is floating.
MADE = {
    "arange": lambda **k: ops.arange(0.0, 3.0, **k),
    "array": lambda **k: ops.array([1.0, 2.0], **k),
    "bartlett": lambda **k: ops.bartlett(4),
    "blackman": lambda **k: ops.blackman(4),
    "convert_to_tensor": lambda **k: ops.convert_to_tensor([[1.0]], **k),
    "empty": lambda **k: ops.empty((2,), **k),
    "eye": lambda **k: ops.eye(2, **k),
    "full": lambda **k: ops.full((2,), 0.5, **k),
    "geomspace": lambda **k: ops.geomspace(1.0, 8.0, 4, **k),
    "hamming": lambda **k: ops.hamming(4),
    "hanning": lambda **k: ops.hanning(4),
    "identity": lambda **k: ops.identity(2, **k),
    "kaiser": lambda **k: ops.kaiser(4, 0.5),
    "linspace": lambda **k: ops.linspace(0.0, 1.0, 3, **k),
    "logspace": lambda **k: ops.logspace(0.0, 1.0, 3, **k),
    "multi_hot": lambda **k: ops.multi_hot(ops.convert_to_tensor([1, 2]), num_classes=3, **k),
    "one_hot": lambda **k: ops.one_hot(ops.convert_to_tensor([1, 2]), num_classes=3, **k),
    "ones": lambda **k: ops.ones((2,), **k),
    "tri": lambda **k: ops.tri(2, **k),
    "zeros": lambda **k: ops.zeros((2,), **k),
    "beta": lambda **k: random.beta((2,), 1.0, 2.0, seed=1, **k),
    "binomial": lambda **k: random.binomial((2,), 4, 0.5, seed=1, **k),
    "gamma": lambda **k: random.gamma((2,), 2.0, seed=1, **k),
    "normal": lambda **k: random.normal((2,), seed=1, **k),
    "truncated_normal": lambda **k: random.truncated_normal((2,), seed=1, **k),
    "uniform": lambda **k: random.uniform((2,), seed=1, **k),
}
WITHOUT_DTYPE = {"bartlett", "blackman", "hamming", "hanning", "kaiser"}


def dtype_of(x):
    return ops_cases.dtype_name(x)


def seen_in(call, dtype=HALF, base=(PortableLayerMixin,), x=X, **kwargs):
    """What a function gives in the `call` of a layer."""
    seen = []

    class Layer(*base, layers.Layer):
        def call(self, inputs):
            seen.append(call(self, inputs))
            return inputs

    Layer(dtype=dtype, **kwargs)(x)
    assert RUNNING.now is NOTHING
    return seen[-1]


def of(function, **kwargs):
    return lambda layer, inputs: dtype_of(function(**kwargs))


def test_each_function_is_tried():
    assert {*MADE} == MAKERS


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_in_a_portable_call_has_the_compute_dtype(name):
    make = MADE[name]
    native = dtype_of(make())
    floating = "float" in native  # not so for multi_hot of Keras 3.2 on torch
    assert seen_in(of(make)) == (SHORT if floating else native)
    assert seen_in(of(make), "float32") == ("float32" if floating else native)
    assert seen_in(of(make), "float32", autocast=False) == native
    if name not in WITHOUT_DTYPE:
        assert seen_in(of(make, dtype="float32")) == "float32"
    assert dtype_of(make()) == native


def test_it_holds_for_the_mixin_and_the_decorator_and_not_for_plain_layers():
    assert seen_in(of(MADE["ones"]), base=(MixedPrecisionMixin,)) == SHORT
    assert seen_in(of(MADE["ones"]), base=()) == "float32"
    seen = []

    class Decorated(layers.Layer):
        @mixed_precision_safe
        def call(self, inputs):
            seen.append(dtype_of(ops.ones((2,))))
            return inputs

    Decorated(dtype=HALF)(X)
    assert seen[-1] == SHORT


def test_ints_and_bools_and_arguments_with_a_dtype_keep_it():
    assert seen_in(lambda *_: dtype_of(ops.arange(3))) == "int32"
    assert seen_in(lambda *_: dtype_of(ops.convert_to_tensor([True]))) == "bool"
    if INFO.backend != "numpy":  # whose tensors are arrays
        assert seen_in(lambda *_: dtype_of(ops.convert_to_tensor(ops.cast(ops.ones((2,)), "float32")))) == "float32"
    assert seen_in(lambda *_: dtype_of(ops.convert_to_tensor(np.ones(2, "float32")))) == SHORT
    assert seen_in(lambda *_: dtype_of(ops.zeros((2,), "float32"))) == "float32"


def test_float32_parts_and_layers_of_other_dtypes_make_their_own():
    @full_precision
    def precise(x):
        return ops.ones((2,)), x

    class Precise(PortableLayerMixin, layers.Layer):
        @full_precision
        def part(self, x):
            seen.append(dtype_of(ops.ones((2,))))
            return x

        def call(self, inputs):
            self.part(inputs)
            seen.append(dtype_of(ops.ones((2,))))
            return inputs

    seen = []
    Precise(dtype=HALF)(X)
    assert seen[-2:] == ["float32", SHORT]
    assert seen_in(lambda layer, x: dtype_of(precise(x)[0])) == SHORT  # cast back, as all that it returns

    class Plain(layers.Layer):
        def call(self, inputs):
            seen.append(dtype_of(ops.ones((2,))))
            return inputs

    class Own(PortableLayerMixin, Plain):
        def build(self, input_shape):
            seen.append(dtype_of(ops.ones((2,))))
            super().build(input_shape)

    for inner, expected in ((Plain, ["float32"]), (Own, ["float32", "float32"])):
        layer = inner(dtype="float32")
        seen.clear()
        assert seen_in(lambda self, x, layer=layer: (layer(x), dtype_of(ops.ones((2,))))[1]) == SHORT
        assert seen[-len(expected) :] == expected
    layer = Own(dtype=HALF)
    seen.clear()
    assert seen_in(lambda self, x: (layer(x), dtype_of(ops.ones((2,))))[1], "float32") == "float32"
    assert seen[0] == "float32"  # in `build`
    assert seen[-1] == SHORT


def test_an_error_leaves_no_trace():
    def fails(layer, inputs):
        raise KeyError("no")

    for base in ((PortableLayerMixin,), (MixedPrecisionMixin,)):
        with pytest.raises(KeyError, match="no"):
            seen_in(fails, base=base)
        assert RUNNING.now is NOTHING
    with pytest.raises(KeyError, match="no"):
        full_precision(fails)(X, X)
    assert RUNNING.now is NOTHING


def test_other_threads_are_untouched():
    def elsewhere(layer, inputs):
        found = []
        thread = threading.Thread(target=lambda: found.append(dtype_of(ops.ones((2,)))))
        thread.start()
        thread.join()
        return found

    assert seen_in(elsewhere) == ["float32"]


def test_models_and_compiled_steps():
    class Bias(PortableLayerMixin, layers.Layer):
        def call(self, inputs):
            return inputs * ops.ones((3,)) + ops.linspace(0.0, 1.0, 3) + ops.convert_to_tensor(TABLE)

    TABLE = np.array([1.0, 2.0, 3.0])  # noqa: N806
    inputs = KERAS.Input((3,))
    outputs = Bias(dtype=HALF)(inputs)
    assert dtype_of(outputs) == SHORT
    model = KERAS.Model(inputs, outputs)
    expected = np.float32([[2.0, 3.5, 5.0]] * 2)
    np.testing.assert_allclose(np.asarray(model.predict(X, verbose=0), "float32"), expected)


TWO = """
import os, sys
import numpy as np
from keras_buildfix import PortableLayerMixin, ops, random, full_precision
from keras_buildfix.ops import matmul as bound
first, second = sys.argv[1:]
import importlib
one = importlib.import_module(first)
if {early}:
    ops.matmul, ops.ones, random.normal  # bound to the first one
two = importlib.import_module(second)
seen = {{}}
def define(keras):
    class Layer(PortableLayerMixin, keras.layers.Layer):
        def build(self, input_shape):
            seen[keras.__name__ + " build"] = ops.matmul
            super().build(input_shape)
        def call(self, x):
            seen[keras.__name__] = ops.matmul, ops.nn.relu, random.normal
            self.part(x)
            return ops.matmul(x, ops.ones((3, 3)) + random.normal((3, 3), seed=1) * 0)
        @full_precision
        def part(self, x):
            seen[keras.__name__ + " part"] = ops.matmul
            return x
    return Layer
for keras in ({order}):
    layer = define(keras)(dtype="mixed_float16")
    y = layer(np.ones((2, 3), "float32"))
    assert y.dtype.name == "float16" if hasattr(y.dtype, "name") else y.dtype == "float16", y.dtype
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layer(inputs))
    np.testing.assert_allclose(np.asarray(model(np.ones((2, 3), "float32"))), 3)
new, old = (one, two) if hasattr(one, "ops") else (two, one)
assert seen[new.__name__] == (new.ops.matmul, new.ops.nn.relu, random_of(new)), seen
assert seen[new.__name__ + " build"] is seen[new.__name__ + " part"] is new.ops.matmul
mine = seen[old.__name__]
assert mine[0].__module__ == "keras_buildfix.ops", mine
assert seen[old.__name__ + " build"] is seen[old.__name__ + " part"] is mine[0]
print("right")
"""


@pytest.mark.skipif("tfkeras" not in ENVIRONMENT, reason="needs tf_keras and Keras 3")
@pytest.mark.parametrize(
    ("early", "names"),
    [(True, ("keras", "tf_keras")), (False, ("tf_keras", "keras"))],
    ids=["bound to keras", "unbound"],
)
def test_with_two_keras_each_layer_gets_the_functions_of_its_own(names, early):
    pytest.importorskip("keras")
    code = TWO.format(early=early, order="two, one, two" if early else "one, two, one")
    code = code.replace("random_of(new)", "seen[new.__name__][2]")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *names], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().endswith("right"), done.stderr[-2000:]
