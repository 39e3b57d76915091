"""Files of weights that are saved: the old one or the new one, whole; nothing beside it; equal when read back.

What depends on no Keras is tried at length where Python, numpy or h5py differ, elsewhere by a sample of each format.
"""

import errno
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile

import bands
import numpy as np
import pytest
from environment import ENVIRONMENT, INFO, KERAS, sampled

from keras_buildfix import convert_weights, get_weights, load_weights, read_weights, save_weights
from keras_buildfix._words import in_bytes
from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weight_files.writing import write_weights

FORMS = {"w.safetensors": "safetensors", "w.npz": "npz", "w.h5": "h5", "w.weights.h5": "weights.h5"}
NAMED = [name for name, form in FORMS.items() if form != "weights.h5"]
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="modes, links and signals of POSIX")


def entry(name, array, dtype=None):
    return Entry(name, array.shape, dtype or array.dtype.name, lambda: array)


def entries(value=1.0):
    return [entry(f"layers/{at}/vars/0", np.full((300, 100), value + at, "float32")) for at in range(3)]


def read_all(path):
    with read_weights(path) as weights:
        return {name: weights[name] for name in weights}


@pytest.fixture
def model():
    layers = KERAS.layers
    return KERAS.Sequential([KERAS.Input((3,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(2)])


@pytest.mark.parametrize("failure", [ValueError("broken"), MemoryError(), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("name", FORMS)
def test_a_value_that_cannot_be_read_leaves_the_old_file(name, failure, tmp_path):
    path = tmp_path / name
    write_weights(str(path), entries(), FORMS[name])
    before = path.read_bytes()

    def fail():
        raise failure

    bad = Entry("layers/9/vars/0", (300, 100), "float32", fail)
    with pytest.raises(type(failure)):
        write_weights(str(path), [*entries(2.0), bad], FORMS[name])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("step", ["_sync", "os.replace"])
@pytest.mark.parametrize("name", FORMS)
def test_a_disk_that_is_full_leaves_the_old_file(name, step, tmp_path, monkeypatch):
    path = tmp_path / name
    write_weights(str(path), entries(), FORMS[name])
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"keras_buildfix.weight_files.formats._replacing.{step}", full)
    with pytest.raises(OSError, match="No space left"):
        write_weights(str(path), entries(2.0), FORMS[name])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


@pytest.mark.skipif(not importlib.util.find_spec("safetensors"), reason="safetensors is not here (tox.ini says where)")
def test_the_library_of_the_format_and_numpy_read_what_we_write(tmp_path):
    from safetensors.numpy import load_file

    arrays = {
        "a/kernel": np.arange(6, dtype="float32").reshape(2, 3),
        "b/scale": np.array(0.5, "float16"),
        "c": np.zeros((0, 2)),
    }
    for name, read in (("w.safetensors", load_file), ("w.npz", np.load)):
        path = str(tmp_path / name)
        write_weights(path, [entry(*each) for each in arrays.items()], FORMS[name])
        found = read(path)
        assert {*found} == {*arrays}
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[key], array, strict=True)


LIMITED = """
import resource, sys
import numpy as np
from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weight_files.writing import write_weights
resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
array = np.ones((300, 100), "float32")
try:
    write_weights(sys.argv[1], [Entry("a/vars/0", array.shape, "float32", lambda: array)], sys.argv[2])
except OSError:
    print("OSError")
"""


def in_process(script, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr[-3000:]}"
    return done.stdout


@posix_only
@pytest.mark.at_length
@pytest.mark.parametrize("name", FORMS)
def test_a_file_that_the_system_does_not_let_grow_is_an_os_error(name, tmp_path):
    (tmp_path / name).write_bytes(b"old")
    assert in_process(LIMITED, tmp_path / name, FORMS[name]) == "OSError\n"
    assert (tmp_path / name).read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


# Forking spares the imports: a hundred kills in seconds.
KILLS = """
import os, random, shutil, signal, sys, time
import h5py, numpy as np
from keras_buildfix import read_weights
from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weight_files.writing import write_weights

path, form, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
folder, size = os.path.dirname(path), 5 << 20

def save(version):
    array = np.full(size, version, "int32")
    write_weights(path, [Entry("a/b", array.shape, "int32", lambda: array)], form)

start = time.perf_counter()
save(0)
once = time.perf_counter() - start
rng, seen, torn, version = random.Random(3), set(), 0, 0
for _ in range(kills):
    child = os.fork()
    if not child:
        try:
            while True:
                version += 1
                save(version)
        finally:
            os._exit(1)
    time.sleep(rng.uniform(0, 2 * once))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    with read_weights(path) as weights:
        (array,) = (weights[name] for name in weights)
        assert array.shape == (size,) and array.min() == array.max(), "torn"
        assert array[0] >= version, "older than what was there"
        once *= 1 if array[0] > version else 1.3  # other processes slow it down
        version = int(array[0])
        seen.add(version)
    for name in os.listdir(folder):
        if name != os.path.basename(path):
            assert name.endswith(".tmp"), name
            shutil.rmtree(os.path.join(folder, name))
            torn += 1
print(len(seen) > 1, torn > 1)
"""


@posix_only
@pytest.mark.at_length
@pytest.mark.parametrize(("name", "kills"), [("w.safetensors", 34), ("w.npz", 33), ("w.h5", 33)])
def test_a_process_killed_while_it_saves_leaves_a_whole_file(name, kills, tmp_path):
    # 100 times altogether on one environment: what happens then is Python's and the file system's matter.
    some = bands.goes_in_turns(ENVIRONMENT) and ENVIRONMENT != "keraslatest-numpy"
    assert in_process(KILLS, tmp_path / name, FORMS[name], 8 if some else kills) == "True True\n"


@posix_only
def test_a_link_stays_a_link_and_the_mode_is_kept(tmp_path):
    (tmp_path / "real").mkdir()
    write_weights(str(tmp_path / "real" / "w.npz"), entries(), "npz")
    (tmp_path / "real" / "w.npz").chmod(0o640)
    (tmp_path / "w.npz").symlink_to("real/w.npz")
    write_weights(str(tmp_path / "w.npz"), entries(2.0), "npz")
    assert os.readlink(tmp_path / "w.npz") == "real/w.npz"
    assert stat.S_IMODE((tmp_path / "real" / "w.npz").stat().st_mode) == 0o640
    assert read_all(tmp_path / "real" / "w.npz")["layers/0/vars/0"][0, 0] == 2.0
    assert os.listdir(tmp_path / "real") == ["w.npz"]


@posix_only
def test_a_link_to_nothing_yet_gets_its_file(tmp_path):
    (tmp_path / "w.npz").symlink_to("new.npz")
    write_weights(str(tmp_path / "w.npz"), entries(), "npz")
    assert (tmp_path / "w.npz").is_symlink()
    assert (tmp_path / "new.npz").is_file()


@posix_only
@pytest.mark.parametrize("name", FORMS)
def test_a_new_file_has_the_mode_that_the_umask_gives(name, tmp_path):
    old = os.umask(0o027)
    try:
        write_weights(str(tmp_path / name), entries(), FORMS[name])
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640


@pytest.mark.parametrize("length", [200, 250])
def test_a_long_name_can_be_saved(length, tmp_path):
    name = "w" * (length - 4) + ".npz"
    write_weights(str(tmp_path / name), entries(), "npz")
    assert os.listdir(tmp_path) == [name]


def test_a_folder_or_a_missing_one_is_an_error_that_names_it(tmp_path):
    (tmp_path / "w.npz").mkdir()
    with pytest.raises(IsADirectoryError, match=r"w\.npz.* is a folder"):
        write_weights(str(tmp_path / "w.npz"), entries(), "npz")
    with pytest.raises(FileNotFoundError, match=r"no folder .*missing"):
        write_weights(str(tmp_path / "missing" / "w.npz"), entries(), "npz")
    assert os.listdir(tmp_path) == ["w.npz"]


@posix_only
def test_a_folder_that_cannot_be_written_is_an_error_that_names_it():
    folder, root = tempfile.mkdtemp(), os.geteuid() == 0
    os.chmod(folder, 0o555)
    try:
        if root:
            os.seteuid(65534)  # root may write everywhere
        with pytest.raises(PermissionError) as caught:
            write_weights(os.path.join(folder, "w.npz"), entries(), "npz")
    finally:
        if root:
            os.seteuid(0)
        os.chmod(folder, 0o755)
        left = os.listdir(folder)
        shutil.rmtree(folder)
    assert folder in str(caught.value)
    assert left == []


@pytest.mark.parametrize("name", ["w.safetensors", "w", "w.npz", "w.h5", "w.weights.h5", "w.keras"])
def test_what_is_saved_is_loaded_again(name, model, tmp_path):
    for at, weight in enumerate(model.weights):
        weight.assign(np.arange(np.prod(weight.shape), dtype="float32").reshape(weight.shape) + at)
    wanted = get_weights(model)
    if name == "w.keras" and INFO.version < "2.13":
        pytest.skip("this Keras has no .keras with weights in HDF5")
    save_weights(model, tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape, "float32"))
    report = load_weights(model, tmp_path / name)
    assert report.complete
    for key, array in get_weights(model).items():
        np.testing.assert_array_equal(array, wanted[key])


@pytest.mark.parametrize("shape", sampled([(), (1,), (0,), (3, 0), (2, 3)], (2, 3)), ids=str)
@pytest.mark.parametrize(
    "dtype", sampled(["float16", "float32", "float64", "int8", "uint16", "int64", "bool", "complex64"], "float32")
)
@pytest.mark.parametrize("name", NAMED)
def test_arrays_of_every_kind_come_back(name, dtype, shape, tmp_path):
    array = np.asarray(np.arange(np.prod(shape)).reshape(shape) - 1).astype(dtype)
    write_weights(
        str(tmp_path / name),
        [entry("a/b", array), entry("a/big", array.astype(f">{array.dtype.str[1:]}"))],
        FORMS[name],
    )
    for found in read_all(tmp_path / name).values():
        assert (found.shape, found.dtype) == (shape, array.dtype)
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("shape", sampled([(), (0, 3), (2, 3)], (2, 3)), ids=str)
@pytest.mark.parametrize("dtype", sampled(["bfloat16", "float8_e4m3fn", "float8_e5m2"], "bfloat16"))
@pytest.mark.parametrize("name", NAMED)
def test_small_floats_come_back_or_are_refused_before_anything_is_written(name, dtype, shape, tmp_path):
    kind = getattr(pytest.importorskip("ml_dtypes"), dtype)
    array = np.full(shape, 1.5).astype(kind)
    try:
        write_weights(str(tmp_path / name), [entry("a/b", array, dtype)], FORMS[name])
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert dtype in refusal.replace("bfloat16", "")  # which has to come back
        assert os.listdir(tmp_path) == []
        return
    found = read_all(tmp_path / name)["a/b"]
    assert (found.shape, found.dtype) == (shape, array.dtype)
    np.testing.assert_array_equal(found.astype("float32"), array.astype("float32"))


@pytest.mark.parametrize("name", NAMED)
def test_bfloat16_is_converted_without_ml_dtypes(name, tmp_path, monkeypatch):
    bits = np.asarray([[0x3F80, 0x4000, 0xC040]], "uint16")
    raw = Entry("a/b", (1, 3), "bfloat16", lambda: bits)
    write_weights(str(tmp_path / "from.safetensors"), [raw], "safetensors")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    convert_weights(tmp_path / "from.safetensors", tmp_path / name)
    with read_weights(tmp_path / name) as weights:
        assert weights.shapes == {"a/b": (1, 3)}
        np.testing.assert_array_equal(np.asarray(weights["a/b"], "float32"), [[1.0, 2.0, -3.0]])


@pytest.mark.parametrize("name", NAMED)
def test_a_converted_file_that_is_broken_leaves_the_old_one_and_names_itself(name, tmp_path):
    np.savez_compressed(tmp_path / "from.npz", a=np.random.default_rng(0).normal(size=9999))
    data = bytearray((tmp_path / "from.npz").read_bytes())
    data[40000] ^= 255
    (tmp_path / "from.npz").write_bytes(data)
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(ValueError) as caught:
        convert_weights(tmp_path / "from.npz", tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == sorted(["from.npz", name])
    assert str(caught.value).startswith(str(tmp_path / "from.npz"))


@pytest.mark.at_length
def test_many_layers_of_short_names_are_read_back(tmp_path):
    value = np.ones(1, "float32")
    write_weights(str(tmp_path / "w.h5"), [entry(f"l{at}/w", value) for at in range(4100)], "h5")
    with read_weights(tmp_path / "w.h5") as weights:
        assert len(weights) == 4100


@pytest.mark.parametrize("bad", sampled(["", ".", "a/../b", "/a", "a//b", "a/.", "a\0b", "a\ud800", "b:0"], "a/../b"))
@pytest.mark.parametrize("name", NAMED)
def test_names_come_back_or_are_refused_before_anything_is_written(name, bad, tmp_path):
    value = np.ones(1, "float32")
    try:
        write_weights(str(tmp_path / name), [entry(bad, value), entry("b", value)], FORMS[name])
    except ValueError:
        assert os.listdir(tmp_path) == []
        return
    assert sorted(read_all(tmp_path / name)) == sorted([bad, "b"])


def test_a_file_is_not_overwritten_if_it_must_not_be(model, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(model, path, overwrite=False)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"w\.safetensors is there already; nothing was written"):
        save_weights(model.layers[-1], path, overwrite=False)
    assert path.read_bytes() == before
    save_weights(model.layers[-1], path)
    assert list(read_all(path)) == ["kernel", "bias"]


@pytest.mark.parametrize("name", [*FORMS, "w.keras"])
def test_what_was_written_is_told(name, model, tmp_path):
    report = save_weights(model, tmp_path / name)
    size = os.path.getsize(tmp_path / name)
    assert (report.path, report.size, report.format) == (str(tmp_path / name), size, name.partition(".")[2])
    assert report.weights == tuple(get_weights(model))
    assert str(report) == f"8 weights to {tmp_path / name}, {in_bytes(size)}"
    assert repr(report) == f"<SaveReport: {report}>"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1234567, "1.2 MB"), (5 * 10**12, "5000.0 GB")]
)
def test_sizes_are_told_in_a_unit_that_can_be_read(size, text):
    assert in_bytes(size) == text
