"""A decorated class keeps its type, for mypy and for pyright."""

import subprocess
import sys

import pytest
from conftest import ENVIRONMENT

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

WRONG = """
from keras_buildfix import affected_layers, deferred_build

@deferred_build
class Bare:
    def __init__(self, units: int) -> None: ...

Bare("three")
Bare(3).nowhere()
affected_layers("3.9", symptom="other")
"""


@pytest.mark.parametrize("checker", [["mypy", "--strict"], ["pyright"]], ids=["mypy", "pyright"])
def test_types_that_a_user_sees(checker, tmp_path):
    (tmp_path / "use.py").write_text(USE)
    (tmp_path / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", *checker]
    right = subprocess.run([*command, "use.py"], cwd=tmp_path, capture_output=True, text=True)
    assert right.returncode == 0, right.stdout
    wrong = subprocess.run([*command, "wrong.py"], cwd=tmp_path, capture_output=True, text=True)
    errors = [line for line in wrong.stdout.splitlines() if "error:" in line]
    assert [int(line.split(":")[1]) for line in errors] == [8, 9, 10], wrong.stdout
