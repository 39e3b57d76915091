"""Names that somebody gave to layers decide, in every format and at every depth; order never overrules them."""

import ast
import re

import numpy as np
import pytest
import weight_zoo
from environment import INFO, KERAS

from keras_buildfix import get_weights, load_weights, named_weights, read_weights, save_weights, set_weights
from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weight_files.formats import hdf5

layers = KERAS.layers
#: Formats that have the names of layers on every Keras; those of Keras itself have them from 3.9 on.
WITH_NAMES = (".safetensors", ".npz", ".h5")
PLACES = (".weights.h5", ".keras")


class MyLSTM(layers.LSTM):
    pass


class MyGRU(layers.GRU):
    pass


class MyDense(layers.Dense):
    pass


class MyAttention(layers.MultiHeadAttention):
    pass


class MyConv(layers.Conv1D):
    pass


class Block(layers.Layer):
    """A composite: its own weights lie in a layer in it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(4)

    def build(self, input_shape):
        self.inner.build(input_shape)
        self.built = True

    def call(self, inputs):
        return self.inner(inputs)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


def chosen(own):
    """Makers of layers whose weights lie in inner layers, and of some whose do not; `own` takes subclasses."""
    lstm, gru = (MyLSTM, MyGRU) if own else (layers.LSTM, layers.GRU)
    dense, conv = (MyDense, MyConv) if own else (layers.Dense, layers.Conv1D)
    attention = MyAttention if own else layers.MultiHeadAttention
    makers = {
        "Dense": lambda name: dense(4, name=name),
        "Conv1D": lambda name: conv(4, 2, padding="same", name=name),
        "LSTM": lambda name: lstm(4, return_sequences=True, name=name),
        "GRU": lambda name: gru(4, return_sequences=True, name=name),
        "MultiHeadAttention": lambda name: attention(2, 2, name=name),
    }
    if not own:
        makers["Bidirectional"] = lambda name: layers.Bidirectional(layers.LSTM(2, return_sequences=True), name=name)
        makers["TimeDistributed"] = lambda name: layers.TimeDistributed(layers.Dense(4), name=name)
        makers["composite"] = lambda name: Block(name=name)
        makers["Sequential"] = lambda name: KERAS.Sequential([KERAS.Input((5, 4)), layers.Dense(4)], name=name)
        if hasattr(layers, "SpectralNormalization"):
            makers["SpectralNormalization"] = lambda name: layers.SpectralNormalization(layers.Dense(4), name=name)
    return makers


def branches(kind, names, own=False):
    """Two branches side by side, made in this order."""
    make, inputs = chosen(own)[kind], KERAS.Input((5, 4))
    made = {}
    for name in names:
        layer = make(name)
        made[name] = layer(inputs, inputs) if kind == "MultiHeadAttention" else layer(inputs)
    return KERAS.Model(inputs, layers.Add()([made[name] for name in names]))


def branches_in_a_list(kind, names, own=False):
    make = chosen(own)[kind]

    class Branches(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.parts = [make(name) for name in names]

        def call(self, inputs):
            double = kind == "MultiHeadAttention"
            made = {part.name: part(inputs, inputs) if double else part(inputs) for part in self.parts}
            return made["left"] + made["right"]

    model = Branches()
    model(np.ones((1, 5, 4), "float32"))
    return model


def fill(model, start=0.0):
    """Gives each weight values of its own; they by the names of layers."""
    set_weights(model, {n: weight_zoo.value_for(n, w.shape) + start for n, w in named_weights(model).items()})
    return get_weights(model)


def save(model, path):
    """Plain Keras writes the formats that are its own."""
    if path.endswith(".keras"):
        model.save(path)
    elif path.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        save_weights(model, path)


def has_names(path):
    with read_weights(path) as file:
        return file.layout != "structure" or any(any(entry.layer_names) for entry in file.entries.values())


def same(model, expected):
    found = get_weights(model)
    return found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("make", [branches, branches_in_a_list])
@pytest.mark.parametrize("kind", chosen(False))
def test_branches_that_are_made_in_another_order_keep_their_weights(kind, make, tmp_path):
    expected = fill(model := make(kind, ("left", "right")))
    for ending in (".safetensors", ".h5", *PLACES):
        if ending == ".keras" and (make is branches_in_a_list or INFO.version.startswith("2.12")):
            continue  # its class is not registered; 2.12 writes an HDF5 file, of functional models only
        save(model, path := str(tmp_path / f"model{ending}"))
        load_weights(other := make(kind, ("right", "left")), path)
        assert has_names(path) or ending == ".weights.h5"  # before 3.9; a .keras file has them in its config
        assert same(other, expected) is has_names(path), ending


@pytest.mark.parametrize("own", [True, False], ids=["subclass to built-in", "built-in to subclass"])
@pytest.mark.parametrize("kind", chosen(True))
def test_a_layer_of_the_same_name_may_be_of_another_class(kind, own, tmp_path):
    """keras #20322; where the file has no names, the order of the layers of one class says it."""
    expected = fill(model := branches(kind, ("left", "right"), own))
    for ending in (*WITH_NAMES, ".weights.h5"):
        save(model, path := str(tmp_path / f"model{ending}"))
        load_weights(other := branches(kind, ("left", "right"), not own), path)
        assert [value.tolist() for value in get_weights(other).values()] == [
            value.tolist() for value in expected.values()
        ], ending


