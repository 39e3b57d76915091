"""`skipped_builds` finds what would be, or was, skipped, without calling a layer."""

import importlib
import os
import sys
import types

import pytest
from environment import INFO, KERAS

from keras_buildfix import DeferredBuildMixin, deferred_build, installed, mark_built, skipped_builds

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


def test_a_class_is_found_with_everything_one_needs_to_fix_it():
    found = skipped_builds(Scaled)
    if SOUND:
        assert found == []
        return
    (finding,) = found
    assert finding.cls == f"{__name__}.Scaled"
    assert finding.build_from == f"{__name__}.Mixin"
    assert finding.base == BASE.__name__
    assert finding.keras == f"{INFO.package} {INFO.version}"
    assert finding.file == __file__
    assert finding.line == Mixin.build.__code__.co_firstlineno
    assert finding.consequence == "Its weights are missing, also from saved files, and call() will fail on self.scale."
    file = __file__.replace(f"{os.getcwd()}{os.sep}", "")
    assert str(finding) == (
        f"{file}:{finding.line}: Mixin.build() never runs in {__name__}.Scaled on {finding.keras}: {BASE.__name__} "
        f"marks the layer as built in its __init__. {finding.consequence} "
        "Fix: put @deferred_build (from keras_buildfix) above the class Scaled."
    )


def test_a_silent_branch_is_told():
    for finding in skipped_builds(Branches):
        assert finding.consequence.endswith("and call() checks for ready and takes another branch.")
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


def test_a_fixed_layer_that_is_marked_built_from_outside_is_not_found():
    layer = deferred_build(type("Marked", (Mixin, BASE), {}))(*ARGUMENTS)
    mark_built(layer)
    assert skipped_builds(layer) == []


def test_what_is_fixed_is_not_found():
    assert skipped_builds(deferred_build(type("Fixed", (Mixin, BASE), {}))) == []
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
    found = {f.cls.rpartition(".")[2] for f in skipped_builds(sys.modules[__name__])}
    assert found - {"Pool", "Drop", "SoundThenPool"} == (set() if SOUND else {"Scaled", "Branches", "BuildsAnother"})
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


class Pool(layers.MaxPooling2D):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=())


class Drop(layers.Dropout):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=())


class PoolByHand(Pool):
    def __init__(self, *args):
        super().__init__(*args)
        self.built = False


@deferred_build
class PoolDecorated(layers.MaxPooling2D):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=())


class PoolMixed(DeferredBuildMixin, Pool):
    pass


@deferred_build
class Sound(layers.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=())


class SoundThenPool(Sound, layers.MaxPooling2D):
    """Decorated before the built-in came in: `deferred_build` has not seen that one."""


#: What is judged is the class, so the table says the same on every Keras that runs this.
ELSEWHERE = {
    Pool: {"3.6", "3.9.2"},
    Drop: {"3.0", "3.6", "3.9.2"},
    SoundThenPool: {"3.6", "3.9.2"},
    PoolByHand: set(),
    PoolDecorated: set(),
    PoolMixed: set(),
    layers.MaxPooling2D: set(),
}


@pytest.mark.parametrize("cls", ELSEWHERE, ids=lambda cls: cls.__name__)
def test_a_class_is_judged_for_another_keras_than_the_one_at_hand(cls):
    for version in ("2.15", "3.0", "3.3", "3.6", "3.9.2", "3.10"):
        found = skipped_builds(cls, keras=version)
        assert bool(found) == (version in ELSEWHERE[cls]), version
        for finding in found:
            assert finding.keras == f"Keras {version}"
            assert finding.base == ("Dropout" if cls is Drop else "MaxPooling2D")


def test_what_is_judged_for_the_version_at_hand_is_what_happens_here():
    for cls in (Scaled, Branches, Pool, Drop, ByHand, OnPurpose, Quiet):
        here, measured = skipped_builds(cls), skipped_builds(cls, keras=INFO.version)
        assert [finding.base for finding in here] == [finding.base for finding in measured], cls


