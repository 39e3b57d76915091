"""How `ops` and `random` find a function: whose it is, when it is looked up, and what a wrong name gives."""

import ast
import inspect
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import ops_cases
import pytest
from environment import INFO, KERAS
from packaging.version import Version

import keras_buildfix
from keras_buildfix import ops, random
from keras_buildfix.ops import _finding
from keras_buildfix.ops._dtypes import _WIDER, result_type
from keras_buildfix.ops._names import OPS, RANDOM, SUBMODULES

NEW = hasattr(KERAS, "ops")
#: Every name with its module: `("image", "resize")`.
NAMES = [
    *((space, name) for name, (_, spaces) in OPS.items() for space in spaces),
    *(("random", name) for name in RANDOM),
]
SIGNATURES = json.loads((ops_cases.DATA / "signatures.json").read_text("utf-8"))


def home(space, of=keras_buildfix):
    return of.random if space == "random" else getattr(of.ops, space) if space else of.ops


def in_a_process(code, **settings):
    environment = {key: value for key, value in {**os.environ, **settings}.items() if value is not None}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.skipif(not NEW, reason="Keras 2 has no keras.ops")
def test_on_keras_3_a_function_is_keras_s_own():
    compared = 0
    for space, name in NAMES:
        if name in _finding.MAKERS or not hasattr(home(space, KERAS) if space else KERAS.ops, name):
            continue
        assert getattr(home(space), name) is getattr(home(space, KERAS), name), name
        compared += 1
    assert compared > 250


def test_a_function_that_creates_tensors_keeps_the_name_signature_and_help_of_the_original():
    for name in _finding.MAKERS - {"multi_hot"}:
        space = "random" if name in RANDOM else ""
        made = getattr(home(space), name)
        assert made.__name__ == name
        assert made.__doc__
        original = getattr(home(space, KERAS), name, None) if NEW else None
        if original is not None:
            assert inspect.signature(made) == inspect.signature(original)
            assert made.__wrapped__ is original


def test_every_name_of_the_newest_keras_is_there():
    for space, name in NAMES:
        assert callable(getattr(home(space), name)), (space, name)


def test_a_function_of_ours_has_the_parameters_of_the_newest_keras():
    wrong = []
    for space, name in NAMES:
        key = f"random.{name}" if space == "random" else name
        if ops_cases.is_native(KERAS, f"{space}.{name}".lstrip(".")):
            continue
        parameters = inspect.signature(getattr(home(space), name)).parameters.values()
        plain = [[p.name, p.kind.name, None if p.default is p.empty else repr(p.default)] for p in parameters]
        if plain != SIGNATURES[key]:
            wrong.append(f"{key}: {plain}, not {SIGNATURES[key]}")
    assert not wrong, "\n".join(wrong)


def test_submodules_have_what_those_of_keras_have():
    for space in SUBMODULES:
        names = {name for name, (_, spaces) in OPS.items() if space in spaces}
        assert {name for name in dir(home(space)) if not name.startswith("__")} == names
        for name in names:
            if "" in OPS[name][1]:
                assert getattr(home(space), name) is getattr(ops, name)
    shown = {name for name in dir(ops) if not name.startswith("__")}
    assert shown == {*SUBMODULES, *(name for name, (_, spaces) in OPS.items() if "" in spaces)}
    assert {name for name in dir(random) if not name.startswith("__")} == {*RANDOM}


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        (ops, "matmull", r"no keras.ops has it. Did you mean matmul"),
        (ops, "resize", r"no keras.ops has it. It is in keras_buildfix.ops.image."),
        (ops, "reduce_sum", r"Did you mean sum\?"),
        (ops, "permute_dimensions", r"Did you mean transpose\?"),
        (ops, "zzqx", r"dir\(\) lists the names"),
        (ops.nn, "ones", r"no keras.ops.nn has it. It is in keras_buildfix.ops and keras_buildfix.ops.numpy."),
        (random, "unifrom", r"no keras.random has it. Did you mean uniform"),
    ],
)
def test_a_name_that_no_keras_has_is_an_error_with_the_nearest_names(module, name, words):
    with pytest.raises(AttributeError, match=words):
        getattr(module, name)
    assert not hasattr(module, name)


