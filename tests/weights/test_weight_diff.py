"""What differs between two files, whatever each calls its weights: places or names."""

import logging
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import weight_zoo
from environment import INFO, KERAS

from keras_buildfix import (
    convert_weights,
    diff_weights,
    get_weights,
    named_weights,
    read_weights,
    save_weights,
    set_weights,
    transfer_weights,
)
from keras_buildfix.cli.main import main

#: What some Keras versions can't write, of some models: tests/test_weight_files.py has which.
NOT_ALWAYS = (".h5", ".w.h5", ".keras")


def write(model, path, form):
    """The path of a file, or None where Keras can't write it."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weight_zoo.write(KERAS, model, str(path), form)
    except Exception:
        if form not in NOT_ALWAYS:
            raise
        return None
    finally:
        logging.disable(logging.NOTSET)
    return str(path)


def places(path, **groups):
    """Writes a file of places: ``dense=[kernel, bias]`` are ``layers/dense/vars/0`` and ``1``."""
    arrays = {f"layers/{name}/vars/{at}": each for name, group in groups.items() for at, each in enumerate(group)}
    np.savez(path, **arrays)
    return str(path)


def names(path, **groups):
    """Writes a file of names: ``stem=[kernel, bias]`` are ``stem/kernel`` and ``stem/bias``."""
    parts = ("kernel", "bias", "third", "fourth")
    arrays = {f"{name}/{part}": each for name, group in groups.items() for part, each in zip(parts, group)}
    np.savez(path, **arrays)
    return str(path)


def dense(seed, inputs=3, units=4, bias=None):
    """The kernel and bias of a layer."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(inputs, units)), random.normal(size=units) if bias is None else np.full(units, bias)
    return [each.astype("float32") for each in values]


@pytest.mark.parametrize("name", sorted(weight_zoo.models(KERAS)))
def test_a_model_that_was_saved_twice_is_equal_whatever_the_formats(name, tmp_path):
    model, _ = weight_zoo.make(KERAS, name)
    written = {form: write(model, tmp_path / f"{name}{form}", form) for form in weight_zoo.FORMATS}
    paths = {form: path for form, path in written.items() if path is not None}
    assert set(weight_zoo.FORMATS) - set(paths) <= {*NOT_ALWAYS}
    for one in (".weights.h5", ".keras", ".h5"):
        for other in paths:
            if one in paths:
                found = diff_weights(paths[one], paths[other])
                assert (found.equal, bool(found)) == (len(named_weights(model)), False), f"{one} {other}\n{found}"


@pytest.mark.parametrize("name", ["cnn", "recurrent", "nested"])
def test_the_one_value_that_changed_is_found(name, tmp_path):
    model, _ = weight_zoo.make(KERAS, name)
    filed = write(model, tmp_path / "old.weights.h5", ".weights.h5")
    with read_weights(filed) as weights:
        places_in_file = list(weights)
    for at in (0, 2, len(model.weights) - 1):
        value = weight_zoo.as_numpy(KERAS, model.weights[at]).copy()
        changed = value.copy()
        changed.reshape(-1)[0] += 0.5
        model.weights[at].assign(changed)
        save_weights(model, tmp_path / "new.safetensors")
        model.weights[at].assign(value)
        save_weights(model, tmp_path / "same.safetensors")
        with read_weights(tmp_path / "same.safetensors") as same, read_weights(tmp_path / "new.safetensors") as new:
            (changed_name,) = [key for key in same if not np.array_equal(same[key], new[key])]
        for found in (
            diff_weights(filed, tmp_path / "new.safetensors"),
            diff_weights(filed, tmp_path / "new.safetensors", like=tmp_path / "same.safetensors"),
        ):
            ((where, how),) = found.changed.items()
            assert where.endswith(f" = {changed_name}")
            assert where.partition(" = ")[0] in places_in_file
            assert how == f"1 of {value.size} values, by up to 0.5"
            assert found.equal == len(model.weights) - 1
            assert not found.only_first + found.only_second


