"""A `rename` that matches nothing is an error, wherever it is given, before anything is read or written."""

import json
import re

import numpy as np
import pytest
from environment import KERAS

from keras_buildfix import (
    convert_weights,
    get_weights,
    load_weights,
    read_weights,
    save_weights,
    set_weights,
    transfer_weights,
)
from keras_buildfix.cli.main import main
from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weight_files.renaming import renamed
from keras_buildfix.weight_files.writing import write_weights

NAMES = ("stem/kernel", "stem/bias", "head/kernel", "head/bias", "a-b>c(1)/kernel")


def entries(*names):
    """Entries that can't be read: a wrong `rename` is noticed before."""
    return {name: Entry(name, (2,), "float32", lambda: pytest.fail("a value was read")) for name in names}


@pytest.mark.parametrize(
    ("rename", "new"),
    [
        ({"head/kernel": "top/kernel"}, {"head/kernel": "top/kernel"}),
        (
            {"head/kernel": "head/bias", "head/bias": "head/kernel"},
            {"head/kernel": "head/bias", "head/bias": "head/kernel"},
        ),
        ({"head/kernel": "head/kernel"}, {}),
        ([("^head/", "top/")], {"head/kernel": "top/kernel", "head/bias": "top/bias"}),
        ([["^head/", "top/"]], {"head/kernel": "top/kernel", "head/bias": "top/bias"}),
        ([(re.compile("^HEAD/b", re.IGNORECASE), "top/b")], {"head/bias": "top/bias"}),
        ([("^head/", "t/"), ("^t/b", "u/b")], {"head/kernel": "t/kernel", "head/bias": "u/bias"}),
        ([("^head/", "head/")], {}),
        ([(r"^(\w+)/bias", r"\1/offset")], {"stem/bias": "stem/offset", "head/bias": "head/offset"}),
        ([(re.escape("c(1)"), "d")], {"a-b>c(1)/kernel": "a-b>d/kernel"}),
        (lambda name: name.replace("head", "top"), {"head/kernel": "top/kernel", "head/bias": "top/bias"}),
        ({}, {}),
        ([], {}),
        ((), {}),
        (None, {}),
    ],
)
def test_what_matches_is_renamed(rename, new):
    assert list(renamed(entries(*NAMES), rename)) == [new.get(name, name) for name in NAMES]


