"""Which Keras it is: of objects, and of a process that has not imported it."""

import importlib
import json
import os
import subprocess
import sys
import types

import pytest
from environment import INFO, KERAS

from keras_buildfix import KerasInfo, keras_info
from keras_buildfix._keras.classes import loaded_layer_bases
from keras_buildfix._keras.info import is_backend_installed


def test_objects_classes_and_modules_of_keras():
    model = KERAS.Sequential([KERAS.layers.InputLayer((2,)), KERAS.layers.Dense(2)])

    class Own(KERAS.layers.Layer):
        pass

    for obj in (KERAS, KERAS.layers, KERAS.layers.Dense, Own, Own(), model, KERAS.optimizers.SGD(), KERAS.losses.Loss):
        assert keras_info(obj) == INFO, obj
    assert keras_info(sys.modules[__name__]) == INFO
    assert keras_info(KERAS.activations.relu) == INFO
    assert keras_info(model.fit) == INFO
    assert str(INFO) == f"{INFO.package} {INFO.version} on {INFO.backend}"
    assert INFO.generation == int(INFO.version[0])


@pytest.mark.skipif(INFO.backend != "tensorflow", reason="needs TensorFlow")
def test_tf_keras_attribute_of_tensorflow():
    import tensorflow as tf

    assert keras_info(tf.keras) == INFO
    assert keras_info(tf.keras.layers.Dense) == INFO
    from tensorflow.python.keras.layers import Dense

    old = keras_info(Dense)
    assert old == KerasInfo("tensorflow.python.keras", "2.6.0", 2, "tensorflow")


class Unshowable:
    def __repr__(self):
        raise ValueError("not to be shown")


@pytest.mark.parametrize(
    "obj",
    [3, "keras", int, types.ModuleType("empty"), os.getcwd, os, Unshowable()],
    ids=["number", "text", "class", "empty module", "function", "module", "unshowable"],
)
def test_what_has_nothing_to_do_with_keras_is_told(obj):
    with pytest.raises(TypeError, match="expects an object, class or module that uses Keras; got"):
        keras_info(obj)


def in_new_process(env=None, path=()):
    """`keras_info()` of a process that has not imported Keras, and which modules it took to find out."""
    code = (
        "import sys, dataclasses, json; sys.path[:0] = json.loads(sys.argv[1]);"
        "from keras_buildfix import keras_info; info = dataclasses.astuple(keras_info());"
        "heavy = {'keras', 'tf_keras', 'tensorflow', 'jax', 'torch', 'numpy'};"
        "loaded = {n.split('.')[0] for n in sys.modules} & heavy;"
        "print(json.dumps([info, sorted(loaded)]))"
    )
    variables = {**os.environ, **(env or {})}
    argv = [sys.executable, "-c", code, json.dumps([str(p) for p in path])]
    done = subprocess.run(argv, capture_output=True, text=True, env=variables, timeout=60)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    info, loaded = json.loads(done.stdout)
    return KerasInfo(*info), loaded


def test_the_keras_of_this_environment_is_found_without_importing_it():
    assert in_new_process() == (INFO, [])


def fake(folder, package="keras", version="3.9.9", where="src/version.py"):
    file = folder / package / where
    file.parent.mkdir(parents=True, exist_ok=True)
    (folder / package / "__init__.py").touch()
    file.write_text(f'__version__ = "{version}"\n')
    return folder


def test_version_comes_from_the_files_and_backend_from_variable_then_file(tmp_path):
    fake(tmp_path, version="3.99.0.dev2031")
    home = tmp_path / "home"
    home.mkdir()
    plain = {"KERAS_HOME": str(home), "KERAS_BACKEND": "", "TF_USE_LEGACY_KERAS": ""}
    assert in_new_process(plain, [tmp_path])[0] == KerasInfo("keras", "3.99.0.dev2031", 3, "tensorflow")
    (home / "keras.json").write_text('{"backend": "jax"}')
    assert in_new_process(plain, [tmp_path])[0].backend == "jax"
    assert in_new_process({**plain, "KERAS_BACKEND": "torch"}, [tmp_path])[0].backend == "torch"
    for broken in ("{", "[]"):
        (home / "keras.json").write_text(broken)
        assert in_new_process(plain, [tmp_path])[0].backend == "tensorflow"


def test_legacy_keras_is_preferred_when_tensorflow_is_told_so(tmp_path):
    fake(tmp_path, version="3.9.9")
    fake(tmp_path, "tf_keras", "2.19.0", "__init__.py")
    assert in_new_process({"TF_USE_LEGACY_KERAS": "0"}, [tmp_path])[0].package == "keras"
    for said in ("1", "true", "True"):
        found = in_new_process({"TF_USE_LEGACY_KERAS": said, "KERAS_BACKEND": "jax"}, [tmp_path])[0]
        assert found == KerasInfo("tf_keras", "2.19.0", 2, "tensorflow")


def test_a_folder_that_an_uninstalled_backend_left_over_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    (tmp_path / "jax").mkdir()
    assert not is_backend_installed("jax")
    (tmp_path / "jax" / "__init__.py").touch()
    importlib.invalidate_caches()
    assert is_backend_installed("jax")
    assert not is_backend_installed("no_such_backend")


def test_no_keras_at_all_is_told(tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    code = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + sys.argv[1:]\n" + (
        "import keras_buildfix; keras_buildfix.keras_info()"
    )
    import packaging

    import keras_buildfix

    for package in (keras_buildfix, packaging):  # a path with these two alone
        source = os.path.dirname(package.__file__)
        os.symlink(source, bare / os.path.basename(source))
    variables = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, str(bare)], capture_output=True, text=True, env=variables, cwd=tmp_path
    )
    assert "ModuleNotFoundError: No Keras is installed here: neither keras nor tf_keras" in done.stderr


def test_a_keras_that_has_two_names_counts_once(monkeypatch):
    for name in ("keras", "tf_keras"):
        monkeypatch.setitem(sys.modules, name, KERAS)
    assert [*loaded_layer_bases()] == [KERAS.layers.Layer]
