"""A decorated class keeps its type, for mypy and for pyright."""

import subprocess
import sys

import pytest
from environment import ENVIRONMENT

pytestmark = pytest.mark.skipif(ENVIRONMENT != "types", reason="run in the environment `types`, which has the checkers")

USE = """
from typing import Any
from keras_buildfix import (DeferredBuildMixin, KerasInfo, SkippedBuild, affected_layers, deferred_build, installed,
    keras_info, mark_built, reset_built, skipped_builds)

class Layer:
    def __init__(self, units: int) -> None: ...

@deferred_build
class Bare(Layer):
    def only_here(self) -> int:
        return 1

@deferred_build()
class Called(Layer):
    def only_here(self) -> int:
        return 1

class Mixed(DeferredBuildMixin, Layer):
    def only_here(self) -> int:
        return 1

def use() -> None:
    a: int = Bare(3).only_here() + Called(3).only_here() + Mixed(3).only_here()
    b: type[Bare] = Bare
    info: KerasInfo = keras_info()
    version: str = info.version
    found: list[SkippedBuild] = skipped_builds(Bare)
    names: tuple[str, ...] = affected_layers(version, symptom="locked_state")
    mark_built(Bare(3))
    reset_built(Bare(3))
    with installed():
        print(a, b, found, names)
"""

WEIGHTS = """
import re
from typing import Any
import keras_buildfix
from keras_buildfix import (BadFileError, FreezeReport, PortableLayerMixin, SaveReport, Shape, WeightDiff, WeightReport,
    diff_weights, freeze, frozen, get_weights, load_weights, save_weights, set_weights, transfer_weights, unfreeze)

class Layer:
    trainable = True

class Scale(PortableLayerMixin, Layer):
    def build(self, input_shape: Shape) -> None:
        sizes: list[int | None] = input_shape.as_list()
        print(sizes, input_shape[-1], len(input_shape))

def use(layer: Layer) -> None:
    report: FreezeReport = freeze(layer, ["a/*", layer, Layer], exclude=re.compile("x"), batchnorm="train")
    unfreeze(layer, lambda each: each.name == "a")
    with frozen(layer, layer) as inside:
        print(report.weights, inside.layers)
    saved: SaveReport = save_weights(layer, "w.npz", select="a/*", overwrite=False)
    try:
        loaded: WeightReport = load_weights(layer, saved.path, exclude=layer, skip_mismatch=True, casting="unsafe")
    except BadFileError:
        loaded = transfer_weights(layer, layer, rename={"a": "b"})
    set_weights(layer, get_weights(layer, layer), rename=[("a", "b")], select=Layer)
    found: WeightDiff = diff_weights(layer, "w.npz")
    print(loaded.complete, found.equal, keras_buildfix.__version__)
"""

OPERATIONS = """
from typing import Any
from keras_buildfix import ops, random
from keras_buildfix.ops import nn
from keras_buildfix.random import SeedGenerator

def use(x: Any, seed: SeedGenerator = random.SeedGenerator(1)) -> Any:
    y = ops.matmul(ops.nn.relu(x), nn.softmax(x, axis=-1)) + ops.numpy.sum(x, axis=0, keepdims=True)
    return ops.image.resize(y, (2, 2)), ops.linalg.norm(y), random.normal((2, 3), seed=seed), seed.next()
"""

WRONG = """
from keras_buildfix import affected_layers, deferred_build

@deferred_build
class Bare:
    def __init__(self, units: int) -> None: ...

Bare("three")
Bare(3).nowhere()
affected_layers("3.9", symptom="other")
"""

WRONG_WEIGHTS = """
from keras_buildfix import freeze, get_weights, load_weights, set_weights
from keras_buildfix import defered
import keras_buildfix
keras_buildfix.nowhere
freeze(object(), "*", batchnorm="eval")
freeze(object(), 3)
get_weights(object(), 3)
load_weights(object(), "w.h5", casting="all")
load_weights(object(), "w.h5", by_name=True)
set_weights(object(), {}, on_mismatch="skip")
"""

WRONG_OPERATIONS = """
from keras_buildfix import ops, random
ops.matmull(1, 2)
ops.matmul(1)
ops.resize(1, 2)
ops.nn.ones((2,))
ops.sum(1, axes=0)
random.unifrom((2,))
"""


@pytest.mark.parametrize("checker", [["mypy", "--strict"], ["pyright"]], ids=["mypy", "pyright"])
@pytest.mark.parametrize(
    ("use", "wrong", "lines"),
    [
        (USE, WRONG, [8, 9, 10]),
        (WEIGHTS, WRONG_WEIGHTS, [3, 5, 6, 7, 8, 9, 10, 11]),
        (OPERATIONS, WRONG_OPERATIONS, [3, 4, 5, 6, 7, 8]),
    ],
    ids=["build", "weights", "ops"],
)
def test_types_that_a_user_sees(checker, use, wrong, lines, tmp_path):
    (tmp_path / "use.py").write_text(use)
    (tmp_path / "wrong.py").write_text(wrong)
    command = [sys.executable, "-m", *checker]
    right = subprocess.run([*command, "use.py"], cwd=tmp_path, capture_output=True, text=True)
    assert right.returncode == 0, right.stdout
    found = subprocess.run([*command, "wrong.py"], cwd=tmp_path, capture_output=True, text=True)
    errors = [line for line in found.stdout.splitlines() if "error:" in line]
    assert [int(line.split(":")[1]) for line in errors] == lines, found.stdout