KINDS = "rename is a mapping, a function, or pairs (pattern, replacement)"


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"krnel": "x"}, "rename: 'krnel' is none of the 5 names (nearest: "),
        ({"head": "top"}, "A mapping takes whole names; give a pair: rename=[('^head/', 'top/')]."),
        ({"a-b>c(1)": "d"}, f"rename=[({'^' + re.escape('a-b>c(1)/')!r}, 'd/')]."),
        ({"^head/": "top/"}, "A mapping takes whole names; give a pair: rename=[('^head/', 'top/')]."),
        ({3: "x"}, "rename: 3 is none of the 5 names"),
        ({"head/kernel": "x", "haed/bias": "y"}, "'haed/bias' is none of the 5 names (nearest: head/bias"),
        ([("^haed/", "top/")], "rename: the pattern '^haed/' matches none of the 5 names (nearest: head/kernel"),
        ([("^stem_", "x_")], "the pattern '^stem_' matches none of the 5 names (nearest: stem/kernel"),
        ([("^zz", "x")], "the pattern '^zz' matches none of the 5 names (stem/kernel, stem/bias, head/kernel, ...)."),
        ([(re.compile("^HEAD"), "x")], "the pattern '^HEAD' matches none of the 5 names"),
        ([("c(1)", "d")], f"It is a regular expression; to match the plain text, write {re.escape('c(1)')!r}."),
        ([("^head/", "top/"), ("^head/", "x/")], "The pairs before it are applied first."),
        (lambda name: name, "rename: the function changes none of the 5 names."),
        (lambda name: None, "rename makes None of 'stem/kernel'; it must give a name."),
        ({"head/bias": None}, "rename makes None of 'head/bias'; it must give a name."),
        ([("^head/bias$", "")], "rename makes '' of 'head/bias'; it must give a name."),
        ([("^head/", "stem/")], "rename makes 'stem/kernel' of both 'stem/kernel' and 'head/kernel'."),
        (("^head/", "top/"), f"{KINDS}; put a single pair into a list: rename=[('^head/', 'top/')]."),
        (("ab", "cd"), f"{KINDS}; put a single pair into a list: rename=[('ab', 'cd')]."),
        (["ab"], f"{KINDS}; got 'ab': this is not a pair"),
        ("ab", f"{KINDS}; got 'ab'."),
        (3, f"{KINDS}; got 3."),
        ([(b"head", "x")], "a pattern is text"),
        ([(re.compile(b"head"), "x")], "a pattern is text"),
        ([("(", "x")], f"{KINDS}; got ('(', 'x'): missing )"),
        ([("head", None)], "rename can't put None for 'head'"),
        ([("head", r"\2")], r"rename can't put '\\2' for 'head': invalid group reference"),
        ([("head", r"\g<x>")], r"rename can't put '\\g<x>' for 'head': unknown group name 'x'"),
    ],
)
def test_what_matches_nothing_or_is_nothing_of_the_kind_is_an_error(rename, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        renamed(entries(*NAMES), rename)


def test_the_pair_that_the_error_shows_works():
    for names, old in ((NAMES, "head"), (NAMES, "a-b>c(1)"), (("x.y/w", "xzy/w"), "x.y"), (("a/b/w", "a/c"), "a/b/")):
        with pytest.raises(ValueError, match="give a pair") as caught:
            renamed(entries(*names), {old: "new\\1"})
        (shown,) = re.findall(r"rename=(\[.*\])\.$", str(caught.value))
        start = f"{old.strip('/')}/"
        wanted = [f"new\\1/{name[len(start) :]}" if name.startswith(start) else name for name in names]
        assert list(renamed(entries(*names), eval(shown))) == wanted


def test_the_plain_text_that_the_error_shows_works():
    with pytest.raises(ValueError, match="plain text") as caught:
        renamed(entries(*NAMES), [("c(1)", "d")])
    (shown,) = re.findall(r"write ('.*')\.$", str(caught.value))
    assert list(renamed(entries(*NAMES), [(eval(shown), "d")]))[-1] == "a-b>d/kernel"


def stack(*names):
    return KERAS.Sequential([KERAS.Input((2,)), *[KERAS.layers.Dense(2, name=name) for name in names]])


@pytest.mark.parametrize("rename", [{"haed/kernel": "x"}, [("^haed/", "x/")], lambda name: name])
def test_every_place_that_takes_a_rename_refuses_what_matches_nothing(rename, tmp_path):
    source, target = stack("stem", "head"), stack("stem", "head")
    path, to = tmp_path / "w.safetensors", tmp_path / "new.safetensors"
    save_weights(source, path)
    before = get_weights(target)
    for call in (
        lambda: transfer_weights(source, target, rename=rename),
        lambda: set_weights(target, get_weights(source), rename=rename),
        lambda: load_weights(target, path, rename=rename),
        lambda: load_weights(target, path, rename=rename, strict=False, skip_mismatch=True),
        lambda: convert_weights(path, to, rename=rename),
        lambda: convert_weights(path, to, rename=rename, dry_run=True),
    ):
        with pytest.raises(ValueError, match="none of the 4 names"):
            call()
    assert not to.exists()
    for name, value in get_weights(target).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.fixture
def filed(tmp_path):
    """A file of four weights, and where to put another."""
    path = tmp_path / "w.npz"
    np.savez(path, **{name: np.arange(2.0) for name in NAMES[:4]})
    return str(path), str(tmp_path / "new.safetensors")


def test_the_command_prints_what_it_renamed(filed, capsys):
    path, to = filed
    assert main(["weights", "convert", path, to, "--rename", "^head/", "top/"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "head/kernel -> top/kernel",
        "head/bias -> top/bias",
        f"4 weights to {to}",
    ]
    with read_weights(to) as weights:
        assert list(weights) == ["stem/kernel", "stem/bias", "top/kernel", "top/bias"]


def test_the_command_refuses_a_pattern_that_matches_nothing(filed, tmp_path, capsys):
    path, to = filed
    for more in ([], ["--dry-run"]):
        assert main(["weights", "convert", path, to, "--rename", "^stem_", "x_", *more]) == 2
        told = capsys.readouterr()
        assert "the pattern '^stem_' matches none of the 4 names (nearest: stem/kernel" in told.err
        assert told.out == ""
    assert [each.name for each in tmp_path.iterdir()] == ["w.npz"]


@pytest.mark.parametrize("dry_run", [True, False])
def test_the_command_prints_json(filed, tmp_path, capsys, dry_run):
    path, to = filed
    command = ["weights", "convert", path, to, "--rename", "^head/", "top/", "--json"]
    assert main([*command, *(["--dry-run"] if dry_run else [])]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": to,
        "weights": ["stem/kernel", "stem/bias", "top/kernel", "top/bias"],
        "renamed": {"head/kernel": "top/kernel", "head/bias": "top/bias"},
        "dry_run": dry_run,
    }
    assert len(list(tmp_path.iterdir())) == (1 if dry_run else 2)


def test_a_dry_run_writes_nothing_and_says_the_same(filed, tmp_path, capsys):
    path, to = filed
    assert main(["weights", "convert", path, to, "--rename", "kernel$", "w", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "stem/kernel -> stem/w",
        "head/kernel -> head/w",
        f"4 weights would go to {to}",
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["w.npz"]
    assert convert_weights(path, to, dry_run=True) == convert_weights(path, to)


def refusals(tmp_path):
    """What a conversion refuses: the source, the new file, the rename."""
    wide = Entry("a/w", (1,), "complex128", lambda: np.zeros(1, "complex128"))
    write_weights(str(tmp_path / "wide.npz"), [wide], "npz")
    small = tmp_path / "small.npz"
    np.savez(small, **{"a/w": np.zeros(2), "a/b/w": np.zeros(2)})
    places = tmp_path / "places.npz"
    np.savez(places, **{"layers/dense/vars/0": np.zeros(2)})
    broken = tmp_path / "broken.npz"
    np.savez_compressed(broken, a=np.random.default_rng(0).normal(size=999))
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 255
    broken.write_bytes(data)
    return [
        (tmp_path / "wide.npz", "new.safetensors", None, "has no dtype complex128"),
        (small, "new.weights.h5", None, "has names, which"),
        (places, "new.h5", None, "has positions, which"),
        (small, "new.keras", None, "has names, which"),
        (small, "new.txt", None, "weights are saved as"),
        (small, "new.npz", [("^a/w$", "a//w")], "this format can't hold a weight named"),
        (small, "new.h5", [("^a/w$", "a/b")], "HDF5 can't hold a weight 'a/b' and another in it, 'a/b/w'"),
        (small, "missing/new.npz", None, "there is no folder"),
        (broken, "new.npz", None, "broken"),
    ]


def test_a_dry_run_refuses_what_the_real_run_refuses(tmp_path):
    for path, to, rename, message in refusals(tmp_path):
        before = sorted(tmp_path.rglob("*"))
        for dry_run in (True, False):
            with pytest.raises((ValueError, OSError), match=re.escape(message)):
                convert_weights(path, tmp_path / to, rename=rename, dry_run=dry_run)
            assert sorted(tmp_path.rglob("*")) == before


def test_a_weight_beside_a_layer_of_its_name_can_be_in_a_legacy_file(tmp_path):
    np.savez(tmp_path / "w.npz", **{"a": np.zeros(2), "a/w": np.ones(2)})
    assert convert_weights(tmp_path / "w.npz", tmp_path / "w.h5") == ["a", "a/w"]
    with read_weights(tmp_path / "w.h5") as weights:
        assert {name: value.sum() for name, value in weights.items()} == {"a": 0, "a/w": 2}


@pytest.mark.parametrize("wrong", [stack("a"), None, 3])
def test_a_model_in_place_of_a_path_is_told_what_to_do(wrong, tmp_path):
    np.savez(tmp_path / "w.npz", a=np.zeros(2))
    with pytest.raises(TypeError, match=r"convert_weights takes the path of a file; got .*save_weights\(model, path\)"):
        convert_weights(wrong, tmp_path / "to.npz")
    with pytest.raises(TypeError, match=r"convert_weights takes the path of a file; got .*load_weights\(model, path\)"):
        convert_weights(tmp_path / "w.npz", wrong)
