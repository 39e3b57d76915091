"""`select=` and `exclude=`: a part of the weights is got, set, saved, loaded and transferred; the rest stays."""

import re

import numpy as np
import pytest
from environment import KERAS
from weight_zoo import value_for

from keras_buildfix import (
    get_weights,
    load_weights,
    named_weights,
    read_weights,
    save_weights,
    set_weights,
    transfer_weights,
)

L = KERAS.layers


class Block(L.Layer):
    """A Dense with a low-rank addition, as LoRA makes it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = L.Dense(2, use_bias=False, name="dense")

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.lora_a = self.add_weight(shape=(2, 1), name="lora_a")
        self.lora_b = self.add_weight(shape=(1, 2), name="lora_b")
        self.built = True

    def call(self, inputs):
        return self.dense(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape


def model(start=0.0, head="head", width=2):
    """Two blocks in a model called encoder, a layer with a name that Keras makes up, and a head."""
    inputs = KERAS.Input((2,))
    encoder = KERAS.Model(inputs, Block(name="two")(Block(name="one")(inputs)), name="encoder")
    first = KERAS.Input((2,))
    made = KERAS.Model(first, L.Dense(width, name=head)(L.Dense(2)(encoder(first))))
    set_weights(made, {name: value_for(name, w.shape) + start for name, w in named_weights(made).items()})
    return made


LORA = ["encoder/one/lora_a", "encoder/one/lora_b", "encoder/two/lora_a", "encoder/two/lora_b"]
ENCODER = [*LORA, "encoder/one/dense/kernel", "encoder/two/dense/kernel"]
REST = ["dense/kernel", "dense/bias", "head/kernel", "head/bias"]
WANTED = {
    "glob": (lambda m: {"select": "*/lora_*"}, LORA),
    "regular expression": (lambda m: {"select": re.compile("lora_[ab]$")}, LORA),
    "layer by name": (lambda m: {"select": "encoder"}, ENCODER),
    "layer": (lambda m: {"select": m.get_layer("encoder")}, ENCODER),
    "class": (lambda m: {"select": Block}, ENCODER),
    "function": (lambda m: {"select": lambda layer: layer.name == "head"}, REST[2:]),
    "left out": (lambda m: {"exclude": "encoder"}, REST),
    "left out of it": (lambda m: {"select": "encoder", "exclude": "*lora_*"}, ENCODER[4:]),
    "weights": (lambda m: {"select": [m.get_layer("head").kernel, "encoder/one/lora_a"]}, [LORA[0], REST[2]]),
    "made up": (lambda m: {"select": "dense"}, REST[:2]),
    "nothing left out": (lambda m: {"select": "head", "exclude": []}, REST[2:]),
}


def assert_only(names, changed, before, given):
    """What is in `names` has the given value, all else the one from before."""
    for name, value in get_weights(changed).items():
        np.testing.assert_array_equal(value, given[name] if name in names else before[name], err_msg=name)


@pytest.mark.parametrize("kind", WANTED)
def test_a_part_goes_every_way(kind, tmp_path):
    wish, names = WANTED[kind]
    source, before = model(10.0), get_weights(model())
    given = get_weights(source)
    part = get_weights(source, **wish(source))
    assert sorted(part) == sorted(names)
    assert all(np.array_equal(value, given[name]) for name, value in part.items())
    path, whole = tmp_path / "part.safetensors", tmp_path / "whole.npz"
    save_weights(source, path, **wish(source))
    save_weights(source, whole)
    with read_weights(path) as saved:
        assert list(saved) == list(part)
    for give in (
        lambda target: set_weights(target, part, **wish(target)),
        lambda target: set_weights(target, given, **wish(target)),
        lambda target: set_weights(target, list(part.values()), **wish(target)),
        lambda target: load_weights(target, path, **wish(target)),
        lambda target: load_weights(target, whole, **wish(target)),
        lambda target: transfer_weights(source, target, **wish(target)),
    ):
        target = model()
        report = give(target)
        assert sorted(report.assigned) == sorted(names)
        assert report.complete
        assert_only(names, target, before, given)


@pytest.mark.parametrize("form", ["w.weights.h5", "w.keras", "w.h5"])
def test_a_part_is_loaded_from_a_file_of_all(form, tmp_path):
    path = str(tmp_path / form)
    plain = KERAS.Sequential([KERAS.Input((2,)), L.Dense(2, name="body"), L.Dense(2), L.Dense(1, name="head")])
    set_weights(plain, {name: value_for(name, w.shape) for name, w in named_weights(plain).items()})
    save_weights(plain, path)
    target = KERAS.Sequential([KERAS.Input((2,)), L.Dense(2, name="body"), L.Dense(2), L.Dense(5, name="head")])
    before = get_weights(target)
    report = load_weights(target, path, exclude="head")  # the head has another shape here
    assert report.assigned == ("body/kernel", "body/bias", "dense/kernel", "dense/bias")
    assert_only(report.assigned, target, before, get_weights(plain))


def test_what_is_trainable_is_selected_by_its_weights():
    source, target = model(10.0), model()
    before, given = get_weights(target), get_weights(source)
    for each in (source, target):
        each.get_layer("encoder").trainable = False
    assert set(get_weights(source, source.trainable_weights)) == set(REST)
    transfer_weights(source, target, select=target.trainable_weights)
    assert_only(REST, target, before, given)


def test_strict_asks_a_value_for_each_that_is_selected_and_no_more_in_its_layers():
    target = model()
    before, given = get_weights(target), get_weights(model(10.0))
    for wrong, message in (
        ({name: given[name] for name in ENCODER if name != LORA[0]}, "missing     encoder/one/lora_a"),
        ({**given, "encoder/one/lora_c": np.ones(1)}, "unexpected  encoder/one/lora_c"),
        ({**given, LORA[0]: np.ones((3, 1))}, "encoder/one/lora_a: its shape is"),
    ):
        with pytest.raises(ValueError, match=message):
            set_weights(target, wrong, select="encoder")
        assert_only([], target, before, given)
    other = {name.replace("head/", "top/"): value for name, value in given.items()}
    other["top/kernel"] = np.ones((2, 7))  # of a model with another head
    report = set_weights(target, other, exclude="head")
    assert report.complete
    assert_only(ENCODER + REST[:2], target, before, given)
    report = set_weights(target, {"encoder/one/lora_b": given[LORA[1]]}, select=LORA[:2], strict=False)
    assert report.missing == (LORA[0],)


WRONG = {
    "no name": ({"select": "encodr"}, r"no layer or weight is called 'encodr' \(nearest: encoder"),
    "not left out": ({"exclude": "haed"}, r"exclude: no layer or weight is called 'haed' \(nearest: head"),
    "one of several": ({"select": ["head", "x"]}, "no layer or weight is called 'x'"),
    "the beginning of a name": ({"select": "hea"}, r"is called 'hea' \(nearest: head[^;]*\) in"),
    "a regular expression as text": ({"select": "^head/"}, r"text is a glob; .* re\.compile\('\^head/'\)"),
    "an expression that matches nothing": ({"select": re.compile("^zz")}, "the regular expression '.zz' matches"),
    "nothing left": ({"select": "head", "exclude": "*"}, "the selection has no weights"),
    "nothing": ({"select": []}, r"\[\] selects nothing"),
    "a class that is not there": ({"select": L.LSTM}, "no layer is a LSTM"),
    "a function that raises": ({"select": lambda layer: layer.nothing}, "raises AttributeError for the layer '"),
    "a function that is never true": ({"select": lambda layer: False}, "is true of no layer"),
    "another model's layer": ({"select": L.Dense(1, name="elsewhere")}, "'elsewhere' is not in"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_matches_nothing_is_an_error_before_anything_changes(kind, tmp_path):
    wish, message = WRONG[kind]
    target, whole, path = model(), tmp_path / "whole.npz", tmp_path / "w.npz"
    source = model(10.0)
    before, given = get_weights(target), get_weights(source)
    save_weights(source, whole)
    for call in (
        lambda: get_weights(target, **wish),
        lambda: set_weights(target, given, strict=False, **wish),
        lambda: load_weights(target, whole, **wish),
        lambda: transfer_weights(source, target, **wish),
        lambda: save_weights(target, path, **wish),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert_only([], target, before, given)
    assert not path.exists()


@pytest.mark.parametrize("form", ["w.weights.h5", "w.keras", "w.h5"])
def test_a_part_is_not_saved_where_names_can_not_say_which(form, tmp_path):
    with pytest.raises(
        ValueError, match=r"a selection of the weights; take \.safetensors or .npz. Nothing was written"
    ):
        save_weights(model(), tmp_path / form, select="encoder")
    assert not list(tmp_path.iterdir())


def test_what_is_not_built_can_not_be_selected():
    lazy = KERAS.Sequential([L.Dense(2, name="one"), L.Dense(2, name="two")])
    with pytest.raises(ValueError, match=r"the layer 'two' of .* is not built yet.*Call it on data"):
        set_weights(lazy, {"one/kernel": np.ones((2, 2))}, select="one", strict=False)
    for select in ("one", "*/kernel"):
        with pytest.raises(ValueError, match=r"is selected and not built yet|is called"):
            get_weights(lazy, select)
    report = set_weights(lazy, {"one/kernel": np.ones((2, 2))}, select="one/kernel", input_shape=(None, 2))
    assert report.assigned == ("one/kernel",)


def test_made_up_names_of_a_part_are_read_as_the_selection_says():
    """Canonically ``dense_1`` is the second layer; Keras calls the first one so, if another was made before."""
    names = ("dense_1", "dense_2", "dense_3")
    source, target = (
        KERAS.Sequential([KERAS.Input((2,)), *(L.Dense(2, name=name) for name in names)]) for _ in range(2)
    )
    values = {name: value_for(name, w.shape) for name, w in named_weights(source).items()}
    set_weights(source, values)
    before = get_weights(target)
    part = get_weights(source, "dense_1")
    with pytest.raises(ValueError, match=r"could mean several weights"):
        set_weights(target, part, strict=False)
    set_weights(target, part, select="dense_1")
    assert_only(["dense_1/kernel", "dense_1/bias"], target, before, values)


class Own(L.Layer):
    """Reads its two weights from a file by its own code."""

    def build(self, input_shape):
        self.one, self.two = (self.add_weight(shape=(2,), name=name) for name in ("one", "two"))
        self.built = True

    def call(self, inputs):
        return inputs + self.one + self.two

    def compute_output_shape(self, input_shape):
        return input_shape

    def save_own_variables(self, store):
        store["a"], store["b"] = np.array(self.one), np.array(self.two)

    def load_own_variables(self, store):
        self.one.assign(store["a"])
        self.two.assign(store["b"])


@pytest.mark.skipif(not hasattr(L.Layer, "save_own_variables"), reason="2.12 has no code of a layer's own for files")
def test_a_layer_that_reads_a_file_by_its_own_code_keeps_what_is_not_selected(tmp_path):
    source, target = (KERAS.Sequential([KERAS.Input((2,)), Own(name="own"), L.Dense(2, name="head")]) for _ in range(2))
    given = {name: value_for(name, w.shape) for name, w in named_weights(source).items()}
    set_weights(source, given)
    path = str(tmp_path / "w.weights.h5")
    source.save_weights(path)
    before = get_weights(target)
    report = load_weights(target, path, select=["own/two", "head/bias"])
    assert report.assigned == ("own/two", "head/bias")
    assert_only(report.assigned, target, before, given)