def trained(keras):
    layers = [keras.Input((3,)), keras.layers.Dense(4, name="stem"), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mse"])
    model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    return model


@pytest.mark.skipif(INFO.backend == "numpy", reason="the numpy backend can't train")
def test_what_a_trained_model_files_besides_its_weights_is_no_difference(tmp_path):
    model = trained(KERAS)
    save_weights(model, tmp_path / "new.safetensors")
    for form in (".weights.h5", ".keras"):
        filed = write(model, tmp_path / f"old{form}", form)
        with read_weights(filed) as weights:
            besides = len(weights) - 4
        for other in (tmp_path / "new.safetensors", filed):
            found = diff_weights(filed, other)
            assert not found, str(found)
            assert found.equal == 4
            assert found.left_out == besides * (2 if other == filed else 1)
            assert ("left out: optimizer, metrics, seeds" in str(found)) is (besides > 0)


def test_metrics_optimizer_and_seeds_in_a_file_are_counted_apart(tmp_path):
    state = {
        "metrics/mean/vars/0": np.ones(()),
        "_optimizer/vars/0": np.ones(()),
        "layers/dropout/seed_generator/vars/0": np.zeros(2, "uint32"),
    }
    kernel = dense(1)[0]
    np.savez(tmp_path / "one.npz", **state, **{"layers/dense/vars/0": kernel})
    found = diff_weights(tmp_path / "one.npz", names(tmp_path / "two.npz", metrics=[kernel]))
    assert (found.equal, found.left_out, bool(found)) == (1, 3, False)
    assert found.paired == {"layers/dense/vars/0": "metrics/kernel"}


def test_what_was_paired_by_value_is_told(tmp_path):
    one = places(tmp_path / "one.npz", dense=dense(1), dense_1=dense(2))
    other = names(tmp_path / "two.npz", stem=dense(1), head=dense(2))
    found = diff_weights(one, other)
    assert found.by_value
    assert "2 different" not in str(found)
    assert "paired by value" in str(found)
    assert found.paired["layers/dense_1/vars/1"] == "head/bias"
    assert diff_weights(other, one).paired["head/bias"] == "layers/dense_1/vars/1"
    by_name = diff_weights(one, one)
    assert (by_name.by_value, by_name.paired) == (False, {})


def test_the_last_layer_of_a_shape_is_compared_though_all_of_it_changed(tmp_path):
    one = places(tmp_path / "one.npz", dense=dense(1), dense_1=dense(2, 4, 1))
    other = names(tmp_path / "two.npz", stem=dense(1), head=dense(3, 4, 1))
    found = diff_weights(one, other)
    assert list(found.changed) == ["layers/dense_1/vars/0 = head/kernel", "layers/dense_1/vars/1 = head/bias"]
    assert found.equal == 2
    assert list(diff_weights(other, one).changed) == list(found.changed)


def test_two_layers_of_one_shape_that_both_changed_are_an_error_and_like_is_the_way_out(tmp_path, capsys):
    one = places(tmp_path / "one.npz", dense=dense(1), dense_1=dense(2), dense_2=dense(7, 5, 6))
    other = names(tmp_path / "two.npz", stem=dense(3), head=dense(4), top=dense(7, 5, 6))
    with pytest.raises(ValueError, match="layers/dense could be stem, head") as caught:
        diff_weights(one, other)
    assert f"{one} has places, {other} names" in str(caught.value)
    assert "--like" in str(caught.value)
    assert main(["weights", "diff", one, other]) == 2
    assert "layers/dense_1 could be stem, head" in capsys.readouterr().err
    named = names(tmp_path / "named.npz", stem=dense(2), head=dense(1), top=dense(7, 5, 6))
    filed = places(tmp_path / "filed.npz", dense=dense(4), dense_1=dense(3), dense_2=dense(7, 5, 6))
    for like in (named, filed):
        found = diff_weights(one, other, like=like)
        assert list(found.changed) == [
            "layers/dense/vars/0 = head/kernel",
            "layers/dense/vars/1 = head/bias",
            "layers/dense_1/vars/0 = stem/kernel",
            "layers/dense_1/vars/1 = stem/bias",
        ]
        assert (found.equal, found.by_value, found.only_first, found.only_second) == (2, False, (), ())
        assert main(["weights", "diff", other, one, "--like", like]) == 1
        assert "layers/dense/vars/0 = head/kernel" in capsys.readouterr().out


def test_values_that_changed_places_are_seen_with_like(tmp_path):
    one = places(tmp_path / "one.npz", dense=dense(1), dense_1=dense(2))
    other = names(tmp_path / "two.npz", stem=dense(2), head=dense(1))
    like = names(tmp_path / "like.npz", stem=dense(1), head=dense(2))
    assert len(diff_weights(one, other, like=like).changed) == 4


def test_biases_that_changed_places_between_layers_are_not_equal(tmp_path):
    (first, first_bias), (second, second_bias) = dense(1), dense(2)
    one = places(tmp_path / "one.npz", dense=[first, first_bias], dense_1=[second, second_bias])
    other = names(tmp_path / "two.npz", stem=[first, second_bias], head=[second, first_bias])
    with pytest.raises(ValueError, match="could be stem, head"):
        diff_weights(one, other)
    wide, wide_bias = dense(3, 9, 4)
    one = places(tmp_path / "one.npz", dense=[first, first_bias], dense_1=[wide, wide_bias])
    other = names(tmp_path / "two.npz", stem=[first, wide_bias], head=[wide, first_bias])
    assert list(diff_weights(one, other).changed) == [
        "layers/dense/vars/1 = stem/bias",
        "layers/dense_1/vars/1 = head/bias",
    ]


def test_values_that_changed_places_within_a_layer_are_not_equal(tmp_path):
    gamma, beta = dense(1)[1], dense(2)[1]
    one = places(tmp_path / "one.npz", batch_normalization=[gamma, beta])
    other = names(tmp_path / "two.npz", norm=[beta, gamma])
    assert len(diff_weights(one, other).changed) == 2


def test_zeros_that_are_alike_are_equal_whichever_is_which(tmp_path):
    layers = [dense(seed, bias=0) for seed in range(3)]
    fresh = [np.ones(4), np.zeros(4), np.zeros(4), np.ones(4)]
    one = places(tmp_path / "one.npz", dense=layers[0], dense_1=layers[1], dense_2=layers[2], bn=fresh, bn_1=fresh)
    other = names(tmp_path / "two.npz", c=layers[2], a=layers[0], b=layers[1], n=fresh, m=fresh)
    found = diff_weights(one, other)
    assert (found.equal, bool(found)) == (14, False)
    assert found.paired["layers/dense_2/vars/1"] == "c/bias"
    one = places(tmp_path / "one.npz", dense=layers[0], bn=fresh, bn_1=fresh)
    other = names(tmp_path / "two.npz", a=layers[0], n=fresh, m=[np.ones(4), np.ones(4), np.zeros(4), np.ones(4)])
    with pytest.raises(ValueError, match="layers/bn could be n, m"):
        diff_weights(one, other)
    like = names(tmp_path / "like.npz", a=layers[0], n=fresh, m=fresh)
    with pytest.raises(ValueError, match="it does not tell what these are: layers/bn, layers/bn_1"):
        diff_weights(one, other, like=like)


def test_a_zero_bias_is_no_sign_that_layers_are_the_same(tmp_path):
    one = places(tmp_path / "one.npz", dense=dense(1, bias=0), dense_1=dense(2))
    other = names(tmp_path / "two.npz", stem=dense(3, bias=0), head=dense(4))
    with pytest.raises(ValueError, match="could be stem, head"):
        diff_weights(one, other)


@pytest.mark.parametrize("longer", ["places", "names"])
def test_a_layer_more_is_on_one_side_only(tmp_path, longer):
    more = {"more": dense(5, 4, 4)} if longer == "places" else {}
    one = places(tmp_path / "one.npz", dense=dense(1, bias=0), **more)
    other = names(tmp_path / "two.npz", stem=dense(1, bias=0), **({} if more else {"more": dense(1, bias=0)}))
    if longer == "places":
        found = diff_weights(one, other)
        assert found.only_first == ("layers/more/vars/0", "layers/more/vars/1")
        assert (found.equal, found.only_second, found.changed) == (2, (), {})
    else:  # which of two that are equal in all is the new one can't be told
        with pytest.raises(ValueError, match="layers/dense could be stem, more"):
            diff_weights(one, other)


def test_a_layer_of_another_size_is_no_pair(tmp_path):
    one = places(tmp_path / "one.npz", dense=dense(1), dense_1=dense(2, 4, 2))
    found = diff_weights(one, names(tmp_path / "two.npz", stem=dense(1), head=dense(2, 4, 7)))
    assert found.equal == 2
    assert found.only_first == ("layers/dense_1/vars/0", "layers/dense_1/vars/1")
    assert found.only_second == ("head/kernel", "head/bias")


def test_another_dtype_is_a_difference(tmp_path):
    one = places(tmp_path / "one.npz", dense=dense(1))
    other = names(tmp_path / "two.npz", stem=[each.astype("float16") for each in dense(1)])
    found = diff_weights(one, other)
    assert found.changed["layers/dense/vars/0 = stem/kernel"] == "dtype float32 and float16"
    assert diff_weights(other, one).changed["layers/dense/vars/0 = stem/kernel"] == "dtype float16 and float32"


def test_nan_equals_nan_and_one_bit_is_a_difference(tmp_path):
    value = np.array([np.nan, 1.0, 2.0])
    odd = value.copy()
    odd.view("uint64")[0] += 1  # another NaN
    one = places(tmp_path / "one.npz", dense=[value])
    assert not diff_weights(one, names(tmp_path / "two.npz", stem=[odd]))
    near = np.array([np.nan, 1.0, np.nextafter(2.0, 3.0)])
    assert diff_weights(one, names(tmp_path / "two.npz", stem=[near]))


def test_names_in_an_order_of_their_own_are_paired_by_value(tmp_path):
    layers = [dense(1), dense(2), dense(3, 4, 4)]
    one = places(tmp_path / "one.npz", dense=layers[0], dense_1=layers[1], dense_2=layers[2])
    order = {
        f"{name}/{part}": layers[at][part == "bias"] for at, name in enumerate("abc") for part in ("bias", "kernel")
    }
    np.savez(tmp_path / "two.npz", **order)
    found = diff_weights(one, tmp_path / "two.npz")
    assert (found.equal, bool(found)) == (6, False)
    assert found.paired["layers/dense_1/vars/0"] == "b/kernel"


def test_groups_that_the_other_file_has_as_one_are_paired_by_value(tmp_path):
    norm, own = dense(1), dense(2, 5, 5)
    np.savez(
        tmp_path / "one.npz",
        **{f"layers/block/norm/vars/{at}": each for at, each in enumerate(norm)},
        **{f"layers/block/vars/{at}": each for at, each in enumerate(own)},
    )
    other = names(tmp_path / "two.npz", block=[own[0], norm[0], own[1], norm[1]])
    assert diff_weights(tmp_path / "one.npz", other).equal == 4
    other = names(tmp_path / "two.npz", block=[own[0], norm[0], own[1] + 1, norm[1]])
    assert list(diff_weights(tmp_path / "one.npz", other).changed) == ["layers/block/vars/1 = block/third"]


def test_names_that_somebody_gave_count_before_values(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "one.weights.h5", "w") as file:
        for place, name, layer in (("dense", "stem", dense(1)), ("dense_1", "head", dense(2))):
            group = file.create_group(f"layers/{place}/vars")
            group.attrs["name"] = name
            for at, each in enumerate(layer):
                group[str(at)] = each
    other = names(tmp_path / "two.npz", stem=dense(2), head=dense(1))
    found = diff_weights(tmp_path / "one.weights.h5", other)
    assert len(found.changed) == 4
    assert "layers/dense/vars/0 = stem/kernel" in found.changed
    other = names(tmp_path / "two.npz", stem=dense(1, 3, 5), head=dense(2))
    found = diff_weights(tmp_path / "one.weights.h5", other)
    assert found.changed["layers/dense/vars/0 = stem/kernel"] == "shape (3, 4) and (3, 5)"


def test_like_has_to_be_what_it_should_be(tmp_path):
    one = places(tmp_path / "one.npz", dense=dense(1), dense_1=dense(2))
    other = names(tmp_path / "two.npz", stem=dense(3), head=dense(4))
    with pytest.raises(ValueError, match="has no name that is in"):
        diff_weights(one, other, like=names(tmp_path / "like.npz", x=dense(1), y=dense(2)))
    with pytest.raises(ValueError, match=r"must hold the values of .*one\.npz.*: layers/dense"):
        diff_weights(one, other, like=names(tmp_path / "like.npz", stem=dense(1), head=dense(5)))
    with pytest.raises(ValueError, match="it does not tell what these are: layers/dense_1/vars/0"):
        diff_weights(one, other, like=names(tmp_path / "like.npz", stem=dense(1)))
    with pytest.raises(ValueError, match="have the same kind of names; omit like="):
        diff_weights(one, one, like=other)


def test_all_bytes_are_told_once(tmp_path):
    one = places(tmp_path / "one.npz", dense=dense(1), dense_1=dense(2))
    other = names(tmp_path / "two.npz", stem=dense(1), head=dense(2))
    for like in (None, names(tmp_path / "like.npz", stem=dense(1), head=dense(2))):
        seen = []
        diff_weights(one, other, like=like, progress=lambda done, total: seen.append((done, total)))  # noqa: B023
        assert seen == sorted(seen)
        assert seen[-1] == (256, 256)


@pytest.mark.parametrize("wrong", [None, 3])
def test_what_has_no_weights_is_told_what_to_do(wrong, tmp_path):
    unbuilt = KERAS.layers.Dense(1, name="unbuilt")
    np.savez(tmp_path / "x.npz", a=np.ones(1))
    for at in (0, 1):
        for given, error, message in (
            (wrong, TypeError, r"diff_weights takes the path of a file; got .*It compares files, layers and models"),
            (unbuilt, ValueError, "diff_weights: 'unbuilt' has no weights; is it built?"),
        ):
            with pytest.raises(error, match=message):
                diff_weights(*[given, tmp_path / "x.npz"][:: -1 if at else 1])
    for given in (wrong, unbuilt):
        with pytest.raises(TypeError, match=r"read_weights takes the path of a file; got .*get_weights\(model\)"):
            read_weights(given)


@pytest.mark.parametrize(
    ("name", "ending"),
    [("cnn", ".h5"), ("cnn", ".keras"), ("cnn", ".weights.h5"), ("nested", ".safetensors"), ("nested", ".weights.h5")],
)
def test_a_model_is_compared_with_a_model_and_with_a_file(name, ending, tmp_path):
    model, _ = weight_zoo.make(KERAS, name)
    other, _ = weight_zoo.make(KERAS, name)
    weights = named_weights(model)
    path = str(tmp_path / f"w{ending}")
    save_weights(other, path)
    for same in ((model, other), (model, path), (path, model), (other, other)):
        found = diff_weights(*same)
        assert not found
        assert found.equal == len(weights)
        assert str(found).startswith(f"0 different, {len(weights)} equal")
    changed = list(weights)[2]
    values = get_weights(model)
    values[changed] = values[changed] + 0.5
    set_weights(model, values)
    for one, two in ((model, other), (model, path), (path, model)):
        found = diff_weights(one, two)
        assert found
        ((where, how),) = found.changed.items()
        assert where.rpartition(" = ")[2] == changed or ending == ".h5"
        assert "by up to 0.5" in how
        assert found.equal == len(weights) - 1


def test_what_only_a_model_or_only_a_file_has_is_on_its_side(tmp_path):
    layers, path = KERAS.layers, str(tmp_path / "w.weights.h5")
    longer = KERAS.Sequential([KERAS.Input((2,)), layers.Dense(2, name="a"), layers.Embedding(3, 2, name="b")])
    shorter = KERAS.Sequential([KERAS.Input((2,)), layers.Dense(2, name="a")])
    transfer_weights(longer, shorter, strict=False)
    found = diff_weights(longer, shorter)
    assert (found.only_first, found.only_second, found.equal) == (("b/embeddings",), (), 2)
    save_weights(longer, tmp_path / "w.npz")
    found = diff_weights(shorter, tmp_path / "w.npz")
    assert (found.only_first, found.only_second, found.equal) == ((), ("b/embeddings",), 2)
    save_weights(shorter, path)
    found = diff_weights(longer, path)
    assert (found.only_first, found.only_second, found.equal) == (("b/embeddings",), (), 2)
    with pytest.raises(ValueError, match=r"the layer '.*' says which weight is which; leave out like="):
        diff_weights(longer, path, like=path)


@pytest.mark.skipif(INFO.backend == "numpy", reason="the numpy backend can't train")
def test_the_state_of_an_optimizer_in_a_file_is_no_difference_to_the_model(tmp_path):
    model = trained(KERAS)
    for form in (".weights.h5", ".keras"):
        path = write(model, tmp_path / f"w{form}", form)
        with read_weights(path) as weights:
            besides = len(weights) - 4
        found = diff_weights(path, model)
        assert not found
        assert (found.equal, found.left_out) == (4, besides)


def test_the_command_in_the_documents_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model, _ = weight_zoo.make(KERAS, "cnn")
    assert write(model, "old.keras", ".keras")
    save_weights(model, "new.safetensors")
    page = (Path(__file__).resolve().parents[2] / "docs" / "weights.md").read_text("utf-8")
    (line,) = re.findall(r"^keras-buildfix (weights diff .*)$", page, re.MULTILINE)
    assert main(line.split()) == 0
    assert capsys.readouterr().out.startswith(f"0 different, {len(model.weights)} equal\n")


def test_places_that_two_versions_counted_otherwise_are_paired(tmp_path):
    layers = [dense(seed, 4, 4) for seed in range(3)]
    filed = {
        f"_layer_checkpoint_dependencies/dense{number}/vars/{at}": each
        for number, layer in zip(("", "_2", "_4"), layers)
        for at, each in enumerate(layer)
    }
    np.savez(tmp_path / "old.npz", **filed)
    new = places(tmp_path / "new.npz", dense=layers[0], dense_1=layers[1], dense_2=[layers[2][0], layers[2][1] + 1])
    found = diff_weights(tmp_path / "old.npz", new)
    assert list(found.changed) == ["_layer_checkpoint_dependencies/dense_4/vars/1 = layers/dense_2/vars/1"]
    assert (found.equal, found.by_value) == (5, True)


def test_a_layer_that_was_renamed_differs_where_both_files_have_names(tmp_path):
    one, other = (names(tmp_path / f"{name}.npz", **{name: dense(1)}) for name in ("head", "top"))
    for first, second in ((one, other), (one, tmp_path / "top.h5"), (tmp_path / "head.h5", tmp_path / "top.h5")):
        for path, source in ((first, one), (second, other)):
            if path != source:
                convert_weights(source, path)
        found = diff_weights(first, second)
        assert found.only_first == ("head/kernel", "head/bias")
        assert found.only_second == ("top/kernel", "top/bias")