def test_all_kerases_are_judged_at_once_and_named_in_one_finding():
    (finding,) = skipped_builds(Drop, keras="all")
    assert finding.keras == "Keras 3.0 to 3.2 and 3.6 to 3.9"
    assert " on Keras 3.0 to 3.2 and 3.6 to 3.9: Dropout marks the layer as built" in str(finding)
    model = KERAS.Sequential([layers.InputLayer((4, 4, 1)), layers.Dropout(0.5), Drop(0.5)])
    (finding,) = skipped_builds(model, keras="3.9")
    assert finding.layer == model.layers[-1].name
    with installed():  # whoever calls it has every Keras fixed
        assert skipped_builds(Drop, keras="all") == []


def test_a_class_on_a_private_class_of_keras_is_not_judged_in_silence():
    private = type("Base", (layers.Dropout,), {"__module__": layers.Dropout.__module__})
    own = type("Own", (private,), {"build": lambda self, shape: None})
    with pytest.warns(UserWarning, match=r"nothing is known for other Keras versions about: .*\.Own \(on .*\.Base\)"):
        skipped_builds(own, keras="3.9")
    with pytest.raises(ValueError, match=r"2\.11 was not measured"):
        skipped_builds(Pool, keras="2.11")


def test_a_path_is_as_good_as_a_name_and_leaves_no_trace_in_the_path_of_python(tmp_path, monkeypatch):
    package = tmp_path / "path_library"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "pool.py").write_text(
        f"from {INFO.package} import layers\n"
        "class Own(layers.MaxPooling2D):\n"
        "    def build(self, input_shape): self.w = self.add_weight(name='w', shape=())\n"
    )
    before = list(sys.path)
    try:
        for target in (package, package / "pool.py"):
            (finding,) = skipped_builds(str(target), keras="3.9")
            assert (finding.cls, finding.line) == ("path_library.pool.Own", 3)
        with pytest.raises(ModuleNotFoundError, match=r"without an __init__.py, .* Packages in it: .*path_library"):
            skipped_builds(str(tmp_path))
        assert sys.path == before
        (tmp_path / "json.py").touch()
        with pytest.raises(ImportError, match=r"name json, but Python finds .*json.__init__.py under it: rename it"):
            skipped_builds(str(tmp_path / "json.py"))
        (package / "broken.py").write_text("1 / 0")
        with pytest.raises(ImportError, match=r"path_library.broken can't be imported here: ZeroDivisionError"):
            skipped_builds(str(package / "broken.py"))
    finally:
        for name in [name for name in sys.modules if name.startswith("path_library")]:
            del sys.modules[name]


def test_modules_that_end_the_program_do_not_end_the_search(tmp_path, monkeypatch):
    package = tmp_path / "quitting_library"
    for inner in ("early", "late"):
        (package / inner).mkdir(parents=True)
        (package / inner / "__init__.py").write_text("raise SystemExit('bye')" if inner == "early" else "")
    (package / "__init__.py").touch()
    (package / "late" / "own.py").write_text(f"from {INFO.package} import layers\nclass Own(layers.Layer): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.warns(UserWarning, match=r"1 of 4 modules .* quitting_library.early \(SystemExit: bye\)"):
            assert skipped_builds("quitting_library") == []
    finally:
        for name in [name for name in sys.modules if name.startswith("quitting_library")]:
            del sys.modules[name]


def test_models_of_keras_are_public_and_so_judged():
    class Own(KERAS.Model):
        def build(self, input_shape):
            self.ready = True

    assert skipped_builds(Own, keras="3.9") == []


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        (types.ModuleType("empty"), ValueError, "empty: there is no layer class in it .1 module., so nothing was"),
        ("json.decoder", ValueError, "json.decoder: there is no layer class in it"),
        (test_what_is_fixed_is_not_found, TypeError, "got the function"),
        (int, TypeError, "got the class int"),
        (3.5, TypeError, "got 3.5 .a float."),
        ([1] * 99, TypeError, r"got \[1, 1, .*\.\.\. .a list.\."),
        ("no/such/module.py", ModuleNotFoundError, "There is no file or folder 'no/such/module.py' in /"),
        ("", ModuleNotFoundError, "no module without a name"),
        ("there_is_no_such_package", ModuleNotFoundError, "there_is_no_such_package"),
    ],
    ids=["module", "without layers", "function", "class", "number", "long", "path", "empty", "name"],
)
def test_bad_input_is_told(target, error, said):
    with pytest.raises(error, match=said):
        skipped_builds(target)
