"""`install()`: every loaded Keras and later ones, once, and away without a trace."""

import importlib
import subprocess
import sys

import pytest
import zoo
from environment import INFO, KERAS

from keras_buildfix import affected_layers, install, installed, uninstall
from keras_buildfix._keras.classes import builtin_layers
from keras_buildfix._keras.marking import leaves_unbuilt, marking_code
from keras_buildfix.building.deferred import is_fixed

BASE = KERAS.layers.Layer


def snapshot():
    return {cls: dict(vars(cls)) for cls in [BASE, *builtin_layers(BASE)]}


def changed(before):
    return {cls for cls in before if dict(vars(cls)) != before[cls]}


@pytest.fixture(autouse=True)
def _nothing_installed():
    assert not changed(snapshot())
    yield
    uninstall()


def test_every_affected_built_in_is_fixed_and_no_other():
    before = snapshot()
    with installed():
        for name in affected_layers(INFO.version):
            assert is_fixed(getattr(KERAS.layers, name)), name
        for name in affected_layers(INFO.version, symptom="locked_state"):
            assert getattr(KERAS.layers, name)._lock_state is not BASE._lock_state, name
        # The rest: built-ins that mark themselves but can't be made without more (a SavedModel, a module), or are
        # no part of keras.layers (legacy ones); on Keras 2 those whose `build` does not say that it ran.
        touched = changed(before)
        assert all(marking_code(cls) or leaves_unbuilt(cls) or "build" in before[cls] for cls in touched)
        assert BASE not in touched
        assert KERAS.layers.Dense not in touched
    assert not changed(before)


def test_twice_is_once_and_uninstall_leaves_no_trace():
    before, path = snapshot(), list(sys.meta_path)
    install()
    once = {cls: dict(vars(cls)) for cls in before}
    install()
    assert {cls: dict(vars(cls)) for cls in before} == once
    assert len(sys.meta_path) == len(path) + 1
    uninstall()
    uninstall()
    assert not changed(before)
    assert sys.meta_path == path


def test_what_somebody_else_has_changed_since_is_theirs():
    before = snapshot()
    install()
    touched = [cls for cls in changed(before) if "built" in vars(cls) and "built" not in before[cls]]
    for cls in touched[:1]:
        del cls.built
    uninstall()
    assert not changed(before)


def test_classes_defined_before_are_fixed():
    class Early(KERAS.layers.Softmax):
        def build(self, input_shape):
            super().build(input_shape)

    with installed():
        assert not Early().built


def test_blocks_nest_and_an_exception_ends_them():
    before = snapshot()
    with pytest.raises(RuntimeError, match="inside"), installed():  # noqa: PT012
        with installed():
            pass
        assert changed(before) or not affected_layers(INFO.version)
        raise RuntimeError("inside")
    assert not changed(before)
    install()
    with installed():
        pass
    assert sys.meta_path[0].__class__.__name__ == "AfterImport"


def test_installing_in_many_threads_while_layers_are_made():
    class Counted(KERAS.layers.Softmax):
        def build(self, input_shape):
            self.builds = getattr(self, "builds", 0) + 1
            super().build(input_shape)

    before = snapshot()
    install()

    def work():
        for _ in range(20):
            install()
            layer = Counted()
            assert not layer.built
            layer.build((None, 4))
            assert layer.builds == 1

    zoo.in_threads(work)
    uninstall()
    assert not changed(before)


PROGRAM = """
import sys, threading
import keras_buildfix
keras_buildfix.install()
assert not [name for name in sys.modules if name.split(".")[0] in ("keras", "tf_keras", "tensorflow", "jax", "torch")]

# Another thread imports Keras; this one installs again and again meanwhile, which must neither hang nor be lost.
thread = threading.Thread(target=__import__, args=("{package}",))
thread.start()
while thread.is_alive():
    keras_buildfix.install()
    thread.join(0.01)
import {package} as keras
assert type(keras.__spec__.loader).__module__ == "_frozen_importlib_external", keras.__spec__.loader
assert keras.__loader__ is keras.__spec__.loader

for name in keras_buildfix.affected_layers():
    assert type(getattr(keras.layers, name).built).__name__ == "DeferredBuilt", name

class Scaled(keras.layers.Reshape):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        super().build(input_shape)

model = keras.Sequential([keras.layers.InputLayer((4,)), Scaled((2, 2))])
print("weights", len(model.weights))
keras_buildfix.uninstall()
assert not any(type(value).__name__ == "DeferredBuilt" for value in vars(keras.layers.Reshape).values())
"""


def run_python(*arguments, **kwargs):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, **kwargs)


@pytest.mark.in_turns  # a process that imports Keras
def test_install_before_the_import_of_keras_fixes_it():
    done = run_python("-c", PROGRAM.format(package=INFO.package))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["weights", "1"]


LATE = """
from {package}.layers import Layer

class Late(Layer):
    def __init__(self):
        super().__init__()
        self.built = True
"""


def test_a_module_of_keras_that_is_imported_later_is_fixed(monkeypatch, tmp_path):
    """As the legacy layers of `tf.keras` on 3.3 to 3.9, which are imported when one is asked for."""
    (tmp_path / "imported_late.py").write_text(LATE.format(package=INFO.package), "utf-8")
    monkeypatch.setattr(KERAS, "__path__", [*KERAS.__path__, str(tmp_path)])
    before, path = snapshot(), list(sys.meta_path)
    install()
    module = importlib.import_module(f"{INFO.package}.imported_late")
    try:
        assert type(module.__spec__.loader).__module__ == "_frozen_importlib_external"

        class Own(module.Late):
            def build(self, input_shape):
                self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
                super().build(input_shape)

        assert not Own().built
        assert is_fixed(module.Late)
    finally:
        uninstall()
        del sys.modules[module.__name__]
    assert not is_fixed(module.Late)
    assert not changed(before)
    assert sys.meta_path == path


@pytest.mark.skipif(not zoo.has_both(), reason="only the tf_keras environments have two Kerases")
def test_two_kerases_in_one_process_are_both_fixed():
    code = (
        "import tf_keras, keras, keras_buildfix as kb\n"
        "kb.install()\n"
        "def scaled(K):\n"
        "    class Scaled(K.layers.Reshape):\n"
        "        def build(self, s):\n"
        "            self.scale = self.add_weight(name='scale', shape=(), initializer='ones')\n"
        "            super().build(s)\n"
        "    return len(K.Sequential([K.layers.InputLayer((4,)), Scaled((2, 2))]).weights)\n"
        "print(scaled(tf_keras), scaled(keras), kb.keras_info(tf_keras.layers.Dense).generation,\n"
        "      kb.keras_info(keras.layers.Dense).generation)"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "1", "2", "3"]


def test_install_from_inside_the_import_of_keras_is_refused(monkeypatch):
    monkeypatch.setattr(KERAS.__spec__, "_initializing", True, raising=False)
    with pytest.raises(RuntimeError, match="from inside the import of"):
        install()