def test_a_name_that_this_keras_cannot_have_is_an_error_that_says_since_when(monkeypatch):
    monkeypatch.setitem(_finding.OPS, "newer", ("9.1", ("", "nn")))
    words = rf"keras_buildfix.ops.newer can't be had on .*{INFO.version}.*: Keras has it since 9.1.*hasattr"
    with pytest.raises(AttributeError, match=words):
        _ = ops.newer


def test_a_function_that_keras_has_and_this_package_does_not_know_yet_is_given(monkeypatch):
    if not NEW:
        pytest.skip("Keras 2 gets no new functions")

    def newest(x):
        return x

    monkeypatch.setattr(KERAS.ops, "newest", newest, raising=False)
    assert ops.newest is newest
    monkeypatch.delitem(vars(ops), "newest")


def test_all_functions_can_be_imported_at_once():
    names = {}
    exec("from keras_buildfix.ops import *", names)
    assert names["matmul"] is ops.matmul
    assert names["nn"] is ops.nn
    exec("from keras_buildfix.random import *", names)
    assert names["normal"] is random.normal


@pytest.mark.parametrize("function", ["relu", "softmax", "leaky_relu", "ones", "nanmean", "image.rgb_to_hsv"])
def test_a_function_can_be_pickled(function):
    function = ops_cases.function_of(function)
    assert pickle.loads(pickle.dumps(function)) is function


def test_a_name_is_looked_up_once():
    assert ops.matmul is vars(ops)["matmul"]


@pytest.mark.in_turns
def test_ops_is_found_by_a_file_that_was_imported_before_keras():
    code = (
        "import sys; from keras_buildfix import ops, random; import keras_buildfix.ops.nn\n"
        "assert not {'keras', 'tf_keras', 'tensorflow', 'jax', 'torch', 'numpy'} & {*sys.modules}, 'loaded too early'\n"
        "dir(ops), hasattr(ops, '__wrapped__')\n"
        "assert not {'keras', 'tf_keras', 'tensorflow', 'jax', 'torch'} & {*sys.modules}, 'loaded by a look'\n"
        "from keras_buildfix.ops import ones\n"
        "print(ones((2, 3)).shape[1])"
    )
    if INFO.package == "tf_keras":
        code = "import os; os.environ['TF_USE_LEGACY_KERAS'] = '1'\n" + code
    assert in_a_process(code) == "3"


@pytest.mark.skipif(INFO.backend != "tensorflow", reason="the rules of the backend of Keras 2")
@pytest.mark.skipif(Version(INFO.version).release < (3, 15), reason="the rules of the newest Keras")
def test_dtypes_meet_as_in_keras():
    import itertools

    python = {"int": int, "float": float}
    names = [name for name in _WIDER if not name.startswith("complex")]
    for count in (1, 2, 3):
        for dtypes in itertools.combinations(names, count):
            assert result_type(*dtypes) == KERAS.backend.result_type(*(python.get(name, name) for name in dtypes)), (
                dtypes
            )


@pytest.mark.at_length
def test_stubs_have_all_names_and_parameters():
    package = Path(keras_buildfix.__file__).parent
    for space in ("", *SUBMODULES, "random"):
        file = package / {"": "ops/__init__.pyi", "random": "random.pyi"}.get(space, f"ops/{space}.pyi")
        tree = ast.parse(file.read_text("utf-8")).body
        found = {alias.name for node in tree if isinstance(node, ast.ImportFrom) for alias in node.names} - {"Any"}
        for node in tree:
            if isinstance(node, ast.FunctionDef):
                key = f"random.{node.name}" if space == "random" else node.name
                arguments = [*node.args.args, node.args.vararg, *node.args.kwonlyargs, node.args.kwarg]
                names = [argument.arg for argument in arguments if argument is not None]
                assert names == [name for name, _, _ in SIGNATURES[key]], key
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
        assert found == {name for name in dir(home(space)) if not name.startswith("__")}, space
