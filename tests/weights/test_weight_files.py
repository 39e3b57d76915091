"""Each environment writes the zoo in every format; each reads what all others wrote, and compares by value.

What plain Keras writes on each environment is recorded (see ``recorded_files.py``), and our own files are the
same everywhere. With ``run_tests.py all`` one environment of each band also reads what the nightly wrote in
that run; with ``full`` each reads what all others wrote in it.
"""

import io
import json
import logging
import os
import tempfile
import warnings
import zipfile
from pathlib import Path

import bands
import h5py
import numpy as np
import pytest
import recorded_files
import weight_zoo
from environment import ENVIRONMENT, INFO, KERAS

from keras_buildfix import BadFileError, load_weights, lost_weights, named_weights, read_weights, save_weights

FILES = Path(os.environ.get("KERAS_BUILDFIX_FILES") or tempfile.mkdtemp())
OWN = FILES / (ENVIRONMENT or "here")
ZOO = sorted(weight_zoo.models(KERAS))
NAMES = json.loads((Path(__file__).resolve().parents[1] / "data" / "weight_names.json").read_text("utf-8"))["zoo"]

#: What Keras's own writers can't do, as the file or its absence says.
NO_SUBCLASSED_MODEL = "Saving the model to HDF5 format requires the model to be a Functional model"
SAME_NAMES = "name already exists"
NO_LEGACY_WEIGHTS = "must end in `.weights.h5`"


def is_known(error, form):
    """Keras 2, and 3.0 to 3.2, call weights of sub-layers alike, and stop half-way in a legacy file."""
    if INFO.generation == 3 and form == ".w.h5":
        return NO_LEGACY_WEIGHTS in str(error)
    old = INFO.generation == 2 or INFO.version.startswith(("3.0.", "3.1.", "3.2."))
    return (
        old
        and form in (".h5", ".w.h5", ".keras")
        and any(known in str(error) for known in (SAME_NAMES, NO_SUBCLASSED_MODEL))
    )


#: Keras 3 writes legacy files of whole models only.
HERE = [form for form in weight_zoo.FORMATS if INFO.generation == 2 or form != ".w.h5"]