def stack(*names):
    return KERAS.Sequential([KERAS.Input((3,)), *(layers.Dense(3, name=name) for name in names)])


@pytest.mark.parametrize("ending", [*WITH_NAMES, *PLACES])
def test_a_layer_that_is_called_otherwise_is_an_error_with_a_way_out_that_works(ending, tmp_path):
    if ending == ".keras" and INFO.version.startswith("2.12"):
        ending = ".weights.h5"
    expected = fill(model := stack("a", "b"))
    save(model, path := str(tmp_path / f"model{ending}"))
    fill(other := stack("a", "y"), start=1.0)
    before = get_weights(other)
    if not has_names(path):
        assert load_weights(other, path).complete  # places are all it has
        return
    with pytest.raises(ValueError, match=r"(?s)2 missing, 2 unexpected.*missing     y/kernel") as caught:
        load_weights(other, path)
    assert same(other, before)
    if ending in (".safetensors", ".npz"):
        rename = [("^b/", "y/")]
    else:
        advice = re.search(r"if 'b' there is 'y' here: rename=(.+?); strict=False", str(caught.value))
        assert advice, str(caught.value)
        rename = ast.literal_eval(advice[1])
    assert load_weights(other, path, rename=rename).complete
    assert np.array_equal(get_weights(other)["y/kernel"], expected["b/kernel"])


@pytest.mark.parametrize("ending", [".h5", ".weights.h5"])
def test_the_order_decides_only_where_it_may_and_the_report_says_so(ending, tmp_path):
    expected = fill(model := stack("a", "b"))
    save(model, path := str(tmp_path / f"model{ending}"))
    report = load_weights(other := stack("a", "y"), path, strict=False)
    assert report.complete
    assert np.array_equal(get_weights(other)["y/kernel"], expected["b/kernel"])
    if has_names(path):
        assert sorted(report.by_order) == ["y/bias", "y/kernel"]
        there = "b/kernel" if ending == ".h5" else "layers/dense_1/vars/0"
        assert f"by order    y/kernel  (from {there})" in str(report)


@pytest.mark.parametrize("names", [("a", "c"), ("c", "b"), ("d", "c")])
def test_what_has_a_name_of_its_own_gets_its_value_first(names, tmp_path):
    """Two of one shape, one or both renamed: never the other one's value."""
    expected = fill(model := stack("a", "b"))
    save(model, path := str(tmp_path / "model.h5"))
    with pytest.raises(ValueError, match="nothing was changed"):
        load_weights(stack(*names), path)
    load_weights(other := stack(*names), path, strict=False)
    for name in {"a", "b"} & {*names}:
        assert np.array_equal(get_weights(other)[f"{name}/kernel"], expected[f"{name}/kernel"])


