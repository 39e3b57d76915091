"""Weight files of untrusted origin: the right result or one ValueError; nothing executed, memory bounded.

What depends on no Keras is tried at length where Python, numpy or h5py differ, elsewhere by a sample of each format.
"""

import io
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from environment import KERAS, THOROUGH, sampled

from keras_buildfix import BadFileError, get_weights, load_weights, read_weights, save_weights

ONES = np.ones(3, "float32")
RANDOM = np.random.default_rng(0).normal(size=(8, 8)).astype("float32")
ARRAYS = {"dense/kernel": RANDOM, "dense/bias": np.arange(8, dtype="float32"), "bn/mean": np.ones((2, 2), "float32")}
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured with /proc")


def written(path, data):
    path.write_bytes(data)
    return str(path)


def read_all(path):
    with read_weights(path) as weights:
        return {name: weights[name] for name in weights}


def refused(path):
    with pytest.raises(ValueError) as caught:
        read_all(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(shape=(3,), offsets=(0, 12), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def npy(array, **kwargs):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), **kwargs)
    return file.getvalue()


def npy_of(header, data=b"", version=1):
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + struct.pack("<BBH", version, 0, len(text)) + text + data


def zipped(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def patched(data, old, new, count=None):
    assert data.count(old) == (count or data.count(old)) > 0
    return data.replace(old, new)


def hdf5(fill, **kwargs):
    file = io.BytesIO()
    with h5py.File(file, "w", **kwargs) as opened:
        fill(opened)
    return file.getvalue()


def structure(file, **kwargs):
    for at, array in enumerate(ARRAYS.values()):
        file.create_dataset(f"layers/dense_{at}/vars/0", data=array, **kwargs)
        file[f"layers/dense_{at}"].attrs["name"] = "dense"


def legacy(file, layers=(b"dense", b"bn"), **kwargs):
    file.attrs["keras_version"] = "2.12.0"
    file.attrs["layer_names"] = np.asarray(layers)
    for layer in ("dense", "bn"):
        names = [name for name in ARRAYS if name.startswith(layer)]
        group = file.create_group(layer)
        group.attrs["weight_names"] = np.asarray([f"{name}:0".encode() for name in names])
        for name in names:
            group.create_dataset(f"{name}:0", data=ARRAYS[name], **kwargs)


def samples():
    offsets, header = np.cumsum([0, *(array.nbytes for array in ARRAYS.values())]).tolist(), {}
    for at, (name, array) in enumerate(ARRAYS.items()):
        header[name] = tensor(array.shape, offsets[at : at + 2])
    members = {f"{name}.npy": npy(array) for name, array in ARRAYS.items()}
    model = {"config.json": b"{}", "model.weights.h5": hdf5(structure)}
    return {
        "a.safetensors": safetensors(header, b"".join(array.tobytes() for array in ARRAYS.values())),
        "a.npz": zipped(members),
        "packed.npz": zipped(members, zipfile.ZIP_DEFLATED),
        "a.h5": hdf5(legacy),
        "packed.h5": hdf5(lambda file: legacy(file, compression="gzip", shuffle=True, fletcher32=True)),
        "latest.h5": hdf5(lambda file: legacy(file, compression="gzip", shuffle=True), libver="latest"),
        "a.weights.h5": hdf5(structure),
        "a.keras": zipped(model),
        "packed.keras": zipped(model, zipfile.ZIP_DEFLATED),
    }


SAMPLES = samples()


def in_process(script, *arguments):
    """Runs a script where a crash, a hang or too much memory is seen; what it prints."""
    start = "import faulthandler; faulthandler.dump_traceback_later(15, exit=True); faulthandler.enable()\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", start + script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_is_read_whole_and_refused_when_it_is_cut_anywhere(name, tmp_path):
    data = SAMPLES[name]
    found = read_all(written(tmp_path / name, data))
    assert sorted(array.shape for array in found.values()) == [(2, 2), (8,), (8, 8)]
    for at in sorted({*range(0, len(data), max(1, len(data) // 200)), len(data) - 1}):
        refused(written(tmp_path / f"{at}{name}", data[:at]))


FLIPS = """
import collections, gc, os, resource, sys, warnings
import numpy as np
from keras_buildfix import read_weights
warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
source, count, rng, found = sys.argv[1], int(sys.argv[2]), np.random.default_rng(5), collections.Counter()
data = open(source, "rb").read()
for number in range(count):
    faulthandler.dump_traceback_later(20, exit=True)
    flipped = bytearray(data)
    for at in rng.integers(len(data), size=rng.choice([1, 1, 2, 8])):
        flipped[at] ^= 1 << rng.integers(8)
    path = os.path.join(os.path.dirname(source), f"{number}-{os.path.basename(source)}")
    with open(path, "wb") as file:
        file.write(flipped)
    try:
        with read_weights(path) as weights:
            for name in weights:
                try:
                    weights[name]
                except ValueError as error:
                    assert str(error).startswith(path), error
                    found["array refused"] += 1
        found["read"] += 1
    except ValueError as error:
        assert str(error).startswith(path), error
        found["refused"] += 1
    os.unlink(path)
    weights = None
print(found["read"] + found["refused"], min(found["read"], found["refused"] + found["array refused"]) > 0)
"""


@linux_only
@pytest.mark.parametrize("name", sampled(SAMPLES, "a.safetensors", "a.npz", "a.h5", "a.keras"))
def test_flipped_bits_give_values_or_a_value_error(name, tmp_path):
    path = written(tmp_path / name, SAMPLES[name])
    number = 1000 if THOROUGH else 75
    assert in_process(FLIPS, path, number) == f"{number} True\n"


PEAK = """
import sys
from keras_buildfix import read_weights
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) >> 10
import h5py, numpy, zipfile
before = peak()
try:
    with read_weights(sys.argv[1]) as weights:
        print("read", sum(weights[name].sum() for name in weights))
except ValueError as error:
    print("refused" if str(error).startswith(sys.argv[1]) else error)
print(peak() - before)
"""


def gzip_bomb_in_a_small_chunk(path, chunk=10):
    with h5py.File(path, "w") as file:
        options = {"maxshape": (None,), "chunks": (chunk,), "compression": "gzip"}
        dataset = file.create_dataset("a", (10,), "f4", **options)
        try:
            dataset.id.write_direct_chunk((0,), zlib.compress(bytes(250 << 20), 9))
        except OSError as error:
            pytest.skip(f"this HDF5 can't write such a chunk: {error}")


def gzip_bomb_in_a_chunk_larger_than_its_array(path):
    gzip_bomb_in_a_small_chunk(path, 250 << 18)


def zip_bomb(path, member, start, fill=b"\0", compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive, archive.open(member, "w") as file:
        file.write(start)
        for _ in range(250):
            file.write(fill * (1 << 20))


def bzip2_bomb(path, member="a.npy", start=b"\x93NUMPY"):
    zip_bomb(path, member, start, b"\0", zipfile.ZIP_BZIP2)
    real, claimed = struct.pack("<I", len(start) + (250 << 20)), struct.pack("<I", len(start))
    path.write_bytes(patched(path.read_bytes(), real, claimed, 2))


def bzip2_bomb_in_a_model(path):
    bzip2_bomb(path, "model.weights.h5", b"\x89HDF\r\n\x1a\n")


def npy_header_of_gigabytes(path):
    zip_bomb(path, "a.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 250 << 20), b" ")


def array_of_zeros_zipped(path):
    zip_bomb(path, "a.npy", npy_of(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({250 << 18},)}}"))


def safetensors_of_a_large_shape(path):
    path.write_bytes(safetensors({"a": tensor((1 << 40,), (0, 4 << 40))}))


BOMBS = [
    gzip_bomb_in_a_small_chunk,
    gzip_bomb_in_a_chunk_larger_than_its_array,
    bzip2_bomb,
    bzip2_bomb_in_a_model,
    npy_header_of_gigabytes,
    safetensors_of_a_large_shape,
    array_of_zeros_zipped,
]


@linux_only
@pytest.mark.parametrize(
    "make",
    sampled(BOMBS, gzip_bomb_in_a_small_chunk, npy_header_of_gigabytes),
)
def test_a_small_file_never_takes_much_memory(make, tmp_path):
    path = tmp_path / ("a.keras" if "model" in make.__name__ else "a")
    make(path)
    result, megabytes = in_process(PEAK, path).splitlines()
    assert result == "refused"
    assert path.stat().st_size < 4 << 20
    assert int(megabytes) < 150


@linux_only
@pytest.mark.at_length
def test_groups_in_groups_without_end_are_refused(tmp_path):
    """libhdf5 visits them by recursion: its stack overflows at less than 20,000."""
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        group = file
        for _ in range(20000):
            group = group.create_group("g")
        group["x"] = ONES
    assert in_process(PEAK, tmp_path / "a.h5").splitlines()[0] == "refused"


@linux_only
@pytest.mark.at_length
def test_a_heap_of_texts_that_never_ends_is_refused(tmp_path):
    """libhdf5 2.0 follows an object of that size for ever; it is where texts of attributes lie."""
    heap = SAMPLES["a.h5"].index(b"GCOL")
    data = SAMPLES["a.h5"][: heap + 24] + b"\xf0" + b"\xff" * 7 + SAMPLES["a.h5"][heap + 32 :]
    assert in_process(PEAK, written(tmp_path / "a.h5", data)).splitlines()[0] == "refused"


@linux_only
@pytest.mark.at_length
def test_a_text_of_no_known_type_does_not_crash_libhdf5(tmp_path):
    data = bytearray(SAMPLES["a.h5"])
    at = data.index(b"keras_version\0")
    kind = data.index(b"\x19\x01", at)  # variable length, of text
    data[kind + 1] = 0xD9
    assert in_process(PEAK, written(tmp_path / "a.h5", data)).splitlines()[0] in ("read 84.0", "refused")


def names(file, attribute, value):
    file["a/b"] = ONES
    file.attrs["layer_names"] = np.asarray([b"a"])
    file["a"].attrs["weight_names"] = np.asarray([b"b"])
    (file if attribute == "layer_names" else file["a"]).attrs[attribute] = value


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3,))
    file.create_virtual_dataset("a", layout)


def two_that_collide(file):
    names(file, "weight_names", np.asarray([b"b:0", b"b"]))
    file["a/b:0"] = ONES


def group_for_a_weight(file):
    names(file, "weight_names", np.asarray([b"c"]))
    file["a/c/d"] = ONES


def huge_of_one_chunk(file):
    file.create_dataset("a", (1 << 40,), "f4", chunks=(9,))[:9] = 1


def soft_loop(file):
    file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")


BAD_HDF5 = {
    "external link": lambda file: file.update(a=h5py.ExternalLink("other.h5", "/x")),
    "soft link": lambda file: file.update(a=ONES, b=h5py.SoftLink("/a")),
    "soft link loop": soft_loop,
    "external storage": lambda file: file.create_dataset("a", (3,), "f4", external=[("/etc/passwd", 0, 12)]),
    "virtual": virtual,
    "other filter": lambda file: file.create_dataset("a", data=np.arange(99), scaleoffset=0),
    "vlen": lambda file: file.create_dataset("a", (3,), h5py.vlen_dtype("f4")),
    "compound": lambda file: file.create_dataset("a", data=np.zeros(3, "f4,i4")),
    "reference": lambda file: file.create_dataset("a", (1,), h5py.ref_dtype, data=[file.ref]),
    "string": lambda file: file.create_dataset("a", data=["text"], dtype=h5py.string_dtype()),
    "fixed string": lambda file: file.create_dataset("a", data=np.asarray([b"text"])),
    "opaque": lambda file: file.create_dataset("a", data=np.zeros(3, "V3")),
    "no data": lambda file: file.create_dataset("a", (3,), "f4"),
    "huge, no data": lambda file: file.create_dataset("a", (1 << 40,), "f4"),
    "huge, one chunk": huge_of_one_chunk,
    "null": lambda file: file.create_dataset("a", data=h5py.Empty("f4")),
    "long double": lambda file: file.create_dataset("a", data=np.zeros(3, "longdouble")),
    "absolute": lambda file: names(file, "weight_names", np.asarray([b"/a/b"])),
    "parent": lambda file: names(file, "weight_names", np.asarray([b"../a/b"])),
    "parent layer": lambda file: names(file, "layer_names", np.asarray([b"../a"])),
    "missing": lambda file: names(file, "weight_names", np.asarray([b"b", b"c"])),
    "missing layer": lambda file: names(file, "layer_names", np.asarray([b"a", b"c"])),
    "twice": lambda file: names(file, "weight_names", np.asarray([b"b", b"b"])),
    "layer twice": lambda file: names(file, "layer_names", np.asarray([b"a", b"a"])),
    "numbers": lambda file: names(file, "weight_names", np.asarray([1, 2])),
    "one number": lambda file: names(file, "layer_names", 1.5),
    "not utf-8": lambda file: names(file, "weight_names", np.asarray([b"\xff"])),
    "in two dimensions": lambda file: names(file, "weight_names", np.asarray([[b"b"]])),
    "a million": lambda file: names(file, "layer_names", np.full(1000000, b"a")),
    "group for a weight": group_for_a_weight,
    "collide": two_that_collide,
}


@pytest.mark.parametrize("attack", sampled(BAD_HDF5, "external link"))
def test_hdf5_that_leads_elsewhere_or_lies_is_refused(attack, tmp_path):
    data = hdf5(BAD_HDF5[attack], libver="latest")
    refused(written(tmp_path / "a.h5", data))
    refused(written(tmp_path / "a.keras", zipped({"config.json": b"{}", "model.weights.h5": data})))


def test_hdf5_with_loops_of_groups_and_named_types_is_read_once(tmp_path):
    def fill(file):
        file["a/vars/0"] = ONES
        file["a/again"], file["type"] = file["/"], np.dtype("f4")

    assert list(read_all(written(tmp_path / "a.h5", hdf5(fill)))) == ["a/vars/0"]


@pytest.mark.at_length
def test_a_list_of_many_short_names_is_read(tmp_path):
    """Keras splits lists by bytes, 64512 in an attribute: 8064 names of 8."""
    layers = [b"l%d" % at for at in range(5000)]

    def fill(file):
        file.attrs["layer_names"] = np.asarray(layers)
        for layer in layers:
            file.create_group(layer).attrs["weight_names"] = np.asarray([])

    with read_weights(written(tmp_path / "a.h5", hdf5(fill))) as weights:
        assert len(weights) == 0


@pytest.mark.parametrize("name", ["a.h5", "packed.h5", "a.weights.h5", "packed.keras"])
def test_a_file_that_was_read_can_be_written_over_and_is_read_anew(name, tmp_path):
    path = written(tmp_path / name, SAMPLES[name])
    with read_weights(path) as weights:
        assert len(weights) == 3
    with h5py.File(path, "w") as file:
        file["a"] = ONES
    assert list(read_all(path)) == ["a"]
    assert weights.path == path  # still there: closing it is what counts


def doubled(name, data):
    """A zip with two members of one name."""
    return patched(zipped({name: data, "x" * len(name): data}), b"x" * len(name), name.encode())


ONE = zipped({"a.npy": npy(ONES)})
LENGTH = len(npy(ONES))
AT = ONE.index(b"PK\x01\x02")
BAD_NPZ = {
    "parent": zipped({"../a.npy": npy(ONES)}),
    "absolute": zipped({"/a.npy": npy(ONES)}),
    "backslash": zipped({"..\\a.npy": npy(ONES)}),
    "no array": zipped({"a.py": b"print()"}),
    "encrypted": ONE[:AT] + ONE[AT : AT + 8] + b"\x01\x00" + ONE[AT + 10 :],
    "twice": doubled("a.npy", npy(ONES)),
    "crc": ONE.replace(ONES.tobytes(), (ONES * 2).tobytes()),
    "sizes that differ": ONE[:AT] + ONE[AT:].replace(struct.pack("<I", LENGTH), struct.pack("<I", LENGTH - 4)),
    "other compression": ONE[:AT] + ONE[AT : AT + 10] + b"\x63\x00" + ONE[AT + 12 :],
    "pickle": zipped({"a.npy": npy(np.asarray([None]), allow_pickle=True)}),
    "structured": zipped({"a.npy": npy(np.zeros(3, "f4,i4"))}),
    "strings": zipped({"a.npy": npy(np.asarray(["text"]))}),
    "dates": zipped({"a.npy": npy(np.zeros(3, "M8[s]"))}),
    "long double": zipped({"a.npy": npy(np.zeros(3, "longdouble"))}),
    "version 9": zipped({"a.npy": npy_of("{}", version=9)}),
    "code": zipped({"a.npy": npy_of("{'descr': '<f4', 'fortran_order': False, 'shape': (print(1),)}")}),
}
SHAPES = ("(1 << 9,)", "(4611686018427387905,)", "(-1,)", "(True,)", "(1.0,)", "1", "(4611686018427387903, 0)", "(%s)")
for shape in SHAPES:
    shape = shape.replace("%s", "9" * 6000 + ",")
    data = b"" if ", 0" in shape else ONES[:1].tobytes()
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"
    BAD_NPZ[f"shape {shape:.30}"] = zipped({"a.npy": npy_of(text, data)})


@pytest.mark.parametrize("attack", sampled(BAD_NPZ, "pickle"))
def test_npz_that_is_odd_is_refused(attack, tmp_path):
    refused(written(tmp_path / "a.npz", BAD_NPZ[attack]))


def test_npz_with_a_pickle_does_not_run_it(tmp_path):
    class Attack:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")

    data = npy(np.asarray([Attack()], dtype=object), allow_pickle=True)
    refused(written(tmp_path / "a.npz", zipped({"a.npy": data})))
    assert not (tmp_path / "executed").exists()
    start = data.index(b"\n") + 1
    pickle.loads(data[start:]).item().close()
    assert (tmp_path / "executed").exists()  # it would have


@pytest.mark.at_length
@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(RANDOM[:3]),
        RANDOM.astype(">f8"),
        np.arange(3, dtype=">i2"),
        np.asarray(1.5),
        np.zeros((3, 0), "float32"),
        np.asarray([True, False]),
        np.asarray([1 + 2j]),
        np.asarray([np.nan, np.inf]),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_npz_of_every_kind_of_numbers_is_read(array, tmp_path):
    np.savez(tmp_path / "a.npz", **{"naïve/重み:0": array})
    with read_weights(tmp_path / "a.npz") as weights:
        found = weights["naïve/重み:0"]
    assert (found.shape, found.dtype) == (array.shape, array.dtype.newbyteorder("="))
    np.testing.assert_array_equal(found, array)


def test_zips_with_a_comment_zip64_or_members_of_others_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.comment = b"a comment" * 9
        with archive.open("a.npy", "w", force_zip64=True) as member:
            member.write(npy(ONES))
    np.testing.assert_array_equal(read_all(tmp_path / "a.npz")["a"], ONES)
    others = {"config.json": b"{}", "../evil.py": b"", "/evil.py": b"", "model.weights.h5": hdf5(structure)}
    assert len(read_all(written(tmp_path / "a.keras", zipped(others)))) == 3
    assert not list(tmp_path.parent.glob("evil.py"))


MODEL = SAMPLES["a.keras"]
BAD_KERAS = {
    "twice": doubled("model.weights.h5", b"\x89HDF"),
    "no weights": zipped({"config.json": b"{}"}),
    "no hdf5": zipped({"model.weights.h5": b"text"}),
    "other sizes": patched(MODEL, struct.pack("<II", *[len(hdf5(structure))] * 2), struct.pack("<II", 999, 99999)),
}


@pytest.mark.parametrize("attack", sampled(BAD_KERAS, "twice"))
def test_keras_zip_that_is_odd_is_refused(attack, tmp_path):
    refused(written(tmp_path / "a.keras", BAD_KERAS[attack]))


BAD_SAFETENSORS = {
    "empty file": b"",
    "only a length": struct.pack("<Q", 0),
    "header too long": struct.pack("<Q", 1 << 62) + b"{}",
    "header longer than the file": struct.pack("<Q", 3) + b"{}",
    "no json": safetensors(b"{]"),
    "a list": safetensors(b"{}", b"1234")[:8] + b"[]",
    "not utf-8": safetensors(b'{"\xff":1}'),
    "deep": safetensors(b'{"a":' + b"[" * 200000),
    "name twice": safetensors(b'{"a":%s,"a":%s}' % ((json.dumps(tensor()).encode(),) * 2), bytes(12)),
    "key twice": safetensors(b'{"a":{"dtype":"F32","dtype":"F32","shape":[3],"data_offsets":[0,12]}}', bytes(12)),
    "surrogate": safetensors({"\ud800": tensor()}, bytes(12)),
    "nan": safetensors({"a": tensor((float("nan"),))}, bytes(12)),
    "metadata a list": safetensors({"__metadata__": ["a"]}),
    "metadata of numbers": safetensors({"__metadata__": {"a": 1}}),
    "no shape": safetensors({"a": {"dtype": "F32", "data_offsets": [0, 12]}}, bytes(12)),
    "more keys": safetensors({"a": {**tensor(), "code": "x"}}, bytes(12)),
    "gap": safetensors({"a": tensor(), "b": tensor(offsets=(16, 28))}, bytes(28)),
    "overlap": safetensors({"a": tensor(), "b": tensor(offsets=(8, 20))}, bytes(20)),
    "same bytes": safetensors({"a": tensor(), "b": tensor()}, bytes(12)),
    "reversed": safetensors({"a": tensor(offsets=(12, 0))}, bytes(12)),
    "three offsets": safetensors({"a": tensor(offsets=(0, 12, 12))}, bytes(12)),
    "data too short": safetensors({"a": tensor()}, bytes(11)),
    "data too long": safetensors({"a": tensor()}, bytes(13)),
    "unknown dtype": safetensors({"a": tensor(dtype="F31")}, bytes(12)),
    "dtype a list": safetensors({"a": tensor(dtype=["F32"])}, bytes(12)),
    "no tensor": safetensors({"a": 1}),
    "digits": safetensors(b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,12]}}' % (b"9" * 9999), bytes(12)),
}
for shape in ((-3,), (True, 3), (3.0,), ("3",), (1 << 64,), (1 << 62, 1 << 62), (3,) + (1,) * 32, None, (2,)):
    BAD_SAFETENSORS[f"shape {shape}"] = safetensors({"a": {**tensor(), "shape": shape}}, bytes(12))
BAD_SAFETENSORS["empty but huge"] = safetensors({"a": tensor((1 << 61, 0), (0, 0))})


@pytest.mark.parametrize("attack", sampled(BAD_SAFETENSORS, "gap"))
def test_safetensors_that_lie_are_refused(attack, tmp_path):
    refused(written(tmp_path / "a.safetensors", BAD_SAFETENSORS[attack]))


@pytest.fixture
def model():
    layers = KERAS.layers
    return KERAS.Sequential([KERAS.Input((3,)), layers.Dense(4), layers.Dense(2), layers.Dense(1)])


def values(model):
    return [array.tobytes() for array in get_weights(model).values()]


def saved(model, path, change=lambda array: array + 1):
    """A file of other values than the model has; those values."""
    before = get_weights(model)
    after = {name: change(array) for name, array in before.items()}
    for weight, array in zip(model.weights, after.values()):
        weight.assign(array)
    save_weights(model, path)
    for weight, array in zip(model.weights, before.values()):
        weight.assign(array)
    return [array.tobytes() for array in after.values()]


def broken_npz(model, path, at):
    saved(model, path)
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[at]
    data = bytearray(path.read_bytes())
    data[data.index(info.filename.encode()) + len(info.filename) + 20 + info.file_size - 1] ^= 1
    path.write_bytes(data)


def broken_h5(model, path, at):
    saved(model, path)
    with h5py.File(path, "r+") as file:
        found = []
        file.visititems(lambda name, each: found.append(name) if isinstance(each, h5py.Dataset) else None)
        array = file[found[at]][()]
        del file[found[at]]
        made = file.create_dataset(found[at], data=array, chunks=array.shape, compression="gzip")
        made.id.write_direct_chunk((0,) * array.ndim, b"broken")


def cut_safetensors(model, path, at):
    saved(model, path)
    path.write_bytes(path.read_bytes()[: -4 * at - 1])


@pytest.mark.parametrize("at", [0, 3, 5])
@pytest.mark.parametrize(
    ("name", "break_it"), [("a.npz", broken_npz), ("a.h5", broken_h5), ("a.safetensors", cut_safetensors)]
)
def test_loading_a_file_with_a_broken_array_changes_no_weight(name, break_it, at, model, tmp_path):
    path, before = tmp_path / name, values(model)
    break_it(model, path, at)
    with pytest.raises(BadFileError) as caught:
        load_weights(model, path)
    assert values(model) == before
    assert str(caught.value).startswith(str(path))


def test_a_broken_bit_in_a_large_array_of_npz_is_found(tmp_path):
    """zipfile compares the checksum of what it reads to its end, which it does with small arrays only."""
    array = np.arange(1 << 16, dtype="float32").reshape(-1, 1)
    data = bytearray(zipped({"embeddings.npy": npy(array)}))
    data[data.index(array[-9:].tobytes())] ^= 1
    layer = KERAS.layers.Embedding(1 << 16, 1)
    layer.build((None,))
    before = values(layer)
    with pytest.raises(BadFileError, match="checksum"):
        load_weights(layer, written(tmp_path / "a.npz", data))
    assert values(layer) == before


def at_call(monkeypatch, model, number, then):
    """Has the assign of a model's weights do something else first, once."""
    kind, calls = type(model.weights[0]), []
    assign = kind.assign

    def counted(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == number:
            then()
        return assign(self, *args, **kwargs)

    monkeypatch.setattr(kind, "assign", counted)
    return calls


@pytest.mark.parametrize("number", [1, 4, 6])
def test_a_failing_assignment_leaves_every_weight_as_it_was(number, model, tmp_path, monkeypatch):
    saved(model, tmp_path / "a.safetensors")
    before = values(model)

    def fail():
        raise MemoryError("no room")

    calls = at_call(monkeypatch, model, number, fail)
    with pytest.raises(MemoryError, match="no room"):
        load_weights(model, tmp_path / "a.safetensors")
    assert len(calls) >= number
    assert values(model) == before


def test_an_interrupt_is_delivered_when_all_weights_have_their_values(model, tmp_path, monkeypatch):
    after = saved(model, tmp_path / "a.safetensors")
    calls = at_call(monkeypatch, model, 3, lambda: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            load_weights(model, tmp_path / "a.safetensors")
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(calls) == 6
    assert values(model) == after


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz", "a.h5"])
def test_values_that_are_not_finite_are_accepted_and_counted(name, model, tmp_path):
    def spoiled(array):
        array = array.copy()
        array.flat[0] = np.nan
        array.flat[-1] = np.inf
        return array

    after = saved(model, tmp_path / name, spoiled)
    report = load_weights(model, tmp_path / name)
    assert list(report.not_finite.values()) == [2, 2, 2, 2, 2, 1]
    assert values(model) == after
