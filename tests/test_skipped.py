"""`skipped_builds` finds what would be, or was, skipped, without calling a layer."""

import importlib
import sys
import types

import pytest
from conftest import INFO, KERAS

from keras_buildfix import deferred_build, installed, mark_built, skipped_builds

layers = KERAS.layers

#: A built-in that skips builds here, and an argument; None on a sound Keras.
AFFECTED = next(
    (
        (getattr(layers, name), arguments)
        for name, arguments in (("Softmax", ()), ("Reshape", ((2, 2),)))
        if hasattr(layers, name)
        and type("Probe", (getattr(layers, name),), {"build": lambda self, s: None, "__module__": "probe"})(
            *arguments
        ).built
    ),
    None,
)
BASE, ARGUMENTS = AFFECTED or (layers.Softmax, ())
SOUND = AFFECTED is None


class Mixin:
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    def call(self, x):
        return super().call(x) * self.scale


class Scaled(Mixin, BASE):
    pass


class Branches(BASE):
    def build(self, input_shape):
        self.ready = True

    def call(self, x):
        return super().call(x) if hasattr(self, "ready") else x


class ByHand(Mixin, BASE):
    def __init__(self, *args):
        super().__init__(*args)
        self.built = False


class OnPurpose(Mixin, BASE):
    def __init__(self, *args):
        super().__init__(*args)
        mark_built(self)


class Quiet(BASE):
    def call(self, x):
        return x


def test_a_class_is_found_with_everything_one_needs_to_mend_it():
    found = skipped_builds(Scaled)
    if SOUND:
        assert found == []
        return
    (finding,) = found
    assert finding.cls == f"{__name__}.Scaled"
    assert finding.build_from == f"{__name__}.Mixin"
    assert finding.base.startswith("keras.src.layers.")
    assert finding.base.endswith(f".{BASE.__name__}")
    assert finding.file == __file__
    assert finding.line == Mixin.build.__code__.co_firstlineno
    assert "weights are missing" in finding.consequence
    assert "self.scale" in finding.consequence
    assert str(finding).startswith(f"{__file__}:{finding.line}: ")


def test_a_silent_branch_is_told():
    for finding in skipped_builds(Branches):
        assert "asks whether there is ready, and takes another branch" in finding.consequence
    assert bool(skipped_builds(Branches)) is not SOUND


@pytest.mark.parametrize("cls", [ByHand, OnPurpose, Quiet, BASE, layers.Dense])
def test_what_is_seen_to_or_sound_is_not_found(cls):
    assert skipped_builds(cls) == []


class BuildsAnother(Mixin, BASE):
    def __init__(self, *args):
        super().__init__(*args)
        self.other = layers.Dense(2)
        self.other.build((None, 3))
        self.other.built = True


def test_what_is_done_to_another_layer_is_not_taken_for_this_one():
    assert len(skipped_builds(BuildsAnother)) == (not SOUND)


def test_a_mended_layer_that_is_marked_built_from_outside_is_not_found():
    layer = deferred_build(type("Marked", (Mixin, BASE), {}))(*ARGUMENTS)
    mark_built(layer)
    assert skipped_builds(layer) == []


def test_what_is_mended_is_not_found():
    assert skipped_builds(deferred_build(type("Mended", (Mixin, BASE), {}))) == []
    with installed():
        assert skipped_builds(Scaled) == []


def test_layers_of_a_model_are_found_by_name():
    before = Scaled(*ARGUMENTS)
    inner = KERAS.Sequential([layers.InputLayer((4,)), layers.Dense(4)])
    if SOUND:
        inner.add(before)
        assert skipped_builds(inner) == []
        return
    inner.add(before)
    model = KERAS.Sequential([layers.InputLayer((4,)), inner])
    (finding,) = skipped_builds(model)
    assert finding.layer == before.name
    assert before.name in str(finding)
    assert skipped_builds(before) == [finding]
    with installed():  # made before: its build was skipped all the same
        assert skipped_builds(before) == [finding]
        assert skipped_builds(Scaled(*ARGUMENTS)) == []


def test_a_layer_that_was_built_after_all_is_not_found():
    layer = Scaled(*ARGUMENTS)
    layer.build((None, 4))
    assert skipped_builds(layer) == []


def test_a_module_and_a_package_are_searched(tmp_path, monkeypatch):
    assert {f.cls.rpartition(".")[2] for f in skipped_builds(sys.modules[__name__])} == (
        set() if SOUND else {"Scaled", "Branches", "BuildsAnother"}
    )
    package = tmp_path / "layer_library"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "pool.py").write_text(
        f"from {INFO.package} import layers\n"
        f"class Deep(layers.{BASE.__name__}):\n"
        "    def build(self, input_shape):\n"
        "        self.w = self.add_weight(name='w', shape=())\n"
        "class Outer:\n"
        f"    class Inner(layers.{BASE.__name__}):\n"
        "        def build(self, input_shape): self.w = 1\n"
    )
    (package / "broken.py").write_text("import there_is_no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    expected = [("layer_library.deep.pool.Deep", 3), ("layer_library.deep.pool.Outer.Inner", 7)]
    for target in ("layer_library", sys.modules.get("layer_library") or importlib.import_module("layer_library")):
        with pytest.warns(UserWarning, match=r"1 of 4 modules can't be imported.*layer_library.broken.*no_such_module"):
            found = skipped_builds(target)
        assert [(f.cls, f.line) for f in found] == ([] if SOUND else expected)
    for name in [name for name in sys.modules if name.startswith("layer_library")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        (types.ModuleType("empty"), ValueError, "empty: there is no layer class in it .1 modules.; nothing was"),
        ("json.decoder", ValueError, "json.decoder: there is no layer class in it"),
        (test_what_is_mended_is_not_found, TypeError, "got the function"),
        (int, TypeError, "got the class builtins.int"),
        (3.5, TypeError, "got 3.5"),
        ("", ModuleNotFoundError, "no module without a name"),
        ("there_is_no_such_package", ModuleNotFoundError, "there_is_no_such_package"),
    ],
    ids=["module", "without layers", "function", "class", "number", "empty", "name"],
)
def test_bad_input_is_told(target, error, said):
    with pytest.raises(error, match=said):
        skipped_builds(target)