def deep(frozen, named, kind):
    """A model in a model in a model, some layers of which are frozen while it is saved or loaded."""
    dense = [layers.Dense(4, name=name if named else None) for name in ("p", "q")]
    norm = layers.BatchNormalization(name="norm" if named else None)
    core = KERAS.Sequential([KERAS.Input((4,)), *dense], name="core" if named else None)
    if kind == "functional":
        inputs = KERAS.Input((4,))
        inner = KERAS.Model(inputs, norm(core(inputs)), name="inner")
    else:
        inner = KERAS.Sequential([KERAS.Input((4,)), core, norm], name="inner")
    for at in frozen:
        (*dense, norm)[at].trainable = False
    inputs = KERAS.Input((4,))
    return KERAS.Model(inputs, layers.Dense(2, name="head")(inner(inputs))), [*dense, norm]


def file_as_keras_2_does(model, parts, path):
    """All in one group, without the names of models: what is trained first, then the rest, in a model in a layer."""
    entries = {True: [], False: []}
    for part in parts:
        kernel_or_gamma = {id(weight) for weight in part.weights[:2]}
        for weight in part.weights:
            value = weight_zoo.as_numpy(KERAS, weight)
            name = f"{part.name}/{weight.name.partition(':')[0].rpartition('/')[2]}:0"
            first = part.trainable and id(weight) in kernel_or_gamma
            entries[first].append(Entry(name, value.shape, "float32", lambda value=value: value))
    head = [
        Entry(f"head/{name}:0", value.shape, "float32", lambda value=value: value)
        for name, value in zip(("kernel", "bias"), model.get_layer("head").get_weights())
    ]
    hdf5.write_layers(path, {"inner": [*entries[True], *entries[False]], "head": head}, "2.15.0", "tensorflow")


def file_as_plain_keras_does(model, parts, path):
    model.save_weights(path) if INFO.generation == 2 else model.save(path)


@pytest.mark.parametrize("write", [file_as_keras_2_does, file_as_plain_keras_does])
@pytest.mark.parametrize("kind", ["sequential", "functional"])
@pytest.mark.parametrize("named", [True, False], ids=["given names", "names of Keras's"])
def test_a_legacy_file_of_models_in_each_other_is_right_whatever_was_frozen(named, kind, write, tmp_path):
    """keras #12470 and its like: plain Keras goes by an order that depends on what is frozen."""
    for at, filed in enumerate([(), (0,), (1,), (2,), (0, 2)]):
        model, parts = deep(filed, named, kind)
        fill(model)
        expected = [[weight_zoo.as_numpy(KERAS, w) for w in part.weights] for part in parts]
        path = str(tmp_path / f"{at}.h5")
        if write is file_as_plain_keras_does and INFO.version.startswith(("3.0.", "3.1.", "3.2.")):
            with pytest.raises(ValueError, match="name already exists"):  # it stops half-way; repaired in 3.3
                write(model, parts, path)
            return
        write(model, parts, path)
        for here in [(), (0,), (1,), (0, 2)]:
            other, others = deep(here, named, kind)
            load_weights(other, path)
            for part, values in zip(others, expected):
                for weight, value in zip(part.weights, values):
                    np.testing.assert_array_equal(weight_zoo.as_numpy(KERAS, weight), value)


def test_a_name_with_a_slash_is_the_same_with_an_underscore(tmp_path):
    """Only Keras 2 takes ``out/logits``; whoever moves to Keras 3 calls it ``out_logits``."""
    there, here = ("out_logits", "out/logits") if INFO.generation == 2 else ("out/logits", "out_logits")
    values = fill(stack("in", "x"))
    filed = {name.replace("x/", f"{there}/"): value for name, value in values.items()}
    assert set_weights(model := stack("in", here), filed).complete
    assert [value.tolist() for value in get_weights(model).values()] == [value.tolist() for value in values.values()]
    groups = {}
    for name, value in filed.items():
        layer, _, _ = name.rpartition("/")
        entry = Entry(f"{name}:0", value.shape, "float32", lambda value=value: value)
        groups.setdefault(layer, []).append(entry)
    hdf5.write_layers(path := str(tmp_path / "model.h5"), groups, "2.15.0", "tensorflow")
    assert load_weights(model := stack("in", here), path).complete
    assert [value.tolist() for value in get_weights(model).values()] == [value.tolist() for value in values.values()]
    with pytest.raises(ValueError, match="does not fit"):  # both forms in one source: not guessed
        set_weights(stack("in", here), {**filed, f"{here}/kernel": values["x/kernel"], "y/kernel": values["x/kernel"]})


