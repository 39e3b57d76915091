"""The names of layers that a ``.keras`` file has in its config: those of the groups, or none."""

import json

import pytest

from keras_buildfix.weight_files.formats._model_config import layer_names


def model(*layers, cls="Functional", name="model"):
    """A config as Keras writes it, as far as it matters; layers are (class, name) or such a config."""
    parts = [
        part if isinstance(part, dict) else {"class_name": part[0], "config": {"name": part[1]}} for part in layers
    ]
    return {"class_name": cls, "config": {"name": name, "layers": parts}}


def names(config, *groups, place="layers"):
    """What the groups in a model's file are called, those with a name; as paths below `place`."""
    paths = [place, *(f"{place}/{group}" for group in groups)]
    found = layer_names(config if isinstance(config, bytes) else json.dumps(config).encode(), paths)
    return {path[len(place) + 1 :]: name for path, name in found.items()}


TWO = model(("Dense", "left"), ("MyLSTM", "cell"), ("Dense", "right"))


def test_a_group_has_the_class_and_the_number_of_its_layer():
    assert names(TWO, "dense", "dense_1", "my_lstm") == {"dense": "left", "dense_1": "right", "my_lstm": "cell"}
    assert names(TWO, "dense_1") == {"dense_1": "right"}  # one that is filed elsewhere has no group


def test_a_functional_model_notes_the_name_of_a_layer_whose_config_leaves_it_out():
    layer = {"class_name": "Block", "name": "mine", "config": {"trainable": True}}
    assert names(model(layer), "block") == {"block": "mine"}


def test_models_in_each_other_are_followed():
    config = model(("Dense", "top"), model(("Dense", "deep"), cls="Sequential", name="inner"))
    paths = ["layers/dense", "layers/sequential", "layers/sequential/layers/dense", "layers/sequential/vars"]
    found = layer_names(json.dumps(config).encode(), [*paths, "layers", "layers/sequential/layers"])
    assert found == dict(zip(paths, ("top", "inner", "deep")))


def test_keras_2_13_counts_by_two():
    place = "_layer_checkpoint_dependencies"
    assert names(TWO, "dense", "dense_2", place=place) == {"dense": "left", "dense_2": "right"}


@pytest.mark.parametrize(
    ("config", "groups"),
    [
        (TWO, ("dense", "conv2d")),  # it lists no such layer
        (TWO, ("dense_7",)),
        (model(("Dense", "a"), ("Dense", "b"), ("Dense", "c")), ("dense", "dense_2")),  # counted by one, or by two
        (model(("Dense", 3)), ("dense",)),
        ({"config": {"layers": [{"config": {"name": "a"}}]}}, ("dense",)),
        ({"config": {"layers": {"dense": "a"}}}, ("dense",)),
        ([1, 2], ("dense",)),
        (b"", ("dense",)),
        (b"\xff{", ("dense",)),
        (b"[" * 200_000, ("dense",)),
    ],
    ids=["class", "number", "gap", "no text", "no class", "no list", "no model", "empty", "no text at all", "deep"],
)
def test_what_does_not_tell_it_for_sure_tells_nothing(config, groups):
    assert names(config, *groups) == {}
