"""`explain_layer`: who marks one class as built, on which Keras, what is at stake, what helps."""

import inspect
import sys

import pytest
from environment import INFO, KERAS

from keras_buildfix import DeferredBuildMixin, PortableLayerMixin, affected_layers, deferred_build, explain_layer

layers = KERAS.layers


class Scale:
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return super().call(x) * self.scale


class Pool(Scale, layers.MaxPooling2D):
    pass


class Soft(layers.Softmax):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=())


class NoBuild(layers.Dropout):
    pass


def test_a_class_is_explained_for_every_keras():
    found = explain_layer(Pool)
    assert found.cls == f"{__name__}.Pool"
    assert found.keras == str(INFO)
    assert found.bases == (f"{__name__}.Scale", "MaxPooling2D", "Layer")
    assert found.build_from == f"{__name__}.Scale"
    assert (found.file, found.line) == (__file__, Scale.build.__code__.co_firstlineno)
    assert found.at_stake == "Its weights are missing, also from saved files, and call() will fail on self.scale."
    marks = "build() never runs: MaxPooling2D marks the layer as built"
    assert found.on_each == (
        ("2.12 to 3.5", "build() runs once"),
        ("3.6 to 3.9", marks),
        ("3.10 and later", "build() runs once"),
    )
    here = "MaxPooling2D" in affected_layers(INFO.version)
    assert found.marked_by == ("MaxPooling2D" if here else "")
    assert ("built" in found.adds) == here
    assert f"  Keras 3.6 to 3.9: {marks}" in str(found).splitlines()
    assert ("`built`, which ignores the mark" in str(found)) == here
    assert f"where it is skipped: {found.at_stake}" in str(found).splitlines()


def test_what_the_code_of_a_class_leads_to_is_told():
    """Keras 2 builds again after a `build` that does not call `Layer.build`."""
    assert dict(explain_layer(Soft).on_each)["2.12 to the last 2.x"].startswith("build() runs again at the first call")
    assert dict(explain_layer(Soft).on_each)["3.0 to 3.9"] == "build() never runs: Softmax marks the layer as built"
    lazy = explain_layer(NoBuild)
    assert lazy.build_from == ""
    assert dict(lazy.on_each)["3.10 and later"].endswith("Dropout refuses weights and layers that its __init__ makes")
    assert lazy.at_stake == ""


def test_what_is_not_known_of_a_private_class_is_said():
    private = type("Base", (layers.Dropout,), {"__module__": layers.Dropout.__module__})
    for own in (type("Own", (private,), {}), type("Own", (private,), {"build": lambda self, shape: None})):
        what = dict(explain_layer(own).on_each)
        assert any(
            said == f"not known: it subclasses {private.__module__}.Base, a private class" for said in what.values()
        )
        assert "build() runs once" not in what.values()


@pytest.mark.parametrize("mixin", [DeferredBuildMixin, PortableLayerMixin])
def test_a_class_that_is_fixed_is_skipped_nowhere(mixin):
    class Soft(mixin, layers.Softmax):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=())

    found = explain_layer(Soft)
    assert (found.file, found.line) == (__file__, inspect.getsourcelines(Soft)[1] + 1)
    assert dict(found.on_each) == {
        "2.12 to the last 2.x": "build() runs once",
        "3.0 to 3.9": "build() runs once, thanks to keras-buildfix",
        "3.10 and later": "build() runs once",
    }
    assert "without the fix: Its weights are missing, also from saved files, perhaps without an error." in str(found)
    assert "never runs" not in str(found)


def test_a_built_in_is_explained_for_its_subclasses():
    found = explain_layer(layers.Reshape)
    assert dict(found.on_each)["3.12 and later"] == "the build() of a subclass never runs: it marks the layer as built"
    assert dict(explain_layer(layers.Dense).on_each) == {
        "2.12 and later": "nothing is skipped or refused in a subclass"
    }
    assert dict(explain_layer(layers.Dropout).on_each)["3.10 and later"].startswith("refuses weights and layers")


@pytest.mark.parametrize("fix", ["decorated", "mixed"])
def test_what_was_added_to_a_class_is_told_and_that_it_builds(fix):
    bases = (Scale, layers.Reshape) if fix == "decorated" else (DeferredBuildMixin, Scale, layers.Reshape)
    own = type("Own", bases, {})
    found = explain_layer(deferred_build(own) if fix == "decorated" else own)
    here = "Reshape" in affected_layers(INFO.version)
    assert found.deferred is here
    assert ("built" in found.adds) is here
    assert (f"on {INFO}: build() runs once, thanks to keras-buildfix" in str(found)) is here
    assert explain_layer(own((2, 2))) == found


def test_a_class_is_found_by_name_and_by_path(tmp_path):
    for target in (f"{__name__}:Pool", f"{__name__}.Pool"):
        assert explain_layer(target) == explain_layer(Pool)
    file = tmp_path / "explained.py"
    file.write_text(f"from {INFO.package} import layers\nclass Outer:\n    class Own(layers.Dropout): pass\n")
    try:
        assert explain_layer(f"{file}:Outer.Own").cls == "explained.Outer.Own"
    finally:
        sys.modules.pop("explained", None)


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        (f"{__name__}:Pol", ValueError, r"has no layer class 'Pol'. The nearest: Pool"),
        (__name__, ValueError, r"is a module: name a layer class in it, after a colon. It has: .*Pool"),
        ("json:JSONDecoder", ValueError, "json has no layer class 'JSONDecoder'. It has none."),
        ("", ModuleNotFoundError, "There is no module without a name"),
        ("no_such_module:Pool", ModuleNotFoundError, "No module named 'no_such_module'"),
        ("no_such.py:Pool", ModuleNotFoundError, "There is no file or folder 'no_such.py'"),
        (int, TypeError, "explain_layer expects a Keras layer class.*got the class int"),
        (3, TypeError, "explain_layer expects a Keras layer class.*got 3 .an int."),
    ],
    ids=["near", "module", "no layers", "empty", "no module", "no file", "class", "number"],
)
def test_bad_input_is_told(target, error, said):
    with pytest.raises(error, match=said):
        explain_layer(target)