def write_quietly(model, path, form):
    """Writes a file; Keras warns that its own format is legacy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weight_zoo.write(KERAS, model, path, form)


def is_written_by_keras(name):
    """Whether plain Keras writes a model here: each on the nightly, elsewhere one, since a release does not change."""
    if bands.FULL or ENVIRONMENT not in bands.matrix() or ENVIRONMENT.startswith("kerasnightly"):
        return True
    return ZOO.index(name) == bands.matrix().index(ENVIRONMENT) % len(ZOO)


#: The models that an environment takes in its turn, and the one that Keras writes here.
HANDLED = [name for name in ZOO if name in bands.share(ENVIRONMENT, ZOO) or is_written_by_keras(name)]


@pytest.mark.parametrize("name", HANDLED)
def test_it_is_written_in_every_format(name):
    OWN.mkdir(parents=True, exist_ok=True)
    by_keras = is_written_by_keras(name)
    model, inputs = (weight_zoo.trained if by_keras else weight_zoo.make)(KERAS, name)
    assert lost_weights(model) == {}
    np.save(OWN / f"{name}.npy", weight_zoo.outputs_of(KERAS, model, inputs))
    for form in weight_zoo.FORMATS if by_keras else weight_zoo.OURS:
        path, error = OWN / f"{name}{form}", OWN / f"{name}{form}.error"
        path.unlink(missing_ok=True)
        error.unlink(missing_ok=True)
        try:
            write_quietly(model, str(path), form)
        except Exception as failed:
            if not is_known(failed, form):
                raise
            error.write_text(f"{type(failed).__name__}: {failed}", "utf-8")


def own_files(name):
    """What this environment wrote of a model."""
    if not (OWN / f"{name}.npy").exists():  # run alone
        test_it_is_written_in_every_format(name)
    return recorded_files.of_folder(OWN)


def everybody():
    """Who wrote files to read: those on record, and those of this run that are to be read anew."""
    found, read = dict(recorded_files.recorded()), os.environ.get("KERAS_BUILDFIX_READ", "")
    if read == "all":
        found = {path.name: recorded_files.of_folder(path) for path in sorted(FILES.iterdir()) if path.is_dir()}
    elif read == "nightly" and bands.reads_nightly(ENVIRONMENT):
        for nightly in (name for name in bands.matrix() if name.startswith("kerasnightly")):
            assert (FILES / nightly).is_dir(), f"{nightly} is to write its files before: see `depends` in tox.ini"
            found[f"{nightly}*"] = recorded_files.of_folder(FILES / nightly)
    return found


@pytest.mark.parametrize("name", bands.share(ENVIRONMENT, ZOO))
def test_it_is_read_whoever_wrote_it(name):
    own = own_files(name)
    reader, cells, wrong = weight_zoo.Reader(KERAS, name), {}, []
    logging.disable(logging.CRITICAL)
    for writer, files in {**everybody(), OWN.name: own}.items():
        expected = np.load(files[f"{name}.npy"].path)
        for form in weight_zoo.FORMATS:
            if f"{name}{form}" in files:
                cell = read_cell(reader, files[f"{name}{form}"], expected)
                cells[f"{writer.strip('*')} {form}"] = cell
                if cell not in ("read", "half-written", "not written"):
                    wrong.append(f"{writer} {form}: {cell}")
    logging.disable(logging.NOTSET)
    assert cells
    (FILES / f"{OWN.name}.{name}.json").write_text(json.dumps(cells), "utf-8")
    assert not wrong, "\n".join(wrong[:10])


def read_cell(reader, written, expected):
    """What came of one file."""
    if not written.path:
        return "not written"
    try:
        wrong = reader.read(written.path, expected)
    except ValueError as error:
        half = written.error and "stop half-way" in str(error)
        return "half-written" if half else f"{type(error).__name__}: {error}"
    return wrong or "read"


def layout(path):
    """Names and shapes of all arrays in a file of HDF5, or in the one that is in a zip."""
    with open(path, "rb") as file:
        data = zipfile.ZipFile(file).read("model.weights.h5") if zipfile.is_zipfile(file) else Path(path).read_bytes()
    found = {}
    with h5py.File(io.BytesIO(data), "r") as file:
        file.visititems(lambda name, each: found.update({name: each.shape} if isinstance(each, h5py.Dataset) else {}))
    return found


@pytest.mark.skipif(ENVIRONMENT not in bands.matrix(), reason="nothing is recorded of it")
@pytest.mark.parametrize("name", [name for name in ZOO if is_written_by_keras(name)])
def test_what_it_writes_is_what_was_recorded_of_it(name):
    """The nightly may change; where another does, a release has: look at it, then record it."""
    own, record = own_files(name), recorded_files.recorded().get(ENVIRONMENT, {})
    assert f"{name}.npy" in record, f"not recorded yet: python tools/record_weight_files.py {ENVIRONMENT}"
    if ENVIRONMENT.startswith("kerasnightly"):
        return
    for form in weight_zoo.PLAIN:
        written, before = own[f"{name}{form}"], record[f"{name}{form}"]
        assert (bool(written.path), bool(written.error)) == (bool(before.path), bool(before.error)), form
        if not written.error:
            assert layout(written.path) == layout(before.path), form


@pytest.mark.parametrize("name", HANDLED)
def test_our_own_files_have_the_same_names_on_every_keras(name):
    """So what one environment writes is what another does; a legacy file has the layers' own names."""
    own = own_files(name)
    for form in (".safetensors", ".npz"):
        with read_weights(own[f"{name}{form}"].path) as weights:
            assert {each: list(shape) for each, shape in weights.shapes.items()} == NAMES[name]


@pytest.mark.parametrize("form", HERE)
def test_a_file_tells_its_names_shapes_and_dtypes_at_once(form, tmp_path):
    model, _ = weight_zoo.make(KERAS, "cnn")
    path = str(tmp_path / f"cnn{form}")
    write_quietly(model, path, form)
    with read_weights(path) as weights:
        assert len(weights) == len(model.weights)
        assert set(weights.dtypes.values()) == {"float32"}
        assert sorted(weights.shapes.values()) == sorted(tuple(w.shape) for w in model.weights)
        for name, array in weights.items():
            assert array.shape == weights.shapes[name]
        if form in (".safetensors", ".npz"):
            assert list(weights) == list(named_weights(model))
        if form == ".ours.h5":
            assert weights.writer == INFO.version
        with pytest.raises(KeyError):
            weights["no such weight"]