class Attributes(KERAS.Model):
    """Two layers that attributes hold, under names of their own."""

    def __init__(self, first, second):
        super().__init__()
        self.a = layers.Dense(3, name=first)
        self.b = layers.Dense(3, name=second)

    def call(self, inputs):
        return self.b(self.a(inputs))


@pytest.mark.parametrize("names", [("right", "left"), ("up", "down"), (None, None)])
def test_an_attribute_that_holds_the_layer_that_another_one_held_is_not_guessed(names, tmp_path):
    """Two names against each other are an error; other names alone leave the attribute to decide."""
    source, other = Attributes("left", "right"), Attributes(*names)
    for model in (source, other):
        model(np.ones((1, 3), "float32"))
    fill(source)
    source.save_weights(path := str(tmp_path / "model.weights.h5"))
    if has_names(path) and "left" in names:
        before = get_weights(other)
        with pytest.raises(ValueError, match="if 'left' there is 'right' here, 'right' there is 'left' here: rename="):
            load_weights(other, path)
        assert same(other, before)
        return
    assert load_weights(other, path).complete
    np.testing.assert_array_equal(*(weight_zoo.as_numpy(KERAS, model.a.kernel) for model in (source, other)))


@pytest.mark.parametrize("ending", [".h5", ".weights.h5"])
def test_one_entry_that_is_renamed_leaves_the_others_their_places(ending, tmp_path):
    expected = fill(model := stack(None, None, "b"))
    save(model, path := str(tmp_path / f"model{ending}"))
    with read_weights(path) as file:
        of_b = [name for name in file if np.array_equal(file[name], expected["b/kernel"])]
    load_weights(other := stack(None, None, "b"), path, rename={of_b[0]: "b/kernel"})
    assert [value.tolist() for value in get_weights(other).values()] == [value.tolist() for value in expected.values()]


def test_advice_for_places_that_could_be_several_works(tmp_path):
    """A layer more here: rename= says which are the two of the file, and strict=False leaves the third out."""
    expected = fill(model := stack(None, None))
    model.save_weights(path := str(tmp_path / "model.weights.h5"))
    with pytest.raises(ValueError, match="give rename=, with the names that named_weights"):
        load_weights(stack(None, None, None), path)
    names = list(expected)
    with read_weights(path) as file:
        place_of = {name: place for name in names for place in file if np.array_equal(file[place], expected[name])}
    rename = {place_of[name]: name.replace("dense_1/", "dense_2/") for name in names}
    report = load_weights(other := stack(None, None, None), path, rename=rename, strict=False)
    assert report.missing == ("dense_1/kernel", "dense_1/bias")
    assert np.array_equal(get_weights(other)["dense_2/kernel"], expected["dense_1/kernel"])


def test_what_the_error_of_set_weights_advises_works():
    expected = fill(stack("a", "b"))
    filed = {name.replace("b/", "x/"): value for name, value in expected.items()}
    model = stack("a", "b")
    before = get_weights(model)
    with pytest.raises(ValueError, match="rename= maps names, strict=False leaves out those without a counterpart"):
        set_weights(model, filed)
    assert same(model, before)
    report = set_weights(model, filed, strict=False)
    assert report.missing == ("b/kernel", "b/bias")
    assert np.array_equal(get_weights(model)["b/kernel"], before["b/kernel"])
    assert set_weights(model, filed, rename=[("^x/", "b/")]).complete
    assert same(model, expected)
    with pytest.raises(ValueError, match="the sequence has no names; give a mapping"):
        set_weights(model, list(expected.values()), rename=[("^x/", "b/")])
    wide = {name: np.concatenate([value, value]) for name, value in expected.items()}
    with pytest.raises(ValueError, match="skip_mismatch=True leaves out values that do not fit"):
        set_weights(model, {**expected, "b/kernel": wide["b/kernel"]})
    report = set_weights(model, {**expected, "b/kernel": wide["b/kernel"]}, strict=False, skip_mismatch=True)
    assert [each.name for each in report.skipped] == ["b/kernel"]
    with pytest.raises(TypeError, match=r"load_weights takes the path of a file"):
        load_weights(model, None)
