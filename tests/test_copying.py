"""The package can be copied into a library under another name, as docs/copying.md says."""

import importlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from environment import KERAS

import keras_buildfix

pytestmark = pytest.mark.in_turns
PACKAGE = Path(keras_buildfix.__file__).parent


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the package as `yourlib._buildfix`."""
    copy = tmp_path / "yourlib" / "_buildfix"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "yourlib" / "__init__.py").touch()
    for file in copy.rglob("*.py"):
        file.write_text(re.sub(r"\bkeras_buildfix\b", "yourlib._buildfix", file.read_text("utf-8")), "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = {*sys.modules}
    yield importlib.import_module("yourlib._buildfix")
    for name in {*sys.modules} - before:
        if name.partition(".")[0] == "yourlib":
            del sys.modules[name]


def test_a_copy_works_beside_the_package(copied, tmp_path):
    assert copied.deferred_build is not keras_buildfix.deferred_build

    def scaled(deferred_build):
        @deferred_build
        class Scaled(KERAS.layers.Reshape):
            def build(self, input_shape):
                self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
                super().build(input_shape)

            def call(self, x):
                return super().call(x) * self.scale

        return Scaled

    layers = [scaled(way.deferred_build)((3,), name=name) for way, name in ((copied, "a"), (keras_buildfix, "b"))]
    model = KERAS.Sequential([KERAS.layers.InputLayer((3,)), *layers])
    assert [len(layer.weights) for layer in layers] == [1, 1]
    path = str(tmp_path / "w.safetensors")
    copied.save_weights(model, path)
    model.set_weights([np.float32(5), np.float32(7)])
    keras_buildfix.load_weights(model, path)
    assert [float(value) for value in model.get_weights()] == [1, 1]