@pytest.mark.parametrize("name", bands.share(ENVIRONMENT, ZOO))
def test_plain_keras_reads_the_legacy_file_that_we_write(name, tmp_path):
    """Layers with sub-layers too; Keras 3 reads it since 3.0, Keras 2 always did."""
    model, _ = weight_zoo.make(KERAS, name)
    path = str(tmp_path / f"{name}.h5")
    save_weights(model, path)
    fresh = weight_zoo.Reader(KERAS, name)
    fresh.model.load_weights(path)
    for weight_name, weight in named_weights(fresh.model).items():
        np.testing.assert_array_equal(weight_zoo.as_numpy(KERAS, weight), fresh.values[weight_name])


def test_a_layer_is_saved_and_loaded_as_a_model_is(tmp_path):
    layer = KERAS.layers.Bidirectional(KERAS.layers.LSTM(2))
    layer.build((None, 3, 4))
    for form in (".safetensors", ".npz", ".h5"):
        path = str(tmp_path / f"layer{form}")
        save_weights(layer, path)
        other = KERAS.layers.Bidirectional(KERAS.layers.LSTM(2))
        other.build((None, 3, 4))
        assert len(load_weights(other, path).assigned) == 6
        for one, two in zip(layer.weights, other.weights):
            np.testing.assert_array_equal(weight_zoo.as_numpy(KERAS, one), weight_zoo.as_numpy(KERAS, two))
    with pytest.raises(ValueError, match=r"only a model can be saved as .weights.h5, and '.*' is a layer"):
        save_weights(layer, tmp_path / "layer.weights.h5")


class Scaled(KERAS.layers.Dense):
    """A built-in that files by hand what it made itself, on Keras 3.2 and later."""

    def build(self, input_shape):
        super().build(input_shape)
        self.scale = self.add_weight(shape=(self.units,), initializer="ones", name="scale")

    def call(self, inputs):
        return super().call(inputs) * self.scale


def test_weights_that_keras_leaves_out_are_said_to_be(tmp_path):
    def make():
        return KERAS.Sequential([KERAS.Input((3,)), Scaled(2)])

    model, fresh, path = make(), make(), str(tmp_path / "model.weights.h5")
    model.save_weights(path)
    with read_weights(path) as weights:
        complete = len(weights) == 3
    if complete:
        assert load_weights(fresh, path).complete
    else:
        with pytest.raises(ValueError, match=r"(?s)missing     scaled/scale.*a subclass adds to Dense"):
            load_weights(fresh, path)
        report = load_weights(fresh, path, strict=False)
        assert report.assigned == ("scaled/kernel", "scaled/bias")
    for form in (".safetensors", ".npz", ".h5"):
        path = str(tmp_path / f"model{form}")
        save_weights(model, path)
        assert len(load_weights(fresh, path).assigned) == 3


@pytest.mark.parametrize("form", HERE)
def test_what_the_model_has_not_and_the_file_has_not_is_listed(form, tmp_path):
    """And nothing changes, though the first layers fit."""

    def make(*units):
        layers = [KERAS.layers.Dense(unit, name=f"layer_{at}") for at, unit in enumerate(units)]
        return KERAS.Sequential([KERAS.Input((3,)), *layers])

    path = str(tmp_path / f"model{form}")
    write_quietly(make(3, 4), path, form)
    for model in (make(3, 5), make(3), make(3, 4, 5)):
        before = [weight_zoo.as_numpy(KERAS, weight).copy() for weight in model.weights]
        with pytest.raises(ValueError, match="nothing was changed"):
            load_weights(model, path)
        for weight, value in zip(model.weights, before):
            np.testing.assert_array_equal(weight_zoo.as_numpy(KERAS, weight), value)


class Count(KERAS.layers.Layer):
    """A weight that looks like the state of a random generator."""

    def build(self, input_shape):
        dtype = "uint32" if INFO.backend == "jax" else "int64"
        self.count = self.add_weight(shape=(2,), dtype=dtype, initializer="zeros", trainable=False, name="count")
        self.built = True

    def call(self, inputs):
        return inputs


def test_weights_that_look_like_seeds_are_loaded_and_seeds_are_not(tmp_path):
    def make():
        layers = [Count(), KERAS.layers.Dropout(0.5), Count(), KERAS.layers.Dense(1), KERAS.layers.Dropout(0.1)]
        return KERAS.Sequential([KERAS.Input((3,)), *layers])

    model, fresh, path = make(), make(), str(tmp_path / "model.weights.h5")
    for number, layer in enumerate(layer for layer in model.layers if isinstance(layer, Count)):
        layer.count.assign(np.array([number, 7]))
    model.save_weights(path)
    assert load_weights(fresh, path).complete
    counts = [weight_zoo.as_numpy(KERAS, layer.count).tolist() for layer in fresh.layers if isinstance(layer, Count)]
    assert counts == [[0, 7], [1, 7]]


