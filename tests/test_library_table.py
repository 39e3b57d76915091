"""The tool that tests published libraries tells what fails from what works, and its page has all that it found."""

import re
import sys
import types

import library_table
import pytest
from environment import INFO, KERAS

LOST = "AssertionError: no error, but other outputs"


@pytest.mark.in_turns
@pytest.mark.skipif(INFO.backend != "tensorflow", reason="the libraries are written for TensorFlow")
def test_a_layer_that_loses_its_state_fails_plain_and_passes_with_the_mixin(monkeypatch):
    import tensorflow as tf

    class Scaled(KERAS.layers.Layer):
        def build(self, input_shape):
            self.scale = tf.Variable([2.0], trainable=False)
            self.bias = self.add_weight(name="bias", shape=(), initializer="zeros")

        def call(self, inputs):
            return inputs * self.scale + self.bias

    def finish(layer, x):
        layer.scale.assign([3.0])

    module = types.ModuleType("scaling")
    module.Scaled = Scaled
    monkeypatch.setitem(sys.modules, "scaling", module)
    monkeypatch.setitem(KERAS.utils.get_custom_objects(), "Scaled", Scaled)
    library = library_table.Library("scaling==1", "", "scaling", {"Scaled": ((), (4, 3))}, finish=finish)
    failed = {}
    for way in ("plain", "mixin"):
        with library_table.classes_of(library, way) as classes:
            case = library_table.Case(KERAS, library, "Scaled", classes["Scaled"])
            outcomes = [library_table.outcome(test, case) for test in library_table.TESTS]
            failed[way] = [outcome for outcome in outcomes if outcome]
    assert failed == {"plain": [LOST] * 3 if INFO.generation == 3 else [], "mixin": []}
    assert KERAS.utils.get_custom_objects()["Scaled"] is Scaled


@pytest.mark.at_length
def test_the_page_has_all_environments_and_the_mixin_loses_no_test():
    page = library_table.TARGET.read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| (\d.*) \|$", page, re.MULTILINE)
    assert [keras for keras, _ in rows] == [library_table.label(name) for name in library_table.ENVIRONMENTS]
    for keras, cells in rows:
        counts = [tuple(map(int, cell.split(" of "))) for cell in cells.split(" | ")]
        for at, library in enumerate(library_table.LIBRARIES):
            (plain, number), (mixed, same) = counts[2 * at : 2 * at + 2]
            assert number == same == len(library.layers) * len(library_table.TESTS)
            assert plain <= mixed, (keras, library.requirement)


def test_errors_are_told_with_their_layers_and_kerases():
    results = {"2.15": {"A trains": "", "B trains": ""}, "3.9": {"A trains": "", "B trains": "E: no"}}
    assert list(library_table.failures(results)) == ["- 3.9: ``E: no`` (B)"]
    assert library_table.passed(results["3.9"]) == "1 of 2"