def test_layers_that_change_places_are_found_by_their_names(tmp_path):
    """Where the file has names: positions would put each into the other."""
    path = str(tmp_path / "model.weights.h5")

    def make(*names):
        return KERAS.Sequential([KERAS.Input((3,)), *(KERAS.layers.Dense(3, name=name) for name in names)])

    model, other = make("first", "second"), make("second", "first")
    model.save_weights(path)
    with read_weights(path) as weights:
        named = any(entry.layer_name == "second" for entry in weights.entries.values())
    load_weights(other, path)
    at = 1 if named else 0
    np.testing.assert_array_equal(
        weight_zoo.as_numpy(KERAS, other.layers[at].kernel), weight_zoo.as_numpy(KERAS, model.layers[0].kernel)
    )


def test_a_layer_more_of_a_class_in_a_list_is_an_error_with_the_candidates(tmp_path):
    path = str(tmp_path / "model.weights.h5")

    def make(number):
        return KERAS.Sequential([KERAS.Input((3,)), *(KERAS.layers.Dense(3) for _ in range(number))])

    make(2).save_weights(path)
    with pytest.raises(ValueError, match=r"(?s)could mean several weights.*could be: dense, dense_1, dense_2"):
        load_weights(make(3), path)


def test_layers_in_a_dict_are_not_taken_for_each_other(tmp_path):
    """Keras 2 files them by their keys, Keras 3 in their order: right, or an error."""

    class Towers(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.towers = {"z": KERAS.layers.Dense(3), "a": KERAS.layers.Dense(3)}

        def call(self, inputs):
            return self.towers["a"](self.towers["z"](inputs))

    model, fresh, inputs = Towers(), Towers(), np.ones((1, 3), "float32")
    model(inputs), fresh(inputs)
    path = str(tmp_path / "towers.weights.h5")
    model.save_weights(path)
    with read_weights(path) as weights:
        named = all(entry.layer_name for entry in weights.entries.values())
        by_list = any(name.startswith(("layers/", "_layer")) for name in weights)
    if by_list and not named:
        with pytest.raises(ValueError, match="could mean several weights"):
            load_weights(fresh, path)
        save_weights(model, path := str(tmp_path / "towers.safetensors"))
    load_weights(fresh, path)
    for name in ("z", "a"):
        np.testing.assert_array_equal(
            weight_zoo.as_numpy(KERAS, fresh.towers[name].kernel), weight_zoo.as_numpy(KERAS, model.towers[name].kernel)
        )


def test_a_layer_in_an_attribute_and_others_in_a_list_are_told_apart(tmp_path):
    class Mixed(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.first = KERAS.layers.Dense(3)
            self.others = [KERAS.layers.Dense(3), KERAS.layers.Dense(3)]

        def call(self, inputs):
            return self.others[1](self.others[0](self.first(inputs)))

    model, fresh, inputs = Mixed(), Mixed(), np.ones((1, 3), "float32")
    model(inputs), fresh(inputs)
    path = str(tmp_path / "mixed.weights.h5")
    model.save_weights(path)
    load_weights(fresh, path)
    np.testing.assert_array_equal(weight_zoo.as_numpy(KERAS, fresh(inputs)), weight_zoo.as_numpy(KERAS, model(inputs)))


def test_a_file_prints_itself_and_answers_for_wrong_names_and_once_it_is_closed(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, **{"head/kernel": np.ones((2, 3), "float32"), "head/bias": np.zeros(3, "float32")})
    with read_weights(path) as weights:
        assert repr(weights) == f"<WeightFile {path}: 2 weights, npz>"
        assert "head/bias" in weights
        assert "head/kernl" not in weights
        assert weights.get("head/kernl") is None
        with pytest.raises(KeyError, match=r"w.npz has no weight 'head/kernl' \(nearest: head/kernel"):
            weights["head/kernl"]
    assert repr(weights) == f"<WeightFile {path}: 2 weights, npz, closed>"
    for read in (lambda: weights["head/bias"], weights.entries["head/bias"].read):
        with pytest.raises(ValueError, match=r"w.npz is closed: read a weight before the block of `with` ends"):
            read()
    (tmp_path / "empty.h5").write_bytes(b"")
    with pytest.raises(BadFileError, match=r"empty.h5: the file is empty"):
        read_weights(tmp_path / "empty.h5")
